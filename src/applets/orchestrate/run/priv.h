/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_PRIV_H
#define APPLETS_ORCHESTRATE_RUN_PRIV_H

/* One run of a plan, for the files of this folder and of control/. */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

#include "applets/orchestrate/run/child.h"
#include "applets/orchestrate/run/peer.h"
#include "applets/orchestrate/run/run.h"
#include "applets/orchestrate/run/vmm.h"
#include "base/notify.h"
#include "plan/procs.h"

enum phase { PHASE_START, PHASE_RUN, PHASE_END };
/*
 * A second SIGTERM makes mpqemu-remote kill a device process that hangs, which would be left
 * behind if the keeper were killed.
 */
enum end_step { END_WAIT, END_TERM, END_TERM_AGAIN, END_KILL };

/* Does a remote stand still with its VM? */
enum run_pause { RUN_GOES, RUN_PAUSING, RUN_PAUSED };

/* Of a remote whose parent is attach's process (adopted.h). */
struct run_held {
	struct plan_process *process;	/* owned; NULL: the remote is ours */
	pid_t pid, holder;	/* of the remote, 0: it has ended; of its parent */
	ino_t socket;		/* QEMU's end of its socketpair; 0: it listens */
	bool left;		/* QEMU has the device no more */
	int status;		/* what it ended with, if that was said, or -1 */
};

struct run_remote {
	struct run *run;
	const struct plan_process *process;
	struct child child;
	guint watch;
	int64_t started;	/* of g_get_monotonic_time() */
	int metrics;		/* the file of its counters, or -1 */
	int control;		/* our end of the channel by which it is run, or -1 */
	guint control_watch;
	unsigned asked;		/* the id of what it was asked last */
	enum run_pause pause;
	unsigned pause_id;	/* of the last request that was about it */
	unsigned restarts;	/* how often its device process had a successor */
	struct run_restart {	/* what asked for one, if @done */
		unsigned id;
		void (*done)(void *opaque, const char *why);
		void *opaque;
	} restart;
	struct run_held held;	/* all zeros: it is ours */
	pid_t device_pid;	/* what it says of its device process, or 0; for people */
	char *crash;		/* why that has ended, if it says so, or NULL */
	char *storage_end;	/* how a storage daemon of it ended before it, or NULL */
	char *end;		/* how it ended (child_describe_end()), or NULL */
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
	bool released;		/* QEMU has the device no more (run_release()) */
	int remote_end;		/* kept until the remote has it: only then can QEMU see it close */
	int proxy_end;		/* kept until QEMU has it */
	ino_t proxy_inode;	/* of the proxy's end, to know it among QEMU's fds */
	struct peer peer;
	guint watch;		/* of the answer, or of the next attempt to connect */
};

/* The steps by which a VM is shut down, each after a time limit. */
enum shutdown_step { SHUTDOWN_NONE, SHUTDOWN_POWERDOWN, SHUTDOWN_TERM, SHUTDOWN_KILL };

struct cgroup;
struct control;
struct scrape;

struct run {
	struct plan *plan;
	char *socket_dir;	/* made here, or NULL */
	struct run_options *options;
	GMainLoop *loop;
	struct run_remote *remotes;
	unsigned remote_count;
	GPtrArray *adopted;	/* struct run_remote *, owned: adopted.h */
	struct run_pair *pairs;
	struct child qemu;
	struct vmm *vmm;	/* NULL: there is no monitor */
	struct cgroup *cgroup;	/* NULL: none is asked for */
	struct control *control;	/* NULL: there is no control socket */
	struct scrape *scrape;		/* NULL: there is no socket for Prometheus */
	struct notify notify;
	guint watchdog;
	guint ready_timer;	/* until those who wait for QEMU's start are told */
	bool ready;		/* they were */
	int64_t started;	/* when QEMU was, of g_get_monotonic_time() */
	enum shutdown_step shutdown_step;
	guint shutdown_timer;
	guint again_timer;	/* until QEMU gets its signal once more */
	int again_signal;
	enum phase phase;
	enum end_step end_step;
	guint timer;
	unsigned signals;	/* how many SIGINT, SIGTERM, SIGHUP have come */
	int64_t first_signal;	/* when, of g_get_monotonic_time() */
	int status;		/* of ours: enum run_status, 128 + N, or 0; counts if QEMU's is 0 */
	sigset_t old_mask;
	struct inplace *inplace;	/* QEMU is not our child: inplace.h; or NULL */
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
/*
 * A pipe whose other end is the log's, for the stderr of @source.  The caller's, or -1 after a
 * warning.
 */
int run_log_pipe(struct run *run, const char *source);
/* An event for those who watch over the control socket; @data is taken over. */
void run_event(struct run *run, const char *name, json_t *data);
/* Leaves the loop when no process is left. */
void run_quit_when_done(struct run *run);
void run_stop_timer(struct run *run);

/* ---- end.c ---- */

/* QEMU is gone or will not start: closing what we hold is what tells the remotes. */
void run_end(struct run *run);
/* Ends what was started before QEMU was; the remotes need not wait to notice. */
void run_abort(struct run *run, int status);
/*
 * Ends the VM in order: the guest is asked (system_powerdown) and has @seconds; then QEMU gets
 * SIGTERM, and later SIGKILL.  0 seconds, or without a monitor: SIGTERM at once.  Does nothing when
 * it is under way with a shorter limit.
 */
void run_shutdown(struct run *run, unsigned seconds);
/* Sends QEMU a signal that ends it, and again each second while it has not ended. */
void run_signal_qemu(struct run *run, int sig);
/* Closes what is open here of a socketpair or socket. */
void run_close_pair(struct run_pair *pair);

/* ---- qemu.c ---- */

/* What a process gets from us beside its sockets; -1: it does not. */
struct run_own {
	int log;	/* its stderr; else it has ours */
	int metrics;	/* the file of its counters */
	int control;	/* its end of the channel by which we run it (control/supervise.h) */
};

/* Starts one process of the plan.  Returns 0 or the exit status, after logging why. */
int run_start_process(struct run *run, const struct plan_process *process, struct child *child,
		      const struct run_own *own);
/*
 * The process's ends of its socketpairs, and what it has of its own, as child_start() wants
 * them.  The caller frees.
 */
struct child_fd *run_collect_fds(struct run *run, const struct plan_process *process,
				 const struct run_own *own, unsigned *ret_count);
/* QEMU runs: what is its alone is closed, and its monitor watched. */
void run_qemu_started(struct run *run);
/* All remotes have answered. */
void run_start_qemu(struct run *run);
/* Stops the VM, as QMP's "stop" does; logs why if it cannot. */
void run_pause(struct run *run);

/* ---- remote.c ---- */

/* The id of its (first) device, by which it is called. */
const char *run_remote_id(const struct run_remote *remote);
/* The process of one that runs, ours or not, or 0. */
pid_t run_remote_pid(const struct run_remote *remote);
/* All of the VM's, and the one of them that has this number: ours, then the adopted ones. */
unsigned run_remote_total(const struct run *run);
struct run_remote *run_remote_at(const struct run *run, unsigned i);
/*
 * QEMU has the device no more, and is not to get it again; a remote that has no other one ends.
 * False: the VM was not started with it.
 */
bool run_release(struct run *run, const char *id);
/* Has QEMU still got the socket of this inode? */
bool run_qemu_holds(const struct run *run, ino_t socket);
/* The event of its end, which remote->end describes.  @due: it was to end. */
void run_remote_exited(struct run_remote *remote, bool due);
/* It has ended, as @end says, while the VM used it: says so, and does what the policy says. */
void run_remote_lost(struct run_remote *remote, const char *end);
/* The same of a disk whose storage daemon has ended: remote->storage_end. */
void run_storage_lost(struct run_remote *remote);
/* Starts them all and asks them; QEMU follows when all have answered. */
void run_start_remotes(struct run *run);

#endif
