/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images that need a storage daemon, or an NBD server: opened as the keeper does, then used. */
#include "applets/remote/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/remote/images.h"
#include "applets/remote/storage-priv.h"
#include "base/error.h"
#include "base/fd.h"
#include "block/block.h"
#include "block/nbd.h"
#include "event/loop.h"
#include "sandbox/landlock.h"

#define MIB (1u << 20)

/*
 * A LUKS image.  QEMU gives up on a CPU whose time it cannot measure ("Unable to get accurate CPU
 * usage"): it is asked again.
 */
#define LUKS(secret) "for i in 1 2 3 4 5 6 7 8; do qemu-img create -f luks --object secret,id=s," \
	secret " -o key-secret=s,iter-time=100 img 4M && break; done"

static char *dir;

/* Runs a shell command in the test's directory. */
static bool sh(const char *fmt, ...)
{
	g_autofree char *command = NULL, *line = NULL, *quoted = NULL;
	g_autofree char *out = NULL, *err = NULL;
	va_list ap;
	int status;

	va_start(ap, fmt);
	command = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	quoted = g_shell_quote(command);
	line = g_strdup_printf("sh -ec %s", quoted);
	g_assert_true(g_spawn_command_line_sync(line, &out, &err, &status, NULL));
	if (status)
		g_test_message("%s: %s%s", command, out, err);
	return status == 0;
}

struct fixture {
	struct remote_plan plan;
	struct images *images;
	struct loop *loop;
	struct block *block;
	char buf[8192];
};

/* The plan of a remote with one disk on -drive if=none,id=d,@drive (or other options). */
static bool parse(struct fixture *f, const char *drive, GError **error)
{
	g_autofree char *line = g_strdup_printf("mpqemu-remote -machine x-remote "
		"-device lsi53c895a,id=l -object x-remote-object,id=o,devid=l,fd=3 %s%s "
		"-device scsi-hd,drive=d,bus=l.0", drive[0] == '-' ? "" : "-drive if=none,id=d,",
		drive);
	g_auto(GStrv) argv = NULL;
	int argc;

	memset(f, 0, sizeof(*f));
	g_assert_true(g_shell_parse_argv(line, &argc, &argv, NULL));
	return remote_plan_parse(argc, argv, &f->plan, error);
}

static void open_images(struct fixture *f, const char *drive)
{
	g_autoptr(GError) error = NULL;
	struct block_nbd_config config = { 0 };
	struct spec_image *spec;
	char why[200];

	parse(f, drive, &error);
	g_assert_no_error(error);
	images_open(&f->plan, &f->images, &error);
	g_assert_no_error(error);
	spec = &f->plan.spec->disk[0].image;
	g_assert_cmpint(spec->kind, ==, SPEC_IMAGE_NBD);
	f->loop = loop_create(-1);
	config.fd = dup(images_fds(f->images)[0]);
	config.export_name = spec->export_name;
	config.readonly = spec->readonly;
	config.discard = spec->discard;
	config.probed_raw = spec->probed_raw;
	if (nbd_block_load(g_getenv("MPQEMU_NBD_MODULE"), f->loop, &config, &f->block, why,
			   sizeof(why)))
		g_error("%s", why);
}

static void finish(struct fixture *f)
{
	block_close(f->block);
	loop_destroy(f->loop);
	images_close(f->images);
	remote_plan_finish(&f->plan);
	/* no process and no name is left behind */
	g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
	g_assert_cmpint(errno, ==, ECHILD);
	g_assert_true(sh("test -z \"$(ls $XDG_RUNTIME_DIR)\""));
}

static void on_done(struct block_req *req, int ret)
{
	*(int *)req->opaque = ret;
}

static int io(struct fixture *f, enum block_op op, uint64_t off, size_t len)
{
	int ret = 1;
	struct block_req req = { .op = op, .off = off, .len = len, .buf = f->buf,
				 .done = on_done, .opaque = &ret };

	block_submit(f->block, &req);
	while (ret == 1)
		g_assert_cmpint(loop_step(f->loop, 10000), ==, 0);
	return ret;
}

static void expect(struct fixture *f, uint64_t off, char byte)
{
	memset(f->buf, ~byte, sizeof(f->buf));
	g_assert_cmpint(io(f, BLOCK_READ, off, sizeof(f->buf)), ==, 0);
	for (size_t i = 0; i < sizeof(f->buf); i++)
		g_assert_cmpint(f->buf[i], ==, byte);
}

static void expect_refused(const char *drive, const char *what)
{
	g_autoptr(GError) error = NULL;
	struct fixture f;

	if (parse(&f, drive, &error))
		g_assert_false(images_open(&f.plan, &f.images, &error));
	g_assert_nonnull(error);
	if (!strstr(error->message, what))
		g_error("'%s' does not say '%s'", error->message, what);
	g_assert_null(strchr(error->message, '\n'));
	g_assert_true(g_str_has_prefix(error->message, "-"));
	remote_plan_finish(&f.plan);
	g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
	g_assert_true(sh("test -z \"$(ls run)\""));
}

static void make_chain(void)
{
	g_assert_true(sh("rm -f base.raw mid.qcow2 top.qcow2; truncate -s 4M base.raw; "
			 "qemu-io -f raw -c 'write -P 0x11 0 4M' base.raw; "
			 "qemu-img create -f qcow2 -b base.raw -F raw mid.qcow2; "
			 "qemu-io -c 'write -P 0x22 1M 1M' mid.qcow2; "
			 "qemu-img create -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2"));
}

static void test_refused(void)
{
	expect_refused("file=nope,format=qcow2", "Could not open 'nope': No such file");
	expect_refused("file=nope", "Could not open 'nope': No such file");
	g_assert_true(sh("head -c 65536 /dev/urandom >junk; truncate -s 1M zero"));
	expect_refused("file=junk,format=qcow2", "Image is not in qcow2 format");
	expect_refused("file=zero,format=vmdk", "invalid VMDK image descriptor");
	make_chain();
	g_assert_true(sh("rm base.raw"));
	expect_refused("file=top.qcow2", "No such file or directory");
	g_assert_true(sh("qemu-img create -f qcow2 -u -b nbd://localhost/x -F raw far.qcow2 1M"));
	expect_refused("file=far.qcow2,format=qcow2", "far.qcow2");
	expect_refused("file=nbd:unix:nosuch.sock,format=raw",
		       "Failed to connect to 'nosuch.sock'");
	expect_refused("file=nbd:unix:nosuch.sock", "nosuch.sock");
}

/* Reads come from the whole chain, also under a relative name; writes go to the top alone. */
static void test_chain(void)
{
	static const char *const drives[] = {
		"file=top.qcow2", "file=top.qcow2,format=qcow2,cache=none",
		"-blockdev driver=file,filename=top.qcow2,node-name=f "
		"-blockdev driver=qcow2,file=f,node-name=d",
		"-blockdev '{\"driver\":\"qcow2\",\"node-name\":\"d\",\"file\":{"
		"\"driver\":\"file\",\"filename\":\"top.qcow2\"}}'",
	};
	struct fixture f;

	for (unsigned i = 0; i < G_N_ELEMENTS(drives); i++) {
		make_chain();
		open_images(&f, drives[i]);
		g_assert_cmpuint(f.block->size, ==, 4 * MIB);
		expect(&f, 0, 0x11);
		expect(&f, MIB, 0x22);
		memset(f.buf, 0x33, sizeof(f.buf));
		g_assert_cmpint(io(&f, BLOCK_WRITE, 2 * MIB, sizeof(f.buf)), ==, 0);
		g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0), ==, 0);
		expect(&f, 2 * MIB, 0x33);
		/* QEMU's tools see that it is in use */
		g_assert_false(sh("qemu-io -c 'write 0 512' top.qcow2"));
		finish(&f);
		g_assert_true(sh("qemu-io -c 'read -P 0x33 2M 8k' -c 'read -P 0x22 1M 1M' "
				 "top.qcow2 >out; ! grep 'Pattern verification failed' out"));
		g_assert_true(sh("qemu-img check top.qcow2"));
		g_assert_true(sh("test $(tr -d '\\021' <base.raw | wc -c) = 0"));
	}
}

static void test_other_formats(void)
{
	static const struct { const char *create, *drive; } rows[] = {
		{ "qemu-img create -f vdi img 4M", "file=img" },
		{ "qemu-img create -f vmdk -o subformat=monolithicFlat img.vmdk 4M",
		  "file=img.vmdk,format=vmdk" },
		{ "qemu-img create -f qcow2 -o data_file=data.raw img 4M",
		  "file=img,format=qcow2,data-file.driver=file,data-file.filename=data.raw" },
		{ "qemu-img create -f qcow2 -o data_file=data.raw img 4M",
		  "-blockdev driver=file,node-name=e,filename=data.raw -blockdev driver=qcow2,"
		  "node-name=d,file.driver=file,file.filename=img,data-file=e" },
		{ LUKS("data=x"), "-object secret,id=s,data=x "
		  "-drive if=none,id=d,file=img,format=luks,key-secret=s" },
		{ "truncate -s 5M img", "-blockdev driver=raw,node-name=d,offset=1048576,"
		  "size=4194304,file.driver=file,file.filename=img" },
	};
	struct fixture f;

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_assert_true(sh("rm -f img* data.raw; %s", rows[i].create));
		open_images(&f, rows[i].drive);
		g_assert_cmpuint(f.block->size, ==, 4 * MIB);
		memset(f.buf, 0x44, sizeof(f.buf));
		g_assert_cmpint(io(&f, BLOCK_WRITE, MIB, sizeof(f.buf)), ==, 0);
		g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0), ==, 0);
		expect(&f, MIB, 0x44);
		finish(&f);
	}
}

/* ---- What a header may name ---- */

/* `nbdkit file @image` on a TCP port of 127.0.0.1: the first one that is free. */
static int serve_tcp(const char *image)
{
	g_autofree char *port = NULL;

	g_assert_true(sh("rm -f port; for port in $(seq %d 100 65000); do "
			 "if nbdkit -i 127.0.0.1 -p $port -P tcp.pid file %s; then "
			 "echo $port >port; break; fi; done", 20000 + getpid() % 100, image));
	g_assert_true(g_file_get_contents("port", &port, NULL, NULL));
	return atoi(port);
}

/* Refused at each level with a sandbox, and the file is none of the daemon's. */
static void expect_refused_everywhere(const char *options, const char *what)
{
	static const char *const levels[] = { "strict", "container", "seccomp-only" };

	for (size_t i = 0; i < G_N_ELEMENTS(levels); i++) {
		g_autofree char *all = g_strdup_printf("--sandbox=%s %s", levels[i], options);

		expect_refused(all, what);
	}
}

#define NOT_BESIDE "is not a file in the folder of that image; name the chain with backing="

/* A backing file lies beside the image or below, wherever links lead to. */
static void test_header_backing(void)
{
	static const char *const away[] = {
		"/etc/hostname", "../secret", "sub/../../secret", "link", "sub/link", "dev", "sub",
	};
	struct fixture f;

	g_assert_true(sh("rm -rf home secret; mkdir -p home/sub; truncate -s 1M secret; "
			 "qemu-io -f raw -c 'write -P 0x11 0 1M' secret; cp secret home/sub/base; "
			 "cd home; ln -s ../secret link; ln -s ../../secret sub/link; "
			 "ln -s /dev/zero dev; ln -s sub/base in"));
	for (size_t i = 0; i < G_N_ELEMENTS(away); i++) {
		g_assert_true(sh("qemu-img create -f qcow2 -u -b %s -F raw home/img 1M", away[i]));
		expect_refused("file=home/img", NOT_BESIDE);
	}
	/* the level below the first one, too */
	g_assert_true(sh("mv home/img home/mid; qemu-img create -f qcow2 -u -b /etc/hostname "
			 "-F raw home/mid 1M; qemu-img create -f qcow2 -u -b mid -F qcow2 home/img "
			 "1M"));
	expect_refused_everywhere("-drive if=none,id=d,file=home/img", NOT_BESIDE);
	g_assert_true(sh("qemu-img create -f qcow2 -u -b img -F qcow2 home/img 1M"));
	expect_refused("file=home/img", "has no end");
	g_assert_true(sh("qemu-img create -f qcow2 -u -b sub/base -F vvfat home/img 1M"));
	expect_refused("file=home/img", "is of format 'vvfat'");
	/* beside it, below, or named by the user */
	g_assert_true(sh("qemu-img create -f qcow2 -u -b in -F raw home/img 1M"));
	open_images(&f, "file=home/img");
	expect(&f, 0, 0x11);
	finish(&f);
	g_assert_true(sh("qemu-img create -f qcow2 -u -b /etc/hostname -F raw home/img 1M"));
	open_images(&f, "file=home/img,format=qcow2,backing.driver=raw,backing.file.driver=file,"
		    "backing.file.filename=secret");
	expect(&f, 0, 0x11);
	finish(&f);
	/* --sandbox=off: as QEMU does */
	g_assert_true(sh("qemu-img create -f qcow2 -u -b ../secret -F raw home/img 1M"));
	open_images(&f, "--sandbox=off -drive if=none,id=d,file=home/img");
	expect(&f, 0, 0x11);
	finish(&f);
}

/* Files that would be written to: the user names them. */
static void test_header_data_file(void)
{
	struct fixture f;

	g_assert_true(sh("rm -rf home secret; mkdir home; qemu-img create -f qcow2 "
			 "-o data_file=$PWD/secret home/img 4M"));
	expect_refused_everywhere("-drive if=none,id=d,file=home/img", "name that with data-file=");
	g_assert_true(sh("qemu-img create -f qcow2 -u -b img -F qcow2 home/top 4M"));
	expect_refused_everywhere("-drive if=none,id=d,file=home/top", "name that with data-file=");
	open_images(&f, "--sandbox=off -drive if=none,id=d,file=home/img");
	g_assert_cmpuint(f.block->size, ==, 4 * MIB);
	finish(&f);
}

/* VMDK: data in files beside it. */
static void test_header_extents(void)
{
	g_assert_true(sh("rm -rf home secret; mkdir home; truncate -s 4M secret; "
			 "qemu-img create -f vmdk -o subformat=monolithicFlat home/i.vmdk 4M; "
			 "cp home/i.vmdk home/j.vmdk; "
			 "sed -i 's#\"i-flat.vmdk\"#\"../secret\"#' home/j.vmdk; "
			 "grep -q '../secret' home/j.vmdk"));
	expect_refused_everywhere("-drive if=none,id=d,file=home/j.vmdk,format=vmdk", NOT_BESIDE);
	/* where only QEMU reads it so, it is not in the jail */
	g_assert_true(sh("sed -i '1s/^/#\\n/' home/j.vmdk"));
	expect_refused_everywhere("-drive if=none,id=d,file=home/j.vmdk,format=vmdk",
				  "Could not open");
}

/* What qemu-img says of @name, when it is told to look at @path. */
static char *header_error(enum sandbox_level level, const char *name, const char *path)
{
	struct storage_source source = {
		.level = level, .name = g_strdup(name), .path = g_strdup(path),
	};
	g_autoptr(GError) error = NULL;
	struct storage_header header;

	storage_graph_init(&source.graph);
	source.graph.features = FILTER_OFFLINE;
	storage_graph_add_file(&source.graph, path, false);
	g_assert_false(storage_header_read(&source, NULL, &header, &error));
	storage_source_finish(&source);
	g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
	return g_strdup(error->message);
}

/* Headers are read in a jail: no server, no other file. */
static void test_header_jail(void)
{
	g_autofree char *server = NULL;
	int port;

	g_assert_true(sh("rm -f img far other; truncate -s 4M img other"));
	port = serve_tcp("img");
	server = g_strdup_printf("nbd:127.0.0.1:%d", port);
	g_assert_true(sh("qemu-img info %s", server));
	g_assert_true(sh("qemu-img create -f qcow2 -u -b nbd://127.0.0.1:%d -F raw far 1M", port));
	expect_refused_everywhere("-drive if=none,id=d,file=far", "is not a local file");
	for (unsigned level = SANDBOX_STRICT; level < SANDBOX_OFF; level++) {
		g_autofree char *net = header_error(level, server, "img");
		g_autofree char *file = header_error(level, "other", "img");

		/* SIGSYS */
		g_assert_nonnull(strstr(net, "signal 31"));
		if (level == SANDBOX_STRICT || sandbox_landlock_abi())
			g_assert_nonnull(strstr(file, "Could not open 'other'"));
	}
	g_assert_true(sh("kill $(cat tcp.pid)"));
}

static void test_readonly(void)
{
	struct fixture f;

	make_chain();
	g_assert_true(sh("chmod a-w top.qcow2"));
	open_images(&f, "file=top.qcow2,readonly=on");
	g_assert_true(f.block->readonly);
	expect(&f, MIB, 0x22);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 512), ==, -EROFS);
	finish(&f);
}

static void test_locked(void)
{
	static struct fixture f, g;
	g_autoptr(GError) error = NULL;

	make_chain();
	open_images(&f, "file=top.qcow2");
	g_assert_true(parse(&g, "file=top.qcow2", NULL));
	g_assert_false(images_open(&g.plan, &g.images, &error));
	g_assert_nonnull(strstr(error->message, "lock: Is another process using the image "
				"[top.qcow2]?"));
	remote_plan_finish(&g.plan);
	finish(&f);
}

static void test_nbd_direct(void)
{
	struct fixture f;

	g_assert_true(sh("nbdkit -U nbd.sock -P nbd.pid memory 4M"));
	open_images(&f, "file=nbd:unix:nbd.sock,format=raw");
	memset(f.buf, 0x55, sizeof(f.buf));
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, sizeof(f.buf)), ==, 0);
	expect(&f, 0, 0x55);
	finish(&f);
	/* guessed to be raw: guarded */
	open_images(&f, "file=nbd+unix:///?socket=nbd.sock");
	expect(&f, 0, 0x55);
	memcpy(f.buf, "QFI\xfb\0\0\0\3", 8);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, sizeof(f.buf)), ==, -EPERM);
	finish(&f);
	g_assert_true(sh("kill $(cat nbd.pid)"));
}

/* ---- What the daemon's sandbox must not take away ---- */

/* Opens, writes, reads again, and ends. */
static void expect_usable(const char *drive)
{
	struct fixture f;

	open_images(&f, drive);
	memset(f.buf, 0x66, sizeof(f.buf));
	g_assert_cmpint(io(&f, BLOCK_WRITE, MIB, sizeof(f.buf)), ==, 0);
	g_assert_cmpint(io(&f, BLOCK_FLUSH, 0, 0), ==, 0);
	expect(&f, MIB, 0x66);
	finish(&f);
}

/* The same at each level that has a sandbox. */
static void expect_usable_everywhere(const char *options)
{
	static const char *const levels[] = { "strict", "container", "seccomp-only" };

	for (size_t i = 0; i < G_N_ELEMENTS(levels); i++) {
		g_autofree char *all = g_strdup_printf("--sandbox=%s %s", levels[i], options);

		expect_usable(all);
	}
}

/* What the kernel says of our only child: @file of its /proc, or where the link leads to. */
static char *child_proc(const char *file)
{
	g_autofree char *list = g_strdup_printf("/proc/self/task/%d/children", getpid());
	g_autofree char *pid = NULL, *path = NULL;
	char *text;

	g_assert_true(g_file_get_contents(list, &pid, NULL, NULL));
	path = g_strdup_printf("/proc/%s/%s", g_strstrip(pid), file);
	text = g_file_read_link(path, NULL);
	if (!text)
		g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	return text;
}

/* The real daemon, seen from outside while it serves. */
static void test_inside(void)
{
	static const char *const namespaces[] = { "user", "mnt", "pid", "net", "ipc", "uts",
						  "cgroup" };
	g_autofree char *status = NULL;
	struct fixture f;

	make_chain();
	open_images(&f, "file=top.qcow2");
	status = child_proc("status");
	g_assert_nonnull(strstr(status, "\nNoNewPrivs:\t1\n"));
	g_assert_nonnull(strstr(status, "\nSeccomp:\t2\n"));
	g_assert_nonnull(strstr(status, geteuid() ? "\nCapBnd:\t0000000000000000\n" :
				"\nCapBnd:\t0000000000000002\n"));
	/* It is not dumpable: nobody but root may look. */
	for (size_t i = 0; geteuid() == 0 && i < G_N_ELEMENTS(namespaces); i++) {
		g_autofree char *file = g_strdup_printf("ns/%s", namespaces[i]);
		g_autofree char *own = g_strdup_printf("/proc/self/%s", file);
		g_autofree char *ours = g_file_read_link(own, NULL), *its = child_proc(file);

		g_assert_cmpstr(ours, !=, its);
	}
	finish(&f);
}

/* No sandbox has an io_uring: who asks for one gets threads. */
static void test_levels(void)
{
	make_chain();
	expect_usable_everywhere("-drive if=none,id=d,file=top.qcow2,aio=io_uring");
	expect_usable_everywhere("-drive if=none,id=d,file=top.qcow2,cache=none,aio=native");
	expect_usable("--sandbox=off -drive if=none,id=d,file=top.qcow2");
}

/* Without its module a daemon starts at no level that promises a filter. */
static void test_no_module(void)
{
	g_autofree char *module = g_strdup(g_getenv(SANDBOX_PRELOAD_ENV));

	make_chain();
	g_setenv(SANDBOX_PRELOAD_ENV, "/nosuch.so", true);
	expect_refused("file=top.qcow2", "--sandbox=strict: the module with the system-call "
		       "filter of storage daemons, mpqemu-preload.so, is missing");
	expect_usable("--sandbox=off -drive if=none,id=d,file=top.qcow2");
	g_setenv(SANDBOX_PRELOAD_ENV, module, true);
}

/* Absolute paths, symbolic links, another folder; backing files are looked for beside the link. */
static void test_paths(void)
{
	g_autofree char *absolute = g_strdup_printf("file=%s/real/top.qcow2", dir);

	make_chain();
	g_assert_true(sh("rm -rf real links; mkdir -p real links/deep; "
			 "mv base.raw mid.qcow2 top.qcow2 real; "
			 "ln -s ../real/top.qcow2 ../real/mid.qcow2 ../real/base.raw links; "
			 "ln -s ../../real links/deep/er"));
	expect_usable(absolute);
	expect_usable("file=links/top.qcow2");
	expect_usable("file=links/deep/er/top.qcow2");
	expect_usable("file=./links//../links/deep/../top.qcow2");
	g_assert_cmpint(chdir("links/deep"), ==, 0);
	expect_usable("file=../top.qcow2");
	g_assert_cmpint(chdir(dir), ==, 0);
}

/* A secret in a file, which the daemon reads. */
static void test_secret_file(void)
{
	g_assert_true(sh("printf x >key; rm -f img; " LUKS("file=key")));
	expect_usable("-object secret,id=s,file=key "
		      "-drive if=none,id=d,file=img,format=luks,key-secret=s");
}

/* Root may open what belongs to others, in a user namespace too. */
static void test_other_user(void)
{
	if (geteuid() != 0) {
		g_test_skip("needs root: gives files to another user");
		return;
	}
	make_chain();
	g_assert_true(sh("chown 12345:12345 *.qcow2 base.raw; chmod 600 *.qcow2; "
			 "chmod 400 base.raw"));
	expect_usable_everywhere("-drive if=none,id=d,file=top.qcow2");
}

static void test_block_device(void)
{
	g_autofree char *options = NULL, *name = NULL;
	autofd device = -1;

	g_assert_true(sh("rm -f img; qemu-img create -f qcow2 img 4M; truncate -s 8M img"));
	if (!sh("losetup -f --show img >loop")) {
		g_test_skip("needs root, and a host that lets it make a loop device");
		return;
	}
	g_assert_true(g_file_get_contents("loop", &name, NULL, NULL));
	g_strstrip(name);
	/* gone with our last use of it, however the test ends */
	device = open(name, O_RDONLY | O_CLOEXEC);
	g_assert_true(sh("losetup -d %s", name));
	options = g_strdup_printf("-drive if=none,id=d,file=%s,format=qcow2", name);
	expect_usable_everywhere(options);
}

/* A format on top of a server: the daemon has a network then, or that one socket. */
static void test_nbd_below(void)
{
	g_autofree char *tcp = NULL;

	g_assert_true(sh("rm -f img; qemu-img create -f qcow2 img 4M; truncate -s 8M img"));
	tcp = g_strdup_printf("-blockdev driver=qcow2,node-name=d,file.driver=nbd,"
			      "file.server.type=inet,file.server.host=127.0.0.1,"
			      "file.server.port=%d", serve_tcp("img"));
	expect_usable_everywhere(tcp);
	g_assert_true(sh("kill $(cat tcp.pid)"));

	g_assert_true(sh("rm -f img2 below.sock; qemu-img create -f qcow2 img2 4M; "
			 "truncate -s 8M img2; nbdkit -U below.sock -P below.pid file img2"));
	expect_usable_everywhere("-blockdev driver=qcow2,node-name=d,file.driver=nbd,"
				 "file.server.type=unix,file.server.path=below.sock");
	g_assert_true(sh("kill $(cat below.pid)"));
}

/* Nothing but what was named can be opened. */
static void test_jail(void)
{
	struct storage_graph graph = { .files = g_ptr_array_new(), .features = FILTER_OFFLINE };
	g_autofree char *program = g_find_program_in_path("qemu-storage-daemon");
	g_auto(GStrv) argv = g_strsplit(program, "|", 0);
	g_autoptr(GPtrArray) all = g_ptr_array_new();
	g_autoptr(GError) error = NULL;
	struct storage_jail jail;
	struct storage *s = NULL;
	autofd listen_fd = -1;
	autofd client_fd = -1;
	autofd place = -1;
	char options[] = "driver=file,filename=zero,node-name=d", option[] = "--blockdev";

	g_assert_true(sh("truncate -s 1M zero"));
	g_assert_true(storage_jail_make(SANDBOX_SECCOMP_ONLY, &graph, NULL, NULL, program, &jail,
					NULL));
	if (jail.ruleset < 0) {
		g_test_skip("no Landlock");
	} else {
		g_ptr_array_add(all, argv[0]);
		g_ptr_array_add(all, option);
		g_ptr_array_add(all, options);
		g_ptr_array_add(all, NULL);
		g_assert_true(storage_socket_pair(&listen_fd, &client_fd, &place, NULL));
		g_assert_false(storage_spawn((char **)all->pdata, &jail, listen_fd, client_fd,
					     false, &s, &error));
		g_assert_cmpstr(error->message, ==, "Could not open 'zero': Permission denied");
	}
	storage_jail_finish(&jail);
	g_ptr_array_unref(graph.files);
}

/* A keeper that is killed takes its daemon along. */
static void test_keeper_killed(void)
{
	struct fixture f;
	int ready[2], status;
	char byte;
	pid_t pid;

	make_chain();
	g_assert_cmpint(prctl(PR_SET_CHILD_SUBREAPER, 1), ==, 0);
	g_assert_cmpint(pipe(ready), ==, 0);
	pid = fork();
	if (pid == 0) {
		open_images(&f, "file=top.qcow2");
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	g_assert_cmpint(fd_read_all(ready[0], &byte, 1), ==, 0);
	g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, 0);
	kill(pid, SIGKILL);
	g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
	/* the orphan is ours now; the guard against hanging is the test's time-out */
	pid = waitpid(-1, &status, 0);
	g_assert_cmpint(pid, >, 0);
	g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	g_assert_cmpint(prctl(PR_SET_CHILD_SUBREAPER, 0), ==, 0);
	close(ready[0]);
	close(ready[1]);
	g_assert_true(sh("test -z \"$(ls run)\" && qemu-img check top.qcow2"));
}

/* A daemon that is gone is a disk that is gone. */
static void test_daemon_killed(void)
{
	g_autoptr(GError) error = NULL;
	autofd place = -1;
	struct storage *s = NULL;
	struct block_nbd_config config = { .export_name = "disk" };
	struct fixture f;
	char why[200];

	make_chain();
	g_assert_true(parse(&f, "file=top.qcow2,format=qcow2", NULL));
	storage_open(&f.plan, &f.plan.image[0], &f.plan.spec->disk[0].image, &config.fd, &place, &s,
		     &error);
	g_assert_no_error(error);
	f.loop = loop_create(-1);
	g_assert_cmpint(nbd_block_load(g_getenv("MPQEMU_NBD_MODULE"), f.loop, &config, &f.block,
				       why, sizeof(why)), ==, 0);
	expect(&f, 0, 0x11);
	g_assert_cmpint(syscall(SYS_pidfd_send_signal, storage_pidfd(s), SIGKILL, NULL, 0), ==, 0);
	while (io(&f, BLOCK_READ, 0, 512) == 0)
		;
	g_assert_cmpint(io(&f, BLOCK_READ, 0, 512), ==, -EIO);
	g_assert_cmpint(io(&f, BLOCK_WRITE, 0, 512), ==, -EIO);
	storage_stop(s);
	finish(&f);
}

static void test_no_tools(void)
{
	g_test_skip("no qemu-storage-daemon, qemu-img, qemu-io or nbdkit");
}

static void test_no_pidfd(void)
{
	g_test_skip("no pidfd_open here: valgrind 3.19");
}

static bool has_pidfd(void)
{
	autofd fd = syscall(SYS_pidfd_open, getpid(), 0);

	return fd >= 0;
}

static void add_tests(void)
{
	g_test_add_func("/storage/refused", test_refused);
	g_test_add_func("/storage/jail", test_jail);
	g_test_add_func("/storage/locked", test_locked);
	g_test_add_func("/storage/daemon-killed", test_daemon_killed);
	g_test_add_func("/storage/chain", test_chain);
	g_test_add_func("/storage/nbd-direct", test_nbd_direct);
	g_test_add_func("/storage/other-user", test_other_user);
	g_test_add_func("/storage/block-device", test_block_device);
}

/* Those in which it makes a difference who the user is. */
static void add_sandbox_tests(void)
{
	g_test_add_func("/storage/keeper-killed", test_keeper_killed);
	g_test_add_func("/storage/readonly", test_readonly);
	g_test_add_func("/storage/other-formats", test_other_formats);
	g_test_add_func("/storage/header/backing", test_header_backing);
	g_test_add_func("/storage/header/data-file", test_header_data_file);
	g_test_add_func("/storage/header/extents", test_header_extents);
	g_test_add_func("/storage/header/jail", test_header_jail);
	g_test_add_func("/storage/sandbox/inside", test_inside);
	g_test_add_func("/storage/sandbox/levels", test_levels);
	g_test_add_func("/storage/sandbox/no-module", test_no_module);
	g_test_add_func("/storage/sandbox/paths", test_paths);
	g_test_add_func("/storage/sandbox/secret-file", test_secret_file);
	g_test_add_func("/storage/sandbox/nbd-below", test_nbd_below);
}

static void become_nobody(void)
{
	const gid_t nobody = 65534;

	if (geteuid() != 0)
		return;
	g_assert_cmpint(setgroups(0, NULL), ==, 0);
	g_assert_cmpint(setresgid(nobody, nobody, nobody), ==, 0);
	g_assert_cmpint(setresuid(nobody, nobody, nobody), ==, 0);
	/* As after an execve(): the files of our children in /proc are ours. */
	g_assert_cmpint(prctl(PR_SET_DUMPABLE, 1), ==, 0);
}

int main(int argc, char **argv)
{
	g_autofree char *run = NULL;
	int ret;

	g_test_init(&argc, &argv, NULL);
	if (argc > 1 && !strcmp(argv[1], "nobody"))
		become_nobody();
	dir = g_dir_make_tmp("test-storage-XXXXXX", NULL);
	g_assert_cmpint(chdir(dir), ==, 0);
	run = g_build_filename(dir, "run", NULL);
	g_assert_cmpint(g_mkdir(run, 0700), ==, 0);
	g_setenv("XDG_RUNTIME_DIR", run, true);
	if (!sh("command -v qemu-storage-daemon qemu-img qemu-io nbdkit")) {
		g_test_add_func("/storage/no-tools", test_no_tools);
	} else if (!has_pidfd()) {
		g_test_add_func("/storage/no-pidfd", test_no_pidfd);
	} else {
		if (geteuid() == 0 || argc < 2)
			add_tests();
		add_sandbox_tests();
	}
	ret = g_test_run();
	g_assert_cmpint(chdir("/"), ==, 0);
	sh("rm -rf %s", dir);
	g_free(dir);
	return ret;
}
