/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/remoteopts.h"

#include <stddef.h>
#include <string.h>

/* Rows of options that take a word and those that do not. */
#define WORD(name, handler, args, help) \
	{ name, OPTION_HAS_ARG, remote_option_##handler, args, help, 0 }
#define WORD_AT(name, member, args, help) \
	{ name, OPTION_HAS_ARG, remote_option_string, args, help, \
	  offsetof(struct remote_plan, member) }
#define FLAG(name, handler, help) { name, 0, remote_option_##handler, NULL, help, 0 }
#define FLAG_AT(name, member, help) \
	{ name, 0, remote_option_flag, NULL, help, offsetof(struct remote_plan, member) }
/* "--NAME=A|B|C": the index of the word goes to a uint8_t. */
#define OWN_CHOICE_AT(name, member, words, help) \
	{ name, OPTION_HAS_ARG | OPTION_OWN, remote_option_choice, words, help, \
	  offsetof(struct remote_plan, member) }
#define OWN_FLAG_AT(name, member, help) \
	{ name, OPTION_OWN, remote_option_flag, NULL, help, offsetof(struct remote_plan, member) }
#define OWN_AT(name, member, args, help) \
	{ name, OPTION_HAS_ARG | OPTION_OWN, remote_option_string, args, help, \
	  offsetof(struct remote_plan, member) }
#define IGNORED(name) { name, OPTION_HIDDEN, remote_option_ignore, NULL, NULL, 0 }
#define IGNORED_WORD(name) \
	{ name, OPTION_HIDDEN | OPTION_HAS_ARG, remote_option_ignore, NULL, NULL, 0 }
#define NONE(name) { name, OPTION_HIDDEN | OPTION_HAS_ARG, remote_option_none, NULL, NULL, 0 }
#define REFUSED(name, why) { name, OPTION_HIDDEN, remote_option_refuse, NULL, why, 0 }
#define REFUSED_WORD(name, why) \
	{ name, OPTION_HIDDEN | OPTION_HAS_ARG, remote_option_refuse, NULL, why, 0 }

#define WHY_VM "RAM, CPUs and firmware are those of the QEMU at the other end"
#define WHY_DRIVE "use -drive with -device scsi-hd or scsi-cd"
#define WHY_MIGRATE "a remote device cannot be migrated"

const struct option_def remote_options[] = {
	/* those of -help, in its order */
	WORD("machine", machine, "x-remote[,vfio-user=on][,auto-shutdown=on]",
	     "allow x-vfio-user-server; end after the last client"),
	WORD("device", device, "DRIVER[,PROP=VALUE...]",
	     "a device; \"help\" lists them, \"DRIVER,help\" properties"),
	WORD("drive", drive, "[file=IMAGE][,id=ID][,format=F]...", "a disk image (if=none)"),
	WORD("blockdev", blockdev, "[driver=]DRIVER,node-name=NODE...", "a node of a block graph"),
	WORD("object", object, "x-remote-object,id=ID,devid=DEV,fd=N",
	     "DEV is served on N; see also x-vfio-user-server,help"),
	WORD("global", global, "DRIVER.PROP=VALUE", "a property of every device of that driver"),
	WORD("add-fd", add_fd, "fd=FD,set=SET[,opaque=TEXT]", "FD is /dev/fdset/SET"),
	WORD("name", name, "[guest=]NAME[,process=NAME]", "the VM's name, the process's name"),
	WORD("uuid", uuid, "UUID", "the VM's UUID"),
	WORD("qmp", qmp, "unix:PATH,server=on",
	     ",wait=off: QMP, or -mon; see --storage-folder=PATH"),
	{ "qmp-pretty", OPTION_HIDDEN | OPTION_HAS_ARG, remote_option_qmp, NULL, NULL, true },
	{ "mon", OPTION_HIDDEN | OPTION_HAS_ARG, remote_option_mon, NULL, NULL, 0 },
	{ "chardev", OPTION_HIDDEN | OPTION_HAS_ARG, remote_option_chardev, NULL, NULL, 0 },
	WORD_AT("pidfile", pidfile, "FILE", "the keeper's pid is written there"),
	FLAG_AT("daemonize", daemonize, "go on in the background once devices are served"),
	WORD("msg", msg, "[timestamp=on|off][,guest-name=on|off]", "what stands before messages"),
	WORD_AT("D", logfile, "FILE", "messages go to FILE instead of stderr"),
	WORD("d", debug, "ITEM[,ITEM...]", "log more: guest_errors, unimp, all"),
	FLAG("version", version, "print the version and exit"),
	FLAG("help", help, "print this and exit"),
	OWN_CHOICE_AT("on-error", on_error, PLAN_ON_ERROR_WORDS,
		      "a failed request without werror= or rerror="),
	OWN_CHOICE_AT("on-crash", on_crash, PLAN_ON_CRASH_WORDS,
		      "when its process dies; --watchdog=SECONDS"),
	{ "watchdog", OPTION_HAS_ARG | OPTION_OWN | OPTION_HIDDEN, remote_option_watchdog,
	  "SECONDS", NULL, 0 },
	OWN_CHOICE_AT("sandbox", sandbox, PLAN_SANDBOX_WORDS,
		      "how far the device process is shut in"),
	OWN_FLAG_AT("sandbox-report", sandbox_report,
		    "print what it allows, try what it forbids"),
	OWN_AT("qmp", qmp, "PATH|fd=N", "the VM's QMP socket, to stop the VM"),
	OWN_AT("events", events, "PATH|fd=N", "where events are written, as QMP has them"),
	OWN_AT("metrics", metrics, "PATH|fd=N",
	       "counters; --print-metrics=PATH [--json] shows them"),
	{ "storage-folder", OPTION_HAS_ARG | OPTION_OWN | OPTION_HIDDEN, remote_option_folder,
	  "PATH", NULL, 0 },
	{ "print-metrics", OPTION_HAS_ARG | OPTION_OWN | OPTION_HIDDEN, remote_option_string,
	  "PATH", NULL, offsetof(struct remote_plan, print_metrics) },
	{ "json", OPTION_OWN | OPTION_HIDDEN, remote_option_flag, NULL, NULL,
	  offsetof(struct remote_plan, json) },
	/* a program that runs remotes gives it */
	{ "control", OPTION_HAS_ARG | OPTION_OWN | OPTION_HIDDEN, remote_option_string, "fd=N",
	  NULL, offsetof(struct remote_plan, control) },
	/* mpqemu-proxy record and replay give it */
	{ "trace", OPTION_HAS_ARG | OPTION_OWN | OPTION_HIDDEN, remote_option_string, "fd=N", NULL,
	  offsetof(struct remote_plan, trace) },
	/* for bench/bench-remote: the least that a device process can cost */
	{ "empty-server", OPTION_OWN | OPTION_HIDDEN, remote_option_flag, NULL, NULL,
	  offsetof(struct remote_plan, empty_server) },
	/* the same under another name */
	{ "h", OPTION_HIDDEN, remote_option_help, NULL, NULL, 0 },
	{ "M", OPTION_HIDDEN | OPTION_HAS_ARG, remote_option_machine, NULL, NULL, 0 },
	/* harmless: they ask for what is so anyway */
	IGNORED("nodefaults"), IGNORED("no-user-config"), IGNORED("nographic"),
	IGNORED("no-reboot"), IGNORED("no-shutdown"), IGNORED("S"), IGNORED_WORD("compat"),
	NONE("display"), NONE("monitor"), NONE("serial"), NONE("parallel"), NONE("vga"),
	NONE("net"), NONE("nic"),
	/* what QEMU has and this program has not */
	{ "sandbox", OPTION_HIDDEN | OPTION_HAS_ARG, remote_option_sandbox, NULL,
	  "only \"on\" is; a level is given by --sandbox=LEVEL", 0 },
	REFUSED_WORD("runas", "start it as that user"),
	REFUSED_WORD("chroot", "start it there"),
	REFUSED_WORD("run-with", "start it as that user, or there"),
	REFUSED_WORD("m", WHY_VM), REFUSED_WORD("smp", WHY_VM), REFUSED_WORD("cpu", WHY_VM),
	REFUSED_WORD("accel", WHY_VM), REFUSED("enable-kvm", WHY_VM), REFUSED_WORD("numa", WHY_VM),
	REFUSED_WORD("mem-path", WHY_VM), REFUSED("mem-prealloc", WHY_VM),
	REFUSED_WORD("boot", WHY_VM), REFUSED_WORD("bios", WHY_VM), REFUSED_WORD("pflash", WHY_VM),
	REFUSED_WORD("kernel", WHY_VM), REFUSED_WORD("append", WHY_VM),
	REFUSED_WORD("initrd", WHY_VM), REFUSED_WORD("dtb", WHY_VM), REFUSED_WORD("smbios", WHY_VM),
	REFUSED_WORD("acpitable", WHY_VM), REFUSED_WORD("fw_cfg", WHY_VM),
	REFUSED_WORD("rtc", WHY_VM), REFUSED_WORD("icount", WHY_VM), REFUSED("no-acpi", WHY_VM),
	REFUSED("no-hpet", WHY_VM), REFUSED_WORD("option-rom", WHY_VM),
	REFUSED_WORD("overcommit", WHY_VM), REFUSED_WORD("action", WHY_VM),
	REFUSED("no-fd-bootchk", WHY_VM), REFUSED("win2k-hack", WHY_VM),
	REFUSED_WORD("xen-domid", WHY_VM), REFUSED("xen-attach", WHY_VM),
	REFUSED("xen-domid-restrict", WHY_VM), REFUSED_WORD("gdb", WHY_VM),
	REFUSED("s", WHY_VM), REFUSED("singlestep", WHY_VM),
	REFUSED("preconfig", "its monitor comes with its devices"), REFUSED_WORD("hda", WHY_DRIVE),
	REFUSED_WORD("hdb", WHY_DRIVE), REFUSED_WORD("hdc", WHY_DRIVE),
	REFUSED_WORD("hdd", WHY_DRIVE), REFUSED_WORD("cdrom", WHY_DRIVE),
	REFUSED_WORD("fda", WHY_DRIVE), REFUSED_WORD("fdb", WHY_DRIVE),
	REFUSED_WORD("sd", WHY_DRIVE), REFUSED_WORD("mtdblock", WHY_DRIVE),
	REFUSED("snapshot", "use an overlay image (qemu-img create -b)"),
	REFUSED_WORD("incoming", WHY_MIGRATE), REFUSED_WORD("loadvm", WHY_MIGRATE),
	REFUSED("only-migratable", WHY_MIGRATE), REFUSED_WORD("dump-vmstate", WHY_MIGRATE),
	REFUSED_WORD("readconfig", NULL), REFUSED_WORD("writeconfig", NULL),
	REFUSED_WORD("set", NULL), REFUSED_WORD("trace", NULL),
	REFUSED_WORD("dfilter", NULL), REFUSED_WORD("seed", NULL), REFUSED_WORD("plugin", NULL),
	REFUSED_WORD("L", NULL), REFUSED_WORD("k", NULL), REFUSED_WORD("audio", NULL),
	REFUSED_WORD("audiodev", NULL), REFUSED("usb", NULL), REFUSED_WORD("usbdevice", NULL),
	REFUSED_WORD("netdev", NULL), REFUSED_WORD("fsdev", NULL), REFUSED_WORD("virtfs", NULL),
	REFUSED_WORD("iscsi", NULL), REFUSED_WORD("spice", NULL), REFUSED_WORD("vnc", NULL),
	REFUSED("full-screen", NULL), REFUSED("portrait", NULL), REFUSED_WORD("rotate", NULL),
	REFUSED("audio-help", NULL), REFUSED_WORD("tpmdev", NULL), REFUSED_WORD("debugcon", NULL),
	REFUSED_WORD("watchdog-action", NULL), REFUSED_WORD("echr", NULL),
	REFUSED("async-teardown", NULL), REFUSED("enable-sync-profile", NULL),
	{ NULL },
};

char *remote_help(void)
{
	GString *text = g_string_new("usage: mpqemu-remote [OPTIONS]\n"
				     "Emulates PCI devices, each for an x-pci-proxy-dev or "
				     "vfio-user-pci of a QEMU.\n\n");

	for (const struct option_def *def = remote_options; def->name; def++) {
		g_autofree char *head = option_usage(def);

		if (def->flags & OPTION_HIDDEN)
			continue;
		if (strlen(head) > 24)
			g_string_append_printf(text, "%s\n%-25s%s\n", head, "", def->help);
		else
			g_string_append_printf(text, "%-24s %s\n", head, def->help);
	}
	return g_string_free(text, FALSE);
}
