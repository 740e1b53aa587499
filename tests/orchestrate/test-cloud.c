/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Cloud Hypervisor's command line: rewrite_cloud() and the explicit form.  Hostile rows first. */

#include <string.h>

#include <glib.h>

#include "plan/rewrite/rewrite.h"

#define SOCKETS "/run/user/1/mpqemu-XXXXXX"
#define LSI "-device lsi53c895a,id=lsi0 "
#define DISK "-drive if=none,id=d,file=x.raw,format=raw -device scsi-hd,drive=d,id=disk "
#define CH "cloud-hypervisor --kernel k "

static const struct row {
	const char *name;
	const char *devices;	/* as --device and its like give them */
	const char *line;	/* Cloud Hypervisor's, as shell text */
	const char *expect;	/* refused: the whole text; else a part of the plan's text */
	const char *absent;	/* what must not be in the plan's text */
	enum rewrite_protocol protocol;
	const char *on_error;
	bool qemu_remote;
} refused[] = {
	{ "mpqemu", LSI, CH, "--protocol=mpqemu: Cloud Hypervisor speaks vfio-user only",
	  .protocol = REWRITE_PROTOCOL_MPQEMU },
	{ "QEMU's own remote", LSI, CH, "QEMU's own x-remote gets mpqemu from here, and Cloud "
	  "Hypervisor speaks vfio-user only", .qemu_remote = true },
	{ "shared=off", LSI, CH "--memory size=1G,shared=off", "--memory size=1G,shared=off: a "
	  "remote cannot reach RAM that is not shared; shared=on is needed" },
	{ "shared=false", LSI, CH "--memory=shared=false,size=1G", "--memory shared=false,size=1G: "
	  "a remote cannot reach RAM that is not shared; shared=on is needed" },
	{ "shared of nothing", LSI, CH "--memory size=1G,shared=", "--memory size=1G,shared=: a "
	  "remote cannot reach RAM that is not shared; shared=on is needed" },
	{ "a private zone", LSI, CH "--memory size=0 --memory-zone id=a,size=1G,shared=on "
	  "id=b,size=1G,shared=off", "--memory-zone id=b,size=1G,shared=off: a remote cannot reach "
	  "RAM that is not shared; shared=on is needed" },
	{ "virtio-mem", LSI, CH "--memory size=1G,hotplug_method=virtio-mem,hotplug_size=1G",
	  "--memory size=1G,hotplug_method=virtio-mem,hotplug_size=1G: Cloud Hypervisor does not "
	  "tell a remote of virtio-mem's RAM" },
	{ "TDX", LSI, CH "--platform tdx=on", "--platform tdx=on: a confidential guest's RAM "
	  "cannot be shared with a remote" },
	{ "a snapshot", LSI, "cloud-hypervisor --restore source_url=file:///s", "--restore: the VM "
	  "comes from a snapshot, which has no state of a remote device" },
	{ "a VM made over the API", LSI, "cloud-hypervisor --api-socket /a", "there is no --kernel "
	  "and no --firmware: a VM that is made over the API has nothing of what stands here" },
	{ "a device that no remote has", LSI "-device e1000,id=n", CH,
	  "-device e1000,id=n: mpqemu-remote does not emulate it" },
	{ "a disk without a controller", DISK, CH, "nothing to move: no -device here is one that "
	  "mpqemu-remote emulates (lsi53c895a, lsi53c810, edu, edu-pcie)" },
	{ "a drive of nobody", LSI "-drive if=none,id=d,file=x.raw", CH,
	  "-drive if=none,id=d,file=x.raw: no device that moves uses it" },
	{ "a disk on another bus", LSI "-device scsi-cd,bus=b.0", CH,
	  "-device scsi-cd,bus=b.0: no device that moves uses it" },
	{ "an error that would stop the VM", LSI DISK, CH, "lsi0: an error of its disk is to stop "
	  "the VM (--on-error, werror=, rerror=), which is done over QMP; Cloud Hypervisor has "
	  "none", .on_error = "stop" },
	{ "werror=stop", LSI DISK "-set device.disk.werror=stop", CH, "lsi0: an error of its disk "
	  "is to stop the VM (--on-error, werror=, rerror=), which is done over QMP; Cloud "
	  "Hypervisor has none" },
};

static const struct row moved[] = {
	{ "the remote", LSI, CH, "-machine x-remote,vfio-user=on \\\n\t\t-device "
	  "lsi53c895a,id=lsi0 \\\n\t\t-object x-vfio-user-server,id=peer-lsi0,type=fd,str=3,"
	  "device=lsi0 \\\n---" },
	{ "its slot", LSI, CH, "#   remote 0: fd 3 listens on " SOCKETS "/lsi0.sock (lsi0)\n" },
	{ "its disk", LSI DISK, CH, "-device scsi-hd,drive=d,id=disk,bus=lsi0.0 \\\n" },
	{ "a device without id", "-device lsi53c895a", CH, SOCKETS "/remote.sock" },
	{ "romfile", LSI "-set device.lsi0.romfile=r", CH, "romfile=r \\\n" },
	{ "--memory is added", LSI, CH, "\tcloud-hypervisor \\\n\t\t--kernel k \\\n"
	  "\t\t--user-device socket=" SOCKETS "/lsi0.sock \\\n\t\t--memory size=512M,shared=on\n" },
	{ "shared=on is added", LSI, CH "--memory size=1G", "--memory size=1G,shared=on \\\n" },
	{ "... and said", LSI, CH "--memory size=1G", "# --memory size=1G: shared=on added" },
	{ "... to --memory=", LSI, CH "--memory=size=1G", "--memory size=1G,shared=on \\\n" },
	{ "... not twice", LSI, CH "--memory size=1G,shared=on", "--memory size=1G,shared=on \\\n",
	  .absent = "shared=on added" },
	{ "... shared=true", LSI, CH "--memory shared=true,size=1G", "--memory shared=true,size=1G "
	  "\\\n" },
	{ "... not where a name has it", LSI, CH "--memory 'size=1G,file=\"a,shared=on\"'",
	  "file=\"a,shared=on\",shared=on" },
	{ "... nor a part of a key", LSI, CH "--memory size=1G,xshared=off", "xshared=off,"
	  "shared=on" },
	{ "every zone", LSI, CH "--memory size=0 --memory-zone id=a,size=1G id=b,size=1G,shared=on "
	  "--cpus boot=2", "--memory-zone id=a,size=1G,shared=on \\\n"
	  "\t\tid=b,size=1G,shared=on \\\n\t\t--cpus" },
	{ "two devices, one option", LSI "-device edu,id=e", CH, "--user-device socket=" SOCKETS
	  "/lsi0.sock \\\n\t\tsocket=" SOCKETS "/e.sock \\\n" },
	{ "beside the user's own", LSI, CH "--user-device socket=/a socket=/b --disk path=d",
	  "--user-device socket=/a \\\n\t\tsocket=/b \\\n\t\tsocket=" SOCKETS "/lsi0.sock \\\n"
	  "\t\t--disk path=d \\\n" },
	{ "... at the end", LSI, CH "--user-device=socket=/a", "--user-device socket=/a \\\n"
	  "\t\tsocket=" SOCKETS "/lsi0.sock \\\n" },
	{ "all else stays", LSI, CH "--cmdline 'a=b shared=off' --cpus boot=4 --disk path=a path=b "
	  "-vv --net tap=,mac=", "--kernel k \\\n\t\t--cmdline 'a=b shared=off' \\\n"
	  "\t\t--cpus boot=4 \\\n\t\t--disk path=a \\\n\t\tpath=b \\\n\t\t-vv \\\n"
	  "\t\t--net tap=,mac= \\\n" },
	{ "SMP needs no word", LSI, CH "--cpus boot=4", "boot=4", .absent = "warning" },
	{ "firmware in place of a kernel", LSI, "/opt/cloud-hypervisor --firmware f",
	  "/opt/cloud-hypervisor \\\n\t\t--firmware f" },
	{ "vfio-user asked for", LSI, CH, "vfio-user=on",
	  .protocol = REWRITE_PROTOCOL_VFIO_USER },
	{ "--on-error", LSI DISK, CH, "--on-error=hold \\\n---", .on_error = "hold" },
};

static char **words(const char *text)
{
	char **argv = NULL;
	GError *error = NULL;

	g_shell_parse_argv(text, NULL, &argv, &error);
	g_assert_no_error(error);
	return argv;
}

static const char *const ours[] = { "mpqemu-remote", NULL };
static const char *const qemus[] = { "/usr/bin/qemu-system-x86_64", NULL };

static struct plan *plan_row(const struct row *row, GError **error)
{
	const struct rewrite_facts facts = {
		.remote_prefix = row->qemu_remote ? qemus : ours, .socket_dir = SOCKETS,
	};
	const struct rewrite_choice choice = {
		.protocol = row->protocol, .on_error = row->on_error,
	};
	g_autofree char *line = g_strconcat("cloud-hypervisor ", row->devices, NULL);
	g_auto(GStrv) devices = words(line);
	g_auto(GStrv) vmm = words(row->line);

	return rewrite_cloud(vmm, devices, &choice, &facts, error);
}

static void test_refused(const void *data)
{
	const struct row *row = data;
	g_autoptr(GError) error = NULL;
	struct plan *plan = plan_row(row, &error);

	g_assert_null(plan);
	g_assert_true(error->domain == MPQ_ERROR);
	g_assert_cmpstr(error->message, ==, row->expect);
}

/* The plan that follows from a printed command, as text again; the caller frees. */
static char *joined_text(const char *text)
{
	const struct rewrite_facts facts = { .remote_prefix = ours, .socket_dir = SOCKETS };
	g_auto(GStrv) argv = words(strstr(text, "\nmpqemu-orchestrate -- ") + 1);
	g_autoptr(GPtrArray) remotes = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
	g_autoptr(GError) error = NULL;
	g_auto(GStrv) vmm = NULL;
	struct plan *plan;
	char *again;

	for (char **word = argv + 2; *word; word++) {
		if (strcmp(*word, "---")) {
			g_strv_builder_add(builder, *word);
			continue;
		}
		g_ptr_array_add(remotes, g_strv_builder_end(builder));
	}
	vmm = g_strv_builder_end(builder);
	plan = rewrite_join(remotes, vmm, &facts, &error);
	g_assert_no_error(error);
	again = plan_to_shell(plan, "mpqemu-orchestrate");
	plan_destroy(plan);
	return again;
}

static void test_moved(const void *data)
{
	const struct row *row = data;
	g_autoptr(GError) error = NULL;
	struct plan *plan = plan_row(row, &error);
	g_autofree char *text = NULL;
	g_autofree char *again = NULL;

	g_assert_no_error(error);
	text = plan_to_shell(plan, "mpqemu-orchestrate");
	plan_destroy(plan);
	if (!strstr(text, row->expect))
		g_error("not in the plan: %s\n%s", row->expect, text);
	if (row->absent && strstr(text, row->absent))
		g_error("in the plan: %s\n%s", row->absent, text);
	again = joined_text(text);
	g_assert_cmpstr(strstr(again, "# fd slots:"), ==, strstr(text, "# fd slots:"));
}

/* ---- Explicit command lines ---- */

#define REMOTE "mpqemu-remote -machine x-remote,vfio-user=on -device edu,id=e "
#define SERVER "-object x-vfio-user-server,id=v,type=fd,str=4,device=e"

static const struct {
	const char *name;
	const char *remote;
	const char *line;
	const char *expect;	/* an error, or (starts with '+') a part of the plan's text */
} joined[] = {
	{ "mpqemu", "mpqemu-remote -device edu,id=e -object x-remote-object,id=r,devid=e,fd=4", CH,
	  "x-remote-object: Cloud Hypervisor speaks vfio-user only (x-vfio-user-server)" },
	{ "nobody connects", REMOTE SERVER, CH "--user-device socket=/run/f.sock",
	  "a remote command serves 'e', but there is no --user-device with a socket that is called "
	  "e for it" },
	{ "shared=off", REMOTE SERVER, CH "--user-device socket=/run/e.sock --memory shared=off",
	  "--memory shared=off: a remote cannot reach RAM that is not shared; shared=on is "
	  "needed" },
	{ "a monitor", REMOTE SERVER " --qmp=fd=9", CH "--user-device socket=/run/e.sock",
	  "--qmp=fd=9: fd 9 is not open, and Cloud Hypervisor has no QMP" },
	{ "by the socket's name", REMOTE SERVER, CH "--user-device socket=/run/e.sock",
	  "+#   remote 0: fd 4 listens on /run/e.sock (e)\n" },
	{ "without the suffix", REMOTE SERVER, CH "--user-device id=x,socket=/run/e",
	  "+#   remote 0: fd 4 listens on /run/e (e)\n" },
	{ "by the path", REMOTE "-object x-vfio-user-server,id=v,type=unix,path=/run/x,device=e",
	  CH "--user-device socket=/spdk socket=/run/x", "+#   remote 0: it listens on /run/x (e)"
	  "\n" },
};

static void test_joined(const void *data)
{
	unsigned i = GPOINTER_TO_UINT(data);
	const struct rewrite_facts facts = { .remote_prefix = ours, .socket_dir = SOCKETS };
	g_autoptr(GPtrArray) remotes = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
	g_auto(GStrv) vmm = words(joined[i].line);
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	struct plan *plan;

	g_ptr_array_add(remotes, words(joined[i].remote));
	plan = rewrite_join(remotes, vmm, &facts, &error);
	if (joined[i].expect[0] != '+') {
		g_assert_null(plan);
		g_assert_cmpstr(error->message, ==, joined[i].expect);
		return;
	}
	g_assert_no_error(error);
	text = plan_to_shell(plan, "mpqemu-orchestrate");
	plan_destroy(plan);
	if (!strstr(text, joined[i].expect + 1))
		g_error("not in the plan: %s\n%s", joined[i].expect + 1, text);
}

/* ---- The directory of the sockets ---- */

static void test_place(void)
{
	struct plan *plan = plan_row(&moved[0], NULL);
	g_autofree char *dir = plan_socket_dir(plan);
	g_autofree char *text = NULL;

	g_assert_cmpstr(dir, ==, SOCKETS);
	plan_place_sockets(plan, dir, "/tmp/made");
	text = plan_to_shell(plan, "mpqemu-orchestrate");
	plan_destroy(plan);
	g_assert_null(strstr(text, "XXXXXX"));
	g_assert_nonnull(strstr(text, "fd 3 listens on /tmp/made/lsi0.sock (lsi0)\n"));
	g_assert_nonnull(strstr(text, "--user-device socket=/tmp/made/lsi0.sock "));
}

static void test_questions(void)
{
	static const struct {
		const char *line;
		bool question;
	} rows[] = {
		{ "cloud-hypervisor --version", true }, { "/x/cloud-hypervisor -h", true },
		{ "cloud-hypervisor --kernel k", false }, { "cloud-hypervisor -v", false },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(GStrv) argv = words(rows[i].line);
		g_autoptr(GError) error = NULL;

		g_test_message("%s", rows[i].line);
		g_assert_cmpint(rewrite_is_question(argv, &error), ==, rows[i].question);
		g_assert_no_error(error);
	}
}

static void add_rows(const char *prefix, const struct row *rows, unsigned count, GTestDataFunc fn)
{
	for (unsigned i = 0; i < count; i++) {
		g_autofree char *path = g_strdup_printf("/%s: %s", prefix, rows[i].name);

		g_test_add_data_func(path, &rows[i], fn);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add_rows("refused", refused, G_N_ELEMENTS(refused), test_refused);
	add_rows("moved", moved, G_N_ELEMENTS(moved), test_moved);
	for (unsigned i = 0; i < G_N_ELEMENTS(joined); i++) {
		g_autofree char *path = g_strdup_printf("/joined: %s", joined[i].name);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_joined);
	}
	g_test_add_func("/place", test_place);
	g_test_add_func("/questions", test_questions);
	return g_test_run();
}
