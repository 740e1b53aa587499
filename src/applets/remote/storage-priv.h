/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_STORAGE_PRIV_H
#define APPLETS_REMOTE_STORAGE_PRIV_H

/* The parts of storage.c. */

#include <stdbool.h>

#include <glib.h>

#include "plan/remote.h"

struct storage;

/* A block graph that is ready for a daemon. */
struct storage_graph {
	GPtrArray *args;	/* char *: values of --blockdev, in order */
	GPtrArray *files;	/* struct storage_file */
	bool network;		/* something below is neither a file nor a device */
};

struct storage_file {
	char *path;
	bool writable;
};

/*
 * Copies image->graph and completes it: every backing file and data file that an image names
 * becomes a node with an explicit format.  Runs qemu-img to read the headers.
 */
bool storage_graph_make(const struct plan_image *image, struct storage_graph *ret, GError **error);
void storage_graph_finish(struct storage_graph *graph);

/*
 * The format of the image that @set, options below @prefix, names ("file.": of the file below),
 * as qemu-img finds it.  The caller frees.
 */
char *storage_probe(const struct opt_set *set, const char *prefix, GError **error);

/* Restricts the calling process (between fork and exec) to @files and what a program needs. */
struct storage_jail {
	int ruleset;		/* Landlock's fd, or -1: the kernel has none */
};
void storage_jail_make(const struct storage_graph *graph, const GPtrArray *objects,
		       const char *program, struct storage_jail *ret);
/* Async-signal-safe.  Returns 0 or -errno. */
int storage_jail_enter(const struct storage_jail *jail);
void storage_jail_finish(struct storage_jail *jail);

/*
 * Starts @argv in @jail with the listening socket @listen_fd as fd 3, and waits until it greets
 * on @client_fd.  Fails with the program's own words.
 */
bool storage_spawn(char **argv, const struct storage_jail *jail, int listen_fd, int client_fd,
		   struct storage **ret, GError **error);

/* A listening UNIX socket that has no name any more, and a socket connected to it. */
bool storage_socket_pair(int *ret_listen, int *ret_client, GError **error);

/* Connects to the server that an nbd node's options (below @prefix) name. */
bool storage_connect(const struct opt_set *set, const char *prefix, int *ret_fd, GError **error);

#endif
