/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_VMM_H
#define APPLETS_ORCHESTRATE_RUN_VMM_H

/*
 * What the VMM says of its VM over the monitor that rewrite_watch() gave it, and what it is asked.
 * It may have been taken over by its guest: nothing here waits for it, and what it says is only
 * shown, or stops and resumes its own remotes.
 */

#include <stdbool.h>

#include "qmp/client.h"

struct vmm;

struct vmm_ops {
	/* vmm_status() is another one. */
	void (*changed)(void *opaque);
	/* Each event, also those from which the status follows (borrowed). */
	void (*event)(void *opaque, const char *name, const json_t *event);
	/* It says no more, and can be asked nothing.  Once. */
	void (*failed)(void *opaque, const char *why, bool closed);
};

/* @fd: our end, which is taken over. */
struct vmm *vmm_create(int fd, const struct vmm_ops *ops, void *opaque);
/* NULL-safe. */
void vmm_destroy(struct vmm *vmm);

/* QEMU's word: "running", "paused", "prelaunch"...; "unknown" when it says nothing. */
const char *vmm_status(const struct vmm *vmm);
/* Do its vCPUs run, as far as is known? */
bool vmm_runs(const struct vmm *vmm);
/* "7.2.22", or NULL. */
const char *vmm_version(const struct vmm *vmm);
/* Can it be asked something?  It may not have greeted yet: then it is asked when it does. */
bool vmm_answers(const struct vmm *vmm);

/* qmp_client_execute(), with the time limit of all that is asked here. */
int vmm_execute(struct vmm *vmm, const char *name, json_t *args, int passed, qmp_done_fn *done,
		void *opaque);

#endif
