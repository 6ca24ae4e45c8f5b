---@meta portico
-- Types of everything that Portico's C core gives to scripts, for the Lua language server (LuaLS): add the folder
-- lua/ to "workspace.library". This file is never run. lua/README.md is the same in prose.

---Failures that a script can expect return nil, a message for people and one of these; wrong argument types raise.
---@alias portico.Code
---| "EINVAL" # invalid argument, for instance an address that is none
---| "ENOMEM"
---| "ENOBUFS"
---| "EMFILE" # out of file descriptors
---| "ECLOSED" # the connection is closed or closing
---| "ECANCELED"
---| "ETIMEDOUT"
---| "EADDRINUSE"
---| "EADDRNOTAVAIL"
---| "EACCES"
---| "EAFNOSUPPORT"
---| "ECONNREFUSED"
---| "ECONNRESET"
---| "ECONNABORTED"
---| "EHOSTUNREACH"
---| "ENETUNREACH"
---| "ENOTCONN"
---| "ESHUTDOWN" # conn:shutdown() was called before
---| "EPIPE"
---| "ENAME" # host name not known
---| "ENOTSUP"
---| "EIO"
---| "ESCRIPT" # a handler of the connection raised an error
---| "ELIMIT" # more than send_limit bytes were queued, or the handler used up its time
---| "EUNKNOWN"

---@class portico
---@field version string "major.minor.patch"
---@field vm portico.VM
local portico = {}

---The Lua state that runs this code. A script runs in `count` of them; a connection stays in one.
---@class portico.VM
---@field id integer 1 for the first
---@field count integer

---What happens to a connection. All are optional. They run one at a time in a VM, never inside a call of yours.
---@class portico.Handlers
---@field on_open? fun(conn: portico.Connection) accepted, or connected
---@field on_data? fun(conn: portico.Connection, data: string) bytes came, at most recv_max
---@field on_end? fun(conn: portico.Connection) the peer sends no more; without it: finish the sends, close
---@field on_drain? fun(conn: portico.Connection) a send returned false, and most of it has left by now
---@field on_close? fun(conn: portico.Connection, err: string?, code: portico.Code?) the end; no err: an orderly one
---@field recv_max? integer largest piece given to on_data, default 65536
---@field send_high? integer queued bytes above which send returns false, default 262144
---@field recv_pause? boolean above send_high nothing is received; default true for listen, false for connect
---@field send_limit? integer queued bytes above which the connection is aborted with ELIMIT, default 16 MiB
---@field send_buffer? integer size of the kernel's send buffer; default: the kernel's own choice
---@field recv_buffer? integer size of the kernel's receive buffer; default: the kernel's own choice
---@field nodelay? boolean send small pieces at once (no Nagle delay), default true

---@class portico.ListenHandlers : portico.Handlers
---@field backlog? integer connections that may wait to be accepted
---@field reuse_port? boolean a socket for each VM, others may listen there too; default false; not on Windows

---@class portico.Listener
---@field url string its address, with the real port where port 0 was asked for
local Listener = {}

---Stops accepting in this VM. Connections stay. With reuse_port those that wait to be accepted here are lost.
function Listener:close() end

---@class portico.Connection
---@field id integer unique in this run of the program
---@field peer string address of the other end, such as "tcp://127.0.0.1:4000"; known from on_open on
---@field local string? address of this end, nil in on_close; `local` is a keyword, so write conn["local"], or conn.own
---@field own string? the same as conn["local"]; nil in on_close
---@field data any yours; nil at first
---@field pending integer bytes that are queued and have not left
---@field [string] any all other fields are yours, too
local Connection = {}

---Queues bytes; they leave in the order of the calls. Never blocks.
---@param data string
---@param ... string
---@return boolean? below false: queued, but more than send_high waits now; on_drain will be called. nil: failed
---@return string? err
---@return portico.Code? code "ECLOSED" once the connection is closed or closing
function Connection:send(data, ...) end

---Ends our direction once the queued bytes have left; the peer may go on sending.
function Connection:shutdown() end

---Closes once the queued bytes have left.
function Connection:close() end

---Closes at once: queued bytes are dropped and the peer sees a reset.
function Connection:abort() end

---Accepts connections at an address. VMs that listen on the same address share one socket, unless all of
---them say reuse_port.
---@param url string "tcp://HOST:PORT"; port 0 is any free one
---@param handlers portico.ListenHandlers
---@return portico.Listener? listener
---@return string? err
---@return portico.Code? code
function portico.listen(url, handlers) end

---Connects to an address. A failure that shows later calls on_close without on_open before it.
---@param url string "tcp://HOST:PORT"
---@param handlers portico.Handlers
---@return portico.Connection? conn
---@return string? err
---@return portico.Code? code
function portico.connect(url, handlers) end

---@class portico.Timer
local Timer = {}

---The function will not be called any more. Cancelling twice is fine.
function Timer:cancel() end

---Calls a function once, after a time.
---@param seconds number
---@param fn fun(...)
---@param ... any given to fn
---@return portico.Timer
function portico.after(seconds, fn, ...) end

---Calls a function again and again.
---@param seconds number
---@param fn fun(...)
---@param ... any given to fn
---@return portico.Timer
function portico.every(seconds, fn, ...) end

---Seconds on a clock that only goes forward; only differences mean something.
---@return number
function portico.now() end

---Writes to the log of the program.
---@param level "debug"|"info"|"warn"|"error"
---@param ... any put together as print does
function portico.log(level, ...) end

---Ends the program at once, all connections with it.
---@param code? integer exit code, default 0
function portico.stop(code) end

---Calls a function with what the embedding C program posts to a topic (portico_post).
---@param topic string
---@param fn fun(data: string, topic: string)
function portico.subscribe(topic, fn) end

return portico
