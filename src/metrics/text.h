/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef METRICS_TEXT_H
#define METRICS_TEXT_H

/* Text in memory of the caller's, which it never outgrows. */

#include <stdbool.h>
#include <stddef.h>

struct text {
	char *buf;		/* always ends with a 0 */
	size_t size;		/* bytes of buf, at least 1 */
	size_t len;
	bool cut;		/* something had no room; what came before it stands */
};

static inline void text_init(struct text *text, char *buf, size_t size)
{
	*text = (struct text){ .buf = buf, .size = size };
	buf[0] = '\0';
}

/* Adds all of it or nothing; and nothing more once something was cut. */
void text_add(struct text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
