/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SANDBOX_LEVEL_H
#define SANDBOX_LEVEL_H

/* How much of a sandbox is asked for, and what stands in its way. */

#include <stdbool.h>
#include <stddef.h>

enum sandbox_level {
	SANDBOX_STRICT,		/* own namespaces, empty root, no capability, filter */
	SANDBOX_CONTAINER,	/* the container's namespaces, verified; all else as strict */
	SANDBOX_SECCOMP_ONLY,	/* no namespaces and no root of its own; all else as strict */
	SANDBOX_OFF,		/* fds in their slots, and nothing else */
	SANDBOX_LEVEL_COUNT,
};

/* Its name on the command line, and back. */
const char *sandbox_level_name(enum sandbox_level level);
/* False, and *ret_level untouched, when there is no such level. */
bool sandbox_level_parse(const char *name, enum sandbox_level *ret_level);

/*
 * Why this host refuses a user namespace (@err: what clone said, as -errno; 0: the namespace gives
 * no rights), and what helps, as one text.  @sysctl is the folder of the settings: "/proc/sys".
 */
void sandbox_userns_obstacle(const char *sysctl, int err, char *text, size_t size);

/*
 * Do the namespaces that the calling process is in belong to a container?  @ns is the folder of
 * the links ("/proc/self/ns"), @sysctl as above.  0, or -EPERM with the names of those that are
 * the host's in @text.
 */
int sandbox_container_verify(const char *ns, const char *sysctl, char *text, size_t size);

/*
 * Is it the kernel's first namespace of that kind, which is the host's?  @name as in /proc/PID/ns,
 * @inode as its link has it.  Of networks before Linux 6.17 nobody can tell: false.
 */
bool sandbox_namespace_is_first(const char *name, unsigned long inode);

#endif
