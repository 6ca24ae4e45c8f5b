/* log.h - writes log records to stderr, as text for people or as JSON for programs.   Layer: cli.
 *   text   12:34:56.789Z warn  vm 2: message      control bytes are escaped; further lines are indented
 *   json   {"time":"2026-01-31T12:34:56.789Z","level":"warn","vm":2,"message":"..."}
 * Times are UTC. A record is one write, so that lines of several threads do not mix. It never waits for who reads it:
 * what stderr does not take is lost, and counted in a record of its own once it takes something again. */
#ifndef PORTICO_CLI_LOG_H
#define PORTICO_CLI_LOG_H
#include "portico.h"

/* Two portico_log_fn; arg is not used. */
void log_text(const portico_log_record *record, void *arg);
void log_json(const portico_log_record *record, void *arg);

#endif
