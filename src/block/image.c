/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "block/probe.h"

/*
 * QEMU's file-posix driver marks on the image file, with shared locks of one byte each, which
 * permissions it uses (100 + bit) and which it does not let others use (200 + bit); a free byte
 * is one that could be locked exclusively.
 */
#define LOCK_USED	100
#define LOCK_UNSHARED	200
#define LOCK_PERMISSIONS 8	/* that there may be, now and in other versions of it */
#define LOCK_BIT_WRITE	1	/* the bit of IMAGE_PERM_WRITE */

static const char *const perm_names[] = { "consistent read", "write", "write unchanged", "resize" };

/* Locks or unlocks @len bytes from @byte on.  Returns 0 or -errno. */
static int lock_bytes(int fd, int byte, int len, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte,
			      .l_len = len };
	int ret;

	do
		ret = fcntl(fd, F_OFD_SETLK, &lock);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

static int lock_byte(int fd, int byte, short type)
{
	return lock_bytes(fd, byte, 1, type);
}

/* Does nobody else hold the byte?  Returns 0, -EAGAIN or -errno. */
static int byte_is_free(int fd, int byte)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte,
			      .l_len = 1 };

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	return lock.l_type == F_UNLCK ? 0 : -EAGAIN;
}

static void unlock_all(int fd)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(perm_names); i++) {
		lock_byte(fd, LOCK_USED + i, F_UNLCK);
		lock_byte(fd, LOCK_UNSHARED + i, F_UNLCK);
	}
}

static bool lock_failed(const char *path, int err, const char *which, unsigned bit, GError **error)
{
	if (err == -EAGAIN || err == -EACCES)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "Failed to get %s\"%s\" lock: "
				"Is another process using the image [%s]?", which, perm_names[bit],
				path);
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "Failed to lock '%s': %s", path,
			log_errname(err));
}

/* First all marks are set, then the others' are looked at: two at once may both fail, never win. */
static bool try_lock(int fd, const char *path, unsigned perm, unsigned shared, GError **error)
{
	int ret;

	for (unsigned i = 0; i < G_N_ELEMENTS(perm_names); i++) {
		ret = perm & 1u << i ? lock_byte(fd, LOCK_USED + i, F_RDLCK) : 0;
		if (!ret && !(shared & 1u << i))
			ret = lock_byte(fd, LOCK_UNSHARED + i, F_RDLCK);
		if (ret)
			return lock_failed(path, ret, "", i, error);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(perm_names); i++) {
		ret = perm & 1u << i ? byte_is_free(fd, LOCK_UNSHARED + i) : 0;
		if (ret)
			return lock_failed(path, ret, "", i, error);
		ret = shared & 1u << i ? 0 : byte_is_free(fd, LOCK_USED + i);
		if (ret)
			return lock_failed(path, ret, "shared ", i, error);
	}
	return true;
}

bool image_lock(int fd, const char *path, unsigned perm, unsigned shared, GError **error)
{
	if (try_lock(fd, path, perm, shared, error))
		return true;
	unlock_all(fd);
	return false;
}

int image_lock_reader(int fd)
{
	int ret = lock_byte(fd, LOCK_UNSHARED + LOCK_BIT_WRITE, F_RDLCK);

	return ret ? ret : byte_is_free(fd, LOCK_USED + LOCK_BIT_WRITE);
}

int image_lock_owner(int fd)
{
	int ret = lock_bytes(fd, LOCK_USED, LOCK_PERMISSIONS, F_WRLCK);

	return ret ? ret : lock_bytes(fd, LOCK_UNSHARED, LOCK_PERMISSIONS, F_WRLCK);
}

const char *image_probe(const char *path, const void *head, size_t len)
{
	const char *format = probe_format(head, len);

	return !strcmp(format, "raw") && g_str_has_suffix(path, ".dmg") ? "dmg" : format;
}

char *image_probe_warning(const char *path)
{
	return g_strdup_printf("Image format was not specified for '%s' and probing guessed raw. "
			       "Automatically detecting the format is dangerous for raw images, "
			       "write operations on block 0 will be restricted. Specify the 'raw' "
			       "format explicitly to remove the restrictions.", path);
}

static bool open_failed(const char *path, int err, bool direct, GError **error)
{
	if (err == EINVAL && direct)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "Could not open '%s': "
				"the file system does not support O_DIRECT (cache=none, "
				"cache=directsync)", path);
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "Could not open '%s': %s", path,
			log_errname(err));
}

/* O_NONBLOCK: a FIFO must not stop us before it is seen to be one. */
static bool open_file(const struct image_options *options, const char *path, struct image *image,
		      GError **error)
{
	int flags = O_CLOEXEC | O_NONBLOCK | (options->direct ? O_DIRECT : 0);

	image->readonly = options->readonly;
	image->fd = open(path, flags | (options->readonly ? O_RDONLY : O_RDWR));
	if (image->fd < 0 && !options->readonly && options->auto_readonly &&
	    (errno == EACCES || errno == EROFS || errno == EPERM)) {
		image->readonly = true;
		image->fd = open(path, flags | O_RDONLY);
	}
	return image->fd >= 0 || open_failed(path, errno, options->direct, error);
}

/* An inherited fd: its status flags are shared with others, so they stay as they are. */
static bool adopt_fd(const struct image_options *options, const char *path, struct image *image,
		     GError **error)
{
	int flags;

	image->readonly = options->readonly;
	image->fd = fcntl(options->fd, F_DUPFD_CLOEXEC, 0);
	flags = image->fd < 0 ? -1 : fcntl(image->fd, F_GETFL);
	if (flags < 0)
		return open_failed(path, errno, false, error);
	if ((flags & O_ACCMODE) == O_RDWR || ((flags & O_ACCMODE) == O_RDONLY && image->readonly))
		return true;
	if ((flags & O_ACCMODE) == O_RDONLY && options->auto_readonly) {
		image->readonly = true;
		return true;
	}
	return mpq_fail(error, MPQ_ERROR_REFUSED, "Could not open '%s': the file descriptor is "
			"not open for %s", path, image->readonly ? "reading" : "writing");
}

/* Is it a file of a kind that can be an image, and how long is it? */
static bool measure(const struct image_options *options, const char *path, struct image *image,
		    GError **error)
{
	struct stat st;
	int flags = fcntl(image->fd, F_GETFL);

	if (fstat(image->fd, &st) < 0 || flags < 0 ||
	    (!options->use_fd && fcntl(image->fd, F_SETFL, flags & ~O_NONBLOCK) < 0))
		return open_failed(path, errno, false, error);
	image->direct = flags & O_DIRECT;
	image->is_device = S_ISBLK(st.st_mode);
	image->size = st.st_size;
	if (S_ISDIR(st.st_mode))
		return open_failed(path, EISDIR, false, error);
	if (!S_ISREG(st.st_mode) && !image->is_device)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "Could not open '%s': "
				"neither a regular file nor a block device", path);
	if (image->is_device && ioctl(image->fd, BLKGETSIZE64, &image->size) < 0)
		return open_failed(path, errno, false, error);
	return true;
}

/* Reads the head, at an alignment and length that O_DIRECT takes everywhere. */
static bool look_at_head(const char *path, struct image *image, GError **error)
{
	const size_t want = 4096;
	char *buf = NULL;
	ssize_t n;

	if (posix_memalign((void **)&buf, want, want))
		return open_failed(path, ENOMEM, false, error);
	do
		n = pread(image->fd, buf, want, 0);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		image->format = image_probe(path, buf, n);
	else
		mpq_fail(error, MPQ_ERROR_SYSTEM, "Could not read image '%s' for determining its "
			 "format: %s", path, log_errname(errno));
	free(buf);
	return n >= 0;
}

static bool check_size(const char *path, const struct image *image, GError **error)
{
	if (image->size == 0)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "Could not open '%s': the image is empty "
				"(0 bytes)", path);
	if (image->size < IMAGE_SECTOR)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "Could not open '%s': the image has %"
				G_GUINT64_FORMAT " bytes, less than one sector of 512", path,
				image->size);
	if (image->size % IMAGE_SECTOR)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "Could not open '%s': its size, %"
				G_GUINT64_FORMAT " bytes, is not a multiple of 512", path,
				image->size);
	return true;
}

/* What QEMU's disk asks of a raw image's file, and what it lets others do. */
static bool lock_raw(const struct image_options *options, const char *path,
		     const struct image *image, GError **error)
{
	unsigned perm = IMAGE_PERM_CONSISTENT_READ;
	unsigned shared = IMAGE_PERM_CONSISTENT_READ | IMAGE_PERM_WRITE_UNCHANGED;

	if (options->no_lock)
		return true;
	if (!image->readonly)
		perm |= IMAGE_PERM_WRITE;
	if (options->resizable)
		shared |= IMAGE_PERM_RESIZE;
	if (options->share_rw)
		shared |= IMAGE_PERM_WRITE;
	return image_lock(image->fd, path, perm, shared, error);
}

static bool open_checked(const struct image_options *options, const char *path,
			 struct image *image, GError **error)
{
	bool opened = options->use_fd ? adopt_fd(options, path, image, error) :
		open_file(options, path, image, error);

	if (!opened || !measure(options, path, image, error))
		return false;
	image->format = options->format;
	image->probed = !options->format;
	if (image->probed && !look_at_head(path, image, error))
		return false;
	if (strcmp(image->format, "raw"))
		return true;
	return check_size(path, image, error) && lock_raw(options, path, image, error);
}

const char *image_path(const char *filename)
{
	return filename + (g_str_has_prefix(filename, "file:") ? strlen("file:") : 0);
}

bool image_open(const struct image_options *options, struct image *ret, GError **error)
{
	struct image image = { .fd = -1 };

	if (!open_checked(options, image_path(options->path), &image, error)) {
		fd_close(&image.fd);
		return false;
	}
	*ret = image;
	return true;
}
