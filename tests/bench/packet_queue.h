/* packet_queue.h - the two queues that port_packets.c compares: the completion port, and a ring under a mutex as one
 * would write it for the occasion. Both carry a port_packet. */
#ifndef PORTICO_BENCH_PACKET_QUEUE_H
#define PORTICO_BENCH_PACKET_QUEUE_H
#include "port/port.h"

typedef struct packet_queue packet_queue; /* body lives in packet_queue.c */

typedef enum packet_queue_kind { PACKET_QUEUE_RING, PACKET_QUEUE_PORT } packet_queue_kind;

/* Makes a queue for at most `packets_max` packets at a time. backend and concurrency are the port's. */
packet_queue *packet_queue_open(packet_queue_kind kind, unsigned packets_max, const char *backend,
                                unsigned concurrency);

/* Queues {key, op}. */
void packet_queue_put(packet_queue *q, void *key, port_op *op);

/* Takes 1..max packets, waiting for the first; 0 when the queue has ended. */
int packet_queue_get(packet_queue *q, port_packet *out_packets, unsigned max);

/* Ends every wait, now and later. */
void packet_queue_end(packet_queue *q);

/* Frees a queue that has ended and that nobody uses any more. */
void packet_queue_close(packet_queue *q);

#endif
