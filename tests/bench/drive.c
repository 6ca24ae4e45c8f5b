#include "drive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "fail.h"
#include "process.h"
#include "sleeper.h"
#include "turns.h"

enum { EVENTS_MAX = 256 };
static const int64_t RAMP_NS = 30 * INT64_C(1000000);       /* before each later slice: all get going again */
static const int64_t STALLED_NS = 10 * INT64_C(1000000000); /* no echo for so long: the server is stuck */

typedef struct run {
  const options            *o;
  results                  *out;
  const struct sockaddr_in *server;
  pid_t                     server_pid;
  payload                   payload;
  int                       epoll_fd;
  client                   *clients;
  sleeper                   sleeper;
  size_t                    unanswered;              /* clients that have not had an echo in this slice */
  uint64_t                  reconnects;
  size_t                    in_flight;               /* messages of all clients on their way or late */
  enum { WARMING, MEASURING, DRAINING, DONE } phase; /* of a slice; each leads to the next, run_move_on */
  size_t   slice;
  int64_t  now_ns;
  int64_t  warm_until_ns;
  int64_t  window_start_ns; /* INT64_MAX until there is one */
  int64_t  window_end_ns;
  uint64_t messages_start; /* the results at the start of the slice */
  int64_t  cpu_start_ns;
  int64_t  foreign_start_ns;
  int64_t  last_echo_ns;
  int64_t  interval_ns;   /* --rate: between two messages of one client, */
  int64_t  paced_from_ns; /* when the first of this slice was due, */
  uint64_t paced;         /* and how many have been due so far */
} run;

/* --- opening and closing --- */

/* The first broadcast comes from the last connection: servers accept in order, so all are accepted when it is back. */
static void run_greet_all(run *r, int last_fd) {
  client_round_trip(last_fd, &r->payload);
  for (size_t i = 0; i + 1 < r->o->connections; i++) {
    int fd = r->clients[i].fd;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    client_receive_first(fd, &r->payload);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  }
}

static void run_open(run *r, const options *o, size_t server, results *out) {
  memset(r, 0, sizeof *r);
  r->o = o;
  r->out = out;
  r->server = &o->servers[server];
  r->server_pid = o->pids[server];
  payload_make(&r->payload, o->message_bytes, o->in_flight_max);
  r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (r->epoll_fd < 0) fail("epoll_create1: %s", strerror(errno));
  r->clients = calloc(o->connections, sizeof *r->clients);
  if (r->clients == NULL) fail("out of memory");
  if (o->rate > 0) r->interval_ns = (int64_t)(1e9 * (double)o->connections / o->rate);
  if (o->other_vms) sleeper_open(&r->sleeper, r->server, o->sleeper);
  for (size_t i = 0; i < o->connections; i++) {
    int fd = o->other_vms ? sleeper_connect_elsewhere(&r->sleeper, r->server)
             : o->broadcast ? client_connect(r->server)
                            : client_connect_calmly(r->server, &r->payload, i);
    if (o->broadcast && i == o->connections - 1) run_greet_all(r, fd);
    client_init(&r->clients[i], fd, r->epoll_fd, &r->payload, o->broadcast ? 0 : i, o->in_flight_max);
  }
}

static void run_close(run *r) {
  for (size_t i = 0; i < r->o->connections; i++) client_close(&r->clients[i]);
  free(r->clients);
  close(r->epoll_fd);
  payload_drop(&r->payload);
}

/* --- sending as fast as echoes come back --- */

/* Everybody receives what the first one sends, and the next message leaves when all have it. */
static void run_send_to_all(run *r) {
  for (size_t i = 1; i < r->o->connections; i++) client_expect(&r->clients[i], 1, r->now_ns);
  client_send(&r->clients[0], 1, r->now_ns);
  r->in_flight = r->o->connections;
}

static void run_send_next(run *r, client *c, size_t messages) {
  if (r->o->broadcast) {
    if (r->in_flight == 0) run_send_to_all(r);
    return;
  }
  if (r->o->reconnect) client_reconnect(c, r->server, r->reconnects++);
  client_send(c, messages, r->now_ns);
  r->in_flight += messages;
}

static void run_send_first(run *r) {
  size_t senders = r->o->broadcast ? 1 : r->o->connections;
  for (size_t i = 0; i < senders; i++) run_send_next(r, &r->clients[i], r->o->in_flight_max);
}

static void run_start_slice(run *r) {
  r->phase = WARMING;
  r->unanswered = r->o->connections;
  r->window_start_ns = r->window_end_ns = INT64_MAX;
  r->now_ns = r->last_echo_ns = r->paced_from_ns = client_clock_ns();
  r->paced = 0;
  r->warm_until_ns = r->now_ns + (r->slice == 0 ? (int64_t)(r->o->warmup_s * 1e9) : RAMP_NS);
  if (r->o->other_vms) sleeper_start(&r->sleeper, r->epoll_fd);
  if (r->o->rate <= 0) run_send_first(r);
}

/* --- sending by the clock --- */

/* The clients take turns, so that due times are in order without a heap. */
static int64_t run_next_due_ns(const run *r) {
  return r->paced_from_ns + (int64_t)((double)r->paced * 1e9 / r->o->rate);
}

/* A message that is due while its client still waits for echoes is sent when there is room, but starts now: the wait
 * is part of its latency. Otherwise a stalled server would be asked less and look better. */
static void run_send_due(run *r) {
  if (r->o->rate <= 0 || r->phase >= DRAINING) return;
  for (int64_t due_ns; (due_ns = run_next_due_ns(r)) <= r->now_ns; r->paced++) {
    client *c = &r->clients[r->paced % r->o->connections];
    r->in_flight++;
    if (c->in_flight < c->in_flight_max)
      client_send(c, 1, client_clock_ns());
    else if (c->late++ == 0)
      c->late_ns = due_ns;
  }
}

static void run_send_late(run *r, client *c) {
  for (; c->late > 0 && c->in_flight < c->in_flight_max; c->late--) {
    client_send(c, 1, c->late_ns);
    c->late_ns += r->interval_ns;
  }
}

/* --- what comes back --- */

static void run_count(run *r, client *c) {
  int64_t start_ns = client_take(c);
  if (start_ns >= r->window_start_ns && start_ns < r->window_end_ns)
    histogram_add(&r->out->latencies, r->now_ns - start_ns);
  if (r->phase == MEASURING) r->out->messages++;
  if (c->answered != r->slice + 1) r->unanswered--;
  c->answered = r->slice + 1;
  r->in_flight--;
}

static void run_on_client(run *r, client *c, uint32_t events) {
  if (events & EPOLLOUT) client_flush(c);
  if (!(events & ~(uint32_t)EPOLLOUT)) return;
  size_t complete = client_receive(c);
  if (complete == 0) return;
  r->now_ns = r->last_echo_ns = client_clock_ns();
  for (size_t i = 0; i < complete; i++) run_count(r, c);
  run_send_late(r, c);
  if (r->o->rate <= 0 && r->phase < DRAINING) run_send_next(r, c, complete);
}

static int64_t run_foreign_ns(const run *r) {
  return process_machine_busy_ns() - process_cpu_ns(getpid()) - process_cpu_ns(r->server_pid);
}

static void run_begin_window(run *r) {
  r->messages_start = r->out->messages;
  r->window_start_ns = r->now_ns;
  r->phase = MEASURING;
  if (r->server_pid == 0) return;
  r->foreign_start_ns = run_foreign_ns(r);
  r->cpu_start_ns = process_cpu_ns(r->server_pid);
}

static void run_end_window(run *r) {
  uint64_t messages = r->out->messages - r->messages_start;
  r->out->window_s += (double)(r->now_ns - r->window_start_ns) / 1e9;
  r->window_end_ns = r->now_ns;
  r->phase = DRAINING;
  if (r->server_pid == 0) return;
  int64_t cpu_ns = process_cpu_ns(r->server_pid) - r->cpu_start_ns;
  r->out->cpu_ns += cpu_ns;
  r->out->foreign_ns += run_foreign_ns(r) - r->foreign_start_ns;
  r->out->slice_cpu_ns[r->slice] = (double)cpu_ns / (double)messages;
}

/* A slice without an echo (this program may have lost its core for longer than that) goes on until there is one. */
static bool run_window_is_over(const run *r) {
  uint64_t slices = r->o->slices;
  uint64_t messages = r->out->messages - r->messages_start;
  if (messages == 0) return false;
  if (r->o->messages > 0) return messages >= (r->o->messages + slices - 1) / slices;
  return r->now_ns - r->window_start_ns >= (int64_t)(r->o->window_s * 1e9 / (double)slices);
}

/* The window waits until every connection has had an echo: with a thousand of them the server may still be accepting
 * when the warm-up time is over, and with ten thousand one echo of all takes longer than a later slice's warm-up. */
static void run_move_on(run *r) {
  if (r->now_ns - r->last_echo_ns > STALLED_NS)
    fail("no echo for 10 s, %zu messages are missing", r->in_flight);
  if (r->phase == WARMING && r->now_ns >= r->warm_until_ns && r->unanswered == 0)
    run_begin_window(r);
  else if (r->phase == WARMING && r->now_ns >= r->warm_until_ns + STALLED_NS)
    fail("%zu connections have had no echo", r->unanswered);
  else if (r->phase == MEASURING && run_window_is_over(r))
    run_end_window(r);
  else if (r->phase == DRAINING && r->in_flight == 0 && !r->sleeper.asleep)
    r->phase = DONE;
}

/* 10 ms are the coarsest that the ends of warm-up and window may be off when the server is silent. */
static struct timespec run_wait_limit(const run *r) {
  int64_t limit_ns = 10 * 1000000;
  if (r->o->rate > 0 && r->phase < DRAINING) {
    int64_t due_ns = run_next_due_ns(r) - client_clock_ns();
    if (due_ns < limit_ns) limit_ns = due_ns > 0 ? due_ns : 0;
  }
  return (struct timespec){.tv_nsec = limit_ns};
}

static void run_slice(run *r) {
  struct epoll_event events[EVENTS_MAX];
  run_start_slice(r);
  while (r->phase != DONE) {
    struct timespec limit = run_wait_limit(r);
    int             count = epoll_pwait2(r->epoll_fd, events, EVENTS_MAX, &limit, NULL);
    if (count < 0 && errno != EINTR) fail("epoll_pwait2: %s", strerror(errno));
    r->now_ns = client_clock_ns();
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr == &r->sleeper)
        sleeper_receive(&r->sleeper, r->phase < DRAINING);
      else
        run_on_client(r, events[i].data.ptr, events[i].events);
    }
    run_send_due(r);
    run_move_on(r);
  }
  r->slice++;
}

/* --- one server, or two in turn --- */

typedef struct job {
  const options *o;
  size_t         server;
  results       *out;
} job;

static void job_end(const job *j, run *r) {
  j->out->naps = r->sleeper.naps;
  if (j->o->sleeper != NULL && j->out->naps == 0) fail("the sleeper never slept");
  run_close(r);
}

/* Connecting is the first turn, and then each slice is one. */
static void job_take_turns(void *arg, int fd) {
  const job *j = arg;
  run        r;
  turns_wait(fd);
  run_open(&r, j->o, j->server, j->out);
  turns_end(fd);
  while (r.slice < j->o->slices) {
    turns_wait(fd);
    run_slice(&r);
    turns_end(fd);
  }
  job_end(j, &r);
}

static void job_work_alone(const job *j) {
  run r;
  run_open(&r, j->o, j->server, j->out);
  while (r.slice < j->o->slices) run_slice(&r);
  job_end(j, &r);
}

/* First, second, second, first ...: a machine that gets faster or slower meanwhile does so for both. */
static void drive_in_turn(const options *o, job *jobs) {
  turns turns[SERVERS_MAX];
  for (size_t i = 0; i < o->server_count; i++) turns_start(&turns[i], job_take_turns, &jobs[i]);
  for (size_t i = 0; i < o->server_count; i++) turns_give(&turns[i]);
  for (size_t slice = 0; slice < o->slices; slice++)
    for (size_t i = 0; i < o->server_count; i++)
      turns_give(&turns[slice % 2 == 0 ? i : o->server_count - 1 - i]);
  for (size_t i = 0; i < o->server_count; i++) turns_join(&turns[i]);
}

const results *drive(const options *o) {
  job      jobs[SERVERS_MAX];
  results *out = turns_memory(o->server_count * sizeof *out);
  for (size_t i = 0; i < o->server_count; i++) {
    out[i].slice_cpu_ns = turns_memory(o->slices * sizeof *out[i].slice_cpu_ns);
    jobs[i] = (job){.o = o, .server = i, .out = &out[i]};
  }
  prctl(PR_SET_TIMERSLACK, 1UL); /* else a due time may be met 50 us late */
  if (o->server_count == 1)
    job_work_alone(&jobs[0]);
  else
    drive_in_turn(o, jobs);
  return out;
}
