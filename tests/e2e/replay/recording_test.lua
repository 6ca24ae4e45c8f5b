-- Tests of portico.recording: what it reads, and what it refuses with which words.
local recording = require "portico.recording"

local HEADER = "portico recording 1\ndirection accepted\nurl tcp://127.0.0.1:7000\npeer tcp://127.0.0.1:9\nstart 17\n\n"
local END = "9 closed\nend\n"

-- The words for a recording with these entries.
local function refusal(entries)
  local found, why = recording.parse(HEADER .. entries)
  assert.is_nil(found)
  return why
end

local function refuses(entries, words)
  local why = refusal(entries)
  assert(why:find("^byte %d+: ") and why:find(words, 1, true), why)
end

describe("a recording", function()
  it("is read whole", function()
    local found = assert(recording.parse(HEADER .. "0 received 3\na\n\0\n1 sent 1\nx\n1 received-end\n2 shutdown\n"
      .. "3 lost 12\n4 closed ECONNRESET\nend\n"))
    assert.same({ direction = "accepted", url = "tcp://127.0.0.1:7000", peer = "tcp://127.0.0.1:9", start = 17,
      entries = { { at = 0, what = "received", data = "a\n\0" }, { at = 1, what = "sent", data = "x" },
        { at = 1, what = "received-end" }, { at = 2, what = "shutdown" }, { at = 3, what = "lost", lost = 12 },
        { at = 4, what = "closed", code = "ECONNRESET" } } }, found)
  end)

  it("that is cut off is refused, wherever", function()
    local whole = HEADER .. "0 received 3\na\n\0\n1 sent 1\nx\n" .. END
    assert(recording.parse(whole))
    for size = 0, #whole - 1 do
      local found, why = recording.parse(whole:sub(1, size))
      assert.is_nil(found)
      assert(why:find("it is cut off", 1, true), size .. ": " .. why)
    end
  end)

  it("with any one byte changed is read or refused, in one line", function()
    local whole = HEADER .. "0 received 3\na\n\0\n1 sent 1\nx\n" .. END
    for at = 1, #whole do
      for _, byte in ipairs { "\0", "\n", " ", "0", "9", "x", "\xff" } do
        local found, why = recording.parse(whole:sub(1, at - 1) .. byte .. whole:sub(at + 1))
        assert(found or why:find "^byte %d+: [^\n]+$", why)
      end
    end
  end)

  it("has a header of these five lines", function()
    for _, text in ipairs { "GET / HTTP/1.0\n", "portico recording 2\n", HEADER:gsub("accepted", "both"),
      HEADER:gsub("url", "uri"), HEADER:gsub(":7000", ""),
      HEADER:gsub("17", "-1"), HEADER:gsub("17", "1x"), HEADER:gsub("\n\n", "\nmore 1\n"),
      (HEADER:gsub("7000", ("7"):rep(1000))) } do
      assert.is_nil((recording.parse(text .. END)))
    end
  end)

  it("has numbers that are written in one way, and not too great", function()
    refuses("00 closed\nend\n", "the time is no number")
    refuses("1e3 closed\nend\n", "not an entry")
    refuses("99999999999999999999 closed\nend\n", "the time is no number")
    refuses("9999999999999999999 closed\nend\n", "the time is too great")
    refuses("1000000000000000001 closed\nend\n", "the time is too great")
    refuses("0 received 0\n\n" .. END, "the length is not 1 to 67108864")
    refuses("0 received 67108865\nx\n" .. END, "the length is not 1 to 67108864")
    refuses("0 received 67108864\nx\n" .. END, "the file ends in 67108864 bytes that were received")
    refuses("0 received 1\nxx\n" .. END, "no new line behind the bytes")
    refuses("0 received -1\nx\n" .. END, "the length is no number")
    refuses("0 received\nx\n" .. END, "the length is no number")
  end)

  it("has entries in an order that can be", function()
    refuses("2 open\n1 shutdown\n" .. END, "the time goes back")
    refuses("1 received-end\n1 received 1\nx\n" .. END, "'received' behind 'received-end'")
    refuses("1 shutdown\n1 sent 1\nx\n" .. END, "'sent' behind 'shutdown'")
    refuses("1 close\n1 close\n" .. END, "'close' behind 'close'")
    refuses("1 lost 5\n1 open\n" .. END, "'open' behind 'lost'")
    refuses("1 hello\n" .. END, "not an entry")
    refuses("1 close now\n" .. END, "nothing stands behind 'close'")
    refuses("1  close\n" .. END, "not an entry")
    refuses("1 close \n" .. END, "a space too many")
    refuses("1 closed because\nend\n", "no name of an error")
    refuses("1 closed\nfinished\n", "not 'end'")
    refuses(END .. "x", "something stands behind the end")
  end)
end)
