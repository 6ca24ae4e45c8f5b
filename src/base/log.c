/* log.c - formats a record and hands it on. */
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/sized.h"

enum { LOG_TEXT_BYTES = SIZED(1024, 7) }; /* of a usual record; longer ones are allocated */

bool log_wants(const logger *l, portico_log_level level) {
  return l->fn != NULL && level >= l->level && level < PORTICO_LOG_OFF;
}

static void log_hand_on(const logger *l, portico_log_level level, unsigned vm, const char *text) {
  portico_log_record record = {.level = level, .unix_ns = l->clock(), .text = text, .vm = vm};
  l->lock(l->mutex);
  l->fn(&record, l->arg);
  l->unlock(l->mutex);
}

void log_write(const logger *l, portico_log_level level, unsigned vm, const char *format, ...) {
  if (!log_wants(l, level)) return;
  char    near[LOG_TEXT_BYTES];
  va_list args;
  va_start(args, format);
  int len = vsnprintf(near, sizeof near, format, args);
  va_end(args);
  char *far = len >= (int)sizeof near ? malloc((size_t)len + 1) : NULL;
  if (far != NULL) {
    va_start(args, format);
    vsnprintf(far, (size_t)len + 1, format, args);
    va_end(args);
  }
  log_hand_on(l, level, vm, far != NULL ? far : near); /* out of memory: the first KiB is better than nothing */
  free(far);
}
