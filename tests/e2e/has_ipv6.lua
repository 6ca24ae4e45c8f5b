-- Exit code 0 if this machine can listen on the IPv6 loopback address; else 1, and why.
local portico = require "portico"
local listener, message = portico.listen("tcp://[::1]:0", {})
if listener then listener:close() else print(message) end
portico.stop(listener and 0 or 1)
