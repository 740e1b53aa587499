/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_PROCS_H
#define PLAN_PROCS_H

/*
 * What mpqemu-orchestrate starts: remote processes and one QEMU (or another VMM), joined by
 * socketpairs (mpqemu) or by sockets with a path, on which the remotes listen (vfio-user).  Plain
 * data; nothing is opened or started by the code that makes it.
 */

#include <stdbool.h>

#include <glib.h>

#include "plan/proclimits.h"

/*
 * One end of a socketpair, at a number of the process that gets it: a device's, or of QMP.  Or a
 * remote's listening socket, which nobody else has a slot of: the VMM connects to its path.
 */
struct plan_slot {
	int fd;			/* the number in that process; -1: it makes the socket itself */
	unsigned pair;		/* index of the socketpair, the same in both processes */
	char *device;		/* id of the device that is served over it, or whose QMP it is */
	char *path;		/* of the socket that listens; NULL: a socketpair */
};

/*
 * A directory of this name in such paths is made for the plan (mkdtemp(3)), and removed at its end.
 */
#define PLAN_SOCKET_DIR "mpqemu-XXXXXX"

/* --on-remote-exit: what follows when a remote ends while the VM uses it, beside a line. */
#define PLAN_REMOTE_EXIT_WORDS "report|pause|stop"
enum plan_remote_exit {
	PLAN_REMOTE_EXIT_REPORT,	/* nothing: QEMU goes on */
	PLAN_REMOTE_EXIT_PAUSE,		/* the VM is stopped, as by QMP's "stop" */
	PLAN_REMOTE_EXIT_STOP,		/* QEMU is ended */
};

struct plan_process {
	GPtrArray *argv;	/* char *, NULL-terminated */
	GArray *slots;		/* struct plan_slot */
	GArray *keep;		/* int: inherited fds that its command line names */
	GArray *drop;		/* int: QEMU: inherited fds that it is not to have */
	char *serves;		/* remotes: "lsi0 (lsi53c895a; disk0)", for people */
	bool is_qemu;		/* runs QEMU's own binary */
	bool auto_shutdown;	/* its -machine says so: it ends after its first client */
	int monitor;		/* index of the socketpair of its own monitor, or -1 */
	int qmp_fd;		/* --qmp=fd=N of a remote's own command line, or 0 */
	int metrics_fd;		/* number of the file of its counters, which we read; 0: none */
	int control_fd;		/* number of the socket by which we run it; 0: none */
	struct plan_limits limits;	/* what it and its children are held to */
};

/* Something that QEMU's monitor would know by this name, and that a remote has. */
struct plan_moved {
	char *name;		/* of a node or -drive; of a device: its id */
	unsigned remote;	/* index */
	char *driver;		/* of a device; else NULL */
	char *under;		/* the node that it stands on, or NULL */
	bool gone;		/* a node of a medium that was taken out */
};

/*
 * A QMP monitor of QEMU's whose clients come to us: QEMU gets another socket that listens, at the
 * number @fd.
 */
struct plan_relay {
	int fd;
	char *path;		/* where it was to listen; NULL: on @fd, which we inherited */
};

struct plan {
	GPtrArray *remotes;	/* struct plan_process * */
	struct plan_process *qemu;
	unsigned pair_count;	/* socketpairs (or listening sockets) of devices; */
	unsigned qmp_count;	/* those of QMP have the indices behind them */
	int monitor;		/* the one of these whose other end we keep; -1: none */
	GArray *moved;		/* struct plan_moved */
	GArray *relays;		/* struct plan_relay */
	GPtrArray *notes;	/* char *: what was changed, a line each */
	GPtrArray *warnings;	/* char * */
};

/* Each of these never fails; plan_destroy() frees all that hangs on the plan and is NULL-safe. */
struct plan *plan_create(void);
void plan_destroy(struct plan *plan);
struct plan_process *plan_process_create(void);
void plan_process_destroy(struct plan_process *process);

/* Appends a copy of @arg. */
void plan_process_arg(struct plan_process *process, const char *arg);
/* Appends a slot for the device @id. */
void plan_process_slot(struct plan_process *process, int fd, unsigned pair, const char *id);
/* Appends a remote's slot for the device @id, whose socket listens on @path. */
void plan_process_listen(struct plan_process *process, int fd, unsigned pair, const char *id,
			 const char *path);
/* Holds the process to these limits; copies them. */
void plan_process_limit(struct plan_process *process, const struct plan_limits *limits);
/* Appends one line to the plan's notes or warnings. */
void plan_note(struct plan *plan, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void plan_warn(struct plan *plan, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * The arguments of mpqemu-remote, its name first, if that is what the process runs
 * ("mpqemu-remote ..." or "mpqemu remote ..."); else NULL.
 */
char **plan_process_remote(const struct plan_process *process);

/* The process's argv as exec wants it; belongs to the process. */
static inline char **plan_process_argv(const struct plan_process *process)
{
	return (char **)process->argv->pdata;
}

/*
 * The path of the directory PLAN_SOCKET_DIR that the plan's sockets need; NULL: none.  The caller
 * frees.
 */
char *plan_socket_dir(const struct plan *plan);
/* Writes @made in the place of that directory, @dir, wherever the plan has it. */
void plan_place_sockets(struct plan *plan, const char *dir, const char *made);

/*
 * The plan as text for people and shells: comment lines with the fd slots of each process, then
 * one command for @self (the name of mpqemu-orchestrate) that starts the same processes, each
 * command line of them written out.  Free with g_free().
 */
char *plan_to_shell(const struct plan *plan, const char *self);

/* A local plan that is destroyed when it goes out of scope. */
void plan_cleanup(struct plan **plan);
#define auto_plan __attribute__((cleanup(plan_cleanup))) struct plan *

#endif
