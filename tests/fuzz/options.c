/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command lines: the first byte says whose, then the words, each ended by a zero byte.  A plan or
 * an error comes out, and what was planned can be written out again.  Nothing is opened.
 */

#include <string.h>

#include "../unit/plan/lines.h"
#include "fuzz.h"

#define MAX_WORDS 64

void fuzz_setup(void)
{
}

void fuzz_one(struct input *in)
{
	static char remote[] = "l", local[] = "m";	/* ids, as the inputs by hand have them */
	uint8_t whose = in_u8(in);
	g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
	const uint8_t *text;
	size_t len = in_take(in, 4096, &text);

	g_ptr_array_add(words, g_strdup("mpqemu"));
	while (len && words->len < MAX_WORDS) {
		size_t word = strnlen((const char *)text, len);

		g_ptr_array_add(words, g_strndup((const char *)text, word));
		word = MIN(word + 1, len);
		text += word;
		len -= word;
	}
	g_ptr_array_add(words, NULL);
	if (whose % 3 == 0)
		line_try_remote((char **)words->pdata);
	else if (whose % 3 == 1)
		line_try_move((char **)words->pdata, whose & 0x40 ? remote : NULL,
			      whose & 0x80 ? local : NULL);
	else
		line_try_join((char **)words->pdata);
}
