/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NBD backend against nbdkit, over a socket pair. */
#include "block/nbd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "block/block.h"
#include "event/loop.h"

#define SIZE (4u << 20)

static const char *module;

struct fixture {
	struct loop *loop;
	struct block *block;
	GPid pid;
	char *buf;
	int fd;
};

/* nbdkit serves the socket at its stdin and stdout.  False if it is not installed. */
static bool start_server(struct fixture *f, const char *args, int *ret_fd)
{
	g_autofree char *line = g_strdup_printf("nbdkit -s %s", args);
	g_auto(GStrv) argv = NULL;
	int pair[2];
	bool ok;

	g_assert_true(g_shell_parse_argv(line, NULL, &argv, NULL));
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
	ok = g_spawn_async_with_fds(NULL, argv, NULL, G_SPAWN_SEARCH_PATH |
				    G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL,
				    NULL, NULL, &f->pid, pair[1],
				    pair[1], -1, NULL);
	close(pair[1]);
	*ret_fd = pair[0];
	if (!ok)
		close(pair[0]);
	return ok;
}

static bool setup(struct fixture *f, const char *args, struct block_nbd_config config)
{
	char why[200] = "";
	int ret;

	if (!start_server(f, args, &config.fd)) {
		g_test_skip("no nbdkit");
		return false;
	}
	config.export_name = "";
	f->fd = config.fd;
	f->loop = loop_create(-1);
	f->buf = g_malloc0(SIZE);
	ret = nbd_block_load(module, f->loop, &config, &f->block, why, sizeof(why));
	if (ret)
		g_error("%s: %s", args, why);
	g_assert_cmpuint(f->block->size, ==, SIZE);
	return true;
}

static void teardown(struct fixture *f)
{
	block_close(f->block);
	loop_destroy(f->loop);
	g_free(f->buf);
	/* the end of the connection ends the server */
	g_assert_cmpint(waitpid(f->pid, NULL, 0), ==, f->pid);
}

struct result {
	unsigned *left;
	int ret;
};

static void on_done(struct block_req *req, int ret)
{
	struct result *r = req->opaque;

	r->ret = ret;
	--*r->left;
}

static int io(struct fixture *f, enum block_op op, unsigned flags, uint64_t off, uint64_t len,
	      void *buf)
{
	unsigned left = 1;
	struct result r = { &left, 1 };
	struct block_req req = { .op = op, .flags = flags, .off = off, .len = len, .buf = buf,
				 .done = on_done, .opaque = &r };

	block_submit(f->block, &req);
	while (left)
		g_assert_cmpint(loop_step(f->loop, 10000), ==, 0);
	return r.ret;
}

static void expect_bytes(struct fixture *f, uint64_t off, size_t len, char byte)
{
	memset(f->buf, ~byte, len);
	g_assert_cmpint(io(f, BLOCK_READ, 0, off, len, f->buf), ==, 0);
	for (size_t i = 0; i < len; i++)
		g_assert_cmpint(f->buf[i], ==, byte);
}

static int refused(int fd, char *why, size_t why_size)
{
	const struct block_nbd_config config = { .fd = fd, .export_name = "x" };
	struct loop *loop = loop_create(-1);
	struct block *block = NULL;
	int ret = nbd_block_load(module, loop, &config, &block, why, why_size);

	g_assert_null(block);
	g_assert_cmpint(ret, <, 0);
	g_assert_cmpstr(why, !=, "");
	g_assert_null(strchr(why, '\n'));
	/* It is not the block device's before there is one. */
	g_assert_cmpint(close(fd), ==, 0);
	loop_destroy(loop);
	return ret;
}

static void test_bad_server(void)
{
	char why[200] = "";
	int pair[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
	close(pair[1]);
	refused(pair[0], why, sizeof(why));
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
	g_assert_cmpint(write(pair[1], "HTTP/1.1 400 Bad Request\r\n\r\n", 28), ==, 28);
	refused(pair[0], why, sizeof(why));
	close(pair[1]);
}

static void test_bad_module(void)
{
	const struct block_nbd_config config = { .fd = open("/dev/null", O_RDWR) };
	struct block *block = NULL;
	char why[200] = "";

	g_assert_cmpint(nbd_block_load("/nonexistent.so", NULL, &config, &block, why, sizeof(why)),
			==, -ELIBACC);
	g_assert_nonnull(strstr(why, "/nonexistent.so"));
	g_assert_cmpint(close(config.fd), ==, 0);
}

static void test_ops(const char *args)
{
	const struct block_nbd_config unmap = { .discard = true };
	struct fixture f;
	g_autofree char *want = g_malloc(SIZE);

	if (!setup(&f, args, unmap))
		return;
	for (size_t i = 0; i < SIZE; i++)
		want[i] = (i * 7 + (i >> 12)) | 1;
	memcpy(f.buf, want, SIZE);
	/* longer than one command may be */
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 512, SIZE - 512, f.buf), ==, 0);
	memset(f.buf, 0, SIZE);
	g_assert_cmpint(io(&f, BLOCK_READ, 0, 512, SIZE - 512, f.buf), ==, 0);
	g_assert_cmpint(memcmp(f.buf, want, SIZE - 512), ==, 0);
	memset(f.buf, 0x33, 4096);
	g_assert_cmpint(io(&f, BLOCK_WRITE, BLOCK_REQ_FUA, 8192, 4096, f.buf), ==, 0);
	expect_bytes(&f, 8192, 4096, 0x33);
	g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0, 0, NULL), ==, 0);
	g_assert_cmpint(io(&f, BLOCK_ZERO, BLOCK_REQ_FUA, 8192, 512 << 10, NULL), ==, 0);
	expect_bytes(&f, 8192, 512 << 10, 0);
	g_assert_cmpint(io(&f, BLOCK_ZERO, BLOCK_REQ_UNMAP, 0, 8192, NULL), ==, 0);
	expect_bytes(&f, 0, 8192, 0);
	g_assert_cmpint(io(&f, BLOCK_DISCARD, 0, 0, SIZE, NULL), ==, 0);
	g_assert_cmpint(io(&f, BLOCK_READ, 0, SIZE, 512, f.buf), ==, -EINVAL);
	teardown(&f);
}

static void test_memory(void)
{
	test_ops("memory 4M");
}

/* Servers that cannot do all: our own ways round it. */
static void test_poor_server(void)
{
	test_ops("--filter=nozero memory 4M");
	/* no FUA either, and no trim */
	test_ops("--filter=nozero eval get_ready='truncate -s 4M $tmpdir/d' get_size='echo 4M' "
		 "pread='dd if=$tmpdir/d skip=$4 count=$3 iflag=count_bytes,skip_bytes bs=1M' "
		 "pwrite='dd of=$tmpdir/d seek=$4 conv=notrunc oflag=seek_bytes bs=64k' "
		 "can_write=true can_flush=true flush=true can_fua='echo none'");
}

/* Many at once, of all kinds, in any order: as if one after the other. */
static void test_many(void)
{
	struct fixture f;
	enum { COUNT = 200, SLOT = 8192 };
	static struct block_req reqs[COUNT];
	static struct result results[COUNT];
	g_autofree char *model = g_malloc0(SIZE);
	g_autofree char *bufs = g_malloc(COUNT * SLOT);
	unsigned left;

	if (!setup(&f, "--filter=delay memory 4M rdelay=1ms wdelay=2ms",
		   (struct block_nbd_config){ 0 }))
		return;
	for (int round = 0; round < 10; round++) {
		left = COUNT;
		for (int i = 0; i < COUNT; i++) {
			uint64_t len = 512 * g_test_rand_int_range(1, 17);
			uint64_t off = 512 * g_test_rand_int_range(0, 300);

			results[i] = (struct result){ &left, 1 };
			reqs[i] = (struct block_req){ .op = i % 5 ? BLOCK_WRITE : BLOCK_ZERO,
				.flags = i % 7 ? 0 : BLOCK_REQ_FUA, .off = off, .len = len,
				.buf = bufs + i * SLOT, .done = on_done, .opaque = &results[i] };
			memset(bufs + i * SLOT, i + round, len);
			memset(model + off, i % 5 ? i + round : 0, len);
			block_submit(f.block, &reqs[i]);
		}
		while (left)
			g_assert_cmpint(loop_step(f.loop, 10000), ==, 0);
		for (int i = 0; i < COUNT; i++)
			g_assert_cmpint(results[i].ret, ==, 0);
		g_assert_cmpint(io(&f, BLOCK_READ, 0, 0, 200000, f.buf), ==, 0);
		g_assert_cmpint(memcmp(f.buf, model, 200000), ==, 0);
	}
	teardown(&f);
}

static void test_errors(void)
{
	struct fixture f;

	if (!setup(&f, "--filter=error memory 4M error-pwrite=ENOSPC error-pwrite-rate=100% "
		   "error-pread=EIO error-pread-rate=100%", (struct block_nbd_config){ 0 }))
		return;
	for (int i = 0; i < 3; i++) {
		g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 2 << 20, f.buf), ==, -ENOSPC);
		g_assert_cmpint(io(&f, BLOCK_READ, 0, 0, 512, f.buf), ==, -EIO);
		g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0, 0, NULL), ==, 0);
	}
	teardown(&f);
	g_assert_true(setup(&f, "eval get_size='echo 4M' pread='dd if=/dev/zero count=$3 "
			    "iflag=count_bytes 2>/dev/null' pwrite='cat >/dev/null' can_write=true "
			    "can_flush=true flush='echo EIO lost >&2; exit 1'",
			    (struct block_nbd_config){ 0 }));
	g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0, 0, NULL), ==, -EIO);
	g_assert_cmpint(io(&f, BLOCK_WRITE, BLOCK_REQ_FUA, 0, 512, f.buf), ==, -EIO);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 512, f.buf), ==, 0);
	teardown(&f);
}

/*
 * A server that carries out FUA as a write and a flush: that flush may have taken the only report
 * of others' loss.  ENOSPC is no such report.
 */
static void test_fua_lost(void)
{
	static const struct { const char *word; int err, flush; } rows[] = {
		{ "EIO", -EIO, -EIO }, { "ENOSPC", -ENOSPC, 0 },
	};
	struct fixture f;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *args = g_strdup_printf(
			"eval get_size='echo 4M' pread='dd if=/dev/zero count=$3 iflag=count_bytes "
			"2>/dev/null' can_write=true can_fua='echo native' can_flush=true "
			"flush=true pwrite='cat >/dev/null; case $5 in *fua*) echo %s no >&2; "
			"exit 1;; esac'", rows[i].word);

		if (!setup(&f, args, (struct block_nbd_config){ 0 }))
			return;
		g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 512, f.buf), ==, 0);
		g_assert_cmpint(io(&f, BLOCK_WRITE, BLOCK_REQ_FUA, 0, 512, f.buf), ==,
				rows[i].err);
		g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0, 0, NULL), ==, rows[i].flush);
		teardown(&f);
	}
}

static void test_readonly_and_guard(void)
{
	struct fixture f;

	if (!setup(&f, "-r memory 4M", (struct block_nbd_config){ 0 }))
		return;
	g_assert_true(f.block->readonly);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 512, f.buf), ==, -EROFS);
	teardown(&f);
	g_assert_true(setup(&f, "memory 4M", (struct block_nbd_config){ .probed_raw = true }));
	memcpy(f.buf, "QFI\xfb\0\0\0\3", 8);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 4096, f.buf), ==, -EPERM);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 4, 4, f.buf), ==, -EPERM);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 512, 4096, f.buf), ==, 0);
	f.buf[0] = 0;
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 0, 4096, f.buf), ==, 0);
	teardown(&f);
}

/* A server that dies with requests in flight: all of them end, and all later ones. */
static void test_dead_server(void)
{
	enum { COUNT = 40, COPY_FD = 250 };
	static struct block_req reqs[COUNT];
	static struct result results[COUNT];
	unsigned left = COUNT;
	struct fixture f;
	int keeper;

	if (!setup(&f, "--filter=delay memory 4M rdelay=60 wdelay=60",
		   (struct block_nbd_config){ .copy_fd = COPY_FD }))
		return;
	g_assert_true(fd_is_open(COPY_FD));
	for (int i = 0; i < COUNT; i++) {
		results[i] = (struct result){ &left, 1 };
		reqs[i] = (struct block_req){ .op = i % 2 ? BLOCK_READ : BLOCK_WRITE,
			.off = i / 4 * 4096, .len = 4096, .buf = f.buf + i * 4096, .done = on_done,
			.opaque = &results[i] };
		block_submit(f.block, &reqs[i]);
	}
	loop_step(f.loop, 0);
	g_assert_cmpuint(left, ==, COUNT);
	keeper = dup(f.fd);	/* somebody else's copy must not matter */
	kill(f.pid, SIGKILL);
	while (left)
		g_assert_cmpint(loop_step(f.loop, 10000), ==, 0);
	for (int i = 0; i < COUNT; i++)
		g_assert_cmpint(results[i].ret, ==, -EIO);
	for (int i = 0; i < 3; i++) {
		g_assert_cmpint(io(&f, BLOCK_READ, 0, 0, 512, f.buf), ==, -EIO);
		g_assert_cmpint(io(&f, BLOCK_ZERO, 0, 0, 512, NULL), ==, -EIO);
		g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0, 0, NULL), ==, -EIO);
	}
	close(keeper);
	/* The number that others know stays taken; libnbd's own is free again. */
	g_assert_true(fd_is_open(f.fd));
	g_assert_false(fd_is_open(COPY_FD));
	teardown(&f);
	g_assert_false(fd_is_open(f.fd));
}

/* It is gone before the request is sent: the sending itself finds out. */
static void test_gone_server(void)
{
	struct fixture f;
	unsigned left = 3;
	struct result results[3] = { { &left, 1 }, { &left, 1 }, { &left, 1 } };
	struct block_req reqs[3];

	if (!setup(&f, "memory 4M", (struct block_nbd_config){ 0 }))
		return;
	kill(f.pid, SIGKILL);
	g_assert_cmpint(waitpid(f.pid, NULL, 0), ==, f.pid);
	for (int i = 0; i < 3; i++) {
		reqs[i] = (struct block_req){ .op = BLOCK_WRITE, .off = 8192 * i, .len = 4096,
			.buf = f.buf, .done = on_done, .opaque = &results[i] };
		block_submit(f.block, &reqs[i]);
	}
	while (left)
		g_assert_cmpint(loop_step(f.loop, 10000), ==, 0);
	for (int i = 0; i < 3; i++)
		g_assert_cmpint(results[i].ret, ==, -EIO);
	for (int i = 0; i < 3; i++)
		loop_step(f.loop, 0);
	g_assert_cmpuint(left, ==, 0);		/* each ended once */
	block_close(f.block);
	loop_destroy(f.loop);
	g_free(f.buf);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	module = g_getenv("MPQEMU_NBD_MODULE");
	g_test_add_func("/nbd/bad-module", test_bad_module);
	g_test_add_func("/nbd/bad-server", test_bad_server);
	g_test_add_func("/nbd/dead-server", test_dead_server);
	g_test_add_func("/nbd/gone-server", test_gone_server);
	g_test_add_func("/nbd/errors", test_errors);
	g_test_add_func("/nbd/fua-lost", test_fua_lost);
	g_test_add_func("/nbd/readonly-and-guard", test_readonly_and_guard);
	g_test_add_func("/nbd/memory", test_memory);
	g_test_add_func("/nbd/poor-server", test_poor_server);
	g_test_add_func("/nbd/many", test_many);
	return g_test_run();
}
