/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a VM's file says, and import: src/plan/vm.h.  Hostile rows first. */

#include <string.h>

#include <glib.h>

#include "plan/vm/vm.h"
#include "plan/vm/keys.h"

#define VM "[vm]\nqemu=q\n"
#define NUMA_WANTS ": it takes " PLAN_NUMA_FORM ", nodes as 0-3,6 and one for preferred"

/* ---- Refused ---- */

static const struct {
	const char *name;
	const char *text;
	const char *expect;
} refused[] = {
	{ "nothing", "", "f: it has no group [vm], which says qemu=" },
	{ "no [vm]", "[device]\ndriver=edu\n", "f: it has no group [vm], which says qemu=" },
	{ "no QEMU", "[vm]\nname=a\n", "f:1: [vm]: qemu= is missing: it names the QEMU to run" },
	{ "empty QEMU", "[vm]\nqemu=\n", "f:2: qemu: its value is missing" },
	{ "Cloud Hypervisor", "[vm]\nqemu=/usr/bin/cloud-hypervisor\n",
	  "f:1: [vm]: qemu=/usr/bin/cloud-hypervisor: a file is for QEMU; Cloud Hypervisor has the "
	  "command line alone" },
	{ "unknown group", VM "[network]\na=b\n", "f:3: [network]: there is no such group" },
	{ "mistyped group", VM "[devcie a]\ndriver=edu\n",
	  "f:3: [devcie]: there is no such group; did you mean 'device'?" },
	{ "group of another case", VM "[Remote]\n",
	  "f:3: [Remote]: there is no such group; did you mean 'remote'?" },
	{ "unknown key", VM "colour=red\n", "f:3: colour: [vm] has no such key" },
	{ "mistyped key", VM "[remote]\nsandbx=strict\n",
	  "f:4: sandbx: [remote] has no such key; did you mean 'sandbox'?" },
	{ "a limit that is not there", VM "[remote]\nmemory.max=1G\n",
	  "f:4: memory.max: [remote] has no such key" },
	{ "mistyped property", VM "[device d]\ndriver=scsi-hd\nserail=a\n",
	  "f:5: serail: [device d] has no such key; did you mean 'serial'?" },
	{ "mistyped property of an alias", VM "[device d]\ndriver=lsi\nmulti_function=on\n",
	  "f:5: multi_function: [device d] has no such key; did you mean 'multifunction'?" },
	{ "mistyped key of a drive", VM "[drive d]\nfile=a\nformt=raw\n",
	  "f:5: formt: [drive d] has no such key; did you mean 'format'?" },
	{ "mistyped key of a disk", VM "[disk d]\nfile=a\ncahce=none\n",
	  "f:5: cahce: [disk d] has no such key; did you mean 'cache'?" },
	{ "a drive's key that a disk decides", VM "[disk d]\nfile=a\nif=none\n",
	  "f:5: if: [disk d] has no such key; did you mean 'id'?" },
	{ "mistyped key of -m", VM "[memory]\nsise=1G\n",
	  "f:4: sise: [memory] has no such key; did you mean 'size'?" },
	{ "mistyped word", VM "[remote]\nsandbox=stict\n",
	  "f:4: sandbox=stict: it is one of strict|container|seccomp-only|off; did you mean "
	  "'strict'?" },
	{ "no word", VM "protocol=\n", "f:3: protocol=: it is one of auto|mpqemu|vfio-user" },
	{ "a time of nothing", VM "start-timeout=0\n",
	  "f:3: start-timeout=0: it takes a number of seconds, 1 or more" },
	{ "a time with a unit", VM "start-timeout=5s\n",
	  "f:3: start-timeout=5s: it takes a number of seconds, 1 or more" },
	{ "no CPUs", VM "cpus=all\n", "f:3: cpus=all: it takes a list of CPUs, 0-3,6" },
	{ "no bytes", VM "memory-max=zz\n", "f:3: memory-max=zz: it takes BYTES[K|M|G]|max" },
	{ "bytes and more", VM "memory-max=1G 2\n",
	  "f:3: memory-max=1G 2: it takes BYTES[K|M|G]|max" },
	{ "a negative quota", VM "cpu-max=-1\n", "f:3: cpu-max=-1: it takes QUOTA [PERIOD]|max" },
	{ "no number of processes", VM "pids-max=many\n", "f:3: pids-max=many: it takes N|max" },
	{ "a limit of no device", VM "io-max=rbps=1\n",
	  "f:3: io-max=rbps=1: it takes MAJ:MIN rbps=N..." },
	{ "a device without a limit", VM "io-max=8:0\n",
	  "f:3: io-max=8:0: it takes MAJ:MIN rbps=N..." },
	{ "no nodes", VM "[remote]\nnuma=bind:\n", "f:4: numa=bind:" NUMA_WANTS },
	{ "nodes of no policy", VM "[remote]\nnuma=local:0\n", "f:4: numa=local:0" NUMA_WANTS },
	{ "nodes of the default policy", VM "[remote]\nnuma=default:0\n",
	  "f:4: numa=default:0" NUMA_WANTS },
	{ "several nodes that are preferred", VM "[remote]\nnuma=preferred:0-1\n",
	  "f:4: numa=preferred:0-1" NUMA_WANTS },
	{ "more nodes than there can be", VM "[remote]\nnuma=1024\n", "f:4: numa=1024" NUMA_WANTS },
	{ "QEMU's memory", VM "numa=0\n", "f:3: numa: [vm] has no such key; did you mean 'name'?" },
	{ "a score too large", VM "[remote]\noom-score=1001\n",
	  "f:4: oom-score=1001: it takes a number from -1000 to 1000" },
	{ "a score with a blank", VM "[remote]\noom-score=5 \n",
	  "f:4: oom-score=5 : it takes a number from -1000 to 1000" },
	{ "a name that is none", VM "[device 0a]\ndriver=edu\n",
	  "f:3: [device 0a]: a name has letters, digits, '-', '.', '_', and starts with a letter" },
	{ "a name with an option in it", VM "[device a,b=c]\ndriver=edu\n",
	  "f:3: [device a,b=c]: a name has letters, digits, '-', '.', '_', and starts with a "
	  "letter" },
	{ "a VM's name that is none", VM "name=a,debug-threads=on\n",
	  "f:1: [vm]: name=a,debug-threads=on: a name has letters, digits, '-', '.', '_', and "
	  "starts with a letter" },
	{ "a name where none is", VM "[memory m]\nsize=1G\n",
	  "f:3: [memory m]: this group has no name" },
	{ "a VM of a name", "[vm web]\nqemu=q\n", "f:1: [vm web]: this group has no name" },
	{ "a disk without one", VM "[disk]\nfile=a\n",
	  "f:3: [disk]: its name is missing: [disk NAME]" },
	{ "two names", VM "[device a]\ndriver=edu\nid=b\n", "f:3: [device a]: its id= says 'b'" },
	{ "two names of a node", VM "[blockdev a]\ndriver=file\nnode-name=b\n",
	  "f:3: [blockdev a]: its node-name= says 'b'" },
	{ "[vm] twice", VM "[vm]\nqemu=q\n", "f:3: [vm]: line 1 has this group already" },
	{ "[remote] twice", VM "[remote]\n[remote]\n",
	  "f:4: [remote]: line 3 has this group already" },
	{ "a remote twice", VM "[remote a]\n[remote a]\n",
	  "f:4: [remote]: Duplicate ID 'a' for remote; line 3 has it already: [remote a]" },
	{ "a device twice", VM "[device a]\ndriver=edu\n[device a]\ndriver=edu\n",
	  "f:5: [device]: Duplicate ID 'a' for device; line 3 has it already: [device a]" },
	{ "... once by its id", VM "[device a]\ndriver=edu\n[device]\ndriver=edu\nid=a\n",
	  "f:5: [device]: Duplicate ID 'a' for device; line 3 has it already: [device a]" },
	{ "a disk of a drive's name", VM "[drive a]\nfile=x\n[disk a]\nfile=y\n",
	  "f:5: [disk]: Duplicate ID 'a' for disk; line 3 has it already: [drive a]" },
	{ "a device of a disk's name", VM "[disk a]\nfile=y\n[device a]\ndriver=edu\n",
	  "f:5: [device]: Duplicate ID 'a' for device; line 3 has it already: [disk a]" },
	{ "a drive of words in a group too",
	  VM "name=v\narguments=-S -drive id=a,file=x\n\n[drive a]\nfile=x\n",
	  "f:6: -drive id=a,file=x: Duplicate ID 'a' for drive; line 4 has it already: -drive "
	  "id=a,file=x" },
	{ "a device of words twice", VM "arguments=-device edu,id=a -device edu,id=a\n",
	  "f:3: -device edu,id=a: Duplicate ID 'a' for device; line 3 has it already: -device "
	  "edu,id=a" },
	{ "a node of a drive's name", VM "[drive a]\nfile=x\n[blockdev a]\ndriver=file\n"
	  "filename=x\n", "f:5: -blockdev file,node-name=a,filename=x: Duplicate nodes with "
	  "node-name='a'; line 3 has it already: -drive id=a,file=x" },
	{ "a back end of words in a group too", VM "[netdev n]\ntype=user\n[qemu]\narguments="
	  "-netdev user,id=n\n", "f:6: -netdev: Duplicate ID 'n' for netdev; line 3 has it "
	  "already: -netdev user,id=n" },
	{ "RAM twice", VM "[memory]\nsize=1G\n[memory]\nsize=2G\n",
	  "f:5: [memory]: line 3 has this group already" },
	{ "RAM in words too", VM "arguments=-S -m 1G\n[memory]\nsize=2G\n",
	  "f:3: arguments: -m, and line 4 has a group [memory]" },
	{ "the machine in words too", VM "[machine]\ntype=q35\n[qemu]\narguments=-M pc\n",
	  "f:6: arguments: -M, and line 3 has a group [machine]" },
	{ "the name in words too", VM "name=a\narguments=--name b\n",
	  "f:4: arguments: --name, and [vm] has a name=" },
	{ "a program of one remote", VM "[remote a]\nprogram=x\n",
	  "f:3: [remote a]: program= is for all remotes: it stands in [remote]" },
	{ "an engine of all", VM "[remote]\nengine=qemu\n",
	  "f:3: [remote]: engine= is for one device: it stands in [remote ID]" },
	{ "an engine that is none", VM "[remote a]\nengine=qmeu\n",
	  "f:4: engine=qmeu: it is one of builtin|qemu; did you mean 'qemu'?" },
	{ "no driver", VM "[device a]\naddr=3\n", "f:3: [device]: driver= is missing" },
	{ "no type", VM "[object a]\nsize=3\n", "f:3: [object]: qom-type= is missing" },
	{ "an empty group", VM "[device a]\n", "f:3: [device]: nothing stands in it" },
	{ "a quote that is open", VM "arguments=-append 'a\n", NULL },
	{ "a word that waits for its argument", VM "arguments=-S -m\n[device a]\ndriver=edu\n",
	  "f:3: -m: requires an argument" },
	{ "broken JSON", VM "arguments=-device '{\"driver\":'\n", NULL },
};

static void test_refused(const void *data)
{
	unsigned i = GPOINTER_TO_UINT(data);
	g_autoptr(GError) error = NULL;
	struct vm *vm = vm_parse("f", refused[i].text, &error);

	g_assert_null(vm);
	g_assert_error(error, MPQ_ERROR, MPQ_ERROR_USAGE);
	if (refused[i].expect)
		g_assert_cmpstr(error->message, ==, refused[i].expect);
	g_assert_true(g_str_has_prefix(error->message, "f:"));
	g_assert_null(strchr(error->message, '\n'));
}

/* ---- Taken ---- */

static const struct {
	const char *name;
	const char *text;
	const char *expect;	/* QEMU's words, with '|' between them */
} taken[] = {
	{ "QEMU alone", VM, "q" },
	{ "a name", "[vm]\nqemu=q\narguments=-S\nname=web.1\n", "q|-name|web.1|-S" },
	{ "[vm] comes first wherever it stands", "[memory]\nsize=1G\n[vm]\nqemu=q\narguments=-S\n",
	  "q|-S|-m|1G" },
	{ "words of a shell", VM "arguments=-append 'a  b' \"c\" d\\\\ e\n",
	  "q|-append|a  b|c|d e" },
	{ "no words", VM "arguments=\n", "q" },
	{ "words between groups", VM "[device a]\ndriver=edu\n[qemu]\narguments=-S\n[device]\n"
	  "driver=edu\n[qemu]\narguments=-s\n", "q|-device|edu,id=a|-S|-device|edu|-s" },
	{ "the driver stands first", VM "[device a]\naddr=3\ndriver=edu\n",
	  "q|-device|edu,id=a,addr=3" },
	{ "the id where it stands", VM "[device a]\naddr=3\nid=a\ndriver=edu\n",
	  "q|-device|edu,addr=3,id=a" },
	{ "a comma in a value", VM "[drive d]\nfile=a,b\n", "q|-drive|id=d,file=a,,b" },
	{ "a node", VM "[blockdev n]\ndriver=file\nfilename=a\n",
	  "q|-blockdev|file,node-name=n,filename=a" },
	{ "a device that only QEMU knows", VM "[device n]\ndriver=e1000\nmac=52:54:00:0:0:1\n",
	  "q|-device|e1000,id=n,mac=52:54:00:0:0:1" },
	{ "a key with a dot", VM "[drive]\nthrottling.iops-total=5\n",
	  "q|-drive|throttling.iops-total=5" },
	{ "a disk", VM "[disk d]\nbus=s.0\nfile=a\nserial=X\nformat=raw\ncache.direct=on\n",
	  "q|-drive|if=none,id=d,file=a,format=raw,cache.direct=on|-device|scsi-hd,id=d,drive=d,"
	  "bus=s.0,serial=X" },
	{ "a CD", VM "[disk d]\ndriver=scsi-cd\nfile=a\nmedia=cdrom\n",
	  "q|-drive|if=none,id=d,file=a,media=cdrom|-device|scsi-cd,id=d,drive=d" },
	{ "all that QEMU has once", VM "[machine]\ntype=q35\nusb=on\n[accel]\naccel=kvm\n[memory]\n"
	  "size=1G\n[smp]\ncpus=2\n[boot]\norder=c\n[rtc]\nbase=utc\n",
	  "q|-machine|q35,usb=on|-accel|kvm|-m|1G|-smp|2|-boot|c|-rtc|base=utc" },
	{ "others", VM "[object o]\nqom-type=iothread\n[netdev n]\ntype=user\n[chardev c]\n"
	  "backend=null\n[mon]\nchardev=c\nmode=control\n[global]\ndriver=edu\nproperty=dma_mask\n"
	  "value=0\n[numa]\ntype=node\n[numa]\ntype=node\n[add-fd]\nfd=3\nset=1\n",
	  "q|-object|iothread,id=o|-netdev|user,id=n|-chardev|null,id=c|-mon|c,mode=control|"
	  "-global|driver=edu,property=dma_mask,value=0|-numa|node|-numa|node|-add-fd|fd=3,set=1" },
	{ "a drive and a device of one name", VM "[drive a]\nif=none\n[device a]\ndriver=scsi-hd\n"
	  "drive=a\n", "q|-drive|id=a,if=none|-device|scsi-hd,id=a,drive=a" },
	{ "as -readconfig has it", VM "[device \"a\"]\n  driver = \"edu\"\n  addr = \"3\"\n",
	  "q|-device|edu,id=a,addr=3" },
};

static void test_taken(const void *data)
{
	unsigned i = GPOINTER_TO_UINT(data);
	g_autoptr(GError) error = NULL;
	auto_vm vm = vm_parse("f", taken[i].text, &error);
	g_autofree char *text = NULL;

	g_assert_no_error(error);
	text = g_strjoinv("|", (char **)vm->qemu->pdata);
	g_assert_cmpstr(text, ==, taken[i].expect);
}

static void test_settings(void)
{
	auto_vm vm = vm_parse("f", "[vm]\nqemu=q\nprotocol=mpqemu\nremote=a,b\nlocal=c\n"
			      "on-remote-exit=stop\nstart-timeout=7\ncpus=0-1\noom-score=-5\n"
			      "[remote]\nprogram=p\nsandbox=off\non-error=hold\nevents=/e\n"
			      "oom-score=0\n[remote a]\nsandbox=strict\ncpus=3\n"
			      "numa=interleave:0-1\n", NULL);
	const struct vm_remote *own = &g_array_index(vm->remotes, struct vm_remote, 0);

	g_assert_cmpstr(vm->protocol, ==, "mpqemu");
	g_assert_cmpstr(vm->remote, ==, "a,b");
	g_assert_cmpstr(vm->local, ==, "c");
	g_assert_cmpstr(vm->on_remote_exit, ==, "stop");
	g_assert_cmpint(vm->start_timeout, ==, 7);
	g_assert_cmpstr(vm->limits.cpus, ==, "0-1");
	g_assert_cmpint(vm->limits.oom_score, ==, -5);
	g_assert_cmpstr(vm->all.program, ==, "p");
	g_assert_cmpstr(vm->all.sandbox, ==, "off");
	g_assert_cmpstr(vm->all.on_error, ==, "hold");
	g_assert_cmpstr(vm->all.events, ==, "/e");
	g_assert_true(vm->all.limits.has_oom_score && !vm->all.limits.cpus);
	g_assert_cmpint(vm->remotes->len, ==, 1);
	g_assert_cmpstr(own->device, ==, "a");
	g_assert_cmpstr(own->sandbox, ==, "strict");
	g_assert_null(own->events);
	g_assert_cmpstr(own->limits.cpus, ==, "3");
	g_assert_cmpstr(own->limits.numa, ==, "interleave:0-1");
	g_assert_false(own->limits.has_oom_score);
}

/* ---- Errors of what comes later ---- */

static void test_locate(void)
{
	static const struct {
		const char *message, *expect;
	} rows[] = {
		{ "-device edu,id=a: no", "f:6: -device edu,id=a: no" },
		{ "-device edu,id=ab: no", "f:8: -device edu,id=ab: no" },
		{ "-device edu,dma_mask=0,id=a: no", "f:6: -device edu,dma_mask=0,id=a: no" },
		{ "-drive id=d: no", "f:10: -drive id=d: no" },
		{ "-blockdev node-name=d: no", "f: -blockdev node-name=d: no" },
		{ "-incoming defer: no", "f:3: -incoming defer: no" },
		{ "[remote a]: no device", "f:12: [remote a]: no device" },
		{ "[remote b]: no device", "f: [remote b]: no device" },
		{ "[remote a]: sandbox=off: no", "f:13: [remote a]: sandbox=off: no" },
		{ "[remote a", "f: [remote a" },
		{ "q: cannot run it: no", "f:2: qemu=q: cannot run it: no" },
		{ "qq: cannot run it: no", "f: qq: cannot run it: no" },
		{ "--remote z: no", "f:4: remote=z: no" },
		{ "--remote: no", "f: --remote: no" },
		{ "--local z: no", "f: --local z: no" },
		{ "--sandbox=off: no", "f:13: sandbox=off: no" },
		{ "--sandbox=strict: no", "f:16: sandbox=strict: no" },
		{ "--sandbox", "f: --sandbox" },
		{ "QEMU: cpus=1: no", "f:5: QEMU: cpus=1: no" },
		{ "QEMU: cpus=2: no", "f: QEMU: cpus=2: no" },
		{ "QEMU: oom-score: no", "f: QEMU: oom-score: no" },
		{ "a (edu): oom-score: no", "f:14: a (edu): oom-score: no" },
		{ "ab (edu): cpus=2: no", "f:17: ab (edu): cpus=2: no" },
		{ "-device", "f: -device" },
		{ "f:5: it has one", "f:5: it has one" },
		{ "", "f: " },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		auto_vm vm = vm_parse("f", VM "arguments=-S -incoming defer\nremote=a,z\ncpus=1\n"
				      "[device a]\ndriver=edu\n[device ab]\ndriver=edu\n[drive d]\n"
				      "file=x\n[remote a]\nsandbox=off\noom-score=3\n[remote]\n"
				      "sandbox=strict\ncpus=2\n", NULL);
		g_autoptr(GError) error = g_error_new_literal(MPQ_ERROR, 0, rows[i].message);

		vm_locate_error(vm, &error);
		g_assert_cmpstr(error->message, ==, rows[i].expect);
	}
}

/* ---- QEMU's own keys ---- */

static char *answer(void *opaque, const char *option, const char *type, GError **error)
{
	unsigned *count = opaque;

	(*count)++;
	if (!strcmp(type, "e1000"))
		return g_strdup("e1000 options:\n  mac=<str>   - a=<b>\n  netdev=<str>\nx=<y>\n");
	if (!strcmp(type, "broken")) {
		mpq_fail(error, MPQ_ERROR_SYSTEM, "it does not run");
		return NULL;
	}
	return g_strdup("");
}

static void test_qemu(void)
{
	static const struct {
		const char *text, *expect;
		unsigned asked;
	} rows[] = {
		{ "[device]\ndriver=broken\n", "it does not run", 1 },
		{ "[device]\ndriver=nosuch\n",
		  "f:3: [device]: this QEMU has no device 'nosuch'", 1 },
		{ "[object]\nqom-type=o\n", "f:3: [object]: this QEMU has no object 'o'", 1 },
		{ "[device a]\ndriver=e1000\n\nmca=1\n", "f:6: mca: QEMU's e1000 has no such key; "
		  "did you mean 'mac'?", 1 },
		{ "[device a]\ndriver=e1000\nx=1\n", "f:5: x: QEMU's e1000 has no such key", 1 },
		{ "[disk a]\ndriver=e1000\nfile=x\nmac=1\nmak=2\n", "f:7: mak: QEMU's e1000 has no "
		  "such key; did you mean 'mac'?", 1 },
		{ "[device a]\ndriver=e1000\nid=a\nbus=b\nmac=1\nsocket.path=x\n", NULL, 1 },
		{ "[device]\ndriver=e1000\n[device]\ndriver=e1000\n", NULL, 1 },
		{ "[device]\ndriver=e1000\n[object]\nqom-type=e1000\n", NULL, 2 },
		{ "[device a]\ndriver=edu\n[disk d]\nfile=x\n[netdev n]\ntype=user\n", NULL, 0 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *text = g_strconcat(VM, rows[i].text, NULL);
		auto_vm vm = vm_parse("f", text, NULL);
		g_autoptr(GError) error = NULL;
		unsigned asked = 0;

		g_test_message("%s", rows[i].text);
		g_assert_cmpint(vm_check_qemu(vm, answer, &asked, &error), ==, !rows[i].expect);
		g_assert_cmpstr(error ? error->message : NULL, ==, rows[i].expect);
		g_assert_cmpuint(asked, ==, rows[i].asked);
	}
}

/* ---- Import ---- */

static const struct {
	const char *name;
	const char *line;
	const char *expect;	/* the file, or NULL: it is refused */
} imported[] = {
	{ "QEMU alone", "q", "[vm]\nqemu = q\n" },
	{ "control characters", "q -append 'a\033b'", NULL },
	{ "not UTF-8", "q -append '\xff'", NULL },
	{ "argument missing", "q -m", NULL },
	{ "words", "q -S '' 'a b' \"it's\" '#x' -append 'a\\b\n'",
	  "[vm]\nqemu = q\narguments = -S '' 'a b' 'it'\\\\''s' '#x' -append 'a\\\\b\\n'\n" },
	{ "groups", "q -m 1G -device lsi53c895a,id=s,addr=4 -drive if=none,id=d,file=a,,b "
	  "-device scsi-hd,drive=d -S",
	  "[vm]\nqemu = q\n\n[memory]\nsize = 1G\n\n[device s]\ndriver = lsi53c895a\naddr = 4\n\n"
	  "[drive d]\nif = none\nid = d\nfile = a,b\n\n[device]\ndriver = scsi-hd\ndrive = d\n\n"
	  "[qemu]\narguments = -S\n" },
	{ "RAM in two places", "q -m 1G -m slots=2,maxmem=2G",
	  "[vm]\nqemu = q\narguments = -m 1G -m slots=2,maxmem=2G\n" },
	{ "two dashes", "q --device edu", "[vm]\nqemu = q\narguments = --device edu\n" },
	{ "an id twice", "q -device edu,id=a -device edu,id=a", NULL },
	{ "a key twice", "q -device edu,addr=3,addr=4",
	  "[vm]\nqemu = q\narguments = -device edu,addr=3,addr=4\n" },
	{ "a key alone", "q -device edu,multifunction",
	  "[vm]\nqemu = q\narguments = -device edu,multifunction\n" },
	{ "a key that the table has not", "q -drive file=a,lazy-refcounts=on",
	  "[vm]\nqemu = q\narguments = -drive file=a,lazy-refcounts=on\n" },
	{ "a name that is none", "q -device e1000,id=0",
	  "[vm]\nqemu = q\narguments = -device e1000,id=0\n" },
	{ "JSON", "q -device '{\"driver\":\"edu\"}'",
	  "[vm]\nqemu = q\narguments = -device '{\"driver\":\"edu\"}'\n" },
	{ "a value in quotes", "q -device 'scsi-hd,serial=\"a\"'",
	  "[vm]\nqemu = q\n\n[device]\ndriver = scsi-hd\nserial = \"\"a\"\"\n" },
};

static void test_imported(const void *data)
{
	unsigned i = GPOINTER_TO_UINT(data);
	const struct vm_settings none = { NULL };
	g_autoptr(GError) error = NULL;
	g_auto(GStrv) argv = NULL;
	g_autofree char *text = NULL;
	auto_vm vm = NULL;

	g_assert_true(g_shell_parse_argv(imported[i].line, NULL, &argv, NULL));
	text = vm_import(argv, &none, &error);
	if (!imported[i].expect) {
		g_assert_null(text);
		g_assert_nonnull(error);
		return;
	}
	g_assert_cmpstr(text, ==, imported[i].expect);
	vm = vm_parse("f", text, NULL);
	g_assert_cmpint(vm->qemu->len, ==, g_strv_length(argv));
	for (unsigned k = 0; argv[k]; k++)
		g_assert_cmpstr(vm->qemu->pdata[k], ==, argv[k]);
}

static void test_import_settings(void)
{
	const struct vm_settings all = {
		.protocol = "mpqemu", .on_remote_exit = "stop", .remote = "a,b", .local = "c",
		.program = "p", .sandbox = "off", .on_error = "hold", .events = "/e",
		.control = "off", .metrics = "/m", .start_timeout = 7, .shutdown_timeout = 9,
	};
	char *const argv[] = { (char[]){ "q" }, (char[]){ "-S" }, NULL };
	g_autofree char *text = vm_import(argv, &all, NULL);

	g_assert_cmpstr(text, ==, "[vm]\nqemu = q\nprotocol = mpqemu\nremote = a,b\nlocal = c\n"
			"on-remote-exit = stop\ncontrol = off\nmetrics = /m\nstart-timeout = 7\n"
			"shutdown-timeout = 9\n"
			"arguments = -S\n\n[remote]\n"
			"program = p\nsandbox = off\non-error = hold\nevents = /e\n");
}

/* ---- The page ---- */

static void test_page(void)
{
	g_autofree char *path = g_build_filename(g_getenv("MPQEMU_SOURCE"), "man",
						 "mpqemu.conf.5.scd", NULL);
	g_autofree char *table = vm_keys_page();
	g_autofree char *page = NULL;

	g_assert_true(g_file_get_contents(path, &page, NULL, NULL));
	if (!strstr(page, table))
		g_error("the page has not what the tables say:\n%s", table);
}

/* The file that stands there as the example. */
static void test_example(void)
{
	g_autofree char *path = g_build_filename(g_getenv("MPQEMU_SOURCE"), "man",
						 "mpqemu.conf.5.scd", NULL);
	g_autoptr(GError) error = NULL;
	g_autofree char *page = NULL;
	auto_vm vm = NULL;
	char *start, *end;

	g_assert_true(g_file_get_contents(path, &page, NULL, NULL));
	start = strstr(page, "```\n[vm]\n");
	g_assert_nonnull(start);
	end = strstr(start + 4, "```\n");
	g_assert_nonnull(end);
	*end = '\0';
	vm = vm_parse("example", start + 4, &error);
	g_assert_no_error(error);
	g_assert_cmpuint(vm->qemu->len, >, 8);
}

#define add_rows(prefix, rows, fn)                                                           \
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {                                  \
		g_autofree char *path = g_strdup_printf("/" prefix ": %s", (rows)[i].name);  \
		g_test_add_data_func(path, GUINT_TO_POINTER(i), fn);                         \
	}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add_rows("refused", refused, test_refused);
	add_rows("taken", taken, test_taken);
	add_rows("imported", imported, test_imported);
	g_test_add_func("/settings", test_settings);
	g_test_add_func("/locate", test_locate);
	g_test_add_func("/QEMU's keys", test_qemu);
	g_test_add_func("/import settings", test_import_settings);
	g_test_add_func("/page", test_page);
	g_test_add_func("/example", test_example);
	return g_test_run();
}
