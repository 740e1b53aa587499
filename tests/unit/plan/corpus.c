/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command lines as people and tools write them (libvirt, Proxmox VE, virt-install's output, wiki
 * pages, kernel developers), each with a controller that can move.  The orchestrator's rewriting
 * has to take them, lose nothing, leave alone what it does not move, and give each remote a command
 * line that mpqemu-remote takes.
 */

#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "plan/remote.h"
#include "plan/rewrite/rewrite.h"

/* An fd that the caller passes: -add-fd looks whether it is open. */
#define BUSY_FD 50

static const struct {
	const char *name;
	const char *line;	/* QEMU's arguments, as shell text */
	unsigned devices, disks;	/* that move */
	unsigned changed;	/* options that are written otherwise, beside those */
} corpus[] = {
	{ "the shortest",
	  "-accel kvm -m 1G -device lsi53c895a -drive if=none,id=d,file=d.qcow2 -device "
	  "scsi-hd,drive=d", 1, 1, 0 },
	{ "by its alias",
	  "-enable-kvm -m 2048 -device lsi -drive file=a.img,if=none,id=hd0,format=raw -device "
	  "scsi-hd,drive=hd0 -boot c -vga std -usb -device usb-tablet", 1, 1, 0 },
	{ "wiki: SCSI disk and CD",
	  "-enable-kvm -cpu host -smp 1 -m 4G -device lsi53c895a,id=scsi0 -drive file=vm.qcow2,"
	  "if=none,id=disk0,cache=none,aio=native,discard=unmap -device "
	  "scsi-hd,drive=disk0,bus=scsi0.0 -drive file=install.iso,if=none,id=cd0,media=cdrom "
	  "-device scsi-cd,drive=cd0,bus=scsi0.0 -netdev user,id=n0,hostfwd=tcp::2222-:22 "
	  "-device virtio-net-pci,netdev=n0 -nographic", 1, 2, 0 },
	{ "Proxmox VE, scsihw lsi",
	  "-id 100 -name vm100,debug-threads=on -no-shutdown -chardev socket,id=qmp,"
	  "path=/var/run/qemu-server/100.qmp,server=on,wait=off -mon chardev=qmp,mode=control "
	  "-pidfile /var/run/qemu-server/100.pid -smbios "
	  "type=1,uuid=4c4c4544-0042-3910-8052-c4c04f4d3032 -smp 1,sockets=1,cores=1,maxcpus=1 "
	  "-nodefaults -boot menu=on,reboot-timeout=1000 -vnc "
	  "unix:/var/run/qemu-server/100.vnc,password=on -cpu host,+kvm_pv_eoi,+kvm_pv_unhalt -m "
	  "2048 -accel kvm -device pci-bridge,id=pci.1,chassis_nr=1,bus=pci.0,addr=0x1e -device "
	  "vmgenid,guid=9f5b1b0c-0000-4000-8000-000000000000 -device usb-ehci,id=ehci -device "
	  "VGA,id=vga,bus=pci.0,addr=0x2 -iscsi initiator-name=iqn.1993-08.org.debian:01:aabb "
	  "-device lsi,id=scsihw0,bus=pci.0,addr=0x5 -drive file=/dev/pve/vm-100-disk-0,if=none,"
	  "id=drive-scsi0,format=raw,cache=none,aio=io_uring,detect-zeroes=on -device "
	  "scsi-hd,bus=scsihw0.0,scsi-id=0,drive=drive-scsi0,id=scsi0 -netdev type=tap,id=net0,"
	  "ifname=tap100i0,script=/bin/true,downscript=/bin/true -device e1000,"
	  "mac=BC:24:11:00:00:01,netdev=net0,bus=pci.0,addr=0x12,id=net0 -machine type=pc+pve0",
	  1, 1, 0 },
	{ "libvirt 9, JSON",
	  "-name guest=vm,debug-threads=on -S -object '{\"qom-type\":\"secret\","
	  "\"id\":\"masterKey0\",\"format\":\"raw\",\"file\":\"/k.aes\"}' -machine pc-i440fx-7.2,"
	  "usb=off,dump-guest-core=off,memory-backend=pc.ram -accel kvm -cpu host,migratable=on "
	  "-m 1024 -object '{\"qom-type\":\"memory-backend-ram\",\"id\":\"pc.ram\","
	  "\"size\":1073741824}' -overcommit mem-lock=off -smp 1,sockets=1,cores=1,threads=1 "
	  "-uuid 0e1cf9a5-6bb1-4f0b-8a5c-2f0a3c1d7a11 -display none -no-user-config -nodefaults "
	  "-chardev socket,id=charmonitor,fd=22,server=on,wait=off -mon "
	  "chardev=charmonitor,id=monitor,mode=control -rtc base=utc -no-shutdown -boot "
	  "strict=on -device '{\"driver\":\"lsi\",\"id\":\"scsi0\",\"bus\":\"pci.0\","
	  "\"addr\":\"0x4\"}' -blockdev '{\"driver\":\"file\",\"filename\":\"/v/a.qcow2\","
	  "\"node-name\":\"libvirt-1-storage\",\"auto-read-only\":true,\"discard\":\"unmap\"}' "
	  "-blockdev '{\"node-name\":\"libvirt-1-format\",\"read-only\":false,"
	  "\"driver\":\"qcow2\",\"file\":\"libvirt-1-storage\",\"backing\":null}' -device "
	  "'{\"driver\":\"scsi-hd\",\"bus\":\"scsi0.0\",\"scsi-id\":0,"
	  "\"device_id\":\"drive-scsi0-0-0\",\"drive\":\"libvirt-1-format\","
	  "\"id\":\"scsi0-0-0\"}' -msg timestamp=on", 1, 1, 1 },
	{ "libvirt 9, a chain of images",
	  "-accel kvm -m 1024 -nodefaults -device '{\"driver\":\"lsi\",\"id\":\"scsi0\","
	  "\"bus\":\"pci.0\",\"addr\":\"0x4\"}' -blockdev '{\"driver\":\"file\","
	  "\"filename\":\"/v/base.img\",\"node-name\":\"libvirt-2-storage\","
	  "\"auto-read-only\":true}' -blockdev '{\"node-name\":\"libvirt-2-format\","
	  "\"read-only\":true,\"driver\":\"raw\",\"file\":\"libvirt-2-storage\"}' -blockdev "
	  "'{\"driver\":\"file\",\"filename\":\"/v/top.qcow2\","
	  "\"node-name\":\"libvirt-1-storage\",\"cache\":{\"direct\":true,\"no-flush\":false}}' "
	  "-blockdev '{\"node-name\":\"libvirt-1-format\",\"cache\":{\"direct\":true,"
	  "\"no-flush\":false},\"driver\":\"qcow2\",\"file\":\"libvirt-1-storage\","
	  "\"backing\":\"libvirt-2-format\"}' -device '{\"driver\":\"scsi-hd\","
	  "\"bus\":\"scsi0.0\",\"scsi-id\":1,\"drive\":\"libvirt-1-format\",\"id\":\"scsi0-0-1\","
	  "\"write-cache\":\"on\",\"wwn\":5764824127192592385,\"serial\":\"abc\"}'", 1, 1, 0 },
	{ "libvirt, empty CD",
	  "-accel kvm -m 512 -device lsi,id=scsi0,bus=pci.0,addr=0x4 -device scsi-cd,bus=scsi0.0,"
	  "scsi-id=5,device_id=drive-scsi0-0-5,id=scsi0-0-5", 1, 1, 0 },
	{ "libvirt 4, commas and codec",
	  "-accel kvm -m 512 -device lsi,id=scsi0,bus=pci.0,addr=0x5 -drive file=/v/a,,b.img,"
	  "format=raw,if=none,id=drive-scsi0-0-0,cache=writeback,werror=stop,rerror=stop,"
	  "discard=ignore -device scsi-hd,bus=scsi0.0,scsi-id=0,drive=drive-scsi0-0-0,"
	  "id=scsi0-0-0,serial=WD-WMAP9A966149,wwn=0x5000c50015ea71ac,vendor=WDC,"
	  "product=WD5000AAKX", 1, 1, 0 },
	{ "libvirt, virtiofs RAM",
	  "-accel kvm -m 2048 -object memory-backend-memfd,id=pc.ram,share=yes,"
	  "x-use-canonical-path-for-ramblock-id=off,size=2147483648 -machine "
	  "q35,memory-backend=pc.ram -device lsi,id=s -drive if=none,id=d,file=/x.raw,format=raw "
	  "-device scsi-hd,bus=s.0,drive=d -chardev socket,id=c,path=/fs.sock -device "
	  "vhost-user-fs-pci,chardev=c,tag=t", 1, 1, 0 },
	{ "NUMA",
	  "-accel kvm -m 2G -smp 1 -object memory-backend-ram,id=ram0,size=1G -object "
	  "memory-backend-ram,id=ram1,size=1G -numa node,nodeid=0,memdev=ram0 -numa "
	  "node,nodeid=1,memdev=ram1,cpus=0 -device lsi53c895a,id=l -drive "
	  "if=none,id=d,file=x,format=qcow2 -device scsi-hd,drive=d", 1, 1, 2 },
	{ "two controllers",
	  "-accel kvm -m 1G -device lsi53c895a,id=a -device lsi53c810,id=b -drive "
	  "if=none,id=d0,file=0.raw,format=raw -drive if=none,id=d1,file=1.raw,format=raw "
	  "-device scsi-hd,drive=d0,bus=a.0 -device scsi-hd,drive=d1,bus=b.0", 2, 2, 0 },
	{ "two controllers without ids",
	  "-accel kvm -device lsi53c895a -device lsi53c895a -drive if=none,id=d0,file=0.raw "
	  "-drive if=none,id=d1,file=1.raw -device scsi-hd,drive=d0,bus=scsi.0 -device "
	  "scsi-hd,drive=d1,bus=scsi.1", 2, 2, 0 },
	{ "beside virtio-scsi",
	  "-accel kvm -m 1G -device virtio-scsi-pci,id=v,num_queues=4 -device lsi53c895a,id=l "
	  "-drive if=none,id=r,file=root.qcow2 -drive if=none,id=t,file=t.raw,format=raw -device "
	  "scsi-hd,drive=r,bus=v.0 -device scsi-hd,drive=t,bus=l.0", 1, 1, 0 },
	{ "beside virtio-blk with -kernel",
	  "-accel kvm -m 512 -kernel bzImage -initrd rd.gz -append 'console=ttyS0 root=/dev/vda "
	  "rw' -drive file=root.img,if=virtio,format=raw -device lsi53c895a,id=l,addr=7 -drive "
	  "file=test.img,if=none,id=t,format=raw,cache=unsafe -device scsi-hd,drive=t,"
	  "logical_block_size=4096,physical_block_size=4096 -nographic -no-reboot", 1, 1, 0 },
	{ "kernel developer, sym53c8xx",
	  "-accel kvm -kernel bzImage -append 'console=ttyS0' -device lsi53c895a -blockdev "
	  "driver=null-co,node-name=n0,size=1073741824,read-zeroes=on -device scsi-hd,drive=n0 "
	  "-nographic -s", 1, 1, 0 },
	{ "many disks",
	  "-accel kvm -device lsi53c895a,id=l -drive if=none,id=a,file=a -drive "
	  "if=none,id=b,file=b -drive if=none,id=c,file=c -device scsi-hd,drive=a,scsi-id=0 "
	  "-device scsi-hd,drive=b,scsi-id=1,lun=0 -device scsi-cd,drive=c,scsi-id=4 -device "
	  "scsi-cd", 1, 4, 0 },
	{ "SSD with discard",
	  "-accel kvm -device lsi53c895a,id=l -drive file=s.qcow2,if=none,id=s,discard=on,"
	  "detect-zeroes=unmap,format=qcow2 -device "
	  "scsi-hd,drive=s,rotation_rate=1,discard_granularity=4096", 1, 1, 0 },
	{ "block device, read-only",
	  "-accel kvm -device lsi53c895a,id=l -drive file=/dev/sdb,if=none,id=s,format=raw,"
	  "readonly=on,cache=none -device scsi-hd,drive=s", 1, 1, 0 },
	{ "blockdev in key=value",
	  "-accel kvm -device lsi53c895a,id=l -blockdev driver=file,node-name=f0,"
	  "filename=disk.raw,cache.direct=on,aio=native -blockdev "
	  "driver=raw,node-name=d0,file=f0 -device scsi-hd,drive=d0,bus=l.0,bootindex=1", 1, 1, 0 },
	{ "blockdev nested",
	  "-accel kvm -device lsi53c895a,id=l -blockdev qcow2,node-name=d0,file.driver=file,"
	  "file.filename=disk.qcow2,discard=unmap -device scsi-hd,drive=d0", 1, 1, 0 },
	{ "throttle group",
	  "-accel kvm -device lsi53c895a,id=l -object throttle-group,id=tg0,x-iops-total=100 "
	  "-blockdev file,node-name=f,filename=d.raw -blockdev raw,node-name=r,file=f -blockdev "
	  "throttle,node-name=t,throttle-group=tg0,file=r -device scsi-hd,drive=t", 1, 1, 0 },
	{ "LUKS",
	  "-accel kvm -object secret,id=sec0,data=letmein -device lsi53c895a,id=l -blockdev "
	  "file,node-name=f,filename=d.luks -blockdev luks,node-name=e,file=f,key-secret=sec0 "
	  "-device scsi-hd,drive=e", 1, 1, 0 },
	{ "NBD",
	  "-accel kvm -device lsi53c895a,id=l -drive file=nbd:unix:/run/nbd.sock:exportname=disk,"
	  "if=none,id=n,format=raw -device scsi-hd,drive=n -drive "
	  "file=nbd://10.0.0.1:10809/x,if=none,id=m,format=raw -device scsi-hd,drive=m", 1, 2, 0 },
	{ "image in an inherited fd",
	  "-accel kvm -add-fd fd=50,set=5 -device lsi53c895a,id=l -drive "
	  "file=/dev/fdset/5,if=none,id=d,format=raw -device scsi-hd,drive=d", 1, 1, 0 },
	{ "-set and -global",
	  "-accel kvm -device lsi53c895a,id=l -drive if=none,id=d,file=a.raw,format=raw -device "
	  "scsi-hd,drive=d,id=disk -set device.disk.serial=abc -global scsi-hd.dpofua=on -global "
	  "PIIX4_PM.disable_s3=1", 1, 1, 1 },
	{ "the teaching device",
	  "-accel kvm -m 256 -kernel bzImage -device edu,id=edu0 -nographic", 1, 0, 0 },
	{ "UEFI",
	  "-accel kvm -machine q35,smm=on -drive "
	  "if=pflash,format=raw,unit=0,file=OVMF_CODE.fd,readonly=on -drive "
	  "if=pflash,format=raw,unit=1,file=VARS.fd -device pcie-pci-bridge,id=br -device "
	  "lsi53c895a,id=l,bus=br,addr=1 -drive if=none,id=d,file=d.qcow2 -device scsi-hd,drive=d",
	  1, 1, 0 },
	{ "two dashes everywhere",
	  "--accel kvm --m 1G --device lsi53c895a,id=l --drive "
	  "if=none,id=d,file=x.raw,format=raw --device scsi-hd,drive=d --display none", 1, 1, 0 },
	{ "old machine, serial console and monitor",
	  "-M pc-i440fx-2.12 -accel kvm -m 256 -device lsi53c810,addr=0x3 -drive "
	  "file=hurd.img,if=none,id=h,format=raw,cache=writethrough -device "
	  "scsi-hd,drive=h,scsi-id=0 -serial mon:stdio -net nic,model=ne2k_pci -net user",
	  1, 1, 0 },
	{ "TCG",
	  "-m 512 -device lsi53c895a,id=l -drive if=none,id=d,file=x.raw,format=raw -device "
	  "scsi-hd,drive=d,werror=report,rerror=report -d guest_errors -D q.log", 1, 1, 0 },
	{ "image with odd characters",
	  "-accel kvm -device lsi53c895a,id=l -drive 'if=none,id=d,file=/vm images/a=b;$(c) "
	  "\"d\".raw,format=raw' -device scsi-hd,drive=d -append \"a='b c'\" -kernel k", 1, 1, 0 },
};

/* Does @argv hold the option @word with @arg (NULL: without one)? */
static bool has_option(char *const *argv, const char *word, const char *arg)
{
	for (; *argv; argv++)
		if (!strcmp(*argv, word) && (!arg || (argv[1] && !strcmp(argv[1], arg))))
			return true;
	return false;
}

static bool in_plan(const struct plan *plan, const char *word, const char *arg)
{
	if (has_option(plan_process_argv(plan->qemu), word, arg))
		return true;
	for (guint i = 0; i < plan->remotes->len; i++)
		if (has_option(plan_process_argv(plan->remotes->pdata[i]), word, arg))
			return true;
	return false;
}

/* Options of @argv that are nowhere in the plan as they were written. */
static unsigned count_changed(const struct plan *plan, char *const *argv)
{
	unsigned changed = 0;

	for (argv++; *argv; argv++) {
		const char *arg = argv[1] && argv[1][0] != '-' ? argv[1] : NULL;

		if (in_plan(plan, *argv, arg))
			argv += arg != NULL;
		else {
			g_test_message("changed: %s %s", *argv, arg ? arg : "");
			changed++;
			argv += arg != NULL;
		}
	}
	return changed;
}

/* Takes each remote's command line; adds up what they serve. */
static void read_remotes(const struct plan *plan, unsigned *devices, unsigned *disks)
{
	for (guint i = 0; i < plan->remotes->len; i++) {
		char **argv = plan_process_argv(plan->remotes->pdata[i]);
		g_autoptr(GError) error = NULL;
		struct remote_plan remote;

		remote_plan_parse(g_strv_length(argv), argv, &remote, &error);
		g_assert_no_error(error);
		*devices += remote.spec->device_count;
		*disks += remote.spec->disk_count;
		for (unsigned k = 0; k < remote.spec->device_count; k++)
			g_assert_cmpint(remote.peer[k].kind, ==, PLAN_PEER_FD);
		remote_plan_finish(&remote);
	}
}

static void check_line(size_t i, bool vfio_user)
{
	static const char *const prefix[] = { "mpqemu-remote", NULL };
	static const struct rewrite_choice all;
	static const int busy[] = { BUSY_FD };
	struct rewrite_facts facts = {
		.qemu_major = 7, .qemu_minor = 2, .has_proxy = true, .has_vfio_user = vfio_user,
		.socket_dir = "/run/" PLAN_SOCKET_DIR, .remote_prefix = prefix, .busy_fds = busy,
		.busy_count = 1,
	};
	g_autofree char *text = g_strconcat("qemu-system-x86_64 ", corpus[i].line, NULL);
	unsigned devices = 0, disks = 0;
	g_autoptr(GError) error = NULL;
	g_auto(GStrv) argv = NULL;
	struct plan *plan;

	g_assert_true(g_shell_parse_argv(text, NULL, &argv, NULL));
	plan = rewrite_move(argv, &all, &facts, &error);
	g_assert_no_error(error);
	read_remotes(plan, &devices, &disks);
	g_assert_cmpuint(devices, ==, corpus[i].devices);
	g_assert_cmpuint(disks, ==, corpus[i].disks);
	g_assert_cmpuint(plan->pair_count, ==, corpus[i].devices);
	/* a moved disk's -device may stay as it was written, a controller's may in the remote */
	g_assert_cmpuint(count_changed(plan, argv), <=,
			 corpus[i].devices + corpus[i].disks + corpus[i].changed);
	g_assert_true(has_option(plan_process_argv(plan->qemu), "qemu-system-x86_64", NULL));
	plan_destroy(plan);
}

/* Over either protocol. */
static void test_line(gconstpointer data)
{
	check_line(GPOINTER_TO_SIZE(data), false);
	check_line(GPOINTER_TO_SIZE(data), true);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_assert_cmpint(dup2(STDIN_FILENO, BUSY_FD), ==, BUSY_FD);
	for (size_t i = 0; i < G_N_ELEMENTS(corpus); i++) {
		g_autofree char *path = g_strconcat("/corpus/", corpus[i].name, NULL);

		g_strdelimit(path + strlen("/corpus/"), " /,:", '-');
		g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_line);
	}
	return g_test_run();
}
