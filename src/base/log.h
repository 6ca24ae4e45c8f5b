/* log.h - log records, from anywhere in the house to the function that the embedder gave.   Layer: base. */
#ifndef PORTICO_BASE_LOG_H
#define PORTICO_BASE_LOG_H
#include <stdarg.h>

#include "portico.h"

/* Where records go. One per host, fixed after the host was opened. lock and unlock serialise the calls of fn. */
typedef struct logger {
  portico_log_level level;
  portico_log_fn    fn; /* NULL = nobody listens */
  void             *arg;
  int64_t (*clock)(void);
  void (*lock)(void *mutex);
  void (*unlock)(void *mutex);
  void *mutex;
} logger;

/* True if a record of that level would be heard: ask before making an expensive one. */
bool log_wants(const logger *l, portico_log_level level);

/* Makes a record, printf-like; vm = 1-based number of the VM it is about, 0 = none. Long texts are not cut.
 * threads  any; not under a lock that fn's world could want */
__attribute__((format(printf, 4, 5))) void log_write(const logger *l, portico_log_level level, unsigned vm,
                                                     const char *format, ...);

#endif
