/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_VERBS_SHOW_H
#define APPLETS_ORCHESTRATE_VERBS_SHOW_H

/* How the verbs print: members of answers, and values for people. */

#include <stdint.h>

#include <jansson.h>

/* A member's text, or "-"; borrowed. */
const char *show_text(const json_t *object, const char *key);
/* A member's number, or 0. */
double show_number(const json_t *object, const char *key);

/* "3 d 04:05:06" or "04:05:06"; returns @text. */
char *show_time(double seconds, char *text, size_t size);
/* "1.2K", at most five characters; returns @text. */
char *show_count(double n, char *text, size_t size);

/* JSON to stdout, with a newline. */
void show_json(const json_t *value);

/*
 * @text as it may stand on a terminal or a line: controls are '?'.  What a VM's keeper passes on
 * may be its guest's or its remotes'.  Returns @text, changed.
 */
char *show_clean(char *text);

#endif
