/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/run/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define KEEPER "mpqemu-keeper"	/* where we go, for a group with processes cannot pass limits on */
#define REMOVE_TRIES 100
#define REMOVE_WAIT_US 20000

struct cgroup {
	char *parent, *path;
	int procs;		/* owned */
	bool moved;		/* we went to KEEPER */
};

/* A file of the group at @dir.  0 or -errno. */
static int put(const char *dir, const char *file, const char *text)
{
	g_autofree char *path = g_build_filename(dir, file, NULL);
	autofd fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Where the version 2 hierarchy is mounted (proc(5), mountinfo), or NULL.  The caller frees. */
static char *find_mount(void)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;

	if (!g_file_get_contents("/proc/self/mountinfo", &text, NULL, NULL))
		return NULL;
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line; line++) {
		g_auto(GStrv) words = g_strsplit(*line, " ", -1);

		if (strstr(*line, " - cgroup2 ") && g_strv_length(words) > 4)
			return g_strcompress(words[4]);
	}
	return NULL;
}

/* Our own group's folder, or NULL. */
static char *find_own(void)
{
	g_autofree char *mount = find_mount(), *text = NULL;
	g_auto(GStrv) lines = NULL;

	if (!mount || !g_file_get_contents("/proc/self/cgroup", &text, NULL, NULL))
		return NULL;
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line; line++)
		if (g_str_has_prefix(*line, "0::"))
			return g_build_filename(mount, *line + 3, NULL);
	return NULL;
}

/* Out of the way: then its controllers can be passed on. */
static int move_keeper(struct cgroup *group)
{
	g_autofree char *path = g_build_filename(group->parent, KEEPER, NULL);
	int ret;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	ret = put(path, "cgroup.procs", "0");
	group->moved = !ret;
	return ret;
}

static int pass_on(struct cgroup *group, const char *controller)
{
	g_autofree char *text = g_strconcat("+", controller, NULL);
	int ret = put(group->parent, "cgroup.subtree_control", text);

	if (ret == -EBUSY && !group->moved) {
		ret = move_keeper(group);
		if (!ret)
			ret = put(group->parent, "cgroup.subtree_control", text);
	}
	return ret;
}

/* "memory.max" of @value.  Only a value that the kernel does not take is an error. */
static bool set_limit(struct cgroup *group, const char *file, const char *key, const char *value,
		      GError **error)
{
	g_autofree char *controller = g_strndup(file, strcspn(file, "."));
	int ret = pass_on(group, controller);

	if (!ret)
		ret = put(group->path, file, value);
	if (ret == -EINVAL || ret == -ERANGE || ret == -ENODEV)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s=%s: the kernel does not take it as "
				"%s: %s", key, value, file, log_errname(ret));
	if (ret)
		log_warning("%s=%s: the VM is not held to it: no control group here has the "
			    "controller '%s' (%s)", key, value, controller, log_errname(ret));
	return true;
}

static bool set_limits(struct cgroup *group, const struct plan_group_limits *limits,
		       GError **error)
{
	const struct {
		const char *file, *key, *value;
	} rows[] = {
		{ "memory.max", "memory-max", limits->memory_max },
		{ "cpu.max", "cpu-max", limits->cpu_max },
		{ "pids.max", "pids-max", limits->pids_max },
		{ "io.max", "io-max", limits->io_max },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		if (rows[i].value &&
		    !set_limit(group, rows[i].file, rows[i].key, rows[i].value, error))
			return false;
	return true;
}

static bool make_group(struct cgroup *group, const char *name, GError **error)
{
	g_autofree char *folder = g_strdup_printf("mpqemu-%s.%d", name, (int)getpid());
	g_autofree char *procs = NULL;

	group->parent = find_own();
	if (!group->parent)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "memory-max, cpu-max, pids-max, io-max: "
				"this host has no control groups of version 2");
	group->path = g_build_filename(group->parent, folder, NULL);
	procs = g_build_filename(group->path, "cgroup.procs", NULL);
	if (mkdir(group->path, 0755) < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: cannot make the VM's control group: "
				"%s", group->path, log_errname(errno));
	group->procs = open(procs, O_WRONLY | O_CLOEXEC);
	return group->procs >= 0 || mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", procs,
					     log_errname(errno));
}

bool cgroup_create(const struct plan_group_limits *limits, const char *name, struct cgroup **ret,
		   GError **error)
{
	struct cgroup *group;

	*ret = NULL;
	if (!limits->memory_max && !limits->cpu_max && !limits->pids_max && !limits->io_max)
		return true;
	group = g_new0(struct cgroup, 1);
	group->procs = -1;
	if (!make_group(group, name, error) || !set_limits(group, limits, error)) {
		cgroup_destroy(group);
		return false;
	}
	*ret = group;
	return true;
}

/* Ended processes are gone from it a moment later. */
static void remove_group(const struct cgroup *group)
{
	int tries = REMOVE_TRIES;

	while (rmdir(group->path) < 0 && errno == EBUSY && --tries) {
		put(group->path, "cgroup.kill", "1");
		g_usleep(REMOVE_WAIT_US);
	}
	if (!tries)
		log_warning("%s: the VM's control group cannot be removed", group->path);
}

void cgroup_destroy(struct cgroup *group)
{
	if (!group)
		return;
	fd_close(&group->procs);
	if (group->path)
		remove_group(group);
	g_free(group->parent);
	g_free(group->path);
	g_free(group);
}

int cgroup_procs(const struct cgroup *group)
{
	return group ? group->procs : 0;
}
