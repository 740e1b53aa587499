/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The facts that a process is measured by: a row each. */
#include "applets/orchestrate/inspect/look.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sandbox/landlock.h"

/* ---- Of /proc/PID/status ---- */

/* A number of the status, in @base; G_MAXUINT64 where it is not said. */
static uint64_t number_of(const char *status, const char *field, int base)
{
	g_autofree char *text = status ? status_field(status, field) : NULL;

	return text ? strtoull(text, NULL, base) : G_MAXUINT64;
}

static void look_filter(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	static const char *const modes[] = { "off", "strict mode: read, write, exit", "filter" };
	g_autofree char *status = subject_read(s, "status");
	uint64_t mode = number_of(status, "Seccomp", 10);
	uint64_t filters = number_of(status, "Seccomp_filters", 10);

	if (mode >= G_N_ELEMENTS(modes)) {
		finding_unseen(f, status ? ENODATA : errno);
		return;
	}
	finding_set(f, mode ? 0 : FINDING_WORST, "%s", modes[mode]);
	if (mode == 2 && filters != G_MAXUINT64)
		g_string_append_printf(f->said, ", %u loaded", (unsigned)filters);
}

static void look_new_privs(const struct subject *s, const struct inspect_row *row,
			   struct finding *f)
{
	g_autofree char *status = subject_read(s, "status");
	uint64_t set = number_of(status, "NoNewPrivs", 10);

	if (set > 1)
		finding_unseen(f, status ? ENODATA : errno);
	else
		finding_set(f, set ? 0 : FINDING_WORST, set ? "set" : "not set");
}

static void look_caps(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	static const char *const sets[] = { "Prm", "Eff", "Inh", "Amb" };
	g_autofree char *status = subject_read(s, "status");
	uint64_t all = 0;

	for (size_t i = 0; status && i < G_N_ELEMENTS(sets); i++) {
		g_autofree char *field = g_strconcat("Cap", sets[i], NULL);
		uint64_t caps = number_of(status, field, 16);

		all |= caps;
		g_string_append_printf(f->said, "%s%s %llx", i ? ", " : "", sets[i],
				       (unsigned long long)caps);
	}
	if (!status)
		finding_unseen(f, errno);
	else if (!all)
		f->badness = 0;
	else
		f->badness = s->role == SUBJECT_STORAGE && all == 1U << CAP_DAC_OVERRIDE ? 2 :
			     FINDING_WORST;
}

static void look_bounding(const struct subject *s, const struct inspect_row *row,
			  struct finding *f)
{
	g_autofree char *status = subject_read(s, "status");
	uint64_t caps = number_of(status, "CapBnd", 16);

	if (!status)
		finding_unseen(f, errno);
	else
		finding_set(f, !caps ? 0 : s->role == SUBJECT_STORAGE &&
			    caps == 1U << CAP_DAC_OVERRIDE ? 2 : FINDING_WORST, "%llx",
			    (unsigned long long)caps);
}

/* ---- Threads ---- */

/* What has to be the same in each, as one text. */
static char *thread_state(const char *status)
{
	static const char *const fields[] = {
		"Seccomp", "Seccomp_filters", "NoNewPrivs", "CapPrm", "CapEff", "CapInh", "CapBnd",
		"CapAmb", "Uid", "Gid",
	};
	GString *state = g_string_new(NULL);

	for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
		g_autofree char *text = status_field(status, fields[i]);

		g_string_append_printf(state, "%s\n", text ? text : "");
	}
	return g_string_free(state, false);
}

static void compare_thread(const struct subject *s, const char *tid, const char *leader,
			   unsigned *count, unsigned *differ)
{
	g_autofree char *name = g_strdup_printf("task/%s/status", tid);
	g_autofree char *status = subject_read(s, name);
	g_autofree char *state = status ? thread_state(status) : NULL;

	if (!state)
		return;
	(*count)++;
	*differ += strcmp(state, leader) != 0;
}

static void look_threads(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	DIR *dir = subject_dir(s, "task");
	g_autofree char *status = subject_read(s, "status");
	g_autofree char *leader = status ? thread_state(status) : NULL;
	unsigned count = 0, differ = 0;
	struct dirent *entry;

	while (dir && leader && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			compare_thread(s, entry->d_name, leader, &count, &differ);
	if (!count)
		finding_unseen(f, errno ? errno : ESRCH);
	else if (differ)
		finding_set(f, FINDING_WORST, "%u of %u differ from the first", differ, count);
	else
		finding_set(f, 0, "%u, all with the same rights and filters", count);
	if (dir)
		closedir(dir);
}

/* ---- Users ---- */

static void look_user(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	g_autofree char *status = subject_read(s, "status");
	g_autofree char *uid = status ? status_field(status, "Uid") : NULL;
	g_autofree char *gid = status ? status_field(status, "Gid") : NULL;
	g_autofree char *groups = status ? status_field(status, "Groups") : NULL;
	bool root = false;

	if (!uid || !gid) {
		finding_unseen(f, errno);
		return;
	}
	g_auto(GStrv) ids = g_strsplit_set(uid, " \t", -1);
	for (char **id = ids; *id; id++)
		root |= !strcmp(*id, "0");
	g_strdelimit(uid, "\t", ' ');
	g_strdelimit(gid, "\t", ' ');
	g_strchomp(groups ? groups : uid);
	finding_set(f, root ? s->role == SUBJECT_STORAGE ? 5 : FINDING_WORST :
		    groups && *groups ? 3 : 0, "uid %s, gid %s, groups %s", uid, gid,
		    groups && *groups ? groups : "none");
}

/* How many ids a map has, its lines as "INSIDE:OUTSIDE+COUNT" in @said. */
static uint64_t read_map(const char *text, GString *said)
{
	unsigned long long inside, outside, count;
	uint64_t all = 0;
	int used;

	while (sscanf(text, "%llu %llu %llu%n", &inside, &outside, &count, &used) == 3) {
		g_string_append_printf(said, " %llu:%llu+%llu", inside, outside, count);
		all += count;
		text += used;
	}
	return all;
}

static void look_maps(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	g_autofree char *users = subject_read(s, "uid_map");
	g_autofree char *groups = subject_read(s, "gid_map");
	uint64_t most, of_groups;

	if (!users || !groups) {
		finding_unseen(f, errno);
		return;
	}
	g_string_append(f->said, "uid");
	most = read_map(users, f->said);
	g_string_append(f->said, ", gid");
	of_groups = read_map(groups, f->said);
	f->badness = MAX(most, of_groups) <= 2 ? 0 : s->role == SUBJECT_STORAGE ? 5 : FINDING_WORST;
}

/* ---- Limits ---- */

/* Both columns of "Max NAME", or NULL. */
static char *limit_of(const char *text, const char *name)
{
	const char *line = strstr(text, name);
	g_auto(GStrv) words = NULL;
	g_autofree char *rest = NULL;

	if (!line)
		return NULL;
	line += strlen(name);
	rest = g_strchug(g_strndup(line, strcspn(line, "\n")));
	words = g_strsplit_set(rest, " ", 2);
	return words[0] ? g_strdup(words[0]) : NULL;
}

/* Why a storage daemon has no such limit (storage-jail.c), to stand behind it; or "". */
static const char *why_unlimited(const struct subject *s, const char *limit)
{
	if (s->role != SUBJECT_STORAGE)
		return "";
	if (!strcmp(limit, "Max file size"))
		return "; its images grow";
	if (!strcmp(limit, "Max processes"))
		return "; its threads would count with all processes of its user";
	return !strcmp(limit, "Max address space") ? "; its caches are as large as its images ask" :
						     "";
}

static void look_limit(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	const bool zero = !strcmp(row->expected, "0");
	g_autofree char *text = subject_read(s, "limits");
	g_autofree char *soft = text ? limit_of(text, row->arg) : NULL;
	bool good;

	if (!soft) {
		finding_unseen(f, text ? ENODATA : errno);
		return;
	}
	good = zero ? !strcmp(soft, "0") : strcmp(soft, "unlimited") != 0;
	finding_set(f, good ? 0 : FINDING_WORST, "%s%s", soft,
		    good ? "" : why_unlimited(s, row->arg));
}

static void look_nofile(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	g_autofree char *text = subject_read(s, "limits");
	g_autofree char *soft = text ? limit_of(text, row->arg) : NULL;

	if (!soft)
		finding_unseen(f, text ? ENODATA : errno);
	else
		finding_set(f, !strcmp(soft, "unlimited") || strtoull(soft, NULL, 10) > 1024 ?
			    FINDING_WORST : 0, "%s", soft);
}

/* ---- The rest ---- */

/* Which user root of its namespace is outside. */
static unsigned long root_outside(const char *map)
{
	unsigned long inside, outside, count;
	int used;

	while (sscanf(map, "%lu %lu %lu%n", &inside, &outside, &count, &used) == 3) {
		if (!inside)
			return outside;
		map += used;
	}
	return 0;
}

/*
 * Of a process that is not dumpable the files in /proc are not its user's but its namespace's
 * root's (proc(5)).  Where both are the same nobody can tell.
 */
static void look_dumpable(const struct subject *s, const struct inspect_row *row,
			  struct finding *f)
{
	g_autofree char *status = subject_read(s, "status");
	g_autofree char *uid = status ? status_field(status, "Uid") : NULL;
	g_autofree char *map = subject_read(s, "uid_map");
	unsigned long user;
	struct stat st;

	if (!uid || !map || sscanf(uid, "%*u %lu", &user) != 1 ||
	    fstatat(s->dir, "environ", &st, 0) < 0)
		finding_unseen(f, errno ? errno : ENODATA);
	else if (user == root_outside(map))
		finding_set(f, FINDING_UNSEEN, "not seen: of its namespace's root it never is");
	else if (st.st_uid == user)
		finding_set(f, FINDING_WORST, "dumpable");
	else
		finding_set(f, 0, "not dumpable");
}

static void look_oom(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	g_autofree char *text = subject_read(s, "oom_score_adj");

	if (!text)
		finding_unseen(f, errno);
	else
		finding_set(f, atoi(text) < 0 ? FINDING_WORST : 0, "%d", atoi(text));
}

static void look_landlock(const struct subject *s, const struct inspect_row *row,
			  struct finding *f)
{
	int abi = sandbox_landlock_abi();

	if (abi)
		finding_set(f, FINDING_ASIDE, "the kernel shows nobody who has it; it has ABI %d",
			    abi);
	else
		finding_set(f, FINDING_ASIDE, "not in this kernel, or forbidden here");
}

/* ---- All ---- */

#define NAMESPACE(kind, weight, required, means) \
	{ kind " namespace", weight, required, look_namespace, "its own", means, kind }
#define LIMIT(name, weight, expected, means, line) \
	{ "limit " name, weight, 0, look_limit, expected, means, "Max " line }

/*
 * A weight says how much of the host a process that is taken over gets by it: 20 and more the
 * kernel's whole surface, 10 to 19 files, other processes or the network, below that what makes the
 * next step easier.
 */
const struct inspect_row inspect_rows[] = {
	{ "seccomp", 30, FOR_ALL, look_filter, "filter",
	  "without it every system call of the kernel is there to be attacked" },
	{ "capabilities", 20, FOR_ALL, look_caps, "none (a storage daemon of root: "
	  "CAP_DAC_OVERRIDE)", "each is a part of root's rights" },
	{ "threads", 10, FOR_ALL, look_threads, "all alike",
	  "one thread that is less shut in acts for all" },
	{ "no_new_privs", 10, FOR_ALL, look_new_privs, "set",
	  "without it a set-user-id program gives it rights" },
	{ "bounding set", 5, 0, look_bounding, "0 (as the capabilities)",
	  "what an executed program could get back" },
	{ "user", 10, FOR_DEVICE | FOR_OTHER, look_user, "not root, no groups",
	  "whose files and processes it has a right to" },
	{ "id maps", 2, 0, look_maps, "two ids at the most",
	  "which users of the host exist for it" },
	NAMESPACE("user", 8, 0, "capabilities that it may win would count on the host"),
	NAMESPACE("mnt", 10, FOR_ALL, "it sees the host's file systems"),
	NAMESPACE("pid", 8, FOR_ALL, "it can signal and trace processes of its user"),
	NAMESPACE("net", 12, FOR_DEVICE | FOR_OTHER, "it reaches networks and abstract sockets"),
	NAMESPACE("ipc", 4, FOR_ALL, "it reaches System V IPC and message queues"),
	NAMESPACE("uts", 1, FOR_ALL, "with rights it names the host"),
	NAMESPACE("cgroup", 1, 0, "it sees where it stands among the host's groups"),
	NAMESPACE("time", 0, 0, "nothing follows from it"),
	{ "root", 15, FOR_ALL, look_root, "empty, read-only (a storage daemon: its images)",
	  "it can open these files where no filter forbids it" },
	{ "cwd", 3, 0, look_cwd, "in its root", "a folder outside is a way out of it" },
	{ "landlock", 0, 0, look_landlock, "entered at each --sandbox but off",
	  "a remote's line at start says whether it did" },
	{ "fds", 15, FOR_ALL, look_fds, "sockets, memfds, eventfds and images alone",
	  "an open file is a right that no other layer takes" },
	{ "W+X memory", 8, FOR_ALL, look_writable_code, "none", "data can be made code there" },
	{ "code", 3, 0, look_code, "32 files at the most, and no other memory",
	  "code to reuse in an attack" },
	{ "guest RAM", 0, 0, look_shared, "what its guest has",
	  "who takes the process over owns this guest" },
	{ "limit nofile", 2, 0, look_nofile, "1024 at the most", "it can use up the host's files",
	  "Max open files" },
	LIMIT("nproc", 4, "0", "it may start processes where no filter forbids it", "processes"),
	LIMIT("as", 2, "a number", "it can use up the host's memory", "address space"),
	LIMIT("fsize", 2, "a number", "it can fill a file system by an image", "file size"),
	LIMIT("core", 2, "0", "a guest's memory can end up in a file", "core file size"),
	{ "dumpable", 3, 0, look_dumpable, "not dumpable",
	  "others of its user can read its memory" },
	{ "oom_score_adj", 1, 0, look_oom, "0 or more", "the host loses others before it" },
	{ NULL }
};

bool row_required(const struct inspect_row *row, const struct subject *s)
{
	return row->required >> s->role & 1;
}
