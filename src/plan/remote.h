/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_REMOTE_H
#define PLAN_REMOTE_H

/*
 * The whole command line of mpqemu-remote, understood: what the keeper has to open, connect and
 * launch.  Nothing is opened here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "plan/opts.h"
#include "plan/spec.h"

/* How the process of the other end is reached: x-remote-object, x-vfio-user-server. */
enum plan_peer_kind {
	PLAN_PEER_NONE,		/* the device has no such object: nobody reaches it */
	PLAN_PEER_FD,		/* an inherited socket, by number */
	PLAN_PEER_LISTEN,	/* inherited, of that name in LISTEN_FDNAMES */
	PLAN_PEER_PATH,		/* a UNIX socket's path; "@P" is abstract */
};

struct plan_peer {
	uint8_t kind;		/* enum plan_peer_kind */
	/*
	 * A path is listened on, not connected to; a socket that listens is asked for one client
	 * after the other, not for one.
	 */
	bool server;
	int fd;			/* PLAN_PEER_FD; else -1 */
	char *name;		/* PLAN_PEER_LISTEN: the name, PLAN_PEER_PATH: the path */
	char *id;		/* of the object */
	char *where;		/* "-object x-remote-object,...": stands before errors */
};

/* A QMP monitor of the keeper's: -qmp, -mon. */
#define PLAN_MAX_MONITORS 4
struct plan_monitor {
	struct plan_peer peer;		/* PLAN_PEER_PATH or _FD; no id */
	char *chardev;			/* of a -mon; or NULL */
	bool pretty;
};

/* romfile= of a device that can show it.  path == NULL: none. */
struct plan_rom {
	char *path;
	char *where;		/* "-device ...": stands before errors */
};

enum plan_aio { PLAN_AIO_THREADS, PLAN_AIO_NATIVE, PLAN_AIO_IO_URING };

/* What is behind one disk.  driver == NULL: no medium (a CD-ROM drive without a -drive). */
struct plan_image {
	char *id;		/* of the -drive, or the -blockdev's node-name; for messages */
	bool is_node;		/* it is a -blockdev's */
	char *where;		/* "-drive ...": stands before errors */

	/*
	 * The format ("raw", "qcow2", ...) and, below it, the protocol ("file", "host_device",
	 * "null-co", "nbd", ...; NULL where there are several, as below quorum).  Without a
	 * format= the driver is "raw" and @probe is set: whoever opens the image looks what it is,
	 * calls plan_image_set_format(), and sets spec_image.probed_raw if it looks raw.
	 */
	char *driver;
	char *protocol;
	bool probe;

	/*
	 * Can the device process serve it by itself: raw on a file or host_device, or null-co, with
	 * nothing asked for that only QEMU's block layer does?  If not, @graph goes to a storage
	 * daemon as it stands.  Known once the format is.
	 */
	bool native;

	char *filename;		/* of "file" and "host_device", /dev/fdset/N too; or NULL */
	int fdset;		/* N of such a filename (see remote_plan_fdset), else -1 */
	bool readonly, auto_readonly;	/* QEMU's read-only= and auto-read-only= */
	bool direct, no_flush;		/* cache.direct, cache.no-flush */
	bool writeback;		/* cache= of -drive: write-cache=auto follows it */
	bool share_rw;			/* scsi-hd,share-rw=on: others may write the image too */
	bool locking;			/* file.locking=off: take no locks at all */
	bool discard;			/* discard=unmap */
	uint8_t detect_zeroes;		/* 0 off, 1 on, 2 unmap (as spec_image) */
	uint8_t aio;			/* enum plan_aio; a wish only, never an error */
	uint64_t null_size;		/* null-co: bytes */
	uint64_t null_latency_ns;
	bool null_read_zeroes;

	/*
	 * struct opt_set: the graph as -blockdev options in the order in which a storage daemon has
	 * to read them, each as the user wrote it (opt_set_to_text() gives the argument of
	 * qemu-storage-daemon --blockdev); the last one is the node of the disk.  A -drive becomes
	 * one of nested options.  Every one has a node-name, the last one's is @node.
	 */
	GPtrArray *graph;
	char *node;
};

/* -add-fd: one inherited fd of a set. */
struct plan_fd {
	int64_t set;
	int fd;
	char *opaque;		/* or NULL */
};

/*
 * --on-error: what a host error of a disk does where werror= or rerror= does not say it.  The words
 * are in the enum's order.
 */
#define PLAN_ON_ERROR_WORDS "report|hold|enospc-hold|ignore|stop"
enum plan_on_error { PLAN_ON_ERROR_REPORT, PLAN_ON_ERROR_HOLD, PLAN_ON_ERROR_ENOSPC_HOLD,
		     PLAN_ON_ERROR_IGNORE, PLAN_ON_ERROR_STOP };

/* --sandbox: the words are in the order of the sandbox's own levels. */
#define PLAN_SANDBOX_WORDS "strict|container|seccomp-only|off"

/* --on-crash: the words are in the order of enum spec_on_crash. */
#define PLAN_ON_CRASH_WORDS "fail|reset"

enum plan_action {
	PLAN_RUN,
	PLAN_PRINT_METRICS,	/* --print-metrics: of the file @print_metrics, and exit 0 */
	PLAN_PRINT,	/* -help, -version, "-device help": write @output to stdout and exit 0 */
};

struct remote_plan {
	uint8_t action;			/* enum plan_action */
	char *output;			/* PLAN_PRINT */

	/*
	 * Devices and disks, and the images that need no opening (null-co, no medium).  Left to the
	 * applet: fd slots (all -1), threads, and what only opening tells (who listens, sizes).
	 */
	struct launch_spec *spec;
	struct plan_peer peer[SPEC_MAX_DEVICES];	/* one a spec->device */
	struct plan_rom rom[SPEC_MAX_DEVICES];		/* one a spec->device */
	struct plan_image image[SPEC_MAX_DISKS];	/* one a spec->disk */

	struct plan_fd *fd;		/* -add-fd, in order */
	size_t fd_count;

	/* -object secret, throttle-group, tls-creds-...: struct opt_set, for storage daemons. */
	GPtrArray *object;

	char *name;			/* -name [guest=]; or NULL */
	char *process;			/* -name process=; or NULL */
	char *pidfile, *logfile;	/* -pidfile, -D; or NULL */
	char *uuid;			/* -uuid, as given; or NULL */
	bool daemonize;
	bool vfio_user;			/* -machine vfio-user=on */
	bool msg_timestamp;
	bool msg_guest_name;
	bool debug;			/* -d: log more */
	uint8_t sandbox;		/* --sandbox: the index of its word */
	bool sandbox_report;
	bool empty_server;		/* --empty-server: for bench-remote */
	bool sample;			/* the one disk stands for a raw image: there is none */
	uint8_t on_crash;		/* --on-crash: enum spec_on_crash */
	unsigned watchdog;		/* --watchdog: seconds; 0: none */
	uint8_t on_error;		/* --on-error: enum plan_on_error; STOP only with @qmp */
	char *qmp, *events, *metrics;	/* of these options: "PATH" or "fd=N"; or NULL */
	GPtrArray *storage_folder;	/* --storage-folder: char *; or NULL */
	char *control;			/* --control: "fd=N"; or NULL */
	char *print_metrics;		/* PLAN_PRINT_METRICS: the file */
	bool json;			/* and how */

	struct plan_monitor *monitor;	/* @monitor_count of them */
	unsigned monitor_count;

	char *trace;			/* --trace: "fd=N"; or NULL */

	GPtrArray *warnings;		/* char *: lines for log_warning() before the start */
};

/*
 * Parses and checks everything; *ret is initialised by this function, also on failure, and always
 * needs remote_plan_finish().  Errors are one line in QEMU's words, with the option in front.
 */
bool remote_plan_parse(int argc, char **argv, struct remote_plan *ret, GError **error);
void remote_plan_finish(struct remote_plan *plan);

/*
 * The fd of set @set with an access mode that allows reading (and writing, if @writable); stays
 * the plan's.  -1: there is none.
 */
int remote_plan_fdset(const struct remote_plan *plan, int64_t set, bool writable);

/*
 * The format of a probed image is known: sets driver, native and the graph's driver key.  Leaves
 * @probe set.
 */
void plan_image_set_format(struct plan_image *image, const char *format);

/* Frees what it has, and leaves an image that is none. */
void plan_image_clear(struct plan_image *image);

/*
 * The path of a -drive turned out to be a block device: "host_device" takes the place of "file" in
 * protocol and graph.
 */
void plan_image_set_protocol(struct plan_image *image, const char *protocol);

#endif
