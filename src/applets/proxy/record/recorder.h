/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_RECORDER_H
#define APPLETS_PROXY_RECORDER_H

/*
 * Writes a record of what passes between a VM and a remote.  With a trace of the remote the order
 * is the device process's own, and DMA is in it: a message waits here until the trace says that it
 * was taken.  Without, it is the order in which the messages pass.
 *
 * Nothing here holds up what passes.  What cannot be recorded makes the record unusable, which its
 * last line says.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "control/trace.h"
#include "proto/conn.h"

struct recorder;

/* Writes the header.  @out and @trace (or NULL) stay the caller's, and in place. */
struct recorder *recorder_create(FILE *out, struct trace *trace, const char *command);
void recorder_destroy(struct recorder *r);

/* These bytes pass, with these fds at the first of them. */
void recorder_saw(struct recorder *r, bool from_vm, const void *data, size_t len,
		  const struct conn_fds *fds);
/* The remote wrote irqfd; only without a trace. */
void recorder_irq(struct recorder *r);
/* Writes what the trace has.  True if it had anything. */
bool recorder_drain(struct recorder *r);
/*
 * Writes the last line.  NULL, or why the record is unusable, one line; valid until the recorder
 * goes.
 */
const char *recorder_end(struct recorder *r);

#endif
