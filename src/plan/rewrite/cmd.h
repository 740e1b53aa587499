/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_REWRITE_CMD_H
#define PLAN_REWRITE_CMD_H

/*
 * A QEMU command line as a list of options that can be read, changed and written back.  What
 * nobody changes is written back as it stood, byte for byte.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "base/error.h"
#include "plan/opts.h"

/* Which process an option goes to: QEMU, nobody, or (>= 0) the remote of that index. */
#define QOPT_QEMU (-1)
#define QOPT_DROPPED (-2)

struct qopt {
	char *word;		/* as written: "-device", "--device", or a word that is no option */
	char *arg;		/* its argument, or NULL */
	const char *name;	/* "device"; NULL: a word that is no option (a disk image) */
	struct opt_set *set;	/* the argument, read; NULL for options that nobody here reads */
	bool changed;		/* set counts, not arg */
	int owner;
	uint64_t copies;	/* bit N: the remote of index N gets a copy */
};

static inline bool qopt_copied_to(const struct qopt *opt, unsigned remote)
{
	return opt->copies & UINT64_C(1) << remote;
}

struct qcmd {
	GPtrArray *prefix;	/* char *: the program, and what stands before the first option */
	GPtrArray *opts;	/* struct qopt * */
	bool wants_help;	/* prints something and exits: -version, "-device help", ... */
};

/* Reads argv (NULL-terminated, the program first).  NULL with @error set. */
struct qcmd *qcmd_parse(char *const *argv, GError **error);
void qcmd_destroy(struct qcmd *cmd);

/* Is it an option of that name, for QEMU still? */
bool qopt_is(const struct qopt *opt, const char *name);

/* The last option of that name that QEMU gets, or NULL. */
struct qopt *qcmd_last(const struct qcmd *cmd, const char *name);

/*
 * The value of @key in all options of that name together, as QEMU merges -machine, -m and -smp:
 * the last one counts.  NULL when there is none; valid until an option is changed.  *ret_opt (may
 * be NULL) is where it stands.
 */
const char *qcmd_get(const struct qcmd *cmd, const char *name, const char *key,
		     struct qopt **ret_opt);

/* The option of that name and id= (or, for -blockdev, node-name=) whoever owns it, or NULL. */
struct qopt *qcmd_find_id(const struct qcmd *cmd, const char *name, const char *id);

/*
 * Looks for an option that names what an earlier one has named.  NULL: none; else QEMU's words for
 * it ("Duplicate ID 'x' for drive"), g_free(), and the positions of both.
 */
char *qcmd_find_twice(const struct qcmd *cmd, unsigned *ret_first, unsigned *ret_again);
/* Refuses that; the error names both options. */
bool qcmd_check_ids(const struct qcmd *cmd, GError **error);

/* Adds an option at position @at of the list (options from there on move back). */
struct qopt *qcmd_insert(struct qcmd *cmd, unsigned at, const char *name, struct opt_set *set);

/* The driver= or qom-type= of a -device or -object; "" when it has none. */
const char *qopt_type(const struct qopt *opt);

/* "-device lsi53c895a,id=x", to stand before an error.  Belongs to the option. */
const char *qopt_where(const struct qopt *opt);

/* Appends the option's one or two words to @argv (char *, owned).  False: it cannot be written. */
bool qopt_emit(const struct qopt *opt, GPtrArray *argv, GError **error);

/* Does its argument name @id as some key's value ("=id" and then a comma or the end)? */
bool qopt_mentions(const struct qopt *opt, const char *id);

#define for_each_qopt(opt, cmd)                                                              \
	for (unsigned opt##_i = 0; opt##_i < (cmd)->opts->len; opt##_i++)                    \
		for (struct qopt *opt = (cmd)->opts->pdata[opt##_i]; opt; opt = NULL)

/* mpq_fail() with MPQ_ERROR_REFUSED and the option in front. */
bool qopt_refuse(const struct qopt *opt, GError **error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A local command line that is destroyed when it goes out of scope. */
void qcmd_cleanup(struct qcmd **cmd);
#define auto_qcmd __attribute__((cleanup(qcmd_cleanup))) struct qcmd *

#endif
