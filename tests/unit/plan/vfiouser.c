/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -object x-vfio-user-server and what belongs to it: -machine's properties, ROMs. */

#include <string.h>

#include <glib.h>

#include "plan/remote.h"
#include "lines.h"

#define V "-machine x-remote,vfio-user=on "
#define S "x-vfio-user-server,id=o"
#define L "-device lsi53c895a,id=l "
#define O "-object x-remote-object,id=o,devid=l,fd=9 "
#define LO L O
#define JSON "-object '{\"qom-type\":\"x-vfio-user-server\",\"id\":\"o\",\"device\":\"l\","

static const struct line_refused bad[] = {
	{ V L, MPQ_ERROR_USAGE, "no device can be reached: -object "
	  "x-vfio-user-server,id=ID,type=unix,path=SOCK,device=DEVICE is missing" },
	{ L "-object " S ",type=unix,path=/s,device=l", MPQ_ERROR_USAGE,
	  "-object " S ",type=unix,path=/s,device=l: vfu: x-vfio-user-server only compatible with "
	  "x-remote machine with vfio-user=on" },
	{ "-machine x-remote,vfio-user=off " L "-object " S ",type=unix,path=/s,device=l",
	  MPQ_ERROR_USAGE, NULL },
	{ V L "-object " S ",device=l", MPQ_ERROR_USAGE,
	  "-object " S ",device=l: Parameter 'type' is missing" },
	{ V L "-object " S ",socket.path=/s,device=l", MPQ_ERROR_USAGE, NULL },
	{ V L "-object " S ",type=unix,device=l", MPQ_ERROR_USAGE,
	  "-object " S ",type=unix,device=l: Parameter 'path' is missing" },
	{ V L "-object " S ",socket.type=unix,socket.path=,device=l", MPQ_ERROR_USAGE,
	  "-object " S ",socket.type=unix,socket.path=,device=l: Parameter 'socket.path' is "
	  "empty" },
	{ V L "-object " S ",type=unix,path=/s", MPQ_ERROR_USAGE,
	  "-object " S ",type=unix,path=/s: Parameter 'device' is missing" },
	{ V L "-object " S ",type=unix,path=/s,device=x", MPQ_ERROR_USAGE,
	  "-object " S ",type=unix,path=/s,device=x: vfu: Device x not found" },
	{ V L "-device scsi-cd,id=c -object " S ",type=unix,path=/s,device=c", MPQ_ERROR_USAGE,
	  "-object " S ",type=unix,path=/s,device=c: vfu: c not a PCI device" },
	{ V L "-object " S ",type=inet,host=h,port=1,device=l", MPQ_ERROR_USAGE,
	  "-object " S ",type=inet,host=h,port=1,device=l: vfu: Unsupported socket type - inet" },
	{ V L "-object " S ",type=vsock,device=l", MPQ_ERROR_USAGE,
	  "-object " S ",type=vsock,device=l: vfu: Unsupported socket type - vsock" },
	{ V L "-object " S ",type=tcp,path=/s,device=l", MPQ_ERROR_USAGE, "-object " S
	  ",type=tcp,path=/s,device=l: Parameter 'type' does not accept value 'tcp'" },
	{ V L "-object " S ",type=unix,socket.type=unix,path=/s,device=l", MPQ_ERROR_USAGE,
	  "-object " S ",type=unix,socket.type=unix,path=/s,device=l: Parameters 'type' and "
	  "'socket.type' cannot be used at the same time" },
	{ V L "-object " S ",type=unix,path=/s,socket.path=/t,device=l", MPQ_ERROR_USAGE, NULL },
	{ V L "-object " S ",type=unix,path=/s,str=5,device=l", MPQ_ERROR_USAGE,
	  "-object " S ",type=unix,path=/s,str=5,device=l: Parameter 'str' is unexpected" },
	{ V L "-object " S ",type=fd,str=5,path=/s,device=l", MPQ_ERROR_USAGE, NULL },
	{ V L "-object " S ",type=fd,device=l", MPQ_ERROR_USAGE, NULL },
	{ V L "-object " S ",type=fd,str=-1,device=l", MPQ_ERROR_USAGE,
	  "-object " S ",type=fd,str=-1,device=l: Invalid file descriptor number '-1'" },
	{ V L "-object " S ",type=fd,str=5,devid=l", MPQ_ERROR_USAGE, NULL },
	{ V L JSON "\"socket\":\"/s\"}'", MPQ_ERROR_USAGE, NULL },
	{ V L JSON "\"socket\":{\"type\":\"fd\",\"str\":5}}'", MPQ_ERROR_USAGE, NULL },
	{ V L JSON "\"socket\":{\"type\":\"unix\",\"path\":\"/s\",\"abstract\":true}}'",
	  MPQ_ERROR_USAGE, NULL },
	{ V LO "-object x-vfio-user-server,id=p,type=unix,path=/s,device=l", MPQ_ERROR_USAGE,
	  "-object x-vfio-user-server,id=p,type=unix,path=/s,device=l: device 'l' already has the "
	  "x-remote-object 'o'" },
	{ V L "-object " S ",type=fd,str=9,device=l -device edu,id=e -object "
	  "x-remote-object,id=p,devid=e,fd=9", MPQ_ERROR_USAGE, "-object x-remote-object,id=p,"
	  "devid=e,fd=9: '9' is already in use by object 'o'" },
	{ V L "-object " S ",type=unix,path=/s,device=l -object x-remote-object,id=p,devid=l,fd=9",
	  MPQ_ERROR_USAGE, "-object x-remote-object,id=p,devid=l,fd=9: device 'l' already has the "
	  "x-vfio-user-server 'o'" },
};

static void test_bad(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		line_assert_refused(&bad[i]);
}

/* Protocol and peer of each device. */
static const struct {
	const char *line, *out;
} good[] = {
	/* vfio-user, in each spelling of its socket */
	{ V L "-object " S ",type=unix,path=/s,,x,device=l", "vfio-user 3:-1:/s,x\n" },
	{ V L "-object " S ",socket.type=unix,socket.path=/s,device=l", "vfio-user 3:-1:/s\n" },
	{ V L "-object " S ",device=l,type=unix,socket.path=/s,", "vfio-user 3:-1:/s\n" },
	{ V L JSON "\"socket\":{\"type\":\"unix\",\"path\":\"/s\"}}'", "vfio-user 3:-1:/s\n" },
	{ L "-object " S ",type=fd,str=7,device=l " V, "vfio-user 1:7:\n" },
	{ V L "-object " S ",socket.type=fd,socket.str=scsi,device=l", "vfio-user 2:-1:scsi\n" },
	{ V LO "-device edu,id=e -object x-vfio-user-server,id=v,type=unix,path=/s,device=e",
	  "mpqemu 1:9:\nvfio-user 3:-1:/s\n" },
	{ V LO, "mpqemu 1:9:\n" },
};

static void test_good(void)
{
	static const char *const protocols[] = { "mpqemu", "vfio-user" };

	for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
		g_autoptr(GString) out = g_string_new(NULL);
		g_autoptr(GError) error = NULL;
		struct remote_plan plan;

		line_parse(good[i].line, &plan, &error);
		g_assert_no_error(error);
		for (unsigned k = 0; k < plan.spec->device_count; k++) {
			const struct plan_peer *peer = &plan.peer[k];
			uint8_t protocol = plan.spec->device[k].protocol;

			g_string_append_printf(out, "%s %d:%d:%s\n", protocols[protocol],
					       peer->kind, peer->fd, peer->name ? peer->name : "");
			g_assert_true(peer->server == (protocol == SPEC_PROTOCOL_VFIO_USER));
		}
		g_assert_cmpstr(out->str, ==, good[i].out);
		g_assert_cmpuint(plan.warnings->len, ==, 0);
		remote_plan_finish(&plan);
	}
}

/* -machine: the last word counts, as in QEMU. */
static void test_machine(void)
{
	static const struct {
		const char *line;
		bool vfio_user, auto_shutdown;
	} rows[] = {
		{ LO, false, false }, { V LO, true, false },
		{ "-machine x-remote,auto-shutdown=on " LO, false, true },
		{ "-M x-remote,vfio-user,auto-shutdown " LO, true, true },
		{ V "-machine vfio-user=off,auto-shutdown=off " LO, false, false },
		{ "-M x-remote,auto-shutdown=on -M x-remote,vfio-user=on " LO, true, true },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		struct remote_plan plan;

		line_parse(rows[i].line, &plan, &error);
		g_assert_no_error(error);
		g_assert_true(plan.vfio_user == rows[i].vfio_user);
		g_assert_cmpuint(plan.spec->auto_shutdown, ==, rows[i].auto_shutdown);
		remote_plan_finish(&plan);
	}
}

/* A ROM is kept where a guest can see it; where not, one line says so. */
static void test_romfile(void)
{
	static const struct {
		const char *line, *path, *warning;
	} rows[] = {
		{ V "-device lsi53c895a,id=l,romfile=/r -object " S ",type=unix,path=/s,device=l",
		  "/r", NULL },
		{ V "-device lsi53c895a,id=l,romfile=/r,rombar=3 -object " S ",type=fd,str=9,"
		  "device=l", "/r", NULL },
		{ V "-global lsi53c895a.romfile=/r " L "-object " S ",type=fd,str=9,device=l",
		  "/r", NULL },
		{ V "-device lsi53c895a,id=l,romfile=,rombar=0 -object " S ",type=fd,str=9,"
		  "device=l", NULL, NULL },
		{ V "-device lsi53c895a,id=l,romfile=/r,rombar=0 -object " S ",type=fd,str=9,"
		  "device=l", NULL, "-device lsi53c895a,id=l,romfile=/r,rombar=0: the guest will "
		  "not see the romfile: rombar=0" },
		{ V "-device lsi53c895a,id=l,romfile=/r " O, NULL, "-device lsi53c895a,id=l,"
		  "romfile=/r: the guest will not see the romfile: only x-vfio-user-server shows "
		  "a device's ROM" },
		{ "-device edu,id=l,romfile=,rombar=0 " O, NULL, NULL },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		struct remote_plan plan;

		line_parse(rows[i].line, &plan, &error);
		g_assert_no_error(error);
		g_assert_cmpstr(plan.rom[0].path, ==, rows[i].path);
		g_assert_cmpint(plan.spec->device[0].rom_slot, ==, -1);
		g_assert_cmpuint(plan.warnings->len, ==, rows[i].warning ? 1 : 0);
		if (rows[i].warning)
			g_assert_cmpstr(plan.warnings->pdata[0], ==, rows[i].warning);
		remote_plan_finish(&plan);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vfio-user/bad", test_bad);
	g_test_add_func("/vfio-user/good", test_good);
	g_test_add_func("/vfio-user/machine", test_machine);
	g_test_add_func("/vfio-user/romfile", test_romfile);
	return g_test_run();
}
