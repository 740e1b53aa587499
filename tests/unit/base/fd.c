/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fds with owners: what closes, moves and survives, and reads and writes that are exact. */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "../util.h"

static bool is_cloexec(int fd)
{
	return must(fcntl(fd, F_GETFD)) & FD_CLOEXEC;
}

static int null_fd(void)
{
	return must(open("/dev/null", O_RDWR));
}

static void test_close(void)
{
	int fd = -1;

	errno = 77;
	fd_close(&fd);
	g_assert_cmpint(errno, ==, 77);
	g_assert_cmpint(fd, ==, -1);

	fd = null_fd();
	must(close(fd));
	errno = 77;
	fd_close(&fd);		/* EBADF inside does not show */
	g_assert_cmpint(errno, ==, 77);
	g_assert_cmpint(fd, ==, -1);
}

static void test_auto_and_steal(void)
{
	unsigned before = open_fds();
	int kept;

	{
		autofd gone = null_fd();
		autofd none = -1;
		autofd given = null_fd();

		g_assert_cmpint(none, ==, -1);
		g_assert_true(fd_is_open(gone));
		kept = fd_steal(&given);
		g_assert_cmpint(given, ==, -1);
	}
	g_assert_cmpuint(open_fds(), ==, before + 1);
	g_assert_true(fd_is_open(kept));
	fd_close(&kept);
	g_assert_cmpuint(open_fds(), ==, before);
}

static void test_bad_fd(void)
{
	char byte = 0;
	int fd = -1;

	g_assert_false(fd_is_open(-1));
	g_assert_false(fd_is_open(1000000));
	g_assert_cmpint(fd_set_cloexec(-1, true), ==, -EBADF);
	g_assert_cmpint(fd_write_all(-1, &byte, 1), ==, -EBADF);
	g_assert_cmpint(fd_read_all(-1, &byte, 1), ==, -EBADF);
	g_assert_cmpint(fd_move(&fd, 200), ==, -EBADF);
	g_assert_cmpint(fd, ==, -1);
	g_assert_false(fd_is_open(200));
}

static void test_cloexec(void)
{
	autofd fd = null_fd();

	g_assert_false(is_cloexec(fd));
	g_assert_cmpint(fd_set_cloexec(fd, true), ==, 0);
	g_assert_true(is_cloexec(fd));
	g_assert_cmpint(fd_set_cloexec(fd, false), ==, 0);
	g_assert_false(is_cloexec(fd));
}

static void test_move(void)
{
	unsigned before = open_fds();
	int fd = null_fd(), old = fd, slot = must(fcntl(fd, F_DUPFD, 200));

	/* What stood in the slot is replaced. */
	g_assert_cmpint(fd_move(&fd, slot), ==, 0);
	g_assert_cmpint(fd, ==, slot);
	g_assert_false(fd_is_open(old));
	g_assert_true(is_cloexec(fd));

	/* To where it stands already: it gets CLOEXEC and stays open. */
	g_assert_cmpint(fd_set_cloexec(fd, false), ==, 0);
	g_assert_cmpint(fd_move(&fd, slot), ==, 0);
	g_assert_true(fd_is_open(slot));
	g_assert_true(is_cloexec(fd));

	/* A slot that cannot be: the fd is untouched. */
	g_assert_cmpint(fd_move(&fd, -5), ==, -EBADF);
	g_assert_cmpint(fd, ==, slot);
	g_assert_true(fd_is_open(slot));
	fd_close(&fd);
	g_assert_cmpuint(open_fds(), ==, before);
}

/* In a child: everything from 100 on goes, 99 stays. */
static void test_close_from(void)
{
	pid_t pid = must(fork());
	int status;

	if (!pid) {
		int fd = open("/dev/null", O_RDWR);

		if (dup2(fd, 99) < 0 || dup2(fd, 100) < 0 || dup2(fd, 333) < 0)
			_exit(2);
		if (fd_close_from(100) || !fd_is_open(99) || fd_is_open(100) || fd_is_open(333))
			_exit(1);
		_exit(fd_close_from(100));	/* nothing there: fine too */
	}
	must(waitpid(pid, &status, 0));
	g_assert_cmpint(status, ==, 0);
}

static void test_read_early_end(void)
{
	int p[2];
	char buf[8] = "";

	must(pipe(p));
	must(write(p[1], "abc", 3));
	must(close(p[1]));
	g_assert_cmpint(fd_read_all(p[0], buf, 2), ==, 0);
	g_assert_cmpmem(buf, 2, "ab", 2);
	g_assert_cmpint(fd_read_all(p[0], buf, 2), ==, -ENODATA);
	g_assert_cmpint(fd_read_all(p[0], buf, 0), ==, 0);
	must(close(p[0]));
}

/* More than a pipe holds: writer and reader both go on after short transfers. */
static void test_long_transfer(void)
{
	enum { SIZE = 1 << 20 };
	g_autofree uint8_t *data = g_malloc(SIZE), *back = g_malloc0(SIZE);
	int p[2], status;
	pid_t pid;

	for (unsigned i = 0; i < SIZE; i++)
		data[i] = i * 7 + (i >> 8);
	must(pipe(p));
	pid = must(fork());
	if (!pid) {
		close(p[0]);
		_exit(fd_write_all(p[1], data, SIZE) ? 1 : 0);
	}
	must(close(p[1]));
	g_assert_cmpint(fd_read_all(p[0], back, SIZE), ==, 0);
	g_assert_cmpmem(back, SIZE, data, SIZE);
	g_assert_cmpint(fd_read_all(p[0], back, 1), ==, -ENODATA);
	must(close(p[0]));
	must(waitpid(pid, &status, 0));
	g_assert_cmpint(status, ==, 0);
}

static void test_write_refused(void)
{
	autofd full = must(open("/dev/full", O_WRONLY | O_CLOEXEC));

	g_assert_cmpint(fd_write_all(full, "x", 1), ==, -ENOSPC);
	g_assert_cmpint(fd_write_all(full, "x", 0), ==, 0);
}

static void test_stat(void)
{
	autofd fd = must(open("/dev/full", O_WRONLY | O_CLOEXEC));
	struct stat st, libc, untouched = { .st_size = 77 };

	g_assert_cmpint(fd_stat(-1, &untouched), ==, -EBADF);
	g_assert_cmpint(untouched.st_size, ==, 77);
	g_assert_cmpint(fd_stat(fd, &st), ==, 0);
	must(fstat(fd, &libc));
	g_assert_true(S_ISCHR(st.st_mode));
	g_assert_cmpuint(st.st_dev, ==, libc.st_dev);
	g_assert_cmpuint(st.st_ino, ==, libc.st_ino);
	g_assert_cmpuint(st.st_rdev, ==, libc.st_rdev);
	g_assert_cmpuint(st.st_blksize, ==, libc.st_blksize);
	g_assert_cmpuint(st.st_ctim.tv_nsec, ==, libc.st_ctim.tv_nsec);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/fd/bad", test_bad_fd);
	g_test_add_func("/fd/read-early-end", test_read_early_end);
	g_test_add_func("/fd/write-refused", test_write_refused);
	g_test_add_func("/fd/close", test_close);
	g_test_add_func("/fd/auto-and-steal", test_auto_and_steal);
	g_test_add_func("/fd/cloexec", test_cloexec);
	g_test_add_func("/fd/stat", test_stat);
	g_test_add_func("/fd/move", test_move);
	g_test_add_func("/fd/close-from", test_close_from);
	g_test_add_func("/fd/long-transfer", test_long_transfer);
	return g_test_run();
}
