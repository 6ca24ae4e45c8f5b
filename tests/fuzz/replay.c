/* replay.c - the main of a target that is built without libFuzzer: tries the files it is given, and those of folders.
 *   fuzz_address tests/fuzz/corpus/address crash-1234 */
#include <dirent.h>
#include <string.h>

#include "fuzz.h"

enum { REPLAY_BYTES_MAX = 1 << 20, REPLAY_PATH_BYTES = 4096 };

static unsigned replayed;

/* False if it is no file. */
static bool replay_file(const char *path) {
  static uint8_t room[REPLAY_BYTES_MAX];
  FILE          *f = fopen(path, "rb");
  if (f == NULL) return false;
  size_t len = fread(room, 1, sizeof room, f);
  bool   read = !ferror(f);
  fclose(f);
  if (!read) return false;
  uint8_t *data = malloc(len); /* of this size, so that who reads on is caught */
  REQUIRE(data != NULL || len == 0);
  if (len > 0) memcpy(data, room, len);
  LLVMFuzzerTestOneInput(data, len);
  free(data);
  replayed++;
  return true;
}

static bool replay_folder(const char *path) {
  DIR *d = opendir(path);
  if (d == NULL) return false;
  bool all = true;
  for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
    char file[REPLAY_PATH_BYTES];
    if (e->d_name[0] == '.') continue;
    snprintf(file, sizeof file, "%s/%s", path, e->d_name);
    fprintf(stderr, "%s\n", file); /* the last one is the one that failed */
    all = replay_file(file) && all;
  }
  closedir(d);
  return all;
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (replay_folder(argv[i]) || replay_file(argv[i])) continue;
    fprintf(stderr, "cannot read %s\n", argv[i]);
    return 1;
  }
  printf("%u inputs replayed\n", replayed);
  return replayed > 0 ? 0 : 1;
}
