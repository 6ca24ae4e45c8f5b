#include "cli/script.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "embedded_scripts.h" /* made from scripts/ by the build */

const char *script_default_name(size_t index) { return embedded_scripts[index].name; }

static const embedded_file *default_script(const char *name) {
  const embedded_file *f = embedded_scripts;
  while (f->name != NULL && strcmp(f->name, name) != 0) f++;
  return f->name != NULL ? f : NULL;
}

/* Tells a file from a folder, or from nothing, by reading a byte of it: ISO C has no other way. */
static bool readable_file(const char *path) {
  FILE *f = fopen(path, "rb");
  if (f == NULL) return false;
  (void)fgetc(f);
  bool readable = !ferror(f);
  fclose(f);
  return readable;
}

const char *script_default_text(const char *script) {
  const embedded_file *f = default_script(script);
  return f == NULL || readable_file(script) ? NULL : f->text;
}

int script_load(portico_host *host, const char *script, int argc, char **argv) {
  const embedded_file *f = default_script(script);
  const char *const   *args = (const char *const *)argv;
  if (f == NULL || readable_file(script)) return portico_load_file(host, script, argc, args);
  char name[64];
  snprintf(name, sizeof name, "%s.lua", f->name); /* what messages call it */
  return portico_load_string(host, name, f->text, f->len, argc, args);
}
