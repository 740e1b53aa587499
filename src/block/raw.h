/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BLOCK_RAW_H
#define BLOCK_RAW_H

/* Raw images: a regular file or a block device, opened by somebody else. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct block;
struct loop;
struct pool;

/*
 * The system calls that may wait, run on pool threads: a table so that tests can make them fail or
 * transfer less.  Results and errno as the calls of that name; @flags of pwrite as pwritev2.
 * read_now, preadv2 with RWF_NOWAIT, is called on the loop, and may be NULL.
 */
struct raw_sys {
	ssize_t (*pread)(int fd, void *buf, size_t len, off_t off);
	ssize_t (*pwrite)(int fd, const void *buf, size_t len, off_t off, int flags);
	int (*fdatasync)(int fd);
	int (*fallocate)(int fd, int mode, off_t off, off_t len);
	ssize_t (*read_now)(int fd, const struct iovec *iov, int count, off_t off);
};

enum raw_detect_zeroes { RAW_DETECT_OFF, RAW_DETECT_ON, RAW_DETECT_UNMAP };

struct block_raw_config {
	int fd;
	uint64_t size;			/* bytes */
	bool readonly;
	bool direct;			/* the fd was opened with O_DIRECT */
	bool no_flush;			/* cache=unsafe: flush and FUA do nothing */
	bool discard;			/* discard=unmap: else discards do nothing */
	uint8_t detect_zeroes;		/* enum raw_detect_zeroes */
	bool probed_raw;		/* block 0 may not become a format's header: -EPERM */
	const struct raw_sys *sys;	/* NULL: the system's */
	/* Measured before, by somebody who may; NULL: the image is looked at. */
	const struct raw_facts *facts;
	/* Room for it, RAW_ROOM bytes, which stays the caller's, as the fd does then; or NULL. */
	void *room;
};

/* What raw_create() learns of an image. */
struct raw_facts {
	uint32_t align, mem_align, dev_sector;	/* bytes */
	bool is_device;
	bool promised_zero;		/* discarded ranges read as zeroes */
};

#define RAW_ROOM 512

/* Learns it (of config->fd, size, direct, discard, readonly).  0 or -errno, as raw_create(). */
int raw_measure(const struct block_raw_config *config, struct raw_facts *ret_facts);

/*
 * Makes a block device of config->fd, which it owns from success on (block_close() closes it).
 * @pool must outlive it.  Reads the image to learn the alignment that O_DIRECT asks for; requests
 * may have any alignment, those smaller than that are read, changed and written.
 * Returns 0, or -errno: -EINVAL when a writable O_DIRECT image is no multiple of that alignment
 * long (its last unit cannot be written without making it longer), or the unit is over 32 KiB.
 */
int raw_create(struct loop *loop, struct pool *pool, const struct block_raw_config *config,
	       struct block **ret_block);

#endif
