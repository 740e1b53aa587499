/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A controller for a VM that runs: rewrite_attach().  Hostile rows first. */

#include <string.h>

#include <glib.h>
#include <jansson.h>

#include "plan/rewrite/rewrite.h"

#define LSI "-device lsi53c895a,id=lsi0 "
#define DISK "-drive if=none,id=d,file=x.raw,format=raw -device scsi-hd,drive=d,id=disk "

static const struct row {
	const char *name;
	const char *words;	/* as shell text */
	const char *expect;	/* refused: the whole text; else the remote's command line */
	const char *device;	/* what device_add gets */
	enum rewrite_protocol protocol;
	const char *on_error;
	bool vfio_user;		/* QEMU has it, and not x-pci-proxy-dev */
} refused[] = {
	{ "nothing", "", "nothing to move: no -device here is one that mpqemu-remote emulates "
	  "(lsi53c895a, lsi53c810, edu, edu-pcie)" },
	{ "a disk without a controller", DISK, "nothing to move: no -device here is one that "
	  "mpqemu-remote emulates (lsi53c895a, lsi53c810, edu, edu-pcie)" },
	{ "no id", "-device lsi53c895a", "-device lsi53c895a: it needs an id=, by which detach "
	  "finds it" },
	{ "two controllers", LSI "-device edu,id=e", "-device edu,id=e: attach takes one "
	  "controller with its disks, and 'lsi0' stands before it" },
	{ "a device that no remote has", LSI "-device e1000,id=n",
	  "-device e1000,id=n: mpqemu-remote does not emulate it" },
	{ "QEMU's proxy", LSI "-device x-pci-proxy-dev,id=n,fd=3",
	  "-device x-pci-proxy-dev,id=n,fd=3: mpqemu-remote does not emulate it" },
	{ "a drive of nobody", LSI "-drive if=none,id=d,file=x.raw",
	  "-drive if=none,id=d,file=x.raw: no device that moves uses it" },
	{ "an option of QEMU's start", LSI "-m 2G", "-m 2G: no device that moves uses it" },
	{ "bootindex", LSI DISK "-set device.disk.bootindex=1", "-device scsi-hd,drive=d,id=disk: "
	  "bootindex=: firmware has chosen what it boots from; leave it out" },
	{ "a disk that is not there", LSI "-device scsi-hd,drive=nix",
	  "-device scsi-hd,drive=nix: no -drive or -blockdev is called 'nix'" },
	{ "an error that would stop the VM", LSI DISK, "lsi0: an error of its disk is to stop the "
	  "VM (--on-error, werror=, rerror=), which is done over a monitor of its own, which QEMU "
	  "makes at its start", .on_error = "stop" },
	{ "no client", LSI, "--protocol=mpqemu: this QEMU (9.0) has no x-pci-proxy-dev: it was "
	  "built without multi-process support", .protocol = REWRITE_PROTOCOL_MPQEMU,
	  .vfio_user = true },
	{ "multifunction=2", "-device lsi53c895a,id=lsi0,multifunction=2", "-device lsi53c895a,"
	  "id=lsi0,multifunction=2: Parameter 'multifunction' expects 'on' or 'off'",
	  .vfio_user = true },
};

static const struct row taken[] = {
	{ "a controller", LSI, "r -machine x-remote -device lsi53c895a,id=lsi0 -object "
	  "x-remote-object,id=peer-lsi0,devid=lsi0,fd=3",
	  "{\"driver\":\"x-pci-proxy-dev\",\"id\":\"lsi0\"}" },
	{ "its slot and types", "-device lsi53c895a,id=a,bus=pci.0,addr=5.1,multifunction=on",
	  "r -machine x-remote -device lsi53c895a,id=a -object "
	  "x-remote-object,id=peer-a,devid=a,fd=3",
	  "{\"driver\":\"x-pci-proxy-dev\",\"id\":\"a\",\"bus\":\"pci.0\",\"addr\":\"5.1\","
	  "\"multifunction\":true}" },
	{ "a disk", LSI DISK, "r -machine x-remote -device lsi53c895a,id=lsi0 -drive "
	  "if=none,id=d,file=x.raw,format=raw -device scsi-hd,drive=d,id=disk,bus=lsi0.0 -object "
	  "x-remote-object,id=peer-lsi0,devid=lsi0,fd=3",
	  "{\"driver\":\"x-pci-proxy-dev\",\"id\":\"lsi0\"}" },
	{ "JSON", "-device '{\"driver\":\"lsi53c895a\",\"id\":\"j\",\"bus\":\"b\"}'",
	  "r -machine x-remote -device {\"driver\":\"lsi53c895a\",\"id\":\"j\"} -object "
	  "x-remote-object,id=peer-j,devid=j,fd=3",
	  "{\"driver\":\"x-pci-proxy-dev\",\"id\":\"j\",\"bus\":\"b\"}" },
	{ "vfio-user", LSI, "r -machine x-remote,vfio-user=on -device lsi53c895a,id=lsi0 -object "
	  "x-vfio-user-server,id=peer-lsi0,type=fd,str=3,device=lsi0",
	  "{\"driver\":\"vfio-user-pci\",\"id\":\"lsi0\"}", .vfio_user = true },
};

static struct plan *attach(const struct row *row, json_t **ret_device, GError **error)
{
	static const char *const prefix[] = { "r", NULL };
	const struct rewrite_facts facts = {
		.qemu_major = 9, .has_proxy = !row->vfio_user, .has_vfio_user = row->vfio_user,
		.socket_dir = "/run/" PLAN_SOCKET_DIR, .remote_prefix = prefix,
	};
	const struct rewrite_choice choice = {
		.protocol = row->protocol, .on_error = row->on_error,
	};
	g_autofree char *line = g_strconcat("attach ", row->words, NULL);
	g_auto(GStrv) words = NULL;

	g_assert_true(g_shell_parse_argv(line, NULL, &words, NULL));
	return rewrite_attach(words, &choice, &facts, ret_device, error);
}

static void test_refused(const void *data)
{
	const struct row *row = data;
	g_autoptr(GError) error = NULL;
	json_t *device = NULL;

	g_assert_null(attach(row, &device, &error));
	g_assert_null(device);
	g_assert_nonnull(error);
	g_assert_cmpstr(error->message, ==, row->expect);
}

static void test_taken(const void *data)
{
	const struct row *row = data;
	g_autoptr(GError) error = NULL;
	json_t *device = NULL;
	auto_plan plan = attach(row, &device, &error);
	g_autofree char *line = NULL;
	char *text;

	g_assert_no_error(error);
	g_assert_cmpuint(plan->remotes->len, ==, 1);
	line = g_strjoinv(" ", plan_process_argv(plan->remotes->pdata[0]));
	g_assert_cmpstr(line, ==, row->expect);
	text = json_dumps(device, JSON_COMPACT);
	g_assert_cmpstr(text, ==, row->device);
	free(text);
	json_decref(device);
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
	add_rows("taken", taken, G_N_ELEMENTS(taken), test_taken);
	return g_test_run();
}
