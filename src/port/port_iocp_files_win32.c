/* port_iocp_files_win32.c - operations on files: the overlapped ReadFile and WriteFile, and a sync by the pool. */
#include <string.h>
#include <winsock2.h>
#include <windows.h>

#include "base/check.h"
#include "base/error.h"
#include "port/port_iocp.h"

/* How long to wait before trying again when the kernel has no memory for a packet: it must not get lost. */
enum { SYNC_RETRY_MS = 10 };

static iocp_port *file_port(const iocp_handle *h) {
  return (iocp_port *)h->base.port;
}

/* ---- reading and writing ---- */

static int file_transfer(iocp_handle *h, port_op *base_op, bool write, void *data, uint32_t len, uint64_t offset) {
  HANDLE   file = (HANDLE)h->base.socket;
  iocp_op *op = iocp_op_begin(h, base_op, write ? IOCP_WRITE : IOCP_READ);
  if (op == NULL) return PORTICO_ECLOSED;
  OVERLAPPED *native = (OVERLAPPED *)(void *)op->overlapped;
  native->Offset = (DWORD)offset;
  native->OffsetHigh = (DWORD)(offset >> 32);
  if (write ? WriteFile(file, data, len, NULL, native) : ReadFile(file, data, len, NULL, native)) return 0;
  DWORD raw = GetLastError();
  if (raw == ERROR_IO_PENDING) return 0; /* from here on h and op may be gone */
  if (raw != ERROR_HANDLE_EOF) return iocp_op_undo(h, op, os_file_error((int)raw));
  /* Refused at once, so there is no packet; but the end of a file is a success of no bytes. */
  memset(op->overlapped, 0, sizeof op->overlapped);
  return iocp_queue(file_port(h), (uintptr_t)h, op->overlapped) == 0 ? 0 : iocp_op_undo(h, op, PORTICO_ENOBUFS);
}

/* ---- syncing ---- */

static bool sync_move(iocp_op *op, int from, int to) {
  return atomic_compare_exchange_strong(&op->sync.state, &from, to);
}

static void CALLBACK sync_run(PTP_CALLBACK_INSTANCE instance, void *arg) {
  iocp_op     *op = arg;
  iocp_handle *h = op->sync.handle; /* the op's reference keeps it, and the port, until the packet is taken */
  iocp_port   *p = file_port(h);
  CallbackMayRunLong(instance);
  op->err = sync_move(op, SYNC_WAITING, SYNC_RUNNING) ? os_file_sync(h->base.socket) : PORTICO_ECANCELED;
  atomic_store(&op->sync.state, SYNC_OVER);
  while (iocp_queue(p, (uintptr_t)h, op->overlapped) < 0) Sleep(SYNC_RETRY_MS);
}

static int file_sync(iocp_handle *h, port_op *base_op) {
  iocp_op *op = (iocp_op *)base_op;
  op->sync.handle = h;
  atomic_store(&op->sync.state, SYNC_WAITING); /* before others can find the op, and cancel it */
  if (iocp_op_begin(h, base_op, IOCP_SYNC) == NULL) return PORTICO_ECLOSED;
  return TrySubmitThreadpoolCallback(sync_run, op, NULL) ? 0 : iocp_op_undo(h, op, PORTICO_ENOBUFS);
}

bool iocp_sync_cancel(iocp_op *op) {
  return sync_move(op, SYNC_WAITING, SYNC_ASKED) || sync_move(op, SYNC_RUNNING, SYNC_ASKED);
}

int iocp_file(port_handle *base, port_op *op, port_file_what what, void *data, uint32_t len, uint64_t offset) {
  iocp_handle *h = (iocp_handle *)base;
  if (what == PORT_FILE_SYNC) return file_sync(h, op);
  return file_transfer(h, op, what == PORT_FILE_WRITE, data, len, offset);
}
