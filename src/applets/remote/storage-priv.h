/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_STORAGE_PRIV_H
#define APPLETS_REMOTE_STORAGE_PRIV_H

/* The parts of storage.c. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

#include "plan/remote.h"
#include "sandbox/filter.h"
#include "sandbox/preload.h"
#include "sandbox/root.h"

struct storage;

/* A block graph that is ready for a daemon. */
struct storage_graph {
	GPtrArray *args;	/* char *: values of --blockdev, in order */
	GPtrArray *files;	/* struct storage_file */
	/*
	 * How far it reaches, of enum filter_feature: FILTER_OFFLINE, FILTER_UNIX, or the network
	 * (FILTER_INET, FILTER_VSOCK, and FILTER_UNIX_TOO).
	 */
	unsigned features;
};

struct storage_file {
	char *path;
	bool writable;
};

/*
 * Copies image->graph and completes it: every backing file that an image names becomes a node with
 * an explicit format.  Runs qemu-img to read the headers.  A guest may have written those: but at
 * SANDBOX_OFF, what they name has to lie beside the image, and what is written to has to be named
 * by the user.
 */
bool storage_graph_make(const struct plan_image *image, enum sandbox_level level,
			struct storage_graph *ret, GError **error);
void storage_graph_finish(struct storage_graph *graph);

/*
 * The format of the image that @set, options below @prefix, names ("file.": of the file below),
 * as qemu-img finds it.  The caller frees.
 */
char *storage_probe(enum sandbox_level level, const struct opt_set *set, const char *prefix,
		    GError **error);

/* An image whose header is looked at. */
struct storage_source {
	enum sandbox_level level;
	char *name;		/* as qemu-img takes it */
	char *path;		/* of a local file; or NULL */
	struct storage_graph graph;	/* its files and how far they reach; no args */
};

/* What a header says.  Nothing of it can be believed. */
struct storage_header {
	char *format;
	char *backing, *backing_format;	/* or NULL */
	char *data_file;		/* or NULL */
	GPtrArray *extents;		/* char *: files beside the image, checked */
};

/* Adds a file that is only read, or is written to as well. */
void storage_graph_add_file(struct storage_graph *graph, const char *path, bool writable);
void storage_graph_init(struct storage_graph *graph);

/* Frees what it holds. */
void storage_source_finish(struct storage_source *source);

/*
 * Runs qemu-img in a jail that has the source's files only.  @format: or NULL, then it finds out.
 * storage_header_finish() the result.
 */
bool storage_header_read(struct storage_source *source, const char *format,
			 struct storage_header *ret, GError **error);
void storage_header_finish(struct storage_header *header);

/*
 * The path of what the header of the image @path (NULL: no local file) names @name, or NULL if the
 * daemon must not have it: it lies neither in the image's folder nor below.  The caller frees.
 */
char *storage_header_path(enum sandbox_level level, const char *path, const char *name,
			  GError **error);

/* What a storage daemon may see and do, at a level of the sandbox. */
struct storage_jail {
	enum sandbox_level level;
	int ruleset;		/* Landlock's fd, or -1: the kernel has none */
	unsigned features;	/* as the graph's */
	unsigned share;		/* of enum sandbox_share */
	uint64_t keep;		/* capabilities: root's right to open images of other users */
	GArray *binds;		/* struct sandbox_bind */
	char *cwd;
	char *module;		/* of preload.h, or NULL: no filter at this level */
	char **env;
};

/*
 * @program and what it needs, with the files of @graph, of @objects (--object) and of @folders
 * (--storage-folder); either may be NULL.
 */
bool storage_jail_make(enum sandbox_level level, const struct storage_graph *graph,
		       const GPtrArray *objects, const GPtrArray *folders, const char *program,
		       struct storage_jail *ret, GError **error);
void storage_jail_finish(struct storage_jail *jail);

/* Writes its filters to two empty files; @pid as the daemon sees it.  0 or -errno. */
int storage_jail_filter(const struct storage_jail *jail, pid_t pid,
			const int filter_fd[SANDBOX_PRELOAD_COUNT]);

/*
 * In a child of sandbox_clone(), before execve(): all but the filter.  Async-signal-safe.  Returns
 * 0, or -errno with what failed in @why (SANDBOX_WHY bytes).
 */
int storage_jail_enter(const struct storage_jail *jail, char *why);

/* Where a daemon has the socket of its monitor, behind the filters of its module. */
#define STORAGE_QMP_FD (SANDBOX_PRELOAD_FD + SANDBOX_PRELOAD_COUNT)

/*
 * Starts @argv in @jail with the listening socket @listen_fd as fd 3 and, if @monitored, one end of
 * a socket pair as STORAGE_QMP_FD, and waits until it greets on @client_fd.  Fails with the
 * program's own words, or if it is not in the jail then.
 */
bool storage_spawn(char **argv, const struct storage_jail *jail, int listen_fd, int client_fd,
		   bool monitored, struct storage **ret, GError **error);

/*
 * Runs @argv in @jail, without a socket, to its end.  Fails if it does, with what it says on
 * stderr, or if it was not in the jail.  *ret_out: what it printed; the caller frees.
 */
bool storage_run(char **argv, const struct storage_jail *jail, char **ret_out, GError **error);

/*
 * A listening UNIX socket that has no name any more, a socket connected to it, and its inode
 * (O_PATH), by which it can be connected to again.
 */
bool storage_socket_pair(int *ret_listen, int *ret_client, int *ret_place, GError **error);

/*
 * Connects to the server that an nbd node's options (below @prefix) name.  *ret_place: the inode of
 * its UNIX socket (O_PATH); stays as it is for others.
 */
bool storage_connect(const struct opt_set *set, const char *prefix, int *ret_fd, int *ret_place,
		     GError **error);

#endif
