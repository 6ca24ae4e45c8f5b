/* simulation_test.c - portico.simulation, used by a script in its main chunk as a test would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "os/clock.h"
#include "os/sim.h"
#include "portico.h"

/* What the scripts below have in common: a program that echoes on port 7000, and its client. */
static const char prelude[] =
    "local simulation = require 'portico.simulation'\n"
    "local faults = {delay = 0.3, split = 0.3, short_send = 0.3, again = 0.2, spurious = 0.1, shuffle = 0.3,\n"
    "  stall = 0.01}\n"
    "local echo = [[local portico = require 'portico'\n"
    "  portico.listen('tcp://127.0.0.1:7000', {on_data = function(c, data) c:send(data) end,\n"
    "    on_end = function(c) portico.log('info', 'end') c:close() end,\n"
    "    on_close = function(c, why) portico.log('info', 'closed ' .. tostring(why)) end})]]\n"
    "local function equal(got, wanted)\n"
    "  if got ~= wanted then error(tostring(got) .. ' instead of ' .. tostring(wanted), 2) end\n"
    "end\n"
    "local function open(options, text, vms)\n"
    "  local s = assert(simulation.open(options))\n"
    "  assert(s:load_text('program.lua', text or echo, {'one', 2}, {vms = vms}))\n"
    "  return s\n"
    "end\n"
    "local function turn_until(s, done)\n" /* turns until done() is true, or fails after a virtual minute */
    "  local till = s:now() + 60\n"
    "  while not done() do\n"
    "    s:turn(0.001)\n"
    "    if s:now() > till then error('nothing happens', 2) end\n"
    "  end\n"
    "end\n"
    "local function connect(s)\n"
    "  local c = assert(s:connect('127.0.0.1', 7000))\n"
    "  turn_until(s, function() return assert(c:connected() ~= nil, 'refused') and c:connected() end)\n"
    "  return c\n"
    "end\n"
    "local function exchange(s, c, data)\n" /* sends data, and receives as much */
    "  local back, sent = '', 0\n"
    "  turn_until(s, function()\n"
    "    sent = sent + assert(c:send(data:sub(sent + 1)))\n"
    "    local piece, why = c:receive()\n"
    "    if not piece then equal(why, 'EAGAIN') end\n"
    "    back = back .. (piece or '')\n"
    "    return #back >= #data\n"
    "  end)\n"
    "  return back\n"
    "end\n"
    "local function logged(s, pattern)\n"
    "  for _, r in ipairs(s:take_log()) do if r.text:find(pattern) then return r end end\n"
    "end\n"
    "local function close(s)\n"
    "  local rest = s:close()\n"
    "  equal(rest.sockets, 0) equal(rest.pending, 0)\n"
    "end\n"
    "local function fails(pattern, f, ...)\n"
    "  local ok, why = pcall(f, ...)\n"
    "  equal(ok, false)\n"
    "  if not tostring(why):find(pattern, 1, true) then error('it says: ' .. tostring(why), 2) end\n"
    "end\n";

/* Runs the script in a host of its own; an error in it fails the test. */
static void run(const char *script) {
  char           text[16 * 1024];
  portico_config config = PORTICO_CONFIG_DEFAULT;
  portico_host  *h = NULL;
  config.vms = 1;
  config.workers = 1;
  assert_true(snprintf(text, sizeof text, "%s\n%s", prelude, script) < (int)sizeof text);
  assert_int_equal(portico_open(&config, &h), 0);
  int  err = portico_load_string(h, "test.lua", text, strlen(text), 0, NULL);
  bool simulated = false;
  if (err == 0) err = portico_start(h);
  simulated = os_sim_here() != NULL;
  if (err == 0) err = portico_wait(h, NULL);
  char why[2048];
  snprintf(why, sizeof why, "%s", portico_last_error(h));
  portico_close(h);
  if (err < 0) fail_msg("%s: %s", portico_error_name(err), why);
  assert_false(simulated);
}

/* ---- the program ---- */

static void an_echo_comes_back(void **state) {
  (void)state;
  run("local s = open({seed = 7})\n"
      "equal(#s:listening(), 1) equal(s:listening()[1], 'tcp://127.0.0.1:7000')\n"
      "local c = connect(s)\n"
      "equal(exchange(s, c, 'hello'), 'hello')\n"
      "close(s)");
}

static void bytes_that_come_in_parts_are_all_echoed(void **state) {
  (void)state;
  run("local s = open({seed = 3, rates = faults, buffer = 50})\n"
      "local c = connect(s)\n"
      "local data = ('0123456789'):rep(200)\n"
      "equal(exchange(s, c, data), data)\n"
      "close(s)");
}

static void the_script_gets_its_arguments_and_options(void **state) {
  (void)state;
  run("local s = open({}, [[local portico = require 'portico'\n"
      "  local one, two = ... portico.log('info', arg[0], one, two, portico.vm.count)\n"
      "  portico.subscribe('x', print)]], 2)\n"
      "local r = logged(s, 'program.lua\\tone\\t2\\t2')\n"
      "equal(r.level, 'info') equal(r.vm, 1)\n"
      "close(s)");
}

static void a_script_with_an_error_is_reported(void **state) {
  (void)state;
  run("local s = assert(simulation.open{})\n"
      "local ok, why, code = s:load_text('bad.lua', 'x = = 1')\n"
      "equal(ok, nil) assert(why:find('bad.lua:1:', 1, true), why) equal(code, 'ESCRIPT')\n"
      "ok, why = s:load_text('raises.lua', \"require 'portico'.listen('tcp://127.0.0.1:1', {}) error('no')\")\n"
      "equal(ok, nil) assert(why:find('raises.lua:1: no', 1, true), why)\n"
      "ok, why, code = s:load('/no/such/file.lua')\n"
      "equal(ok, nil) assert(why:find('/no/such/file.lua', 1, true), why) equal(code, 'ENOFILE')\n"
      "equal(s:turn(1), 'ended')\n"
      "assert(s:load_text('good.lua', echo)) equal(#s:listening(), 1)\n"
      "ok, why, code = s:load_text('another.lua', echo) equal(ok, nil) equal(code, 'EBUSY')\n"
      "close(s)");
}

static void an_error_in_a_handler_is_in_the_log(void **state) {
  (void)state;
  run("local s = open({}, [[local portico = require 'portico'\n"
      "  portico.listen('tcp://127.0.0.1:7000', {on_data = function(c, data) error('cannot bear ' .. data) end})]])\n"
      "local c = connect(s)\n"
      "equal(c:send('it'), 2)\n"
      "local r\n"
      "turn_until(s, function() r = logged(s, 'cannot bear it') return r end)\n"
      "equal(r.level, 'error') equal(r.vm, 1) assert(r.text:find('on_data of', 1, true), r.text)\n"
      "equal(#s:take_log(), 0)\n"
      "close(s)");
}

static void a_program_that_ends_can_be_followed_by_another(void **state) {
  (void)state;
  run("local s = open({}, \"require 'portico'.after(1, function() end)\")\n"
      "local states = {}\n"
      "repeat states[#states + 1] = s:turn(10) until states[#states] == 'ended'\n"
      "equal(states[1], 'ran')\n"
      "local before = s:now() equal(s:turn(5), 'ended') assert(s:now() >= before + 5)\n"
      "assert(s:load_text('program.lua', echo))\n"
      "equal(exchange(s, connect(s), 'again'), 'again')\n"
      "close(s)");
}

/* ---- time ---- */

static void an_hour_passes_at_once(void **state) {
  int64_t begun_ns = os_clock_now();
  (void)state;
  run("local s = open({}, [[local portico = require 'portico'\n"
      "  local begun = portico.now()\n"
      "  portico.after(3600, function() portico.log('info', ('%.3f'):format(portico.now() - begun)) end)\n"
      "  portico.listen('tcp://127.0.0.1:7000', {})]])\n"
      "while s:turn(0) == 'ran' do end\n"
      "equal(s:turn(3599), 'waited')\n"
      "equal(logged(s, '3600.'), nil)\n"
      "equal(s:turn(3599), 'ran')\n"
      "assert(logged(s, '^3600.000'))\n"
      "equal(s:turn(1), 'waited')\n"
      "close(s)");
  assert_true(os_clock_now() - begun_ns < 60LL * OS_NS_PER_S);
}

static void a_turn_moves_time_no_further_than_it_may(void **state) {
  (void)state;
  run("local s = open({})\n"
      "while s:turn(0) ~= 'waited' do end\n"
      "local before = s:now()\n"
      "equal(s:turn(2.5), 'waited')\n"
      "local passed = s:now() - before\n"
      "assert(passed >= 2.5 and passed < 2.51, passed)\n"
      "close(s)");
}

static void time_does_not_pass_by_what_arrives_at_a_client(void **state) {
  (void)state;
  run("local s = open({rates = {delay = 1}, delay_max = 0.5}, echo .. ' portico.after(60, portico.stop)')\n"
      "local c = assert(s:connect('127.0.0.1', 7000))\n"
      "local begun, back, sent = s:now(), nil, false\n"
      "while not back do\n"
      "  equal(s:turn(3600) ~= 'ended', true)\n"
      "  sent = sent or c:connected() and c:send('x') == 1\n"
      "  back = sent and c:receive()\n"
      "end\n"
      "local took = s:now() - begun\n"
      "assert(took > 0.001 and took < 5, took)\n"
      "close(s)");
}

static void a_long_wait_ends_when_the_kernel_has_sent_more(void **state) {
  (void)state;
  run("local s = open({buffer = 4096}, [[local portico = require 'portico'\n"
      "  portico.listen('tcp://127.0.0.1:7000', {on_data = function(c) c:send(('x'):rep(100000)) end})]])\n"
      "local c = connect(s)\n"
      "equal(c:send('go'), 2)\n"
      "local till, got = s:now() + 1, 0\n"
      "while got < 100000 and s:now() < till do\n"
      "  s:turn(1)\n"
      "  got = got + #(c:receive() or '')\n"
      "end\n"
      "equal(got, 100000)\n"
      "close(s)");
}

static void bytes_still_arrive_when_the_program_has_ended(void **state) {
  (void)state;
  run("local s = open({rates = {delay = 1}, delay_max = 0.5}, [[local portico = require 'portico'\n"
      "  local l\n"
      "  local function on_open(c) l:close() c:send('bye') c:close() end\n"
      "  l = portico.listen('tcp://127.0.0.1:7000', {on_open = on_open})]])\n"
      "local c = assert(s:connect('127.0.0.1', 7000))\n"
      "local got, did = '', ''\n"
      "turn_until(s, function()\n"
      "  did = s:turn(1)\n"
      "  local data, why = c:receive()\n"
      "  got = got .. (data or '')\n"
      "  return why == 'END'\n"
      "end)\n"
      "equal(got, 'bye')\n"
      "c:close() turn_until(s, function() return s:turn(1) == 'ended' end)\n"
      "close(s)");
}

static void what_is_overdue_when_the_program_has_ended_does_not_hold_the_clock(void **state) {
  (void)state;
  run("local s = open({rates = {delay = 1}, delay_max = 0.5}, echo .. ' portico.after(1, portico.stop)')\n"
      "local c = connect(s)\n"
      "repeat c:send('x') until s:turn(0.1) == 'ended'\n"
      "local begun = s:now()\n"
      "for _ = 1, 100 do s:turn(1) end\n"
      "assert(s:now() > begun + 50, s:now() - begun)\n"
      "close(s)");
}

/* ---- clients ---- */

static void a_connect_to_nobody_is_refused(void **state) {
  (void)state;
  run("local s = open({})\n"
      "local c, why, code = s:connect('127.0.0.1', 7001)\n"
      "while c do\n"
      "  local is is, why, code = c:connected()\n"
      "  if is == nil then break end\n"
      "  equal(is, false) equal(c:send('x'), 0) equal(select(2, c:receive()), 'EAGAIN') s:turn(0.001)\n"
      "end\n"
      "equal(code, 'ECONNREFUSED') equal(type(why), 'string')\n"
      "equal(select(3, s:connect('no.such.name', 1)), 'ENAME')\n"
      "close(s)");
}

static void the_program_sees_the_end_and_the_client_sees_its(void **state) {
  (void)state;
  run("local s = open({})\n"
      "local c = connect(s)\n"
      "equal(exchange(s, c, 'last'), 'last')\n"
      "equal(c:finish(), true)\n"
      "local log = ''\n"
      "turn_until(s, function() for _, r in ipairs(s:take_log()) do log = log .. r.text .. ';' end\n"
      "  return log:find('closed', 1, true) end)\n"
      "assert(log:find('end;.*closed'), log)\n"
      "turn_until(s, function() local data, why = c:receive() equal(data, nil) return why == 'END' end)\n"
      "equal(c:close(), true)\n"
      "equal(select(3, c:close()), 'ECLOSED') equal(select(3, c:send('x')), 'ECLOSED')\n"
      "equal(select(3, c:receive()), 'ECLOSED') equal(select(3, c:connected()), 'ECLOSED')\n"
      "close(s)");
}

static void the_program_sees_a_reset(void **state) {
  (void)state;
  run("local s = open({})\n"
      "local c = connect(s)\n"
      "exchange(s, c, 'x')\n"
      "equal(c:reset(), true)\n"
      "local r turn_until(s, function() r = logged(s, '^closed') return r end)\n"
      "assert(r.text:find('reset', 1, true), r.text)\n"
      "close(s)");
}

static void the_client_sees_a_reset(void **state) {
  (void)state;
  run("local s = open({}, [[local portico = require 'portico'\n"
      "  portico.listen('tcp://127.0.0.1:7000', {on_data = function(c) error('no') end})]])\n"
      "local c = connect(s)\n"
      "equal(c:send('x'), 1)\n"
      "local data, why, code\n"
      "turn_until(s, function() data, why, code = c:receive() return why ~= 'EAGAIN' end)\n"
      "assert(why == 'END' or code == 'ECONNRESET', why)\n"
      "close(s)");
}

static void a_client_that_does_not_read_finds_no_room_at_last(void **state) {
  (void)state;
  run("local s = open({buffer = 1000})\n"
      "local c = connect(s)\n"
      "local sent = 0\n"
      "turn_until(s, function() local n = assert(c:send(('x'):rep(4000))) sent = sent + n return n == 0 end)\n"
      "assert(sent >= 1000 and sent < 4000000, sent)\n"
      "close(s)");
}

/* ---- the same again ---- */

static void equal_seeds_make_equal_runs(void **state) {
  (void)state;
  run("local function life(seed)\n"
      "  local s = open({seed = seed, rates = faults}, 'local r = math.random(1 << 40) ' .. echo ..\n"
      "    ' portico.log(\"info\", r) portico.every(0.01, function() portico.log(\"info\", portico.now()) end)', 2)\n"
      "  local c, d = connect(s), connect(s)\n"
      "  local lines = {exchange(s, c, ('ab'):rep(500)), exchange(s, d, 'cd'), s:now(), s:hash()}\n"
      "  for _, r in ipairs(s:take_log()) do lines[#lines + 1] = r.level .. r.vm .. r.text end\n"
      "  c:close() close(s)\n"
      "  return table.concat(lines, '\\n')\n"
      "end\n"
      "local seen, different = {}, 0\n"
      "for seed = 1, 50 do\n"
      "  local a, b = life(seed), life(seed)\n"
      "  if a ~= b then error('seed ' .. seed .. ':\\n' .. a .. '\\n---\\n' .. b) end\n"
      "  if not seen[a] then seen[a] = true different = different + 1 end\n"
      "end\n"
      "equal(different, 50)");
}

static void nothing_is_left_whatever_goes_wrong(void **state) {
  (void)state;
  run("local bad = {delay = 0.3, split = 0.3, short_send = 0.3, again = 0.2, reset = 0.02, refuse = 0.1,\n"
      "  descriptors = 0.05, buffers = 0.05, memory = 0.05}\n"
      "for seed = 1, 80 do\n" /* every second one with workers */
      "  bad.preempt = seed % 2 * 0.3\n"
      "  local s = assert(simulation.open{seed = seed, rates = bad})\n"
      "  local ok, why = s:load_text('program.lua', echo, {}, {vms = 1 + seed % 3, workers = seed % 2 * (seed % 5)})\n"
      "  for i = 1, ok and 5 or 0 do\n"
      "    local c = s:connect('localhost', 7000)\n"
      "    for _ = 1, 20 do\n"
      "      if c then c:send('some bytes') c:receive(3) end\n"
      "      s:turn(0.001)\n"
      "    end\n"
      "    if c and i % 2 == 0 then c:close() end\n"
      "  end\n"
      "  close(s)\n"
      "end");
}

static void rates_change_while_it_runs(void **state) {
  (void)state;
  run("local s = open({})\n"
      "s:rates{refuse = 1}\n"
      "local c = s:connect('127.0.0.1', 7000)\n"
      "while c do\n"
      "  local is, _, code = c:connected()\n"
      "  if is == nil then equal(code, 'ECONNREFUSED') break end\n"
      "  s:turn(1)\n"
      "end\n"
      "s:rates{refuse = 0, delay = 1}\n"
      "equal(exchange(s, connect(s), 'x'), 'x')\n"
      "close(s)");
}

static void trouble_with_accepting_is_told_at_its_beginning_and_its_end(void **state) {
  (void)state;
  run("local s <close> = open({})\n"
      "local c = assert(s:connect('127.0.0.1', 7000))\n"
      "s:rates({descriptors = 1})\n"
      "for _ = 1, 10 do s:turn(0.1) end\n"
      "assert(logged(s, 'cannot accept'))\n"
      "s:rates({descriptors = 0})\n"
      "for _ = 1, 200 do s:turn(0.1) end\n"
      "assert(exchange(s, c, 'x') == 'x')\n"
      "exchange(s, connect(s), 'y')\n"
      "assert(logged(s, 'accepting again'))");
}

static void only_listeners_that_are_open_are_listed(void **state) {
  (void)state;
  run("local s <close> = open({}, [[local portico = require 'portico'\n"
      "  local a = portico.listen('tcp://127.0.0.1:7001', {})\n"
      "  portico.listen('tcp://127.0.0.1:7002', {}) portico.listen('tcp://127.0.0.1:7003', {})\n"
      "  portico.after(1, a.close, a)]])\n"
      "equal(#s:listening(), 3)\n"
      "turn_until(s, function() return #s:listening() == 2 end)\n"
      "equal(#s:listening(), 2) equal(s:listening()[1], 'tcp://127.0.0.1:7002')");
}

static void a_simulated_network_knows_only_localhost(void **state) {
  (void)state;
  run("local s <close> = open({}, [[local portico = require 'portico'\n"
      "  portico.listen('tcp://localhost:7000', {on_open = function(c) c:send('here') end})\n"
      "  local function tell(_, why, code) portico.log('info', 'closed ' .. tostring(code)) end\n"
      "  portico.connect('tcp://elsewhere:7000', {on_close = tell})\n"
      "  portico.connect('tcp://localhost:7000', {on_data = function(_, d) portico.log('info', 'got ' .. d) end})]])\n"
      "for _ = 1, 20 do s:turn(0.1) end\n"
      "local texts = {} for _, r in ipairs(s:take_log()) do texts[#texts + 1] = r.text end\n"
      "texts = table.concat(texts, ' ')\n"
      "assert(texts:find('closed ENAME') and texts:find('got here'), texts)");
}

static void the_trace_tells_what_happens(void **state) {
  (void)state;
  run("local s = open({})\n"
      "local lines = {}\n"
      "s:trace(function(line) lines[#lines + 1] = line end)\n"
      "exchange(s, connect(s), 'x')\n"
      "assert(table.concat(lines, '\\n'):find('%d+%.%d+ s%d+ send 1'), table.concat(lines, '\\n'))\n"
      "s:trace(nil)\n"
      "local count = #lines s:turn(1) close(s) equal(#lines, count)");
}

/* ---- mistakes, and the end ---- */

static void unknown_names_and_numbers_out_of_range_are_errors(void **state) {
  (void)state;
  run("fails(\"unknown option 'sed' (there are: seed, \", simulation.open, {sed = 1})\n"
      "fails(\"rates: unknown option 'dely' (there are: delay, split\", simulation.open, {rates = {dely = 1}})\n"
      "fails('delay: a number from 0 to 1', simulation.open, {rates = {delay = 2}})\n"
      "fails('delay: a number from 0 to 1', simulation.open, {rates = {delay = -0.1}})\n"
      "fails('delay: a number from 0 to 1', simulation.open, {rates = {delay = 0/0}})\n"
      "fails('delay: a number from 0 to 1', simulation.open, {rates = {delay = {}}})\n"
      "fails('seed: an integer', simulation.open, {seed = 'x'})\n"
      "fails('buffer: an integer from 1', simulation.open, {buffer = 0})\n"
      "fails('buffer: an integer from 1', simulation.open, {buffer = 1 << 40})\n"
      "fails('unknown option', simulation.open, {[1] = 1})\n"
      "local s <close> = open({})\n"
      "fails(\"unknown option 'vm' (there are: vms, workers)\", s.load_text, s, 'x', '', {}, {vm = 1})\n"
      "fails('unknown option', s.rates, s, {delays = 1})\n"
      "fails('seconds', s.turn, s, -1)\n"
      "fails('a port number', s.connect, s, 'localhost', 0)");
}

static void a_closed_simulation_says_so(void **state) {
  (void)state;
  run("local s = open({}) local c = connect(s)\n"
      "close(s)\n"
      "for _, name in ipairs{'turn', 'now', 'listening', 'hash'} do fails('closed', s[name], s) end\n"
      "equal(select(3, c:send('x')), 'ECLOSED') equal(select(3, c:close()), 'ECLOSED')\n"
      "equal(s:close().sockets, 0)\n"
      "assert(#s:take_log() > 0)");
}

static void a_program_may_stop_itself(void **state) {
  (void)state;
  run("for _, stop in ipairs{'portico.stop()', 'portico.after(1, portico.stop)'} do\n"
      "  for vms = 1, 3 do\n"
      "    local s = open({}, echo .. ' portico.subscribe(\"x\", print) ' .. stop, vms)\n"
      "    while s:turn(1) ~= 'ended' do end\n"
      "    close(s)\n"
      "  end\n"
      "end");
}

/* Four states on three threads. */
static void a_program_may_have_workers_and_its_runs_are_repeated(void **state) {
  (void)state;
  run("local program = [[local portico = require 'portico'\n"
      "  portico.listen('tcp://127.0.0.1:7000', {on_data = function(c, d)\n"
      "    portico.log('info', portico.vm.id .. ' heard ' .. d .. ' at ' .. portico.now())\n"
      "    c:send(d)\n"
      "  end})]]\n"
      "local function life(seed)\n"
      "  local s = assert(simulation.open{seed = seed, rates = {preempt = 0.3, delay = 0.3, shuffle = 0.3}})\n"
      "  assert(s:load_text('program.lua', program, {}, {vms = 4, workers = 3}))\n"
      "  local all, heard = {}, {}\n"
      "  for i = 1, 4 do all[i] = connect(s) end\n"
      "  for _, c in ipairs(all) do equal(c:send('x'), 1) end\n"
      "  for i = 1, 12 do\n"
      "    local c, got = all[i % 4 + 1], nil\n"
      "    turn_until(s, function() got = c:receive() return got end)\n"
      "    equal(got, 'x') equal(c:send('x'), 1)\n"
      "  end\n"
      "  for _, r in ipairs(s:take_log()) do heard[#heard + 1] = r.text end\n"
      "  local hash = s:hash()\n"
      "  close(s)\n"
      "  return hash .. table.concat(heard, '\\n')\n"
      "end\n"
      "local lives, different = {}, 0\n"
      "for seed = 1, 30 do\n"
      "  local one = life(seed)\n"
      "  equal(life(seed), one)\n"
      "  different = different + (lives[one] and 0 or 1) lives[one] = true\n"
      "end\n"
      "equal(different, 30)");
}

static void workers_run_on_when_nobody_is_connected_and_end_with_the_program(void **state) {
  (void)state;
  run("local s = assert(simulation.open{seed = 5, rates = {preempt = 0.2}})\n"
      "local text = \"local p = require 'portico' local n = 0 p.every(1, function() n = n + 1 \" ..\n"
      "  \"if n == 10 then p.stop(3) end p.log('info', n) end)\"\n"
      "assert(s:load_text('program.lua', text, {}, {vms = 2, workers = 2}))\n"
      "local begun, ran = s:now(), 0\n"
      "while true do\n"
      "  local did = s:turn(100)\n"
      "  if did == 'ended' then break end\n"
      "  if did == 'ran' then ran = ran + 1 end\n"
      "end\n"
      "local took = s:now() - begun assert(took > 9.9 and took < 120, took)\n"
      "assert(ran >= 10, ran)\n"
      "close(s)\n"
      "s = assert(simulation.open{})\n"
      "assert(s:load_text('program.lua', echo, {}, {workers = 4})) close(s)");
}

static void what_is_forgotten_is_collected(void **state) {
  (void)state;
  run("for seed = 1, 20 do\n"
      "  local s = open({seed = seed}) local c = connect(s) c:send('x')\n"
      "  if seed % 2 == 0 then s = nil end\n"
      "  collectgarbage()\n"
      "end\n"
      "local kept = open({}) connect(kept)"); /* the state closes with one open */
}

static void a_client_says_how_it_is(void **state) {
  (void)state;
  run("local s = assert(simulation.open{rates = {delay = 1}})\n"
      "equal(#s:listening(), 0)\n"
      "assert(s:load_text('echo.lua', echo))\n"
      "local c = assert(s:connect('127.0.0.1', 1))\n"
      "local function ends(code, ok, why, is) equal(ok, nil) equal(is, code) end\n"
      "while c:connected() == false do s:turn(1) end\n"
      "ends('ECONNREFUSED', c:connected())\n"
      "ends('ENOTCONN', c:finish())\n"
      "fails('out of range', c.receive, c, 1 << 40)\n"
      "assert(tostring(c):find('(open)', 1, true))\n"
      "c:close()\n"
      "assert(tostring(c):find('(closed)', 1, true))\n"
      "for _, f in ipairs{'connected', 'receive', 'finish', 'close', 'reset'} do ends('ECLOSED', c[f](c)) end\n"
      "ends('ECLOSED', c:send('x'))\n"
      "close(s)");
}

static void listeners_that_share_an_address_are_listed_once(void **state) {
  (void)state;
  run("local s = open({}, [[require 'portico'.listen('tcp://127.0.0.1:7000', {reuse_port = true})]], 2)\n"
      "equal(#s:listening(), 1)\n"
      "close(s)");
}

/* Not of simulations: what Lua itself refuses in a program of ours. */
static void what_is_too_much_is_an_error(void **state) {
  (void)state;
  run("fails('not enough memory', string.rep, 'x', 1000000000)\n"
      "fails('string expected', os.execute, {})\n"
      "local many = table.pack(table.unpack({}, 1, 600000))\n"
      "local co = coroutine.create(function(...) coroutine.yield() end)\n"
      "assert(coroutine.resume(co, table.unpack(many, 1, many.n)))\n"
      "local ok, why = coroutine.resume(co, table.unpack(many, 1, many.n))\n"
      "equal(ok, false) equal(why, 'too many arguments to resume')\n"
      "local wrapped = coroutine.wrap(function(...) coroutine.yield() end)\n"
      "wrapped(table.unpack(many, 1, many.n))\n"
      "ok, why = pcall(wrapped, table.unpack(many, 1, many.n))\n"
      "equal(ok, false) assert(why:find('too many arguments to resume', 1, true))\n"
      "wrapped = coroutine.wrap(function() end)\n"
      "wrapped()\n"
      "fails('cannot resume dead coroutine', wrapped)\n"
      "local function resume(...) return coroutine.resume(coroutine.create(function()\n"
      "  coroutine.yield(table.unpack(many, 1, many.n)) end)) end\n"
      "ok, why = (function(...) local a, b = resume() return a, b end)(table.unpack(many, 1, many.n))\n"
      "equal(ok, false) equal(why, 'too many results to resume')\n");
}

static void two_simulations_do_not_meet(void **state) {
  (void)state;
  run("local a, b = open({seed = 1}), open({seed = 2})\n"
      "local c, d = connect(a), connect(b)\n"
      "while a:turn(100) == 'ran' do end assert(a:now() > b:now() + 50)\n"
      "equal(exchange(b, d, 'b'), 'b') equal(exchange(a, c, 'a'), 'a')\n"
      "close(b) equal(exchange(a, c, 'a'), 'a') close(a)");
}

static void a_simulated_program_can_simulate(void **state) {
  (void)state;
  run("local s = open({}, [[local portico = require 'portico'\n"
      "  local s = assert(require 'portico.simulation'.open{})\n"
      "  assert(s:load_text('inner.lua', \"require 'portico'.after(10, print)\"))\n"
      "  assert(s:turn(5) == 'waited')\n"
      "  assert(s:close().sockets == 0)\n"
      "  portico.listen('tcp://127.0.0.1:7000', {on_data = function(c, d) c:send(d) end})]])\n"
      "equal(exchange(s, connect(s), 'outer'), 'outer')\n"
      "close(s)");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_echo_comes_back),
      cmocka_unit_test(bytes_that_come_in_parts_are_all_echoed),
      cmocka_unit_test(the_script_gets_its_arguments_and_options),
      cmocka_unit_test(a_script_with_an_error_is_reported),
      cmocka_unit_test(an_error_in_a_handler_is_in_the_log),
      cmocka_unit_test(a_program_that_ends_can_be_followed_by_another),
      cmocka_unit_test(an_hour_passes_at_once),
      cmocka_unit_test(a_turn_moves_time_no_further_than_it_may),
      cmocka_unit_test(time_does_not_pass_by_what_arrives_at_a_client),
      cmocka_unit_test(a_long_wait_ends_when_the_kernel_has_sent_more),
      cmocka_unit_test(bytes_still_arrive_when_the_program_has_ended),
      cmocka_unit_test(what_is_overdue_when_the_program_has_ended_does_not_hold_the_clock),
      cmocka_unit_test(a_connect_to_nobody_is_refused),
      cmocka_unit_test(the_program_sees_the_end_and_the_client_sees_its),
      cmocka_unit_test(the_program_sees_a_reset),
      cmocka_unit_test(the_client_sees_a_reset),
      cmocka_unit_test(a_client_that_does_not_read_finds_no_room_at_last),
      cmocka_unit_test(equal_seeds_make_equal_runs),
      cmocka_unit_test(nothing_is_left_whatever_goes_wrong),
      cmocka_unit_test(rates_change_while_it_runs),
      cmocka_unit_test(trouble_with_accepting_is_told_at_its_beginning_and_its_end),
      cmocka_unit_test(only_listeners_that_are_open_are_listed),
      cmocka_unit_test(a_simulated_network_knows_only_localhost),
      cmocka_unit_test(the_trace_tells_what_happens),
      cmocka_unit_test(unknown_names_and_numbers_out_of_range_are_errors),
      cmocka_unit_test(a_closed_simulation_says_so),
      cmocka_unit_test(a_program_may_stop_itself),
      cmocka_unit_test(a_program_may_have_workers_and_its_runs_are_repeated),
      cmocka_unit_test(workers_run_on_when_nobody_is_connected_and_end_with_the_program),
      cmocka_unit_test(what_is_forgotten_is_collected),
      cmocka_unit_test(a_client_says_how_it_is),
      cmocka_unit_test(listeners_that_share_an_address_are_listed_once),
      cmocka_unit_test(what_is_too_much_is_an_error),
      cmocka_unit_test(two_simulations_do_not_meet),
      cmocka_unit_test(a_simulated_program_can_simulate),
  };
  return cmocka_run_group_tests_name("simulation", tests, NULL, NULL);
}
