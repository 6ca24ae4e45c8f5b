/* check.h - assertions: bugs of ours crash, mistakes of others are answered with an error.   Layer: base. */
#ifndef PORTICO_BASE_CHECK_H
#define PORTICO_BASE_CHECK_H

/* Reports a broken invariant on stderr and aborts: the one place where the library does either. */
_Noreturn void check_failed(const char *what, const char *file, int line);

/* Stays on in release builds: memory safety and counts. */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

/* Debug builds only: what would cost on the hot path. */
#ifdef NDEBUG
#define DCHECK(condition) ((void)sizeof(condition))
#else
#define DCHECK(condition) CHECK(condition)
#endif

/* The struct that holds member `member` at address ptr. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
