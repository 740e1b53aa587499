/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/metricsfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/remote/fdoption.h"
#include "base/fd.h"
#include "base/log.h"
#include "metrics/page.h"
#include "metrics/text.h"

/* What stands there may be somebody's disk: only a page may go. */
static int check_content(int fd, const struct stat *st)
{
	struct metrics_page page;
	ssize_t n = st->st_size ? pread(fd, &page, sizeof(page), 0) : 0;

	if (n < 0)
		return -errno;
	return !st->st_size || metrics_is_page(&page, n, st->st_size) ? 0 : -EEXIST;
}

/* Another remote's is left alone. */
static int take(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : check_content(fd, &st);
}

static const char *why(int ret)
{
	return ret == -EINVAL ? "it is no regular file" :
	       ret == -EAGAIN ? "another process has it" :
	       ret == -EEXIST ? "it has something else than counters in it: it stays as it is" :
	       log_errname(ret);
}

bool metrics_file_open(const char *text, int *ret_fd, GError **error)
{
	autofd fd = -1;
	int ret;

	if (!fd_option_is(text))
		fd = open(text, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	else if (!fd_option_take("--metrics", text, &fd, error))
		return false;
	ret = fd < 0 ? -errno : take(fd);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--metrics=%s: %s", text, why(ret));
	*ret_fd = fd_steal(&fd);
	return true;
}

/* With its head, so that the next remote knows it even if none ever counts in it. */
bool metrics_file_begin(const char *text, int fd, GError **error)
{
	struct metrics_page page = { 0 };
	ssize_t n;

	metrics_head(&page);
	if (ftruncate(fd, 0) < 0 || ftruncate(fd, METRICS_SIZE) < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--metrics=%s: %s", text,
				log_errname(errno));
	n = pwrite(fd, &page, sizeof(page), 0);
	if (n != sizeof(page))
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--metrics=%s: %s", text,
				log_errname(n < 0 ? errno : ENOSPC));
	return true;
}

bool metrics_file_print(const char *path, bool json, GError **error)
{
	autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct metrics_page raw, page;
	g_autofree char *buf = g_malloc(METRICS_TEXT_MAX);
	struct text text;
	ssize_t n;
	int ret;

	/* No mapping: the file may get shorter at any time. */
	n = fd < 0 ? -1 : pread(fd, &raw, sizeof(raw), 0);
	if (n < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--print-metrics=%s: %s", path,
				log_errname(errno));
	if (metrics_copy(&raw, n, &page))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "--print-metrics=%s: it is no page of "
				"counters of this version, or nobody has begun it", path);
	text_init(&text, buf, METRICS_TEXT_MAX);
	(json ? metrics_print_json : metrics_print_text)(&page, &text);
	ret = fd_write_all(STDOUT_FILENO, buf, text.len);
	return !ret || mpq_fail(error, MPQ_ERROR_SYSTEM, "--print-metrics=%s: standard output: %s",
				path, log_errname(ret));
}
