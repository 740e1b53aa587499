/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_INSPECT_LOOK_H
#define APPLETS_ORCHESTRATE_INSPECT_LOOK_H

/* What the files of this folder share: a process that is looked at, and rows of facts about it. */

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

/* What is expected of a process depends on what it is. */
enum subject_role {
	SUBJECT_DEVICE,		/* a device process of mpqemu-remote */
	SUBJECT_STORAGE,	/* the storage daemon of one */
	SUBJECT_OTHER,		/* measured as a device process would be */
};

#define FOR_DEVICE (1U << SUBJECT_DEVICE)
#define FOR_STORAGE (1U << SUBJECT_STORAGE)
#define FOR_OTHER (1U << SUBJECT_OTHER)
#define FOR_ALL (FOR_DEVICE | FOR_STORAGE | FOR_OTHER)

struct subject {
	pid_t pid;
	pid_t keeper;		/* whose child it is, or 0 */
	enum subject_role role;
	int dir;		/* /proc/PID, held: of this process, not of the number */
	int pidfd;		/* or -1 */
	char *program;		/* its executable or, where that is hidden, its name */
};

/* How bad it is, 0 to 10; or one of these. */
#define FINDING_WORST 10
#define FINDING_UNSEEN (-1)	/* the kernel does not show it to us */
#define FINDING_ASIDE (-2)	/* said, and not counted */

struct finding {
	int badness;
	GString *said;
	GPtrArray *details;	/* char *: a line each, of what the row sums up; may be empty */
};

struct inspect_row {
	const char *name;
	unsigned weight;	/* share in the score */
	unsigned required;	/* FOR_*: without this a process counts as not shut in */
	void (*look)(const struct subject *s, const struct inspect_row *row, struct finding *f);
	const char *expected, *means;
	const char *arg;	/* for rows of the same kind */
};

/* All rows, with a NULL name at the end. */
extern const struct inspect_row inspect_rows[];

/* ---- proc.c: reading /proc ---- */

/*
 * Opens the process; *s is the caller's, subject_finish() it.  Returns 0 or -errno (-ENOENT,
 * -ESRCH: there is none).
 */
int subject_init(struct subject *s, pid_t pid);
void subject_finish(struct subject *s);

/* A file below its folder, at most 1 MiB of it: g_free(); NULL with errno set. */
char *subject_read(const struct subject *s, const char *name);
/* A folder below its folder, for readdir(): closedir(); NULL with errno set. */
DIR *subject_dir(const struct subject *s, const char *name);
/* Where a link below its folder leads: g_free(); NULL with errno set. */
char *subject_link(const struct subject *s, const char *name);
/* The text behind "FIELD:" in a file as /proc/PID/status is: g_free(); NULL: not there. */
char *status_field(const char *status, const char *field);
/* The processes whose parent this one is, as pid_t; g_array_unref().  Empty where unknown. */
GArray *subject_children(const struct subject *s);
/* Its parent, or 0. */
pid_t subject_parent(const struct subject *s);
/* Word @index of its command line as the process has it now; g_free(); NULL: none. */
char *subject_word(const struct subject *s, unsigned index);

/* @text without anything that a terminal or JSON would take otherwise; g_free(). */
char *clean_text(const char *text);

/* The row cannot be filled in, and why: an errno. */
void finding_unseen(struct finding *f, int err);
/* What was found, as printf(); and how bad that is. */
void finding_set(struct finding *f, int badness, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- rows of their own files ---- */

/* fds.c: each open fd by what it is. */
void look_fds(const struct subject *s, const struct inspect_row *row, struct finding *f);
/* memory.c: mappings that can be written and executed; files of code; RAM that is shared. */
void look_writable_code(const struct subject *s, const struct inspect_row *row, struct finding *f);
void look_code(const struct subject *s, const struct inspect_row *row, struct finding *f);
void look_shared(const struct subject *s, const struct inspect_row *row, struct finding *f);
/* places.c: its root and working directory; its namespaces. */
void look_root(const struct subject *s, const struct inspect_row *row, struct finding *f);
void look_cwd(const struct subject *s, const struct inspect_row *row, struct finding *f);
void look_namespace(const struct subject *s, const struct inspect_row *row, struct finding *f);

/* ---- print.c ---- */

/* A process with all that was found about it, in the order of the table. */
struct inspected {
	const struct subject *subject;
	struct finding *findings;
	double score;		/* 0 best, 10 worst; NAN: nothing could be seen */
	bool missing, unseen;	/* a required row of that kind */
};

/* "device process"; static. */
const char *subject_role_name(const struct subject *s);

/* On stdout; all of them, worst rows first. */
void print_text(const struct inspected *all, unsigned count);
void print_json(const struct inspected *all, unsigned count);

/* Is a required row for that process? */
bool row_required(const struct inspect_row *row, const struct subject *s);

#endif
