/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening images: what is refused, what is probed, and locks with the real qemu-io and qemu-nbd. */
#include "block/image.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "block/probe.h"

static char *dir;

static char *in_dir(const char *name)
{
	return g_build_filename(dir, name, NULL);
}

/* A file of @size bytes that starts with @head. */
static char *make_file(const char *name, const void *head, size_t head_len, off_t size)
{
	char *path = in_dir(name);
	autofd fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(pwrite(fd, head, head_len, 0), ==, head_len);
	g_assert_cmpint(ftruncate(fd, size), ==, 0);
	return path;
}

static void expect_refused(const struct image_options *options, const char *what)
{
	struct image image = { .fd = -2 };
	g_autoptr(GError) error = NULL;

	g_assert_false(image_open(options, &image, &error));
	g_assert_cmpint(image.fd, ==, -2);
	g_assert_nonnull(error);
	if (!strstr(error->message, what))
		g_error("'%s' does not say '%s'", error->message, what);
	g_assert_null(strchr(error->message, '\n'));
}

static void test_refused(void)
{
	static const struct { const char *name; off_t size; const char *what; } sizes[] = {
		{ "s0", 0, "is empty" },
		{ "s1", 1, "less than one sector" },
		{ "s511", 511, "less than one sector" },
		{ "s513", 513, "not a multiple of 512" },
		{ "s1000", 1000, "not a multiple of 512" },
	};
	g_autofree char *missing = in_dir("missing"), *fifo = in_dir("fifo");
	g_autofree char *loop = in_dir("loop");

	for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_autofree char *path = make_file(sizes[i].name, "", 0, sizes[i].size);

		expect_refused(&(struct image_options){ .path = path, .format = "raw" },
			       sizes[i].what);
		expect_refused(&(struct image_options){ .path = path, .readonly = true },
			       sizes[i].what);
	}
	expect_refused(&(struct image_options){ .path = missing }, "No such file or directory");
	expect_refused(&(struct image_options){ .path = "" }, "No such file or directory");
	expect_refused(&(struct image_options){ .path = dir }, "directory");
	expect_refused(&(struct image_options){ .path = dir, .readonly = true }, "Is a directory");
	expect_refused(&(struct image_options){ .path = "/dev/null" }, "neither a regular file");
	g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
	expect_refused(&(struct image_options){ .path = fifo }, "neither a regular file");
	expect_refused(&(struct image_options){ .path = fifo, .readonly = true }, "neither a");
	g_assert_cmpint(symlink("loop", loop), ==, 0);
	expect_refused(&(struct image_options){ .path = loop }, "symbolic links");
}

static void test_opened(void)
{
	g_autofree char *path = make_file("ok", "", 0, 4096), *link = in_dir("link");
	g_autofree char *url = g_strconcat("file:", path, NULL);
	struct image image, again;
	g_autoptr(GError) error = NULL;

	g_assert_cmpint(symlink("ok", link), ==, 0);
	g_assert_true(image_open(&(struct image_options){ .path = link }, &image, &error));
	g_assert_cmpuint(image.size, ==, 4096);
	g_assert_cmpstr(image.format, ==, "raw");
	g_assert_true(image.probed);
	g_assert_false(image.readonly);
	g_assert_false(image.is_device);
	g_assert_cmpint(fcntl(image.fd, F_GETFD), ==, FD_CLOEXEC);
	g_assert_cmpint(fcntl(image.fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), ==, O_RDWR);
	/* an inherited fd; what it allows counts */
	g_assert_true(image_open(&(struct image_options){ .path = "/dev/fdset/1", .format = "raw",
				 .use_fd = true, .fd = image.fd, .direct = true, .no_lock = true },
				 &again, &error));
	g_assert_cmpint(again.fd, !=, image.fd);
	g_assert_cmpuint(again.size, ==, 4096);
	g_assert_false(again.direct);
	g_assert_cmpint(fcntl(again.fd, F_GETFD), ==, FD_CLOEXEC);
	close(again.fd);
	close(image.fd);
	g_assert_true(image_open(&(struct image_options){ .path = url, .format = "raw",
				 .readonly = true }, &image, &error));
	g_assert_false(image.probed);
	g_assert_true(image.readonly);
	g_assert_cmpint(write(image.fd, "x", 1), ==, -1);
	expect_refused(&(struct image_options){ .path = "/dev/fdset/1", .use_fd = true,
		       .fd = image.fd }, "not open for writing");
	expect_refused(&(struct image_options){ .path = "/dev/fdset/1", .use_fd = true,
		       .fd = 9999 }, "Bad file descriptor");
	close(image.fd);
}

/* Only a user other than root can see a file that is not writable. */
static void test_auto_readonly(void)
{
	g_autofree char *path = make_file("ro", "", 0, 4096);
	struct image image;

	g_assert_cmpint(chmod(path, 0400), ==, 0);
	if (access(path, W_OK) == 0) {
		g_test_skip("every file is writable to root");
		return;
	}
	expect_refused(&(struct image_options){ .path = path }, "Permission denied");
	g_assert_true(image_open(&(struct image_options){ .path = path, .auto_readonly = true },
				 &image, NULL));
	g_assert_true(image.readonly);
	close(image.fd);
}

#define CLOOP "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 " \
	"/dev/cloop $1\n"
#define HEAD(text) text, sizeof(text) - 1

static const struct { const char *format; const char *head; size_t len; } heads[] = {
	{ "qcow2", HEAD("QFI\xfb\0\0\0\2") },
	{ "qcow2", HEAD("QFI\xfb\0\0\0\3") },
	{ "qcow2", HEAD("QFI\xfb\xff\0\0\0") },
	{ "qcow", HEAD("QFI\xfb\0\0\0\1") },
	{ "raw", HEAD("QFI\xfb\0\0\0\0") },
	{ "raw", HEAD("QFI\xfa\0\0\0\2") },
	{ "qed", HEAD("QED\0") },
	{ "raw", HEAD("QED\1") },
	{ "luks", HEAD("LUKS\xba\xbe\0\1") },
	{ "raw", HEAD("LUKS\xba\xbe\0\2") },
	{ "vmdk", HEAD("KDMV") },
	{ "vmdk", HEAD("COWD") },
	{ "vmdk", HEAD("# Disk DescriptorFile\nversion=1\n") },
	{ "vmdk", HEAD("# a\n#b\r\n \r\n   \nversion=2\r\nCID=") },
	{ "vmdk", HEAD("version=3\n") },
	{ "raw", HEAD("version=4\n") },
	{ "raw", HEAD("version=1x\n") },
	{ "raw", HEAD(" version=1\n") },
	{ "raw", HEAD("# no end") },
	{ "vdi", HEAD("0123456789012345678901234567890123456789012345678901234567890123"
		      "\x7f\x10\xda\xbe") },
	{ "vhdx", HEAD("vhdxfile") },
	{ "vpc", HEAD("conectix") },
	{ "parallels", HEAD("WithoutFreeSpace\2\0\0\0") },
	{ "parallels", HEAD("WithouFreSpacExt\2\0\0\0") },
	{ "raw", HEAD("WithoutFreeSpace\3\0\0\0") },
	{ "bochs", HEAD("Bochs Virtual HD Image\0\0\0\0\0\0\0\0\0\0Redolog\0\0\0\0\0\0\0\0\0"
			"Growing\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0") },
	{ "raw", HEAD("Bochs Virtual HD Image\0\0\0\0\0\0\0\0\0\0Redolog\0\0\0\0\0\0\0\0\0"
		      "Growing\0\0\0\0\0\0\0\0\0\0\0\3\0\0\0\0\0") },
	{ "cloop", HEAD(CLOOP) },
	{ "raw", HEAD("#!/bin/sh\n") },
	{ "raw", "", 0 },
};

static void test_probe(void)
{
	char buf[512];

	for (unsigned i = 0; i < G_N_ELEMENTS(heads); i++) {
		memset(buf, 0, sizeof(buf));
		memcpy(buf, heads[i].head, heads[i].len);
		g_assert_cmpstr(probe_format(buf, sizeof(buf)), ==, heads[i].format);
		/* No length may make it read too far (ASan, valgrind see it). */
		for (size_t len = 0; len <= heads[i].len; len++) {
			g_autofree char *copy = g_memdup2(buf, len);

			probe_format(copy, len);
		}
	}
	g_assert_cmpstr(image_probe("x.dmg", "", 0), ==, "dmg");
	g_assert_cmpstr(image_probe("x.dmg", "conectix", 8), ==, "vpc");
}

/* What a command prints (both streams), and whether it succeeded; NULL if it is not installed. */
static char *run(bool *ret_ok, const char *command)
{
	g_auto(GStrv) argv = NULL;
	g_autofree char *out = NULL, *err = NULL;
	int status;

	g_assert_true(g_shell_parse_argv(command, NULL, &argv, NULL));
	if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status,
			  NULL))
		return NULL;
	*ret_ok = status == 0;
	return g_strconcat(out, err, NULL);
}

/* QEMU must refuse the image that we hold, and the other way round what we may hold beside it. */
static void expect_qemu(const char *path, const char *command, const char *refusal)
{
	g_autofree char *line = g_strdup_printf(command, path);
	g_autofree char *out = NULL;
	bool ok;

	out = run(&ok, line);
	if (!out)
		return;
	if (refusal ? ok || !strstr(out, refusal) : !ok)
		g_error("%s: %s", line, out);
}

static void test_qemu_refuses(void)
{
	static const struct {
		bool readonly, share_rw, resizable, no_lock;
		const char *command, *refusal;
	} rows[] = {
		{ 0, 0, 1, 0, "qemu-io -f raw -c 'write 0 512' %s",
		  "Failed to get \"write\" lock" },
		{ 0, 0, 1, 0, "qemu-io -f raw -r -c 'read 0 512' %s", NULL },	/* it lets us */
		{ 0, 0, 1, 0, "qemu-img info %s", NULL },
		{ 0, 0, 1, 0, "qemu-img resize -f raw %s 8192", "Failed to get \"write\" lock" },
		{ 1, 0, 1, 0, "qemu-io -f raw -c 'write 0 512' %s",
		  "Failed to get \"write\" lock" },
		{ 1, 0, 1, 0, "qemu-io -f raw -r -c 'read 0 512' %s", NULL },
		{ 1, 0, 1, 0, "qemu-img info %s", NULL },
		{ 1, 0, 1, 0, "qemu-img resize -f raw %s 8192", "Failed to get \"write\" lock" },
		{ 1, 1, 1, 0, "qemu-io -f raw -c 'write 0 512' %s", NULL },
		{ 1, 1, 0, 0, "qemu-img resize -f raw %s 8192", "Failed to get \"resize\" lock" },
		{ 0, 0, 1, 1, "qemu-io -f raw -c 'write 0 512' %s", NULL },
	};
	g_autofree char *path = make_file("locked", "", 0, 4096);

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		const struct image_options options = {
			.path = path, .format = "raw", .readonly = rows[i].readonly,
			.share_rw = rows[i].share_rw, .resizable = rows[i].resizable,
			.no_lock = rows[i].no_lock,
		};
		struct image image;
		g_autoptr(GError) error = NULL;

		image_open(&options, &image, &error);
		g_assert_no_error(error);
		expect_qemu(path, rows[i].command, rows[i].refusal);
		close(image.fd);
		expect_qemu(path, "qemu-io -f raw -c 'write 0 512' %s", NULL);
	}
}

struct child {
	GPid pid;
	int in, out;
};

static bool start_child(struct child *child, const char *line)
{
	g_auto(GStrv) argv = NULL;

	g_assert_true(g_shell_parse_argv(line, NULL, &argv, NULL));
	return g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_SEARCH_PATH |
					G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &child->pid,
					&child->in, &child->out, NULL, NULL);
}

/* Reads what the child prints until @text came. */
static void wait_for(struct child *child, const char *text)
{
	g_autoptr(GString) seen = g_string_new(NULL);
	char c;

	while (!strstr(seen->str, text)) {
		g_assert_cmpint(fd_read_all(child->out, &c, 1), ==, 0);
		g_string_append_c(seen, c);
	}
}

static void stop_child(struct child *child)
{
	close(child->in);
	g_assert_cmpint(waitpid(child->pid, NULL, 0), ==, child->pid);
	close(child->out);
}

/* qemu-io writes, but lets others do all; QEMU's own disk does not. */
static void test_we_refuse_qemu_io(void)
{
	g_autofree char *path = make_file("held", "", 0, 4096);
	g_autofree char *rw_line = g_strdup_printf("qemu-io -f raw %s", path);
	g_autofree char *ro_line = g_strdup_printf("qemu-io -f raw -r %s", path);
	const struct image_options rw = { .path = path, .format = "raw", .resizable = true };
	struct image_options ro = rw;
	struct image image;
	struct child child;

	ro.readonly = true;
	if (!start_child(&child, rw_line)) {
		g_test_skip("no qemu-io");
		return;
	}
	wait_for(&child, "qemu-io> ");
	expect_refused(&rw, "Failed to get shared \"write\" lock");
	expect_refused(&ro, "Failed to get shared \"write\" lock: Is another process using the "
		       "image [");
	stop_child(&child);
	g_assert_true(start_child(&child, ro_line));
	wait_for(&child, "qemu-io> ");
	g_assert_true(image_open(&ro, &image, NULL));
	close(image.fd);
	stop_child(&child);
	g_assert_true(image_open(&rw, &image, NULL));
	close(image.fd);
}

static void test_we_refuse_qemu(void)
{
	static const struct { const char *option; const char *rw, *ro; } rows[] = {
		{ "", "Failed to get \"write\" lock", "Failed to get shared \"write\" lock" },
		{ ",readonly=on", "Failed to get \"write\" lock", NULL },
	};
	g_autofree char *path = make_file("vm", "", 0, 4096);

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		const struct image_options rw = { .path = path, .format = "raw",
						  .resizable = true };
		g_autofree char *line = g_strdup_printf(
			"qemu-system-x86_64 -S -accel tcg -nodefaults -display none -qmp stdio "
			"-device lsi53c895a -drive if=none,id=d,format=raw,file=%s%s "
			"-device scsi-hd,drive=d", path, rows[i].option);
		struct image_options ro = rw;
		struct image image;
		struct child child;

		ro.readonly = true;
		if (!start_child(&child, line)) {
			g_test_skip("no qemu-system-x86_64");
			return;
		}
		fd_write_all(child.in, "{'execute':'qmp_capabilities'}", 30);
		wait_for(&child, "{\"return\"");
		expect_refused(&rw, rows[i].rw);
		if (rows[i].ro)
			expect_refused(&ro, rows[i].ro);
		else
			g_assert_true(image_open(&ro, &image, NULL) && close(image.fd) == 0);
		g_assert_cmpint(fd_write_all(child.in, "{'execute':'quit'}", 18), ==, 0);
		stop_child(&child);
		g_assert_true(image_open(&rw, &image, NULL) && close(image.fd) == 0);
	}
}

/* The lock is the open file's: it ends with the last dup, and a refused one leaves nothing. */
static void test_locks_are_the_files(void)
{
	g_autofree char *path = make_file("dups", "", 0, 4096);
	const struct image_options rw = { .path = path, .format = "raw" };
	struct image a, b;
	int kept, sync[2];
	char byte;
	pid_t pid;

	g_assert_true(image_open(&rw, &a, NULL));
	expect_refused(&rw, "Failed to get \"write\" lock");
	kept = dup(a.fd);
	close(a.fd);
	expect_refused(&rw, "Failed to get \"write\" lock");
	g_assert_cmpint(pipe(sync), ==, 0);
	pid = fork();
	if (pid == 0) {		/* holds it alone after us, until the pipe closes */
		close(sync[1]);
		_exit(read(sync[0], &byte, 1) != 0);
	}
	close(sync[0]);
	close(kept);
	expect_refused(&rw, "Failed to get \"write\" lock");
	close(sync[1]);
	g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
	g_assert_true(image_open(&rw, &b, NULL));
	close(b.fd);
}

int main(int argc, char **argv)
{
	g_autofree char *clean = NULL;
	bool ok;
	int ret;

	g_test_init(&argc, &argv, NULL);
	dir = g_dir_make_tmp("test-block-image-XXXXXX", NULL);
	g_assert_nonnull(dir);
	g_test_add_func("/image/refused", test_refused);
	g_test_add_func("/image/probe", test_probe);
	g_test_add_func("/image/opened", test_opened);
	g_test_add_func("/image/auto-readonly", test_auto_readonly);
	g_test_add_func("/image/locks-are-the-files", test_locks_are_the_files);
	g_test_add_func("/image/qemu-refuses", test_qemu_refuses);
	g_test_add_func("/image/we-refuse-qemu-io", test_we_refuse_qemu_io);
	g_test_add_func("/image/we-refuse-qemu", test_we_refuse_qemu);
	ret = g_test_run();
	clean = g_strdup_printf("rm -rf %s", dir);
	g_free(run(&ok, clean));
	g_free(dir);
	return ret;
}
