/* collector.h - when a VM's garbage is collected: while it works, and once it has nothing to do.   Layer: vm. */
#ifndef PORTICO_VM_COLLECTOR_H
#define PORTICO_VM_COLLECTOR_H
#include <stdatomic.h>

#include "vm/runtime.h"

/* The worker inside has it, but for `wanted`. */
typedef struct collector {
  completion   step;   /* of a collection in a quiet moment; on its way while `wanted` is COLLECTOR_ASKED */
  bool         small;  /* more garbage may pile up, see collector.c */
  unsigned     cycles; /* that this collection has ended */
  size_t       worth;  /* a quiet moment is used when there is more than that */
  _Atomic int  wanted; /* a collector_wish; any thread may ask for what is wanted */
} collector;

/* Sets up the collector of a new state. */
void collector_init(vm *v);

/* After each turn: tunes the collector to what there is, and notes whether a quiet moment would be of use. */
void collector_after_turn(vm *v);

/* Nothing has happened in the VM for a while: collects all its garbage, in steps between which packets pass, and gives
 * freed memory back to the system; unless it was done and too little has come since. threads: any, one at a time */
void collector_rest(vm *v);

#endif
