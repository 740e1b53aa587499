/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a real mpqemu-remote asks of its host, and what its guest is told when the host fails:
 * strace makes the calls fail that touch the image, a tmpfs is full, an NBD server says no or
 * nothing at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "host.h"
#include "unit/util.h"

#define SIZE (1u << 20)
#define OLD 0x11		/* the image's first content */
#define NEW 0x22		/* what is written */

static char *dir;

static char *in_dir(const char *name)
{
	return g_build_filename(dir, name, NULL);
}

static void make_image(const char *path)
{
	g_autofree char *content = g_malloc(SIZE);

	memset(content, OLD, SIZE);
	g_assert_true(g_file_set_contents(path, content, SIZE, NULL));
}

/* ---- commands, all at LBA 8 or @lba ---- */

static struct cmd command(uint8_t opcode, uint8_t byte1, uint32_t lba, unsigned blocks,
			  uint32_t data_len)
{
	struct cmd c = { .cdb = { opcode, byte1 }, .cdb_len = 10, .data_len = data_len };

	put_be32(c.cdb + 2, lba);
	put_be16(c.cdb + 7, blocks);
	return c;
}

#define READ_AT(lba) command(0x28, 0, lba, 8, 4096)
#define WRITE_AT(lba) command(0x2a, 0, lba, 8, 4096)
#define FUA_AT(lba) command(0x2a, 0x08, lba, 8, 4096)
#define SYNC command(0x35, 0, 0, 0, 0)
#define SAME_AT(lba) command(0x41, 0, lba, 8, 512)

static int sense(struct host *h, struct cmd c)
{
	/* WRITE SAME of zeroes, so that it is no write of data */
	memset(h->rig.ram + CMD_DATA(0), c.cdb[0] == 0x41 ? 0 : NEW, 4096);
	return host_sense(h, &c);
}

static void take_attentions(struct host *h)
{
	while (sense(h, (struct cmd){ .cdb_len = 6 }))
		;
}

static bool without_strace(void)
{
	g_autofree char *strace = g_find_program_in_path("strace");

	if (!strace)
		g_test_skip("strace is not installed");
	return !strace;
}

/* Under a strace that does this with what touches the image. */
static void start_injected(struct host *h, const char *image, const char *options,
			   const char *inject)
{
	g_autofree char *tool = g_strdup_printf("strace -f -q -o %s/trace -P %s %s", dir, image,
						inject);
	g_autofree char *drive = g_strdup_printf("file=%s,format=raw%s", image, options);

	host_start(h, drive, tool);
	take_attentions(h);
}

static void end(struct host *h, int status)
{
	g_autofree char *log = NULL;
	int got;

	host_hang_up(h);
	got = host_wait(h);
	log = host_log(h);
	if (got != status)
		g_error("status %d, not %d; it said: %s", got, status, log);
	host_finish(h);
}

/* ---- one failing call ---- */

enum what { READ, WRITE, FUA, FLUSH, SAME };

static const struct row {
	const char *name, *inject;
	enum what what;
	uint32_t sense;
	bool lost;		/* acknowledged data may be gone: no flush succeeds any more */
} rows[] = {
	{ "read-EIO", "pread64:error=EIO", READ, 0x0b0006 },
	{ "read-EAGAIN", "pread64:error=EAGAIN", READ, 0x0b0006 },
	{ "read-ENOMEM", "pread64:error=ENOMEM", READ, 0x044400 },
	{ "read-EREMOTEIO", "pread64:error=EREMOTEIO", READ, 0x044400 },
	{ "read-EINVAL", "pread64:error=EINVAL", READ, 0x052400 },
	{ "read-EINTR", "pread64:error=EINTR:when=1..3", READ, 0 },
	{ "read-nothing", "pread64:retval=0", READ, 0x031100 },
	/* what reads at once has no say: the read comes the ordinary way */
	{ "read-now-EIO", "preadv2:error=EIO", READ, 0 },
	{ "read-now-EFAULT", "preadv2:error=EFAULT", READ, 0 },
	{ "read-now-EINTR", "preadv2:error=EINTR", READ, 0 },
	{ "read-now-nothing", "preadv2:retval=0", READ, 0 },
	{ "write-EIO", "pwrite64:error=EIO", WRITE, 0x0b0006 },
	{ "write-EAGAIN", "pwrite64:error=EAGAIN", WRITE, 0x0b0006 },
	{ "write-ENOSPC", "pwrite64:error=ENOSPC", WRITE, 0x072707 },
	{ "write-EINTR", "pwrite64:error=EINTR:when=1..3", WRITE, 0 },
	{ "write-nothing", "pwrite64:retval=0", WRITE, 0x0b0006 },
	{ "fua-EIO", "pwritev2:error=EIO", FUA, 0x0b0006, true },
	{ "fua-ENOSPC", "pwritev2:error=ENOSPC", FUA, 0x072707 },
	{ "fua-EINTR", "pwritev2:error=EINTR:when=1..3", FUA, 0 },
	{ "fua-unknown", "pwritev2:error=EOPNOTSUPP", FUA, 0 },
	{ "flush-EIO", "fdatasync:error=EIO:when=1", FLUSH, 0x0b0006, true },
	{ "flush-ENOSPC", "fdatasync:error=ENOSPC:when=1", FLUSH, 0x072707, true },
	{ "flush-EINTR", "fdatasync:error=EINTR:when=1..3", FLUSH, 0 },
	{ "zero-EIO", "fallocate:error=EIO", SAME, 0x0b0006 },
	{ "zero-ENOSPC", "fallocate:error=ENOSPC", SAME, 0x072707 },
	{ "zero-EINTR", "fallocate:error=EINTR:when=1..3", SAME, 0 },
	{ "zero-unknown", "fallocate:error=EOPNOTSUPP", SAME, 0 },
};

static struct cmd make(enum what what)
{
	return what == READ ? READ_AT(8) : what == WRITE ? WRITE_AT(8) : what == FUA ? FUA_AT(8) :
		what == FLUSH ? SYNC : SAME_AT(8);
}

static void reset_chip(struct host *h)
{
	g_assert_cmpint(host_write(h, R_ISTAT0, 1, ISTAT0_SRST), ==, 0);
	g_assert_cmpint(host_write(h, R_ISTAT0, 1, 0), ==, 0);
	g_assert_cmpint(host_set_up(h), ==, 0);
}

static void reset_device(struct host *h)
{
	g_assert_cmpint(client_reset(&h->client), ==, 0);
	g_assert_cmpint(host_set_up(h), ==, 0);
	take_attentions(h);
}

/* No flush and no FUA write succeeds, whatever the guest resets; the rest goes on. */
static void check_latch(struct host *h, const struct row *row)
{
	for (unsigned i = 0; i < 3; i++) {
		g_assert_cmphex(sense(h, SYNC), !=, 0);
		g_assert_cmphex(sense(h, FUA_AT(16)), !=, 0);
		g_assert_cmphex(sense(h, WRITE_AT(16)), ==, 0);
		g_assert_cmphex(sense(h, READ_AT(16)), ==, 0);
		if (i == 0)
			reset_chip(h);
		else
			reset_device(h);
	}
}

/* strace did what it was told. */
static void check_injected(void)
{
	g_autofree char *trace = in_dir("trace"), *text = NULL;

	g_assert_true(g_file_get_contents(trace, &text, NULL, NULL));
	g_assert_nonnull(strstr(text, "(INJECTED)"));
}

static void test_call(const void *data)
{
	const struct row *row = data;
	g_autofree char *image = in_dir("image");
	g_autofree char *name = g_strndup(row->inject, strcspn(row->inject, ":"));
	/* a call that is to fail has to be made: nothing is cached */
	g_autofree char *inject = g_strdup_printf("-e trace=%s,preadv2 %s -e inject=%s", name,
		g_str_has_prefix(name, "pread64") ? "-e inject=preadv2:error=EAGAIN" : "",
		row->inject);
	struct host h;

	if (without_strace())
		return;
	make_image(image);
	start_injected(&h, image, ",werror=report,rerror=report", inject);
	g_assert_cmphex(sense(&h, make(row->what)), ==, row->sense);
	if (row->lost)
		check_latch(&h, row);
	else if (row->what != FLUSH)
		g_assert_cmphex(sense(&h, SYNC), ==, 0);
	end(&h, row->lost ? 4 : 0);
	check_injected();
}

/* ---- what the host is asked ---- */

/* The names of the calls in the trace, in order. */
static char *read_trace(void)
{
	g_autofree char *trace = in_dir("trace"), *text = NULL;
	g_auto(GStrv) lines = NULL;
	GString *got = g_string_new(NULL);

	g_assert_true(g_file_get_contents(trace, &text, NULL, NULL));
	lines = g_strsplit(text, "\n", -1);
	for (unsigned i = 0; lines[i]; i++) {
		const char *name = lines[i] + strspn(lines[i], "0123456789 ");

		if (!g_ascii_isalpha(*name))
			continue;	/* the rest of a call, a process's end */
		g_string_append_len(got, name, strcspn(name, "("));
		g_string_append(got, strstr(name, "RWF_DSYNC") ? "+DSYNC " : " ");
	}
	return g_string_free(got, false);
}

/*
 * A write that is to be stable is so at the host: FUA, WRITE AND VERIFY, and all with the write
 * cache off; SYNCHRONIZE CACHE and switching the cache off flush.
 */
static void test_stable(void)
{
	static const char want[] =
		"pwrite64 pwritev2+DSYNC fdatasync pwritev2+DSYNC pread64 fallocate "
		"fdatasync pwritev2+DSYNC pwritev2+DSYNC fallocate fdatasync fdatasync ";
	const struct cmd cache_off = { .cdb = { 0x15, 0x10, 0, 0, 24 }, .cdb_len = 6,
				       .data_len = 24 };
	g_autofree char *image = in_dir("image"), *got = NULL;
	struct host h;

	if (without_strace())
		return;
	make_image(image);
	start_injected(&h, image, "", "-e trace=pread64,pwrite64,pwritev2,fdatasync,fallocate");
	g_assert_cmphex(sense(&h, WRITE_AT(8)), ==, 0);
	g_assert_cmphex(sense(&h, FUA_AT(8)), ==, 0);
	g_assert_cmphex(sense(&h, SYNC), ==, 0);
	g_assert_cmphex(sense(&h, command(0x2e, 0, 8, 8, 4096)), ==, 0);
	g_assert_cmphex(sense(&h, SAME_AT(8)), ==, 0);
	memcpy(h.rig.ram + CMD_DATA(0), (uint8_t [24]){ [4] = 0x08, 18 }, 24);
	g_assert_cmphex(host_sense(&h, &cache_off), ==, 0);
	g_assert_cmphex(sense(&h, WRITE_AT(8)), ==, 0);
	g_assert_cmphex(sense(&h, FUA_AT(8)), ==, 0);
	g_assert_cmphex(sense(&h, SAME_AT(8)), ==, 0);
	end(&h, 0);		/* one more flush */
	got = read_trace();
	g_assert_cmpstr(got, ==, want);
}

/* The first letters that tell reads, writes and flushes apart: R, W, F. */
static char *read_letters(void)
{
	g_autofree char *calls = read_trace();
	g_auto(GStrv) names = g_strsplit(calls, " ", -1);
	GString *letters = g_string_new(NULL);

	for (unsigned i = 0; names[i] && *names[i]; i++)
		g_string_append_c(letters, g_str_has_prefix(names[i], "pread") ? 'R' :
				  g_str_has_prefix(names[i], "pwrite") ? 'W' : 'F');
	return g_string_free(letters, false);
}

/* The same in a storage daemon, once the clusters are allocated; reads stand in between. */
static void test_stable_qcow2(void)
{
	g_autofree char *image = in_dir("image"), *got = NULL;
	g_autofree char *make = g_strdup_printf("qemu-img create -q -f qcow2 %s 1M", image);
	g_autofree char *tool = g_strdup_printf(
		"strace -f -q -o %s/trace -P %s -e trace=pread64,preadv,preadv2,pwrite64,pwritev,"
		"pwritev2,fdatasync,fsync", dir, image);
	g_autofree char *drive = g_strdup_printf("file=%s,format=qcow2", image);
	g_autofree char *daemon = g_find_program_in_path("qemu-storage-daemon");
	struct host h;

	if (without_strace())
		return;
	if (!daemon) {
		g_test_skip("qemu-storage-daemon is not installed");
		return;
	}
	g_unlink(image);
	g_assert_true(g_spawn_command_line_sync(make, NULL, NULL, NULL, NULL));
	host_start(&h, drive, tool);
	take_attentions(&h);
	g_assert_cmphex(sense(&h, WRITE_AT(8)), ==, 0);
	g_assert_cmphex(sense(&h, SYNC), ==, 0);
	g_assert_cmphex(sense(&h, READ_AT(8)), ==, 0);
	g_assert_cmphex(sense(&h, FUA_AT(8)), ==, 0);
	g_assert_cmphex(sense(&h, READ_AT(8)), ==, 0);
	g_assert_cmphex(sense(&h, WRITE_AT(8)), ==, 0);
	g_assert_cmphex(sense(&h, READ_AT(8)), ==, 0);
	g_assert_cmphex(sense(&h, SYNC), ==, 0);
	g_assert_cmphex(sense(&h, READ_AT(8)), ==, 0);
	end(&h, 0);
	got = read_letters();
	if (!strstr(got, "RWFRWRFR"))
		g_error("what the daemon did: %s", got);
}

/* ---- the image itself ---- */

/* Cut under us: what is gone is an error, and not zeroes; what is left is read. */
static void test_truncated(void)
{
	g_autofree char *image = in_dir("image");
	g_autofree char *drive = g_strdup_printf("file=%s,format=raw", image);
	struct host h;

	make_image(image);
	host_start(&h, drive, NULL);
	take_attentions(&h);
	g_assert_cmpint(truncate(image, SIZE / 2), ==, 0);
	g_assert_cmphex(sense(&h, READ_AT(SIZE / 512 - 8)), ==, 0x031100);
	g_assert_cmphex(sense(&h, READ_AT(SIZE / 1024)), ==, 0x031100);
	g_assert_cmphex(sense(&h, READ_AT(SIZE / 1024 - 4)), ==, 0x031100);
	g_assert_cmphex(sense(&h, READ_AT(SIZE / 1024 - 8)), ==, 0);
	for (unsigned i = 0; i < 4096; i++)
		g_assert_cmphex(h.rig.ram[CMD_DATA(0) + i], ==, OLD);
	end(&h, 0);
}

/* A file system without room: told, not latched; with room again all is well. */
static void test_full(void)
{
	g_autofree char *mounted = in_dir("full"), *image = in_dir("full/image");
	g_autofree char *filler = in_dir("full/filler");
	g_autofree char *drive = g_strdup_printf("file=%s,format=raw,werror=report", image);
	g_autofree char *content = g_malloc0(256 << 10);
	uint32_t lba = 8;
	struct host h;
	int got = 0;

	g_assert_cmpint(mkdir(mounted, 0700), ==, 0);
	if (mount("tmpfs", mounted, "tmpfs", 0, "size=512k")) {
		g_test_skip("mounting a tmpfs needs root");
		rmdir(mounted);
		return;
	}
	close(must(open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600)));
	g_assert_cmpint(truncate(image, SIZE), ==, 0);
	host_start(&h, drive, NULL);
	take_attentions(&h);
	g_assert_cmphex(sense(&h, WRITE_AT(0)), ==, 0);
	g_assert_true(g_file_set_contents(filler, content, 256 << 10, NULL));
	for (; !got && lba < SIZE / 512; lba += 8)
		got = sense(&h, WRITE_AT(lba));
	g_assert_cmphex(got, ==, 0x072707);
	g_assert_cmphex(sense(&h, FUA_AT(lba)), ==, 0x072707);
	g_assert_cmphex(sense(&h, SYNC), ==, 0);
	g_assert_cmpint(g_unlink(filler), ==, 0);
	g_assert_cmphex(sense(&h, FUA_AT(lba)), ==, 0);
	g_assert_cmphex(sense(&h, SYNC), ==, 0);
	end(&h, 0);
	g_assert_cmpint(umount(mounted), ==, 0);
	rmdir(mounted);
}

/* ---- the end ---- */

static bool is_locked(const char *path)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100,
			      .l_len = 108 };
	int fd = must(open(path, O_RDWR | O_CLOEXEC));

	must(fcntl(fd, F_OFD_GETLK, &lock));
	close(fd);
	return lock.l_type != F_UNLCK;
}

static void nobody(void *opaque, unsigned tag, uint8_t status)
{
	g_error("command %u ended with %02x", tag, status);
}

/* On a slow machine they end, one after the other, while more are started. */
static void anybody(void *opaque, unsigned tag, uint8_t status)
{
	g_assert_cmphex(status, ==, SCSI_GOOD);
}

/*
 * QEMU is gone, or SIGTERM comes, while writes are under way that take long: they are carried out
 * and made stable, and until then nobody else gets the image.
 */
static void test_end(const void *terminate)
{
	g_autofree char *image = in_dir("image"), *trace = in_dir("trace");
	g_autofree char *log = NULL, *content = NULL;
	struct cmd write = WRITE_AT(8);
	struct host h;
	char *last;

	if (without_strace())
		return;
	make_image(image);
	start_injected(&h, image, "", "-e trace=pwrite64,fdatasync "
		       "-e inject=pwrite64,fdatasync:delay_enter=200000");
	for (unsigned tag = 1; tag < 4; tag++) {
		write.cdb[5] = 8 * tag;
		memset(h.rig.ram + CMD_DATA(tag), NEW, 4096);
		g_assert_cmpint(host_command(&h, tag, &write, anybody, NULL), >, 0);
	}
	if (terminate)
		must(kill(h.keeper, SIGTERM));
	else
		host_hang_up(&h);
	while (is_locked(image))
		g_usleep(2000);
	/* Unlocked: nothing happens to the image any more. */
	g_assert_true(g_file_get_contents(image, &content, NULL, NULL));
	for (unsigned i = 0; i < 3 * 4096; i++)
		g_assert_cmphex(content[4096 + i], ==, NEW);
	end(&h, 0);
	g_assert_true(g_file_get_contents(trace, &log, NULL, NULL));
	last = g_strrstr(log, "fdatasync");
	g_assert_nonnull(last);
	g_assert_nonnull(strstr(last, "= 0"));
	g_assert_null(strstr(last, "pwrite64"));
}

/* ---- a disk that takes as long as it likes ---- */

static GPid start_server(const char *sock, const char *args)
{
	g_autofree char *line = g_strdup_printf("nbdkit -f -U %s %s", sock, args);
	g_auto(GStrv) argv = NULL;
	GPid pid;

	g_assert_true(g_shell_parse_argv(line, NULL, &argv, NULL));
	g_unlink(sock);
	if (!g_spawn_async(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
			   NULL, NULL, &pid, NULL)) {
		g_test_skip("nbdkit is not installed");
		return 0;
	}
	while (!g_file_test(sock, G_FILE_TEST_EXISTS)) {
		g_assert_cmpint(waitpid(pid, NULL, WNOHANG), ==, 0);
		g_usleep(2000);
	}
	return pid;
}

static void stop_server(GPid pid)
{
	must(kill(pid, SIGKILL));
	g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

/* Its writes wait until a file is there. */
static char *slow_server(const char *go, const char *disk)
{
	return g_strdup_printf(
		"eval get_size='echo %u' can_write='exit 0' can_flush='exit 0' flush='exit 0' "
		"thread_model='echo parallel' "
		"pread='dd if=%s skip=$4 count=$3 iflag=count_bytes,skip_bytes bs=64k 2>/dev/null' "
		"pwrite='while ! test -e %s; do sleep 0.01; done; "
		"dd of=%s seek=$4 conv=notrunc oflag=seek_bytes bs=64k 2>/dev/null'",
		SIZE, disk, go, disk);
}

static void expect_alive(struct host *h)
{
	const struct cmd inquiry = { .cdb = { 0x12, 0, 0, 0, 36 }, .cdb_len = 6, .data_len = 36 };
	uint32_t istat;

	g_assert_cmpint(host_read(h, R_ISTAT0, 1, &istat), ==, 0);
	g_assert_cmpint(host_do(h, &inquiry), ==, SCSI_GOOD);
	g_assert_cmphex(sense(h, READ_AT(64)), ==, 0);
}

static void note(void *opaque, unsigned tag, uint8_t status)
{
	int *ended = opaque;

	g_assert_cmpuint(status, ==, SCSI_GOOD);
	*ended = tag;
}

/*
 * A write hangs in the disk: registers answer, other commands work, ABORT TAG and resets end it at
 * once. A newer write of the same place waits behind it, and stays.
 */
static void drive_slow(struct host *h, const char *go)
{
	struct cmd write = WRITE_AT(8);
	int ended = 0;

	memset(h->rig.ram + CMD_DATA(1), 0x77, 4096);
	g_assert_cmpint(host_command(h, 1, &write, nobody, NULL), ==, INT_DISCONNECTED);
	expect_alive(h);
	g_assert_cmpint(host_message(h, 1, 0x0d), ==, 0);
	expect_alive(h);
	g_assert_cmpint(host_command(h, 2, &write, nobody, NULL), ==, INT_DISCONNECTED);
	reset_chip(h);
	expect_alive(h);
	g_assert_cmpint(host_command(h, 3, &write, nobody, NULL), ==, INT_DISCONNECTED);
	reset_device(h);
	expect_alive(h);
	memset(h->rig.ram + CMD_DATA(4), NEW, 4096);
	g_assert_cmpint(host_command(h, 4, &write, nobody, NULL), ==, INT_DISCONNECTED);
	expect_alive(h);
	/* Nothing of all that is on the disk yet: it has been hanging from the first one on. */
	g_assert_true(g_file_set_contents(go, "", 0, NULL));
	while (!ended)
		g_assert_cmpint(host_go_on(h, note, &ended), ==, 0);
	g_assert_cmpint(ended, ==, 4);
}

static void test_slow(void)
{
	g_autofree char *sock = in_dir("sock"), *go = in_dir("go"), *disk = in_dir("image");
	g_autofree char *args = slow_server(go, disk), *content = NULL;
	g_autofree char *drive = g_strdup_printf("file=nbd:unix:%s,format=raw", sock);
	struct host h;
	GPid pid;

	make_image(disk);
	g_unlink(go);
	pid = start_server(sock, args);
	if (!pid)
		return;
	host_start(&h, drive, NULL);
	take_attentions(&h);
	drive_slow(&h, go);
	end(&h, 0);
	g_assert_true(g_file_get_contents(disk, &content, NULL, NULL));
	for (unsigned i = 0; i < 4096; i++)
		g_assert_cmphex(content[4096 + i], ==, NEW);
	stop_server(pid);
}

/* The errors of an NBD server, up to the guest. */
static void test_nbd_errors(void)
{
	g_autofree char *sock = in_dir("sock");
	g_autofree char *drive = g_strdup_printf("file=nbd:unix:%s,format=raw,werror=report", sock);
	GPid pid = start_server(sock, "--filter=error memory 1M error-pwrite=ENOSPC "
				"error-pwrite-rate=100% error-pread=EIO error-pread-rate=100%");
	struct host h;

	if (!pid)
		return;
	host_start(&h, drive, NULL);
	take_attentions(&h);
	g_assert_cmphex(sense(&h, READ_AT(0)), ==, 0x0b0006);
	g_assert_cmphex(sense(&h, WRITE_AT(0)), ==, 0x072707);
	g_assert_cmphex(sense(&h, SYNC), ==, 0);
	stop_server(pid);
	g_assert_cmphex(sense(&h, WRITE_AT(0)), ==, 0x0b0006);
	g_assert_cmphex(sense(&h, SYNC), ==, 0x0b0006);
	end(&h, 4);
}

int main(int argc, char **argv)
{
	int ret;

	g_test_init(&argc, &argv, NULL);
	dir = g_dir_make_tmp("mpqemu-error-XXXXXX", NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *name = g_strdup_printf("/error/call/%s", rows[i].name);

		g_test_add_data_func(name, &rows[i], test_call);
	}
	g_test_add_func("/error/stable", test_stable);
	g_test_add_func("/error/stable-qcow2", test_stable_qcow2);
	g_test_add_func("/error/truncated", test_truncated);
	g_test_add_func("/error/full", test_full);
	g_test_add_data_func("/error/hang-up", NULL, test_end);
	g_test_add_data_func("/error/terminate", "SIGTERM", test_end);
	g_test_add_func("/error/slow", test_slow);
	g_test_add_func("/error/nbd", test_nbd_errors);
	ret = g_test_run();
	for (unsigned i = 0; i < 4; i++) {
		static const char *const names[] = { "image", "trace", "sock", "go" };
		g_autofree char *path = in_dir(names[i]);

		g_unlink(path);
	}
	g_rmdir(dir);
	g_free(dir);
	return ret;
}
