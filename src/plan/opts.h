/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_OPTS_H
#define PLAN_OPTS_H

/*
 * QEMU's command-line language, which no option library speaks: "-x" and "--x" are the same, names
 * are never abbreviated, an argument is a list of key=value pairs or a JSON object.
 *
 * Two dialects of key=value exist in QEMU, and both are here (facts of QEMU 7.2):
 *   - QemuOpts (-device, -object, -drive, -machine, -name, ...): "key" alone means key=on, any
 *     key goes; a duplicate key is kept, and the last one counts.
 *   - keyval (-blockdev): "key" alone is an error, a key is a dotted path of names.
 * In both, ",," is a comma inside a value, the first value may come without its key ("implied"), a
 * trailing comma is accepted, and "help" or "?" asks for help.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "base/error.h"

struct json_t;

/* ---- The words of the command line ---- */

#define OPTION_HAS_ARG	1u
#define OPTION_HIDDEN	2u	/* accepted, not in -help */
/*
 * Ours, not QEMU's: "--NAME=VALUE" in one word with OPTION_HAS_ARG, else "--NAME"; never with one
 * dash.  A QEMU option of the same name is another row ("--sandbox=x" and "-sandbox x").
 */
#define OPTION_OWN	4u

struct option_use;

struct option_def {
	const char *name;	/* without dashes; NULL ends a table */
	unsigned flags;
	bool (*handle)(void *opaque, const struct option_use *use, GError **error);
	const char *args;	/* for -help: "[guest=]NAME"; may be NULL */
	const char *help;	/* one line, for -help, or why an option is refused; may be NULL */
	long data;		/* the handler's own */
};

/* One use of an option on a command line; all pointers go into argv and the table. */
struct option_use {
	const struct option_def *def;	/* NULL: a word that is not an option */
	const char *word;		/* the option as it was written: "--device" */
	const char *arg;		/* its argument, or the word that is no option; or NULL */
	int index, count;		/* argv[index], and how many words were taken (1 or 2) */
};

/*
 * Reads the option at argv[*index] and moves *index behind it.  "--NAME=..." is a row with
 * OPTION_OWN, "--NAME" QEMU's before ours.  Fails with QEMU's words: "-blah: invalid option",
 * "-m: requires an argument".
 */
bool option_next(const struct option_def *table, int argc, char *const *argv, int *index,
		 struct option_use *ret, GError **error);

/* The table's row of that name (no dashes) without OPTION_OWN, or NULL. */
const struct option_def *option_find(const struct option_def *table, const char *name);

/* The same with OPTION_OWN; the name ends at a '='. */
const struct option_def *option_find_own(const struct option_def *table, const char *name);

/* How the option is written: "-name [guest=]NAME", "--on-error=report|...".  The caller frees. */
char *option_usage(const struct option_def *def);

/*
 * Calls each option's handler in order, from argv[1] on.  A word that is not an option goes to
 * @stray (its use has def == NULL).
 */
bool option_run(const struct option_def *table, int argc, char *const *argv, void *opaque,
		bool (*stray)(void *opaque, const struct option_use *use, GError **error),
		GError **error);

/* "-device lsi53c895a,id=x": what stands before an error about this option.  The caller frees. */
char *option_where(const struct option_use *use);

/* mpq_fail() with the option in front: "-m 5: text". */
bool option_fail(const struct option_use *use, GError **error, enum mpq_error code,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* ---- The argument of one option: an ordered list of keys and values ---- */

enum opt_type {
	OPT_STRING,
	OPT_NUMBER,		/* JSON forms only, from here on */
	OPT_BOOL,		/* value is "on" or "off" */
	OPT_NULL,
	OPT_EMPTY_OBJECT,
	OPT_EMPTY_ARRAY,
};

struct opt {
	char *key;		/* "file.driver" for {"file": {"driver": ...}}, "a.0" for arrays */
	char *value;		/* never NULL */
	uint8_t type;		/* enum opt_type */
	bool implied;		/* was written without its key */
	bool bare;		/* was written without a value */
};

struct opt_set {
	char *where;		/* stands before every error: "-device foo,bar=1", cut when long */
	bool json;		/* was JSON: values have types, and it is written back as JSON */
	bool help;		/* "help" or "?" is among the options */
	size_t count;
	struct opt *opt;
};

enum opt_dialect { OPT_DIALECT_QEMUOPTS, OPT_DIALECT_KEYVAL };

struct opt_syntax {
	const char *implied;	/* key of a first value without one, or NULL */
	uint8_t dialect;	/* enum opt_dialect */
	bool json;		/* an argument that starts with '{' is JSON */
};

extern const struct opt_syntax opt_syntax_device, opt_syntax_object, opt_syntax_blockdev,
	opt_syntax_drive, opt_syntax_machine, opt_syntax_name, opt_syntax_plain;

/* Parses @text.  @where is copied.  NULL with @error set; opt_set_destroy() the result. */
struct opt_set *opt_set_parse(const char *where, const char *text, const struct opt_syntax *syntax,
			      GError **error);
/* The same for an option as it was read. */
struct opt_set *opt_set_parse_use(const struct option_use *use, const struct opt_syntax *syntax,
				  GError **error);
struct opt_set *opt_set_create(const char *where);
struct opt_set *opt_set_copy(const struct opt_set *set);
void opt_set_destroy(struct opt_set *set);

/* A local set that is destroyed when it goes out of scope. */
void opt_set_cleanup(struct opt_set **set);
#define auto_opt_set __attribute__((cleanup(opt_set_cleanup))) struct opt_set *

/* The last option of that key (the one that counts in QEMU), or NULL. */
const struct opt *opt_find(const struct opt_set *set, const char *key);

/* Its value, or NULL.  Valid until the set is changed. */
const char *opt_get(const struct opt_set *set, const char *key);

/* Is there a key that starts with @prefix ("file.")? */
bool opt_has_prefix(const struct opt_set *set, const char *prefix);

/* A new set of the options whose keys start with @prefix, which is cut off. */
struct opt_set *opt_set_sub(const struct opt_set *set, const char *prefix);

/*
 * Typed getters.  An absent key leaves *ret as it is and is no error.  Errors carry set->where and
 * QEMU's words ("Parameter 'lun' expects uint32_t").  Integers are decimal, 0x hex or 0 octal, as
 * in QEMU; sizes take a fraction and B K M G T P E (powers of 1024, either case).
 */
bool opt_get_string(const struct opt_set *set, const char *key, const char **ret, GError **error);
bool opt_get_bool(const struct opt_set *set, const char *key, bool *ret, GError **error);
bool opt_get_uint(const struct opt_set *set, const char *key, unsigned bits, uint64_t *ret,
		  GError **error);
bool opt_get_int(const struct opt_set *set, const char *key, unsigned bits, int64_t *ret,
		 GError **error);
bool opt_get_size(const struct opt_set *set, const char *key, uint64_t *ret, GError **error);
/* @names ends with NULL; *ret is the index. */
bool opt_get_enum(const struct opt_set *set, const char *key, const char *const *names, int *ret,
		  GError **error);

/*
 * QEMU's rule for an id: letters, digits, '-', '.', '_', starting with a letter.  *ret is NULL
 * when there is none.
 */
bool opt_get_id(const struct opt_set *set, const char **ret, GError **error);

/* Is @text such an id? */
bool opt_id_wellformed(const char *text);

/* mpq_fail() with set->where in front. */
bool opt_fail(const struct opt_set *set, GError **error, enum mpq_error code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
#define opt_bad(set, error, ...) opt_fail(set, error, MPQ_ERROR_USAGE, __VA_ARGS__)

/* ---- Rewriting ---- */

/* Replaces the value of the last option of that key (in its place), or appends a new one. */
void opt_put(struct opt_set *set, const char *key, const char *value);
void opt_put_typed(struct opt_set *set, const char *key, enum opt_type type, const char *value);

/* Removes every option of that key; how many there were. */
size_t opt_remove(struct opt_set *set, const char *key);

/*
 * Back to text that QEMU reads as the same options, in the same order: key=value pairs with commas
 * doubled, or JSON.  opt_set_to_text() chooses the form that the set was written in.  The caller
 * frees (g_free, json_decref).
 */
char *opt_set_to_keyval(const struct opt_set *set);
/* Nested objects and arrays; NULL with @error set if keys contradict ("a=1,a.b=2"). */
char *opt_set_to_text(const struct opt_set *set, GError **error);
char *opt_set_to_json_text(const struct opt_set *set, GError **error);
struct json_t *opt_set_to_json(const struct opt_set *set, GError **error);

#endif
