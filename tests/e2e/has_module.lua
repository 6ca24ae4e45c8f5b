-- Exit code 0 if a Lua module can be loaded.   portico run tests/e2e/has_module.lua NAME
require(...)
