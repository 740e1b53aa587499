/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_UNIT_SERVE_USAGE_H
#define TESTS_UNIT_SERVE_USAGE_H

/* What the process has, of all that could grow. */
struct usage {
	unsigned fds, maps;
	unsigned long size, anon;	/* kB: address space, own pages */
};

struct usage usage_now(void);
/* It is the same after @count times of @what. */
void usage_same(const struct usage *before, const char *what, unsigned long count);
/* Of as many as -m slow asks for, a tenth; fewer with a tool that is slow. */
unsigned long usage_rounds(unsigned long full);

#endif
