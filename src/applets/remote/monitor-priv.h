/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_MONITOR_PRIV_H
#define APPLETS_REMOTE_MONITOR_PRIV_H

/* What the files of the monitor share. */

#include <stdint.h>

#include "block/image.h"
#include "block/throttle.h"
#include "control/manage.h"
#include "applets/remote/monitor.h"
#include "applets/remote/peers.h"

#define MONITOR_CLIENTS 8
/* One a client; a disk that goes has no client any more. */
#define MONITOR_REQUESTS (MONITOR_CLIENTS + SPEC_MAX_DISKS)
#define MONITOR_MAX_NODES 256

struct monitor;
struct monitor_request;

/* The device process has answered: 0 or -errno (-ETIMEDOUT: it has not). */
typedef void monitor_answer_fn(struct monitor *m, struct monitor_request *r, int ret);

/* A command that waits for the device process: a client has one at most. */
struct monitor_request {
	bool open;			/* else the place is free */
	struct qmp_call *call;		/* NULL: it has been answered */
	uint32_t serial;
	unsigned disk;
	int64_t deadline;		/* ms of clock_ms() */
	monitor_answer_fn *done;	/* answers the call, or asks for more */
	/* the command's own */
	uint64_t limit[BLOCK_LIMITS];
	uint64_t size;
	struct image image;		/* fd owned; -1 */
	char *filename;			/* owned */
};

/* So much may be told now; a device process that was taken over might never end. */
struct bucket {
	int64_t told;			/* when tokens were last given, ms */
	unsigned tokens;
};

/* A -blockdev, or one that was added later. */
struct monitor_node {
	char *name;
	char *text;			/* JSON */
	int daemon;			/* the disk whose storage daemon has it; -1: none */
	bool foreign;			/* options of QEMU's that are no command line of ours */
};

struct qmp_client;
struct relay;

/* The storage daemon behind a disk, which has a monitor of its own. */
struct monitor_daemon {
	struct monitor *m;
	unsigned disk;
	struct qmp_client *client;	/* owned; NULL: there is none, or no more */
	unsigned owed;			/* answers that nobody waits for any more */
	struct bucket events;		/* of its, that may be told */
};

struct monitor {
	struct remote_plan *plan;
	struct images *images;
	struct qmp_server_config config;
	struct qmp_server *server;
	int disks_fd;			/* owned */
	const struct metrics_disk *stats;	/* SPEC_MAX_DISKS of them, in it */
	struct peers_path path[PLAN_MAX_MONITORS];
	int manage;			/* the channel to the device process, the keeper's */
	uint32_t serial;		/* of the last request */
	struct monitor_request request[MONITOR_REQUESTS];
	GPtrArray *nodes;		/* struct monitor_node, each after those that it uses */
	bool gone[SPEC_MAX_DISKS];	/* detached */
	uint8_t tray[SPEC_MAX_DISKS];	/* MANAGE_TRAY_... */
	uint64_t limit[SPEC_MAX_DISKS][BLOCK_LIMITS];	/* of block_set_io_throttle */
	struct monitor_daemon daemon[SPEC_MAX_DISKS];
	unsigned daemon_count;		/* at the start */
	unsigned polled;		/* entries of theirs in the last poll() */
	GQueue relays;			/* struct relay; the first is being carried out */
	GQueue late;			/* those that have been answered before their daemons did */
	bool ready;
	bool paused;
	bool quit;			/* a client wants it, and the keeper does not know yet */
	bool shutdown;			/* the event was sent */
	struct bucket lines;		/* of the log, about clients */
	struct bucket errors;		/* events of errors */
};

/* Is there a disk of that index? */
static inline bool monitor_has_disk(const struct monitor *m, unsigned disk)
{
	return disk < m->plan->spec->disk_count && !m->gone[disk];
}

static inline bool monitor_has_medium(const struct monitor *m, unsigned disk)
{
	return m->plan->spec->disk[disk].image.kind != SPEC_IMAGE_NONE;
}

/* Of two waits in ms, where -1 is for ever. */
static inline int monitor_sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* @burst at once, and @rate a second after that. */
bool monitor_may_tell(struct bucket *bucket, unsigned burst, unsigned rate);

/* The name of its -drive; "": it has none. */
const char *monitor_device_name(const struct monitor *m, unsigned disk);

/* monitor-manage.c: what changes. */
void monitor_block_resize(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_eject(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_set_throttle(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_change_medium(void *opaque, struct qmp_call *call, const json_t *args);

/* monitor-hotplug.c: disks and nodes that come and go. */
void monitor_blockdev_add(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_blockdev_del(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_device_add(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_device_del(void *opaque, struct qmp_call *call, const json_t *args);
/* The nodes of the command line; and the end of all. */
bool monitor_nodes_init(struct monitor *m, GError **error);
void monitor_nodes_finish(struct monitor *m);

/*
 * monitor-parse.c: those options, understood.  @ret needs remote_plan_finish() in any case.  False
 * with @error set, without the option in front.
 *
 * The node @name, which becomes the image of disk 0; *ret_text: its JSON, g_free().
 */
bool monitor_parse_node(const struct monitor *m, const char *name, const json_t *args,
			struct remote_plan *ret, char **ret_text, GError **error);
/* A disk, which is the last one of @ret. */
bool monitor_parse_disk(const struct monitor *m, const json_t *args, struct remote_plan *ret,
			GError **error);

/* The end of a request that failed; @name: of its disk. */
void monitor_request_fail(struct monitor_request *r, const char *name, int ret);
/* Measures a raw image for the device process (spec_image.measured).  0 or -errno. */
int monitor_measure(int fd, struct spec_image *image);

/* QEMU's names of the limits, in the order of enum block_limit. */
extern const char *const monitor_limits[BLOCK_LIMITS];

/* BLOCK_IO_ERROR; @action: QEMU's word for what was done. */
void monitor_io_error(struct monitor *m, unsigned disk, bool write, int err, const char *action);

/* A place for a request of @call about that disk; the caller fills in the rest. */
struct monitor_request *monitor_request_new(struct monitor *m, struct qmp_call *call,
					    unsigned disk);
/*
 * Asks the device process; r->done() follows, perhaps at once.  @body: @len bytes, or NULL; @fd:
 * goes along, the caller's, or -1.
 */
void monitor_ask(struct monitor *m, struct monitor_request *r, enum manage_type type,
		 uint64_t value, const void *body, size_t len, int fd);
/* The command is over: its call has been answered. */
void monitor_request_end(struct monitor_request *r);
/* For the loop: what the device process has sent; and the next time limit, ms from now, or -1. */
void monitor_manage_polled(struct monitor *m, short revents);
int monitor_manage_wait(const struct monitor *m);

/* A node of the list; NULL: there is none of that name. */
struct monitor_node *monitor_find_node(const struct monitor *m, const char *name);
/* Adds one; @text is taken over.  Removes it. */
struct monitor_node *monitor_add_node(struct monitor *m, const char *name, char *text);
void monitor_remove_node(struct monitor *m, const char *name);

/*
 * monitor-daemon.c: what the storage daemons' monitors say.  One that says what is wrong, or goes,
 * is asked no more; its disk is served as before, or not.
 */
void monitor_daemons_init(struct monitor *m);
void monitor_daemons_finish(struct monitor *m);
/* Can it be asked? */
bool monitor_daemon_live(const struct monitor *m, unsigned disk);
/* How many can; *ret_one: one of them. */
unsigned monitor_daemons_live(const struct monitor *m, unsigned *ret_one);
/* SPEC_MAX_DISKS entries, if there are daemons; returns how long to wait at most, in ms, or -1. */
int monitor_daemons_poll(struct monitor *m, struct pollfd *p, unsigned *ret_count);
void monitor_daemons_polled(struct monitor *m, const struct pollfd *p, unsigned count);

/*
 * monitor-relay.c: commands that storage daemons carry out.  Which one is told by the names in
 * them: what the daemons have is asked before.  One command at a time, each with a time limit.
 */
void monitor_relay(void *opaque, struct qmp_call *call, const json_t *args);
/* Does it name what a storage daemon has, or has to get? */
bool monitor_relay_wants(const struct monitor *m, const json_t *args);
/* The same time limits as of a poll() loop; and all that is open is over. */
int monitor_relay_wait(const struct monitor *m);
void monitor_relay_polled(struct monitor *m);
void monitor_relay_finish(struct monitor *m);

/*
 * monitor-allow.c: why a command with these arguments is not for a storage daemon, which is shut
 * in; the caller frees.  NULL: it is.
 */
char *monitor_add_obstacle(const json_t *args);
char *monitor_reopen_obstacle(const json_t *args);
char *monitor_create_obstacle(const json_t *args);
char *monitor_transaction_obstacle(const json_t *args);
char *monitor_object_obstacle(const json_t *args);
char *monitor_qom_obstacle(const json_t *args);
/* The commands that never are. */
void monitor_relay_refused(void *opaque, struct qmp_call *call, const json_t *args);

/* With what the daemons say of their nodes and exports (NULL where there is none). */
void monitor_reply_block(struct monitor *m, struct qmp_call *call, json_t *const *nodes);
void monitor_reply_nodes(struct monitor *m, struct qmp_call *call, json_t *const *nodes);

/* monitor-query.c: what the disks are and do. */
void monitor_query_stats(void *opaque, struct qmp_call *call, const json_t *args);
void monitor_query_latency(void *opaque, struct qmp_call *call, const json_t *args);

#endif
