#include "base/text.h"

#include <string.h>

void text_show(const char *text, char *out, size_t out_bytes) {
  static const char more[] = "...";
  size_t            len = 0;
  for (; text[len] != '\0' && len < out_bytes - 1; len++) {
    unsigned char byte = (unsigned char)text[len];
    out[len] = (char)(byte < 0x20 || byte == 0x7f ? '?' : byte);
  }
  out[len] = '\0';
  if (text[len] != '\0') memcpy(out + len + 1 - sizeof more, more, sizeof more);
}
