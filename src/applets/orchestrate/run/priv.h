/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_PRIV_H
#define APPLETS_ORCHESTRATE_RUN_PRIV_H

/* One run of a plan, for the files of this folder. */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

#include "applets/orchestrate/run/child.h"
#include "applets/orchestrate/run/peer.h"
#include "applets/orchestrate/run/run.h"
#include "plan/procs.h"

enum phase { PHASE_START, PHASE_RUN, PHASE_END };
/*
 * A second SIGTERM makes mpqemu-remote kill a device process that hangs, which would be left
 * behind if the keeper were killed.
 */
enum end_step { END_WAIT, END_TERM, END_TERM_AGAIN, END_KILL };

struct run_remote {
	struct run *run;
	const struct plan_process *process;
	struct child child;
	guint watch;
	unsigned unanswered;	/* sockets on which the remote has not answered yet */
	bool told;		/* it listens, and got SIGTERM since nobody will come any more */
};

/*
 * A socketpair: what of it is still open here.  Or, with a path, a socket that listens, which is
 * its remote's end, and our own connection to it.
 */
struct run_pair {
	struct run_remote *remote;
	const char *device;
	const char *path;	/* NULL: a socketpair */
	bool listens, bound;	/* the socket is made here; its path is there */
	int remote_end;		/* kept until the remote has it: only then can QEMU see it close */
	int proxy_end;		/* kept until QEMU has it */
	ino_t proxy_inode;	/* of the proxy's end, to know it among QEMU's fds */
	struct peer peer;
	guint watch;		/* of the answer, or of the next attempt to connect */
};

struct run {
	struct plan *plan;
	char *socket_dir;	/* made here, or NULL */
	const struct run_options *options;
	GMainLoop *loop;
	struct run_remote *remotes;
	unsigned remote_count;
	struct run_pair *pairs;
	struct child qemu;
	enum phase phase;
	enum end_step end_step;
	guint timer;
	unsigned signals;	/* how many SIGINT, SIGTERM, SIGHUP have come */
	int64_t first_signal;	/* when, of g_get_monotonic_time() */
	int status;		/* of ours: enum run_status, 128 + N, or 0; counts if QEMU's is 0 */
	sigset_t old_mask;
};

/* ---- run.c ---- */

/* For people: "QEMU". */
const char *run_vmm_name(const struct run *run);
/* Those of the devices, then those of QMP, which are nobody's to ask or to watch. */
unsigned run_pair_total(const struct run *run);
/* The exit status of ours: the first reason counts; later ones are its consequences. */
void run_set_status(struct run *run, int status);
bool run_any_remote(const struct run *run);
void run_kill_remotes(struct run *run, int sig);
/* Leaves the loop when no process is left. */
void run_quit_when_done(struct run *run);
void run_stop_timer(struct run *run);

/* ---- end.c ---- */

/* QEMU is gone or will not start: closing what we hold is what tells the remotes. */
void run_end(struct run *run);
/* Ends what was started before QEMU was; the remotes need not wait to notice. */
void run_abort(struct run *run, int status);
/* Closes what is open here of a socketpair or socket. */
void run_close_pair(struct run_pair *pair);

/* ---- qemu.c ---- */

/* Starts one process of the plan.  Returns 0 or the exit status, after logging why. */
int run_start_process(struct run *run, const struct plan_process *process, struct child *child);
/* All remotes have answered. */
void run_start_qemu(struct run *run);

/* ---- remote.c ---- */

/* Starts them all and asks them; QEMU follows when all have answered. */
void run_start_remotes(struct run *run);

#endif
