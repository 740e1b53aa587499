/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/vm/nearest.h"

#include <stdbool.h>
#include <string.h>

/* Longer ones are no words. */
#define MAX_WORD 64

static char folded(char c)
{
	return c == '_' ? '-' : g_ascii_tolower(c);
}

/*
 * How many characters differ: Damerau's and Levenshtein's distance, of which no swapped pair is
 * changed again ("optimal string alignment").  Both words are at most MAX_WORD long.
 */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][MAX_WORD + 1];		/* of i - 2, i - 1, i: modulo 3 */
	size_t a_len = strlen(a), b_len = strlen(b);

	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			bool same = folded(a[i - 1]) == folded(b[j - 1]);

			row[j] = MIN(above[j - 1] + !same, MIN(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) &&
			    folded(a[i - 2]) == folded(b[j - 1]))
				row[j] = MIN(row[j], rows[(i + 1) % 3][j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

const char *nearest_word(const char *word, const char *const *words)
{
	size_t len = strlen(word);
	unsigned best = 1 + len / 4;
	const char *found = NULL;

	if (!len || len > MAX_WORD)
		return NULL;
	for (; *words; words++) {
		unsigned d = strlen(*words) > MAX_WORD ? G_MAXUINT : distance(word, *words);

		/* A word that shares nothing with it is no mistyped one. */
		if (d > best || d >= len || (found && d == best))
			continue;
		best = d;
		found = *words;
	}
	return found;
}

char *nearest_hint(const char *word, const char *const *words)
{
	const char *found = nearest_word(word, words);

	return found ? g_strdup_printf("; did you mean '%s'?", found) : g_strdup("");
}
