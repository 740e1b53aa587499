/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_SUPERVISED_H
#define APPLETS_REMOTE_SUPERVISED_H

/* The keeper's end of --control=: what whoever runs the remote asks for, and is told. */

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

/* What is asked of the device process. */
enum supervised_state { SUPERVISED_RUNS, SUPERVISED_PAUSING, SUPERVISED_PAUSED };

struct supervised {
	int fd;			/* owned; -1: there is no supervisor */
	int control;		/* of the device process; not owned */
	uint8_t state;		/* enum supervised_state */
	bool ready;		/* the device process serves: requests are taken */
	uint32_t number;	/* of the pause, CTL_PAUSE */
	uint32_t id;		/* of the request for it */
	bool restarting;	/* its end was asked for, */
	bool restart;		/* and is still to be made */
	uint32_t restart_id;	/* by this request */
	bool successors;	/* --on-crash= */
};

/*
 * An unused one.  @option is --control's text ("fd=N") or NULL.  @successors: a device process that
 * ends gets one.  False with @error set.
 */
bool supervised_take(struct supervised *s, const char *option, bool successors, GError **error);
void supervised_finish(struct supervised *s);

/* Before poll(): fills in *@p (fd -1: nothing). */
void supervised_poll(const struct supervised *s, struct pollfd *p);
/*
 * After poll(): takes requests.  True: the device process is to be killed, so that it gets a
 * successor.
 */
bool supervised_polled(struct supervised *s, const struct pollfd *p);

/* The device process serves its peers.  @control: the keeper's end of the channel to it. */
void supervised_ready(struct supervised *s, pid_t device, int control);
/* A successor is about to take the devices over: a pause holds for it. */
void supervised_adopting(struct supervised *s);
/* It serves now, after @outage us without anybody. */
void supervised_restarted(struct supervised *s, pid_t device, uint32_t outage);
/* A storage daemon has ended before the device process, as @wait_status says. */
void supervised_storage_gone(struct supervised *s, int wait_status);
/* There will be no successor any more: a restart that is under way is refused (ECHILD). */
void supervised_barren(struct supervised *s);
/* CTL_PAUSED came, with @arg. */
void supervised_paused(struct supervised *s, uint32_t arg);
/* A device that listens has lost its client. */
void supervised_client_gone(struct supervised *s, uint32_t device);
/* The device process has ended by itself; @wait_status as from waitpid(). */
void supervised_crashed(struct supervised *s, int wait_status);
/* The last thing. */
void supervised_gone(struct supervised *s, int exit_status);

#endif
