-- plot.lua FILE.json OUTDIR: draws each plot of the file as OUTDIR/NAME.svg, a line chart that needs nothing else.
--   {"plots":[{"name":"connections","title":"...","x":"connections","y":"CPU ns per message","logx":true,"logy":false,
--     "series":[{"name":"reference","points":[[10,1234],[30,1300]]}]}]}
local cjson = require "cjson"

local WIDTH <const>, HEIGHT <const> = 720, 360
local LEFT <const>, TOP <const>, BOTTOM <const> = 72, 44, 48 -- margins; the right one depends on the labels
local LETTER <const> = 7.2 -- width of a bold letter of 12 px, on average
local LABEL_GAP <const> = 15 -- between the labels at the ends of two lines
-- Okabe and Ito: told apart by colour-blind people, too. Yellow is left out, it cannot be seen on white.
local COLOURS <const> = { "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9" }
local DASHES <const> = { "", "6 3", "2 3" } -- for more lines than colours

-- --- numbers ---

local PREFIXES <const> = { { 1e9, "G" }, { 1e6, "M" }, { 1e3, "k" } }
local function number_text(value)
  for _, prefix in ipairs(PREFIXES) do
    if math.abs(value) >= prefix[1] then return ("%.4g%s"):format(value / prefix[1], prefix[2]) end
  end
  return ("%.4g"):format(value)
end

-- An axis: its ends, the places of its ticks, and where a value is between its ends (0..1).
local function linear_axis(low, high)
  if low > 0 and low < 0.7 * high then low = 0 end -- a ratio of lengths that can be trusted
  local span = high > low and high - low or math.max(math.abs(high), 1)
  local step = 10 ^ math.floor(math.log(span / 4, 10))
  for _, factor in ipairs { 1, 2, 5, 10 } do
    if span / (factor * step) <= 6 then
      step = factor * step
      break
    end
  end
  local first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
  if last == first then last = first + 1 end
  local ticks = {}
  for i = first, last do ticks[#ticks + 1] = i * step end
  return { ticks = ticks, at = function(value) return (value / step - first) / (last - first) end }
end

-- The nearest of 1, 2, 5, 10, 20 ... below or above a number.
local function round_log(value, up)
  local decade, best = 10.0 ^ math.floor(math.log(value, 10) + 1e-9), nil
  for _, factor in ipairs { 1, 2, 5, 10 } do
    local tick = factor * decade
    if up and tick >= value * (1 - 1e-9) then return tick end
    if not up and tick <= value * (1 + 1e-9) then best = tick end
  end
  return best
end

local function log_axis(low, high, round)
  assert(low > 0, "a logarithmic axis has no place for numbers below or at 0")
  if round then low, high = round_log(low), round_log(high, true) end
  local from, to = math.log(low, 10), math.log(high, 10)
  if to - from < 0.1 then from, to = from - 0.1, to + 0.1 end
  -- Fewer ticks the more decades there are: 1 2 5 10, or 1 3 10, or 1 10.
  local factors = to - from <= 2 and { 1, 2, 5 } or to - from <= 4 and { 1, 3 } or { 1 }
  local ticks = {}
  for decade = math.floor(from), math.ceil(to) do
    for _, factor in ipairs(factors) do
      local exponent = decade + math.log(factor, 10)
      if exponent >= from - 1e-6 and exponent <= to + 1e-6 then ticks[#ticks + 1] = factor * 10.0 ^ decade end
    end
  end
  return { ticks = ticks, at = function(value) return (math.log(value, 10) - from) / (to - from) end }
end

local function axis_for(plot, index, log)
  local low, high = math.huge, -math.huge
  for _, series in ipairs(plot.series) do
    for _, point in ipairs(series.points) do
      low, high = math.min(low, point[index]), math.max(high, point[index])
    end
  end
  assert(low <= high, plot.name .. ": no points")
  return (log and log_axis or linear_axis)(low, high, index == 2) -- the lines may fill the width, not the height
end

-- --- SVG ---

local ESCAPES <const> = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }
local function escape(text) return (text:gsub('[&<>"]', ESCAPES)) end

local Picture = {}
Picture.__index = Picture

function Picture:add(format, ...) self[#self + 1] = format:format(...) end

function Picture:text(x, y, anchor, text, more)
  self:add('<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>', x, y, anchor, more or "", escape(text))
end

function Picture:line(x1, y1, x2, y2, colour)
  self:add('<path d="M%.1f %.1fL%.1f %.1f" stroke="%s"/>', x1, y1, x2, y2, colour)
end

-- The area inside the axes, and the place of a pair of values in it.
local function frame_for(plot)
  local widest = 0
  for _, series in ipairs(plot.series) do widest = math.max(widest, utf8.len(series.name) or #series.name) end
  local frame = { left = LEFT, right = WIDTH - 24 - widest * LETTER, top = TOP, bottom = HEIGHT - BOTTOM }
  frame.x, frame.y = axis_for(plot, 1, plot.logx), axis_for(plot, 2, plot.logy)
  function frame.place(point)
    return frame.left + frame.x.at(point[1]) * (frame.right - frame.left),
      frame.bottom - frame.y.at(point[2]) * (frame.bottom - frame.top)
  end
  return frame
end

local function draw_axes(picture, plot, frame)
  for _, tick in ipairs(frame.y.ticks) do
    local y = frame.bottom - frame.y.at(tick) * (frame.bottom - frame.top)
    picture:line(frame.left, y, frame.right, y, "#ddd")
    picture:text(frame.left - 8, y + 4, "end", number_text(tick))
  end
  for _, tick in ipairs(frame.x.ticks) do
    local x = frame.left + frame.x.at(tick) * (frame.right - frame.left)
    picture:line(x, frame.top, x, frame.bottom, "#eee")
    picture:text(x, frame.bottom + 18, "middle", number_text(tick))
  end
  picture:line(frame.left, frame.bottom, frame.right, frame.bottom, "#666")
  picture:text(frame.left, 24, "start", plot.title, ' font-size="15" font-weight="bold"')
  picture:text((frame.left + frame.right) / 2, HEIGHT - 10, "middle", plot.x)
  local middle = (frame.top + frame.bottom) / 2
  picture:text(18, middle, "middle", plot.y, (' transform="rotate(-90 18 %.1f)"'):format(middle))
end

local function draw_series(picture, series, frame, colour, dash)
  table.sort(series.points, function(a, b) return a[1] < b[1] end)
  local path, dots, x, y = {}, {}, nil, nil
  for i, point in ipairs(series.points) do
    x, y = frame.place(point)
    path[i] = ("%s%.1f %.1f"):format(i == 1 and "M" or "L", x, y)
    dots[i] = ('<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>'):format(x, y, colour)
  end
  picture:add('<path d="%s" fill="none" stroke="%s" stroke-width="2" stroke-linejoin="round"%s/>',
    table.concat(path), colour, dash == "" and "" or ' stroke-dasharray="' .. dash .. '"')
  picture:add("%s", table.concat(dots))
  return x, y
end

-- Moves labels apart, from top to bottom, then back up if the last one has left the frame.
local function spread(labels, bottom)
  table.sort(labels, function(a, b) return a.y < b.y end)
  for i = 2, #labels do labels[i].y = math.max(labels[i].y, labels[i - 1].y + LABEL_GAP) end
  local limit = bottom
  for i = #labels, 1, -1 do
    labels[i].y = math.min(labels[i].y, limit)
    limit = labels[i].y - LABEL_GAP
  end
end

-- Each line has its name at its end; where that had to move away from the point, a dotted line leads back.
local function draw_labels(picture, labels, frame)
  spread(labels, frame.bottom)
  for _, label in ipairs(labels) do
    local x = frame.right + 14
    picture:add('<path d="M%.1f %.1fL%.1f %.1f" stroke="%s" stroke-dasharray="1 2"/>',
      label.from_x + 4, label.from_y, x - 2, label.y, label.colour)
    picture:text(x, label.y + 4, "start", label.name, (' fill="%s" font-weight="bold"'):format(label.colour))
  end
end

local function draw(plot)
  local picture, frame, labels = setmetatable({}, Picture), frame_for(plot), {}
  picture:add('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d"',
    WIDTH, HEIGHT, WIDTH, HEIGHT)
  picture:add(' font-family="system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif" font-size="12" fill="#333">')
  picture:add('<title>%s</title><rect width="%d" height="%d" fill="#fff"/>', escape(plot.title), WIDTH, HEIGHT)
  draw_axes(picture, plot, frame)
  for i, series in ipairs(plot.series) do
    local colour = COLOURS[(i - 1) % #COLOURS + 1]
    local dash = DASHES[(i - 1) // #COLOURS % #DASHES + 1]
    local x, y = draw_series(picture, series, frame, colour, dash)
    if x then labels[#labels + 1] = { name = series.name, from_x = x, from_y = y, y = y, colour = colour } end
  end
  draw_labels(picture, labels, frame)
  picture:add "</svg>"
  return table.concat(picture, "\n") .. "\n"
end

local source, folder = ...
if not folder then
  io.stderr:write "usage: lua5.4 tests/bench/plot.lua FILE.json OUTDIR\n"
  os.exit(2)
end
local file = assert(io.open(source))
local plots = cjson.decode(file:read "a").plots
file:close()
for _, plot in ipairs(plots) do
  assert(plot.name:find "^[%w_-]+$", "the name of a plot becomes the name of a file: letters, digits, _ and -")
  local svg = assert(io.open(folder .. "/" .. plot.name .. ".svg", "w"))
  assert(svg:write(draw(plot)))
  assert(svg:close())
end
