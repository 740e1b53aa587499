/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_REWRITE_H
#define PLAN_REWRITE_H

/*
 * From a QEMU command line to a plan of processes.  Pure functions: all that they need to know of
 * the machine and of the QEMU at hand is in struct rewrite_facts; nothing is opened or started.
 *
 * Four ways:
 *   rewrite_move()   an ordinary command line; the devices that mpqemu-remote emulates move out
 *   rewrite_join()   command lines as the multi-process document of QEMU has them, remotes and
 *                    QEMU; only fd numbers, and what that document forgets, change
 *   rewrite_cloud()  Cloud Hypervisor, which has no such devices: they are given apart
 *   rewrite_attach() a VM that runs already
 */

#include <stdbool.h>

#include "base/error.h"
#include "plan/procs.h"

struct json_t;

enum rewrite_accel {
	REWRITE_ACCEL_TCG,	/* also qtest: no vCPU of KVM's, no interrupts from a remote */
	REWRITE_ACCEL_KVM,
	REWRITE_ACCEL_OTHER,
};

struct rewrite_facts {
	unsigned qemu_major, qemu_minor;	/* of the QEMU that is to run */
	bool has_proxy;				/* it has x-pci-proxy-dev: mpqemu */
	bool has_vfio_user;			/* it has vfio-user-pci */
	const char *socket_dir;			/* vfio-user: a path that ends in PLAN_SOCKET_DIR */
	const char *kvm_error;			/* why /dev/kvm cannot be used, or NULL */
	const char *const *remote_prefix;	/* how mpqemu-remote is called, NULL-terminated */
	const int *busy_fds;			/* inherited open fds above 2, ascending */
	unsigned busy_count;
};

/* --protocol: the words are in the order of the enum. */
#define REWRITE_PROTOCOL_WORDS "auto|mpqemu|vfio-user"
enum rewrite_protocol {
	REWRITE_PROTOCOL_AUTO,	/* vfio-user where QEMU and the remote have it, else mpqemu */
	REWRITE_PROTOCOL_MPQEMU,
	REWRITE_PROTOCOL_VFIO_USER,
};

/* What one remote is to have of its own; NULL: as the choice for all says. */
struct rewrite_remote {
	const char *device;	/* the id of the device that it serves */
	bool qemu;		/* by QEMU's own x-remote, the QEMU of the command line */
	const char *on_error, *on_crash, *watchdog, *sandbox, *events;
	struct plan_limits limits;
};

struct rewrite_choice {
	/*
	 * QEMU takes our process over, as another program started it: it may leave it (-daemonize),
	 * and the clients of its QMP monitors come to us.
	 */
	bool in_place;
	enum rewrite_protocol protocol;
	char **remote;		/* ids, NULL-terminated, or NULL: every device that can move */
	char **local;		/* ids that stay, or NULL */
	const char *on_error;	/* --on-error= of the remotes, or NULL */
	const char *on_crash;	/* --on-crash= of the remotes, or NULL */
	const char *watchdog;	/* --watchdog= of the remotes, or NULL */
	const char *sandbox;	/* --sandbox= of the remotes, or NULL */
	const char *events;	/* --events= of the remotes, or NULL */
	struct plan_limits limits;	/* of the remotes */
	struct plan_limits qemu_limits;
	const struct rewrite_remote *each;	/* those that differ */
	unsigned each_count;
};

/*
 * @qemu: QEMU and its arguments, NULL-terminated.  Returns the plan (plan_destroy()), or NULL with
 * @error: MPQ_ERROR_USAGE when the command line cannot be read, MPQ_ERROR_NOTHING when no device of
 * it moves, MPQ_ERROR_REFUSED when it would not work or be silently wrong.
 */
struct plan *rewrite_move(char *const *qemu, const struct rewrite_choice *choice,
			  const struct rewrite_facts *facts, GError **error);

/*
 * @vmm: cloud-hypervisor and its arguments.  @devices: a word that is passed over, then -device,
 * -drive, -blockdev, -object, -add-fd as QEMU takes them; all of them move.
 */
struct plan *rewrite_cloud(char *const *vmm, char *const *devices,
			   const struct rewrite_choice *choice, const struct rewrite_facts *facts,
			   GError **error);

/*
 * A controller, and what hangs on it, for a VM that runs.  @words: as @devices above.  The plan has
 * one remote, and a QEMU without arguments; *ret_device is what QMP's device_add is to get, but for
 * the "fd" of x-pci-proxy-dev or the "socket" of vfio-user-pci; json_decref().
 */
struct plan *rewrite_attach(char *const *words, const struct rewrite_choice *choice,
			    const struct rewrite_facts *facts, struct json_t **ret_device,
			    GError **error);

/*
 * @remotes: one argv (char **, NULL-terminated) a remote.  @qemu may be Cloud Hypervisor's.
 */
struct plan *rewrite_join(const GPtrArray *remotes, char *const *qemu,
			  const struct rewrite_facts *facts, GError **error);

/*
 * Gives who runs the plan its own: QEMU a QMP monitor (plan->monitor is its socketpair, whose other
 * end no remote gets), each mpqemu-remote a file for its counters and a channel by which it is run,
 * unless its command line has these options.
 */
bool rewrite_watch(struct plan *plan, const struct rewrite_facts *facts, GError **error);

/*
 * Is it a command line that only asks QEMU something (-version, -device help)?  False with @error
 * set when it cannot be read.
 */
bool rewrite_is_question(char *const *qemu, GError **error);

/* Is @prog Cloud Hypervisor, by its name? */
bool rewrite_is_cloud(const char *prog);

/* Is @prog QEMU itself, by its name?  As a remote it serves one device, with less RAM regions. */
bool rewrite_is_qemu(const char *prog);

#endif
