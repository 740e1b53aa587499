/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths of images in a storage daemon's jail. */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cell.h"

/* Whatever way a path takes, what it leads to is there under the same path. */
static void test_paths(void)
{
	static const char *const ways[] = {
		"tree/link", "tree/dirlink/image", "./tree//deep/../link", "tree/deep/./image",
		"../../../../../../../../../../../../../../../../etc/hostname",
	};
	struct cell cell;

	g_assert_cmpint(g_mkdir_with_parents("tree/deep", 0755), ==, 0);
	g_assert_true(g_file_set_contents("tree/deep/image", "x", 1, NULL));
	g_assert_cmpint(symlink("deep/image", "tree/link"), ==, 0);
	g_assert_cmpint(symlink("deep", "tree/dirlink"), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
		struct storage_file file = { g_strdup(ways[i]), i < 4 };
		g_autofree char *words = g_strdup_printf("open %s %s", i < 4 ? "write" : "read",
							 ways[i]);

		cell_init(&cell, SANDBOX_STRICT, FILTER_OFFLINE);
		g_ptr_array_add(cell.files, &file);
		expect(&cell, words, "done");
		expect(&cell, "open read other", "ENOENT");
		cell_finish(&cell);
		g_free(file.path);
	}
}

/* Mounts as fast as it goes, until it is killed: openat2() says EAGAIN for ".." then. */
static pid_t start_mounting(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		_exit(1);
	while (mount("x", "/proc", "tmpfs", 0, NULL) == 0 && umount2("/proc", MNT_DETACH) == 0)
		;
	_exit(1);
}

static void test_paths_busy(void)
{
	struct storage_file file = { (char *)(uintptr_t)"a/../b/../a/../b/../leaf", true };
	pid_t pid = start_mounting();
	struct cell cell;

	g_assert_cmpint(g_mkdir_with_parents("a", 0755), ==, 0);
	g_assert_cmpint(g_mkdir_with_parents("b", 0755), ==, 0);
	g_assert_true(g_file_set_contents("leaf", "x", 1, NULL));
	cell_init(&cell, SANDBOX_STRICT, FILTER_OFFLINE);
	g_ptr_array_add(cell.files, &file);
	for (int i = 0; i < 40; i++)
		expect(&cell, "open write leaf", "done");
	cell_finish(&cell);
	/* it was at it all the time */
	g_assert_cmpint(waitpid(pid, NULL, WNOHANG), ==, 0);
	kill(pid, SIGKILL);
	g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

/* One file under two names, and two files that would be one inside. */
static void test_paths_twice(void)
{
	struct storage_file twice[] = {
		{ (char *)(uintptr_t)"base", true }, { (char *)(uintptr_t)"./base", false },
	};
	struct storage_file mixed[] = {
		{ (char *)(uintptr_t)"away/../image", true },
		{ (char *)(uintptr_t)"away", false },
	};
	g_autofree char *got = NULL;
	struct cell cell;

	/* the cell has it read-only, too: who may write it is not hindered by that */
	cell_init(&cell, SANDBOX_STRICT, FILTER_OFFLINE);
	for (size_t i = 0; i < G_N_ELEMENTS(twice); i++)
		g_ptr_array_add(cell.files, &twice[i]);
	expect(&cell, "open write base", "done");
	cell_finish(&cell);

	g_assert_cmpint(g_mkdir_with_parents("far/off", 0755), ==, 0);
	g_assert_true(g_file_set_contents("far/image", "x", 1, NULL));
	g_assert_cmpint(symlink("far/off", "away"), ==, 0);
	cell_init(&cell, SANDBOX_STRICT, FILTER_OFFLINE);
	for (size_t i = 0; i < G_N_ELEMENTS(mixed); i++)
		g_ptr_array_add(cell.files, &mixed[i]);
	got = outcome(&cell, "open write image");
	g_assert_nonnull(strstr(got, "'image' and another file would have one path"));
	cell_finish(&cell);
}

void add_path_tests(void)
{
	g_test_add_func("/jail/paths", test_paths);
	g_test_add_func("/jail/paths/busy", test_paths_busy);
	g_test_add_func("/jail/paths/twice", test_paths_twice);
}
