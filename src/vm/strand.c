/* strand.c - a mailbox that is also the flag: pushing to an idle one makes the pusher the worker inside. */
#include "vm/strand.h"

#include "base/check.h"

static void strand_work(strand *s, completion *c);

static void strand_on_resume(completion *c) {
  (void)c; /* only there to come back inside: strand_work goes on with the mailbox */
}

void strand_init(strand *s, port *p, void (*after_turn)(strand *s)) {
  *s = (strand){.port = p, .after_turn = after_turn, .resume.run = strand_on_resume};
}

void strand_fini(strand *s) {
  CHECK(atomic_load(&s->mail) == NULL && s->order == NULL);
}

void strand_post(strand *s, completion *c) {
  int err = port_post_op(s->port, s, &c->op);
  CHECK(err == 0);
}

/* Enters an idle strand, or leaves c in the mailbox of a busy one. */
static bool strand_enter(strand *s, completion *c) {
  completion *top = atomic_load_explicit(&s->mail, memory_order_relaxed);
  for (;;) {
    c->next = top;
    completion *wanted = top == NULL ? &s->resume : c;
    if (atomic_compare_exchange_weak_explicit(&s->mail, &top, wanted, memory_order_acq_rel, memory_order_relaxed)) {
      return wanted != c;
    }
  }
}

/* Takes the oldest completion; with none left the strand is idle again. */
static completion *strand_next(strand *s) {
  if (s->order == NULL) {
    completion *top = &s->resume;
    if (atomic_compare_exchange_strong_explicit(&s->mail, &top, NULL, memory_order_acq_rel, memory_order_acquire)) {
      return NULL;
    }
    top = atomic_exchange_explicit(&s->mail, &s->resume, memory_order_acq_rel);
    while (top != &s->resume) {
      completion *older = top->next;
      top->next = s->order;
      s->order = top;
      top = older;
    }
  }
  completion *c = s->order;
  s->order = c->next;
  return c;
}

/* Runs c, then `order` and the mailbox. The caller has made the strand busy. */
static void strand_work(strand *s, completion *c) {
  for (unsigned n = 1; c != NULL; n++) {
    c->run(c);
    bool full = n % STRAND_BATCH == 0;
    if (s->after_turn != NULL && (s->order == NULL || full)) s->after_turn(s);
    c = strand_next(s);
    if (c == NULL || !full) continue;
    /* Other packets get their turn: the strand stays busy and comes back through the queue. It does so only with work
     * left, or a program that is over could end before `resume` arrives. */
    c->next = s->order;
    s->order = c;
    strand_post(s, &s->resume);
    return;
  }
}

/* Of what a completion belongs to, as much as it is sure to touch: with many connections it has left the caches. */
static void strand_prefetch(const port_packet *packet) {
  const waiting *c = (const waiting *)container_of(packet->op, completion, op);
  __builtin_prefetch(c);
  __builtin_prefetch(c + 1);
  __builtin_prefetch((const char *)(c + 1) + 64);
}

/* The strand was idle, and the worker is inside now: no need for the mailbox. The first is returned, the others wait in
 * `order`. */
static completion *strand_begin(strand *s, const port_packet *packets, unsigned count) {
  completion **end = &s->order;
  for (unsigned i = 1; i < count; i++) {
    if (i + 1 < count) strand_prefetch(&packets[i + 1]);
    *end = completion_of(&packets[i]);
    end = &(*end)->next;
  }
  *end = NULL;
  return container_of(packets[0].op, completion, op);
}

void strand_deliver(strand *s, const port_packet *packets, unsigned count) {
  completion *first = NULL; /* to run: the strand is ours */
  for (unsigned i = 0; i < count; i++) {
    completion *c = completion_of(&packets[i]);
    if (c == &s->resume) {
      first = c;
    } else if (strand_enter(s, c)) {
      first = strand_begin(s, packets + i, count - i);
      break;
    }
  }
  if (first != NULL) strand_work(s, first);
}
