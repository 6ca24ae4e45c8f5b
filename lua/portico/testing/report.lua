-- portico.testing.report: results of tests as TAP, as they come, and as JUnit's XML, at the end.
--   result   name, file, line, status ("passed", "failed" or "pending"), seconds, failure (see portico.testing.failure)
--   summary  passed, failed, pending, total, seconds
local report = {}

local function milliseconds(seconds) return ("%.1f ms"):format(seconds * 1000) end

---Lines of text, each behind `prefix`. Control bytes, which a handler may have logged, would drive the terminal.
---@param prefix string
---@param text string
---@return string
function report.indented(prefix, text)
  text = text:gsub("[^\n\t\x20-\x7e\x80-\xff]", function(byte) return ("\\x%02x"):format(byte:byte()) end)
  return prefix .. text:gsub("\n", "\n" .. prefix) .. "\n"
end

local function tap_failure(problem, write)
  write(report.indented("#   ", problem.where .. problem.text))
  for i, frame in ipairs(problem.trace) do write(report.indented("#   ", (i == 1 and "from " or "     ") .. frame)) end
end

---Writes results as TAP (Test Anything Protocol); what explains a failure stands in comments below it.
---@param write fun(text: string)
---@return table reporter
function report.tap(write)
  local tap, count, failed = {}, 0, {}
  write "TAP version 13\n"

  function tap.result(r)
    count = count + 1
    local name = r.name:gsub("#", "\\#"):gsub("%c", " ")
    local directive = r.status == "pending" and "SKIP " .. (r.failure and r.failure.text or "pending")
      or milliseconds(r.seconds)
    write(("%sok %d - %s # %s\n"):format(r.status == "failed" and "not " or "", count, name, directive))
    if r.status ~= "failed" then return end
    tap_failure(r.failure, write)
    failed[#failed + 1] = ("# failed: %s:%d: %s\n"):format(r.file, r.line, name)
  end

  function tap.finish(s)
    write(("1..%d\n"):format(count))
    for _, line in ipairs(failed) do write(line) end
    write(("# %d tests: %d passed, %d failed, %d pending; %s\n"):format(s.total, s.passed, s.failed, s.pending,
      milliseconds(s.seconds)))
  end

  return tap
end

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["\n"] = "&#10;" }

-- XML 1.0 has no way at all to write most control characters.
local function xml(text)
  text = text:gsub("[%z\1-\8\11-\31\127]", function(byte) return ("\\x%02x"):format(byte:byte()) end)
  if not utf8.len(text) or text:find "\xef\xbf[\xbe\xbf]" then
    text = text:gsub("[\x80-\xff]", function(byte) return ("\\x%02x"):format(byte:byte()) end)
  end
  return (text:gsub('[&<>"\n]', ENTITIES))
end

local function junit_case(r)
  local lines = { ('    <testcase classname="%s" name="%s" file="%s" line="%d" time="%.6f"'):format(xml(r.file),
    xml(r.name), xml(r.file), r.line, r.seconds) }
  if r.status == "passed" then return lines[1] .. "/>\n" end
  lines[1] = lines[1] .. ">"
  if r.status == "pending" then
    lines[2] = "      <skipped/>"
  else
    local text = r.failure.where .. r.failure.text
    lines[2] = ('      <failure message="%s">%s</failure>'):format(xml(text:match "^[^\n]*"),
      xml(text .. "\n" .. table.concat(r.failure.trace, "\n")))
  end
  return table.concat(lines, "\n") .. "\n    </testcase>\n"
end

local function junit_suite(file, cases)
  local failed, pending, seconds, lines = 0, 0, 0, {}
  for i, r in ipairs(cases) do
    failed = failed + (r.status == "failed" and 1 or 0)
    pending = pending + (r.status == "pending" and 1 or 0)
    seconds, lines[i] = seconds + r.seconds, junit_case(r)
  end
  return ('  <testsuite name="%s" tests="%d" failures="%d" errors="0" skipped="%d" time="%.6f">\n%s  </testsuite>\n')
    :format(xml(file), #cases, failed, pending, seconds, table.concat(lines))
end

---Writes results as JUnit's XML: a suite for each file.
---@param write fun(text: string)
---@return table reporter
function report.junit(write)
  local junit, files, cases = {}, {}, {}

  function junit.result(r)
    if not cases[r.file] then
      files[#files + 1], cases[r.file] = r.file, {}
    end
    table.insert(cases[r.file], r)
  end

  function junit.finish(s)
    write '<?xml version="1.0" encoding="UTF-8"?>\n'
    write(('<testsuites tests="%d" failures="%d" errors="0" skipped="%d" time="%.6f">\n'):format(s.total, s.failed,
      s.pending, s.seconds))
    for _, file in ipairs(files) do write(junit_suite(file, cases[file])) end
    write "</testsuites>\n"
  end

  return junit
end

return report
