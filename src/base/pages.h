/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

/*
 * Zeroed memory in whole pages, for tables that are large and hardly used: a page costs nothing
 * until it is touched, while calloc() may have to clear what it gives.
 */

#include <stddef.h>

/* NULL with errno set if there is none. */
void *pages_alloc(size_t size);
/* NULL-safe; @size as it was asked for. */
void pages_free(void *pages, size_t size);

#endif
