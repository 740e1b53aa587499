/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_CGROUP_H
#define APPLETS_ORCHESTRATE_RUN_CGROUP_H

/*
 * A control group (version 2) of the VM's own below ours, for limits of QEMU and the remotes
 * together: a page of guest RAM is charged to whoever touches it first, which may be a remote.
 * What the host does not delegate is said and left out.  Documentation/admin-guide/cgroup-v2.rst.
 */

#include "base/error.h"
#include "plan/procs.h"

struct cgroup;

/*
 * Makes the group, if the plan has such limits; else *ret is NULL.  False with @error: a value is
 * refused, or there is no group that could be had.
 */
bool cgroup_create(const struct plan_group_limits *limits, const char *name, struct cgroup **ret,
		   GError **error);
/* Kills what is left in the group and removes it.  NULL-safe. */
void cgroup_destroy(struct cgroup *group);

/* Its cgroup.procs, into which a child writes "0"; 0 for NULL. */
int cgroup_procs(const struct cgroup *group);

#endif
