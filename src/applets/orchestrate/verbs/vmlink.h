/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_VERBS_VMLINK_H
#define APPLETS_ORCHESTRATE_VERBS_VMLINK_H

/* A verb's connection to a running VM's control socket.  Each call waits for its answer. */

#include <stdbool.h>

#include <jansson.h>

#include "base/error.h"

#define VMLINK_LIMIT_MS 10000	/* of an answer, and of the greeting */

struct vmlink;

/* @data is the event's, or NULL (borrowed). */
typedef void vmlink_event_fn(void *opaque, const char *name, const json_t *data);

/* @vm: a name, or the path of a socket.  NULL with @error. */
struct vmlink *vmlink_open(const char *vm, GError **error);
/* NULL-safe. */
void vmlink_close(struct vmlink *link);

/* Is told of events, whenever the link waits. */
void vmlink_listen(struct vmlink *link, vmlink_event_fn *fn, void *opaque);

/*
 * @args (an object, or NULL) and @passed (a fd, or -1) are taken over.  The answer, which the
 * caller owns; NULL with @error: the command's own, or the connection's.
 */
json_t *vmlink_call(struct vmlink *link, const char *command, json_t *args, int passed,
		     GError **error);

/*
 * Asks for the VM's status and its remotes, which the caller owns.  @link NULL: it could not be
 * opened, and @error says why; *ret_... are NULL after any failure.
 */
bool vmlink_report(struct vmlink *link, json_t **ret_status, json_t **ret_remotes, GError **error);

/* Waits for events, @limit_ms at most (-1: for ever).  False: the VM's keeper has ended. */
bool vmlink_wait(struct vmlink *link, int limit_ms);

/* A local link that is closed when it goes out of scope. */
void vmlink_cleanup(struct vmlink **link);
#define auto_vmlink __attribute__((cleanup(vmlink_cleanup))) struct vmlink *
/* A local answer that is released when it goes out of scope. */
void vmlink_json_cleanup(json_t **json);
#define auto_json __attribute__((cleanup(vmlink_json_cleanup))) json_t *

#endif
