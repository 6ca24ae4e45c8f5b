/* folder.h - what is in a folder, and making one.   Layer: os. */
#ifndef PORTICO_OS_FOLDER_H
#define PORTICO_OS_FOLDER_H
#include <stdbool.h>

/* One name in a folder, valid during the call. folder: it is one itself (a link to one is not). */
typedef void (*os_folder_on_entry)(const char *name, bool folder, void *arg);

/* Calls on_entry for each name in a folder but "." and "..", in no order. Path and names are UTF-8. Blocks.
 * errors   ENOFILE (nothing there, or a file), EACCES, EMFILE, ENOMEM, EIO; some names may have been told before */
int os_folder_each(const char *path, os_folder_on_entry on_entry, void *arg);

/* Tells what is at a path, links followed: 1 a folder, 0 anything else. errors: as above */
int os_folder_is(const char *path);

/* Makes a folder that only its owner may enter (Windows: as the folder around it says). Blocks.
 * errors   EEXIST (there is something already), ENOFILE (no folder around it), EACCES, EROFS, ENOSPC, EIO */
int os_folder_make(const char *path);

#endif
