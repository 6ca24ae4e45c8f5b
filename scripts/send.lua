-- send: sends a text, a file or its standard input, shows "bytes=N/M" as it goes (N of M bytes have left), says
-- that this was all, and waits for the server to end as well.
--   portico run send                                       the article's text, to tcp://127.0.0.1:23232
--   portico run send tcp://[::1]:7000 --message hello
--   portico run send --file big.iso --send-buffer 4096     a file, and the size of the kernel's send buffer
--   tar c . | portico run send -                           standard input, in pieces of 64 KiB
--   portico run send --receive answer.txt                  keeps what comes back; "-" is standard output
local portico = require "portico"
local args = require "portico.args"

local options = args.parse({
  name = "send", usage = "[URL] [--message TEXT | --file PATH | -] [--receive PATH|-] [--send-buffer BYTES]",
  url = "tcp://127.0.0.1:23232", one_of = { "message", "file", "-" },
  options = { message = "text", file = "text", ["-"] = "flag", receive = "text", ["send-buffer"] = "number" },
}, ...)
if not options then return end
local function fail(...) return args.fail("send", table.concat({ ... }, ": ")) end

-- Where the bytes come from, and how many they are (nil = nobody knows yet).
local text, file, problem = options.message or "this is a long test string\nabc\n", nil, nil
local total = #text
if options["-"] then file, total = io.stdin, nil end
if options.file then
  file, problem = io.open(options.file, "rb")
  if not file then return fail("cannot read", problem) end
  total = file:seek("end")
  if total then file:seek("set") end
end

-- Where the answer goes; and the report, which must not mix with it.
local answer, report = options.receive == "-" and io.stdout, options.receive == "-" and io.stderr or io.stdout
if options.receive and not answer then answer, problem = io.open(options.receive, "wb") end
if problem then return fail("cannot write", problem) end
if answer then answer:setvbuf("no") end -- a full disk is noticed by the write that meets it

local queued, reported, all_queued, server_ended, timer = 0, nil, false, false, nil
local function progress(conn)
  local sent = queued - conn.pending -- `pending` bytes are still in the queue
  if sent ~= reported then report:write(("bytes=%d/%s\n"):format(sent, total or "?")):flush() end
  reported = sent
end

local function send_more(conn) -- until `send` says that it is enough for now; then on_drain calls again
  repeat
    local piece, why = text, nil
    if file then piece, why = file:read(65536) end
    if why then return fail("cannot read", options.file or "standard input", why) end
    if not piece then
      all_queued, total = true, queued
      if server_ended then return conn:close() end
      return conn:shutdown() -- either way the queue leaves first
    end
    text, queued = nil, queued + #piece
  until not conn:send(piece)
end

local conn, message = portico.connect(options.url, {
  send_buffer = options["send-buffer"],
  on_open = function(conn)
    timer = portico.every(0.5, progress, conn)
    send_more(conn)
  end,
  on_drain = send_more,
  on_data = function(_, data)
    if answer then problem = select(2, answer:write(data)) end
    if problem then fail("cannot write", options.receive, problem) end
  end,
  on_end = function(conn) -- the server sends no more; it may still read, so go on
    server_ended = true
    if all_queued then conn:close() end
  end,
  on_close = function(conn, err)
    if not timer then return fail("cannot connect to " .. options.url, err or "stopped") end
    timer:cancel()
    if err or not all_queued then return fail("cannot send all to " .. options.url, err or "stopped") end
    progress(conn)
  end,
})
if not conn then fail(message) end
