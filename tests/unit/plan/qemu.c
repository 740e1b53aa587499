/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The same bad option to QEMU and to mpqemu-remote: the same words come out.  Needs a
 * qemu-system-x86_64; without one, or with one that is not 7.2, whose words these are, it skips.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "plan/remote.h"

#define QEMU "qemu-system-x86_64"

/* Parts of command lines: a controller; a drive with a medium; its disk. */
#define L "-device lsi53c895a,id=l "
#define D "-drive if=none,id=d,driver=null-co,size=1M "
#define HD "-device scsi-hd,drive=d,"
#define N "-blockdev null-co,node-name=n,read-zeroes=on "

static const char *const rows[] = {
	/* words */
	"-blah", "-", "--", "---device", "-dev", "-device", L "-object",
	/* -device */
	"-device foo", "-device ''", "-device ,", "-device =x", "-device id=x",
	"-device driver=lsi53c895a,driver=foo", "-device lsi53c895a,foo=1",
	"-device lsi53c895a,=x", "-device lsi53c895a,id=1x", "-device lsi53c895a,id=",
	"-device lsi53c895a,id=a/b", "-device lsi53c895a,addr=zz", "-device lsi53c895a,addr=-5",
	"-device lsi53c895a,addr=20", "-device lsi53c895a,addr=1.8", "-device lsi53c895a,addr=1.",
	"-device lsi53c895a,multifunction=maybe", "-device lsi53c895a,rombar=abc",
	"-device lsi53c895a,rombar=99999999999", "-device lsi53c895a,rombar=-1",
	"-device lsi53c895a,bus=nope", "-device lsi53c895a,bus=", "-device edu,dma_mask=x",
	"-device lsi53c895a,addr=5 -device lsi53c810,addr=5", L "-device edu,bus=l.0",
	"-device lsi53c895a,id=a -device lsi53c895a,id=a", "-device foo,help",
	L "-device scsi-cd,id=l",
	/* its JSON form */
	"-device '{'", "-device '{}'", "-device '{\"driver\":1}'", "-device '{\"driver\":\"foo\"}'",
	"-device '{\"driver\":\"lsi53c895a\",\"foo\":1}'",
	"-device '{\"driver\":\"lsi53c895a\",\"rombar\":\"1\"}'",
	"-device '{\"driver\":\"lsi53c895a\",\"multifunction\":1}'",
	"-device '{\"driver\":\"lsi53c895a\"} x'",
	/* disks: where */
	"-device scsi-cd", D "-device scsi-hd,drive=d", L "-device scsi-cd,bus=nope",
	L "-device scsi-cd,bus=l", L "-device scsi-cd,bus=l.1", L "-device scsi-cd,bus=",
	L "-device scsi-cd,scsi-id=8", L "-device scsi-cd,scsi-id=16",
	L "-device scsi-cd,channel=1", L "-device scsi-cd,lun=8", L "-device scsi-cd,lun=256",
	L "-device scsi-cd,lun=-1", L "-device scsi-cd,lun=x", L "-device scsi-cd,lun=1x",
	L "-device scsi-cd,lun=010", L "-device scsi-cd,lun=",
	L "-device scsi-cd,lun=4294967296", L "-device scsi-cd,lun=18446744073709551616",
	/* disks: what is behind them */
	L "-device scsi-hd", L "-device scsi-hd,drive=", L "-device scsi-hd,drive=nope",
	L D HD "drive=nope", L D HD "id=a -device scsi-hd,drive=d",
	L "-drive if=none,id=e -device scsi-hd,drive=e", L D HD "nope=1",
	/* disks: what they are */
	L D HD "removable=maybe", L D HD "removable=", L D HD "share-rw=x", L D HD "wwn=x",
	L D HD "logical_block_size=513", L D HD "logical_block_size=4k",
	L D HD "logical_block_size=4M", L D HD "logical_block_size=4X",
	L D HD "logical_block_size=256", L D HD "physical_block_size=256",
	L D HD "logical_block_size=4096,physical_block_size=512", L D HD "min_io_size=100",
	L D HD "min_io_size=1G", L D HD "min_io_size=1.5", L D HD "min_io_size=-1",
	L D HD "discard_granularity=1000", L D HD "werror=foo", L D HD "rerror=foo",
	L D HD "write-cache=foo", L D HD "rotation_rate=65536", L D HD "rotation_rate=-1",
	L D HD "scsi_version=x", L D HD "bootindex=x", L D HD "account-failed=foo",
	/* -drive */
	"-drive id=d,if=foo", "-drive cache=none", "-drive if=none,id=1,driver=null-co",
	"-drive if=none,id=d,file=/dev/null,format=foo",
	"-drive if=none,id=d,driver=null-co,format=raw", "-drive if=none,id=d,format=raw,file=",
	"-drive if=none,id=d,driver=null-co,cache=foo",
	"-drive if=none,id=d,driver=null-co,aio=foo",
	"-drive if=none,id=d,driver=null-co,discard=foo",
	"-drive if=none,id=d,driver=null-co,detect-zeroes=foo",
	"-drive if=none,id=d,driver=null-co,media=foo",
	"-drive if=none,id=d,driver=null-co,readonly=x",
	"-drive if=none,id=d,driver=null-co,readonly=on,read-only=off",
	"-drive if=none,id=d,driver=null-co,werror=foo",
	"-drive if=none,id=d,driver=null-co,rerror=enospc",
	"-drive if=none,id=d,driver=null-co,snapshot=x",
	"-drive if=none,id=d,driver=null-co,cache.direct=x",
	"-drive if=none,id=d,driver=null-co,foo=1", "-drive if=none,id=d,driver=null-co,serial=1",
	"-drive if=none,id=d,driver=null-co,node-name=0",
	"-drive if=none,id=d,format=raw,file=foo:bar", "-drive if=none,id=d,format=raw,file=nbd:x",
	"-drive if=none,id=d,format=raw,file.driver=nope", "-drive if=none,id=d,node-name=x",
	"-drive if=none,id=d -drive if=none,id=d", N "-drive if=none,id=n",
	"-drive if=none,id=d,format=raw,file=/dev/null,aio=native",
	"-drive if=scsi,driver=null-co",
	/* -blockdev */
	"-blockdev ''", "-blockdev ,", "-blockdev raw", "-blockdev driver=raw", "-blockdev help",
	"-blockdev raw,help", "-blockdev foo,node-name=x", "-blockdev file,foo",
	"-blockdev file,a..b=1", "-blockdev []", "-blockdev raw,node-name=x",
	"-blockdev raw,node-name=x,file=nope", "-blockdev raw,node-name=x,file=",
	"-blockdev file,node-name=x",
	"-blockdev file,filename=/dev/null", "-blockdev null-co,node-name=1x",
	"-blockdev null-co,node-name=a12345678901234567890123456789012",
	"-blockdev file,node-name=x,filename=/dev/null,foo=1",
	"-blockdev file,node-name=x,filename=/dev/null,cache.foo=on",
	"-blockdev file,node-name=x,filename=/dev/null,cache=none",
	"-blockdev file,node-name=x,filename=/dev/null,aio=foo",
	"-blockdev null-co,node-name=x,read-only=maybe", "-blockdev null-co,node-name=x,size=5x",
	"-blockdev null-co,node-name=x,latency-ns=1k",
	"-blockdev raw,node-name=x,file.driver=file",
	"-blockdev raw,node-name=x,file.filename=/dev/null",
	"-blockdev '{\"node-name\":\"x\"}'",
	"-blockdev '{\"driver\":\"null-co\",\"node-name\":5}'",
	"-blockdev '{\"driver\":\"null-co\",\"node-name\":\"x\",\"size\":\"5\"}'",
	"-blockdev '{\"driver\":\"null-co\",\"node-name\":\"x\",\"read-only\":\"on\"}'",
	"-blockdev '{\"driver\":\"null-co\",\"node-name\":\"x\",\"cache\":5}'",
	"-blockdev '{\"driver\":\"file\",\"driver\":\"raw\"}'", N N,
	/* -object */
	L "-object ''", L "-object id=x", L "-object foo,id=x", L "-object x-remote-object",
	L "-object x-remote-object,id=1", L "-object x-remote-object,id=a",
	L "-object x-remote-object,id=a,fd=3",
	L "-object x-remote-object,id=a,fd=3,devid=l,foo=1", L "-object x-remote-object,id=a,foo=1",
	L "-object '{\"qom-type\":\"x-remote-object\",\"id\":\"a\",\"fd\":3}'",
	L "-object '{\"qom-type\":\"x-remote-object\",\"id\":\"a\",\"fd\":\"3\",\"foo\":1}'",
	L "-object '{\"id\":\"a\"}'",
	/* the rest */
	"-name a=b", "-name foo,process=x,bar=1", "-name x,debug-threads=maybe",
	"-global ''", "-global scsi-hd", "-global scsi-hd.lun", "-global driver=",
	"-global driver=scsi-hd,property=lun", "-global driver=scsi-hd,property=lun,value=9,foo=1",
	"-global scsi-hd.foo=1 " L D HD, "-global scsi-hd.lun=9 " L D HD,
	"-global scsi-hd.lun=8 -global scsi-hd.lun=9 " L D HD,
	"-global driver=scsi-hd,property=lun,value=9 " L D HD, "-global scsi-device.lun=9 " L D HD,
	L "-global pci-device.foo=1",
	"-msg timestamp=maybe", "-msg foo=1", "-uuid x", "-add-fd fd=1,set=2", "-add-fd set=2",
	"-add-fd fd=99,set=2", "-add-fd fd=x,set=1",
};

/* argv wants its strings writable, and nobody writes. */
static char *word(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* Our first words, NULL when there is no complaint. */
static char *ours(char **argv)
{
	g_autoptr(GError) error = NULL;
	struct remote_plan plan;
	bool good = remote_plan_parse(g_strv_length(argv), argv, &plan, &error);

	remote_plan_finish(&plan);
	return good ? NULL : g_strdup(error->message);
}

/* Runs QEMU so that it ends at once also if it likes the options; its stdout and stderr. */
static void run_qemu(char **args, char **ret_out, char **ret_err)
{
	static const char *const head[] = {
		"sh", "-c", "echo quit | exec timeout 60 \"$@\"", "sh", QEMU, "-machine",
		"x-remote", "-display", "none", "-S", "-monitor", "stdio", NULL,
	};
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	g_autoptr(GError) error = NULL;

	for (size_t i = 0; head[i]; i++)
		g_ptr_array_add(argv, word(head[i]));
	for (size_t i = 0; args[i]; i++)
		g_ptr_array_add(argv, args[i]);
	g_ptr_array_add(argv, NULL);
	g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, ret_out,
		     ret_err, NULL, &error);
	g_assert_no_error(error);
}

/* QEMU's first line that is an error, without its name; NULL if there is none. */
static char *theirs(char **argv)
{
	g_autofree char *out = NULL, *err = NULL;
	g_auto(GStrv) lines = NULL;

	run_qemu(argv + 1, &out, &err);
	lines = g_strsplit(err, "\n", -1);
	for (size_t i = 0; lines[i]; i++)
		if (g_str_has_prefix(lines[i], QEMU ": ") && !strstr(lines[i], ": warning: "))
			return g_strdup(lines[i] + strlen(QEMU ": "));
	return NULL;
}

static void test_words(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *line = g_strconcat("x ", rows[i], NULL);
		g_autofree char *our_words = NULL, *qemu_words = NULL;
		g_auto(GStrv) argv = NULL;

		g_assert_true(g_shell_parse_argv(line, NULL, &argv, NULL));
		our_words = ours(argv);
		qemu_words = theirs(argv);
		if (!g_strcmp0(our_words, qemu_words))
			continue;
		g_test_message("%s\n  QEMU: %s\n  here: %s", rows[i],
			       qemu_words ? qemu_words : "(no error)",
			       our_words ? our_words : "(no error)");
		g_test_fail();
	}
}

/* Every option that QEMU's -help begins a line with is one that we know, if only to refuse it. */
static void test_options(void)
{
	char *args[] = { word("-help"), NULL };
	g_autofree char *out = NULL, *err = NULL;
	g_auto(GStrv) lines = NULL;
	unsigned known = 0;

	run_qemu(args, &out, &err);
	lines = g_strsplit(out, "\n", -1);
	for (size_t i = 0; lines[i]; i++) {
		g_autofree char *name = g_strndup(lines[i], strcspn(lines[i], " /"));
		char *argv[] = { word("x"), name, word("y"), NULL };
		g_autofree char *words = NULL;

		if (name[0] != '-')
			continue;
		words = ours(argv);
		known++;
		if (!words || !g_str_has_suffix(words, ": invalid option"))
			continue;
		g_test_message("%s", words);
		g_test_fail();
	}
	g_assert_cmpuint(known, >, 100);
}

static char *our_help(const char *what)
{
	char *argv[] = { word("x"), word("-device"), word(what), NULL };
	struct remote_plan plan;
	char *text;

	g_assert_true(remote_plan_parse(3, argv, &plan, NULL));
	g_assert_cmpint(plan.action, ==, PLAN_PRINT);
	text = g_strdup(plan.output);
	remote_plan_finish(&plan);
	return text;
}

/* What QEMU does not have. */
static bool is_own_device(const char *line)
{
	return g_str_has_prefix(line, "name \"edu-pcie\", ");
}

/* Each line of our help stands in QEMU's: what is left out there is what does not work here. */
static void test_help(void)
{
	static const char *const rows_help[] = {
		"help", "lsi53c895a,help", "lsi53c810,help", "edu,help", "scsi-hd,help",
		"scsi-cd,help", "lsi,help",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows_help); i++) {
		char *args[] = { word("-device"), word(rows_help[i]), NULL };
		g_autofree char *text = our_help(rows_help[i]), *out = NULL, *err = NULL;
		g_auto(GStrv) lines = g_strsplit(text, "\n", -1), theirs_lines = NULL;

		run_qemu(args, &out, &err);
		theirs_lines = g_strsplit(out, "\n", -1);
		g_assert_cmpuint(g_strv_length(lines), >, 5);
		for (size_t k = 0; lines[k]; k++) {
			if (g_strv_contains((const char *const *)theirs_lines, lines[k]) ||
			    is_own_device(lines[k]))
				continue;
			g_test_message("-device %s: not QEMU's: %s", rows_help[i], lines[k]);
			g_test_fail();
		}
	}
}

/* ---- Graphs, read by a real storage daemon ---- */

#define QSD "qemu-storage-daemon"

static const char *const graphs[] = {
	"-drive id=d,file=a.qcow2,format=qcow2",
	"-drive id=d,file=b.qcow2,driver=qcow2,cache=none,aio=native,discard=on,"
	"detect-zeroes=unmap",
	"-drive id=d,file=a.qcow2,format=qcow2,lazy-refcounts=on,cache=unsafe,readonly=on,"
	"l2-cache-size=1M,file.locking=off",
	"-drive 'id=d,file=json:{\"driver\":\"qcow2\",,\"lazy-refcounts\":true,,\"file\":"
	"{\"driver\":\"file\",,\"filename\":\"a.qcow2\"}}'",
	"-drive id=d,format=raw,file=a.raw,offset=512,size=1M",
	"-drive id=d,format=raw,file=null-co://,file.size=1M",
	"-drive id=d,driver=null-co,size=1k,media=cdrom",
	"-drive id=d,file=a.qcow2,driver=qcow2,backing.driver=null-co,werror=stop",
	"-drive id=d,driver=quorum,children.0.driver=file,children.0.filename=a.raw,"
	"vote-threshold=1",
	"-drive id=this.name.is.over.31.characters.long,node-name=d,file=a.raw,format=raw",
	"-blockdev '{\"driver\":\"file\",\"node-name\":\"f\",\"filename\":\"b.qcow2\"}' "
	"-blockdev '{\"driver\":\"qcow2\",\"node-name\":\"d\",\"file\":\"f\",\"backing\":null}'",
	"-blockdev file,node-name=f,filename=a.raw -blockdev throttle,node-name=d,file=f,"
	"throttle-group=tg",
	"-blockdev quorum,node-name=d,children.0.driver=file,children.0.filename=a.raw,"
	"vote-threshold=1",
	"-blockdev file,node-name=f1,filename=a.qcow2 -blockdev qcow2,node-name=q1,file=f1 "
	"-blockdev file,node-name=f2,filename=b.qcow2 "
	"-blockdev qcow2,node-name=d,file=f2,backing=q1",
};

/* The daemon's complaint about the graph of the only disk, or NULL. */
static char *ask_daemon(const struct plan_image *image)
{
	static const char script[] = "printf '{\"execute\":\"qmp_capabilities\"}"
				     "{\"execute\":\"quit\"}' | exec timeout 60 \"$@\"";
	static const char *const head[] = {
		"sh", "-c", script, "sh", QSD, "--object", "throttle-group,id=tg", NULL,
	};
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *err = NULL;
	int status = 0;

	for (size_t i = 0; head[i]; i++)
		g_ptr_array_add(argv, g_strdup(head[i]));
	for (guint i = 0; i < image->graph->len; i++) {
		g_ptr_array_add(argv, g_strdup("--blockdev"));
		g_ptr_array_add(argv, opt_set_to_text(image->graph->pdata[i], NULL));
	}
	g_ptr_array_add(argv, g_strdup("--chardev"));
	g_ptr_array_add(argv, g_strdup("stdio,id=c"));
	g_ptr_array_add(argv, g_strdup("--monitor"));
	g_ptr_array_add(argv, g_strdup("c"));
	g_ptr_array_add(argv, NULL);
	g_assert_true(g_spawn_sync(NULL, (char **)argv->pdata, NULL,
				   G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL,
				   NULL, &err, &status, NULL));
	return status ? g_steal_pointer(&err) : NULL;
}

static void check_graph(const char *row)
{
	g_autofree char *line = g_strconcat("x " L "-object x-remote-object,id=o,devid=l,fd=9 " HD
					    " ", row, NULL);
	g_autofree char *complaint = NULL;
	g_autoptr(GError) error = NULL;
	g_auto(GStrv) argv = NULL;
	struct remote_plan plan;

	g_assert_true(g_shell_parse_argv(line, NULL, &argv, NULL));
	remote_plan_parse(g_strv_length(argv), argv, &plan, &error);
	g_assert_no_error(error);
	complaint = ask_daemon(&plan.image[0]);
	remote_plan_finish(&plan);
	if (!complaint)
		return;
	g_test_message("%s: %s", row, complaint);
	g_test_fail();
}

static void sh(const char *command)
{
	const char *argv[] = { "sh", "-ec", command, NULL };
	int status = -1;

	g_assert_true(g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL, G_SPAWN_SEARCH_PATH, NULL,
				   NULL, NULL, NULL, &status, NULL));
	g_assert_cmpint(status, ==, 0);
}

static void test_graphs(void)
{
	g_autofree char *dir = g_dir_make_tmp("mpqemu-plan-XXXXXX", NULL);
	g_autofree char *old = g_get_current_dir(), *remove = NULL;
	g_autofree char *qsd = g_find_program_in_path(QSD);
	g_autofree char *img = g_find_program_in_path("qemu-img");

	g_assert_nonnull(dir);
	remove = g_strdup_printf("rm -r '%s'", dir);
	if (!qsd || !img) {
		g_test_skip("no " QSD " or qemu-img");
	} else {
		g_assert_cmpint(chdir(dir), ==, 0);
		sh("qemu-img create -q -f raw a.raw 8M; qemu-img create -q -f qcow2 a.qcow2 8M; "
		   "qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2");
		for (size_t i = 0; i < G_N_ELEMENTS(graphs); i++)
			check_graph(graphs[i]);
		g_assert_cmpint(chdir(old), ==, 0);
	}
	sh(remove);
}

static const char *why_skip(void)
{
	g_autofree char *path = g_find_program_in_path(QEMU);
	g_autofree char *out = NULL;
	char *argv[] = { word(QEMU), word("-version"), NULL };

	if (!path)
		return QEMU " is not installed";
	if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, NULL, NULL,
			  NULL) ||
	    !strstr(out, "version 7.2."))
		return QEMU " is not version 7.2";
	return NULL;
}

static void run(gconstpointer data)
{
	void (*const *test)(void) = data;
	const char *why = why_skip();

	if (why)
		g_test_skip(why);
	else
		(*test)();
}

int main(int argc, char **argv)
{
	static void (*const words)(void) = test_words;
	static void (*const help)(void) = test_help, (*const graph)(void) = test_graphs;
	static void (*const options)(void) = test_options;

	g_test_init(&argc, &argv, NULL);
	g_test_add_data_func("/qemu/words", &words, run);
	g_test_add_data_func("/qemu/help", &help, run);
	g_test_add_data_func("/qemu/options", &options, run);
	g_test_add_data_func("/qemu/graphs", &graph, run);
	return g_test_run();
}
