/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_VMFILE_H
#define PLAN_VMFILE_H

/*
 * The text of a VM's file: groups of keys with values, in the syntax of GKeyFile (Desktop Entry
 * Specification 1.5, "Basic format of the file"), which QEMU's -readconfig files share.  What
 * GKeyFile says no word about is refused here, with the line: a key twice, a byte-order mark,
 * control characters, text that is not UTF-8, an escape that is none.  What the keys mean is in
 * vm.h.
 *
 *	# a comment: the first character of the line but for space
 *	[device lsi0]		a group: its kind, and mostly a name, which may stand in "quotes"
 *	driver = lsi53c895a	space around the first '=' does not count; space at the end does
 *
 * In a value \s is a space, \n a newline, \t a tab, \r a carriage return, \\ a backslash.  A value
 * that starts and ends with '"' has none of the two (as in -readconfig).  No line is continued.
 */

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

#include "base/error.h"

/* Bytes of a file.  A line may be as long. */
#define VMFILE_MAX (1u << 20)

struct vmfile_entry {
	char *key, *value;	/* the value as it is meant: no escapes, no quotes */
	unsigned line;		/* from 1 on */
};

struct vmfile_group {
	char *kind;		/* "device" */
	char *name;		/* "lsi0", or NULL */
	unsigned line;
	GArray *entries;	/* struct vmfile_entry */
};

/* Its keys in their order; break ends one turn, not the loop. */
#define for_each_entry(entry, group)                                                           \
	for (unsigned entry##_i = 0; entry##_i < (group)->entries->len; entry##_i++)           \
		for (const struct vmfile_entry *entry =                                        \
			     &g_array_index((group)->entries, struct vmfile_entry, entry##_i); \
		     entry; entry = NULL)

/* The one of that key, or NULL. */
const struct vmfile_entry *vmfile_find(const struct vmfile_group *group, const char *key);

struct vmfile {
	char *path;		/* as it was given; stands before each error */
	GPtrArray *groups;	/* struct vmfile_group *, in their order */
};

/*
 * Reads the regular file at @path.  NULL with @error: MPQ_ERROR_SYSTEM when it cannot be read,
 * MPQ_ERROR_USAGE with "PATH:LINE: " in front when it is not such a file.  vmfile_destroy() it.
 */
struct vmfile *vmfile_read(const char *path, GError **error);
/* The same of @len bytes at @text; @path is for the errors alone. */
struct vmfile *vmfile_parse(const char *path, const char *text, size_t len, GError **error);
void vmfile_destroy(struct vmfile *file);

/* mpq_fail() with MPQ_ERROR_USAGE and "PATH:LINE: " in front. */
bool vmfile_fail(const struct vmfile *file, unsigned line, GError **error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * @value as a file has it, so that it is read as the same again.  The caller frees.  NULL: it is
 * not UTF-8, or has a control character that has no escape.
 */
char *vmfile_escape(const char *value);

/* A local file that is destroyed when it goes out of scope. */
void vmfile_cleanup(struct vmfile **file);
#define auto_vmfile __attribute__((cleanup(vmfile_cleanup))) struct vmfile *

#endif
