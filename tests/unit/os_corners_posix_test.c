/* os_corners_posix_test.c - what POSIX answers where no user of os/ goes on purpose: closed descriptors, sockets that
 * are not IP, signals in the middle of a wait. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/folder.h"
#include "os/poller.h"
#include "os/process.h"
#include "os/socket.h"
#include "os/thread.h"

static os_socket make(void) {
  os_addr   any;
  os_socket s = OS_SOCKET_NONE;
  assert_int_equal(os_addr_parse("127.0.0.1", 0, &any), 0);
  assert_int_equal(os_socket_open(OS_UDP, &any, &s), 0);
  return s;
}

static int closed_descriptor(void) {
  int fd = make();
  assert_int_equal(close(fd), 0);
  return fd;
}

/* ---- errors ---- */

static void an_error_of_the_system_has_its_name_here(void **state) {
  static const struct {
    int raw, ours;
  } cases[] = {
      {ECANCELED, PORTICO_ECANCELED}, {ESRCH, PORTICO_ENOTFOUND}, {EISCONN, PORTICO_EISCONN},
      {ESHUTDOWN, PORTICO_ESHUTDOWN}, {EBUSY, PORTICO_EBUSY},     {EROFS, PORTICO_EROFS},
      {ECHILD, PORTICO_EUNKNOWN},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) assert_int_equal(os_error(cases[i].raw), cases[i].ours);
}

static void a_closed_descriptor_is_said_to_be_one(void **state) {
  int fd = closed_descriptor();
  (void)state;
  assert_int_equal(os_socket_set_buffers(fd, 1000, 1000), PORTICO_EINVAL);
  assert_int_equal(os_socket_wait(fd, OS_READABLE, OS_NS_PER_S), PORTICO_EINVAL);
  assert_int_equal(os_file_size(fd), PORTICO_EINVAL);
  assert_int_equal(os_file_sync(fd), PORTICO_EACCES);
}

static void what_has_no_disk_is_synced(void **state) {
  os_file f;
  (void)state;
  assert_int_equal(os_file_open("/dev/null", OS_FILE_WRITE, &f), 0);
  assert_int_equal(os_file_sync(f), 0);
  os_file_close(f);
}

static void a_folder_that_is_not_there_has_no_entries(void **state) {
  (void)state;
  assert_int_equal(os_folder_each("no/such/folder", NULL, NULL), PORTICO_ENOFILE);
}

/* ---- sockets ---- */

/* A name in no file system, longer than that of any IP socket. */
static void bind_to_long_name(int s, char last) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "portico-test-%040d-%c", (int)getpid(), last);
  assert_int_equal(bind(s, (const struct sockaddr *)&at, sizeof at), 0);
}

static void a_name_that_is_not_ip_is_not_cut_to_one(void **state) {
  int     listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0), s;
  os_addr got;
  (void)state;
  bind_to_long_name(listener, 'l');
  bind_to_long_name(client, 'c');
  assert_int_equal(os_socket_local(listener, &got), PORTICO_EAFNOSUPPORT);
  struct sockaddr_un at;
  socklen_t          len = sizeof at;
  assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
  assert_int_equal(listen(listener, 1), 0);
  assert_int_equal(connect(client, (const struct sockaddr *)&at, len), 0);
  assert_int_equal(os_socket_accept(listener, &s, &got), 0);
  assert_int_equal(got.len, 0);
  close(s);
  close(client);
  close(listener);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signo) {
  (void)signo;
  alarms++;
}

static void a_signal_does_not_end_a_wait(void **state) {
  enum { WAIT_MS = 30 };
  os_socket s = make();
  int64_t   begun_ns = os_clock_now();
  (void)state;
  alarms = 0;
  signal(SIGALRM, on_alarm);
  setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = 1000}, NULL);
  assert_int_equal(os_socket_wait(s, OS_READABLE, WAIT_MS * OS_NS_PER_MS), PORTICO_ETIMEDOUT);
  assert_true(os_clock_now() - begun_ns >= WAIT_MS * OS_NS_PER_MS);
  assert_int_equal(alarms, 1);
  signal(SIGALRM, SIG_DFL);
  assert_int_equal(os_socket_wait(s, OS_WRITABLE, INT64_MAX), OS_WRITABLE);
  os_socket_close(s);
}

static void a_poller_takes_each_socket_once_and_no_file(void **state) {
  os_poller p;
  os_socket s = make();
  int       file = open("/proc/self/stat", O_RDONLY);
  (void)state;
  assert_int_equal(os_poller_open(&p), 0);
  assert_int_equal(os_poller_add(&p, s, &s), 0);
  assert_int_equal(os_poller_add(&p, s, &s), PORTICO_EINVAL);
  assert_int_equal(os_poller_add(&p, file, &file), PORTICO_EINVAL);
  os_poller_close(&p);
  close(file);
  os_socket_close(s);
}

/* ---- stderr ---- */

/* Offers to fd as stderr until it takes no more, with as many descriptors as there may be. */
static void offer_all(int fd, rlim_t descriptors) {
  enum { OFFER = 5000, OFFERS_MAX = 10000 };
  static const char bytes[OFFER];
  int               kept = dup(STDERR_FILENO), offers = 0;
  struct rlimit     limit;
  assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
  getrlimit(RLIMIT_NOFILE, &limit);
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){descriptors, limit.rlim_max});
  size_t first = os_stderr_offer(bytes, OFFER);
  while (os_stderr_offer(bytes, OFFER) > 0 && offers < OFFERS_MAX) offers++;
  setrlimit(RLIMIT_NOFILE, &limit);
  dup2(kept, STDERR_FILENO);
  close(kept);
  assert_in_range(offers, 1, OFFERS_MAX - 1);
  assert_int_equal(first, OFFER);
}

static void a_full_stderr_is_not_waited_for(void **state) {
  enum { SOME = 20, NONE_LEFT = STDERR_FILENO + 1 }; /* then it cannot be opened a second time */
  int ends[2];
  (void)state;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(i == 0 ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends), 0);
    offer_all(ends[1], i == 2 ? NONE_LEFT : SOME);
    close(ends[0]);
    close(ends[1]);
  }
}

static void a_closed_stderr_takes_nothing(void **state) {
  int kept = dup(STDERR_FILENO);
  (void)state;
  close(STDERR_FILENO);
  size_t taken = os_stderr_offer("x", 1);
  dup2(kept, STDERR_FILENO);
  close(kept);
  assert_int_equal(taken, 0);
}

/* ---- threads ---- */

static void open_view(void *view) {
  os_thread_view_open(view);
}

static void a_thread_that_has_gone_uses_no_processor(void **state) {
  os_thread      t;
  os_thread_view view;
  (void)state;
  assert_int_equal(os_thread_start(&t, open_view, &view), 0);
  os_thread_join(&t);
  assert_int_equal(os_thread_cpu_ns(&view), -1);
  assert_false(os_thread_asleep(&view));
  os_thread_view_close(&view);
}

typedef struct sleeper {
  os_thread_view view;
  os_event       event;
} sleeper;

static void set_once_it_sleeps(void *arg) {
  sleeper *s = arg;
  while (!os_thread_asleep(&s->view)) os_thread_yield();
  os_event_set(&s->event);
}

static void a_wait_may_be_longer_than_time(void **state) {
  sleeper   s;
  os_thread t;
  (void)state;
  os_thread_view_open(&s.view);
  assert_int_equal(os_event_init(&s.event), 0);
  assert_int_equal(os_thread_start(&t, set_once_it_sleeps, &s), 0);
  assert_true(os_event_wait(&s.event, INT64_MAX));
  os_thread_join(&t);
  os_event_fini(&s.event);
  os_thread_view_close(&s.view);
}

static void on_queued(int signo, siginfo_t *info, void *context) {
  (void)signo, (void)info, (void)context;
}

static void never_run(os_interrupt *i) {
  (void)i;
  abort();
}

static void a_signal_whose_handler_takes_information_is_left_alone(void **state) {
  os_thread_view   self;
  os_interrupt     i = {never_run};
  struct sigaction action = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO};
  (void)state;
  assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
  os_thread_view_open(&self);
  assert_int_equal(os_thread_interrupt(&self, SIGUSR1, &i), PORTICO_EBUSY);
  os_thread_view_close(&self);
  signal(SIGUSR1, SIG_DFL);
}

static void count_run(os_interrupt *i) {
  (void)i;
  alarms++;
}

/* A pointer that another process queues is none of ours. */
static void a_queued_signal_of_another_process_does_no_harm(void **state) {
  os_thread_view self;
  os_interrupt   i = {count_run};
  int            status = -1;
  (void)state;
  alarms = 0;
  os_thread_view_open(&self);
  assert_int_equal(os_thread_interrupt(&self, SIGUSR2, &i), 0); /* claims the signal */
  os_thread_view_close(&self);
  pid_t child = fork();
  if (child == 0) _exit(sigqueue(getppid(), SIGUSR2, (union sigval){.sival_int = 1}) == 0 ? 0 : 1);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  assert_int_equal(status, 0);
  assert_int_equal(alarms, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_error_of_the_system_has_its_name_here),
      cmocka_unit_test(a_closed_descriptor_is_said_to_be_one),
      cmocka_unit_test(what_has_no_disk_is_synced),
      cmocka_unit_test(a_folder_that_is_not_there_has_no_entries),
      cmocka_unit_test(a_name_that_is_not_ip_is_not_cut_to_one),
      cmocka_unit_test(a_signal_does_not_end_a_wait),
      cmocka_unit_test(a_poller_takes_each_socket_once_and_no_file),
      cmocka_unit_test(a_full_stderr_is_not_waited_for),
      cmocka_unit_test(a_closed_stderr_takes_nothing),
      cmocka_unit_test(a_thread_that_has_gone_uses_no_processor),
      cmocka_unit_test(a_wait_may_be_longer_than_time),
      cmocka_unit_test(a_signal_whose_handler_takes_information_is_left_alone),
      cmocka_unit_test(a_queued_signal_of_another_process_does_no_harm),
  };
  return cmocka_run_group_tests_name("os_corners", tests, NULL, NULL);
}
