/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/inspect/look.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

/* Of one file: a hostile process can make some of them long. */
#define READ_MAX (1U << 20)

/* ---- One process ---- */

char *subject_read(const struct subject *s, const char *name)
{
	autofd fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	g_autoptr(GString) text = g_string_new(NULL);
	char buf[4096];
	ssize_t n;

	if (fd < 0)
		return NULL;
	while ((n = read(fd, buf, sizeof(buf))) > 0 && text->len < READ_MAX)
		g_string_append_len(text, buf, n);
	return n < 0 ? NULL : g_string_free(g_steal_pointer(&text), false);
}

DIR *subject_dir(const struct subject *s, const char *name)
{
	autofd fd = openat(s->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	/* It is the directory's from here on. */
	if (dir)
		fd_steal(&fd);
	return dir;
}

char *subject_link(const struct subject *s, const char *name)
{
	char buf[PATH_MAX + 1];
	ssize_t n = readlinkat(s->dir, name, buf, PATH_MAX);

	return n < 0 ? NULL : g_strndup(buf, n);
}

char *status_field(const char *status, const char *field)
{
	const size_t len = strlen(field);

	for (const char *line = status; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, field, len) && line[len] == ':') {
			const char *text = line + len + 1;

			return g_strchug(g_strndup(text, strcspn(text, "\n")));
		}
	}
	return NULL;
}

pid_t subject_parent(const struct subject *s)
{
	g_autofree char *status = subject_read(s, "status");
	g_autofree char *parent = status ? status_field(status, "PPid") : NULL;

	return parent ? atoi(parent) : 0;
}

GArray *subject_children(const struct subject *s)
{
	GArray *pids = g_array_new(false, false, sizeof(pid_t));
	g_autofree char *name = g_strdup_printf("task/%d/children", (int)s->pid);
	g_autofree char *text = subject_read(s, name);
	char *at = text, *end;

	for (pid_t pid; at && (pid = strtol(at, &end, 10)) > 0; at = end)
		g_array_append_val(pids, pid);
	return pids;
}

char *subject_word(const struct subject *s, unsigned index)
{
	/* The words end with a NUL each: subject_read() would show the first one alone. */
	autofd fd = openat(s->dir, "cmdline", O_RDONLY | O_CLOEXEC);
	char buf[1024];
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	const char *at = buf;

	if (n <= 0)
		return NULL;
	buf[n] = '\0';
	while (index-- && at < buf + n)
		at += strlen(at) + 1;
	return at < buf + n ? g_strdup(at) : NULL;
}

/* What it calls itself, for who may not see its executable. */
static char *name_of(const struct subject *s)
{
	g_autofree char *exe = subject_link(s, "exe");
	g_autofree char *word = exe ? NULL : subject_read(s, "comm");

	return exe ? clean_text(exe) : word ? clean_text(g_strchomp(word)) : g_strdup("?");
}

static enum subject_role role_of(const struct subject *s)
{
	g_autofree char *program = subject_word(s, 0), *applet = subject_word(s, 1);
	g_autofree char *base = program ? g_path_get_basename(program) : NULL;

	if (!g_strcmp0(base, "mpqemu") && !g_strcmp0(applet, "mpqemu-device"))
		return SUBJECT_DEVICE;
	if (!g_strcmp0(base, "qemu-storage-daemon"))
		return SUBJECT_STORAGE;
	return SUBJECT_OTHER;
}

int subject_init(struct subject *s, pid_t pid)
{
	g_autofree char *path = g_strdup_printf("/proc/%d", (int)pid);

	*s = (struct subject){ .pid = pid, .pidfd = -1 };
	s->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0)
		return -errno;
	s->pidfd = syscall(SYS_pidfd_open, pid, 0);
	s->role = role_of(s);
	/* Still the same, so that the pidfd is this one's. */
	if (!subject_parent(s) && faccessat(s->dir, "status", F_OK, 0) < 0) {
		subject_finish(s);
		return -ESRCH;
	}
	s->program = name_of(s);
	return 0;
}

void subject_finish(struct subject *s)
{
	fd_close(&s->dir);
	fd_close(&s->pidfd);
	g_free(s->program);
	s->program = NULL;
}

/* ---- Text ---- */

char *clean_text(const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	GString *s = g_string_new(NULL);

	for (char *at = valid; *at; at = g_utf8_next_char(at)) {
		gunichar c = g_utf8_get_char(at);

		g_string_append_unichar(s, g_unichar_isprint(c) ? c : '?');
	}
	return g_string_free(s, false);
}

void finding_set(struct finding *f, int badness, const char *fmt, ...)
{
	va_list ap;

	f->badness = badness;
	va_start(ap, fmt);
	g_string_append_vprintf(f->said, fmt, ap);
	va_end(ap);
}

void finding_unseen(struct finding *f, int err)
{
	finding_set(f, FINDING_UNSEEN, "not seen: %s", log_errname(err));
}
