/* timer.h - portico.after and portico.every: the Lua type portico.Timer.   Layer: vm. Strand only. */
#ifndef PORTICO_VM_TIMER_H
#define PORTICO_VM_TIMER_H
#include "vm/vm.h"

/* Registers the metatable; the state's stack is left as it was. */
void timer_open_type(lua_State *L);

/* Lua functions: (seconds, function, ...) -> timer. */
int timer_after(lua_State *L);
int timer_every(lua_State *L);

/* Cancels every timer of the VM. */
void timer_sweep(vm *v);

#endif
