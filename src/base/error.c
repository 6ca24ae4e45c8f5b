/* error.c - words for error codes. */
#include "base/error.h"

const char *portico_error_text(int err) {
  if (err >= 0) return "success";
  switch (err) {
#define ERROR_TEXT(name, value, text) \
  case value: return text;
    PORTICO_ERRORS(ERROR_TEXT)
#undef ERROR_TEXT
  default: return "unknown error";
  }
}

const char *portico_error_name(int err) {
  if (err >= 0) return "OK";
  switch (err) {
#define ERROR_NAME(name, value, text) \
  case value: return #name;
    PORTICO_ERRORS(ERROR_NAME)
#undef ERROR_NAME
  default: return "EUNKNOWN";
  }
}
