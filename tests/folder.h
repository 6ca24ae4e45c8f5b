/* folder.h - a folder for the files of a test. */
#ifndef PORTICO_TESTS_FOLDER_H
#define PORTICO_TESTS_FOLDER_H

enum { FOLDER_PATH_BYTES = 512 };

/* An empty folder of its own, anew for each that asks. */
typedef struct folder {
  char path[FOLDER_PATH_BYTES];
} folder;
int folder_make(folder *d); /* 0, or -1: there can be none */

/* Writes the path of the file `name` in it, FOLDER_PATH_BYTES at most. */
void folder_file(const folder *d, const char *name, char *out_path);

/* Removes the folder, which must be empty by now: 0, or -1 if it is not. */
int folder_remove(const folder *d);

#endif
