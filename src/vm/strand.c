/* strand.c - a mailbox and a flag. */
#include "vm/strand.h"

#include "base/check.h"

enum { STRAND_BATCH = 32 }; /* completions in one go before other packets get their turn */

static void strand_work(strand *s, completion *c);

static void strand_on_resume(completion *c) {
  (void)c; /* only there to come back inside: strand_work goes on with the mailbox */
}

void strand_init(strand *s, port *p, void (*after_each)(strand *s)) {
  *s = (strand){.port = p, .after_each = after_each, .resume.run = strand_on_resume};
  os_mutex_init(&s->lock);
}

void strand_fini(strand *s) {
  CHECK(!s->busy && s->mail == NULL);
  os_mutex_fini(&s->lock);
}

int strand_post(strand *s, completion *c) {
  return port_post(s->port, s, &c->op, 0);
}

static void strand_mail_locked(strand *s, completion *c) {
  c->next = NULL;
  if (s->mail != NULL) s->mail_last->next = c;
  else s->mail = c;
  s->mail_last = c;
}

/* Takes the oldest completion; with none left the strand is idle again. */
static completion *strand_next(strand *s) {
  os_mutex_lock(&s->lock);
  completion *c = s->mail;
  if (c != NULL) s->mail = c->next;
  else s->busy = false;
  os_mutex_unlock(&s->lock);
  return c;
}

/* Runs c and then the mailbox. The caller has made the strand busy. */
static void strand_work(strand *s, completion *c) {
  for (unsigned n = 1; c != NULL; n++) {
    c->run(c);
    if (s->after_each != NULL) s->after_each(s);
    /* The strand stays busy on its way through the queue; without memory for the detour we just go on. */
    if (n % STRAND_BATCH == 0 && port_post(s->port, s, &s->resume.op, 0) == 0) return;
    c = strand_next(s);
  }
}

void strand_deliver(strand *s, const port_packet *packet) {
  completion *c = (completion *)packet->op;
  c->bytes = packet->bytes;
  c->err = packet->err;
  if (c != &s->resume) {
    os_mutex_lock(&s->lock);
    bool busy = s->busy;
    if (busy) strand_mail_locked(s, c);
    s->busy = true;
    os_mutex_unlock(&s->lock);
    if (busy) return;
  }
  strand_work(s, c);
}
