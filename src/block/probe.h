/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BLOCK_PROBE_H
#define BLOCK_PROBE_H

/*
 * Which format does the start of an image name?  As QEMU 7.2 probes (each format's magic number in
 * the first 512 bytes), for the decision "raw or not": a guest that owns a raw image could else
 * write another format's header into it, and have files of the host named there opened at the
 * next start.
 */

#include <stddef.h>

#define PROBE_SIZE 512	/* bytes that QEMU looks at */

/*
 * QEMU's name of the format that @head, the first @len bytes of an image, belongs to; "raw" when it
 * is none that is known.  Never NULL; static text.  Allocates nothing.
 */
const char *probe_format(const void *head, size_t len);

#endif
