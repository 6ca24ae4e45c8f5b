/* sim_world.h - what the parts of the simulated kernel share.   Layer: os (private to sim_*.c).
 * Everything of a world is under its lock, which is the innermost: only events are set under it. */
#ifndef PORTICO_OS_SIM_WORLD_H
#define PORTICO_OS_SIM_WORLD_H
#include "base/heap.h"
#include "os/poller.h"
#include "os/sim.h"
#include "os/sim_seam.h"
#include "os/thread.h"

enum {
  SIM_TICK_NS = 20,       /* that a look at a virtual clock takes, so that who only looks sees time pass */
  SIM_CALL_NS = 200,      /* that a call takes */
  SIM_RETRY_NS = 1000000, /* until a connect knocks again at a listener whose queue is full */
  SIM_RETRIES = 6,
};

typedef struct sim_socket   sim_socket;
typedef struct sim_conn     sim_conn;
typedef struct sim_event    sim_event;
typedef struct sim_datagram sim_datagram;

/* Something that will happen. Names its socket by number, for that may be closed until then. */
struct sim_event {
  heap_node due;
  void (*run)(os_sim *w, sim_event *e);
  os_socket     socket; /* of a poke, a connect, a datagram */
  sim_conn     *conn;   /* of what arrives at one end: a reference */
  unsigned      side;   /* the end that sent it */
  uint64_t      until;  /* ... up to this byte of its flow; tries of a connect */
  sim_datagram *datagram;
};

/* A thread that waits for a socket or a poller. */
typedef struct sim_sleeper {
  struct sim_sleeper *next;
  const void         *on;       /* the sim_socket or os_sim_poller */
  int64_t             until_ns; /* it looks again by itself */
  os_event            event;
} sim_sleeper;

/* One direction of a connection. Counts of bytes since its beginning: acked <= taken <= arrived <= sent. */
typedef struct sim_flow {
  unsigned char *bytes; /* of those that are not taken, [begin, end) */
  size_t         begin, end, room;
  uint64_t       sent, arrived, taken, acked;
  unsigned       under_way;  /* things that are to arrive: nothing overtakes them */
  int64_t        arrives_ns; /* when the last of them does */
  size_t         bytes_max;  /* sent and not acked */
  bool           ended;      /* its end has arrived */
} sim_flow;

struct sim_conn {
  unsigned    refs;    /* one for each end that is open and each event */
  sim_socket *ends[2]; /* NULL: closed */
  sim_flow    flows[2]; /* by the end that sends */
};

typedef enum sim_state {
  SIM_FRESH,
  SIM_LISTENING,
  SIM_CONNECTING,
  SIM_CONNECTED, /* datagrams: has a peer */
  SIM_DEAD,      /* refused, reset, or stopped listening */
} sim_state;

struct sim_socket {
  os_socket      number; /* OS_SOCKET_NONE: nobody has accepted it yet */
  os_socket_type type;
  sim_state      state;
  os_addr        local, peer; /* len 0: none */
  int            error;       /* waits to be taken */
  bool           shares, reset_on_close;
  size_t         bytes_max;
  /* a stream */
  sim_conn *conn;
  unsigned  side;
  bool      shut;    /* our sending side */
  bool      no_room; /* somebody was told so: announced once there is */
  /* a listener; in its queue */
  sim_socket *first, *last, *next;
  unsigned    queued, backlog;
  /* datagrams */
  sim_datagram *in_first, *in_last;
  size_t        in_bytes;
  unsigned      under_way; /* as in a flow */
  int64_t       arrives_ns;
  /* where it is announced */
  struct os_sim_poller *poller;
  void                 *owner;
  bool                  announced; /* in its list */
  sim_socket           *announced_next;
};

struct os_sim_poller {
  os_sim     *world;
  sim_socket *first, *last; /* announced, in that order */
  bool        woken;
  sim_sleeper sleeper; /* of its one waiter */
};

typedef struct sim_slot {
  sim_socket *socket;
  unsigned    generation; /* of the next one here */
  unsigned    next_free;  /* slot + 1 */
} sim_slot;

struct os_sim {
  os_mutex         lock;
  _Atomic unsigned refs;
  os_sim_options   options; /* fixed, but for rates and trace: those are under lock */
  /* under lock */
  uint64_t     random[4];
  int64_t      now_ns; /* virtual */
  heap         events;
  sim_slot    *slots;
  unsigned     slot_count, free_slot; /* slot + 1 */
  size_t       sockets;
  uint16_t     last_port;
  sim_sleeper *sleepers; /* real clock */
  sim_thread  *threads;  /* virtual clock: all of them */
  sim_thread  *turn;     /* the one that runs; NULL = none is in here */
  unsigned     thread_count, thread_numbers;
  uint64_t     turns; /* given so far */
  os_sim_stats stats;
};

/* ---- sim_world.c ---- */

/* Zeroed memory, without fail: a world that cannot go on has nothing to tell. */
void *sim_new(size_t bytes);

/* Lets happen what is due. */
void sim_run_due_locked(os_sim *w);

/* The lock of a world. */
static inline void sim_lock(os_sim *w) {
  sys_mutex_lock(&w->lock);
}
static inline void sim_unlock(os_sim *w) {
  sys_mutex_unlock(&w->lock);
}

/* What each call of the simulated kernel does first: takes the lock of the calling thread's world, and lets happen what
 * is due; others may come first. result: NULL = it is in none */
os_sim *sim_enter_locked(void);

/* The same in a world that is known. */
void sim_begin_call_locked(os_sim *w);

/* From the generator: a number below n; whether something with that rate happens; how long something takes. */
uint64_t sim_below_locked(os_sim *w, uint64_t n);
bool     sim_chance_locked(os_sim *w, uint32_t rate);
int64_t  sim_delay_locked(os_sim *w);

/* The time, without moving it. */
int64_t sim_now_locked(const os_sim *w);

/* Has e, which is copied, happen at due_ns; at once if that has come, unless it is in line behind another that may be
 * due but did not happen yet. */
void sim_happen_locked(os_sim *w, const sim_event *e, int64_t due_ns, bool in_line);

/* Waits on `on` until somebody wakes it or something is due, at most until until_ns; without the lock. */
void sim_sleep_locked(os_sim *w, sim_sleeper *s, const void *on, int64_t until_ns);
void sim_wake_locked(os_sim *w, const void *on);

/* A line of the trace. s may be NULL */
void sim_note_locked(os_sim *w, const sim_socket *s, const char *what, uint64_t amount);

/* A world stays while it is referred to. */
void sim_ref(os_sim *w);
void sim_unref(os_sim *w);

/* ---- sim_thread.c ---- */

/* Another thread may have a turn now. */
void sim_preempt_locked(os_sim *w);

/* sim_sleep_locked and sim_wake_locked of a world with a virtual clock: who waits looks again whenever something has
 * happened. */
void sim_thread_wait_locked(os_sim *w, const void *on, int64_t until_ns);
void sim_thread_wake_locked(os_sim *w, const void *on);

/* ---- sim_socket.c ---- */

/* The socket with that number; NULL if it is closed. */
sim_socket *sim_find_locked(os_sim *w, os_socket number);

/* A socket without a number; one for it (errors: EMFILE, ENOBUFS, ENOMEM); its end, its memory goes. */
sim_socket *sim_socket_make_locked(os_sim *w, os_socket_type type);
int         sim_socket_number_locked(os_sim *w, sim_socket *s);
void        sim_socket_end_locked(os_sim *w, sim_socket *s);

/* Gives it any free address of the family of `like` if it has none. errors: EADDRINUSE */
int sim_socket_bind_any_locked(os_sim *w, sim_socket *s, const os_addr *like);

/* Announces it: something about it may have changed; later on, too, after a caller was told less than the truth. */
void sim_announce_locked(os_sim *w, sim_socket *s);
void sim_announce_later_locked(os_sim *w, sim_socket *s);

/* What holds now: OS_POLL_ bits. */
uint32_t sim_look_locked(os_sim *w, sim_socket *s);

/* True if one of those is to say EAGAIN without need; the announcement is then on its way. */
bool sim_says_again_locked(os_sim *w, sim_socket *s);

/* Takes the error that waits. result: it, or 0 */
int sim_take_error_locked(sim_socket *s);

/* ---- sim_stream.c ---- */

/* The namesakes in socket.h, for streams. */
int64_t sim_stream_recv_locked(os_sim *w, sim_socket *s, const os_buf *bufs, unsigned count);
int64_t sim_stream_send_locked(os_sim *w, sim_socket *s, const os_buf *bufs, unsigned count);
int     sim_stream_shutdown_locked(os_sim *w, sim_socket *s);
int     sim_stream_connect_locked(os_sim *w, sim_socket *s, const os_addr *to);
int     sim_stream_accept_locked(os_sim *w, sim_socket *listener, sim_socket **out);

/* Takes its end of the connection away; of a listener those that nobody accepted. */
void sim_stream_close_locked(os_sim *w, sim_socket *s);
void sim_stream_stop_locked(os_sim *w, sim_socket *listener);

/* As sim_look_locked. */
uint32_t sim_stream_look_locked(os_sim *w, sim_socket *s);

/* Bytes in its buffers were limited anew. */
void sim_stream_limit_locked(sim_socket *s);

/* ---- sim_datagram.c ---- */

/* The namesakes in socket.h, for datagrams. */
int64_t sim_datagram_recv_locked(os_sim *w, sim_socket *s, const os_buf *bufs, unsigned count, os_addr *out_from,
                                 bool *out_cut);
int64_t sim_datagram_send_locked(os_sim *w, sim_socket *s, const os_buf *bufs, unsigned count, const os_addr *to);

/* Those that wait go; one that will not arrive. */
void sim_datagram_close_locked(sim_socket *s);
void sim_datagram_forget(sim_datagram *d);

/* ---- sim_poller.c ---- */

/* Takes it out of its poller. */
void sim_poller_forget_locked(sim_socket *s);

/* ---- sim_address.c ---- */

/* Sets the port number; 127.0.0.1 or ::1 with that number, of the family of `like`. */
void    sim_addr_set_port(os_addr *a, uint16_t number);
os_addr sim_addr_loopback(const os_addr *like, uint16_t number);

/* True if both have the same family and port number: the sockets collide, or one is reached by the other's name. */
bool sim_addr_same(const os_addr *a, const os_addr *b);

#endif
