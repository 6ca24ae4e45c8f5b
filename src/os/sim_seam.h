/* sim_seam.h - where the calls of the os layer leave for a simulated world.   Layer: os (private to it).
 * A simulated socket is known by its number, so that a call on another one costs a comparison. */
#ifndef PORTICO_OS_SIM_SEAM_H
#define PORTICO_OS_SIM_SEAM_H
#include "os/poller.h"
#include "os/sim.h"
#include "os/socket.h"
#include "os/thread.h"

enum { SIM_SOCKET_FIRST = 1 << 30 }; /* no system gives that many */

/* The calling thread's world; the same if its clock is virtual, else NULL. */
extern _Thread_local os_sim *sim_here, *sim_virtual_here;

/* True if s is a socket of some world. */
static inline bool sim_owns(os_socket s) {
#ifdef _WIN32
  return (intptr_t)s >= SIM_SOCKET_FIRST;
#else
  return s >= SIM_SOCKET_FIRST;
#endif
}

/* The namesakes in socket.h, on sockets that sim_owns. */
int     sim_socket_open(os_socket_type type, os_socket *out);
void    sim_socket_close(os_socket s);
int     sim_socket_bind(os_socket s, const os_addr *at);
int     sim_socket_listen(os_socket s, int backlog);
void    sim_socket_stop_listening(os_socket s);
int     sim_socket_share_address(os_socket s);
int     sim_socket_local(os_socket s, os_addr *out);
int     sim_socket_peer(os_socket s, os_addr *out);
bool    sim_socket_was_connected(os_socket s);
int     sim_socket_set_nodelay(os_socket s);
int     sim_socket_set_buffers(os_socket s, int send_bytes);
int     sim_socket_set_reset_on_close(os_socket s);
int64_t sim_socket_recv(os_socket s, const os_buf *bufs, unsigned count, os_addr *out_from, bool *out_cut);
int64_t sim_socket_send(os_socket s, const os_buf *bufs, unsigned count, const os_addr *to);
int     sim_socket_shutdown_send(os_socket s);
int     sim_socket_connect(os_socket s, const os_addr *to);
int     sim_socket_accept(os_socket listener, os_socket *out, os_addr *out_peer);
int     sim_socket_take_error(os_socket s);
int     sim_socket_wait(os_socket s, int events, int64_t timeout_ns);

/* As os_resolve: a world knows numeric addresses and "localhost". */
int sim_resolve(const char *name, uint16_t port, os_addr *out);

/* As os_clock_now, in sim_virtual_here. */
int64_t sim_clock_now(void);

/* ---- threads of sim_virtual_here: see sim_thread.c ---- */

/* One that is about to be started: known to the world before it runs, so that its turn does not depend on the system.
 * Then the handle that it is joined by; 0 = it could not be started.
 * result   NULL = the caller is in no such world */
typedef struct sim_thread sim_thread;
sim_thread *sim_thread_make(void);
void        sim_thread_made(sim_thread *t, uintptr_t handle);

/* The new thread enters the world it was started in, if any, and waits for its first turn; t NULL: the clock of w is
 * real. Then its end there. */
void sim_thread_begin(os_sim *w, sim_thread *t);
void sim_thread_end(void);

/* Waits for the end of a thread of this world; the system's has then nothing left to do. */
void sim_thread_join(uintptr_t handle);

/* A thread that the world did not start comes, and goes. */
void sim_thread_enter(os_sim *w);
void sim_thread_leave(os_sim *w);

/* As os_thread_yield; as os_event_wait. */
void sim_thread_yield(void);
bool sim_event_wait(os_event *e, int64_t timeout_ns);

/* Waits until the mutex, which is held, may be free; tells that it is. */
void sim_mutex_wait(const os_mutex *m);
void sim_mutex_wake(const os_mutex *m);

/* What a view names: the calling thread. As os_thread_cpu_ns, in virtual time; as os_thread_asleep. */
uintptr_t sim_thread_here(void);
int64_t   sim_thread_ran_ns(uintptr_t thread);
bool      sim_thread_waits(uintptr_t thread);
enum { SIM_VIEW_ID = -1 }; /* as the id of such a view */

/* ---- those of the system, whatever world the caller is in: in thread_*.c, for sim_*.c ---- */

/* Waits until the event is set, and clears it; does that if it is set. */
void sys_event_await(os_event *e);
bool sys_event_take(os_event *e);

/* As os_mutex_lock and os_mutex_unlock. */
void sys_mutex_lock(os_mutex *m);
void sys_mutex_unlock(os_mutex *m);

/* The namesakes in poller.h, for the pollers of a world. */
typedef struct os_sim_poller os_sim_poller;
int  sim_poller_open(os_sim_poller **out);
void sim_poller_close(os_sim_poller *p);
int  sim_poller_add(os_sim_poller *p, os_socket s, void *owner);
int  sim_poller_again(os_sim_poller *p, os_socket s, void *owner);
void sim_poller_remove(os_sim_poller *p, os_socket s);
int  sim_poller_wait(os_sim_poller *p, os_poll_event *out_events, unsigned max, int64_t until_ns);
void sim_poller_wake(os_sim_poller *p);

#endif
