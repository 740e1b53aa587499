/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_NEAREST_H
#define PLAN_NEAREST_H

/* What somebody meant who has mistyped a word. */

#include <glib.h>

/*
 * The word of @words (NULL-terminated) that @word can be taken for: one wrong, missing, additional
 * or swapped character for each four that it has, and one more; '_' and '-' are the same, and so
 * are capitals.  NULL: none is as near as that.
 */
const char *nearest_word(const char *word, const char *const *words);

/* "; did you mean 'X'?", or "".  The caller frees. */
char *nearest_hint(const char *word, const char *const *words);

#endif
