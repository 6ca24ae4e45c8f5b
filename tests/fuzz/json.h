/* json.h - is a text what RFC 8259 calls an object? Of numbers it knows whole ones only, and no nested values. */
#ifndef PORTICO_TESTS_FUZZ_JSON_H
#define PORTICO_TESTS_FUZZ_JSON_H
#include <stdbool.h>
#include <stddef.h>

bool json_is_object(const char *text, size_t len);

#endif
