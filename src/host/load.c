/* load.c - taking a script in: read, kept, compiled once to find its mistakes early. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "host/host.h"

enum { LOAD_BYTES_MAX = 64 * 1024 * 1024 };

void host_unload(portico_host *h) {
  for (int i = 0; i < h->argc; i++) free(h->argv[i]);
  free(h->argv);
  free(h->name);
  free(h->text);
  h->argc = 0;
  h->argv = NULL;
  h->name = h->text = NULL;
}

static char *load_copy(const char *text, size_t len) {
  char *copy = malloc(len + 1);
  if (copy == NULL) return NULL;
  memcpy(copy, text, len);
  copy[len] = '\0';
  return copy;
}

static int load_keep_args(portico_host *h, int argc, const char *const *argv) {
  h->argv = calloc((size_t)argc + 1, sizeof *h->argv);
  if (h->argv == NULL) return PORTICO_ENOMEM;
  for (; h->argc < argc; h->argc++) {
    h->argv[h->argc] = load_copy(argv[h->argc], strlen(argv[h->argc]));
    if (h->argv[h->argc] == NULL) return PORTICO_ENOMEM;
  }
  return 0;
}

int host_fail_in_script(portico_host *h, vm *v) {
  char *why = vm_take_message(v);
  int   err = host_fail(h, PORTICO_ESCRIPT, "%s", why != NULL ? why : "out of memory");
  free(why);
  return err;
}

int host_compile(portico_host *h, vm *v) {
  char chunk_name[512];
  snprintf(chunk_name, sizeof chunk_name, "@%s", h->name);
  return vm_load(v, h->text, h->len, chunk_name) == 0 ? 0 : host_fail_in_script(h, v);
}

/* Compiles in the first VM, only to hear what is wrong. */
static int load_check(portico_host *h) {
  if (h->len > 0 && h->text[0] == LUA_SIGNATURE[0]) {
    return host_fail(h, PORTICO_ESCRIPT, "%s: this is bytecode, only Lua source is run (name the .lua file)", h->name);
  }
  vm *v = h->rt->vms[0];
  int err = host_compile(h, v);
  if (err == 0) lua_pop(v->L, 1);
  return err;
}

/* Takes over text (allocated). */
static int load_take(portico_host *h, const char *name, char *text, size_t len, int argc, const char *const *argv) {
  h->text = text;
  h->len = len;
  h->name = load_copy(name, strlen(name));
  int err = h->name == NULL ? PORTICO_ENOMEM : load_keep_args(h, argc, argv);
  if (err < 0) host_fail(h, err, "cannot load %s: %s", name, portico_error_text(err));
  else err = load_check(h);
  if (err < 0) host_unload(h);
  else atomic_store(&h->state, HOST_LOADED);
  return err;
}

static int load_ready(portico_host *h, const char *name, int argc, const char *const *argv) {
  if (h == NULL || name == NULL || argc < 0 || (argc > 0 && argv == NULL)) return PORTICO_EINVAL;
  if (atomic_load(&h->state) != HOST_OPEN) return host_fail(h, PORTICO_EBUSY, "a script is loaded already");
  return 0;
}

int portico_load_string(portico_host *h, const char *name, const char *text, size_t len, int argc,
                        const char *const *argv) {
  int err = text == NULL ? PORTICO_EINVAL : load_ready(h, name, argc, argv);
  if (err < 0) return err;
  char *copy = load_copy(text, len);
  if (copy == NULL) return host_fail(h, PORTICO_ENOMEM, "cannot load %s: out of memory", name);
  return load_take(h, name, copy, len, argc, argv);
}

static int load_error(int raw) {
  switch (raw) { /* uncovered: EACCES, for who tests may be root */
  case ENOENT: return PORTICO_ENOFILE;
  case EACCES: return PORTICO_EACCES;
  case EMFILE: return PORTICO_EMFILE;
  default: return PORTICO_EIO;
  }
}

/* Reads a whole file; the size is not asked for, since it may be a pipe. */
static int load_read(FILE *f, char **out_text, size_t *out_len) {
  char  *text = NULL;
  size_t len = 0, room = 0;
  for (;;) {
    if (len == room) {
      room = room == 0 ? 16 * 1024 : room * 2;
      char *more = room > LOAD_BYTES_MAX ? NULL : realloc(text, room);
      if (more == NULL) {
        free(text);
        return room > LOAD_BYTES_MAX ? PORTICO_ELIMIT : PORTICO_ENOMEM;
      }
      text = more;
    }
    size_t n = fread(text + len, 1, room - len, f);
    len += n;
    if (n == 0) break;
  }
  if (ferror(f)) {
    free(text);
    return PORTICO_EIO; /* a folder, for one */
  }
  *out_text = text;
  *out_len = len;
  return 0;
}

int portico_load_file(portico_host *h, const char *path, int argc, const char *const *argv) {
  int err = load_ready(h, path, argc, argv);
  if (err < 0) return err;
  FILE *f = fopen(path, "rb");
  if (f == NULL) {
    err = load_error(errno);
    return host_fail(h, err, "cannot read script %s: %s", path, portico_error_text(err));
  }
  char  *text;
  size_t len;
  err = load_read(f, &text, &len);
  fclose(f);
  if (err < 0) return host_fail(h, err, "cannot read script %s: %s", path, portico_error_text(err));
  return load_take(h, path, text, len, argc, argv);
}
