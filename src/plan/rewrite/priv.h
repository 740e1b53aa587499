/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_REWRITE_PRIV_H
#define PLAN_REWRITE_PRIV_H

/* Between the files of the rewriting. */

#include "plan/rewrite/cmd.h"
#include "plan/rewrite/rewrite.h"

/* What the devices of a plan are reached by, and who serves them. */
struct rewrite_uses {
	bool mpqemu, vfio_user;	/* both are possible, of different devices */
	bool qemu_remote;	/* QEMU's own x-remote is among the remotes */
	bool in_place;		/* nobody waits for QEMU's first process */
};

/*
 * Guest RAM becomes shared memfds where @convert, and is only checked where not; a missing
 * -machine memory-backend= is added either way.
 */
bool rewrite_memory(struct qcmd *cmd, struct plan *plan, const struct rewrite_uses *uses,
		    bool convert, GError **error);

/*
 * Refuses what cannot work with these devices; adds warnings to the plan.  The command line is the
 * one that QEMU will get.
 */
bool rewrite_check(const struct qcmd *cmd, struct plan *plan, const struct rewrite_facts *facts,
		   const struct rewrite_uses *uses, GError **error);

/* Is QEMU's own x-remote among the remotes? */
bool rewrite_has_qemu_remote(const struct rewrite_choice *choice,
			     const struct rewrite_facts *facts);

/* Chooses the protocol.  False: QEMU has not what is wanted, or neither. */
bool rewrite_pick(const struct rewrite_choice *choice, const struct rewrite_facts *facts,
		  bool *ret_vfio_user, GError **error);

/* Has QEMU the protocol's client?  @what stands before the error. */
bool rewrite_can(const struct rewrite_facts *facts, bool vfio_user, const char *what,
		 GError **error);

/* unix(7): sun_path, without its NUL. */
#define REWRITE_SOCKET_MAX 107
/* "DIR/ID.sock": Cloud Hypervisor's command line has no other place for the device's id. */
#define REWRITE_SOCKET_SUFFIX ".sock"

/* The path of the socket of device @id; the caller frees.  NULL with @error: it is too long. */
char *rewrite_socket_path(const struct rewrite_facts *facts, const char *id, GError **error);

/*
 * The argv of Cloud Hypervisor @vmm with what the plan's remotes need: --user-device for each of
 * @paths (char *) that it has not, shared memory.  It goes to plan->qemu.
 */
bool rewrite_cloud_argv(char *const *vmm, const GPtrArray *paths, struct plan *plan,
			GError **error);

/* The paths of its --user-device options (char *, owned); unref. */
GPtrArray *rewrite_cloud_sockets(char *const *vmm);

/* Is @fd an inherited, open one? */
bool rewrite_is_busy(const struct rewrite_facts *facts, int fd);

/* Writes the options that belong to @owner (and its copies) to @argv. */
bool rewrite_emit(const struct qcmd *cmd, int owner, GPtrArray *argv, GError **error);

/* The id of the -chardev of QEMU's over which the remote that serves @device can stop the VM. */
char *rewrite_qmp_chardev(const char *device);

/* An id that no option of that name has: "mem", "mem1", ...  The caller frees. */
char *rewrite_new_id(const struct qcmd *cmd, const char *name, const char *stem);

#endif
