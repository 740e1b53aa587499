/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_DURABILITY_HOST_H
#define TEST_DURABILITY_HOST_H

/*
 * A host that has an mpqemu-remote of its own, with an lsi53c895a and one disk, and drives it over
 * the wire as a guest would.  Every call can find that the remote is gone.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/client.h"
#include "lsi/rig.h"

#define HOST_GONE -1000		/* the remote has closed the connection */

struct host {
	pid_t child;			/* the keeper, or the tool that it runs under */
	pid_t keeper, device;
	int device_pidfd;
	int log;			/* what it says */
	struct client client;
	struct rig rig;			/* guest memory only, for the script builder */
	struct cmd cmd[16];		/* by tag */
};

/*
 * Starts it.  @drive: what stands behind -drive, without id and if; @tool: the words of a command
 * that it runs under, separated by blanks, or NULL.
 */
void host_start(struct host *h, const char *drive, const char *tool);
/* Its last words; g_free(). */
char *host_log(const struct host *h);
/* Closes the connection. */
void host_hang_up(struct host *h);
/* Waits for the ends of all processes; the status as a shell says it.  The log stays. */
int host_wait(struct host *h);
void host_finish(struct host *h);

/*
 * Starts command @tag, whose data lies at CMD_DATA(@tag).  INT_DONE, INT_DISCONNECTED or HOST_GONE;
 * commands that were ready to go on are reported first: their tags through @ended, which returns
 * nothing.
 */
typedef void host_ended_fn(void *opaque, unsigned tag, uint8_t status);
int host_command(struct host *h, unsigned tag, const struct cmd *cmd, host_ended_fn *ended,
		 void *opaque);
/* Waits until a command goes on; its end is reported.  0 or HOST_GONE. */
int host_go_on(struct host *h, host_ended_fn *ended, void *opaque);

/* A whole command, alone: its status, or HOST_GONE. */
int host_do(struct host *h, const struct cmd *cmd);
/* The same; key << 16 | asc << 8 | ascq, 0 when it was GOOD, or HOST_GONE. */
int host_sense(struct host *h, const struct cmd *cmd);

/* Registers of the chip.  HOST_GONE, or 0. */
int host_write(struct host *h, unsigned reg, unsigned size, uint32_t value);
int host_read(struct host *h, unsigned reg, unsigned size, uint32_t *ret_value);
/* Places the BARs and sets the chip up, as after power-on or a reset. */
int host_set_up(struct host *h);
/* Sends a message to the unit: ABORT and its like.  @tag: -1 none.  0 or HOST_GONE. */
int host_message(struct host *h, int tag, uint8_t message);

#endif
