/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BLOCK_NBD_H
#define BLOCK_NBD_H

/*
 * A disk behind a connected NBD socket.  The client is libnbd, in a module of its own: it brings
 * many libraries, so it is loaded only when a disk needs it, before the sandbox closes.
 */

#include <stdbool.h>
#include <stddef.h>

struct block;
struct loop;

struct block_nbd_config {
	int fd;			/* connected stream socket; nothing has been read from it */
	int copy_fd;		/* number of the copy that libnbd gets; 0: any */
	const char *export_name;
	bool readonly;
	bool no_flush;		/* cache=unsafe: flush and FUA do nothing */
	bool discard;		/* discard=unmap: else discards do nothing */
	bool probed_raw;	/* block 0 may not become a format's header: -EPERM */
};

/*
 * Loads the module, so that nbd_block_create() needs no file any more.  @path as for
 * nbd_block_load().  Returns 0, or -errno with one line in @why: -ENOSYS when mpqemu was built
 * without libnbd, -ELIBACC when it cannot be loaded.
 */
int nbd_preload(const char *path, char *why, size_t why_size);

/*
 * Loads the module unless nbd_preload() has, shakes hands with the server (this waits for it) and
 * makes a block device, which owns config->fd from success on.  The size is the
 * server's.  A server that dies later fails every request with -EIO from then on.
 *
 * libnbd gets a copy of the socket and closes it when the server is gone.  config->fd stays open
 * until the block device is closed, so that nothing else can take its number; see to it that
 * nothing takes the copy's either.
 *
 * libnbd allocates a command a request.  The heap is made NBD_HEAP bytes longer here, and never
 * shorter again, so that requests take from it and need no brk() and no mmap(): afterwards the
 * calls are sendto, recvfrom and, when the server is gone, close on the copy, and epoll_ctl.
 *
 * Returns 0, or -errno with one line in @why (@why_size bytes): -ENOSYS when mpqemu was built
 * without libnbd, -ELIBACC when the module cannot be loaded.
 */
int nbd_block_create(struct loop *loop, const struct block_nbd_config *config,
		     struct block **ret_block, char *why, size_t why_size);

/*
 * The same from the module at @path; for tests.  NULL: next to the program, below it where the
 * build puts it, or where it was installed.
 */
int nbd_block_load(const char *path, struct loop *loop, const struct block_nbd_config *config,
		   struct block **ret_block, char *why, size_t why_size);

/*
 * Bytes.  A process has up to 2816 requests in flight (8 buses of SCSI_MAX_IOS, scsi/bus.h); a
 * command of libnbd 1.14 takes about 250 bytes of the heap.
 */
#define NBD_HEAP (4u << 20)

#define NBD_MODULE_SYMBOL "mpqemu_nbd_create"
typedef int nbd_module_fn(struct loop *loop, const struct block_nbd_config *config,
			  struct block **ret_block, char *why, size_t why_size);

/* The module's one symbol; as nbd_block_create(). */
int mpqemu_nbd_create(struct loop *loop, const struct block_nbd_config *config,
		      struct block **ret_block, char *why, size_t why_size);

#endif
