/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mpqemu-remote's command line: what it refuses, and what comes out of what it takes. */

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "plan/remote.h"
#include "lines.h"

#define L "-device lsi53c895a,id=l "
#define O "-object x-remote-object,id=o,devid=l,fd=9 "
#define LO L O
#define D "-drive if=none,id=d,file=/x,format=raw "
#define HD "-device scsi-hd,drive=d "

/* ---- Refusals whose words are ours (QEMU's are compared with QEMU, in qemu.c) ---- */

static const struct line_refused bad[] = {
	{ "", MPQ_ERROR_USAGE, "no device to serve: -device is missing (see -device help)" },
	{ L, MPQ_ERROR_USAGE, "no device can be reached: -object "
	  "x-remote-object,id=ID,devid=DEVICE,fd=N is missing" },
	{ "disk.img", MPQ_ERROR_REFUSED, "disk.img: a disk image without an option is not "
	  "supported by mpqemu-remote; use -drive or -blockdev" },
	{ "''", MPQ_ERROR_REFUSED, ": a disk image without an option is not supported by "
	  "mpqemu-remote; use -drive or -blockdev" },
	{ "-machine pc", MPQ_ERROR_USAGE,
	  "-machine pc: unsupported machine type: mpqemu-remote has x-remote only" },
	{ "-M x-remote,foo=1", MPQ_ERROR_USAGE,
	  "-M x-remote,foo=1: Property 'x-remote-machine.foo' not found" },
	{ "-machine x-remote,vfio-user=yess", MPQ_ERROR_USAGE, NULL },
	{ "-machine x-remote,auto-shutdown=1", MPQ_ERROR_USAGE, NULL },
	{ "--on-error", MPQ_ERROR_USAGE, "--on-error: requires an argument: --on-error="
	  "report|hold|enospc-hold|ignore|stop" },
	{ "--on-error=", MPQ_ERROR_USAGE,
	  "--on-error=: it is one of report|hold|enospc-hold|ignore|stop" },
	{ "--on-error=hol", MPQ_ERROR_USAGE,
	  "--on-error=hol: it is one of report|hold|enospc-hold|ignore|stop" },
	{ "-on-error=hold", MPQ_ERROR_USAGE, "-on-error=hold: invalid option" },
	{ "-sandbox off", MPQ_ERROR_REFUSED, "-sandbox off: not supported by mpqemu-remote: "
	  "only \"on\" is; a level is given by --sandbox=LEVEL" },
	{ "-sandbox onward", MPQ_ERROR_REFUSED, NULL },
	{ "--sandbox=loose", MPQ_ERROR_USAGE,
	  "--sandbox=loose: it is one of strict|container|seccomp-only|off" },
	{ "--sandbox=", MPQ_ERROR_USAGE, NULL },
	{ "--sandbox-report=yes", MPQ_ERROR_USAGE, NULL },
	{ "-runas nobody", MPQ_ERROR_REFUSED, NULL },
	{ "-chroot /", MPQ_ERROR_REFUSED, NULL },
	{ "-m 512", MPQ_ERROR_REFUSED, "-m 512: not supported by mpqemu-remote: RAM, CPUs and "
	  "firmware are those of the QEMU at the other end" },
	{ "-qmp stdio", MPQ_ERROR_REFUSED,
	  "-qmp stdio: not supported by mpqemu-remote: it has monitors on UNIX sockets only "
	  "(unix:PATH,server=on,wait=off)" },
	{ "-qmp unix:/q,server=on", MPQ_ERROR_USAGE, "-qmp unix:/q,server=on: mpqemu-remote does "
	  "not wait for a monitor's client: say wait=off" },
	{ "-qmp unix:,server=on,wait=off", MPQ_ERROR_USAGE, NULL },
	{ "-qmp unix:/q,reconnect=1", MPQ_ERROR_USAGE,
	  "-qmp unix:/q,reconnect=1: Invalid parameter 'reconnect'" },
	{ "-qmp unix:/1 -qmp unix:/2 -qmp unix:/3 -qmp unix:/4 -qmp unix:/5", MPQ_ERROR_REFUSED,
	  "-qmp unix:/5: mpqemu-remote has 4 monitors at the most" },
	{ "-mon c,mode=readline", MPQ_ERROR_REFUSED, NULL },
	{ "-mon mode=control", MPQ_ERROR_USAGE,
	  "-mon mode=control: Parameter 'chardev' is missing" },
	{ LO "-mon c,mode=control", MPQ_ERROR_USAGE,
	  "-mon c,mode=control: chardev \"c\" not found" },
	{ LO "-chardev socket,id=c,path=/q,server=on,wait=off -mon c,mode=control "
	  "-mon chardev=c,mode=control", MPQ_ERROR_USAGE,
	  "-mon chardev=c,mode=control: Device 'c' is in use" },
	{ LO "-chardev socket,id=c,path=/q -chardev socket,id=c,path=/p", MPQ_ERROR_USAGE,
	  "-chardev socket,id=c,path=/p: Duplicate ID 'c' for chardev" },
	{ "-chardev pty,id=c", MPQ_ERROR_REFUSED, NULL },
	{ "-chardev socket,path=/q", MPQ_ERROR_USAGE,
	  "-chardev socket,path=/q: Parameter 'id' is missing" },
	{ "-chardev socket,id=c", MPQ_ERROR_USAGE,
	  "-chardev socket,id=c: a monitor's socket has path= or fd=" },
	{ "-chardev socket,id=c,path=/q,fd=5", MPQ_ERROR_USAGE, NULL },
	{ "-chardev socket,id=c,fd=2", MPQ_ERROR_USAGE,
	  "-chardev socket,id=c,fd=2: Parameter 'fd' expects a number, 3 or more" },
	{ "-trace x", MPQ_ERROR_REFUSED, "-trace x: not supported by mpqemu-remote" },
	{ "-usb", MPQ_ERROR_REFUSED, "-usb: not supported by mpqemu-remote" },
	{ "-display gtk", MPQ_ERROR_REFUSED,
	  "-display gtk: not supported by mpqemu-remote (-display none is)" },
	{ "--serial stdio", MPQ_ERROR_REFUSED,
	  "--serial stdio: not supported by mpqemu-remote (--serial none is)" },
	{ "-d foo", MPQ_ERROR_USAGE,
	  "-d foo: 'foo' is not a log item of mpqemu-remote (guest_errors, unimp, all)" },
	{ "-d ''", MPQ_ERROR_USAGE, NULL },
	{ "-add-fd fd=2,set=1", MPQ_ERROR_USAGE,
	  "-add-fd fd=2,set=1: fd cannot be a standard I/O stream" },
	{ "-add-fd fd=99999999999,set=1", MPQ_ERROR_USAGE,
	  "-add-fd fd=99999999999,set=1: Parameter 'fd' expects a number" },
	/* devices */
	{ "-device lsi53c895a,romsize=4096", MPQ_ERROR_REFUSED, "-device lsi53c895a,romsize=4096: "
	  "Property 'lsi53c895a.romsize' is not supported by mpqemu-remote" },
	{ "-device lsi53c895a,multifunction=on", MPQ_ERROR_REFUSED, NULL },
	{ "-device edu,dma_mask=0xfff", MPQ_ERROR_REFUSED, NULL },
	{ "-device virtio-net-pci", MPQ_ERROR_USAGE,
	  "-device virtio-net-pci: 'virtio-net-pci' is not a valid device model name" },
	{ "-device '{\"driver\":\"edu\",\"id\":5}'", MPQ_ERROR_USAGE, "-device {\"driver\":\"edu\","
	  "\"id\":5}: Invalid parameter type for 'id', expected: string" },
	{ "-device '{\"driver\":\"edu\",\"id\":\"1\"}'", MPQ_ERROR_USAGE, NULL },
	{ "-device '{\"driver\":\"edu\",\"bus\":1}'", MPQ_ERROR_USAGE, NULL },
	{ "-device '{\"driver\":\"edu\",\"addr\":{\"a\":1}}'", MPQ_ERROR_USAGE, NULL },
	{ "-device edu -device edu -device edu -device edu -device edu -device edu -device edu "
	  "-device edu -device edu", MPQ_ERROR_REFUSED,
	  "-device edu: mpqemu-remote serves 8 devices in one process at the most" },
	{ "-device edu,id=a1234567890123456789012345678901234567890123456789012345678901234",
	  MPQ_ERROR_USAGE, NULL },
	/* (QEMU 7.2 fails an assertion here) */
	{ "-global lsi53c895a.addr=zz -device lsi53c810", MPQ_ERROR_USAGE, "-device lsi53c810: "
	  "can't apply global lsi53c895a.addr=zz: Property 'lsi53c895a.addr' doesn't take value "
	  "'zz'" },
	/* disks */
	{ L "-device scsi-cd,bus=pcie.0", MPQ_ERROR_USAGE,
	  "-device scsi-cd,bus=pcie.0: Device 'scsi-cd' can't go on PCIE bus" },
	{ L "-device scsi-cd,scsi-id=7", MPQ_ERROR_USAGE,
	  "-device scsi-cd,scsi-id=7: bad scsi device id: 7 (it is the controller's own)" },
	{ L "-device scsi-cd,id=c,scsi-id=1,lun=2 -device scsi-cd,scsi-id=1,lun=2",
	  MPQ_ERROR_USAGE, "-device scsi-cd,scsi-id=1,lun=2: lun already used by 'c'" },
	{ L "-device scsi-cd -device scsi-cd -device scsi-cd -device scsi-cd -device scsi-cd "
	  "-device scsi-cd -device scsi-cd -device scsi-cd", MPQ_ERROR_USAGE,
	  "-device scsi-cd: no free target" },
	{ L "-device scsi-cd,scsi-id=0 -device scsi-cd,scsi-id=0 -device scsi-cd,scsi-id=0 -device "
	  "scsi-cd,scsi-id=0 -device scsi-cd,scsi-id=0 -device scsi-cd,scsi-id=0 -device "
	  "scsi-cd,scsi-id=0 -device scsi-cd,scsi-id=0 -device scsi-cd,scsi-id=0", MPQ_ERROR_USAGE,
	  "-device scsi-cd,scsi-id=0: no free lun" },
	{ L D "-device scsi-hd,drive=d,cyls=5", MPQ_ERROR_REFUSED, NULL },
	{ L D "-device scsi-hd,drive=d,scsi_version=256", MPQ_ERROR_USAGE, NULL },
	{ L D "-device scsi-hd,drive=d,opt_io_size=100", MPQ_ERROR_USAGE,
	  "-device scsi-hd,drive=d,opt_io_size=100: opt_io_size must be a multiple of "
	  "logical_block_size" },
	{ L D "-device scsi-hd,drive=d,min_io_size=8G", MPQ_ERROR_USAGE, NULL },
	{ L "-blockdev null-co,node-name=n -device scsi-hd,drive=n -device scsi-hd,drive=n",
	  MPQ_ERROR_USAGE, "-device scsi-hd,drive=n: Permission conflict on node 'n': it is "
	  "already in use by another device" },
	{ L "-blockdev null-co,node-name=n -blockdev raw,file=n,node-name=r -device "
	  "scsi-hd,drive=r -device scsi-hd,drive=n", MPQ_ERROR_USAGE, NULL },
	{ L "-blockdev null-co,node-name=n -blockdev raw,file=n,node-name=r -device "
	  "scsi-hd,drive=n -device scsi-hd,drive=r", MPQ_ERROR_USAGE, NULL },
	/* drives */
	{ "-drive if=none,id=d,file=/x,snapshot=on", MPQ_ERROR_REFUSED, "-drive if=none,id=d,"
	  "file=/x,snapshot=on: snapshot=on is not supported by mpqemu-remote" },
	{ "-drive id=d,file=/x,copy-on-read=on", MPQ_ERROR_REFUSED, NULL },
	{ "-drive id=d,file=/x,throttling.bps-total=5", MPQ_ERROR_REFUSED, NULL },
	{ "-drive id=d,file=/x,iops=5", MPQ_ERROR_REFUSED, NULL },
	{ "-drive id=d,file=iscsi://a/b", MPQ_ERROR_REFUSED, NULL },
	{ "-drive id=d,file=null-co://x", MPQ_ERROR_USAGE, NULL },
	{ "-drive id=d,file=nbd+unix:///x", MPQ_ERROR_USAGE, "-drive id=d,file=nbd+unix:///x: "
	  "Invalid URI" },
	{ "-drive id=d,file=json:x", MPQ_ERROR_USAGE, NULL },
	{ "-drive 'id=d,file=json:{\"file\":\"n\"}'", MPQ_ERROR_REFUSED, NULL },
	{ "-drive 'id=d,file=json:{\"driver\":\"raw\"'", MPQ_ERROR_USAGE, NULL },
	{ "-drive id=d,format=raw,file=/dev/fdset/x", MPQ_ERROR_USAGE,
	  "-drive id=d,format=raw,file=/dev/fdset/x: Could not parse fdset /dev/fdset/x" },
	/* nodes: a reference to a later node, to itself, a drive's id */
	{ "-blockdev raw,node-name=r,file=n -blockdev null-co,node-name=n", MPQ_ERROR_USAGE, NULL },
	{ "-blockdev raw,node-name=r,file=r", MPQ_ERROR_USAGE, NULL },
	{ "-blockdev qcow2,node-name=q,file.driver=nope", MPQ_ERROR_USAGE, NULL },
	{ "-blockdev qcow2,node-name=q,file.driver=null-co,backing=x", MPQ_ERROR_USAGE, NULL },
	{ "-blockdev '{\"driver\":\"raw\",\"node-name\":\"r\",\"file\":5}'",
	  MPQ_ERROR_USAGE, NULL },
	{ "-blockdev '{\"driver\":\"raw\",\"node-name\":\"r\",\"file\":{}}'",
	  MPQ_ERROR_USAGE, NULL },
	/* objects */
	{ L "-object x-remote-object,id=o,devid=nope,fd=3", MPQ_ERROR_USAGE,
	  "-object x-remote-object,id=o,devid=nope,fd=3: Device 'nope' not found" },
	{ L "-device scsi-cd,id=c -object x-remote-object,id=o,devid=c,fd=3", MPQ_ERROR_USAGE,
	  "-object x-remote-object,id=o,devid=c,fd=3: c is not a PCI device" },
	{ LO "-object x-remote-object,id=p,devid=l,fd=3", MPQ_ERROR_USAGE,
	  "-object x-remote-object,id=p,devid=l,fd=3: device 'l' already has the x-remote-object "
	  "'o'" },
	{ LO "-device edu,id=e -object x-remote-object,id=p,devid=e,fd=9", MPQ_ERROR_USAGE,
	  "-object x-remote-object,id=p,devid=e,fd=9: '9' is already in use by object 'o'" },
	{ LO "-device edu,id=e -object x-remote-object,id=o,devid=e,fd=8", MPQ_ERROR_USAGE,
	  "-object x-remote-object,id=o,devid=e,fd=8: Duplicate ID 'o' for object" },
	{ L "-object x-remote-object,id=o,devid=l,fd=3,path=/x", MPQ_ERROR_USAGE, NULL },
	{ L "-object x-remote-object,id=o,devid=l,path=", MPQ_ERROR_USAGE, NULL },
	{ L "-object x-remote-object,id=o,devid=l,fd=", MPQ_ERROR_USAGE, NULL },
	{ L "-object x-remote-object,id=o,devid=l,fd=-1", MPQ_ERROR_USAGE, NULL },
	{ L "-object x-remote-object,id=o,devid=l,fd=3x", MPQ_ERROR_USAGE, NULL },
	{ L "-object x-remote-object,id=o,devid=l,fd=99999999999", MPQ_ERROR_USAGE, NULL },
	{ L "-object x-remote-object,id=o,devid=l,path=/x,server=maybe", MPQ_ERROR_USAGE, NULL },
	{ L "-object memory-backend-ram,id=m,size=1M", MPQ_ERROR_USAGE, NULL },
	{ L "-object secret,data=x", MPQ_ERROR_USAGE,
	  "-object secret,data=x: Parameter 'id' is missing" },
};

static void test_bad(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		line_assert_refused(&bad[i]);
}

/* The longest argument that Linux passes on (MAX_ARG_STRLEN). */
#define ARG_MAX_BYTES (128u << 10)

/* Each option with one of that length: an answer, and a short one. */
static void test_huge(void)
{
	static const char *const options[] = {
		"-device", "-drive", "-blockdev", "-object", "-machine", "-name", "-uuid", "-msg",
		"-add-fd", "-d", "-serial", "-m", "-pidfile",
	};
	static const char *const fills[] = { "a", ",", "=", "a=", ".", "{", "[", "a,", "\x7f\x01",
					     "{\"a\":" };

	for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
		for (size_t k = 0; k < G_N_ELEMENTS(fills); k++) {
			g_autoptr(GString) text = g_string_new(NULL);
			g_autoptr(GError) error = NULL;
			struct remote_plan plan;
			char name[] = "x", *argv[] = { name, NULL, NULL, NULL };

			while (text->len < ARG_MAX_BYTES)
				g_string_append(text, fills[k]);
			argv[1] = (char *)(uintptr_t)options[i];
			argv[2] = text->str;
			g_assert_false(remote_plan_parse(3, argv, &plan, &error));
			g_assert_cmpuint(strlen(error->message), <, 900);
			remote_plan_finish(&plan);
		}
	}
}

/* A file=json: that nests, in a -drive. */
static void test_huge_json_drive(void)
{
	g_autoptr(GString) text = g_string_new("id=d,file=json:{\"a\":");
	g_autoptr(GError) error = NULL;
	struct remote_plan plan;
	char name[] = "x", option[] = "-drive", *argv[] = { name, option, NULL, NULL };

	while (text->len < 1 << 20)
		g_string_append(text, "[");
	argv[2] = text->str;
	g_assert_false(remote_plan_parse(3, argv, &plan, &error));
	remote_plan_finish(&plan);
}

/* ---- What comes out ---- */

static void print_image(GString *out, const struct plan_image *image)
{
	static const char *const aios[] = { "threads", "native", "io_uring" };

	if (!image->driver) {
		g_string_append(out, "  empty\n");
		return;
	}
	g_string_append_printf(out, "  %s/%s%s%s", image->driver, image->protocol,
			       image->probe ? " probe" : "", image->native ? " native" : "");
	if (image->filename)
		g_string_append_printf(out, " file=%s", image->filename);
	if (image->fdset >= 0)
		g_string_append_printf(out, " fdset=%d", image->fdset);
	if (image->null_size)
		g_string_append_printf(out, " size=%" G_GUINT64_FORMAT, image->null_size);
	g_string_append_printf(out, "%s%s%s%s%s%s%s%s", image->readonly ? " ro" : "",
			       image->auto_readonly ? " auto-ro" : "",
			       image->direct ? " direct" : "", image->no_flush ? " no-flush" : "",
			       image->writeback ? "" : " wt", image->discard ? " discard" : "",
			       image->share_rw ? " share" : "", image->locking ? "" : " no-lock");
	if (image->detect_zeroes)
		g_string_append_printf(out, " zeroes=%d", image->detect_zeroes);
	if (image->aio)
		g_string_append_printf(out, " %s", aios[image->aio]);
	g_string_append_c(out, '\n');
}

static char *print_plan(const struct remote_plan *plan)
{
	static const char *const actions[] = { "report", "ignore", "stop", "enospc" };
	GString *out = g_string_new(NULL);

	for (unsigned i = 0; i < plan->spec->device_count; i++)
		g_string_append_printf(out, "%s %s peer=%d:%d:%s%s\n",
				       plan->spec->device[i].driver, plan->spec->device[i].id,
				       plan->peer[i].kind, plan->peer[i].fd,
				       plan->peer[i].name ? plan->peer[i].name : "",
				       plan->peer[i].server ? " server" : "");
	for (unsigned i = 0; i < plan->spec->disk_count; i++) {
		const struct spec_disk *disk = &plan->spec->disk[i];

		g_string_append_printf(out, "%s %s@%u:%u:%u%s%s %s/%s",
				       disk->unit.type == SCSI_UNIT_CDROM ? "cd" : "hd",
				       disk->unit.id, disk->device, disk->unit.target,
				       disk->unit.lun, disk->unit.write_cache ? " wce" : "",
				       disk->unit.readonly ? " ro" : "",
				       actions[disk->unit.werror], actions[disk->unit.rerror]);
		g_string_append_printf(out, "%s%s\n",
				       disk->unit.waits & SCSI_HOLD_WRITE ? " write-stops" : "",
				       disk->unit.waits & SCSI_HOLD_READ ? " read-stops" : "");
		print_image(out, &plan->image[i]);
	}
	return g_string_free(out, FALSE);
}

#define L_OUT "lsi53c895a l peer=1:9:\n"
#define HD_OUT "hd d@0:0:0 wce enospc/report\n"

static const struct {
	const char *line;
	const char *out;
} good[] = {
	/* the seed's command line, as it stands */
	{ "-machine x-remote -device lsi53c895a,id=lsi0 -drive id=drive_image2,file=X.qcow2 "
	  "-device scsi-hd,id=drive2,drive=drive_image2,bus=lsi0.0,scsi-id=0 "
	  "-object x-remote-object,id=robj1,devid=lsi0,fd=4,",
	  "lsi53c895a lsi0 peer=1:4:\n"
	  "hd drive2@0:0:0 wce enospc/report\n"
	  "  raw/file probe native file=X.qcow2 auto-ro\n" },
	{ "-nodefaults -no-user-config -nographic -display none -monitor none -serial none -S "
	  "-parallel none -vga none " LO, L_OUT },
	/* the same in JSON, and through both names of the driver */
	{ "-device '{\"driver\":\"lsi\",\"id\":\"l\"}' "
	  "-object '{\"qom-type\":\"x-remote-object\",\"id\":\"o\",\"devid\":\"l\",\"fd\":\"9\"}' "
	  "-blockdev '{\"driver\":\"file\",\"node-name\":\"f\",\"filename\":\"/a,b\","
	  "\"cache\":{\"direct\":true},\"aio\":\"native\"}' "
	  "-blockdev '{\"driver\":\"raw\",\"node-name\":\"r\",\"file\":\"f\"}' "
	  "-device '{\"driver\":\"scsi-hd\",\"drive\":\"r\",\"lun\":1,\"scsi-id\":3,"
	  "\"write-cache\":\"off\",\"share-rw\":true}'",
	  L_OUT "hd r@0:3:1 enospc/report\n  raw/file native file=/a,b direct share native\n" },
	/* peers */
	{ L "-object x-remote-object,id=o,devid=l,path=/run/s,,x",
	  "lsi53c895a l peer=3:-1:/run/s,x\n" },
	{ L "-object x-remote-object,id=o,devid=l,fd=lsi", "lsi53c895a l peer=2:-1:lsi\n" },
	{ LO "-device edu,id=e -object x-remote-object,id=p,devid=e,fd=3 -device lsi53c810,id=f",
	  L_OUT "edu e peer=1:3:\nlsi53c810 f peer=0:-1:\n" },
	{ L "-object x-remote-object,id=o,devid=l,path=/s,server=on",
	  "lsi53c895a l peer=3:-1:/s server\n" },
	{ L "-object x-remote-object,id=o,devid=l,fd=9,server=off", L_OUT },
	/* addresses */
	{ LO "-device scsi-cd -device scsi-cd,scsi-id=3,lun=4 -device scsi-cd,scsi-id=3 "
	  "-device scsi-cd,scsi-id=3 -device scsi-cd,lun=4",
	  L_OUT "cd l.0:0:0@0:0:0 wce ro enospc/report\n  empty\n"
	  "cd l.0:3:4@0:3:4 wce ro enospc/report\n  empty\n"
	  "cd l.0:3:0@0:3:0 wce ro enospc/report\n  empty\n"
	  "cd l.0:3:1@0:3:1 wce ro enospc/report\n  empty\n"
	  "cd l.0:0:4@0:0:4 wce ro enospc/report\n  empty\n" },
	{ LO "-device lsi53c895a -device lsi53c895a -device scsi-cd,bus=scsi.1 -device "
	  "scsi-cd,bus=l.0 -device scsi-cd,bus=scsi.0", L_OUT
	  "lsi53c895a  peer=0:-1:\nlsi53c895a  peer=0:-1:\n"
	  "cd scsi.0:0:0@2:0:0 wce ro enospc/report\n  empty\n"
	  "cd l.0:0:0@0:0:0 wce ro enospc/report\n  empty\n"
	  "cd scsi.0:0:0@1:0:0 wce ro enospc/report\n  empty\n" },
	{ "-global scsi-hd.werror=stop -global driver=scsi-disk-base,property=lun,value=3 "
	  "-global virtio-blk-pci.serial=a,b=c " L
	  "-drive id=d,driver=null-co,size=0 -global scsi-hd.drive=d -device scsi-hd,lun=1 "
	  "-device '{\"driver\":\"scsi-cd\"}' " O,
	  L_OUT "hd d@0:0:1 wce stop/report\n  raw/null-co native auto-ro\n"
	  "cd l.0:0:3@0:0:3 wce ro enospc/report\n  empty\n" },
	/* drives */
	{ LO D HD, L_OUT HD_OUT "  raw/file native file=/x auto-ro\n" },
	{ LO "-drive if=none,id=d,file=/x,format=raw,cache=none,aio=native,discard=on,"
	  "detect-zeroes=unmap,werror=stop,rerror=ignore " HD,
	  L_OUT "hd d@0:0:0 wce stop/ignore\n"
	  "  raw/file native file=/x auto-ro direct discard zeroes=2 native\n" },
	{ LO "-drive id=d,file=/x,format=raw,cache=writethrough,readonly=on,file.locking=off " HD,
	  L_OUT "hd d@0:0:0 ro enospc/report\n  raw/file native file=/x ro auto-ro wt no-lock\n" },
	{ LO "-drive id=d,file=/x,format=raw,cache=unsafe,werror=stop "
	  "-device scsi-hd,drive=d,werror=report,rerror=stop",
	  L_OUT "hd d@0:0:0 wce report/stop\n  raw/file native file=/x auto-ro no-flush\n" },
	/* --on-error, before or after; what the drive or the device says counts more */
	{ "--on-error=report " LO D HD,
	  L_OUT "hd d@0:0:0 wce report/report\n  raw/file native file=/x auto-ro\n" },
	{ LO D HD "--on-error=hold",
	  L_OUT "hd d@0:0:0 wce stop/stop\n  raw/file native file=/x auto-ro\n" },
	{ LO D HD "--on-error=enospc-hold", L_OUT HD_OUT "  raw/file native file=/x auto-ro\n" },
	{ LO D HD "--on-error=stop",
	  L_OUT "hd d@0:0:0 wce report/report\n  raw/file native file=/x auto-ro\n" },
	{ LO D HD "--on-error=stop --qmp=/q",
	  L_OUT "hd d@0:0:0 wce stop/stop write-stops read-stops\n"
	  "  raw/file native file=/x auto-ro\n" },
	{ LO D HD "--on-error=hold --qmp=/q",
	  L_OUT "hd d@0:0:0 wce stop/stop\n  raw/file native file=/x auto-ro\n" },
	{ LO D HD "--qmp=/q", L_OUT HD_OUT "  raw/file native file=/x auto-ro\n" },
	{ LO "-drive id=d,file=/x,format=raw,werror=enospc " HD "--qmp=/q",
	  L_OUT "hd d@0:0:0 wce enospc/report write-stops\n"
	  "  raw/file native file=/x auto-ro\n" },
	{ LO D "-device scsi-hd,drive=d,rerror=stop --qmp=/q --on-error=report",
	  L_OUT "hd d@0:0:0 wce report/stop read-stops\n  raw/file native file=/x auto-ro\n" },
	{ LO D "-device scsi-hd,drive=d,werror=stop --on-error=stop",
	  L_OUT "hd d@0:0:0 wce stop/report\n  raw/file native file=/x auto-ro\n" },
	{ LO "-device scsi-cd --on-error=report --on-error=ignore",
	  L_OUT "cd l.0:0:0@0:0:0 wce ro ignore/ignore\n  empty\n" },
	{ LO "-drive id=d,file=/x,format=raw,werror=enospc "
	  "-device scsi-hd,drive=d,rerror=report --on-error=ignore",
	  L_OUT "hd d@0:0:0 wce enospc/report\n  raw/file native file=/x auto-ro\n" },
	{ LO "-drive id=d,file=/x,format=raw,werror=report "
	  "-device scsi-hd,drive=d,werror=auto --on-error=hold",
	  L_OUT "hd d@0:0:0 wce report/stop\n  raw/file native file=/x auto-ro\n" },
	{ LO "-drive id=d,file=/x,format=raw,offset=512,size=1M " HD,
	  L_OUT HD_OUT "  raw/file file=/x auto-ro\n" },
	{ LO "-drive id=d,file.driver=host_device,file.filename=/dev/x,format=raw " HD,
	  L_OUT HD_OUT "  raw/host_device native file=/dev/x auto-ro\n" },
	{ LO "-drive id=d,file=file:/x,driver=qcow2,lazy-refcounts=on " HD,
	  L_OUT HD_OUT "  qcow2/file file=/x auto-ro\n" },
	{ LO "-drive id=d,driver=null-co,size=1M,latency-ns=1500 " HD,
	  L_OUT HD_OUT "  raw/null-co native size=1048576 auto-ro\n" },
	{ LO "-drive id=d,file=null-co://,format=raw,file.size=4k " HD,
	  L_OUT HD_OUT "  raw/null-co native size=4096 auto-ro\n" },
	{ LO "-drive id=d,file=nbd:unix:/s:exportname=e,format=raw " HD,
	  L_OUT HD_OUT "  raw/nbd auto-ro\n" },
	{ LO "-drive 'id=d,file=json:{\"driver\":\"qcow2\",,\"file\":{\"driver\":\"file\",,"
	  "\"filename\":\"/x\"}}' " HD, L_OUT HD_OUT "  qcow2/file file=/x auto-ro\n" },
	{ LO "-drive if=none,id=d,media=cdrom,file=/x -device scsi-cd,drive=d",
	  L_OUT "cd d@0:0:0 wce ro enospc/report\n  raw/file probe native file=/x ro auto-ro\n" },
	{ LO "-drive if=none,id=d -device scsi-cd,drive=d",
	  L_OUT "cd d@0:0:0 wce ro enospc/report\n  empty\n" },
	{ LO "-drive if=none,id=d,node-name=n,file=/x,format=raw -device scsi-hd,drive=n",
	  L_OUT HD_OUT "  raw/file native file=/x auto-ro\n" },
	{ LO "-drive id=d,file=/dev/fdset/7,format=raw " HD,
	  L_OUT HD_OUT "  raw/file native file=/dev/fdset/7 fdset=7 auto-ro\n" },
	/* nodes: nested ones inherit, separate ones do not */
	{ LO "-blockdev raw,node-name=d,discard=unmap,cache.direct=on,file.driver=file,"
	  "file.filename=/x " HD,
	  L_OUT HD_OUT "  raw/file native file=/x direct discard\n" },
	{ LO "-blockdev file,node-name=f,filename=/x -blockdev raw,node-name=d,discard=unmap,"
	  "cache.direct=on,read-only=on,file=f " HD,
	  L_OUT "hd d@0:0:0 wce ro enospc/report\n  raw/file native file=/x ro\n" },
	{ LO "-blockdev file,node-name=f,filename=/x,discard=unmap,cache.no-flush=on -blockdev "
	  "raw,node-name=d,discard=unmap,file=f " HD,
	  L_OUT HD_OUT "  raw/file native file=/x no-flush discard\n" },
	{ LO "-blockdev null-co,node-name=d,size=512 " HD,
	  L_OUT HD_OUT "  raw/null-co native size=512\n" },
	{ LO "-blockdev file,node-name=f,filename=/x -blockdev qcow2,node-name=d,file=f " HD,
	  L_OUT HD_OUT "  qcow2/file file=/x\n" },
	{ LO "-blockdev file,node-name=d,filename=/x,pr-manager=p " HD,
	  L_OUT HD_OUT "  raw/file file=/x\n" },
};

static void test_good(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *out = NULL;
		struct remote_plan plan;

		g_test_message("%s", good[i].line);
		line_parse(good[i].line, &plan, &error);
		g_assert_no_error(error);
		g_assert_cmpint(plan.action, ==, PLAN_RUN);
		out = print_plan(&plan);
		g_assert_cmpstr(out, ==, good[i].out);
		remote_plan_finish(&plan);
	}
}

/* A graph is the nodes that the disk needs, each as it was written, in order. */
static void test_graph(void)
{
	static const char *const want[] = {
		"file,node-name=base,filename=/b,read-only=on",
		"{\"driver\":\"file\",\"node-name\":\"f\",\"filename\":\"/x\"}",
		"qcow2,node-name=d,file=f,backing=base",
	};
	g_autoptr(GError) error = NULL;
	struct remote_plan plan;

	line_parse(LO "-blockdev file,node-name=base,filename=/b,read-only=on "
	      "-blockdev null-co,node-name=other "
	      "-blockdev '{\"driver\":\"file\",\"node-name\":\"f\",\"filename\":\"/x\"}' "
	      "-blockdev qcow2,node-name=d,file=f,backing=base " HD, &plan, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(plan.image[0].graph->len, ==, G_N_ELEMENTS(want));
	for (size_t i = 0; i < G_N_ELEMENTS(want); i++) {
		/* QEMU's order is that of the command line; ours is what each node needs */
		g_autofree char *text = opt_set_to_text(plan.image[0].graph->pdata[i], NULL);
		bool found = false;

		for (size_t k = 0; k < G_N_ELEMENTS(want); k++)
			found |= !strcmp(text, want[k]);
		g_assert_true(found);
	}
	g_assert_cmpstr(plan.image[0].node, ==, "d");
	remote_plan_finish(&plan);
}

static void test_set_format(void)
{
	static const struct {
		const char *line, *format;
		bool native;
	} rows[] = {
		{ "-drive id=d,file=/x ", "qcow2", false },
		{ "-drive id=d,file=/x ", "raw", true },
		{ "-drive id=d,file=/x,lazy-refcounts=on ", "raw", false },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *line = g_strconcat(LO, rows[i].line, HD, NULL);
		g_autoptr(GError) error = NULL;
		struct remote_plan plan;
		const struct opt_set *top;

		line_parse(line, &plan, &error);
		g_assert_no_error(error);
		g_assert_true(plan.image[0].probe);
		plan_image_set_format(&plan.image[0], rows[i].format);
		plan_image_set_protocol(&plan.image[0], "host_device");
		g_assert_cmpint(plan.image[0].native, ==, rows[i].native);
		g_assert_cmpstr(plan.image[0].driver, ==, rows[i].format);
		top = plan.image[0].graph->pdata[0];
		g_assert_cmpstr(opt_get(top, "driver"), ==, rows[i].format);
		g_assert_cmpstr(opt_get(top, "file.driver"), ==, "host_device");
		remote_plan_finish(&plan);
	}
}

/* Names, numbers and strings of a disk, cut as QEMU cuts them. */
static void test_unit(void)
{
	g_autoptr(GError) error = NULL;
	const struct scsi_unit_config *unit;
	struct remote_plan plan;

	line_parse(LO D "-device scsi-hd,drive=d,id=disk,"
		   "serial=01234567890123456789012345678901234567,"
		   "vendor=123456789,product=12345678901234567,ver=12345,wwn=0x5000c50000000001,"
		   "port_wwn=2,port_index=3,logical_block_size=4k,physical_block_size=8k,"
		   "min_io_size=8k,opt_io_size=1M,discard_granularity=64k,rotation_rate=1,"
		   "dpofua=on,removable=on,scsi_version=6,max_unmap_size=4096,max_io_size=65536,"
		   "bootindex=1", &plan, &error);
	g_assert_no_error(error);
	unit = &plan.spec->disk[0].unit;
	g_assert_cmpstr(unit->serial, ==, "012345678901234567890123456789012345");
	g_assert_cmpstr(unit->device_id, ==, "01234567890123456789");
	g_assert_cmpstr(unit->vendor, ==, "12345678");
	g_assert_cmpstr(unit->product, ==, "1234567890123456");
	g_assert_cmpstr(unit->version, ==, "1234");
	g_assert_cmphex(unit->wwn, ==, 0x5000c50000000001);
	g_assert_cmphex(unit->port_wwn, ==, 2);
	g_assert_cmpuint(unit->port_index, ==, 3);
	g_assert_cmpuint(unit->logical_block_size, ==, 4096);
	g_assert_cmpuint(unit->physical_block_size, ==, 8192);
	g_assert_cmpuint(unit->min_io_size, ==, 8192);
	g_assert_cmpuint(unit->opt_io_size, ==, 1 << 20);
	g_assert_cmpuint(unit->discard_granularity, ==, 65536);
	g_assert_cmpuint(unit->rotation_rate, ==, 1);
	g_assert_cmpuint(unit->dpofua, ==, 1);
	g_assert_cmpuint(unit->removable, ==, 1);
	g_assert_cmpuint(unit->scsi_version, ==, 6);
	g_assert_cmpuint(unit->max_unmap_size, ==, 4096);
	g_assert_cmpuint(unit->max_io_size, ==, 65536);
	remote_plan_finish(&plan);
}

static void test_unit_defaults(void)
{
	g_autoptr(GError) error = NULL;
	const struct scsi_unit_config *unit;
	struct remote_plan plan;

	line_parse(LO D HD "-device scsi-cd", &plan, &error);
	g_assert_no_error(error);
	unit = &plan.spec->disk[0].unit;
	g_assert_cmpstr(unit->vendor, ==, "QEMU");
	g_assert_cmpstr(unit->product, ==, "QEMU HARDDISK");
	g_assert_cmpstr(unit->version, ==, "2.5+");
	g_assert_cmpstr(unit->serial, ==, "");
	g_assert_cmpstr(unit->device_id, ==, "d");
	g_assert_cmpuint(unit->logical_block_size, ==, 512);
	g_assert_cmpuint(unit->discard_granularity, ==, UINT32_MAX);
	g_assert_cmpuint(unit->max_unmap_size, ==, 1 << 30);
	g_assert_cmpuint(unit->max_io_size, ==, INT32_MAX);
	g_assert_cmpuint(unit->scsi_version, ==, 5);
	unit = &plan.spec->disk[1].unit;
	g_assert_cmpstr(unit->product, ==, "QEMU CD-ROM");
	g_assert_cmpuint(unit->logical_block_size, ==, 2048);
	g_assert_cmpuint(unit->removable, ==, 1);
	remote_plan_finish(&plan);
}

static void test_process(void)
{
	g_autoptr(GError) error = NULL;
	struct remote_plan plan;

	line_parse(LO "-name vm,process=p,debug-threads=on -pidfile a -pidfile /p -daemonize -D /l "
	      "-d guest_errors,unimp -msg timestamp=on,guest-name=on "
	      "-uuid 2f1c9f1e-0f6b-4f4b-9a55-6a5a3a3f0f01 -object secret,id=s,data=x", &plan,
	      &error);
	g_assert_no_error(error);
	g_assert_cmpstr(plan.name, ==, "vm");
	g_assert_cmpstr(plan.process, ==, "p");
	g_assert_cmpstr(plan.pidfile, ==, "/p");
	g_assert_cmpstr(plan.logfile, ==, "/l");
	g_assert_cmpstr(plan.uuid, ==, "2f1c9f1e-0f6b-4f4b-9a55-6a5a3a3f0f01");
	g_assert_true(plan.daemonize && plan.debug && plan.msg_timestamp && plan.msg_guest_name);
	g_assert_cmpuint(plan.object->len, ==, 1);
	g_assert_cmpuint(plan.warnings->len, ==, 0);
	remote_plan_finish(&plan);
	line_parse(LO D "-device edu", &plan, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(plan.warnings->len, ==, 2);
	remote_plan_finish(&plan);
}

static void test_add_fd(void)
{
	g_autoptr(GError) error = NULL;
	struct remote_plan plan;
	int ro = open("/dev/null", O_RDONLY), rw = open("/dev/null", O_RDWR);
	g_autofree char *line = g_strdup_printf(LO "-add-fd fd=%d,set=1 -add-fd fd=%d,set=2 "
						"-add-fd fd=%d,set=1", ro, ro, rw);
	g_autofree char *closed = NULL;

	g_assert_true(ro > 2 && rw > 2);
	line_parse(line, &plan, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(plan.fd_count, ==, 3);
	g_assert_cmpint(remote_plan_fdset(&plan, 1, false), ==, ro);
	g_assert_cmpint(remote_plan_fdset(&plan, 1, true), ==, rw);
	g_assert_cmpint(remote_plan_fdset(&plan, 2, false), ==, ro);
	g_assert_cmpint(remote_plan_fdset(&plan, 2, true), ==, -1);
	g_assert_cmpint(remote_plan_fdset(&plan, 3, false), ==, -1);
	remote_plan_finish(&plan);
	close(ro);
	fcntl(rw, F_SETFD, FD_CLOEXEC);
	g_assert_false(line_parse(line, &plan, &error));
	remote_plan_finish(&plan);
	g_clear_error(&error);
	closed = g_strdup_printf("-add-fd fd=%d,set=1", rw);
	g_assert_false(line_parse(closed, &plan, &error));
	g_assert_true(g_str_has_suffix(error->message, ": fd is not valid or already in use"));
	remote_plan_finish(&plan);
	close(rw);
}

/* Each help text fits a terminal of 80 columns, that of -help also one of 40 lines. */
static void test_help(void)
{
	static const struct {
		const char *line, *first;
	} rows[] = {
		{ "-help", "usage: mpqemu-remote [OPTIONS]" }, { "--h -foo=bar", NULL },
		{ "-h", "usage: mpqemu-remote [OPTIONS]" }, { "-version", NULL },
		{ "-machine help", "Supported machines are:" },
		{ "-device help", "Storage devices:" }, { "-device edu,help", "edu options:" },
		{ "-object x-remote-object,help", "x-remote-object options:" },
		{ "-object x-vfio-user-server,help", "x-vfio-user-server options:" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		g_auto(GStrv) lines = NULL;
		struct remote_plan plan;
		bool ok = line_parse(rows[i].line, &plan, &error);

		if (strstr(rows[i].line, "-foo")) {	/* a bad option after -help counts */
			g_assert_false(ok);
			remote_plan_finish(&plan);
			continue;
		}
		g_assert_no_error(error);
		g_assert_cmpint(plan.action, ==, PLAN_PRINT);
		lines = g_strsplit(plan.output, "\n", -1);
		if (rows[i].first)
			g_assert_cmpstr(lines[0], ==, rows[i].first);
		else
			g_assert_true(g_str_has_prefix(lines[0], "mpqemu-remote version "));
		g_assert_cmpuint(g_strv_length(lines), <, 40);
		for (size_t k = 0; lines[k] && !strcmp(rows[i].line, "-help"); k++)
			g_assert_cmpuint(strlen(lines[k]), <=, 80);
		remote_plan_finish(&plan);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/remote/bad", test_bad);
	g_test_add_func("/remote/huge", test_huge);
	g_test_add_func("/remote/huge-json-drive", test_huge_json_drive);
	g_test_add_func("/remote/good", test_good);
	g_test_add_func("/remote/graph", test_graph);
	g_test_add_func("/remote/set-format", test_set_format);
	g_test_add_func("/remote/unit", test_unit);
	g_test_add_func("/remote/unit-defaults", test_unit_defaults);
	g_test_add_func("/remote/process", test_process);
	g_test_add_func("/remote/add-fd", test_add_fd);
	g_test_add_func("/remote/help", test_help);
	return g_test_run();
}
