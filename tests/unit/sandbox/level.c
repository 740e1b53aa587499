/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Levels by name; what stands in the way of a user namespace; whose namespaces these are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "sandbox/level.h"

#include "box.h"
#include "../util.h"

static void test_names(void)
{
	static const char *const bad[] = {
		"", "Strict", "strict ", "on", "none", "seccomp", "seccomp-only,", "4",
	};
	enum sandbox_level level = SANDBOX_OFF;

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
		g_assert_false(sandbox_level_parse(bad[i], &level));
	g_assert_cmpint(level, ==, SANDBOX_OFF);
	for (unsigned i = 0; i < SANDBOX_LEVEL_COUNT; i++) {
		g_assert_true(sandbox_level_parse(sandbox_level_name(i), &level));
		g_assert_cmpint(level, ==, i);
	}
	g_assert_cmpint(SANDBOX_STRICT, ==, 0);	/* what nobody asked for is strict */
}

/* ---- A folder of settings ---- */

#define MAX_FILES 6

struct file {
	const char *path, *text;
};

static char *folder_make(const struct file *files)
{
	char *folder = g_dir_make_tmp("sandbox-XXXXXX", NULL);

	g_assert_nonnull(folder);
	for (unsigned i = 0; i < MAX_FILES && files[i].path; i++) {
		g_autofree char *path = g_build_filename(folder, files[i].path, NULL);
		g_autofree char *dir = g_path_get_dirname(path);

		must(g_mkdir_with_parents(dir, 0755));
		g_assert_true(g_file_set_contents(path, files[i].text, -1, NULL));
	}
	return folder;
}

static void folder_remove(char *folder)
{
	g_autofree char *command = g_strdup_printf("rm -r '%s'", folder);

	g_assert_cmpint(system(command), ==, 0);
	g_free(folder);
}

#define MAX_USER "user/max_user_namespaces"
#define DEBIAN "kernel/unprivileged_userns_clone"
#define APPARMOR "kernel/apparmor_restrict_unprivileged_userns"

static const struct obstacle_row {
	const char *name;
	struct file files[MAX_FILES];
	int err;
	const char *want[2];
} obstacles[] = {
	{ "none allowed", { { MAX_USER, "0\n" } }, -ENOSPC,
	  { "user.max_user_namespaces is 0", "sysctl" } },
	{ "none allowed, no newline", { { MAX_USER, "0" } }, -EPERM,
	  { "user.max_user_namespaces is 0", "raise" } },
	{ "used up", { { MAX_USER, "31\n" } }, -ENOSPC,
	  { "user.max_user_namespaces is used up", "raise" } },
	{ "nested too deep", { { MAX_USER, "31\n" } }, -EUSERS, { "used up", "" } },
	{ "Debian's old switch", { { MAX_USER, "31\n" }, { DEBIAN, "0\n" } }, -EPERM,
	  { "kernel.unprivileged_userns_clone is 0", "set it to 1" } },
	{ "AppArmor, at clone", { { DEBIAN, "1\n" }, { APPARMOR, "1\n" } }, -EPERM,
	  { "kernel.apparmor_restrict_unprivileged_userns is 1", "profile" } },
	{ "AppArmor, no rights inside", { { APPARMOR, "1\n" } }, 0,
	  { "kernel.apparmor_restrict_unprivileged_userns is 1", "profile" } },
	{ "AppArmor off", { { APPARMOR, "0\n" } }, -EPERM,
	  { "Operation not permitted", "container" } },
	{ "no namespaces in the kernel", { { NULL } }, -EINVAL,
	  { "this kernel has no user namespaces", "" } },
	{ "a container's filter", { { MAX_USER, "1000\n" } }, -EPERM,
	  { "Operation not permitted", "a container or a chroot" } },
	{ "a container's filter, ENOSYS", { { MAX_USER, "1000\n" } }, -ENOSYS,
	  { "no user namespaces", "" } },
	{ "no rights, nothing known", { { NULL } }, 0, { "Operation not permitted", "" } },
	{ "a setting that is no number", { { MAX_USER, "" }, { DEBIAN, "\n" } }, -EACCES,
	  { "Permission denied", "" } },
};

static void test_obstacles(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(obstacles); i++) {
		const struct obstacle_row *row = &obstacles[i];
		char *folder = folder_make(row->files), text[256], small[8];

		sandbox_userns_obstacle(folder, row->err, text, sizeof(text));
		g_test_message("%s: %s", row->name, text);
		for (unsigned k = 0; k < 2; k++)
			g_assert_nonnull(strstr(text, row->want[k]));
		g_assert_null(strchr(text, '\n'));
		/* A small buffer cuts the text. */
		sandbox_userns_obstacle(folder, row->err, small, sizeof(small));
		g_assert_cmpint(strlen(small), ==, sizeof(small) - 1);
		folder_remove(folder);
	}
}

/* ---- Whose namespaces ---- */

static const char *const kinds[] = { "mnt", "pid", "ipc", "uts", "net" };

#define CONTAINER { "mnt:[4026532178]", "pid:[4026532183]", "ipc:[4026532182]", \
		    "uts:[4026532181]", "net:[4026532185]" }

static const struct verify_row {
	const char *name;
	const char *link[5];		/* of each kind; NULL: not there */
	const char *setting;		/* the network's, of the host only */
	const char *want;		/* whose are the host's; NULL: none */
} verifies[] = {
	{ "a container", CONTAINER, NULL, NULL },
	{ "the host, Linux 6.17", { "mnt:[4026531832]", "pid:[4026531836]", "ipc:[4026531839]",
				    "uts:[4026531838]", "net:[4026531833]" }, "300",
	  "mnt, pid, ipc, uts, net" },
	{ "the host, Linux 6.1", { "mnt:[4026531841]", "pid:[4026531836]", "ipc:[4026531839]",
				   "uts:[4026531838]", "net:[4026531840]" }, "300",
	  "mnt, pid, ipc, uts, net" },
	{ "the host's pids", { "mnt:[4026532178]", "pid:[4026531836]", "ipc:[4026532182]",
			       "uts:[4026532181]", "net:[4026532185]" }, NULL, "pid" },
	{ "the host's network, its number unknown", CONTAINER, "300", "net" },
	{ "no /proc", { NULL }, NULL, "mnt, pid, ipc, uts, net" },
	{ "nonsense", { "mnt", "pid:", "ipc:[4026532182]", "uts:[4026532181]", "net:[]" }, NULL,
	  "mnt, pid" },
};

static void check_verify(const struct verify_row *row)
{
	const struct file setting[MAX_FILES] = { { "net/core/netdev_budget", row->setting } };
	const struct file none[MAX_FILES] = { { NULL } };
	char *sysctl = folder_make(row->setting ? setting : none), *ns = folder_make(none);
	char text[256] = "x", small[8];
	int ret;

	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
		g_autofree char *path = g_build_filename(ns, kinds[i], NULL);

		if (row->link[i])
			must(symlink(row->link[i], path));
	}
	ret = sandbox_container_verify(ns, sysctl, text, sizeof(text));
	g_test_message("%s: %s", row->name, text);
	g_assert_cmpint(ret, ==, row->want ? -EPERM : 0);
	g_assert_true(g_str_has_prefix(text, row->want ? row->want : ""));
	g_assert_cmpint(sandbox_container_verify(ns, sysctl, small, sizeof(small)), ==, ret);
	folder_remove(sysctl);
	folder_remove(ns);
}

static void test_verify(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(verifies); i++)
		check_verify(&verifies[i]);
}

/* Numbers of linux/proc_ns.h; the mnt namespace had others before Linux 6.17. */
static void test_first(void)
{
	static const struct {
		const char *name;
		unsigned long inode;
		bool first;
	} rows[] = {
		{ "user", 4026531837, true }, { "pid", 4026531836, true },
		{ "cgroup", 4026531835, true }, { "time", 4026531834, true },
		{ "net", 4026531833, true }, { "mnt", 4026531832, true },
		{ "mnt", 4026531841, true }, { "ipc", 4026531839, true },
		{ "uts", 4026531838, true }, { "pid", 4026531837, false },
		{ "user", 4026532178, false }, { "user", 0, false },
		{ "nonsense", 4026531837, false }, { "", 0, false },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_cmpint(sandbox_namespace_is_first(rows[i].name, rows[i].inode), ==,
				rows[i].first);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/sandbox/level/names", test_names);
	g_test_add_func("/sandbox/level/obstacles", test_obstacles);
	g_test_add_func("/sandbox/level/verify", test_verify);
	g_test_add_func("/sandbox/level/first", test_first);
	return g_test_run();
}
