/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_FUZZ_FDS_H
#define TESTS_FUZZ_FDS_H

/* What a peer may hand over: a file descriptor of each kind. */

#define PAGE 4096u
#define RAM_PAGES 64
#define RAM2_PAGES 4
#define FRAGILE_PAGES 16

enum kind {
	EVENT, RAM, RAM2,
	FROZEN,		/* sealed against writing */
	PIPE, FOLDER, NULLDEV, SOCKET,
	FRAGILE,	/* nobody can seal it against being cut short */
	KINDS,
};

/* Makes them; they stay open. */
void fds_make(int *fd);
/* Memory is empty and whole again. */
void fds_restore(const int *fd);
/* Cuts the fragile one to @pages. */
void fds_truncate(const int *fd, unsigned pages);

#endif
