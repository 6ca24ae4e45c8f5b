#include "json.h"

#include <stdint.h>
#include <string.h>

typedef struct json {
  const unsigned char *at, *end;
} json;

static bool json_take(json *j, unsigned char byte) {
  if (j->at == j->end || *j->at != byte) return false;
  j->at++;
  return true;
}

/* A character of UTF-8 beyond ASCII: the shortest form, no surrogate, none beyond U+10FFFF. */
static bool json_take_utf8(json *j) {
  static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
  unsigned char         first = *j->at++;
  unsigned              more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
  if (first < 0xc0 || first > 0xf7) return false;
  uint32_t value = first & (0x3fu >> more);
  for (unsigned i = 0; i < more; i++, j->at++) {
    if (j->at == j->end || (*j->at & 0xc0) != 0x80) return false;
    value = value << 6 | (*j->at & 0x3fu);
  }
  return value >= least[more] && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
}

static bool json_take_escape(json *j) {
  if (j->at == j->end) return false;
  unsigned char kind = *j->at++;
  if (kind != 'u') return kind != '\0' && strchr("\"\\/bfnrt", kind) != NULL;
  for (unsigned i = 0; i < 4; i++, j->at++) {
    if (j->at == j->end || *j->at == '\0' || strchr("0123456789abcdefABCDEF", *j->at) == NULL) return false;
  }
  return true;
}

static bool json_take_string(json *j) {
  if (!json_take(j, '"')) return false;
  while (j->at < j->end) {
    if (*j->at == '"') return json_take(j, '"');
    if (*j->at < 0x20) return false;
    bool fine = *j->at == '\\' ? (j->at++, json_take_escape(j)) : *j->at >= 0x80 ? json_take_utf8(j) : (j->at++, true);
    if (!fine) return false;
  }
  return false;
}

static bool json_take_value(json *j) {
  if (j->at < j->end && *j->at == '"') return json_take_string(j);
  const unsigned char *first = j->at;
  while (j->at < j->end && *j->at >= '0' && *j->at <= '9') j->at++;
  return j->at > first;
}

bool json_is_object(const char *text, size_t len) {
  json j = {(const unsigned char *)text, (const unsigned char *)text + len};
  if (!json_take(&j, '{')) return false;
  do {
    if (!json_take_string(&j) || !json_take(&j, ':') || !json_take_value(&j)) return false;
  } while (json_take(&j, ','));
  return json_take(&j, '}') && j.at == j.end;
}
