/* port_iocp.c - the completion port of Windows itself: wait, post, close, numbers.
 *
 * Order, release of workers and the concurrency value are the kernel's. What is added: time-outs that never end early,
 * a close that wakes everybody and loses nothing (Wine 8 wakes nobody, Windows frees queued packets silently), and
 * counting. Closing waits until no thread is inside get or post; the native port itself stays open until the last
 * reference is gone, so that a late call meets a closed port and never a stranger's handle. */
#include <assert.h>
#include <stdlib.h>
#include <winsock2.h>
#include <windows.h>

#include "base/check.h"
#include "base/error.h"
#include "base/sized.h"
#include "os/clock.h"
#include "port/port_iocp.h"

enum {
  IOCP_BATCH = SIZED(64, 2), /* native packets taken in one call */
  IOCP_DEPTH = 0,            /* NtQueryIoCompletion: IoCompletionBasicInformation, the number of queued packets */
  IOCP_SNAPSHOT_TRIES = 100, /* a number is read again when something moved meanwhile */
};

static iocp_port *iocp_of(port *p) {
  return (iocp_port *)p;
}

/* ---- who is active ----
 * Each thread remembers the port that it last took packets from, by the id, for the port may be gone. */

static SRWLOCK    iocp_ports_lock = SRWLOCK_INIT;
static iocp_port *iocp_ports;                            /* all ports, under the lock */
static uintptr_t  iocp_last_id;                          /* under the lock */
static DWORD      iocp_member_slot = FLS_OUT_OF_INDEXES; /* made with the first port, then fixed */

static void iocp_member_leave(uintptr_t id) {
  AcquireSRWLockShared(&iocp_ports_lock);
  for (iocp_port *p = iocp_ports; p != NULL; p = p->next) {
    if (p->id == id) atomic_fetch_sub(&p->active, 1);
  }
  ReleaseSRWLockShared(&iocp_ports_lock);
}

static void WINAPI iocp_member_on_exit(void *id) {
  iocp_member_leave((uintptr_t)id);
}

/* The calling thread no longer counts, wherever it did. */
static void iocp_member_pause(iocp_port *p) {
  uintptr_t id = (uintptr_t)FlsGetValue(iocp_member_slot);
  if (id == p->id) atomic_fetch_sub(&p->active, 1);
  else if (id != 0) iocp_member_leave(id);
  if (id != 0) FlsSetValue(iocp_member_slot, NULL);
}

static void iocp_member_resume(iocp_port *p) {
  if (FlsSetValue(iocp_member_slot, (void *)p->id)) atomic_fetch_add(&p->active, 1);
}

static bool iocp_register(iocp_port *p) {
  AcquireSRWLockExclusive(&iocp_ports_lock);
  if (iocp_member_slot == FLS_OUT_OF_INDEXES) iocp_member_slot = FlsAlloc(iocp_member_on_exit);
  bool possible = iocp_member_slot != FLS_OUT_OF_INDEXES;
  if (possible) {
    p->id = ++iocp_last_id;
    p->next = iocp_ports;
    iocp_ports = p;
  }
  ReleaseSRWLockExclusive(&iocp_ports_lock);
  return possible;
}

static void iocp_unregister(iocp_port *p) {
  AcquireSRWLockExclusive(&iocp_ports_lock);
  iocp_port **at = &iocp_ports;
  while (*at != p) at = &(*at)->next;
  *at = p->next;
  ReleaseSRWLockExclusive(&iocp_ports_lock);
}

/* ---- life ---- */

/* ntdll's functions have no import library everywhere, so they are looked up. */
static bool iocp_bind_ntdll(iocp_port *p) {
  HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
  if (ntdll == NULL) return false;
  p->error_of = (iocp_error_fn)(void *)GetProcAddress(ntdll, "RtlNtStatusToDosError");
  p->query = (iocp_query_fn)(void *)GetProcAddress(ntdll, "NtQueryIoCompletion");
  p->wine = GetProcAddress(ntdll, "wine_get_version") != NULL;
  return p->error_of != NULL && p->query != NULL;
}

static int iocp_open(const port_options *options, port **out_port) {
  int        err = PORTICO_ENOMEM;
  iocp_port *p = calloc(1, sizeof *p);
  if (p == NULL) goto fail;
  p->concurrency = options->concurrency > 0 ? options->concurrency : os_processors();
  if (!iocp_bind_ntdll(p)) {
    err = PORTICO_ENOTSUP;
    goto undo_mem;
  }
  p->native = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, p->concurrency);
  if (p->native == NULL) goto undo_mem;
  if ((err = iocp_timers_init(&p->timers)) < 0) goto undo_native;
  if (!iocp_register(p)) {
    err = PORTICO_ENOMEM;
    goto undo_timers;
  }
  *out_port = &p->base;
  return 0;
undo_timers: iocp_timers_fini(&p->timers);
undo_native: CloseHandle(p->native);
undo_mem: free(p);
fail: return err;
}

static void iocp_destroy(port *base) {
  iocp_port *p = iocp_of(base);
  CHECK(atomic_load(&p->closed));
  CHECK(atomic_load(&p->started) == atomic_load(&p->taken)); /* whatever was started has ended, once */
  iocp_unregister(p);
  CloseHandle(p->native);
  iocp_timers_fini(&p->timers);
  free(p);
}

/* Wine 8 releases the oldest waiter, and any number of them. */
static unsigned iocp_caps(const port *p) {
  return ((const iocp_port *)p)->wine ? 0 : PORT_CAP_LIFO | PORT_CAP_CONCURRENCY;
}

static unsigned iocp_concurrency(const port *p) {
  return ((const iocp_port *)p)->concurrency;
}

/* False on a closed port. Otherwise the close waits for iocp_leave. */
static bool iocp_enter(iocp_port *p) {
  atomic_fetch_add(&p->users, 1);
  if (!atomic_load(&p->closed)) return true;
  atomic_fetch_sub(&p->users, 1);
  return false;
}

static void iocp_leave(iocp_port *p) {
  atomic_fetch_sub(&p->users, 1); /* the last touch: the port may be closed and freed from here on */
}

/* ---- packets ---- */

int iocp_queue(iocp_port *p, uintptr_t native_key, void *what) {
  return PostQueuedCompletionStatus(p->native, 0, native_key, what) ? 0 : PORTICO_ENOMEM;
}

static port_packet iocp_posted_finish(iocp_posted *posted) {
  port_packet packet = {.key = posted->key, .op = posted->op, .bytes = posted->bytes};
  free(posted);
  return packet;
}

static port_packet iocp_posted_op_finish(iocp_op *op) {
  return (port_packet){.key = op->posted_key, .op = (port_op *)op};
}

/* Turns a native packet into one for the caller; false if it is not for the caller. */
static bool iocp_packet(iocp_port *p, const OVERLAPPED_ENTRY *entry, port_packet *out_packet) {
  void *what = entry->lpOverlapped;
  switch (entry->lpCompletionKey) {
  case IOCP_KEY_RELEASE: return false;
  case IOCP_KEY_POST: *out_packet = iocp_posted_finish(what); break;
  case IOCP_KEY_OP: *out_packet = iocp_posted_op_finish(what); break;
  case IOCP_KEY_TIMER: *out_packet = iocp_timer_finish(what); break;
  default: {
    iocp_handle *h = (iocp_handle *)entry->lpCompletionKey;
    if (!iocp_op_finish(p, h, what, entry->dwNumberOfBytesTransferred, out_packet)) return false;
  }
  }
  atomic_fetch_add(&p->taken, 1);
  return true;
}

bool iocp_dequeue(iocp_port *p, port_packet *out_packets, unsigned max, uint32_t ms, unsigned *out_count) {
  OVERLAPPED_ENTRY entries[IOCP_BATCH];
  ULONG            got = 0;
  unsigned         count = 0;
  if (!GetQueuedCompletionStatusEx(p->native, entries, max < IOCP_BATCH ? max : IOCP_BATCH, &got, ms, FALSE)) {
    CHECK(GetLastError() == WAIT_TIMEOUT);
    return false;
  }
  for (ULONG i = 0; i < got; i++) {
    if (iocp_packet(p, &entries[i], &out_packets[count])) count++;
  }
  *out_count = count;
  return true;
}

/* Milliseconds that cover ns; a longer wait is made of several. */
static uint32_t iocp_ms(int64_t ns) {
  if (ns < 0) return INFINITE;
  int64_t ms = ns / OS_NS_PER_MS + (ns % OS_NS_PER_MS != 0);
  return ms < INT32_MAX ? (uint32_t)ms : INT32_MAX;
}

static int iocp_wait(iocp_port *p, port_packet *out_packets, unsigned max, int64_t timeout_ns) {
  int64_t now = timeout_ns > 0 ? os_clock_now() : 0;
  int64_t end = timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
  for (int64_t left = timeout_ns;;) {
    unsigned count = 0;
    bool     came = iocp_dequeue(p, out_packets, max, iocp_ms(left), &count);
    if (count > 0) return (int)count;
    if (atomic_load(&p->closed)) return PORTICO_ECLOSED;
    if (timeout_ns < 0) continue;
    if (!came && left == 0) return PORTICO_ETIMEDOUT;
    /* The kernel's ticks may end a wait early, and a packet may be none for us: our clock decides. */
    left = timeout_ns > 0 ? end - os_clock_now() : 0;
    if (left < 0) left = 0;
  }
}

static int iocp_get(port *base, port_packet *out_packets, unsigned max, int64_t timeout_ns, bool one_key) {
  iocp_port *p = iocp_of(base);
  iocp_member_pause(p);
  if (!iocp_enter(p)) return PORTICO_ECLOSED;
  atomic_fetch_add(&p->waiting, 1);
  int result = iocp_wait(p, out_packets, one_key ? 1 : max, timeout_ns);
  atomic_fetch_sub(&p->waiting, 1);
  if (result != PORTICO_ECLOSED) iocp_member_resume(p);
  iocp_leave(p);
  return result;
}

static int iocp_post(port *base, void *key, port_op *op, uint32_t bytes) {
  iocp_port *p = iocp_of(base);
  if (!iocp_enter(p)) return PORTICO_ECLOSED;
  int          err = PORTICO_ENOMEM;
  iocp_posted *posted = malloc(sizeof *posted);
  if (posted != NULL) {
    *posted = (iocp_posted){.key = key, .op = op, .bytes = bytes};
    atomic_fetch_add(&p->started, 1);
    err = iocp_queue(p, IOCP_KEY_POST, posted);
    if (err < 0) {
      atomic_fetch_add(&p->taken, 1);
      free(posted);
    }
  }
  iocp_leave(p);
  return err;
}

static int iocp_post_op(port *base, void *key, port_op *base_op) {
  iocp_port *p = iocp_of(base);
  iocp_op   *op = (iocp_op *)base_op;
  if (!iocp_enter(p)) return PORTICO_ECLOSED;
  op->posted_key = key;
  atomic_fetch_add(&p->started, 1);
  while (iocp_queue(p, IOCP_KEY_OP, op) < 0) Sleep(1); /* the kernel's memory: without it nothing else goes on either */
  iocp_leave(p);
  return 0;
}

/* ---- numbers ---- */

/* The kernel knows how many packets are queued, but not how many of them are posts; we know how many of all kinds are
 * owed. So pending = owed - queued. Between a native packet and our count of it there is a moment in which it still
 * seems pending, never one in which a pending op seems done. */
static void iocp_stats(port *base, port_stats *out_stats) {
  iocp_port *p = iocp_of(base);
  uint64_t   started = 0, taken = 0, again;
  LONG       depth = 0;
  for (unsigned i = 0; i < IOCP_SNAPSHOT_TRIES; i++) {
    taken = atomic_load(&p->taken);
    started = atomic_load(&p->started);
    if (p->query(p->native, IOCP_DEPTH, &depth, sizeof depth, NULL) < 0) depth = 0;
    again = atomic_load(&p->started);
    if (again == started && atomic_load(&p->taken) == taken) break;
  }
  size_t owed = (size_t)(started - taken), queued = (size_t)depth < owed ? (size_t)depth : owed;
  *out_stats = (port_stats){.queued = queued,
                            .waiting = atomic_load(&p->waiting),
                            .active = atomic_load(&p->active),
                            .pending = owed - queued};
}

/* ---- close ---- */

/* Wakes those who wait, until nobody is inside. A waiter may take several of these packets at once, or one of a round
 * before; so the rounds go on until all are out. Only the close ever polls like this. */
static void iocp_release_all(iocp_port *p) {
  while (atomic_load(&p->users) > 0) {
    for (unsigned i = atomic_load(&p->waiting); i > 0; i--) iocp_queue(p, IOCP_KEY_RELEASE, NULL);
    Sleep(1);
  }
}

typedef struct iocp_drops {
  size_t count;
  void (*on_drop)(const port_packet *packet, void *arg);
  void *arg;
} iocp_drops;

static void iocp_drop(iocp_drops *d, const port_packet *packet) {
  d->count++;
  if (d->on_drop != NULL) d->on_drop(packet, d->arg);
}

/* Takes what is queued, and waits for the packets of handles that are closed already: they are about to come. */
static void iocp_drain(iocp_port *p, iocp_drops *d) {
  port_packet packets[IOCP_BATCH];
  for (;;) {
    unsigned count = 0;
    bool     more = atomic_load(&p->orphans) > 0;
    if (!iocp_dequeue(p, packets, IOCP_BATCH, more ? 10 : 0, &count) && !more) return;
    for (unsigned i = 0; i < count; i++) iocp_drop(d, &packets[i]);
  }
}

static size_t iocp_close(port *base, void (*on_drop)(const port_packet *packet, void *arg), void *arg) {
  iocp_port  *p = iocp_of(base);
  iocp_drops  d = {.on_drop = on_drop, .arg = arg};
  port_packet packet;
  if (atomic_exchange(&p->closed, true)) return 0;
  iocp_timers_stop(&p->timers);
  iocp_release_all(p);
  if (on_drop == NULL) atomic_store(&p->unheard, true);
  iocp_drain(p, &d);
  while (iocp_timers_pop(p, &packet)) iocp_drop(&d, &packet);
  atomic_store(&p->unheard, true);
  return d.count;
}

const port_backend port_iocp = {
    .name = "iocp",
    .caps = iocp_caps,
    .concurrency = iocp_concurrency,
    .open = iocp_open,
    .close = iocp_close,
    .destroy = iocp_destroy,
    .get = iocp_get,
    .post = iocp_post,
    .post_op = iocp_post_op,
    .stats = iocp_stats,
    .timer = iocp_timer,
    .handle_bytes = sizeof(iocp_handle),
    .attach = iocp_attach,
    .handle_close = iocp_handle_close,
    .accept = iocp_accept,
    .accepted = iocp_accepted,
    .connect = iocp_connect,
    .recv = iocp_recv,
    .recv_ready = iocp_recv_ready,
    .take = iocp_take,
    .send = iocp_send,
    .try_send = iocp_try_send,
    .send_soon = iocp_try_send,
    .recv_from = iocp_recv_from,
    .send_to = iocp_send_to,
    .shutdown_send = iocp_shutdown_send,
    .file = iocp_file,
    .cancel = iocp_cancel,
    .cancel_all = iocp_cancel_all,
};
