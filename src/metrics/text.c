/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "metrics/text.h"

#include <stdarg.h>
#include <stdio.h>

void text_add(struct text *text, const char *fmt, ...)
{
	size_t room = text->size - text->len;
	va_list ap;
	int n;

	if (text->cut)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text->buf + text->len, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room) {
		text->buf[text->len] = '\0';
		text->cut = true;
		return;
	}
	text->len += n;
}
