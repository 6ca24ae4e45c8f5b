/* find.c - portico_find_files: the files below a folder, in the order of their paths. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/folder.h"
#include "portico.h"

typedef struct path_list {
  char **paths;
  size_t count, room;
} path_list;

typedef struct search {
  path_list   files, folders; /* folders: those before folders_done have been looked into */
  size_t      folders_done;
  const char *folder; /* the one that is being looked into */
  const char *suffix;
  int         err; /* what kept a name from being added */
} search;

static void list_free(path_list *l) {
  for (size_t i = 0; i < l->count; i++) free(l->paths[i]);
  free(l->paths);
}

/* Takes over path (allocated, or NULL where memory is out). */
static int list_add(path_list *l, char *path) {
  if (path != NULL && l->count == l->room) {
    size_t room = l->room == 0 ? 16 : l->room * 2;
    char **paths = realloc(l->paths, room * sizeof *paths);
    if (paths != NULL) {
      l->paths = paths;
      l->room = room;
    }
  }
  if (path == NULL || l->count == l->room) {
    free(path);
    return PORTICO_ENOMEM;
  }
  l->paths[l->count++] = path;
  return 0;
}

/* folder/name, allocated; only name if folder is "". */
static char *find_join(const char *folder, const char *name) {
  size_t      folder_len = strlen(folder), size = folder_len + strlen(name) + 2;
  char        last = folder_len == 0 ? '/' : folder[folder_len - 1];
  bool        joined = last == '/' || last == '\\'; /* uncovered: Windows has the other */
  char       *path = malloc(size);
  const char *between = joined ? "" : "/";
  if (path != NULL) snprintf(path, size, "%s%s%s", folder, between, name);
  return path;
}

static bool find_ends_in(const char *name, const char *suffix) {
  size_t len = strlen(name), suffix_len = strlen(suffix);
  return len >= suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

static void find_on_entry(const char *name, bool folder, void *arg) {
  search *s = arg;
  if (s->err < 0 || name[0] == '.' || (!folder && !find_ends_in(name, s->suffix))) return;
  s->err = list_add(folder ? &s->folders : &s->files, find_join(s->folder, name));
}

static int find_compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Looks into one folder after the other until no new one has turned up. */
static int find_all(search *s) {
  while (s->folders_done < s->folders.count) {
    s->folder = s->folders.paths[s->folders_done++];
    int err = os_folder_each(s->folder, find_on_entry, s);
    if (err == 0) err = s->err; /* uncovered: race: a folder that goes meanwhile */
    if (err < 0) return err;
  }
  if (s->files.count > 1) qsort(s->files.paths, s->files.count, sizeof *s->files.paths, find_compare);
  return 0;
}

int portico_find_files(const char *path, const char *suffix, void (*on_file)(const char *path, void *arg),
                       void *arg) {
  if (path == NULL || suffix == NULL || on_file == NULL) return PORTICO_EINVAL;
  int kind = os_folder_is(path);
  if (kind < 0) return kind;
  search s = {.suffix = suffix};
  int    err = list_add(kind == 1 ? &s.folders : &s.files, find_join("", path));
  if (err == 0) err = find_all(&s);
  for (size_t i = 0; err == 0 && i < s.files.count; i++) on_file(s.files.paths[i], arg);
  int count = (int)s.files.count;
  list_free(&s.folders);
  list_free(&s.files);
  return err < 0 ? err : count;
}
