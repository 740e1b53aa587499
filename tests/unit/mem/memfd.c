/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memfds and seals: what can no longer change, and what is refused. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "mem/memfd.h"
#include "../util.h"

static uint64_t size_of(int fd)
{
	struct stat st;

	must(fstat(fd, &st));
	return st.st_size;
}

static void test_make(void)
{
	autofd fd = must(memfd_make("test", 3 * 4096));
	uint8_t *p = memfd_map(fd, 3 * 4096, true);

	g_assert_nonnull(p);
	g_assert_cmpint(must(fcntl(fd, F_GETFD)) & FD_CLOEXEC, ==, FD_CLOEXEC);
	g_assert_cmpuint(size_of(fd), ==, 3 * 4096);
	g_assert_cmpint(ftruncate(fd, 4096), ==, -1);
	g_assert_cmpint(ftruncate(fd, 4 * 4096), ==, -1);
	g_assert_cmpint(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), ==, -1);
	p[3 * 4096 - 1] = 7;
	must(munmap(p, 3 * 4096));
	/* Larger than a file can be: no fd stays behind. */
	unsigned before = open_fds();

	g_assert_cmpint(memfd_make("test", UINT64_MAX), ==, -EINVAL);
	g_assert_cmpuint(open_fds(), ==, before);
}

static void test_make_sealed(void)
{
	static const char text[] = "what was given";
	autofd fd = must(memfd_make_sealed("test", text, sizeof(text)));
	const char *p = memfd_map(fd, sizeof(text), false);

	g_assert_nonnull(p);
	g_assert_cmpstr(p, ==, text);
	g_assert_cmpint(write(fd, "x", 1), ==, -1);
	g_assert_cmpint(errno, ==, EPERM);
	g_assert_cmpint(ftruncate(fd, 0), ==, -1);
	errno = 0;
	g_assert_null(memfd_map(fd, sizeof(text), true));
	g_assert_cmpint(errno, ==, EPERM);
	must(munmap((void *)(uintptr_t)p, sizeof(text)));
}

/* What ends in zeroes is as long as it was, and costs no memory for them. */
static void test_sparse(void)
{
	g_autofree char *data = g_malloc0(65536);
	struct stat st;

	for (unsigned i = 0; i < 2; i++) {
		autofd fd = must(memfd_make_sealed("test", data, 65536));
		const char *p = memfd_map(fd, 65536, false);

		g_assert_cmpuint(size_of(fd), ==, 65536);
		must(fstat(fd, &st));
		g_assert_cmpint(st.st_blocks, ==, i * 8);
		g_assert_cmpmem(p, 65536, data, 65536);
		must(munmap((void *)(uintptr_t)p, 65536));
		data[i + 99] = 1;
	}
	autofd none = must(memfd_make_sealed("test", data, 0));
	g_assert_cmpuint(size_of(none), ==, 0);
}

static void test_seal_size(void)
{
	static const struct {
		const char *name;
		unsigned flags;		/* of memfd_create */
		int seals;		/* before */
		int ret;
		bool shrinks;		/* afterwards */
	} rows[] = {
		{ "no sealing", 0, 0, -EPERM, true },
		{ "closed without it", MFD_ALLOW_SEALING, F_SEAL_GROW | F_SEAL_SEAL, -EPERM, true },
		{ "closed with it", MFD_ALLOW_SEALING, F_SEAL_SHRINK | F_SEAL_SEAL, 0, false },
		{ "sealed already", MFD_ALLOW_SEALING, F_SEAL_SHRINK, 0, false },
		{ "open", MFD_ALLOW_SEALING, 0, 0, false },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		autofd fd = must(memfd_create("test", MFD_CLOEXEC | rows[i].flags));

		g_test_message("%s", rows[i].name);
		must(ftruncate(fd, 8192));
		if (rows[i].seals)
			must(fcntl(fd, F_ADD_SEALS, rows[i].seals));
		g_assert_cmpint(memfd_seal_size(fd), ==, rows[i].ret);
		g_assert_cmpint(ftruncate(fd, 4096) == 0, ==, rows[i].shrinks);
		/* No more is taken from the file's owner than what was asked for. */
		if (!(rows[i].seals & F_SEAL_GROW))
			must(ftruncate(fd, 16384));
	}
}

static void test_seal_wrong_files(void)
{
	autofd event = must(eventfd(0, EFD_CLOEXEC));
	autofd null = must(open("/dev/null", O_RDWR | O_CLOEXEC));

	g_assert_cmpint(memfd_seal_size(-1), ==, -EBADF);
	g_assert_cmpint(memfd_seal_size(event), ==, -EPERM);
	g_assert_cmpint(memfd_seal_size(null), ==, -EPERM);
}

static void test_map_refused(void)
{
	autofd event = must(eventfd(0, EFD_CLOEXEC));
	autofd fd = must(memfd_make("test", 4096));

	g_assert_null(memfd_map(-1, 4096, true));
	g_assert_cmpint(errno, ==, EBADF);
	g_assert_null(memfd_map(event, 4096, true));
	g_assert_cmpint(errno, ==, ENODEV);
	g_assert_null(memfd_map(fd, 0, true));
	g_assert_cmpint(errno, ==, EINVAL);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/memfd/seal-wrong-files", test_seal_wrong_files);
	g_test_add_func("/memfd/map-refused", test_map_refused);
	g_test_add_func("/memfd/sparse", test_sparse);
	g_test_add_func("/memfd/seal-size", test_seal_size);
	g_test_add_func("/memfd/make", test_make);
	g_test_add_func("/memfd/make-sealed", test_make_sealed);
	return g_test_run();
}
