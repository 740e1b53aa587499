/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BLOCK_NULL_H
#define BLOCK_NULL_H

#include <stdint.h>

struct block;
struct loop;

/*
 * QEMU's null-co: keeps nothing, reads as zeroes (also without read-zeroes=on, where QEMU leaves
 * the buffer as it was: here it could hold another request's data).  Each request ends @latency
 * ns after it was started.  Returns NULL with errno set.
 */
struct block *null_create(struct loop *loop, uint64_t size, int64_t latency);

#endif
