/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/rawio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/num.h"
#include "block/block.h"
#include "block/probe.h"

#define MAX_TRANSFER (1UL << 30)	/* bytes a call; Linux takes a little less than 2 GiB */

static ssize_t sys_pwrite(int fd, const void *buf, size_t len, off_t off, int flags)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };

	return flags ? pwritev2(fd, &iov, 1, off, flags) : pwrite(fd, buf, len, off);
}

static ssize_t sys_read_now(int fd, const struct iovec *iov, int count, off_t off)
{
	return preadv2(fd, iov, count, off, RWF_NOWAIT);
}

const struct raw_sys raw_sys_libc = {
	.pread = pread,
	.pwrite = sys_pwrite,
	.fdatasync = fdatasync,
	.fallocate = fallocate,
	.read_now = sys_read_now,
};

/* One pread that was not interrupted: bytes read, 0 at the end of the file, or -errno. */
static ssize_t read_once(struct rawio *raw, void *buf, size_t len, uint64_t off)
{
	ssize_t n;

	do
		n = raw->sys->pread(raw->fd, buf, len < MAX_TRANSFER ? len : MAX_TRANSFER, off);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* One write that was not interrupted.  A write of nothing would loop for ever: an error. */
static ssize_t write_once(struct rawio *raw, const void *buf, size_t len, uint64_t off, int flags)
{
	ssize_t n;

	do
		n = raw->sys->pwrite(raw->fd, buf, len < MAX_TRANSFER ? len : MAX_TRANSFER, off,
				     flags);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return -EIO;
	return n < 0 ? -errno : n;
}

static bool is_direct_ok(const struct rawio *raw, uint64_t off, uint64_t len, const void *buf)
{
	return is_aligned(off, raw->align) && len >= raw->align &&
		is_aligned((uintptr_t)buf, raw->mem_align);
}

/* Reads whole units around [off, off + len), at most the scratch memory, and copies out of them. */
static ssize_t read_bounced(struct rawio *raw, uint64_t off, uint64_t len, void *buf, void *scratch)
{
	uint64_t start = align_down(off, raw->align);
	uint64_t span = min_u64(align_up(off + len, raw->align) - start, POOL_SCRATCH_SIZE);
	ssize_t n = read_once(raw, scratch, span, start);

	if (n < 0)
		return n;
	if ((uint64_t)n <= off - start)
		return 0;
	n = min_u64(n - (off - start), len);
	memcpy(buf, (char *)scratch + (off - start), n);
	return n;
}

int rawio_read(struct rawio *raw, uint64_t off, uint64_t len, void *buf, void *scratch)
{
	char *p = buf;

	while (len) {
		ssize_t n = is_direct_ok(raw, off, len, p) ?
			read_once(raw, p, align_down(len, raw->align), off) :
			read_bounced(raw, off, len, p, scratch);

		if (n < 0)
			return n;
		if (n == 0)
			return -ENODATA;	/* the image is shorter than it was */
		off += n;
		p += n;
		len -= n;
	}
	return 0;
}

/* Writes all of it; whole units only. */
static int write_units(struct rawio *raw, const char *buf, uint64_t len, uint64_t off, int flags)
{
	while (len) {
		ssize_t n = write_once(raw, buf, len, off, flags);

		if (n < 0)
			return n;
		if ((uint64_t)n < len)
			n = align_down(n, raw->align);	/* a part of a unit is written again */
		if (n == 0)
			return -EIO;
		off += n;
		buf += n;
		len -= n;
	}
	return 0;
}

/*
 * Reads the units that are changed in part, changes them, writes all.  Others keep off: the
 * generic part orders requests that share a unit (block->overlap_align).
 */
static ssize_t write_bounced(struct rawio *raw, uint64_t off, uint64_t len, const void *buf,
			     int flags, char *scratch)
{
	uint64_t start = align_down(off, raw->align);
	uint64_t end = min_u64(align_up(off + len, raw->align), start + POOL_SCRATCH_SIZE);
	uint64_t last = end - raw->align;
	int ret = 0;

	len = min_u64(len, end - off);
	if (start != off || start + raw->align > off + len)
		ret = rawio_read(raw, start, raw->align, scratch, NULL);
	if (!ret && off + len != end && last != start)
		ret = rawio_read(raw, last, raw->align, scratch + (last - start), NULL);
	if (ret)
		return ret;
	memcpy(scratch + (off - start), buf, len);
	ret = write_units(raw, scratch, end - start, start, flags);
	return ret ? ret : (ssize_t)len;
}

int rawio_write(struct rawio *raw, uint64_t off, uint64_t len, const void *buf, int flags,
		void *scratch)
{
	const char *p = buf;

	while (len) {
		ssize_t n = is_direct_ok(raw, off, len, p) ?
			write_once(raw, p, align_down(len, raw->align), off, flags) :
			write_bounced(raw, off, len, p, flags, scratch);

		if (n < 0)
			return n;
		off += n;
		p += n;
		len -= n;
	}
	return 0;
}

/*
 * After a failed flush the kernel may have dropped the dirty pages: what was acknowledged may be
 * gone, and the next fdatasync() would succeed.  With O_DIRECT there are none, but the disk's own
 * cache is no better off.
 */
static int raw_flush(struct rawio *raw, struct block_req *req)
{
	int ret;

	if (raw->no_flush)
		return 0;
	do
		ret = raw->sys->fdatasync(raw->fd);
	while (ret < 0 && errno == EINTR);
	if (ret < 0) {
		ret = -errno;
		req->lost = true;
	}
	return ret;
}

/* Does the host not know the call, the mode or the flag? */
static bool is_unsupported(int err)
{
	return err == -EOPNOTSUPP || err == -ENOSYS || err == -EINVAL || err == -ENOTTY ||
		err == -ENODEV;
}

static int write_fua(struct rawio *raw, struct block_req *req, const void *buf, void *scratch)
{
	int ret;

	if (!atomic_load(&raw->no_dsync)) {
		ret = rawio_write(raw, req->off, req->len, buf, RWF_DSYNC, scratch);
		if (!is_unsupported(ret)) {
			/* Buffered, it may be other data's loss that is reported here. */
			req->lost = ret == -EIO && !raw->direct;
			return ret;
		}
		atomic_store(&raw->no_dsync, true);
	}
	ret = rawio_write(raw, req->off, req->len, buf, 0, scratch);
	return ret ? ret : raw_flush(raw, req);
}

static int raw_fallocate(struct rawio *raw, int mode, uint64_t off, uint64_t len)
{
	int ret;

	do
		ret = raw->sys->fallocate(raw->fd, mode, off, len);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

static int raw_ioctl_range(struct rawio *raw, unsigned long request, uint64_t off, uint64_t len)
{
	uint64_t range[2] = { off, len };
	int ret;

	do
		ret = ioctl(raw->fd, request, range);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

/* The way without help of the host. */
static int write_zeroes(struct rawio *raw, uint64_t off, uint64_t len, char *scratch)
{
	/* Half for the zeroes, half for units that are changed in part. */
	const uint64_t chunk = POOL_SCRATCH_SIZE / 2;
	char *bounce = scratch + chunk;

	while (len) {
		uint64_t n = min_u64(len, chunk);
		int ret;

		/* Head and tail units go alone, so that the bounce half is enough for them. */
		if (!is_aligned(off, raw->align))
			n = min_u64(n, align_up(off, raw->align) - off);
		else if (n > raw->align)
			n = align_down(n, raw->align);
		memset(scratch, 0, n);
		ret = rawio_write(raw, off, n, scratch, 0, bounce);
		if (ret)
			return ret;
		off += n;
		len -= n;
	}
	return 0;
}

/* Zeroes whole sectors with the host's help; -EOPNOTSUPP when it has none. */
static int zero_fast(struct rawio *raw, uint64_t off, uint64_t len, bool unmap)
{
	int ret = -EOPNOTSUPP;

	if (unmap && !atomic_load(&raw->no_punch)) {
		/* On a block device, too, the kernel promises zeroes, or fails. */
		ret = raw_fallocate(raw, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
		if (!is_unsupported(ret))
			return ret;
		atomic_store(&raw->no_punch, true);
	}
	if (!atomic_load(&raw->no_zero_range)) {
		/* For block devices Linux has it since 4.9: BLKZEROOUT does nothing more. */
		ret = raw_fallocate(raw, FALLOC_FL_ZERO_RANGE, off, len);
		if (!is_unsupported(ret))
			return ret;
		atomic_store(&raw->no_zero_range, true);
	}
	return -EOPNOTSUPP;
}

static int raw_zero(struct rawio *raw, uint64_t off, uint64_t len, bool unmap, void *scratch)
{
	uint64_t first = min_u64(align_up(off, raw->dev_sector), off + len);
	uint64_t end = max_u64(align_down(off + len, raw->dev_sector), first);
	int ret = 0;

	if (first < end)
		ret = zero_fast(raw, first, end - first, unmap && raw->discard);
	if (ret == -EOPNOTSUPP)
		return write_zeroes(raw, off, len, scratch);
	if (!ret)
		ret = write_zeroes(raw, off, first - off, scratch);
	if (!ret)
		ret = write_zeroes(raw, end, off + len - end, scratch);
	return ret;
}

/* Only a hint, unless the device said that discarded ranges read as zeroes. */
static int raw_discard(struct rawio *raw, uint64_t off, uint64_t len, void *scratch)
{
	uint64_t first = min_u64(align_up(off, raw->dev_sector), off + len);
	uint64_t end = max_u64(align_down(off + len, raw->dev_sector), first);
	int ret;

	if (!raw->discard)
		return 0;
	if (raw->promised_zero)
		return raw_zero(raw, off, len, true, scratch);
	if (first == end || atomic_load(&raw->no_punch))
		return 0;
	ret = raw->is_device ? raw_ioctl_range(raw, BLKDISCARD, first, end - first) :
		raw_fallocate(raw, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, first, end - first);
	if (!is_unsupported(ret))
		return ret;
	atomic_store(&raw->no_punch, true);
	return 0;
}

/*
 * A guest must not be able to turn an image whose format was guessed to be raw into one of another
 * format, which may name files of the host: see block/probe.h.  @buf NULL stands for zeroes.
 */
static int guard_block0(struct rawio *raw, uint64_t off, uint64_t len, const char *buf,
			void *scratch)
{
	char head[PROBE_SIZE];
	uint64_t n;
	int ret;

	if (!raw->probed_raw || off >= PROBE_SIZE)
		return 0;
	n = min_u64(len, PROBE_SIZE - off);
	if (n < PROBE_SIZE) {
		ret = rawio_read(raw, 0, PROBE_SIZE, head, scratch);
		if (ret)
			return ret;
	}
	if (buf)
		memcpy(head + off, buf, n);
	else
		memset(head + off, 0, n);
	return strcmp(probe_format(head, PROBE_SIZE), "raw") ? -EPERM : 0;
}

static bool is_all_zero(const char *buf, size_t len)
{
	return len && !buf[0] && !memcmp(buf, buf + 1, len - 1);
}

static int run_read(struct rawio *raw, struct block_req *req)
{
	return rawio_read(raw, req->off, req->len, req->buf, req->u.job.scratch);
}

static int run_zero(struct rawio *raw, struct block_req *req, bool unmap)
{
	int ret = guard_block0(raw, req->off, req->len, NULL, req->u.job.scratch);

	if (!ret)
		ret = raw_zero(raw, req->off, req->len, unmap, req->u.job.scratch);
	if (!ret && (req->flags & BLOCK_REQ_FUA))
		ret = raw_flush(raw, req);
	return ret;
}

static int run_write(struct rawio *raw, struct block_req *req)
{
	void *scratch = req->u.job.scratch;
	int ret;

	if (raw->detect_zeroes && is_all_zero(req->buf, req->len))
		return run_zero(raw, req, raw->detect_zeroes == RAW_DETECT_UNMAP);
	ret = guard_block0(raw, req->off, req->len, req->buf, scratch);
	if (ret)
		return ret;
	if ((req->flags & BLOCK_REQ_FUA) && !raw->no_flush)
		return write_fua(raw, req, req->buf, scratch);
	return rawio_write(raw, req->off, req->len, req->buf, 0, scratch);
}

/* lseek() moves the fd's offset, which nobody uses. */
static int run_status(struct rawio *raw, struct block_req *req)
{
	uint64_t end = req->off + req->len;
	off_t data = lseek(raw->fd, req->off, SEEK_DATA);
	off_t hole;

	req->ret_allocated = true;
	req->ret_len = req->len;
	if (data < 0 && errno == ENXIO) {
		req->ret_allocated = false;		/* a hole up to the end */
	} else if (data > (off_t)req->off) {
		req->ret_allocated = false;
		req->ret_len = min_u64(data, end) - req->off;
	} else if (data == (off_t)req->off) {
		hole = lseek(raw->fd, req->off, SEEK_HOLE);
		if (hole > (off_t)req->off)
			req->ret_len = min_u64(hole, end) - req->off;
	}
	return 0;
}

static int run_flush(struct rawio *raw, struct block_req *req)
{
	return raw_flush(raw, req);
}

static int run_discard(struct rawio *raw, struct block_req *req)
{
	return raw_discard(raw, req->off, req->len, req->u.job.scratch);
}

static int run_zero_req(struct rawio *raw, struct block_req *req)
{
	return run_zero(raw, req, req->flags & BLOCK_REQ_UNMAP);
}

typedef int run_fn(struct rawio *raw, struct block_req *req);

static run_fn *const run_table[] = {
	[BLOCK_READ] = run_read,
	[BLOCK_WRITE] = run_write,
	[BLOCK_FLUSH] = run_flush,
	[BLOCK_DISCARD] = run_discard,
	[BLOCK_ZERO] = run_zero_req,
	[BLOCK_STATUS] = run_status,
};

int rawio_run(struct pool_job *job)
{
	struct block_req *req = (struct block_req *)(void *)
		((char *)job - offsetof(struct block_req, u.job));
	struct raw_block *raw = (struct raw_block *)req->block;

	return run_table[req->op](&raw->io, req);
}
