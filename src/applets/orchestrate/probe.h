/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_PROBE_H
#define APPLETS_ORCHESTRATE_PROBE_H

/* What a plan has to know of this machine and of the QEMU at hand. */

#include <glib.h>

#include "plan/rewrite/rewrite.h"

struct probe {
	struct rewrite_facts facts;
	char *kvm_error;
	char **remote_prefix;
	char *socket_dir;
	GArray *busy_fds;	/* int */
	const char *qemu;	/* that was asked; the caller's */
	int exec_errno;		/* after a failure: why QEMU could not be run, or 0 */
};

/*
 * Finds out what can be known without QEMU: /dev/kvm, inherited fds, where mpqemu-remote is
 * (@remote_program, or NULL for the one that belongs to this program).
 */
void probe_init(struct probe *probe, const char *remote_program);
void probe_finish(struct probe *probe);

/*
 * Asks @qemu (a program as for execvp) for its version, x-pci-proxy-dev and vfio-user-pci.  False
 * with @error: it does not run or does not answer as QEMU does.
 */
bool probe_qemu(struct probe *probe, const char *qemu, GError **error);

/*
 * What it prints for "-OPTION TYPE,help"; g_free() it.  NULL with @error: it does not run.
 */
char *probe_help(struct probe *probe, const char *qemu, const char *option, const char *type,
		 GError **error);

#endif
