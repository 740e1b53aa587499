/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_CONTROL_PLACE_H
#define APPLETS_ORCHESTRATE_CONTROL_PLACE_H

/*
 * Where the control sockets of running VMs are: NAME.sock, in one directory of the user's that
 * nobody else may enter.  A VM's name is what the verbs call it by.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

#define PLACE_ENV "MPQEMU_RUNTIME_DIR"
#define PLACE_NAME_MAX 48	/* characters of a VM's name */

/* Is it letters, digits, "-", "_" and ".", not "." first, and not too long? */
bool place_is_name(const char *name);

/* @text with "_" for what no name has; "vm" if nothing of it is left.  The caller frees. */
char *place_make_name(const char *text);

/*
 * The directory: PLACE_ENV, or "mpqemu" in /run (root), XDG_RUNTIME_DIR or /run/user/UID, or
 * /tmp/mpqemu-UID.  The caller frees.  With @make it is there afterwards; an error when it cannot
 * be made, is another user's, or others may write there.
 */
char *place_dir(bool make, GError **error);

/*
 * The path of the control socket of @vm: a name, or a path, which has a "/".  The caller frees.
 */
char *place_socket(const char *vm, bool make, GError **error);

/* A socket of ours that listens; the path is the same that place_listen() got. */
struct place {
	char *path;
	dev_t dev;		/* what is there because of us */
	ino_t ino;
};

/*
 * Binds the socket at @path, for its owner alone, and listens.  @what: "control socket", for
 * people.  Returns the fd, or -1 with @error: somebody has it (a VM with it runs), or it is no
 * socket of ours.  One that was left behind is replaced.
 */
int place_listen(struct place *place, const char *path, const char *what, GError **error);
/* Removes what was left behind of this user's sockets in @dir. */
void place_sweep(const char *dir);
/* Removes it, unless somebody else's socket is there by now; also of one that is all zeros. */
void place_remove(struct place *place);

/* A connection to @path.  The fd, or -1 with @error. */
int place_connect(const char *path, GError **error);

/* The names of all VMs that have a socket in @dir, sorted, NULL-terminated; g_strfreev() it. */
char **place_names(const char *dir);

#endif
