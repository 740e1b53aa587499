/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEM_MEMFD_H
#define MEM_MEMFD_H

/* memfds and their seals. */

#include <stdbool.h>
#include <stdint.h>

/*
 * A memfd of @size bytes (CLOEXEC), sealed against shrinking and growing.  Returns the fd, which
 * the caller owns, or -errno.
 */
int memfd_make(const char *name, uint64_t size);

/*
 * A memfd holding a copy of @data, sealed against any change.  Returns the fd or -errno.
 */
int memfd_make_sealed(const char *name, const void *data, uint64_t size);

/*
 * Seals @fd against shrinking, and nothing else, where it can be sealed.  Returns 0 when it can no
 * longer shrink, -EPERM when it may (sealing not offered), or -errno.
 */
int memfd_seal_size(int fd);

/* Maps @size bytes of @fd shared (read-only unless @writable).  NULL with errno set on failure. */
void *memfd_map(int fd, uint64_t size, bool writable);

#endif
