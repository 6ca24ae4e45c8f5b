#include "cli/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line that grows. Without memory it stays as long as it is. */
typedef struct line {
  char  *bytes;
  size_t len, capacity;
} line;

static void line_add(line *l, const char *bytes, size_t len) {
  if (l->len + len > l->capacity) {
    size_t capacity = 2 * (l->len + len) + 256;
    char  *grown = realloc(l->bytes, capacity);
    if (grown == NULL) return; /* uncovered: no test takes the memory of the program itself */
    l->bytes = grown;
    l->capacity = capacity;
  }
  memcpy(l->bytes + l->len, bytes, len);
  l->len += len;
}

static void line_format(line *l, const char *format, ...) {
  char    part[128];
  va_list args;
  va_start(args, format);
  vsnprintf(part, sizeof part, format, args);
  va_end(args);
  line_add(l, part, strlen(part));
}

/* Bytes of the UTF-8 character at s; 0 = what stands there is none, or is one that could drive a terminal. */
static size_t printable_utf8(const unsigned char *s) {
  size_t len = s[0] >= 0xF0 && s[0] < 0xF5 ? 4 : s[0] >= 0xE0 ? 3 : s[0] >= 0xC2 ? 2 : 0;
  if (s[0] < 0x80) return s[0] >= 0x20 && s[0] != 0x7F;
  if (s[0] >= 0xF5) return 0;
  for (size_t i = 1; i < len; i++)
    if ((s[i] & 0xC0) != 0x80) return 0;     /* stops at the NUL in any case */
  if (s[0] == 0xC2 && s[1] < 0xA0) return 0; /* C1 controls */
  if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90)) return 0; /* longer than need be */
  if ((s[0] == 0xED && s[1] >= 0xA0) || (s[0] == 0xF4 && s[1] >= 0x90))
    return 0; /* surrogates; beyond Unicode */
  return len;
}

/* Adds text; what is not printable goes through `escape`, one byte at a time. */
static void line_add_text(line *l, const char *text, void (*escape)(line *l, unsigned char byte)) {
  const unsigned char *s = (const unsigned char *)text;
  while (*s != '\0') {
    size_t len = *s == '"' || *s == '\\' ? 0 : printable_utf8(s);
    if (len > 0)
      line_add(l, (const char *)s, len);
    else
      escape(l, *s);
    s += len > 0 ? len : 1;
  }
}

static void escape_text(line *l, unsigned char byte) {
  if (byte == '\n')
    line_add(l, "\n  ", 3);
  else if (byte == '\t' || byte == '"' || byte == '\\')
    line_add(l, (const char *)&byte, 1);
  else
    line_format(l, "\\x%02x", byte);
}

static void escape_json(line *l, unsigned char byte) {
  if (byte == '\n')
    line_add(l, "\\n", 2);
  else if (byte == '\t')
    line_add(l, "\\t", 2);
  else if (byte == '"' || byte == '\\')
    line_format(l, "\\%c", byte);
  else if (byte < 0x80)
    line_format(l, "\\u%04x", byte);
  else
    line_add(l, "\\ufffd", 6); /* part of no character: JSON has no way to carry it */
}

/* Of the levels that a record can have. */
static const char *const level_names[] = {[PORTICO_LOG_DEBUG] = "debug",
                                          [PORTICO_LOG_INFO] = "info",
                                          [PORTICO_LOG_WARN] = "warn",
                                          [PORTICO_LOG_ERROR] = "error"};

/* Adds the time of day. (gmtime and localtime are not safe while scripts call os.date on other threads.) */
static void line_add_time(line *l, int64_t unix_ns) {
  int ms = (int)(unix_ns / 1000000 % 86400000);
  line_format(l, "%02d:%02d:%02d.%03dZ", ms / 3600000, ms / 60000 % 60, ms / 1000 % 60, ms % 1000);
}

/* Adds the date: counts 400-year cycles from 1 March of the year 0, so that leap days come last. */
static void line_add_date(line *l, int64_t unix_ns) {
  int64_t days = unix_ns / 1000000000 / 86400 + 719468;
  int64_t cycle = days / 146097;
  int64_t day = days % 146097;
  int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
  day -= 365 * year + year / 4 - year / 100;
  int64_t month = (5 * day + 2) / 153; /* 0 = March */
  int64_t in_year = month < 10 ? month + 3 : month - 9; /* uncovered: race: the other half is winter */
  line_format(l, "%04d-%02d-%02d", (int)(400 * cycle + year + (month >= 10)), (int)in_year,
              (int)(day - (153 * month + 2) / 5 + 1));
}

/* Adds a record in one of the two formats. */
typedef void (*line_format_record)(line *l, const portico_log_record *record);

static void line_add_as_text(line *l, const portico_log_record *record) {
  line_add_time(l, record->unix_ns);
  line_format(l, " %-5s ", level_names[record->level]);
  if (record->vm != 0) line_format(l, "vm %u: ", record->vm);
  line_add_text(l, record->text, escape_text);
  line_add(l, "\n", 1);
}

static void line_add_as_json(line *l, const portico_log_record *record) {
  line_format(l, "{\"time\":\"");
  line_add_date(l, record->unix_ns);
  line_format(l, "T");
  line_add_time(l, record->unix_ns);
  line_format(l, "\",\"level\":\"%s\"", level_names[record->level]);
  if (record->vm != 0) line_format(l, ",\"vm\":%u", record->vm);
  line_format(l, ",\"message\":\"");
  line_add_text(l, record->text, escape_json);
  line_format(l, "\"}\n");
}

/* ---- what stderr has not taken ----
 * Only one record at a time is logged, so this needs no lock. */

static line          begun; /* the rest of a record of which stderr has taken the beginning: nothing may go before it */
static unsigned long lost;  /* records since then */

/* Offers the line. result: true if stderr has taken all of it, or the beginning, and the rest is kept */
static bool line_offer(line *l) {
  size_t sent = portico_stderr_offer(l->bytes, l->len);
  l->len -= sent;
  if (sent == 0) return false;
  memmove(l->bytes, l->bytes + sent, l->len);
  return true;
}

static void log_record(const portico_log_record *record, line_format_record add) {
  line l = {0};
  if (begun.len > 0) line_offer(&begun);
  if (begun.len > 0) {
    lost++;
    return;
  }
  if (lost > 0) {
    char text[80];
    snprintf(text, sizeof text, "%lu log records are lost: standard error did not take them", lost);
    add(&l, &(portico_log_record){.level = PORTICO_LOG_WARN, .unix_ns = record->unix_ns, .text = text});
  }
  add(&l, record);
  lost = line_offer(&l) ? 0 : lost + 1;
  if (lost > 0) l.len = 0;
  free(begun.bytes);
  begun = l;
}

void log_text(const portico_log_record *record, void *arg) {
  (void)arg;
  log_record(record, line_add_as_text);
}

void log_json(const portico_log_record *record, void *arg) {
  (void)arg;
  log_record(record, line_add_as_json);
}
