/* recording.c - a queue of bytes on its way into a file, one write at a time. */
#include "vm/recording.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "net/address.h"
#include "os/clock.h"
#include "os/file.h"
#include "vm/recorder.h"
#include "vm/vm.h"

enum {
  RECORDING_LINE_BYTES = 96,
  RECORDING_REST_BYTES = 1024, /* of a file, kept free for what always has its place: how it ended */
};

typedef enum recording_state { RECORDING_OPENING, RECORDING_IDLE, RECORDING_WRITING, RECORDING_FAILED } recording_state;

/* Bytes in memory of their own. Zeroed = none. */
typedef struct recording_bytes {
  char  *data;
  size_t len, room;
} recording_bytes;

struct recording {
  completion      c; /* first; of the opening, then of each write */
  vm             *vm;
  recording_state state;
  bool            over;     /* the connection has gone: ends with the last write */
  const char     *broken;   /* why no more can be written; NULL = it can. Then FAILED, once no write is under way */
  int             open_err; /* what the opening strand brings back */
  os_file         opened;
  port_handle    *file;          /* NULL until it is open, and when FAILED */
  recording_bytes waiting;       /* to be written. Not the chunks of a stream: for one caller alone the compiler puts
                                    chunks_append into stream_send, which each message runs */
  recording_bytes writing;       /* which the port has */
  uint64_t        written_bytes; /* into the file */
  uint64_t        lost_bytes; /* more than 0: nothing is kept any more */
  int64_t         start_ns;
  char            path[];
};

static recorder *recording_all(const recording *r) {
  return r->vm->rt->recorder;
}

static void recording_warn(const recording *r, const char *why) {
  log_write(runtime_log(r->vm->rt), PORTICO_LOG_WARN, r->vm->index,
            "recording %s: %s: the rest of this connection is not recorded", r->path, why);
}

/* ---- the queue ---- */

static void recording_drop(recording *r, recording_bytes *b) {
  atomic_fetch_sub(&recording_all(r)->waiting_bytes, b->len);
  free(b->data);
  *b = (recording_bytes){0};
}

static void recording_free(recording *r) {
  runtime *rt = r->vm->rt;
  if (r->file != NULL) port_handle_close(r->file);
  free(r);
  runtime_release(rt);
}

/* Nothing more goes into the file. */
static void recording_fail(recording *r) {
  recording_warn(r, r->broken);
  recording_drop(r, &r->waiting);
  recording_drop(r, &r->writing);
  if (r->file != NULL) port_handle_close(r->file);
  r->file = NULL;
  r->state = RECORDING_FAILED;
}

static void recording_on_written(completion *c);

static void recording_start_write(recording *r) {
  if (r->waiting.len == 0) return;
  r->writing = r->waiting;
  r->waiting = (recording_bytes){0};
  r->c.run = recording_on_written;
  int err = port_write(r->file, &r->c.op, r->writing.data, r->writing.len, r->written_bytes);
  if (err < 0) r->broken = portico_error_text(err);
  else r->state = RECORDING_WRITING;
}

/* Goes on: writes what waits, unless something is under way. Afterwards r may be gone, if the connection is. */
static void recording_settle(recording *r) {
  if (r->state == RECORDING_IDLE && r->broken == NULL) recording_start_write(r);
  if (r->state == RECORDING_IDLE && r->broken != NULL) recording_fail(r);
  if (r->over && (r->state == RECORDING_IDLE || r->state == RECORDING_FAILED)) recording_free(r);
}

static void recording_on_written(completion *c) {
  recording *r = (recording *)c;
  r->state = RECORDING_IDLE;
  if (c->err < 0) r->broken = portico_error_text(c->err);
  r->written_bytes += r->writing.len;
  recording_drop(r, &r->writing);
  recording_settle(r);
}

static void recording_append(recording *r, const void *data, size_t len) {
  recording_bytes *b = &r->waiting;
  if (r->broken != NULL) return; /* it would not stand where it belongs */
  if (len > b->room - b->len) {
    size_t room = 2 * (b->len + len);
    char  *more = realloc(b->data, room);
    if (more == NULL) {
      r->broken = portico_error_text(PORTICO_ENOMEM);
      return;
    }
    b->data = more;
    b->room = room;
  }
  memcpy(b->data + b->len, data, len);
  b->len += len;
  atomic_fetch_add(&recording_all(r)->waiting_bytes, len);
}

/* ---- entries ---- */

/* Queues a line, and data with a line's end behind it if there is any. */
__attribute__((format(printf, 4, 5))) static void recording_put(recording *r, const void *data, size_t len,
                                                                const char *format, ...) {
  char    line[RECORDING_LINE_BYTES];
  va_list args;
  va_start(args, format);
  int line_len = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  CHECK(line_len > 0 && (size_t)line_len < sizeof line);
  recording_append(r, line, (size_t)line_len);
  if (len == 0) return;
  recording_append(r, data, len);
  recording_append(r, "\n", 1);
}

static int64_t recording_now(const recording *r) {
  return os_clock_now() - r->start_ns;
}

/* Why no more bytes can be kept; NULL: they can. */
static const char *recording_full(const recording *r, size_t len) {
  size_t unwritten = r->waiting.len + r->writing.len;
  bool full = r->written_bytes + unwritten + len > RECORDING_FILE_MAX - RECORDING_REST_BYTES;
  if (full) return "it has 64 MiB"; /* uncovered: race: the disk is that fast */
  if (unwritten + len > RECORDING_WAITING_MAX) return "more than 16 MiB wait for the disk";
  if (atomic_load(&recording_all(r)->waiting_bytes) + len > RECORDER_WAITING_MAX) { /* uncovered: a disk so slow */
    return "more than 64 MiB of all recordings wait for the disk";
  }
  return NULL;
}

static void recording_data(recording *r, const char *word, const void *data, size_t len) {
  if (r == NULL || len == 0 || r->broken != NULL) return; /* uncovered: race: more comes when the disk has failed */
  const char *full = r->lost_bytes > 0 ? "" : recording_full(r, len);
  if (full != NULL) {
    if (r->lost_bytes == 0) recording_warn(r, full);
    r->lost_bytes += len;
    return;
  }
  recording_put(r, data, len, "%" PRId64 " %s %" PRIu64 "\n", recording_now(r), word, (uint64_t)len);
  recording_settle(r);
}

void recording_received(recording *r, const void *data, size_t len) {
  recording_data(r, "received", data, len);
}

void recording_sent(recording *r, const void *data, size_t len) {
  recording_data(r, "sent", data, len);
}

void recording_note(recording *r, const char *word) {
  if (r == NULL || r->lost_bytes > 0) return; /* it would stand before what was lost */
  recording_put(r, NULL, 0, "%" PRId64 " %s\n", recording_now(r), word);
  recording_settle(r);
}

void recording_close(recording *r, int err) {
  if (r == NULL) return;
  int64_t now = recording_now(r);
  if (r->lost_bytes > 0) recording_put(r, NULL, 0, "%" PRId64 " lost %" PRIu64 "\n", now, r->lost_bytes);
  if (err == 0) recording_put(r, NULL, 0, "%" PRId64 " closed\nend\n", now);
  else recording_put(r, NULL, 0, "%" PRId64 " closed %s\nend\n", now, portico_error_name(err));
  r->over = true;
  recording_settle(r);
}

/* ---- opening ---- */

/* Back on the VM's strand. */
static void recording_on_opened(completion *c) {
  recording *r = (recording *)c;
  int        err = r->open_err;
  r->state = RECORDING_IDLE;
  if (err == 0) {
    err = port_adopt(r->vm->rt->options.port, r->opened, PORT_FILE, &r->vm->strand, &r->file);
    if (err < 0) os_file_close(r->opened);
  }
  if (err < 0) r->broken = portico_error_text(err);
  recording_settle(r);
}

/* On the recorder's strand: a disk that is slow holds up no VM. */
static void recording_on_open(completion *c) {
  recording *r = (recording *)c;
  port_block_enter();
  r->open_err = os_file_open(r->path, OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_NEW | OS_FILE_PRIVATE, &r->opened);
  port_block_leave();
  r->c.run = recording_on_opened;
  strand_post(&r->vm->strand, &r->c);
}

/* A URL may be a name that the script made up: no byte of it may end its line. */
static void recording_put_url(recording *r, const char *url) {
  char text[ADDRESS_HOST_BYTES + RECORDING_LINE_BYTES];
  snprintf(text, sizeof text, "%s", url);
  for (char *at = text; *at != '\0'; at++) {
    if ((unsigned char)*at <= ' ' || *at == '\x7f') *at = '?'; /* uncovered: no address has one, see net/address.c */
  }
  recording_append(r, text, strlen(text));
}

static void recording_put_header(recording *r, recording_direction direction, const char *url, const os_addr *peer,
                                 int64_t unix_ns) {
  char peer_url[ADDRESS_URL_BYTES];
  address_format(peer, peer_url);
  recording_put(r, NULL, 0, "portico recording 1\ndirection %s\nurl ",
                direction == RECORDING_ACCEPTED ? "accepted" : "outgoing");
  recording_put_url(r, url);
  recording_put(r, NULL, 0, "\npeer %s\n", peer_url);
  recording_put(r, NULL, 0, "start %" PRId64 "\n\n", unix_ns);
}

recording *recording_open(vm *v, recording_direction direction, const char *url, const os_addr *peer) {
  recorder *all = v->rt->recorder;
  if (all == NULL) return NULL;
  int64_t unix_ns = os_clock_unix_ns();
  char    name[RECORDER_NAME_BYTES];
  recorder_name(all, unix_ns, name);
  size_t     size = all->folder_len + sizeof name + 1;
  recording *r = calloc(1, sizeof *r + size);
  if (r == NULL) {
    log_write(runtime_log(v->rt), PORTICO_LOG_WARN, v->index, "a connection is not recorded: out of memory");
    return NULL;
  }
  r->vm = v;
  r->start_ns = os_clock_now();
  snprintf(r->path, size, "%s/%s", all->folder, name);
  runtime_hold(v->rt);
  recording_put_header(r, direction, url, peer, unix_ns);
  r->c.run = recording_on_open;
  strand_post(&all->opening, &r->c);
  return r;
}
