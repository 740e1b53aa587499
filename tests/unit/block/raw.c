/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/block.h"
#include "block/null.h"
#include "block/rawio.h"

#define SIZE (1024u * 1024)

struct fixture {
	struct loop *loop;
	struct pool *pool;
	struct block *block;
	char *path;
	int fd;			/* of our own, beside the backend's */
	char *buf;		/* SIZE bytes, page aligned */
};

static const struct block_raw_config plain = { .size = SIZE };

static void setup(struct fixture *f, const struct block_raw_config *config, int oflags)
{
	struct block_raw_config c = *config;

	f->loop = loop_create(-1);
	f->pool = pool_create(f->loop, 2, -1);
	f->path = g_build_filename(g_get_tmp_dir(), "test-block-XXXXXX", NULL);
	f->fd = g_mkstemp(f->path);
	g_assert_cmpint(f->fd, >=, 0);
	g_assert_cmpint(ftruncate(f->fd, c.size), ==, 0);
	g_assert_cmpint(posix_memalign((void **)&f->buf, 4096, SIZE), ==, 0);
	memset(f->buf, 0, SIZE);
	c.fd = open(f->path, (c.readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | oflags);
	g_assert_cmpint(c.fd, >=, 0);
	g_assert_cmpint(raw_create(f->loop, f->pool, &c, &f->block), ==, 0);
}

static void teardown(struct fixture *f)
{
	block_close(f->block);
	pool_destroy(f->pool);
	loop_destroy(f->loop);
	close(f->fd);
	g_unlink(f->path);
	g_free(f->path);
	free(f->buf);
}

struct result {
	bool done;
	int ret;
};

static void on_done(struct block_req *req, int ret)
{
	struct result *r = req->opaque;

	r->done = true;
	r->ret = ret;
}

/* Runs one request to its end. */
static int io_req(struct fixture *f, struct block_req *req)
{
	struct result r = { 0 };

	req->done = on_done;
	req->opaque = &r;
	block_submit(f->block, req);
	while (!r.done)
		g_assert_cmpint(loop_step(f->loop, 10000), ==, 0);
	return r.ret;
}

static int io(struct fixture *f, enum block_op op, unsigned flags, uint64_t off, uint64_t len,
	      void *buf)
{
	struct block_req req = { .op = op, .flags = flags, .off = off, .len = len, .buf = buf };

	return io_req(f, &req);
}

/* Faults of the host, in the system call table. */
static struct {
	int eintr, short_by, fail, fail_after;
	int dsync_errno, fallocate_errno, fdatasync_errno;
	int fdatasyncs, fallocates, writes;
	size_t largest;
	unsigned calls;			/* of any kind */
	unsigned fail_at;		/* that one fails, once; 0: none */
	int fail_with;
	int now_errno, now_short;	/* of read_now; 0: as it is */
	unsigned nows;
	bool no_sync;			/* fdatasync and RWF_DSYNC are quick */
} host;

static bool host_fails(void)
{
	if (++host.calls == host.fail_at) {
		errno = host.fail_with;
		return true;
	}
	if (host.eintr > 0 && host.eintr--) {
		errno = EINTR;
		return true;
	}
	if (host.fail && host.fail_after-- <= 0) {
		errno = host.fail;
		return true;
	}
	return false;
}

static ssize_t host_pread(int fd, void *buf, size_t len, off_t off)
{
	if (host_fails())
		return -1;
	return pread(fd, buf, host.short_by && len > (size_t)host.short_by ? (size_t)host.short_by :
		     len, off);
}

static ssize_t host_pwrite(int fd, const void *buf, size_t len, off_t off, int flags)
{
	if (host_fails())
		return -1;
	if (flags && host.dsync_errno) {
		errno = host.dsync_errno;
		return -1;
	}
	host.writes++;
	host.largest = MAX(host.largest, len);
	return raw_sys_libc.pwrite(fd, buf, host.short_by && len > (size_t)host.short_by ?
				   (size_t)host.short_by : len, off, host.no_sync ? 0 : flags);
}

static int host_fdatasync(int fd)
{
	if (host_fails())
		return -1;
	host.fdatasyncs++;
	errno = host.fdatasync_errno;
	if (errno)
		return -1;
	return host.no_sync ? 0 : fdatasync(fd);
}

static int host_fallocate(int fd, int mode, off_t off, off_t len)
{
	if (host_fails())
		return -1;
	host.fallocates++;
	errno = host.fallocate_errno;
	return errno ? -1 : fallocate(fd, mode, off, len);
}

static ssize_t host_read_now(int fd, const struct iovec *iov, int count, off_t off)
{
	struct iovec first = iov[0];

	host.nows++;
	errno = host.now_errno;
	if (errno)
		return -1;
	if (!host.now_short)
		return preadv(fd, iov, count, off);
	first.iov_len = host.now_short;
	return preadv(fd, &first, 1, off);
}

static const struct raw_sys host_sys = {
	.pread = host_pread, .pwrite = host_pwrite, .fdatasync = host_fdatasync,
	.fallocate = host_fallocate, .read_now = host_read_now,
};

static void setup_host(struct fixture *f, const struct block_raw_config *config, int oflags)
{
	struct block_raw_config c = *config;

	memset(&host, 0, sizeof(host));
	c.sys = &host_sys;
	setup(f, &c, oflags);
}

static void fill(char *buf, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (i * 31 + (i >> 9) + seed) | 1;
}

static void test_eintr_short(void)
{
	struct fixture f;
	g_autofree char *want = g_malloc(100000);

	setup_host(&f, &plain, 0);
	fill(want, 100000, 3);
	memcpy(f.buf, want, 100000);
	host.eintr = 5;
	host.short_by = 777;
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 12345, 100000, f.buf), ==, 0);
	memset(f.buf, 0, 100000);
	host.eintr = 5;
	g_assert_cmpint(io(&f, BLOCK_READ, 0, 12345, 100000, f.buf), ==, 0);
	g_assert_cmpint(memcmp(f.buf, want, 100000), ==, 0);
	host.eintr = 3;
	g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0, 0, NULL), ==, 0);
	g_assert_cmpint(host.fdatasyncs, ==, 1);
	teardown(&f);
}

static void test_errors(void)
{
	static const int errors[] = { EIO, ENOSPC, EFBIG, EDQUOT, ENOMEM, EAGAIN, EREMOTEIO };
	struct fixture f;

	for (unsigned i = 0; i < G_N_ELEMENTS(errors); i++) {
		setup_host(&f, &plain, 0);
		host.fail = errors[i];
		host.fail_after = 2;		/* in the middle of a transfer */
		host.short_by = 4096;
		g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 65536, f.buf), ==, -errors[i]);
		g_assert_cmpint(io(&f, BLOCK_READ, 0, 0, 65536, f.buf), ==, -errors[i]);
		host.fail = 0;
		g_assert_cmpint(io(&f, BLOCK_READ, 0, 0, 65536, f.buf), ==, 0);
		g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0, 0, NULL), ==, 0);	/* no latch */
		teardown(&f);
	}
}

/* ---- every call of every request fails once ---- */

static void expect_bytes(struct fixture *f, uint64_t off, size_t len, char byte)
{
	g_assert_cmpint(pread(f->fd, f->buf, len, off), ==, len);
	for (size_t i = 0; i < len; i++)
		g_assert_cmpint(f->buf[i], ==, byte);
}

struct way {
	const char *name;
	struct block_raw_config config;
	int oflags, dsync_errno, fallocate_errno;
};

static const struct way ways[] = {
	{ "plain", { .size = SIZE } },
	{ "no-dsync", { .size = SIZE }, .dsync_errno = EOPNOTSUPP },
	{ "no-fallocate", { .size = SIZE }, .fallocate_errno = EOPNOTSUPP },
	{ "discard", { .size = SIZE, .discard = true, .detect_zeroes = RAW_DETECT_UNMAP } },
	{ "probed", { .size = SIZE, .probed_raw = true } },
	{ "direct", { .size = SIZE, .direct = true }, .oflags = O_DIRECT },
	{ "direct-poor", { .size = SIZE, .direct = true, .discard = true }, .oflags = O_DIRECT,
	  .dsync_errno = EINVAL, .fallocate_errno = ENOSYS },
};

static const struct {
	enum block_op op;
	unsigned flags;
	int byte;			/* of data */
} tries[] = {
	{ BLOCK_READ }, { BLOCK_WRITE, 0, 1 }, { BLOCK_WRITE, BLOCK_REQ_FUA, 1 },
	{ BLOCK_WRITE, BLOCK_REQ_FUA, 0 }, { BLOCK_FLUSH }, { BLOCK_ZERO },
	{ BLOCK_ZERO, BLOCK_REQ_UNMAP | BLOCK_REQ_FUA }, { BLOCK_DISCARD },
};

static void setup_way(struct fixture *f, const struct way *way)
{
	setup_host(f, &way->config, way->oflags);
	host.dsync_errno = way->dsync_errno;
	host.fallocate_errno = way->fallocate_errno;
	host.short_by = 16384;
	host.no_sync = true;
	if (way->config.direct) {
		struct raw_block *raw = (struct raw_block *)f->block;

		raw->io.align = raw->io.mem_align = f->block->overlap_align = 4096;
	}
}

/* The try, with call @at failing; how it ended. */
static int try_once(const struct way *way, unsigned t, unsigned at, int err, unsigned *ret_calls)
{
	const uint64_t off = 512, len = 50 * 1024;
	struct fixture f;
	int ret;

	setup_way(&f, way);
	host.calls = 0;
	host.fail_at = at;
	host.fail_with = err;
	memset(f.buf + 512, tries[t].byte, len);
	ret = io(&f, tries[t].op, tries[t].flags, off, len, f.buf + 512);
	*ret_calls = host.calls;
	if (!ret && tries[t].op == BLOCK_WRITE)
		expect_bytes(&f, off, len, tries[t].byte);
	teardown(&f);
	return ret;
}

/* An interrupted call is made again; any other error is the request's, with its own number. */
static void test_every_call(void)
{
	static const int errors[] = { EIO, ENOSPC, EAGAIN, EINTR };
	unsigned calls, again, count = 0;

	for (unsigned w = 0; w < G_N_ELEMENTS(ways); w++)
		for (unsigned t = 0; t < G_N_ELEMENTS(tries); t++) {
			g_assert_cmpint(try_once(&ways[w], t, 0, 0, &calls), ==, 0);
			for (unsigned at = 1; at <= calls; at++)
				for (unsigned e = 0; e < G_N_ELEMENTS(errors); e++, count++) {
					int want = errors[e] == EINTR ? 0 : -errors[e];
					int ret = try_once(&ways[w], t, at, errors[e], &again);

					if (ret != want)
						g_error("%s, request %u, call %u: error %d gives "
							"%d", ways[w].name, t, at, errors[e], ret);
				}
		}
	g_test_message("%u failing calls", count);
}

/* A file that was cut under us: an error, never zeroes. */
static void test_truncated(void)
{
	struct fixture f;

	setup(&f, &plain, 0);
	g_assert_cmpint(ftruncate(f.fd, 10000), ==, 0);
	g_assert_cmpint(io(&f, BLOCK_READ, 0, 8192, 4096, f.buf), ==, -ENODATA);
	g_assert_cmpint(io(&f, BLOCK_READ, 0, 65536, 512, f.buf), ==, -ENODATA);
	g_assert_cmpint(io(&f, BLOCK_READ, 0, 9488, 512, f.buf), ==, 0);
	teardown(&f);
}

static void test_flush_lost(void)
{
	struct fixture f;

	setup_host(&f, &plain, 0);
	host.fdatasync_errno = EIO;
	g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0, 0, NULL), ==, -EIO);
	host.fdatasync_errno = 0;
	g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0, 0, NULL), ==, -EIO);
	g_assert_cmpint(io(&f, BLOCK_WRITE, BLOCK_REQ_FUA, 0, 512, f.buf), ==, -EIO);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 512, f.buf), ==, 0);
	g_assert_cmpint(host.fdatasyncs, ==, 1);
	teardown(&f);
	/* A FUA write without RWF_DSYNC is a write and a flush, and that flush may fail, too. */
	setup_host(&f, &plain, 0);
	host.dsync_errno = EOPNOTSUPP;
	g_assert_cmpint(io(&f, BLOCK_WRITE, BLOCK_REQ_FUA, 0, 512, f.buf), ==, 0);
	g_assert_cmpint(host.fdatasyncs, ==, 1);
	host.fdatasync_errno = EIO;
	g_assert_cmpint(io(&f, BLOCK_WRITE, BLOCK_REQ_FUA, 0, 512, f.buf), ==, -EIO);
	host.fdatasync_errno = 0;
	g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0, 0, NULL), ==, -EIO);
	teardown(&f);
	/* RWF_DSYNC may report the loss of another buffered write; lack of space loses nothing. */
	setup_host(&f, &plain, 0);
	host.dsync_errno = ENOSPC;
	g_assert_cmpint(io(&f, BLOCK_WRITE, BLOCK_REQ_FUA, 0, 512, f.buf), ==, -ENOSPC);
	g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0, 0, NULL), ==, 0);
	host.dsync_errno = EIO;
	g_assert_cmpint(io(&f, BLOCK_WRITE, BLOCK_REQ_FUA, 0, 512, f.buf), ==, -EIO);
	host.dsync_errno = 0;
	g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0, 0, NULL), ==, -EIO);
	teardown(&f);
}

static void test_no_flush(void)
{
	const struct block_raw_config unsafe = { .size = SIZE, .no_flush = true };
	struct fixture f;

	setup_host(&f, &unsafe, 0);
	host.dsync_errno = host.fdatasync_errno = EIO;
	g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0, 0, NULL), ==, 0);
	g_assert_cmpint(io(&f, BLOCK_WRITE, BLOCK_REQ_FUA, 0, 512, f.buf), ==, 0);
	g_assert_cmpint(io(&f, BLOCK_ZERO, BLOCK_REQ_FUA, 0, 512, NULL), ==, 0);
	g_assert_cmpint(host.fdatasyncs, ==, 0);
	teardown(&f);
}

static blkcnt_t blocks_of(const struct fixture *f)
{
	struct stat st;

	g_assert_cmpint(fsync(f->fd), ==, 0);	/* delayed allocation would hide it */
	g_assert_cmpint(fstat(f->fd, &st), ==, 0);
	return st.st_blocks;
}

static void test_zero_discard(void)
{
	static const int fallocate_errors[] = { 0, EOPNOTSUPP, ENOSYS };
	const struct block_raw_config unmap = { .size = SIZE, .discard = true };
	struct fixture f;

	for (unsigned i = 0; i < G_N_ELEMENTS(fallocate_errors); i++) {
		setup_host(&f, &unmap, 0);
		host.fallocate_errno = fallocate_errors[i];
		g_assert_true(f.block->can_discard);
		memset(f.buf, 0x55, SIZE);
		g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, SIZE, f.buf), ==, 0);
		g_assert_cmpint(io(&f, BLOCK_ZERO, 0, 70000, 300000, NULL), ==, 0);
		expect_bytes(&f, 70000, 300000, 0);
		expect_bytes(&f, 69999, 1, 0x55);
		expect_bytes(&f, 370000, 1, 0x55);
		g_assert_cmpint(io(&f, BLOCK_ZERO, BLOCK_REQ_UNMAP | BLOCK_REQ_FUA, 0, 65536, NULL),
				==, 0);
		expect_bytes(&f, 0, 65536, 0);
		/* said before it was known that the host cannot: must be true all the same */
		g_assert_true(f.block->zero_after_discard);
		g_assert_cmpint(io(&f, BLOCK_DISCARD, 0, 524288, 262144, NULL), ==, 0);
		expect_bytes(&f, 524288, 262144, 0);
		expect_bytes(&f, 786432, 512, 0x55);
		g_assert_cmpint(lseek(f.fd, 0, SEEK_END), ==, SIZE);
		teardown(&f);
	}
}

static void test_discard_frees(void)
{
	const struct block_raw_config unmap = { .size = SIZE, .discard = true };
	struct block_req status = { .op = BLOCK_STATUS, .off = 4096, .len = SIZE - 4096 };
	struct fixture f;
	blkcnt_t full;

	setup(&f, &unmap, 0);
	memset(f.buf, 0x55, SIZE);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, SIZE, f.buf), ==, 0);
	full = blocks_of(&f);
	g_assert_cmpint(io(&f, BLOCK_DISCARD, 0, 131072, 524288, NULL), ==, 0);
	g_assert_cmpint(blocks_of(&f), <, full);
	g_assert_cmpint(io_req(&f, &status), ==, 0);
	g_assert_true(status.ret_allocated);
	g_assert_cmpuint(status.ret_len, ==, 131072 - 4096);
	status = (struct block_req){ .op = BLOCK_STATUS, .off = 131072, .len = 4096 };
	g_assert_cmpint(io_req(&f, &status), ==, 0);
	g_assert_false(status.ret_allocated);
	g_assert_cmpuint(status.ret_len, ==, 4096);
	teardown(&f);
	/* discard=ignore: accepted, nothing happens */
	setup(&f, &plain, 0);
	g_assert_false(f.block->can_discard);
	memset(f.buf, 0x55, SIZE);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, SIZE, f.buf), ==, 0);
	g_assert_cmpint(io(&f, BLOCK_DISCARD, 0, 0, SIZE, NULL), ==, 0);
	expect_bytes(&f, 0, SIZE, 0x55);
	teardown(&f);
}

static void test_detect_zeroes(void)
{
	const struct block_raw_config on = { .size = SIZE, .detect_zeroes = RAW_DETECT_ON };
	const struct block_raw_config un = { .size = SIZE, .discard = true,
					     .detect_zeroes = RAW_DETECT_UNMAP };
	struct fixture f;

	setup_host(&f, &on, 0);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 65536, f.buf), ==, 0);
	g_assert_cmpint(host.fallocates, ==, 1);
	f.buf[65535] = 1;
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 65536, f.buf), ==, 0);
	g_assert_cmpint(host.fallocates, ==, 1);
	teardown(&f);
	setup(&f, &un, 0);
	memset(f.buf, 1, SIZE);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, SIZE, f.buf), ==, 0);
	memset(f.buf, 0, SIZE);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, SIZE, f.buf), ==, 0);
	g_assert_cmpint(blocks_of(&f), ==, 0);
	teardown(&f);
}

static void test_probed_guard(void)
{
	const struct block_raw_config probed = { .size = SIZE, .probed_raw = true };
	static const char qcow2[] = "QFI\xfb\0\0\0\3";
	struct fixture f;

	setup(&f, &probed, 0);
	memcpy(f.buf, qcow2, 8);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 512, f.buf), ==, -EPERM);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 65536, f.buf), ==, -EPERM);
	/* in two steps */
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 4, f.buf), ==, 0);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 4, 4, f.buf + 4), ==, -EPERM);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 3, 100, f.buf + 3), ==, -EPERM);
	expect_bytes(&f, 4, 508, 0);
	/* elsewhere it is only data */
	memcpy(f.buf, qcow2, 8);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 512, 512, f.buf), ==, 0);
	teardown(&f);
	/* an explicit format=raw is not guarded */
	setup(&f, &plain, 0);
	memcpy(f.buf, qcow2, 8);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 512, f.buf), ==, 0);
	teardown(&f);
}

static void test_null(void)
{
	struct fixture f = { .loop = loop_create(-1) };
	char buf[512];
	int64_t start;

	f.block = null_create(f.loop, 1 << 20, 0);
	memset(buf, 1, sizeof(buf));
	g_assert_cmpint(io(&f, BLOCK_READ, 0, 512, 512, buf), ==, 0);
	for (unsigned i = 0; i < sizeof(buf); i++)
		g_assert_cmpint(buf[i], ==, 0);
	g_assert_cmpint(io(&f, BLOCK_READ, 0, 1 << 20, 512, buf), ==, -EINVAL);
	block_close(f.block);
	f.block = null_create(f.loop, 1 << 20, 5 * LOOP_MS);
	start = loop_now();
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 512, buf), ==, 0);
	g_assert_cmpint(loop_now() - start, >=, 5 * LOOP_MS);
	block_close(f.block);
	loop_destroy(f.loop);
}

/*
 * O_DIRECT with 4096-byte units, as a disk with 4 KiB sectors: every write of any alignment lands,
 * neighbours in one unit do not undo each other, all at once.
 */
#define RMW_REQS 64
static void test_rmw_races(void)
{
	const struct block_raw_config direct = { .size = SIZE, .direct = true };
	struct block_req reqs[RMW_REQS];
	struct result results[RMW_REQS];
	struct raw_block *raw;
	struct fixture f;
	char *model = g_malloc0(SIZE);

	setup(&f, &direct, O_DIRECT);
	raw = (struct raw_block *)f.block;
	raw->io.align = raw->io.mem_align = f.block->overlap_align = 4096;
	for (unsigned round = 0; round < 100; round++) {
		memset(results, 0, sizeof(results));
		for (unsigned i = 0; i < RMW_REQS; i++) {
			uint64_t off = g_test_rand_int_range(0, 100) * 512;
			uint64_t len = g_test_rand_int_range(1, 25) * 512;

			reqs[i] = (struct block_req){ .op = BLOCK_WRITE, .off = off, .len = len,
				.buf = f.buf + 16384 * i + 512 * g_test_rand_int_range(0, 4),
				.done = on_done, .opaque = &results[i] };
			memset(reqs[i].buf, round * RMW_REQS + i, len);
			memcpy(model + off, reqs[i].buf, len);
			block_submit(f.block, &reqs[i]);
		}
		while (!block_idle(f.block))
			g_assert_cmpint(loop_step(f.loop, 10000), ==, 0);
		for (unsigned i = 0; i < RMW_REQS; i++)
			g_assert_cmpint(results[i].ret, ==, 0);
		g_assert_cmpint(io(&f, BLOCK_READ, 0, 512, 70000, f.buf + 512), ==, 0);
		g_assert_cmpint(memcmp(f.buf + 512, model + 512, 70000), ==, 0);
	}
	teardown(&f);
	g_free(model);
}

static void test_direct_bad_size(void)
{
	struct fixture f;
	struct block_raw_config c = { .size = SIZE, .direct = true };
	struct block *block = NULL;
	int ret;

	setup(&f, &c, O_DIRECT);
	c.size = SIZE - 100;		/* a multiple of no sector */
	c.fd = open(f.path, O_RDWR | O_DIRECT | O_CLOEXEC);
	g_assert_cmpint(raw_create(f.loop, f.pool, &c, &block), ==, -EINVAL);
	g_assert_null(block);
	c.readonly = true;		/* nothing to make longer */
	g_assert_cmpint(ftruncate(f.fd, c.size), ==, 0);
	ret = raw_create(f.loop, f.pool, &c, &block);
	g_assert_cmpint(ret, ==, 0);
	block_close(f.block);
	f.block = block;
	g_assert_cmpint(io(&f, BLOCK_READ, 0, SIZE - 612, 512, f.buf), ==, 0);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 512, f.buf), ==, -EROFS);
	teardown(&f);
}

static ssize_t read_now(struct fixture *f, uint64_t off, uint64_t len)
{
	struct iovec iov = { .iov_base = f->buf, .iov_len = len };

	return block_read_now(f->block, off, &iov, 1, len);
}

/* What was just written is cached, and comes at once; behind the end of the file nothing does. */
static void test_read_now(void)
{
	struct fixture f;
	g_autofree char *want = g_malloc(100000);

	setup(&f, &plain, 0);
	fill(want, 100000, 3);
	g_assert_cmpint(pwrite(f.fd, want, 100000, 12345), ==, 100000);
	if (read_now(&f, 12345, 100000) < 0) {
		g_test_skip("the file system of the folder for temporary files has no RWF_NOWAIT");
	} else {
		g_assert_cmpint(read_now(&f, 12345, 100000), ==, 100000);
		g_assert_cmpmem(f.buf, 100000, want, 100000);
		g_assert_cmpint(ftruncate(f.fd, 50000), ==, 0);
		g_assert_cmpint(read_now(&f, 12345, 100000), ==, 50000 - 12345);
		g_assert_cmpint(read_now(&f, 60000, 512), ==, -EAGAIN);
	}
	teardown(&f);
}

/* A host without it is asked once; one that reads through O_DIRECT would wait, and never is. */
static void test_read_now_unsupported(void)
{
	static const int errors[] = { EOPNOTSUPP, ENOSYS, EINVAL };
	const struct block_raw_config direct = { .size = SIZE, .direct = true };
	struct fixture f;

	for (unsigned i = 0; i < G_N_ELEMENTS(errors); i++) {
		setup_host(&f, &plain, 0);
		host.now_errno = errors[i];
		g_assert_cmpint(read_now(&f, 0, 512), ==, -EAGAIN);
		g_assert_cmpint(read_now(&f, 0, 512), ==, -EAGAIN);
		g_assert_cmpuint(host.nows, ==, 1);
		teardown(&f);
	}
	setup_host(&f, &direct, 0);	/* the flag is what counts: any file system will do */
	g_assert_cmpint(read_now(&f, 0, 4096), ==, -EAGAIN);
	g_assert_cmpuint(host.nows, ==, 0);
	teardown(&f);
}

/* What is not cached is asked for ever more seldom; one hit, and each read tries again. */
static void test_read_now_misses(void)
{
	struct fixture f;
	unsigned seen;

	setup_host(&f, &plain, 0);
	host.now_errno = EAGAIN;
	for (unsigned i = 0; i < 1000; i++)
		g_assert_cmpint(read_now(&f, 0, 512), ==, -EAGAIN);
	g_assert_cmpuint(host.nows, >=, 1000 / 32);
	g_assert_cmpuint(host.nows, <, 1000 / 32 + 20);
	host.now_errno = 0;
	host.now_short = 100;
	for (seen = 0; seen < 32 && read_now(&f, 0, 512) < 0; seen++)
		;
	g_assert_cmpuint(seen, <, 32);
	for (unsigned i = 0; i < 10; i++)
		g_assert_cmpint(read_now(&f, 0, 512), ==, 100);
	teardown(&f);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/raw/eintr-short", test_eintr_short);
	g_test_add_func("/raw/errors", test_errors);
	g_test_add_func("/raw/every-call", test_every_call);
	g_test_add_func("/raw/truncated", test_truncated);
	g_test_add_func("/raw/flush-lost", test_flush_lost);
	g_test_add_func("/raw/no-flush", test_no_flush);
	g_test_add_func("/raw/probed-guard", test_probed_guard);
	g_test_add_func("/raw/rmw-races", test_rmw_races);
	g_test_add_func("/raw/direct-bad-size", test_direct_bad_size);
	g_test_add_func("/raw/zero-discard", test_zero_discard);
	g_test_add_func("/raw/discard-frees", test_discard_frees);
	g_test_add_func("/raw/detect-zeroes", test_detect_zeroes);
	g_test_add_func("/raw/null", test_null);
	g_test_add_func("/raw/read-now", test_read_now);
	g_test_add_func("/raw/read-now-unsupported", test_read_now_unsupported);
	g_test_add_func("/raw/read-now-misses", test_read_now_misses);
	return g_test_run();
}
