/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_CONTROL_SCRAPE_H
#define APPLETS_ORCHESTRATE_CONTROL_SCRAPE_H

/*
 * The counters of a running VM's remotes for Prometheus, over HTTP at a UNIX socket (RFC 9112, as
 * much of it as a scraper needs): one request a connection, and /metrics is all that there is.
 *
 *   READ the request's head --whole--> WRITE the answer --> closed
 *     both: too long in bytes or in time, or the client goes --> closed
 *
 * A client costs SCRAPE_HEAD_MAX bytes and one answer; of more than SCRAPE_CLIENTS the others wait
 * in the kernel's queue.
 */

#include <stdbool.h>

#include "base/error.h"

#define SCRAPE_HEAD_MAX 4096	/* bytes of a request line and its header fields */
#define SCRAPE_CLIENTS 8
#define SCRAPE_SECONDS 10	/* that a client has for all of it */

struct run;
struct scrape;

/*
 * Listens at the run's options->metrics; *ret is NULL if that is.  False with @error: somebody has
 * the socket, or it cannot be made.
 */
bool scrape_create(struct run *run, struct scrape **ret, GError **error);
/* Removes the socket.  NULL-safe. */
void scrape_destroy(struct scrape *scrape);

#endif
