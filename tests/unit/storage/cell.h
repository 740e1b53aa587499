/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef UNIT_STORAGE_CELL_H
#define UNIT_STORAGE_CELL_H

/* A program of ours (inmate.c) in a storage daemon's place, for tests of its jail. */

#include <stdbool.h>

#include "applets/remote/storage-priv.h"
#include "applets/remote/storage.h"

/* The test's directory, and the program. */
extern char *dir, *inmate;

struct cell {
	enum sandbox_level level;
	unsigned features;
	GPtrArray *files;		/* struct storage_file */
	bool no_landlock;		/* as in a kernel without it */
};

bool is_root(void);

/* With the files image (which can be written to), base and sock of the test's directory. */
void cell_init(struct cell *cell, enum sandbox_level level, unsigned features);
void cell_finish(struct cell *cell);

/* Starts `inmate WORDS`; @preload: with the filter.  False with what it said. */
bool start(const struct cell *cell, const char *words, bool preload, struct storage **ret,
	   GError **error);

/* What came of it. */
char *outcome(const struct cell *cell, const char *words);
/* That has to be @what. */
void expect(const struct cell *cell, const char *words, const char *what);

/* paths.c */
void add_path_tests(void);

#endif
