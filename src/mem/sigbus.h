/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEM_SIGBUS_H
#define MEM_SIGBUS_H

/*
 * Guest RAM that goes away under its mapping: its owner cuts the file short (a file that cannot be
 * sealed: memory-backend-file), the pool of huge pages has none left, the machine finds bad memory.
 * The access gives SIGBUS.  The handler puts zeroes over the region and poisons it: that access and
 * every later one to the region fail with -EFAULT, which is a DMA fault to the device, until
 * guestmem_set() maps memory anew.  What the kernel does in our name (preadv into it) fails with
 * EFAULT by itself.
 *
 * Any other SIGBUS ends the process: one line, exit status SIGBUS_EXIT.
 */

#define SIGBUS_EXIT 70

struct guestmem_arena;

/*
 * Installs the handler for @arena, the only one of the process, and unblocks SIGBUS in this thread:
 * no other may touch guest memory.  Returns 0 or -errno.
 */
int sigbus_guard(struct guestmem_arena *arena);

#endif
