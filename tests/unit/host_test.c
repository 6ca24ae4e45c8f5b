/* host_test.c - the public API, as a program that embeds us uses it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#ifndef _WIN32
#include <sys/resource.h>
#endif

#include "folder.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/socket.h"
#include "os/thread.h"
#include "portico.h"

static const int64_t patience_ns = 60LL * OS_NS_PER_S; /* far beyond what any test needs */
static const int64_t glance_ns = OS_NS_PER_MS;

enum { RECORDS = 64, RECORD_BYTES = 600 };

/* What was logged; every record is an event for the test. */
typedef struct diary {
  os_mutex           lock;
  os_event           news;
  int                count;
  portico_log_record records[RECORDS]; /* text points into texts */
  char               texts[RECORDS][RECORD_BYTES];
} diary;

typedef struct fixture {
  portico_host *host, *second;
  diary         diary, second_diary;
  os_thread     dog; /* bites if a test never ends: a host that hangs cannot be taken down from outside */
  os_event      calm;
} fixture;

/* ---- the diary ---- */

static void note(const portico_log_record *record, void *arg) {
  diary *d = arg;
  os_mutex_lock(&d->lock);
  if (d->count < RECORDS) {
    d->records[d->count] = *record;
    strncpy(d->texts[d->count], record->text, RECORD_BYTES - 1);
    d->records[d->count].text = d->texts[d->count];
    d->count++;
  }
  os_mutex_unlock(&d->lock);
  os_event_set(&d->news);
}

/* The first record that contains text, or NULL. Records stay where they are. */
static const portico_log_record *look_up(diary *d, const char *text) {
  const portico_log_record *found = NULL;
  os_mutex_lock(&d->lock);
  for (int i = 0; i < d->count && found == NULL; i++) {
    if (strstr(d->texts[i], text) != NULL) found = &d->records[i];
  }
  os_mutex_unlock(&d->lock);
  return found;
}

/* Waits for a record that contains text; callable on any thread. result: NULL if there came none in time */
static const portico_log_record *await(diary *d, const char *text) {
  for (int64_t end = os_clock_now() + patience_ns; os_clock_now() < end;) {
    const portico_log_record *found = look_up(d, text);
    if (found != NULL) return found;
    os_event_wait(&d->news, patience_ns / 10);
  }
  return NULL;
}

static int diary_open(diary *d) {
  os_mutex_init(&d->lock);
  return os_event_init(&d->news);
}

static void diary_close(diary *d) {
  os_event_fini(&d->news);
  os_mutex_fini(&d->lock);
}

/* ---- making and dropping ---- */

static void dog_watch(void *arg) {
  fixture *f = arg;
  if (os_event_wait(&f->calm, patience_ns)) return;
  fprintf(stderr, "a host hangs\n");
  abort();
}

static portico_config config_for(diary *d) {
  portico_config config = PORTICO_CONFIG_DEFAULT;
  config.concurrency = 2;
  config.workers = 3;
  config.vms = 3;
  config.log_level = PORTICO_LOG_DEBUG;
  config.log_fn = note;
  config.log_arg = d;
  return config;
}

static int make_host(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL || diary_open(&f->diary) < 0 || diary_open(&f->second_diary) < 0) return -1;
  if (os_event_init(&f->calm) < 0 || os_thread_start(&f->dog, dog_watch, f) < 0) return -1;
  portico_config config = config_for(&f->diary);
  *state = f;
  return portico_open(&config, &f->host);
}

static int drop_host(void **state) {
  fixture *f = *state;
  portico_close(f->host);
  portico_close(f->second);
  os_event_set(&f->calm);
  os_thread_join(&f->dog);
  os_event_fini(&f->calm);
  diary_close(&f->diary);
  diary_close(&f->second_diary);
  free(f);
  return 0;
}

static int load(portico_host *h, const char *script) {
  return portico_load_string(h, "test.lua", script, strlen(script), 0, NULL);
}

static void start(portico_host *h, const char *script) {
  int err = load(h, script);
  if (err == 0) err = portico_start(h);
  if (err < 0) fail_msg("%s: %s", portico_error_name(err), portico_last_error(h));
}

static int wait_for_exit_code(portico_host *h) {
  int code = -1;
  assert_int_equal(portico_wait(h, &code), 0);
  return code;
}

#define REQUIRE "local portico = require 'portico' "
#define LISTEN "local l = assert(portico.listen('tcp://127.0.0.1:0', {on_data = function(c, d) c:send(d) end})) "

/* ---- opening ---- */

static void info_tells_what_was_decided(void **state) {
  fixture     *f = *state;
  portico_info info;
  portico_get_info(f->host, &info);
  assert_non_null(info.backend);
  assert_int_equal(info.concurrency, 2);
  assert_int_equal(info.workers, 3);
  assert_int_equal(info.vms, 3);
  assert_int_equal(info.connections, 0);
  assert_int_equal(info.listeners, 0);
  assert_string_equal(portico_last_error(f->host), "");
}

static void the_default_config_fills_every_number_in(void **state) {
  fixture       *f = *state;
  portico_config config = PORTICO_CONFIG_DEFAULT;
  portico_info   info;
  assert_int_equal(portico_open(&config, &f->second), 0);
  portico_get_info(f->second, &info);
  assert_int_equal(info.concurrency, os_processors());
  assert_int_equal(info.workers, 2 * info.concurrency);
  assert_int_equal(info.vms, info.concurrency);
}

static void a_number_out_of_range_is_refused(void **state) {
  (void)state;
  portico_config configs[5];
  for (int i = 0; i < 5; i++) configs[i] = config_for(NULL);
  configs[0].concurrency = 1u << 30;
  configs[1].workers = 1u << 30;
  configs[2].vms = 1u << 30;
  configs[3].log_level = (portico_log_level)99;
  configs[4].budget_signal = -2;
  for (int i = 0; i < 5; i++) {
    portico_host *h = NULL;
    assert_int_equal(portico_open(&configs[i], &h), PORTICO_EINVAL);
    assert_null(h);
  }
}

static void opening_without_config_or_output_is_refused(void **state) {
  (void)state;
  portico_config config = PORTICO_CONFIG_DEFAULT;
  portico_host  *h = NULL;
  assert_int_equal(portico_open(NULL, &h), PORTICO_EINVAL);
  assert_int_equal(portico_open(&config, NULL), PORTICO_EINVAL);
  assert_null(h);
  assert_string_equal(portico_last_error(NULL), "");
}

static void a_folder_that_cannot_be_made_is_refused(void **state) {
  (void)state;
  portico_config config = config_for(NULL);
  portico_host  *h = NULL;
  config.record_dir = "no/such/folder";
  assert_int_equal(portico_open(&config, &h), PORTICO_ENOFILE);
  assert_null(h);
}

static void an_unknown_backend_is_not_supported(void **state) {
  (void)state;
  portico_config config = config_for(NULL);
  portico_host  *h = NULL;
  config.backend = "carrier pigeon";
  assert_int_equal(portico_open(&config, &h), PORTICO_ENOTSUP);
  assert_null(h);
}

static void the_backend_that_info_names_can_be_asked_for(void **state) {
  fixture     *f = *state;
  portico_info info, second;
  portico_get_info(f->host, &info);
  portico_config config = config_for(&f->second_diary);
  config.backend = info.backend;
  assert_int_equal(portico_open(&config, &f->second), 0);
  portico_get_info(f->second, &second);
  assert_string_equal(info.backend, second.backend);
}

static void a_host_closes_without_a_start(void **state) {
  fixture *f = *state;
  assert_int_equal(load(f->host, "error 'never run'"), 0);
}

static void closing_nothing_does_nothing(void **state) {
  (void)state;
  portico_close(NULL);
}

static void calls_without_a_host_are_refused(void **state) {
  (void)state;
  assert_int_equal(load(NULL, ""), PORTICO_EINVAL);
  assert_int_equal(portico_load_file(NULL, "x.lua", 0, NULL), PORTICO_EINVAL);
  assert_int_equal(portico_start(NULL), PORTICO_EINVAL);
  assert_int_equal(portico_wait(NULL, NULL), PORTICO_EINVAL);
  assert_int_equal(portico_hold(NULL, true), PORTICO_EINVAL);
  assert_int_equal(portico_post(NULL, "t", "", 0), PORTICO_EINVAL);
  assert_int_equal(portico_drain(NULL, 0), PORTICO_EINVAL);
  assert_int_equal(portico_stop(NULL, 0), PORTICO_EINVAL);
}

static void ignore_file(const char *path, void *arg) {
  (void)path, (void)arg;
}

static void calls_that_need_no_host_want_sense_too(void **state) {
  (void)state;
  assert_int_equal(portico_find_files(NULL, ".lua", ignore_file, NULL), PORTICO_EINVAL);
  assert_int_equal(portico_find_files(".", NULL, ignore_file, NULL), PORTICO_EINVAL);
  assert_int_equal(portico_find_files(".", ".lua", NULL, NULL), PORTICO_EINVAL);
  assert_int_equal(portico_stderr_offer(NULL, 1), 0);
}

#ifndef _WIN32
static void a_file_that_cannot_be_read_is_told(void **state) {
  fixture      *f = *state;
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  assert_int_equal(portico_load_file(f->host, "/dev/zero", 0, NULL), PORTICO_ELIMIT); /* it has no end */
  assert_int_equal(portico_load_file(f->host, "/dev/null/x.lua", 0, NULL), PORTICO_EIO);
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max});
  int err = portico_load_file(f->host, "/dev/null", 0, NULL);
  setrlimit(RLIMIT_NOFILE, &limit);
  assert_int_equal(err, PORTICO_EMFILE);
}
#endif

/* ---- loading ---- */

static void a_mistake_in_the_script_is_told_with_file_and_line(void **state) {
  fixture *f = *state;
  assert_int_equal(load(f->host, "local a = 1\nlocal b =\n= 2\n"), PORTICO_ESCRIPT);
  assert_non_null(strstr(portico_last_error(f->host), "test.lua:3:"));
}

static void after_a_failed_load_another_may_succeed(void **state) {
  fixture *f = *state;
  assert_int_equal(load(f->host, "]"), PORTICO_ESCRIPT);
  start(f->host, REQUIRE "portico.stop(9)");
  assert_int_equal(wait_for_exit_code(f->host), 9);
}

static void a_file_that_is_not_there_is_told_by_name(void **state) {
  fixture *f = *state;
  assert_int_equal(portico_load_file(f->host, "no/such/file.lua", 0, NULL), PORTICO_ENOFILE);
  assert_non_null(strstr(portico_last_error(f->host), "no/such/file.lua"));
}

static void bytecode_is_refused(void **state) {
  fixture         *f = *state;
  static const char plain[] = "\x1bLua\x54\0\x19\x93\r\n\x1a\n", hidden[] = "#!lua\n\x1bLua\x54\0\x19\x93\r\n\x1a\n";
  assert_int_equal(portico_load_string(f->host, "a.lua", plain, sizeof plain, 0, NULL), PORTICO_ESCRIPT);
  assert_non_null(strstr(portico_last_error(f->host), "a.lua: this is bytecode"));
  assert_int_equal(portico_load_string(f->host, "a.lua", hidden, sizeof hidden, 0, NULL), PORTICO_ESCRIPT);
}

static void a_second_load_is_refused(void **state) {
  fixture *f = *state;
  assert_int_equal(load(f->host, ""), 0);
  assert_int_equal(load(f->host, ""), PORTICO_EBUSY);
  assert_string_not_equal(portico_last_error(f->host), "");
  assert_int_equal(portico_load_file(f->host, "no/such/file.lua", 0, NULL), PORTICO_EBUSY);
  assert_int_equal(portico_start(f->host), 0);
  assert_int_equal(load(f->host, ""), PORTICO_EBUSY);
}

static void bad_arguments_of_a_load_are_refused(void **state) {
  fixture *f = *state;
  assert_int_equal(portico_load_string(f->host, NULL, "", 0, 0, NULL), PORTICO_EINVAL);
  assert_int_equal(portico_load_string(f->host, "a", NULL, 0, 0, NULL), PORTICO_EINVAL);
  assert_int_equal(portico_load_string(f->host, "a", "", 0, -1, NULL), PORTICO_EINVAL);
  assert_int_equal(portico_load_string(f->host, "a", "", 0, 1, NULL), PORTICO_EINVAL);
}

static void the_script_gets_its_arguments(void **state) {
  fixture          *f = *state;
  const char *const argv[] = {"one", "", "three"};
  static const char script[] = REQUIRE "assert(arg[0] == 'test.lua' and #arg == 3 and arg[1] == 'one' and arg[2] == '')"
                                       "assert(select('#', ...) == 3 and select(3, ...) == 'three') portico.stop(3)";
  assert_int_equal(portico_load_string(f->host, "test.lua", script, sizeof script - 1, 3, argv), 0);
  assert_int_equal(portico_start(f->host), 0);
  assert_int_equal(wait_for_exit_code(f->host), 3);
}

/* ---- finalizers: they run wherever something is allocated, and at the very end ---- */

/* A finalizer that was set earlier runs later: it finds a listener that was collected already. */
static void a_collected_listener_is_closed_to_a_finalizer(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE
        "local function look(o) "
        "  seen = {o.l.url, tostring(o.l), select(3, o.l:close())} "
        "end "
        "do local o = setmetatable({}, {__gc = look}) o.l = portico.listen('tcp://127.0.0.1:0', {}) end "
        "collectgarbage() "
        "assert(seen[1] == nil and seen[2] == 'portico.Listener (collected)' and seen[3] == 'ECLOSED') "
        "at_the_end = setmetatable({}, {__gc = look}) at_the_end.l = portico.listen('tcp://127.0.0.1:0', {}) "
        "portico.stop(7)");
  assert_int_equal(wait_for_exit_code(f->host), 7);
}

static void a_listener_may_be_closed_at_the_very_end(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE
        "for _, reuse_port in ipairs {false, true} do "
        "  local l = portico.listen('tcp://127.0.0.1:0', {reuse_port = reuse_port, on_data = print}) "
        "  _G[reuse_port] = setmetatable({}, {__gc = function() if l then l:close() end end}) "
        "end "
        "portico.stop(8)");
  assert_int_equal(wait_for_exit_code(f->host), 8);
}

/* Without workers: the closing thread does their work, and leaves nothing of it. */
static void a_listener_may_be_closed_after_a_failed_start(void **state) {
  fixture *f = *state;
  assert_int_equal(load(f->host, REQUIRE
                        "local l = assert(portico.listen('tcp://127.0.0.1:0', {})) "
                        "assert(portico.connect(l.url, {on_close = function() l:close() end})) "
                        "error 'on purpose'"), 0);
  assert_int_equal(portico_start(f->host), PORTICO_ESCRIPT);
}

static void timers_that_finalizers_start_do_not_mix_with_the_one_being_made(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE
        "if portico.vm.id > 1 then return end "
        "local made, outer, inner = 0, 0, 0 "
        "local function finalizer() "
        "  made = made + 1 "
        "  portico.after(0, function(a) assert(a == 'inner') inner = inner + 1 end, 'inner') "
        "end "
        "collectgarbage('incremental', 0, 1000, 5) "
        "for i = 1, 1000 do "
        "  setmetatable({}, {__gc = finalizer}) "
        "  portico.after(0, function(...) assert(select('#', ...) == 4) outer = outer + 1 end, 1, 2, 3, 4) "
        "end "
        "portico.every(0.01, function() if outer == 1000 and inner == made and made > 0 then portico.stop(5) end end) "
        "portico.after(10, function() portico.stop(6) end)");
  assert_int_equal(wait_for_exit_code(f->host), 5);
  assert_null(look_up(&f->diary, "traceback"));
}

static void a_subscription_of_a_finalizer_stays(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE
        "collectgarbage('incremental', 0, 1000, 30) collectgarbage('stop') " /* each step is a whole cycle */
        "local subscribed "
        "setmetatable({}, {__gc = function() "
        "  subscribed = portico.subscribe('inner', function() portico.stop(4) end) "
        "end}) "
        "collectgarbage('restart') "
        "portico.subscribe('outer', print) "
        "assert(subscribed)");
  assert_int_equal(portico_post(f->host, "inner", "", 0), 0);
  assert_int_equal(wait_for_exit_code(f->host), 4);
}

/* ---- starting ---- */

static void a_start_without_a_load_is_refused(void **state) {
  fixture *f = *state;
  assert_int_equal(portico_start(f->host), PORTICO_EINVAL);
  assert_string_not_equal(portico_last_error(f->host), "");
}

static void a_second_start_is_refused(void **state) {
  fixture *f = *state;
  start(f->host, "");
  assert_int_equal(portico_start(f->host), PORTICO_EINVAL);
}

static void a_wait_without_a_start_is_refused(void **state) {
  fixture *f = *state;
  int      code = 77;
  assert_int_equal(load(f->host, ""), 0);
  assert_int_equal(portico_wait(f->host, &code), PORTICO_EINVAL);
  assert_int_equal(code, 77);
}

static void an_error_in_the_main_chunk_is_told_with_a_traceback_and_the_host_closes(void **state) {
  fixture *f = *state;
  assert_int_equal(load(f->host, "local function g()\n  error 'boom'\nend\ng()\n"), 0);
  assert_int_equal(portico_start(f->host), PORTICO_ESCRIPT);
  assert_non_null(strstr(portico_last_error(f->host), "test.lua:2: boom"));
  assert_non_null(strstr(portico_last_error(f->host), "traceback"));
  assert_int_equal(portico_wait(f->host, NULL), PORTICO_EINVAL);
  assert_int_equal(portico_post(f->host, "t", "", 0), PORTICO_ECLOSED);
}

static void what_a_failed_main_chunk_had_begun_is_ended_by_close(void **state) {
  fixture *f = *state;
  assert_int_equal(load(f->host, REQUIRE LISTEN "portico.every(1, print) portico.subscribe('t', print)"
                                         "portico.connect(l.url, {}) error 'boom'"), 0);
  assert_int_equal(portico_start(f->host), PORTICO_ESCRIPT);
}

static void an_error_in_another_vm_fails_the_start_too(void **state) {
  fixture *f = *state;
  assert_int_equal(load(f->host, REQUIRE LISTEN "assert(portico.vm.id < 3, 'third time unlucky')"), 0);
  assert_int_equal(portico_start(f->host), PORTICO_ESCRIPT);
  assert_non_null(strstr(portico_last_error(f->host), "third time unlucky"));
}

static void a_script_that_asks_for_nothing_runs_in_one_vm_and_ends(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE "portico.log('info', 'vm', portico.vm.id, 'of', portico.vm.count)");
  assert_int_equal(wait_for_exit_code(f->host), 0);
  assert_non_null(look_up(&f->diary, "vm\t1\tof\t3"));
  assert_null(look_up(&f->diary, "vm\t2"));
}

static void a_script_that_listens_runs_in_every_vm(void **state) {
  fixture     *f = *state;
  portico_info info;
  start(f->host, REQUIRE LISTEN "portico.log('info', 'vm', portico.vm.id)");
  assert_non_null(look_up(&f->diary, "vm\t1"));
  assert_non_null(look_up(&f->diary, "vm\t2"));
  assert_non_null(look_up(&f->diary, "vm\t3"));
  portico_get_info(f->host, &info);
  assert_int_equal(info.listeners, 1);
}

/* ---- log ---- */

static void what_the_script_logs_reaches_the_function(void **state) {
  fixture *f = *state;
  int64_t  before = os_clock_unix_ns();
  start(f->host, REQUIRE "portico.log('warn', 'the answer', 42, true)");
  const portico_log_record *r = look_up(&f->diary, "the answer");
  assert_non_null(r);
  assert_string_equal(r->text, "the answer\t42\ttrue");
  assert_int_equal(r->level, PORTICO_LOG_WARN);
  assert_int_equal(r->vm, 1);
  assert_true(r->unix_ns >= before - OS_NS_PER_S && r->unix_ns <= os_clock_unix_ns() + OS_NS_PER_S);
}

static void records_below_the_level_are_not_made(void **state) {
  fixture       *f = *state;
  portico_config config = config_for(&f->second_diary);
  config.log_level = PORTICO_LOG_WARN;
  assert_int_equal(portico_open(&config, &f->second), 0);
  start(f->second, REQUIRE "portico.log('info', 'quiet') portico.log('warn', 'loud') portico.log('debug', 'quiet')");
  assert_int_equal(f->second_diary.count, 1);
  assert_non_null(look_up(&f->second_diary, "loud"));
}

static void an_error_in_a_handler_is_logged_with_a_traceback(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE "portico.after(0, function()\nerror 'bang'\nend)");
  assert_int_equal(wait_for_exit_code(f->host), 0);
  const portico_log_record *r = look_up(&f->diary, "test.lua:2: bang");
  assert_non_null(r);
  assert_int_equal(r->level, PORTICO_LOG_ERROR);
  assert_non_null(strstr(r->text, "traceback"));
}

static void garbage_is_collected_once_nothing_happens(void **state) {
  fixture *f = *state;
  start(f->host,
        "local portico = require 'portico'\n"
        "portico.listen('tcp://127.0.0.1:0', {on_data = print})\n" /* or the program would be over */
        "local left = 5000\n"
        "local function gone() left = left - 1; if left == 0 then portico.log('info', 'all gone') end end\n"
        "if portico.vm.id == 1 then portico.after(0, function()\n"
        "  for i = 1, left do setmetatable({}, {__gc = gone}) end\n"
        "end) end\n");
  assert_non_null(await(&f->diary, "all gone"));
}

static void an_error_object_without_a_text_is_named_by_its_type(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE "local function raise(text)\n"
                         "  error(setmetatable({}, {__tostring = function() return text end}))\n"
                         "end\n"
                         "portico.after(0, raise, {})\n"
                         "portico.after(0, raise, 'in words')\n");
  assert_non_null(await(&f->diary, "in words"));
  assert_non_null(await(&f->diary, "(error object is a table value)"));
}

static void without_a_signal_a_long_call_is_only_blamed(void **state) {
  fixture       *f = *state;
  portico_config config = config_for(&f->second_diary);
  config.budget_ms = 1;
  config.budget_signal = -1;
  assert_int_equal(portico_open(&config, &f->second), 0);
  start(f->second, REQUIRE "portico.after(0, function()\n"
                           "  local begun = os.clock()\n"
                           "  while os.clock() - begun < 0.3 do end\n"
                           "end)\n");
  assert_non_null(await(&f->second_diary, "is over its time budget and cannot be stopped"));
  assert_int_equal(wait_for_exit_code(f->second), 0);
}

static void a_host_without_a_log_function_is_silent(void **state) {
  fixture       *f = *state;
  portico_config config = config_for(NULL);
  config.log_fn = NULL;
  assert_int_equal(portico_open(&config, &f->second), 0);
  start(f->second, REQUIRE "portico.log('error', 'unheard') portico.after(0, function() error 'unheard' end)");
  assert_int_equal(wait_for_exit_code(f->second), 0);
}

/* ---- post ---- */

#define SUBSCRIBE                                                                                             \
  REQUIRE "portico.subscribe('t', function(data, topic) "                                                     \
          "portico.log('info', 'vm' .. portico.vm.id .. ' got ' .. #data .. ' ' .. topic .. ' ' .. data) end) "

static void a_post_reaches_every_vm_that_subscribed(void **state) {
  fixture *f = *state;
  portico_hold(f->host, true);
  start(f->host, SUBSCRIBE);
  assert_int_equal(portico_post(f->host, "t", "hello", 5), 0);
  assert_non_null(await(&f->diary, "vm1 got 5 t hello"));
  assert_non_null(await(&f->diary, "vm2 got 5 t hello"));
  assert_non_null(await(&f->diary, "vm3 got 5 t hello"));
}

static void a_post_to_a_topic_that_nobody_wants_is_lost(void **state) {
  fixture *f = *state;
  portico_hold(f->host, true);
  start(f->host, SUBSCRIBE);
  assert_int_equal(portico_post(f->host, "other", "x", 1), 0);
  assert_int_equal(portico_post(f->host, "t", NULL, 0), 0);
  assert_non_null(await(&f->diary, "vm1 got 0 t"));
  assert_null(look_up(&f->diary, "other"));
}

static void posts_arrive_in_order_each_exactly_once(void **state) {
  fixture *f = *state;
  portico_hold(f->host, true);
  start(f->host, REQUIRE "local n = 0 portico.subscribe('t', function(data) "
                         "n = n + 1 assert(tonumber(data) == n, 'out of order') "
                         "if n == 1000 then portico.log('info', 'all of vm ' .. portico.vm.id) end end)");
  for (int i = 1; i <= 1000; i++) {
    char text[16];
    int  len = snprintf(text, sizeof text, "%d", i);
    assert_int_equal(portico_post(f->host, "t", text, (size_t)len), 0);
  }
  for (int i = 1; i <= 3; i++) {
    char text[32];
    snprintf(text, sizeof text, "all of vm %d", i);
    assert_non_null(await(&f->diary, text));
  }
  assert_null(look_up(&f->diary, "out of order"));
}

static void a_post_carries_any_byte(void **state) {
  fixture          *f = *state;
  static const char bytes[] = "a\0b\xff\r\n";
  portico_hold(f->host, true);
  start(f->host, REQUIRE "portico.subscribe('t', function(d) portico.log('info', 'bytes', d:byte(1, -1)) end)");
  assert_int_equal(portico_post(f->host, "t", bytes, sizeof bytes - 1), 0);
  assert_non_null(await(&f->diary, "bytes\t97\t0\t98\t255\t13\t10"));
}

static void a_post_before_the_start_or_after_the_stop_is_refused(void **state) {
  fixture *f = *state;
  assert_int_equal(portico_post(f->host, "t", "x", 1), PORTICO_ECLOSED);
  assert_int_equal(load(f->host, SUBSCRIBE LISTEN), 0);
  assert_int_equal(portico_post(f->host, "t", "x", 1), PORTICO_ECLOSED);
  assert_int_equal(portico_start(f->host), 0);
  assert_int_equal(portico_post(f->host, "t", "x", 1), 0);
  assert_int_equal(portico_stop(f->host, 0), 0);
  assert_int_equal(portico_post(f->host, "t", "x", 1), PORTICO_ECLOSED);
  assert_int_equal(wait_for_exit_code(f->host), 0);
  assert_int_equal(portico_post(f->host, "t", "x", 1), PORTICO_ECLOSED);
}

static void bad_arguments_of_a_post_are_refused(void **state) {
  fixture *f = *state;
  char     topic[257];
  memset(topic, 't', sizeof topic);
  portico_hold(f->host, true);
  start(f->host, SUBSCRIBE);
  topic[256] = '\0';
  assert_int_equal(portico_post(f->host, topic, "x", 1), PORTICO_EINVAL);
  topic[255] = '\0';
  assert_int_equal(portico_post(f->host, topic, "x", 1), 0);
  assert_int_equal(portico_post(f->host, NULL, "x", 1), PORTICO_EINVAL);
  assert_int_equal(portico_post(f->host, "t", NULL, 1), PORTICO_EINVAL);
}

/* ---- the end ---- */

static void wait_returns_the_exit_code_of_portico_stop(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE LISTEN "portico.after(0, function() portico.stop(portico.vm.id * 0 + 5) end)");
  assert_int_equal(wait_for_exit_code(f->host), 5);
  assert_int_equal(wait_for_exit_code(f->host), 5); /* it is over, and stays so */
}

static void stop_from_outside_gives_the_exit_code(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE LISTEN "portico.every(1000, print)");
  assert_int_equal(portico_stop(f->host, 7), 0);
  assert_int_equal(portico_stop(f->host, 8), 0); /* the first one counts */
  assert_int_equal(wait_for_exit_code(f->host), 7);
  assert_int_equal(portico_stop(f->host, 9), PORTICO_ECLOSED);
}

static void stop_and_drain_before_the_start_are_refused(void **state) {
  fixture *f = *state;
  assert_int_equal(load(f->host, ""), 0);
  assert_int_equal(portico_stop(f->host, 0), PORTICO_ECLOSED);
  assert_int_equal(portico_drain(f->host, 0), PORTICO_ECLOSED);
}

static void a_program_that_runs_is_ended_by_close(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE LISTEN "portico.every(0.001, function() end) portico.connect(l.url, {})");
}

static void a_drain_without_connections_ends_the_program(void **state) {
  fixture     *f = *state;
  portico_info info;
  start(f->host, REQUIRE LISTEN);
  assert_int_equal(portico_drain(f->host, 1000), 0);
  assert_int_equal(wait_for_exit_code(f->host), 0);
  portico_get_info(f->host, &info);
  assert_int_equal(info.listeners, 0);
}

static void a_drain_without_a_sensible_time_is_refused(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE LISTEN);
  assert_int_equal(portico_drain(f->host, -1), PORTICO_EINVAL);
  assert_int_equal(portico_drain(f->host, 1e300 * 1e300), PORTICO_EINVAL);
  assert_int_equal(portico_drain(f->host, 1e300 * 1e300 * 0), PORTICO_EINVAL);
}

static void an_interrupt_drains(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE LISTEN);
  portico_interrupt(f->host, 1000);
  assert_int_equal(wait_for_exit_code(f->host), 0);
}

static void a_second_interrupt_stops(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE LISTEN "portico.connect(l.url, {})");
  portico_interrupt(f->host, 1000);
  portico_interrupt(f->host, 1000);
  assert_int_equal(wait_for_exit_code(f->host), 0);
}

/* ---- hold ---- */

/* Posts while the test thread waits for the end, then lets go. */
typedef struct guest {
  fixture *f;
  int      refused, unanswered;
} guest;

static void guest_visit(void *arg) {
  guest *g = arg;
  for (int i = 0; i < 20; i++) {
    char text[8], answer[32];
    int  len = snprintf(text, sizeof text, "<%d>", i);
    snprintf(answer, sizeof answer, "vm1 got %d t %s", len, text);
    if (portico_post(g->f->host, "t", text, (size_t)len) < 0) g->refused++;
    else if (await(&g->f->diary, answer) == NULL) g->unanswered++;
  }
  portico_hold(g->f->host, false);
}

static void a_held_host_does_not_end_until_it_is_let_go(void **state) {
  fixture  *f = *state;
  guest     g = {.f = f};
  os_thread thread;
  assert_int_equal(portico_hold(f->host, true), 0);
  assert_int_equal(portico_hold(f->host, true), 0); /* no count */
  start(f->host, SUBSCRIBE);
  assert_int_equal(os_thread_start(&thread, guest_visit, &g), 0);
  int code = wait_for_exit_code(f->host);
  os_thread_join(&thread);
  assert_int_equal(code, 0);
  assert_int_equal(g.refused, 0);
  assert_int_equal(g.unanswered, 0);
}

static void a_stop_ends_a_held_host(void **state) {
  fixture *f = *state;
  assert_int_equal(portico_hold(f->host, true), 0);
  start(f->host, REQUIRE "portico.after(0, function() portico.stop(6) end)");
  assert_int_equal(wait_for_exit_code(f->host), 6);
}

static void what_is_stopped_cannot_be_held(void **state) {
  fixture *f = *state;
  start(f->host, REQUIRE "portico.subscribe('t', print)");
  assert_int_equal(portico_stop(f->host, 0), 0);
  int err = portico_hold(f->host, true);
  assert_int_equal(wait_for_exit_code(f->host), 0);
  assert_int_equal(err, PORTICO_ECLOSED);
}

/* ---- a client, and several hosts ---- */

/* Connects to the URL that a script has logged after "url ". */
static os_socket dial(diary *d) {
  const portico_log_record *r = await(d, "url tcp://127.0.0.1:");
  assert_non_null(r);
  os_addr   at;
  os_socket s = OS_SOCKET_NONE;
  uint16_t  number = (uint16_t)strtoul(strrchr(r->text, ':') + 1, NULL, 10);
  assert_int_equal(os_addr_parse("127.0.0.1", number, &at), 0);
  assert_int_equal(os_socket_open(OS_TCP, &at, &s), 0);
  int err = os_socket_connect(s, &at);
  if (err == PORTICO_EAGAIN) {
    assert_true(os_socket_wait(s, OS_WRITABLE, patience_ns) > 0);
    err = os_socket_take_error(s);
  }
  assert_int_equal(err, 0);
  return s;
}

static int64_t recv_some(os_socket s, char *data, size_t len) {
  for (int64_t end = os_clock_now() + patience_ns; os_clock_now() < end;) {
    int64_t n = os_socket_recv(s, data, len);
    if (n != PORTICO_EAGAIN) return n;
    os_socket_wait(s, OS_READABLE, glance_ns);
  }
  return PORTICO_ETIMEDOUT;
}

static void expect_echo(os_socket s, char letter) {
  char back = 0;
  assert_int_equal(os_socket_send(s, &letter, 1), 1);
  assert_int_equal(recv_some(s, &back, 1), 1);
  assert_int_equal(back, letter);
}

#define LISTEN_AND_TELL REQUIRE LISTEN "if portico.vm.id == 1 then portico.log('info', 'url ' .. l.url) end "

static void a_drain_lets_a_connection_finish(void **state) {
  fixture     *f = *state;
  portico_info info;
  start(f->host, LISTEN_AND_TELL);
  os_socket s = dial(&f->diary);
  expect_echo(s, 'a');
  portico_get_info(f->host, &info);
  assert_int_equal(info.connections, 1);
  assert_int_equal(portico_drain(f->host, 1000), 0);
  expect_echo(s, 'b');
  os_socket_close(s);
  assert_int_equal(wait_for_exit_code(f->host), 0);
}

static void a_drain_without_time_closes_what_is_open(void **state) {
  fixture *f = *state;
  char     byte;
  start(f->host, LISTEN_AND_TELL);
  os_socket s = dial(&f->diary);
  expect_echo(s, 'a');
  assert_int_equal(portico_drain(f->host, 1000), 0);
  assert_int_equal(portico_drain(f->host, 0), 0); /* a second call shortens the time */
  assert_int_equal(recv_some(s, &byte, 1), 0);
  os_socket_close(s);
  assert_int_equal(wait_for_exit_code(f->host), 0);
}

static void two_hosts_in_one_process_do_not_meet(void **state) {
  fixture       *f = *state;
  portico_config config = config_for(&f->second_diary);
  assert_int_equal(portico_open(&config, &f->second), 0);
  start(f->host, LISTEN_AND_TELL SUBSCRIBE "mine = 'first'");
  start(f->second, LISTEN_AND_TELL SUBSCRIBE "assert(mine == nil)");
  os_socket one = dial(&f->diary), two = dial(&f->second_diary);
  expect_echo(one, '1');
  expect_echo(two, '2');
  assert_int_equal(portico_post(f->host, "t", "for one", 7), 0);
  assert_int_equal(portico_post(f->second, "t", "for two", 7), 0);
  assert_non_null(await(&f->diary, "for one"));
  assert_non_null(await(&f->second_diary, "for two"));
  assert_int_equal(portico_stop(f->host, 1), 0);
  assert_int_equal(wait_for_exit_code(f->host), 1);
  expect_echo(two, '3'); /* the end of one is not the end of the other */
  assert_int_equal(portico_stop(f->second, 2), 0);
  assert_int_equal(wait_for_exit_code(f->second), 2);
  os_socket_close(one);
  os_socket_close(two);
  assert_null(look_up(&f->diary, "for two"));
  assert_null(look_up(&f->second_diary, "for one"));
}

/* ---- a listening socket for each VM ---- */

#define LISTEN_ALONE                                                                \
  REQUIRE "local l, why = portico.listen('tcp://127.0.0.1:0', {reuse_port = true, " \
          "on_data = function(c, d) c:send(d) end}) "                               \
          "if not l then portico.log('info', why) return end "

/* Call it after the start. */
static void skip_without_reuse_port(fixture *f) {
  if (look_up(&f->diary, "reuse_port: not supported here") == NULL) return;
  print_message("skipped: reuse_port is not supported here\n");
  skip();
}

static void with_reuse_port_each_vm_has_a_listener_and_a_drain_closes_them(void **state) {
  fixture     *f = *state;
  portico_info info;
  start(f->host, LISTEN_ALONE "if portico.vm.id == 3 then portico.log('info', 'url ' .. l.url) end ");
  skip_without_reuse_port(f);
  portico_get_info(f->host, &info);
  assert_int_equal(info.listeners, 3);
  os_socket s = dial(&f->diary);
  expect_echo(s, 'a');
  portico_get_info(f->host, &info);
  assert_int_equal(info.connections, 1);
  assert_int_equal(portico_drain(f->host, 1000), 0);
  expect_echo(s, 'b');
  os_socket_close(s);
  assert_int_equal(wait_for_exit_code(f->host), 0);
  portico_get_info(f->host, &info);
  assert_int_equal(info.listeners, 0);
}

static void with_reuse_port_a_vm_may_close_and_listen_again_in_its_main_chunk(void **state) {
  fixture     *f = *state;
  portico_info info;
  start(f->host, LISTEN_ALONE "local url = l.url l:close() "
                              "l = assert(portico.listen(portico.vm.id == 3 and url or 'tcp://127.0.0.1:0', "
                              "{reuse_port = true})) if portico.vm.id == 2 then l:close() end");
  skip_without_reuse_port(f);
  portico_get_info(f->host, &info);
  assert_int_equal(info.listeners, 2);
  assert_int_equal(portico_stop(f->host, 5), 0);
  assert_int_equal(wait_for_exit_code(f->host), 5);
}

static void with_reuse_port_an_error_in_another_vm_fails_the_start_too(void **state) {
  fixture *f = *state;
  assert_int_equal(load(f->host, LISTEN_ALONE "assert(portico.vm.id < 3, 'third time unlucky')"), 0);
  int err = portico_start(f->host);
  skip_without_reuse_port(f);
  assert_int_equal(err, PORTICO_ESCRIPT);
}

static void hosts_can_be_opened_again_and_again(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 10; i++) {
    portico_config config = config_for(&f->second_diary);
    assert_int_equal(portico_open(&config, &f->second), 0);
    start(f->second, REQUIRE LISTEN "portico.stop(4)");
    assert_int_equal(wait_for_exit_code(f->second), 4);
    portico_close(f->second);
    f->second = NULL;
  }
}

/* ---- a loop of the caller's own ---- */

/* The second host of the fixture, driven by the test. */
static portico_host *open_own_loop(fixture *f) {
  portico_config config = config_for(&f->second_diary);
  config.own_loop = true;
  assert_int_equal(portico_open(&config, &f->second), 0);
  return f->second;
}

/* Steps until the host ends or there is a record with that text. result: of the last step */
static int step_until(portico_host *h, diary *d, const char *text) {
  int ran = 0;
  for (int64_t end = os_clock_now() + patience_ns; ran >= 0 && os_clock_now() < end;) {
    if (look_up(d, text) != NULL) break;
    ran = portico_step(h, glance_ns);
  }
  return ran;
}

static void own_loop_means_one_thread_unless_told_otherwise(void **state) {
  fixture       *f = *state;
  portico_config config = PORTICO_CONFIG_DEFAULT;
  portico_info   info;
  config.own_loop = true;
  assert_int_equal(portico_open(&config, &f->second), 0);
  portico_get_info(f->second, &info);
  assert_int_equal(info.concurrency, 1);
  assert_int_equal(info.vms, 1);
  assert_int_equal(info.workers, 0);
}

static void a_step_runs_what_is_due_and_nothing_runs_without_it(void **state) {
  fixture      *f = *state;
  portico_host *h = open_own_loop(f);
  start(h, REQUIRE "local n = 0 portico.every(0.001, function() n = n + 1 portico.log('info', 'tick ' .. n) end)");
  os_event_wait(&f->diary.news, 20 * glance_ns);
  assert_null(look_up(&f->second_diary, "tick"));
  assert_int_equal(portico_step(h, patience_ns), 1);
  assert_int_equal(step_until(h, &f->second_diary, "tick 3"), 1);
}

static void a_step_waits_no_longer_than_it_may(void **state) {
  fixture      *f = *state;
  portico_host *h = open_own_loop(f);
  start(h, REQUIRE "portico.after(3600, print)");
  int64_t begun_ns = os_clock_now();
  assert_int_equal(portico_step(h, 0), 0);
  assert_int_equal(portico_step(h, 5 * glance_ns), 0);
  assert_true(os_clock_now() - begun_ns >= 5 * glance_ns);
}

static void steps_carry_an_echo_in_every_vm(void **state) {
  fixture      *f = *state;
  portico_host *h = open_own_loop(f);
  start(h, REQUIRE LISTEN
        "if portico.vm.id ~= 2 then return end "
        "local c = assert(portico.connect(l.url, {on_data = function(c, d) portico.log('info', 'back ' .. d) "
        "portico.stop(3) end})) c:send('forth')");
  assert_int_equal(step_until(h, &f->second_diary, "back forth"), 1);
  assert_int_equal(wait_for_exit_code(h), 3);
  assert_int_equal(portico_step(h, 0), PORTICO_ECLOSED);
}

static void steps_end_with_the_program(void **state) {
  fixture      *f = *state;
  portico_host *h = open_own_loop(f);
  start(h, REQUIRE "portico.after(0.001, function() portico.log('info', 'last') end)");
  assert_int_equal(step_until(h, &f->second_diary, "no such record"), PORTICO_ECLOSED);
  assert_non_null(look_up(&f->second_diary, "last"));
  assert_int_equal(portico_step(h, patience_ns), PORTICO_ECLOSED);
  assert_int_equal(wait_for_exit_code(h), 0);
}

static void a_wait_drives_such_a_host_to_its_end(void **state) {
  fixture      *f = *state;
  portico_host *h = open_own_loop(f);
  start(h, REQUIRE LISTEN "portico.after(0.001, function() portico.stop(4) end)");
  assert_int_equal(wait_for_exit_code(h), 4);
}

static void such_a_host_closes_in_the_middle_and_after_a_failed_start(void **state) {
  fixture      *f = *state;
  portico_host *h = open_own_loop(f);
  start(h, REQUIRE LISTEN "portico.every(0.001, function() end) portico.connect(l.url, {})");
  for (int i = 0; i < 10; i++) assert_true(portico_step(h, glance_ns) >= 0);
  portico_close(h);
  h = open_own_loop(f);
  assert_int_equal(load(h, REQUIRE LISTEN "portico.after(1, print) error('no')"), 0);
  assert_int_equal(portico_start(h), PORTICO_ESCRIPT);
  assert_int_equal(portico_step(h, 0), PORTICO_EINVAL);
}

static void a_step_of_a_host_with_workers_or_before_the_start_is_refused(void **state) {
  fixture *f = *state;
  assert_int_equal(portico_step(NULL, 0), PORTICO_EINVAL);
  start(f->host, REQUIRE LISTEN);
  assert_int_equal(portico_step(f->host, 0), PORTICO_EINVAL);
  assert_non_null(strstr(portico_last_error(f->host), "own_loop"));
  assert_int_equal(portico_step(open_own_loop(f), 0), PORTICO_EINVAL);
}

static void a_step_hears_interrupts(void **state) {
  fixture      *f = *state;
  portico_host *h = open_own_loop(f);
  start(h, REQUIRE LISTEN "portico.every(0.001, function() end)");
  portico_interrupt(h, 3600);
  assert_true(portico_step(h, 0) >= 0);
  assert_non_null(look_up(&f->second_diary, "interrupted"));
  portico_interrupt(h, 3600);
  assert_int_equal(wait_for_exit_code(h), 0);
}

static void let_go_of(void *arg) {
  portico_host *h = arg;
  os_thread_yield();
  portico_post(h, "news", "x", 1);
  portico_hold(h, false);
}

static void a_step_that_waits_hears_other_threads(void **state) {
  fixture      *f = *state;
  portico_host *h = open_own_loop(f);
  os_thread     other;
  start(h, REQUIRE "portico.subscribe('news', function(d) portico.log('info', 'news ' .. d) end)");
  assert_int_equal(portico_hold(h, true), 0);
  assert_int_equal(os_thread_start(&other, let_go_of, h), 0);
  int ran = 1;
  while (ran > 0) ran = portico_step(h, -1);
  os_thread_join(&other);
  assert_int_equal(ran, PORTICO_ECLOSED);
  assert_non_null(look_up(&f->second_diary, "news x"));
}

static void without_a_watchdog_a_long_call_is_not_ended(void **state) {
  fixture       *f = *state;
  portico_config config = config_for(&f->second_diary);
  config.own_loop = true;
  config.budget_ms = 1;
  assert_int_equal(portico_open(&config, &f->second), 0);
  start(f->second, REQUIRE "portico.after(0, function() local till = os.clock() + 0.1 "
                           "while os.clock() < till do end portico.log('info', 'done') end)");
  assert_int_equal(wait_for_exit_code(f->second), 0);
  assert_non_null(look_up(&f->second_diary, "done"));
}

/* ---- recordings ---- */

/* Counts the files that hold each text, and removes them. */
typedef struct tally {
  int files, accepted, outgoing, whole;
} tally;

static void tally_file(const char *path, void *arg) {
  tally  *t = arg;
  char    text[2048] = "";
  os_file file;
  assert_int_equal(os_file_open(path, OS_FILE_READ, &file), 0);
  int64_t len = os_file_read_at(file, text, sizeof text - 1, 0);
  os_file_close(file);
  assert_in_range(len, 5, sizeof text - 1);
  t->files++;
  if (strstr(text, "\ndirection accepted\n") != NULL && strstr(text, " received 5\nhello\n") != NULL) t->accepted++;
  if (strstr(text, "\ndirection outgoing\n") != NULL && strstr(text, " sent 5\nhello\n") != NULL) t->outgoing++;
  if (strcmp(text + len - 5, "\nend\n") == 0) t->whole++;
  assert_int_equal(os_file_remove(path), 0);
}

static void check_recordings(fixture *f, bool own_loop) {
  portico_config config = config_for(&f->second_diary);
  folder         in;
  tally          found = {0};
  assert_int_equal(folder_make(&in), 0);
  config.own_loop = own_loop;
  config.vms = 1;
  config.record_dir = in.path;
  assert_int_equal(portico_open(&config, &f->second), 0);
  start(f->second, REQUIRE "local l l = portico.listen('tcp://127.0.0.1:0', {"
                           "  on_data = function(c, d) c:send(d) c:close() l:close() end}) "
                           "portico.connect(l.url, {on_open = function(c) c:send('hello') end})");
  assert_int_equal(wait_for_exit_code(f->second), 0);
  assert_int_equal(portico_find_files(in.path, ".portico", tally_file, &found), 2);
  assert_int_equal(found.accepted, 1);
  assert_int_equal(found.outgoing, 1);
  assert_int_equal(found.whole, 2);
  assert_int_equal(folder_remove(&in), 0);
}

static void when_a_host_has_ended_its_recordings_are_whole(void **state) {
  check_recordings(*state, false);
}

static void a_host_with_own_loop_records_too(void **state) {
  check_recordings(*state, true);
}

int main(void) {
#define WITH_HOST(test) cmocka_unit_test_setup_teardown(test, make_host, drop_host)
  const struct CMUnitTest tests[] = {
      WITH_HOST(info_tells_what_was_decided),
      WITH_HOST(when_a_host_has_ended_its_recordings_are_whole),
      WITH_HOST(a_host_with_own_loop_records_too),
      WITH_HOST(the_default_config_fills_every_number_in),
      cmocka_unit_test(a_number_out_of_range_is_refused),
      cmocka_unit_test(opening_without_config_or_output_is_refused),
      cmocka_unit_test(an_unknown_backend_is_not_supported),
      cmocka_unit_test(a_folder_that_cannot_be_made_is_refused),
      WITH_HOST(the_backend_that_info_names_can_be_asked_for),
      WITH_HOST(a_host_closes_without_a_start),
      cmocka_unit_test(closing_nothing_does_nothing),
      cmocka_unit_test(calls_without_a_host_are_refused),
      cmocka_unit_test(calls_that_need_no_host_want_sense_too),
#ifndef _WIN32
      WITH_HOST(a_file_that_cannot_be_read_is_told),
#endif
      WITH_HOST(a_mistake_in_the_script_is_told_with_file_and_line),
      WITH_HOST(after_a_failed_load_another_may_succeed),
      WITH_HOST(a_file_that_is_not_there_is_told_by_name),
      WITH_HOST(bytecode_is_refused),
      WITH_HOST(a_collected_listener_is_closed_to_a_finalizer),
      WITH_HOST(a_listener_may_be_closed_at_the_very_end),
      WITH_HOST(a_listener_may_be_closed_after_a_failed_start),
      WITH_HOST(timers_that_finalizers_start_do_not_mix_with_the_one_being_made),
      WITH_HOST(a_subscription_of_a_finalizer_stays),
      WITH_HOST(a_second_load_is_refused),
      WITH_HOST(bad_arguments_of_a_load_are_refused),
      WITH_HOST(the_script_gets_its_arguments),
      WITH_HOST(a_start_without_a_load_is_refused),
      WITH_HOST(a_second_start_is_refused),
      WITH_HOST(a_wait_without_a_start_is_refused),
      WITH_HOST(an_error_in_the_main_chunk_is_told_with_a_traceback_and_the_host_closes),
      WITH_HOST(what_a_failed_main_chunk_had_begun_is_ended_by_close),
      WITH_HOST(an_error_in_another_vm_fails_the_start_too),
      WITH_HOST(a_script_that_asks_for_nothing_runs_in_one_vm_and_ends),
      WITH_HOST(a_script_that_listens_runs_in_every_vm),
      WITH_HOST(what_the_script_logs_reaches_the_function),
      WITH_HOST(records_below_the_level_are_not_made),
      WITH_HOST(an_error_in_a_handler_is_logged_with_a_traceback),
      WITH_HOST(garbage_is_collected_once_nothing_happens),
      WITH_HOST(an_error_object_without_a_text_is_named_by_its_type),
      WITH_HOST(without_a_signal_a_long_call_is_only_blamed),
      WITH_HOST(a_host_without_a_log_function_is_silent),
      WITH_HOST(a_post_reaches_every_vm_that_subscribed),
      WITH_HOST(a_post_to_a_topic_that_nobody_wants_is_lost),
      WITH_HOST(posts_arrive_in_order_each_exactly_once),
      WITH_HOST(a_post_carries_any_byte),
      WITH_HOST(a_post_before_the_start_or_after_the_stop_is_refused),
      WITH_HOST(bad_arguments_of_a_post_are_refused),
      WITH_HOST(wait_returns_the_exit_code_of_portico_stop),
      WITH_HOST(stop_from_outside_gives_the_exit_code),
      WITH_HOST(stop_and_drain_before_the_start_are_refused),
      WITH_HOST(a_program_that_runs_is_ended_by_close),
      WITH_HOST(a_drain_without_connections_ends_the_program),
      WITH_HOST(a_drain_without_a_sensible_time_is_refused),
      WITH_HOST(an_interrupt_drains),
      WITH_HOST(a_second_interrupt_stops),
      WITH_HOST(a_held_host_does_not_end_until_it_is_let_go),
      WITH_HOST(a_stop_ends_a_held_host),
      WITH_HOST(what_is_stopped_cannot_be_held),
      WITH_HOST(a_drain_lets_a_connection_finish),
      WITH_HOST(a_drain_without_time_closes_what_is_open),
      WITH_HOST(two_hosts_in_one_process_do_not_meet),
      WITH_HOST(with_reuse_port_each_vm_has_a_listener_and_a_drain_closes_them),
      WITH_HOST(with_reuse_port_a_vm_may_close_and_listen_again_in_its_main_chunk),
      WITH_HOST(with_reuse_port_an_error_in_another_vm_fails_the_start_too),
      WITH_HOST(hosts_can_be_opened_again_and_again),
      WITH_HOST(own_loop_means_one_thread_unless_told_otherwise),
      WITH_HOST(a_step_runs_what_is_due_and_nothing_runs_without_it),
      WITH_HOST(a_step_waits_no_longer_than_it_may),
      WITH_HOST(steps_carry_an_echo_in_every_vm),
      WITH_HOST(steps_end_with_the_program),
      WITH_HOST(a_wait_drives_such_a_host_to_its_end),
      WITH_HOST(such_a_host_closes_in_the_middle_and_after_a_failed_start),
      WITH_HOST(a_step_of_a_host_with_workers_or_before_the_start_is_refused),
      WITH_HOST(a_step_hears_interrupts),
      WITH_HOST(a_step_that_waits_hears_other_threads),
      WITH_HOST(without_a_watchdog_a_long_call_is_not_ended),
  };
  return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
