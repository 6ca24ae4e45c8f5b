/* sized.h - sizes that are ours to choose, and what they are when tests want them tiny.   Layer: base.
 * With PORTICO_TINY (the preset `tiny`) queues, batches, tables and buffers are as small as they can be, so that the
 * tests keep running into their ends. But for the clock nobody outside can tell. */
#ifndef PORTICO_BASE_SIZED_H
#define PORTICO_BASE_SIZED_H

#ifdef PORTICO_TINY
#define SIZED(usual, tiny) (tiny)
#else
#define SIZED(usual, tiny) (usual)
#endif

#endif
