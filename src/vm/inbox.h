/* inbox.h - messages from other threads to the functions that a script subscribed.   Layer: vm.
 * Each message is copied once and shared by the VMs; each VM sees the messages of one thread in their order. */
#ifndef PORTICO_VM_INBOX_H
#define PORTICO_VM_INBOX_H
#include "vm/vm.h"

/* Makes v->inbox. errors: ENOMEM */
int  inbox_open(vm *v);
void inbox_close(vm *v);

/* Lua function: (topic, function(data, topic)). One function per topic and VM; nil takes it back. */
int inbox_subscribe(lua_State *L);

/* True if the script subscribed to anything so far. Strand only. */
bool inbox_wanted(vm *v);

/* Sends data to every VM of the runtime; those without a subscription forget it.
 * errors   ENOMEM, ECLOSED. threads: any */
int inbox_post(runtime *rt, const char *topic, const void *data, size_t len);

#endif
