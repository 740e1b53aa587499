/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a process is: root and working directory, namespaces. */
#include "applets/orchestrate/inspect/look.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "sandbox/level.h"

/* ---- Root ---- */

struct mounts {
	unsigned count, writable;
};

/* Of one line: "ID PARENT DEV ROOT PLACE OPTIONS ...". */
static void count_mount(struct mounts *m, const char *line)
{
	g_auto(GStrv) words = g_strsplit(line, " ", 7);

	if (g_strv_length(words) < 6)
		return;
	m->count++;
	if (!g_str_has_prefix(words[5], "ro,") && strcmp(words[5], "ro"))
		m->writable++;
}

static struct mounts count_mounts(const char *text)
{
	struct mounts m = { 0 };

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		g_autofree char *one = g_strndup(line, strcspn(line, "\n"));

		count_mount(&m, one);
	}
	return m;
}

/* Entries of its root without "." and "..", or -errno. */
static int count_entries(const struct subject *s)
{
	DIR *dir = subject_dir(s, "root");
	struct dirent *entry;
	int count = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(dir);
	return count;
}

static bool same_place(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

void look_root(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	g_autofree char *text = subject_read(s, "mountinfo");
	struct stat st, ours;
	struct mounts m;
	int entries;

	if (!text || fstatat(s->dir, "root", &st, 0) < 0 || stat("/", &ours) < 0) {
		finding_unseen(f, errno);
		return;
	}
	m = count_mounts(text);
	entries = count_entries(s);
	if (same_place(&st, &ours)) {
		finding_set(f, FINDING_WORST, "ours: %u mounts, %u of them writable", m.count,
			    m.writable);
	} else if (entries < 0) {
		finding_unseen(f, -entries);
	} else if (!entries && m.count == 1) {
		finding_set(f, m.writable ? 5 : 0, "empty, %s, no other mount",
			    m.writable ? "writable" : "read-only");
	} else {
		finding_set(f, m.writable ? 5 : 3, "its own: %d entries, %u mounts, %u of them "
			    "writable", entries, m.count, m.writable);
	}
}

/* Does that name lead there, taken from its root and kept below it? */
static bool is_below_root(const struct subject *s, const char *name, const struct stat *st)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	autofd root = openat(s->dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	autofd fd = root < 0 ? -1 : syscall(SYS_openat2, root, name, &how, sizeof(how));
	struct stat found;

	return fd >= 0 && !fstat(fd, &found) && same_place(&found, st);
}

void look_cwd(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	struct stat cwd;
	g_autofree char *link = subject_link(s, "cwd");
	g_autofree char *path = link ? clean_text(link) : NULL;

	if (!link || fstatat(s->dir, "cwd", &cwd, 0) < 0)
		finding_unseen(f, errno);
	else if (is_below_root(s, link, &cwd))
		finding_set(f, 0, "%.200s, in its root", path);
	else
		finding_set(f, FINDING_WORST, "%.200s, not in its root", path);
}

/* ---- Namespaces ---- */

/* The number in "net:[4026531840]", or 0 with errno set. */
static unsigned long namespace_of(int dir, const char *name)
{
	g_autofree char *path = g_strconcat("ns/", name, NULL);
	char link[64];
	ssize_t n = readlinkat(dir, path, link, sizeof(link) - 1);

	if (n < 0)
		return 0;
	link[n] = '\0';
	return strchr(link, '[') ? strtoul(strchr(link, '[') + 1, NULL, 10) : 0;
}

static unsigned long namespace_at(const char *proc, const char *name)
{
	autofd dir = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return dir < 0 ? 0 : namespace_of(dir, name);
}

/* Are we the host?  Our processes' numbers are the kernel's own then. */
static bool here_is_host(void)
{
	return sandbox_namespace_is_first("pid", namespace_at("/proc/self", "pid"));
}

void look_namespace(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	unsigned long own = namespace_of(s->dir, row->arg);
	int err = errno;
	unsigned long ours = namespace_at("/proc/self", row->arg);
	unsigned long init = namespace_at("/proc/1", row->arg);
	bool first = sandbox_namespace_is_first(row->arg, own);

	if (!own) {
		finding_unseen(f, err);
		return;
	}
	if (first || ((own == ours || own == init) && here_is_host()))
		finding_set(f, FINDING_WORST, "the host's");
	else if (own == ours || own == init)
		finding_set(f, 5, "%s, which is not the host's", own == ours ? "ours" : "pid 1's");
	else
		finding_set(f, 0, "its own");
	g_string_append_printf(f->said, " (%lu; ours %lu, pid 1's ", own, ours);
	if (init)
		g_string_append_printf(f->said, "%lu)", init);
	else
		g_string_append(f->said, "not seen)");
	if (!row->weight)
		f->badness = FINDING_ASIDE;
}
