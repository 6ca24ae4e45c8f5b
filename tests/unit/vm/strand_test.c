/* strand_test.c - completions run one at a time and in order, whoever brings them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/thread.h"
#include "vm/strand.h"

static const int64_t patience_ns = 60LL * OS_NS_PER_S; /* far beyond what any step needs */

enum { MANY = 100, TOGETHER = 5, DIARY_BYTES = 4 * MANY };

/* ---- on the test thread ---- */

typedef struct fixture fixture;

/* A completion that writes its letter into the diary, and may deliver others from inside. */
typedef struct item {
  completion completion;
  fixture   *f;
  char       letter;
  int        deliver_from, deliver_to; /* of f->items */
  uint32_t   bytes; /* as it saw them */
  int        err;
} item;

struct fixture {
  port  *port;
  strand strand, other;
  item   items[MANY + 2];
  int    inside, nested; /* nested: a run inside a run */
  size_t written;
  char   diary[DIARY_BYTES + 1];
};

static void fixture_write(fixture *f, char letter) {
  if (f->written < DIARY_BYTES) f->diary[f->written++] = letter;
}

static void write_comma(strand *s) {
  fixture *f = container_of(s, fixture, strand);
  if (f->inside != 0) f->nested++;
  fixture_write(f, ',');
}

static void deliver(strand *s, item *i, uint32_t bytes, int err) {
  strand_deliver(s, &(port_packet){.key = s, .op = &i->completion.op, .bytes = bytes, .err = err}, 1);
}

static void item_run(completion *c) {
  item    *i = container_of(c, item, completion);
  fixture *f = i->f;
  if (f->inside++ != 0) f->nested++;
  fixture_write(f, i->letter);
  i->bytes = c->bytes;
  i->err = c->err;
  for (int k = i->deliver_from; k < i->deliver_to; k++) deliver(&f->strand, &f->items[k], 0, 0);
  f->inside--;
}

static int make_strand(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL || port_open(&(port_options){.concurrency = 4}, &f->port) < 0) return -1;
  strand_init(&f->strand, f->port, write_comma);
  strand_init(&f->other, f->port, NULL);
  for (int i = 0; i < MANY + 2; i++) {
    f->items[i] = (item){.completion.run = item_run, .f = f, .letter = (char)('a' + i % 26)};
  }
  *state = f;
  return 0;
}

static int drop_strand(void **state) {
  fixture *f = *state;
  strand_fini(&f->strand); /* checks that it is idle */
  strand_fini(&f->other);
  bool good = f->nested == 0 && port_close(f->port, NULL, NULL) == 0;
  port_packet none;
  port_get(f->port, &none, 1, 0); /* this thread leaves it: it goes, and checks that all operations have ended */
  port_unref(f->port);
  free(f);
  return good ? 0 : -1;
}

/* Delivers what is queued, up to `run` packets at a time, as a worker does. */
static void work(fixture *f, unsigned run) {
  port_packet packets[STRAND_BATCH];
  for (int n = port_get_run(f->port, packets, run, 0); n > 0; n = port_get_run(f->port, packets, run, 0)) {
    strand_deliver(packets[0].key, packets, (unsigned)n);
  }
}

/* What a worker brings that took several packets at once. */
static void deliver_run(fixture *f, int from, int to) {
  port_packet packets[TOGETHER];
  for (int i = from; i < to; i++) {
    packets[i - from] = (port_packet){.key = &f->strand, .op = &f->items[i].completion.op};
  }
  strand_deliver(&f->strand, packets, (unsigned)(to - from));
}

/* Where turns are that short, it is another case that shows where they end. */
static void need_long_turns(void) {
  if ((int)STRAND_BATCH >= (int)TOGETHER) return;
  print_message("skipped: a turn has only %d completions\n", (int)STRAND_BATCH);
  skip();
}

static void posted_completions_run_in_their_order(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 5; i++) strand_post(&f->strand, &f->items[i].completion);
  assert_string_equal(f->diary, ""); /* later, not now */
  work(f, 1);
  assert_string_equal(f->diary, "a,b,c,d,e,");
}

static void a_post_has_no_bytes_and_no_error(void **state) {
  fixture *f = *state;
  f->items[0].bytes = 9;
  f->items[0].err = -9;
  strand_post(&f->strand, &f->items[0].completion);
  work(f, STRAND_BATCH);
  assert_string_equal(f->diary, "a,");
  assert_int_equal(f->items[0].bytes, 0);
  assert_int_equal(f->items[0].err, 0);
}

static void a_completion_gets_what_its_packet_says(void **state) {
  fixture *f = *state;
  deliver(&f->strand, &f->items[0], 4711, PORTICO_ECONNRESET);
  assert_string_equal(f->diary, "a,");
  assert_int_equal(f->items[0].bytes, 4711);
  assert_int_equal(f->items[0].err, PORTICO_ECONNRESET);
}

static void what_comes_while_the_strand_is_busy_runs_afterwards_oldest_first(void **state) {
  fixture *f = *state;
  need_long_turns();
  f->items[0].deliver_from = 1;
  f->items[0].deliver_to = 4;
  f->items[2].deliver_from = 5;
  f->items[2].deliver_to = 7;
  deliver(&f->strand, &f->items[0], 0, 0);
  assert_string_equal(f->diary, "a,bcd,fg,"); /* what is there together is one turn */
}

static void what_is_delivered_together_is_one_turn(void **state) {
  fixture *f = *state;
  need_long_turns();
  deliver_run(f, 0, TOGETHER);
  assert_string_equal(f->diary, "abcde,");
}

static void deliver_d_and_e(completion *c) {
  deliver_run(container_of(c, item, completion)->f, 3, 5);
  item_run(c);
}

static void a_run_that_finds_the_strand_busy_waits_behind_what_is_there(void **state) {
  fixture *f = *state;
  need_long_turns();
  f->items[0].completion.run = deliver_d_and_e;
  deliver_run(f, 0, 3);
  assert_string_equal(f->diary, "abc,de,");
}

static void a_completion_may_be_delivered_again_once_it_ran(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 3; i++) deliver(&f->strand, &f->items[0], 0, 0);
  assert_string_equal(f->diary, "a,a,a,");
}

static void a_full_mailbox_lets_other_strands_have_their_turn(void **state) {
  fixture *f = *state;
  f->items[0].deliver_from = 1;
  f->items[0].deliver_to = MANY;
  f->items[MANY].letter = '!';
  strand_post(&f->strand, &f->items[0].completion);
  strand_post(&f->other, &f->items[MANY].completion);
  work(f, STRAND_BATCH);
  const char *other = strchr(f->diary, '!');
  assert_non_null(other);
  assert_true(other < f->diary + MANY);
  const char *at = f->diary;
  for (int i = 0; i < MANY; i++) { /* and its own order is kept across the detours */
    at += strspn(at, ",!");
    assert_int_equal(*at++, 'a' + i % 26);
  }
  assert_int_equal(strspn(at, ",!"), strlen(at));
  assert_non_null(strchr(",!", f->diary[f->written - 1])); /* the last turn was settled, too */
}

static void a_strand_without_after_turn_does_without(void **state) {
  fixture *f = *state;
  deliver(&f->other, &f->items[0], 0, 0);
  assert_string_equal(f->diary, "a");
}

/* ---- with several workers ---- */

enum { WORKERS = 4, STRANDS = 3, RUNNERS = 24, LAPS = 400 };

typedef struct track {
  strand      strand;
  atomic_int  inside;
  atomic_int  overlaps; /* somebody else was inside */
  /* not atomic: lost updates, and the thread sanitizer, show what a strand must prevent */
  long runs, missed; /* missed: after_turn did not follow in time */
  int  unsettled;    /* have run, and after_turn has not */
} track;

typedef struct race {
  port       *port;
  track       tracks[STRANDS];
  atomic_int  running; /* runners that are not done */
  os_event    done;
} race;

/* Goes round: each lap on the next strand. */
typedef struct runner {
  completion completion;
  race      *race;
  int        lap, start;
} runner;

static track *runner_track(const runner *r) {
  return &r->race->tracks[(r->start + r->lap) % STRANDS];
}

static void track_after(strand *s) {
  container_of(s, track, strand)->unsettled = 0;
}

static void runner_run(completion *c) {
  runner *r = container_of(c, runner, completion);
  track  *t = runner_track(r);
  if (atomic_fetch_add(&t->inside, 1) != 0) atomic_fetch_add(&t->overlaps, 1);
  t->runs++;
  if (++t->unsettled > STRAND_BATCH) t->missed++;
  atomic_fetch_sub(&t->inside, 1);
  if (++r->lap < LAPS) {
    strand_post(&runner_track(r)->strand, c);
    return;
  }
  race *all = r->race;
  if (atomic_fetch_sub(&all->running, 1) == 1) os_event_set(&all->done);
}

static void race_work(void *arg) {
  race       *r = arg;
  port_packet packets[STRAND_BATCH];
  int         n = port_get_run(r->port, packets, STRAND_BATCH, patience_ns);
  for (; n > 0 && packets[0].key != NULL; n = port_get_run(r->port, packets, STRAND_BATCH, patience_ns)) {
    strand_deliver(packets[0].key, packets, (unsigned)n);
  }
}

/* The last completion has run; a strand may still be on its way through the queue. */
static bool race_comes_to_rest(race *r) {
  int64_t deadline = os_clock_now() + patience_ns;
  for (int i = 0; i < STRANDS; i++) {
    while (atomic_load(&r->tracks[i].strand.mail) != NULL) {
      if (os_clock_now() >= deadline) return false;
      os_thread_yield();
    }
  }
  return true;
}

static void four_workers_run_the_completions_of_a_strand_one_at_a_time(void **state) {
  (void)state;
  static race   r;
  static runner runners[RUNNERS];
  os_thread     threads[WORKERS];
  memset(&r, 0, sizeof r);
  assert_int_equal(port_open(&(port_options){.concurrency = WORKERS}, &r.port), 0);
  assert_int_equal(os_event_init(&r.done), 0);
  atomic_store(&r.running, RUNNERS);
  for (int i = 0; i < STRANDS; i++) strand_init(&r.tracks[i].strand, r.port, track_after);
  for (int i = 0; i < WORKERS; i++) assert_int_equal(os_thread_start(&threads[i], race_work, &r), 0);
  for (int i = 0; i < RUNNERS; i++) {
    runners[i] = (runner){.completion.run = runner_run, .race = &r, .start = i};
    strand_post(&runner_track(&runners[i])->strand, &runners[i].completion);
  }
  bool done = os_event_wait(&r.done, patience_ns) && race_comes_to_rest(&r);
  for (int i = 0; i < WORKERS; i++) port_post(r.port, NULL, NULL, 0);
  for (int i = 0; i < WORKERS; i++) os_thread_join(&threads[i]);
  size_t left = port_close(r.port, NULL, NULL);
  port_unref(r.port);
  os_event_fini(&r.done);
  long runs = 0;
  assert_true(done);
  for (int i = 0; i < STRANDS; i++) {
    assert_int_equal(atomic_load(&r.tracks[i].overlaps), 0);
    assert_int_equal(r.tracks[i].missed, 0);
    assert_int_equal(r.tracks[i].unsettled, 0);
    strand_fini(&r.tracks[i].strand);
    runs += r.tracks[i].runs;
  }
  assert_int_equal(runs, RUNNERS * LAPS);
  assert_int_equal(left, 0);
}

int main(void) {
#define WITH_STRAND(test) cmocka_unit_test_setup_teardown(test, make_strand, drop_strand)
  const struct CMUnitTest tests[] = {
      WITH_STRAND(posted_completions_run_in_their_order),
      WITH_STRAND(a_post_has_no_bytes_and_no_error),
      WITH_STRAND(a_completion_gets_what_its_packet_says),
      WITH_STRAND(what_comes_while_the_strand_is_busy_runs_afterwards_oldest_first),
      WITH_STRAND(what_is_delivered_together_is_one_turn),
      WITH_STRAND(a_run_that_finds_the_strand_busy_waits_behind_what_is_there),
      WITH_STRAND(a_completion_may_be_delivered_again_once_it_ran),
      WITH_STRAND(a_full_mailbox_lets_other_strands_have_their_turn),
      WITH_STRAND(a_strand_without_after_turn_does_without),
      cmocka_unit_test(four_workers_run_the_completions_of_a_strand_one_at_a_time),
  };
  return cmocka_run_group_tests_name("strand", tests, NULL, NULL);
}
