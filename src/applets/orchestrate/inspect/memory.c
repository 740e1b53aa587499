/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process has mapped. */
#include "applets/orchestrate/inspect/look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

struct mapping {
	uint64_t size;
	char prot[5];		/* "rw-p" */
	const char *name;	/* "" for anonymous memory */
};

struct survey {
	unsigned writable_code, anonymous_code, shared_count, libraries;
	uint64_t shared_size;
	GHashTable *files;	/* char *: of executable mappings */
};

static bool parse_mapping(char *line, struct mapping *m)
{
	unsigned long long start, end;
	int name = 0;

	if (sscanf(line, "%llx-%llx %4s %*s %*s %*s %n", &start, &end, m->prot, &name) < 3 ||
	    strlen(m->prot) != 4)
		return false;
	m->size = end - start;
	m->name = name ? g_strchomp(line + name) : "";
	return true;
}

/* Memory that others hold as well: a memfd, or one of QEMU's files. */
static bool is_shared(const struct mapping *m)
{
	return m->prot[3] == 's' && m->prot[1] == 'w';
}

static void survey_add(struct survey *s, const struct mapping *m)
{
	const bool code = m->prot[2] == 'x';

	s->writable_code += code && m->prot[1] == 'w';
	/* The kernel's own pages are in every process. */
	if (code && m->name[0] == '/' && g_hash_table_add(s->files, g_strdup(m->name)))
		s->libraries += strstr(m->name, ".so") != NULL;
	else if (code && !m->name[0])
		s->anonymous_code++;
	if (is_shared(m) && strstr(m->name, "/memfd:mpqemu-") != m->name) {
		s->shared_count++;
		s->shared_size += m->size;
	}
}

/* 0 or -errno.  survey_finish() in any case. */
static int survey(const struct subject *subject, struct survey *s)
{
	int fd = openat(subject->dir, "maps", O_RDONLY | O_CLOEXEC);
	g_autofree char *line = NULL;
	struct mapping m;
	unsigned count = 0;
	size_t size = 0;
	FILE *file;

	*s = (struct survey){ .files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
							     NULL) };
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "re");
	if (!file) {
		fd_close(&fd);
		return -ENOMEM;
	}
	errno = 0;
	while (getline(&line, &size, file) > 0)
		if (parse_mapping(line, &m)) {
			survey_add(s, &m);
			count++;
		}
	fclose(file);
	/* Without a right to look the file is empty, or cannot be read. */
	return count ? 0 : errno ? -errno : -EACCES;
}

static void survey_finish(struct survey *s)
{
	g_hash_table_unref(s->files);
}

void look_writable_code(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	struct survey found;
	int ret = survey(s, &found);

	if (ret)
		finding_unseen(f, -ret);
	else if (found.writable_code)
		finding_set(f, FINDING_WORST, "%u mappings", found.writable_code);
	else
		finding_set(f, 0, "none");
	survey_finish(&found);
}

void look_code(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	static const struct {
		unsigned files;
		int badness;
	} steps[] = { { 32, 0 }, { 64, 4 }, { G_MAXUINT, 8 } };
	struct survey found;
	int ret = survey(s, &found), at = 0;
	unsigned files = g_hash_table_size(found.files);

	while (files > steps[at].files)
		at++;
	if (ret) {
		finding_unseen(f, -ret);
	} else {
		finding_set(f, found.anonymous_code ? FINDING_WORST : steps[at].badness,
			    "%u files, %u of them libraries", files, found.libraries);
		if (found.anonymous_code)
			g_string_append_printf(f->said, "; %u mappings of no file",
					       found.anonymous_code);
	}
	survey_finish(&found);
}

void look_shared(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	struct survey found;
	int ret = survey(s, &found);

	if (ret)
		finding_unseen(f, -ret);
	else
		finding_set(f, FINDING_ASIDE, "%u mappings, %llu MiB", found.shared_count,
			    (unsigned long long)found.shared_size >> 20);
	survey_finish(&found);
}
