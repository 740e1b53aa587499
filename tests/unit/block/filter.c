/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which system calls src/block makes once it is set up: every branch of the raw backend, of the
 * pool and of the NBD client runs under a filter that allows those of the list and no other.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <linux/loop.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block/block.h"
#include "block/nbd.h"
#include "block/raw.h"
#include "block/rawio.h"
#include "calls.h"

#define SIZE (1u << 20)

struct host {
	const char *name;
	struct block_raw_config config;
	int oflags;
	int dsync_errno, fallocate_errno;	/* what the host says that it cannot */
	bool device;				/* over a loop device */
};

struct fixture {
	const struct host *host;
	char *path;
	int fd;			/* the image */
	struct loop *loop;
	struct pool *pool;
	struct block *block;
	char *buf;		/* SIZE bytes, page aligned */
	unsigned left;
	int bad;		/* a request that should have worked ended so */
};

static const struct host *at_work;	/* for the functions of the table below */

static ssize_t sys_pwrite(int fd, const void *buf, size_t len, off_t off, int flags)
{
	errno = at_work->dsync_errno;
	return flags && errno ? -1 : raw_sys_libc.pwrite(fd, buf, len, off, flags);
}

static int sys_fallocate(int fd, int mode, off_t off, off_t len)
{
	errno = at_work->fallocate_errno;
	return errno ? -1 : raw_sys_libc.fallocate(fd, mode, off, len);
}

static struct raw_sys sys;

static void on_done(struct block_req *req, int ret)
{
	struct fixture *f = req->opaque;

	f->left--;
	if (ret)
		f->bad = ret;
}

static void submit(struct fixture *f, struct block_req *req, enum block_op op, unsigned flags,
		   uint64_t off, uint64_t len)
{
	*req = (struct block_req){ .op = op, .flags = flags, .off = off, .len = len,
				   .buf = f->buf + off % 4096, .done = on_done, .opaque = f };
	f->left++;
	block_submit(f->block, req);
}

static void wait_all(struct fixture *f)
{
	while (f->left)
		if (loop_step(f->loop, -1))
			_exit(2);
	if (f->bad)
		_exit(3);
}

/* Every op, whole and in parts of units, with every flag; several at work at a time. */
static void every_op(void *opaque)
{
	static const struct { uint64_t off, len; } ranges[] = {
		{ 4096, 65536 }, { 512, 512 }, { 131072, 200000 / 512 * 512 }, { 0, 1024 },
	};
	static const unsigned flags[] = { 0, BLOCK_REQ_FUA, BLOCK_REQ_UNMAP,
					  BLOCK_REQ_FUA | BLOCK_REQ_UNMAP };
	struct fixture *f = opaque;
	struct block_req req[8];

	at_work = f->host;
	for (unsigned r = 0; r < G_N_ELEMENTS(ranges); r++)
		for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
			uint64_t off = ranges[r].off, len = ranges[r].len;

			submit(f, &req[0], BLOCK_WRITE, flags[i] & BLOCK_REQ_FUA, off, len);
			submit(f, &req[1], BLOCK_READ, 0, off, len);
			submit(f, &req[2], BLOCK_FLUSH, 0, 0, 0);
			submit(f, &req[3], BLOCK_STATUS, 0, off, len);
			wait_all(f);
			memset(f->buf, i * 85, SIZE);	/* zeroes, to be detected, and others */
			submit(f, &req[4], BLOCK_ZERO, flags[i], off, len);
			submit(f, &req[5], BLOCK_DISCARD, 0, off, len);
			submit(f, &req[6], BLOCK_STATUS, 0, off, len);
			submit(f, &req[7], BLOCK_FLUSH, 0, 0, 0);
			wait_all(f);
		}
}

static void open_raw(void *opaque)
{
	struct fixture *f = opaque;
	struct block_raw_config config = f->host->config;

	sys = raw_sys_libc;
	sys.pwrite = sys_pwrite;
	sys.fallocate = sys_fallocate;
	at_work = f->host;
	config.sys = &sys;
	config.fd = f->fd;
	config.size = SIZE;
	f->loop = loop_create(-1);
	f->pool = pool_create(f->loop, 3, -1);
	g_assert_cmpint(posix_memalign((void **)&f->buf, 4096, SIZE + 8192), ==, 0);
	memset(f->buf, 1, SIZE + 8192);
	g_assert_cmpint(raw_create(f->loop, f->pool, &config, &f->block), ==, 0);
	if (f->host->config.direct && !f->host->device) {
		/* as on a disk with 4 KiB sectors, so that parts of units are bounced */
		struct raw_block *raw = (struct raw_block *)f->block;

		raw->io.align = raw->io.mem_align = f->block->overlap_align = 4096;
	}
}

static const struct calls_allowed raw_calls = { {
	/* the loop, the eventfd of the pool */
	"epoll_wait", "read", "clock_gettime",
	/* the image */
	"pread64", "pwrite64", "pwritev2", "fdatasync", "fallocate", "lseek",
} };

static const struct calls_allowed device_calls = { {
	"epoll_wait", "read", "clock_gettime",
	"pread64", "pwrite64", "pwritev2", "fdatasync", "fallocate", "lseek",
	"ioctl",	/* BLKDISCARD */
} };

#define CONFIG(...) .config = { __VA_ARGS__ }

static const struct host hosts[] = {
	{ "buffered" },
	{ "no-dsync", .dsync_errno = EOPNOTSUPP },
	{ "no-fallocate", .fallocate_errno = EOPNOTSUPP, CONFIG(.discard = true) },
	{ "discard", CONFIG(.discard = true, .detect_zeroes = RAW_DETECT_UNMAP) },
	{ "detect-zeroes", CONFIG(.detect_zeroes = RAW_DETECT_ON) },
	{ "detect-no-fallocate", .fallocate_errno = ENOSYS,
	  CONFIG(.detect_zeroes = RAW_DETECT_ON) },
	{ "probed", CONFIG(.probed_raw = true) },
	{ "unsafe", CONFIG(.no_flush = true) },
	{ "direct", .oflags = O_DIRECT, CONFIG(.direct = true, .discard = true) },
	{ "direct-no-fallocate", .oflags = O_DIRECT, .fallocate_errno = EOPNOTSUPP,
	  CONFIG(.direct = true, .detect_zeroes = RAW_DETECT_ON) },
};

static const struct host devices[] = {
	{ "device", CONFIG(.discard = true), .device = true },
	{ "device-no-fallocate", CONFIG(.discard = true), .fallocate_errno = EOPNOTSUPP,
	  .device = true },
	{ "device-direct", .oflags = O_DIRECT, CONFIG(.direct = true, .discard = true),
	  .device = true },
};

static void make_file(struct fixture *f, const struct host *host)
{
	*f = (struct fixture){ .host = host };
	f->path = g_build_filename(g_get_tmp_dir(), "test-block-XXXXXX", NULL);
	f->fd = g_mkstemp_full(f->path, O_RDWR | host->oflags, 0600);
	g_assert_cmpint(f->fd, >=, 0);
	g_assert_cmpint(ftruncate(f->fd, SIZE), ==, 0);
}

static void remove_file(struct fixture *f)
{
	close(f->fd);
	g_unlink(f->path);
	g_free(f->path);
}

static bool skipped(void)
{
	const char *why = calls_unusable();

	if (why)
		g_test_skip(why);
	return why;
}

static void test_raw(const void *data)
{
	struct fixture f;

	if (skipped())
		return;
	make_file(&f, data);
	g_assert_cmpint(calls_run(&raw_calls, open_raw, every_op, &f), ==, 0);
	remove_file(&f);
}

/* A loop device over the file, of which nothing is left when its last fd is closed. */
static int make_device(struct fixture *f, const struct host *host)
{
	struct loop_config config = { .fd = f->fd, .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	g_autofree char *path = g_strdup_printf("/dev/loop%d", number);
	int fd = number < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC | host->oflags);

	if (control >= 0)
		close(control);
	if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void test_device(const void *data)
{
	struct fixture f;
	int fd;

	if (skipped())
		return;
	make_file(&f, data);
	fd = make_device(&f, data);
	if (fd < 0) {
		g_test_skip("a loop device needs root, and a kernel with them");
	} else {
		close(f.fd);
		f.fd = fd;
		g_assert_cmpint(calls_run(&device_calls, open_raw, every_op, &f), ==, 0);
	}
	remove_file(&f);
}

/* ---- NBD ---- */

struct nbd_fixture {
	struct fixture f;
	struct block_nbd_config config;
	GPid pid;
	struct block_req *many;
};

enum { MANY = 2816 };	/* as many as a process may have, see NBD_HEAP */

/* nbdkit serves the socket at its stdin and stdout. */
static bool start_server(struct nbd_fixture *n, const char *args)
{
	g_autofree char *line = g_strdup_printf("nbdkit -s %s", args);
	g_auto(GStrv) argv = NULL;
	int pair[2];
	bool ok;

	g_assert_true(g_shell_parse_argv(line, NULL, &argv, NULL));
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
	ok = g_spawn_async_with_fds(NULL, argv, NULL, G_SPAWN_SEARCH_PATH |
				    G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL,
				    NULL, NULL, &n->pid, pair[1], pair[1], -1, NULL);
	close(pair[1]);
	n->config = (struct block_nbd_config){ .fd = pair[0], .export_name = "", .discard = true };
	if (!ok)
		close(pair[0]);
	return ok;
}

static void preload(void *opaque)
{
	struct nbd_fixture *n = opaque;
	char why[200];

	g_assert_cmpint(nbd_preload(g_getenv("MPQEMU_NBD_MODULE"), why, sizeof(why)), ==, 0);
	n->f.host = &hosts[0];
	n->f.loop = loop_create(-1);
	n->f.buf = g_malloc0(SIZE + 8192);
	n->many = g_new0(struct block_req, MANY);
}

/* Also run under a filter: no g_assert() here. */
static void connect_nbd(void *opaque)
{
	struct nbd_fixture *n = opaque;
	char why[200];

	if (nbd_block_create(n->f.loop, &n->config, &n->f.block, why, sizeof(why)))
		_exit(4);
}

static void open_nbd(void *opaque)
{
	preload(opaque);
	connect_nbd(opaque);
}

static void use_nbd(void *opaque)
{
	struct nbd_fixture *n = opaque;

	every_op(&n->f);
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < MANY; i++)
			submit(&n->f, &n->many[i], i % 2 ? BLOCK_WRITE : BLOCK_READ,
			       i % 16 ? 0 : BLOCK_REQ_FUA, i % 2 * 512 + i / 2 % 300 * 1024, 512);
		wait_all(&n->f);
	}
}

/* The server goes while requests are under way: they all fail, with no other call. */
static void use_dying_nbd(void *opaque)
{
	struct nbd_fixture *n = opaque;

	for (unsigned i = 0; i < MANY; i++)
		submit(&n->f, &n->many[i], i % 2 ? BLOCK_WRITE : BLOCK_READ, 0,
		       i % 2 * 512 + i / 2 % 300 * 1024, 512);
	kill(n->pid, SIGKILL);
	while (n->f.left)
		if (loop_step(n->f.loop, -1))
			_exit(2);
	_exit(n->f.bad == -EIO ? 0 : 3);
}

/* No brk and no mmap: the heap was made long enough. */
static const struct calls_allowed nbd_calls = { {
	"epoll_wait", "epoll_ctl", "sendto", "recvfrom",
} };

static const struct calls_allowed nbd_dying_calls = { {
	"epoll_wait", "epoll_ctl", "sendto", "recvfrom",
	"close",	/* libnbd closes its copy at once; the socket that we watch stays */
	"kill",		/* the test's own */
} };

/* Once the module is loaded nothing is opened any more. */
static const struct calls_allowed nbd_connect_calls = { {
	"epoll_wait", "epoll_ctl", "sendto", "recvfrom",
	"fcntl", "brk", "poll",
} };

static void run_nbd(const struct calls_allowed *allowed, const char *args,
		    void (*prepare)(void *), void (*run)(void *))
{
	struct nbd_fixture n = { 0 };

	if (skipped())
		return;
	if (!start_server(&n, args)) {
		g_test_skip("no nbdkit");
		return;
	}
	g_assert_cmpint(calls_run(allowed, prepare, run, &n), ==, 0);
	close(n.config.fd);
	g_assert_cmpint(waitpid(n.pid, NULL, 0), ==, n.pid);
}

static void test_nbd(void)
{
	run_nbd(&nbd_calls, "--filter=delay memory 1M rdelay=2ms wdelay=2ms", open_nbd, use_nbd);
	run_nbd(&nbd_calls, "--filter=nozero memory 1M", open_nbd, use_nbd);
}

static void test_nbd_dying(void)
{
	run_nbd(&nbd_dying_calls, "--filter=delay memory 1M rdelay=60 wdelay=60", open_nbd,
		use_dying_nbd);
}

static void test_nbd_connects(void)
{
	run_nbd(&nbd_connect_calls, "memory 1M", preload, connect_nbd);
}

/* ---- the filter itself ---- */

static int forbidden_run(struct pool_job *job)
{
	return syscall(SYS_getppid);
}

static void forbidden_done(struct pool_job *job, int ret)
{
	_exit(0);
}

static void forbidden(void *opaque)
{
	struct fixture *f = opaque;
	struct pool_job job = { .run = forbidden_run, .done = forbidden_done };

	pool_submit(f->pool, &job);
	for (;;)
		loop_step(f->loop, -1);
}

/* A forbidden call on a pool thread is caught, and its handler runs there. */
static void test_bites(void)
{
	static const struct calls_allowed less = { { "epoll_wait", "read", "pread64" } };
	struct fixture f;

	if (skipped())
		return;
	make_file(&f, &hosts[0]);
	g_assert_cmpint(calls_run(&raw_calls, open_raw, forbidden, &f), ==, CALLS_FORBIDDEN);
	g_assert_cmpint(calls_run(&less, open_raw, every_op, &f), ==, CALLS_FORBIDDEN);
	remove_file(&f);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/filter/bites", test_bites);
	if (g_getenv("MPQEMU_NBD_MODULE")) {
		g_test_add_func("/filter/nbd", test_nbd);
		g_test_add_func("/filter/nbd-dying", test_nbd_dying);
		g_test_add_func("/filter/nbd-connects", test_nbd_connects);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(hosts); i++) {
		g_autofree char *name = g_strdup_printf("/filter/raw/%s", hosts[i].name);

		g_test_add_data_func(name, &hosts[i], test_raw);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(devices); i++) {
		g_autofree char *name = g_strdup_printf("/filter/raw/%s", devices[i].name);

		g_test_add_data_func(name, &devices[i], test_device);
	}
	return g_test_run();
}
