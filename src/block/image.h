/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BLOCK_IMAGE_H
#define BLOCK_IMAGE_H

/*
 * Opening image files as QEMU opens them, for the keeper: files and block devices, their size, the
 * format that they look like, and QEMU's locks, so that no two of us, QEMU and its tools write to
 * one image.  The locks are of the open file (OFD), so they last until the last dup of its fd is
 * closed, whoever holds it.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#define IMAGE_SECTOR 512	/* bytes; what an image's size must be a multiple of */

struct image_options {
	const char *path;	/* "file:" in front is taken off */
	const char *format;	/* as given by the user; NULL: look at the image */
	bool direct;		/* O_DIRECT: cache=none, cache=directsync */
	bool readonly;
	bool auto_readonly;	/* open for reading when writing is not allowed */
	bool share_rw;		/* the device's share-rw=on: others may write */
	bool resizable;		/* others may change the size: QEMU's disks, not its CD-ROMs */
	bool no_lock;		/* locking=off */
	bool use_fd;		/* -add-fd: a dup of @fd instead of opening path, flags as it has */
	int fd;
};

struct image {
	int fd;			/* O_CLOEXEC; the caller closes; locked when format is raw */
	uint64_t size;		/* bytes, as measured; of a raw image: checked */
	const char *format;	/* QEMU's name; static or options->format */
	bool probed;		/* the format was not given */
	bool readonly;		/* as opened */
	bool direct;		/* O_DIRECT is on */
	bool is_device;		/* a block device */
};

/* The path in an image's name, from which "file:" is taken off; points into it. */
const char *image_path(const char *filename);

/*
 * Opens options->path.  Of a raw image it checks the size (not 0, a multiple of IMAGE_SECTOR) and
 * takes the locks.  Another format's file is only looked at: who serves it locks it; ret->fd is
 * open for reading then.  Fails with QEMU's words ("Could not open 'X': ...", "Failed to get
 * "write" lock ... Is another process using the image [X]?"), *ret untouched.
 */
bool image_open(const struct image_options *options, struct image *ret, GError **error);

/*
 * The format that a file of this name and these first bytes has for QEMU: probe_format(), and the
 * one that goes by the name (dmg).
 */
const char *image_probe(const char *path, const void *head, size_t len);

/* Permissions of QEMU's block layer that its locks speak of. */
#define IMAGE_PERM_CONSISTENT_READ	0x01u
#define IMAGE_PERM_WRITE		0x02u
#define IMAGE_PERM_WRITE_UNCHANGED	0x04u
#define IMAGE_PERM_RESIZE		0x08u
#define IMAGE_PERM_ALL			0x0fu

/*
 * Takes QEMU's locks for using @perm and letting others use @shared, for as long as a dup of @fd
 * lives.  @path is for the message.  On failure the locks that were taken are given back.
 */
bool image_lock(int fd, const char *path, unsigned perm, unsigned shared, GError **error);

/*
 * For who reads or overwrites a file that may be an image, and is no disk itself: the first must
 * have no writer and gets none, the second nobody at all.  @fd is open for that.  0; -EAGAIN or
 * -EACCES: somebody is there; or -errno, where there are no such locks.
 */
int image_lock_reader(int fd);
int image_lock_owner(int fd);

/* What QEMU warns of when a writable image's format was guessed to be raw: one line, g_free(). */
char *image_probe_warning(const char *path);

#endif
