/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The launch contract, in a child each time: whatever stood where, each fd ends in its slot. */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "control/launch.h"
#include "../util.h"

#define MAX_ROW 8

struct row {
	const char *name;
	int ret;
	unsigned count;
	struct launch_fd fds[MAX_ROW];
};

/* In the source files' places stand regular files: file i is i + 1 bytes long. */
static bool sources_open(const struct row *row)
{
	for (unsigned i = 0; i < row->count; i++) {
		char path[] = "/tmp/launch-XXXXXX";
		int fd = mkstemp(path);

		if (fd < 0 || unlink(path) || ftruncate(fd, i + 1))
			return false;
		if (row->fds[i].fd < 0)
			fd_close(&fd);
		else if (fd_move(&fd, row->fds[i].fd))
			return false;
		/* Inherited by exec, as a careless parent's would be. */
		if (row->fds[i].fd >= 0)
			fd_set_cloexec(row->fds[i].fd, false);
	}
	return true;
}

static bool is_null(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* The length of the file that must stand in @slot, or 0. */
static off_t want_size(const struct row *row, int slot)
{
	for (unsigned i = 0; i < row->count; i++)
		if (row->fds[i].slot == slot)
			return i + 1;
	return 0;
}

static int arrange_in_child(const struct row *row)
{
	struct stat st;

	if (!sources_open(row))
		return 10;
	if (launch_arrange(row->fds, row->count, -1) != row->ret)
		return 11;
	if (row->ret)
		return 0;
	for (int fd = 0; fd < 1024; fd++) {
		off_t size = want_size(row, fd);

		if (fd >= LAUNCH_SLOT_FREE && fd_is_open(fd))
			return 12;
		if (fd >= LAUNCH_SLOT_FREE)
			continue;
		if (size ? fstat(fd, &st) || st.st_size != size : !is_null(fd))
			return 13;
		if (fcntl(fd, F_GETFD) & FD_CLOEXEC)
			return 14;
	}
	return 0;
}

static const struct row rows[] = {
	{ "closed source", -EBADF, 1, { { -1, 4 } } },
	{ "negative slot", -EINVAL, 1, { { 300, -1 } } },
	{ "slot behind the end", -EINVAL, 1, { { 300, LAUNCH_SLOT_COUNT } } },
	{ "slot among the free ones", -EINVAL, 1, { { 300, LAUNCH_SLOT_FREE } } },
	{ "a slot twice", -EINVAL, 3, { { 300, 4 }, { 301, 5 }, { 302, 4 } } },
	{ "nothing", 0, 0 },
	{ "from above", 0, 2, { { 300, 0 }, { 301, 127 } } },
	{ "in its place already", 0, 2, { { 4, 4 }, { 16, 16 } } },
	{ "two change places", 0, 2, { { 4, 5 }, { 5, 4 } } },
	{ "a ring of four", 0, 4, { { 16, 17 }, { 17, 18 }, { 18, 19 }, { 19, 16 } } },
	{ "a chain upwards", 0, 3, { { 3, 4 }, { 4, 5 }, { 5, 6 } } },
	{ "a chain downwards", 0, 3, { { 6, 5 }, { 5, 4 }, { 4, 3 } } },
	{ "one file in two slots", 0, 2, { { 20, 64 }, { 21, 65 } } },
	{ "standard fds are sources", 0, 3, { { 0, 16 }, { 1, 2 }, { 2, 3 } } },
	{ "sources among the free slots", 0, 3, { { 128, 64 }, { 191, 65 }, { 192, 66 } } },
	{ "sources stand on unused slots", 0, 2, { { 30, 3 }, { 31, 127 } } },
};

static void run_child(const char *name, int (*fn)(const struct row *), const struct row *row)
{
	pid_t pid = must(fork());
	int status;

	if (!pid)
		_exit(fn(row));
	must(waitpid(pid, &status, 0));
	g_test_message("%s", name);
	g_assert_cmpint(status, ==, 0);
}

static void test_rows(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		run_child(rows[i].name, arrange_in_child, &rows[i]);
}

/* Every slot at once, each source in the place of the slot that comes after it. */
static int all_in_child(const struct row *unused)
{
	struct launch_fd fds[LAUNCH_SLOT_COUNT + 1];
	char path[] = "/tmp/launch-XXXXXX";
	int file = mkstemp(path);

	if (file < 0 || unlink(path))
		return 10;
	for (int i = 0; i < LAUNCH_SLOT_FREE; i++) {
		int source = (i + 1) % LAUNCH_SLOT_FREE;

		fds[i] = (struct launch_fd){ source, i };
		if (source != file && dup2(file, source) < 0)
			return 11;
	}
	if (launch_arrange(fds, LAUNCH_SLOT_COUNT + 1, -1) != -E2BIG)
		return 12;
	if (launch_arrange(fds, LAUNCH_SLOT_FREE, -1))
		return 13;
	for (int i = 0; i < LAUNCH_SLOT_FREE; i++)
		if (is_null(i) || !fd_is_open(i))
			return 14;
	return fd_is_open(LAUNCH_SLOT_FREE) ? 15 : 0;
}

static void test_all(void)
{
	run_child("all slots", all_in_child, NULL);
}

/* What was open beside, at any number, is gone. */
static int strays_in_child(const struct row *unused)
{
	static const int strays[] = { 3, 7, 63, 127, 128, 150, 191, 192, 193, 500 };
	struct launch_fd fd = { 16, 16 };
	int null = open("/dev/zero", O_RDWR);

	for (unsigned i = 0; i < G_N_ELEMENTS(strays); i++)
		if (dup2(null, strays[i]) < 0)
			return 10;
	if (dup2(null, 16) < 0 || launch_arrange(&fd, 1, -1))
		return 11;
	for (int i = 0; i < 1024; i++)
		if (i < LAUNCH_SLOT_FREE ? i != 16 && !is_null(i) : fd_is_open(i))
			return 12;
	return is_null(16) ? 13 : 0;
}

static void test_strays(void)
{
	run_child("strays", strays_in_child, NULL);
}

/* The program to execute goes above the slots, with close-on-exec, wherever it stood. */
static int exe_in_child(const struct row *row)
{
	static const int places[] = { 3, 16, LAUNCH_SLOT_FREE, LAUNCH_SLOT_FREE + 1, 500 };
	struct launch_fd fd = { 20, 16 };
	struct stat want, st;

	for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
		int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

		if (exe < 0 || fstat(exe, &want) || fd_move(&exe, places[i]))
			return 10;
		if (dup2(STDIN_FILENO, 20) < 0 || launch_arrange(&fd, 1, exe))
			return 11;
		if (fstat(LAUNCH_SLOT_FREE, &st) || st.st_ino != want.st_ino)
			return 12;
		if (!(fcntl(LAUNCH_SLOT_FREE, F_GETFD) & FD_CLOEXEC))
			return 13;
		for (int n = LAUNCH_SLOT_FREE + 1; n < 1024; n++)
			if (fd_is_open(n))
				return 14;
	}
	return launch_arrange(&fd, 1, 999) == -EBADF ? 0 : 15;
}

static void test_exe(void)
{
	run_child("program", exe_in_child, NULL);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/launch/rows", test_rows);
	g_test_add_func("/launch/all-slots", test_all);
	g_test_add_func("/launch/strays", test_strays);
	g_test_add_func("/launch/program", test_exe);
	return g_test_run();
}
