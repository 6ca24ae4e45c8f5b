/* blocks.c - handlers that block until another packet, behind theirs, is handled: somebody else has to do that,
 * although the gate may be full. */
#include <stdlib.h>

#include "run.h"

enum { BLOCKS = 8 };
static const int64_t blocks_patience_ns = 300 * OS_NS_PER_MS; /* much less than the driver of the run pauses */

struct blocks {
  run     *r;
  unsigned begun, over;
  os_event released[BLOCKS];
};

char blocks_post_key;

blocks *blocks_open(run *r) {
  blocks *b = calloc(1, sizeof *b);
  EXPECT(r, b != NULL);
  b->r = r;
  for (unsigned i = 0; i < BLOCKS; i++) EXPECT(r, os_event_init(&b->released[i]) == 0);
  return b;
}

static void blocks_post(blocks *b, unsigned number, uint32_t releases) {
  EXPECT(b->r, port_post(b->r->p, &blocks_post_key, (void *)(uintptr_t)number, releases) == 0);
  b->r->pending++;
}

/* One worker must be left for the others. */
void blocks_step(blocks *b) {
  if (b->begun == BLOCKS || b->begun - b->over == b->r->workers - 1 || !run_chance(b->r, 20)) return;
  unsigned number = b->begun++;
  blocks_post(b, number, 0);
  blocks_post(b, number, 1);
}

void blocks_on_post(blocks *b, const port_packet *packet) {
  unsigned number = (unsigned)(uintptr_t)packet->op;
  run_note(b->r, packet->bytes == 1 ? "release" : "block", 0, number);
  if (packet->bytes == 1) {
    os_event_set(&b->released[number]);
    return;
  }
  bool bracket = !b->r->monitor || run_chance(b->r, 50);
  EXPECT(b->r, worker_wait(b->r, &b->released[number], bracket, blocks_patience_ns));
  b->over++;
}

void blocks_close(blocks *b) {
  EXPECT(b->r, b->over == b->begun);
  for (unsigned i = 0; i < BLOCKS; i++) os_event_fini(&b->released[i]);
  free(b);
}
