/* collector.c - how much garbage may pile up, and the collection in a quiet moment. */
#include "vm/collector.h"

#include "base/check.h"
#include "base/sized.h"
#include "vm/vm.h"

/* Incremental, since the generational mode has bugs in 5.4.4. A cycle begins when the heap has grown to PAUSE % of what
 * was left by the last: so much garbage there may be. A small heap may have more, since it is small all the same, and
 * else the libraries would be marked again every few hundred messages. The cap collects first, see watchdog.c. */
enum { COLLECTOR_PAUSE = 200, COLLECTOR_PAUSE_SMALL = 400, COLLECTOR_STEP_MULTIPLIER = 200 };
enum { COLLECTOR_SMALL_BYTES = 256 * 1024, COLLECTOR_LARGE_BYTES = 512 * 1024 }; /* in between it stays */

enum {
  COLLECTOR_STEPS = SIZED(8, 1), /* of Lua's in one of ours: some hundred microseconds */
  COLLECTOR_CYCLES = 2,              /* what died during the first is found by the second */
  COLLECTOR_WORTH_BYTES = SIZED(64 * 1024, 0), /* and an eighth of what is in use: less is not worth a walk */
};

typedef enum collector_wish {
  COLLECTOR_CONTENT, /* too little has come since the last collection */
  COLLECTOR_WILLING,
  COLLECTOR_ASKED, /* a step is on its way; the runtime is held for it */
} collector_wish;

static void collector_on_step(completion *c);

void collector_init(vm *v) {
  v->collector = (collector){.step.run = collector_on_step};
  lua_gc(v->L, LUA_GCINC, COLLECTOR_PAUSE, COLLECTOR_STEP_MULTIPLIER, 0);
}

void collector_after_turn(vm *v) {
  collector *c = &v->collector;
  size_t     used = v->memory.used;
  if (used > c->worth && atomic_load_explicit(&c->wanted, memory_order_relaxed) == COLLECTOR_CONTENT) {
    atomic_store(&c->wanted, COLLECTOR_WILLING);
  }
  if (c->small ? used <= COLLECTOR_LARGE_BYTES : used >= COLLECTOR_SMALL_BYTES) return;
  c->small = !c->small;
  lua_gc(v->L, LUA_GCSETPAUSE, c->small ? COLLECTOR_PAUSE_SMALL : COLLECTOR_PAUSE);
}

static void collector_end(vm *v, collector_wish wish) {
  atomic_store(&v->collector.wanted, wish);
  runtime_release(v->rt);
}

static void collector_finish(vm *v) {
  size_t used = v->memory.used;
  blocks_drop(&v->memory.blocks);
  v->collector.worth = used + used / 8 + COLLECTOR_WORTH_BYTES;
  collector_end(v, COLLECTOR_CONTENT);
}

static void collector_on_step(completion *first) {
  collector *c = container_of(first, collector, step);
  vm        *v = container_of(c, vm, collector);
  vm_name_calls(v, "__gc", "what was collected"); /* finalizers are Lua, too: blamed, if not stopped */
  vm_enter(v);
  for (int i = 0; i < COLLECTOR_STEPS && c->cycles < COLLECTOR_CYCLES; i++) { /* uncovered: a heap that takes more */
    c->cycles += lua_gc(v->L, LUA_GCSTEP, 0);
  }
  vm_leave(v);
  if (c->cycles == COLLECTOR_CYCLES) collector_finish(v); /* uncovered: a heap that takes more */
  else if (runtime_ending(v->rt)) collector_end(v, COLLECTOR_WILLING); /* uncovered: race: the end comes meanwhile */
  else strand_post(&v->strand, &c->step); /* uncovered: a heap that takes more */
}

void collector_rest(vm *v) {
  collector *c = &v->collector;
  if (atomic_load(&c->wanted) != COLLECTOR_WILLING) return;
  if (!runtime_hold_living(v->rt)) return; /* uncovered: race: the end comes just now */
  atomic_store(&c->wanted, COLLECTOR_ASKED);
  c->cycles = 0;
  strand_post(&v->strand, &c->step);
}
