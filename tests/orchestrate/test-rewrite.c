/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Command lines in, plans or refusals out: src/plan/rewrite.  Hostile rows first. */

#include <string.h>

#include <glib.h>

#include "plan/rewrite/rewrite.h"
#include "plan/vm/vm.h"

#define LSI "-device lsi53c895a,id=lsi0"
#define DISK "-drive if=none,id=d,file=x.raw,format=raw -device scsi-hd,drive=d,id=disk"
#define KVM "-accel kvm "
#define V11 .major = 11, .vfio_user = true
#define LONG "a23456789012345678901234567890123456789012345678901234567890123456789012345678"

#define SOCKETS "/run/user/1/mpqemu-XXXXXX"

struct row {
	const char *name;
	const char *line;	/* QEMU's arguments as shell text, "-accel kvm" in front if kvm */
	const char *expect;	/* refused: the whole text; else a part of the plan's text */
	const char *absent;	/* what must not be in the plan's text */
	const char *remote;	/* --remote */
	const char *local;	/* --local */
	const char *on_error, *events;	/* --on-error, --events */
	const char *sandbox;	/* --sandbox */
	unsigned major;		/* QEMU's version; 0: 7 */
	const char *kvm_error;
	bool vfio_user;		/* this QEMU has vfio-user-pci */
	bool no_proxy;		/* ... and no x-pci-proxy-dev */
	enum rewrite_protocol protocol;
	bool tcg;		/* no "-accel kvm" in front */
	bool qemu_remote;
	int busy;		/* an inherited fd, or 0 */
};

/* ---- Refused ---- */

static const struct row refused[] = {
	{ "nothing to move", "-device e1000,id=net0",
	  "nothing to move: no -device here is one that mpqemu-remote emulates (lsi53c895a, "
	  "lsi53c810, edu, edu-pcie)" },
	{ "nothing chosen", LSI,
	  "nothing to move: no -device of those chosen is one that mpqemu-remote emulates "
	  "(lsi53c895a, lsi53c810, edu, edu-pcie)", .local = "lsi0" },
	{ "unknown --remote", LSI, "--remote lsi9: no -device has this id", .remote = "lsi9" },
	{ "unknown --local", LSI, "--local lsi9: no -device has this id", .local = "lsi9" },
	{ "--remote of something else", LSI " -device e1000,id=net0",
	  "--remote net0: mpqemu-remote does not emulate e1000", .remote = "net0" },
	{ "chosen both ways", LSI, "--remote lsi0: it is also among those that stay (local)",
	  .remote = "lsi0", .local = "lsi0" },
	{ "a drive's id twice", LSI " " DISK " -drive if=none,file=y,id=d",
	  "-drive if=none,file=y,id=d: Duplicate ID 'd' for drive; -drive "
	  "if=none,id=d,file=x.raw,format=raw has it already" },
	{ "... of two remotes", LSI " -device lsi53c895a,id=lsi1 -drive if=none,id=d,file=a "
	  "-device scsi-hd,drive=d,bus=lsi0.0 -drive if=none,id=d,file=b -device "
	  "scsi-hd,drive=d,bus=lsi1.0", "-drive if=none,id=d,file=b: Duplicate ID 'd' for drive; "
	  "-drive if=none,id=d,file=a has it already" },
	{ "a device's id twice, once in JSON",
	  LSI " -device '{\"driver\":\"edu\",\"id\":\"lsi0\"}'",
	  "-device {\"driver\":\"edu\",\"id\":\"lsi0\"}: Duplicate ID 'lsi0' for device; -device "
	  "lsi53c895a,id=lsi0 has it already" },
	{ "a node of a drive's name", LSI " " DISK " -blockdev file,node-name=d,filename=y",
	  "-blockdev file,node-name=d,filename=y: Duplicate nodes with node-name='d'; -drive "
	  "if=none,id=d,file=x.raw,format=raw has it already" },
	{ "an object's id twice", LSI " -object secret,id=s,data=a -object secret,id=s,data=b",
	  "-object secret,id=s,data=b: Duplicate ID 's' for object; -object secret,id=s,data=a "
	  "has it already" },
	{ "a network's id twice", LSI " -netdev user,id=n -netdev user,id=n", "-netdev user,id=n: "
	  "Duplicate ID 'n' for netdev; -netdev user,id=n has it already" },
	{ "proxy without its remote", LSI " -device x-pci-proxy-dev,id=p,fd=3",
	  "-device x-pci-proxy-dev,id=p,fd=3: a command line that has its proxies already needs "
	  "the remotes' command lines too: REMOTE ... --- QEMU ..." },
	{ "argument missing", LSI " -m", "-m: requires an argument" },
	{ "--on-error with QEMU's own remote", LSI, "--on-error=stop: --on-error, "
	  "--on-crash, --watchdog, --events and --sandbox are mpqemu-remote's; QEMU's own "
	  "x-remote has none of them", .on_error = "stop",
	  .qemu_remote = true },
	{ "--sandbox with QEMU's own remote", LSI, "--sandbox=strict: --on-error, "
	  "--on-crash, --watchdog, --events and --sandbox are mpqemu-remote's; QEMU's own "
	  "x-remote has none of them",
	  .sandbox = "strict", .qemu_remote = true },
	{ "--events of an fd that is not open", LSI, "--events=fd=9: no such fd is open",
	  .events = "fd=9" },
	{ "--events of no fd", LSI, "--events=fd=x: no such fd is open", .events = "fd=x" },
	{ "broken JSON", LSI " -device '{\"driver\":'", NULL },

	/* RAM that a remote cannot share */
	{ "share=off", LSI " -object memory-backend-memfd,id=m,size=1G,share=off "
	  "-machine memory-backend=m",
	  "-object memory-backend-memfd,id=m,size=1G,share=off: share=off: the remote would map "
	  "other pages than the guest's; share=on is needed" },
	{ "ram with share=off", LSI " -object memory-backend-ram,id=m,size=1G,share=off "
	  "-machine memory-backend=m",
	  "-object memory-backend-ram,id=m,size=1G,share=off: share=off is asked for, and a remote "
	  "needs share=on; leave it out" },
	{ "RAM in a file", LSI " -object memory-backend-file,id=m,size=1G,mem-path=/x,share=on "
	  "-machine memory-backend=m",
	  "-object memory-backend-file,id=m,size=1G,mem-path=/x,share=on: it is RAM in a file, not "
	  "a memfd; memory-backend-memfd is what a remote can share" },
	{ "hugetlb=on", LSI " -object memory-backend-memfd,id=m,size=1G,hugetlb=on "
	  "-machine memory-backend=m",
	  "-object memory-backend-memfd,id=m,size=1G,hugetlb=on: hugetlb=on: RAM in pages of more "
	  "than 4 KiB makes QEMU abort with x-pci-proxy-dev" },
	{ "hugetlb=true in JSON", LSI " -object "
	  "'{\"qom-type\":\"memory-backend-memfd\",\"id\":\"m\","
	  "\"size\":1048576,\"hugetlb\":true}' -machine memory-backend=m", NULL },
	{ "hugetlbsize", LSI " -object memory-backend-memfd,id=m,size=1G,hugetlbsize=2M "
	  "-machine memory-backend=m",
	  "-object memory-backend-memfd,id=m,size=1G,hugetlbsize=2M: hugetlbsize=2M: RAM in pages "
	  "of more than 4 KiB makes QEMU abort with x-pci-proxy-dev" },
	{ "hugetlb of a NUMA node", LSI " -object memory-backend-memfd,id=m,size=1G,hugetlb=yes "
	  "-numa node,memdev=m",
	  "-object memory-backend-memfd,id=m,size=1G,hugetlb=yes: hugetlb=on: RAM in pages of more "
	  "than 4 KiB makes QEMU abort with x-pci-proxy-dev" },
	{ "-mem-path", LSI " -mem-path /dev/hugepages",
	  "-mem-path /dev/hugepages: guest RAM in a file or in huge pages is not a memfd of 4 KiB "
	  "pages, which is what a remote can share" },
	{ "no such backend", LSI " -machine q35,memory-backend=m",
	  "-machine q35,memory-backend=m: no -object memory-backend-... has id=m" },
	{ "no such NUMA backend", LSI " -numa node,memdev=m",
	  "-numa node,memdev=m: no -object memory-backend-... has id=m" },
	{ "backend is something else", LSI " -object iothread,id=m -machine memory-backend=m",
	  "-machine memory-backend=m: no -object memory-backend-... has id=m" },
	{ "anonymous DIMM", LSI " -m 1G,slots=1,maxmem=2G -object memory-backend-ram,id=dm,size=1G "
	  "-device pc-dimm,memdev=dm",
	  "-object memory-backend-ram,id=dm,size=1G: a remote cannot share RAM of "
	  "memory-backend-ram; take memory-backend-memfd,share=on" },
	{ "NVDIMM in a file", LSI " -object memory-backend-file,id=nv,size=1G,mem-path=/x,share=on "
	  "-device nvdimm,memdev=nv",
	  "-object memory-backend-file,id=nv,size=1G,mem-path=/x,share=on: it is RAM in a file, "
	  "not a memfd; memory-backend-memfd is what a remote can share" },
	{ "DIMM with share=off", LSI " -object memory-backend-memfd,id=dm,size=1G,share=off "
	  "-device pc-dimm,memdev=dm",
	  "-object memory-backend-memfd,id=dm,size=1G,share=off: share=off: the remote would map "
	  "other pages than the guest's; share=on is needed" },
	{ "virtio-mem", LSI " -object memory-backend-memfd,id=vm,size=1G "
	  "-device virtio-mem-pci,memdev=vm",
	  "-device virtio-mem-pci,memdev=vm: RAM of virtio-mem comes and goes block by block, "
	  "which a remote is not told" },
	{ "8 backends", LSI
	  " -object memory-backend-ram,id=m0,size=1G -numa node,memdev=m0"
	  " -object memory-backend-ram,id=m1,size=1G -numa node,memdev=m1"
	  " -object memory-backend-ram,id=m2,size=1G -numa node,memdev=m2"
	  " -object memory-backend-ram,id=m3,size=1G -numa node,memdev=m3"
	  " -object memory-backend-ram,id=m4,size=1G -numa node,memdev=m4"
	  " -object memory-backend-ram,id=m5,size=1G -numa node,memdev=m5"
	  " -object memory-backend-ram,id=m6,size=1G -numa node,memdev=m6"
	  " -object memory-backend-ram,id=m7,size=1G -numa node,memdev=m7",
	  "-object memory-backend-ram,id=m7,size=1G: this is memory backend number 8; a remote can "
	  "take 7" },
	{ "7 backends with QEMU's own remote", LSI
	  " -object memory-backend-ram,id=m0,size=1G -numa node,memdev=m0"
	  " -object memory-backend-ram,id=m1,size=1G -numa node,memdev=m1"
	  " -object memory-backend-ram,id=m2,size=1G -numa node,memdev=m2"
	  " -object memory-backend-ram,id=m3,size=1G -numa node,memdev=m3"
	  " -object memory-backend-ram,id=m4,size=1G -numa node,memdev=m4"
	  " -object memory-backend-ram,id=m5,size=1G -numa node,memdev=m5"
	  " -object memory-backend-ram,id=m6,size=1G -numa node,memdev=m6",
	  "-object memory-backend-ram,id=m6,size=1G: this is memory backend number 7; QEMU's own "
	  "x-remote can take 6", .qemu_remote = true },
	{ "-m too large", LSI " -m 99999999999999999999", NULL },
	{ "-m that is no size", LSI " -m lots", NULL },
	{ "machine memory.size", LSI " -machine memory.size=1G",
	  "-machine memory.size=1G: memory.size= is not understood here: say it with -m" },

	/* vIOMMUs, confidential guests, machines */
	{ "intel-iommu", LSI " -device intel-iommu,intremap=on",
	  "-device intel-iommu,intremap=on: a remote device's DMA does not pass a vIOMMU: it would "
	  "go to wrong addresses" },
	{ "amd-iommu", LSI " -device amd-iommu",
	  "-device amd-iommu: a remote device's DMA does not pass a vIOMMU: it would go to wrong "
	  "addresses" },
	{ "virtio-iommu", LSI " -device virtio-iommu-pci",
	  "-device virtio-iommu-pci: a remote device's DMA does not pass a vIOMMU: it would go to "
	  "wrong addresses" },
	{ "sev-guest", LSI " -object sev-guest,id=sev0,cbitpos=47,reduced-phys-bits=1",
	  "-object sev-guest,id=sev0,cbitpos=47,reduced-phys-bits=1: a confidential guest's RAM "
	  "cannot be shared with a remote" },
	{ "tdx-guest", LSI " -object tdx-guest,id=t",
	  "-object tdx-guest,id=t: a confidential guest's RAM cannot be shared with a remote" },
	{ "confidential-guest-support", LSI " -machine q35,confidential-guest-support=sev0",
	  "-machine q35,confidential-guest-support=sev0: a confidential guest's RAM cannot be "
	  "shared with a remote" },
	{ "memory-encryption", LSI " -machine memory_encryption=sev0",
	  "-machine memory_encryption=sev0: a confidential guest's RAM cannot be shared with a "
	  "remote" },
	{ "machine none", LSI " -M none", "-M none: the machine has no PCI bus for the device" },
	{ "x-remote in place of QEMU", LSI " -machine x-remote",
	  "-machine x-remote: this is a remote's command line; QEMU's own has to stand last" },

	/* interrupts */
	{ "kernel-irqchip=off", LSI " -machine q35,kernel-irqchip=off",
	  "-machine q35,kernel-irqchip=off: kernel-irqchip=off: the guest would get no interrupts "
	  "from a remote device" },
	{ "kernel_irqchip=off", LSI " -machine kernel_irqchip=off",
	  "-machine kernel_irqchip=off: kernel-irqchip=off: the guest would get no interrupts from "
	  "a remote device" },
	{ "kernel-irqchip=off at -accel", LSI " -accel kvm,kernel-irqchip=off",
	  "-accel kvm,kernel-irqchip=off: kernel-irqchip=off: the guest would get no interrupts "
	  "from a remote device" },
	{ "TCG of QEMU 10", LSI " -accel tcg",
	  "-accel tcg: QEMU 10.0 crashes by itself with x-pci-proxy-dev under TCG; take -accel kvm",
	  .major = 10, .tcg = true },
	{ "TCG of QEMU 11 by default", LSI,
	  "no -accel is given: QEMU 11.0 crashes by itself with x-pci-proxy-dev under TCG; take "
	  "-accel kvm", .major = 11, .tcg = true },
	{ "qtest of QEMU 10", LSI " -machine accel=qtest",
	  "-machine accel=qtest: QEMU 10.0 crashes by itself with x-pci-proxy-dev under TCG; take "
	  "-accel kvm", .major = 10, .tcg = true },
	{ "fall-back list", LSI " -machine pc,accel=kvm:tcg",
	  "-machine pc,accel=kvm:tcg: a list of accelerators would silently change whether the "
	  "device can interrupt the guest; name one of them", .tcg = true },
	{ "fall-back in two options", LSI " -accel tcg",
	  "-accel tcg: a list of accelerators would silently change whether the device can "
	  "interrupt the guest; name one of them" },
	{ "xen", LSI " -accel xen",
	  "-accel xen: only KVM delivers a remote device's interrupts", .tcg = true },
	{ "/dev/kvm of somebody else", LSI " -enable-kvm",
	  "-enable-kvm: /dev/kvm cannot be used: Permission denied",
	  .kvm_error = "Permission denied", .tcg = true },

	/* what is not seen, or cannot be done with the VM */
	{ "-incoming", LSI " -incoming defer",
	  "-incoming defer: a VM with a remote device cannot be migrated: the "
	  "device's state is in another process" },
	{ "-only-migratable", LSI " -only-migratable",
	  "-only-migratable: a VM with a remote device cannot be migrated" },
	{ "-loadvm", LSI " -loadvm s1", "-loadvm s1: a snapshot has no state of a remote device" },
	{ "-snapshot", LSI " --snapshot",
	  "--snapshot: it would not reach the remote's disks, which would really be written; put "
	  "the disk on an overlay image instead" },
	{ "-daemonize", LSI " -daemonize",
	  "-daemonize: QEMU would leave the process that mpqemu-orchestrate waits for" },
	{ "-readconfig", LSI " -readconfig vm.cfg",
	  "-readconfig vm.cfg: options that come from a file are not seen here; write them on the "
	  "command line" },
	{ "-preconfig", LSI " --preconfig",
	  "--preconfig: options that come later over QMP are not seen here" },

	/* disks */
	{ "scsi-block", LSI " -device scsi-block,drive=d",
	  "-device scsi-block,drive=d: mpqemu-remote has scsi-hd and scsi-cd, not scsi-block; "
	  "--local lsi0 leaves the controller in QEMU" },
	{ "something else on the bus", LSI " -device fancy-tape,bus=lsi0.0",
	  "-device fancy-tape,bus=lsi0.0: mpqemu-remote has no fancy-tape for this bus; --local "
	  "lsi0 leaves the controller in QEMU" },
	{ "no such drive", LSI " -device scsi-hd,drive=nope",
	  "-device scsi-hd,drive=nope: no -drive or -blockdev is called 'nope'" },
	{ "drive without if=none", LSI " -drive id=d,file=x -device scsi-hd,drive=d",
	  "-drive id=d,file=x: without if=none QEMU gives the drive to a controller of the "
	  "machine, and -device scsi-hd,drive=d cannot use it" },
	{ "controllers on two PCI buses", LSI " -device virtio-scsi-pci,bus=pci.1 "
	  "-device scsi-hd,drive=d",
	  "-device scsi-hd,drive=d: it names no bus, and there are SCSI controllers on several PCI "
	  "buses; say bus=" },
	{ "one drive, two processes", LSI " " DISK ",bus=lsi0.0 -device lsi53c895a,id=lsi1 "
	  "-device scsi-hd,drive=d,bus=lsi1.0",
	  "-drive if=none,id=d,file=x.raw,format=raw: 'lsi0' and 'lsi1' both use it, and they are "
	  "in different processes" },
	{ "a node that stays needed", LSI " -blockdev file,node-name=f,filename=x "
	  "-blockdev raw,node-name=r,file=f -device scsi-hd,drive=r "
	  "-blockdev qcow2,node-name=q,file=f",
	  "-blockdev qcow2,node-name=q,file=f: it stays in QEMU, and 'f', which it uses, moves "
	  "with 'lsi0'" },
	{ "a drive of a device that stays", LSI " -drive if=none,id=d,file=x "
	  "-device scsi-hd,drive=d -device virtio-blk-pci,drive=d",
	  "-device virtio-blk-pci,drive=d: it stays in QEMU, and 'd', which it uses, moves with "
	  "'lsi0'" },
	{ "throttle group of two processes", LSI " -object throttle-group,id=tg "
	  "-blockdev throttle,node-name=t,throttle-group=tg,file=f "
	  "-blockdev file,node-name=f,filename=x -device scsi-hd,drive=t "
	  "-blockdev throttle,node-name=u,throttle-group=tg,file=g "
	  "-blockdev file,node-name=g,filename=y -device virtio-blk-pci,drive=u",
	  "-blockdev throttle,node-name=u,throttle-group=tg,file=g: it stays in QEMU, and 'tg', "
	  "which it uses, moves with 'lsi0'" },
	{ "throttling.group of two processes", LSI
	  " -drive if=none,id=d,file=x,throttling.group=g -device scsi-hd,drive=d"
	  " -drive if=none,id=e,file=y,throttling.group=g -device virtio-blk-pci,drive=e",
	  "-drive if=none,id=e,file=y,throttling.group=g: throttling.group=g is used by a drive of "
	  "another process: the limits would count twice" },
	{ "bootindex beside -hda", LSI " " DISK ",bootindex=0 -hda y.img",
	  "-device scsi-hd,drive=d,id=disk,bootindex=0: bootindex=0: QEMU's proxy has no "
	  "bootindex, and firmware could boot from -hda instead; leave it out or leave the disk in "
	  "QEMU" },
	{ "bootindex beside a virtio disk", LSI " " DISK ",bootindex=1 "
	  "-drive if=none,id=e,file=y -device virtio-blk-pci,drive=e",
	  "-device scsi-hd,drive=d,id=disk,bootindex=1: bootindex=1: QEMU's proxy has no "
	  "bootindex, and firmware could boot from -device virtio-blk-pci,drive=e instead; leave "
	  "it out or leave the disk in QEMU" },
	{ "bootindex beside a network card's", LSI " " DISK ",bootindex=1 "
	  "-device e1000,id=n,bootindex=2",
	  "-device scsi-hd,drive=d,id=disk,bootindex=1: bootindex=1: QEMU's proxy has no "
	  "bootindex, and firmware could boot from -device e1000,id=n,bootindex=2 instead; leave "
	  "it out or leave the disk in QEMU" },
	{ "bootindex beside an image without an option", LSI " " DISK ",bootindex=1 y.img",
	  "-device scsi-hd,drive=d,id=disk,bootindex=1: bootindex=1: QEMU's proxy has no "
	  "bootindex, and firmware could boot from y.img instead; leave it out or leave the disk "
	  "in QEMU" },
	{ "bootindex of a CD-ROM beside a hard disk", LSI " " DISK ",scsi-id=1 "
	  "-drive if=none,id=e,file=e.iso -device scsi-cd,drive=e,scsi-id=0,bootindex=1",
	  "-device scsi-cd,drive=e,scsi-id=0,bootindex=1: bootindex=1: QEMU's proxy has no "
	  "bootindex, and firmware could boot from -device scsi-hd,drive=d,id=disk,scsi-id=1 "
	  "instead; leave it out or leave the disk in QEMU" },
	{ "bootindex of the disk with the higher id", LSI " " DISK ",scsi-id=1,bootindex=1 "
	  "-drive if=none,id=e,file=e.img -device scsi-hd,drive=e,scsi-id=0",
	  "-device scsi-hd,drive=d,id=disk,scsi-id=1,bootindex=1: bootindex=1: QEMU's proxy has no "
	  "bootindex, and firmware could boot from -device scsi-hd,drive=e,scsi-id=0 instead; "
	  "leave it out or leave the disk in QEMU" },
	{ "bootindex beside that of a CD-ROM that stays", LSI " " DISK ",bootindex=1 "
	  "-drive if=none,id=e,file=e.iso -device ide-cd,drive=e,bootindex=2",
	  "-device scsi-hd,drive=d,id=disk,bootindex=1: bootindex=1: QEMU's proxy has no "
	  "bootindex, and firmware could boot from -device ide-cd,drive=e,bootindex=2 instead; "
	  "leave it out or leave the disk in QEMU" },
	{ "-global for a base type", LSI " " DISK " -global scsi-disk-base.dpofua=on",
	  "-global scsi-disk-base.dpofua=on: it is also meant for devices that move; write it into "
	  "their -device" },
	{ "an fd that is not there", LSI " -add-fd fd=8,set=2 "
	  "-drive if=none,id=d,file=/dev/fdset/2 -device scsi-hd,drive=d",
	  "-add-fd fd=8,set=2: fd 8 is not open" },
	{ "romfile", "-device lsi53c895a,id=lsi0,romfile=x.rom",
	  "-device lsi53c895a,id=lsi0,romfile=x.rom: romfile=: QEMU's proxy shows the guest no "
	  "expansion ROM" },

	/* the protocol: what QEMU and the remote can do */
	{ "neither client", LSI, "this QEMU (7.0) has neither vfio-user-pci (10.1 or later) nor "
	  "x-pci-proxy-dev (multi-process support): no device can leave it", .no_proxy = true },
	{ "vfio-user of an old QEMU", LSI, "--protocol=vfio-user: this is QEMU 7.0, and "
	  "vfio-user-pci is in QEMU 10.1 or later", .protocol = REWRITE_PROTOCOL_VFIO_USER },
	{ "vfio-user of a QEMU just too old", LSI, "--protocol=vfio-user: this is QEMU 10.0, and "
	  "vfio-user-pci is in QEMU 10.1 or later", .protocol = REWRITE_PROTOCOL_VFIO_USER,
	  .major = 10 },
	{ "vfio-user of a QEMU without it", LSI, "--protocol=vfio-user: this QEMU (11.0) was built "
	  "without vfio-user-pci", .protocol = REWRITE_PROTOCOL_VFIO_USER, .major = 11 },
	{ "mpqemu of a QEMU without it", LSI, "--protocol=mpqemu: this QEMU (11.0) has no "
	  "x-pci-proxy-dev: it was built without multi-process support",
	  .protocol = REWRITE_PROTOCOL_MPQEMU, .no_proxy = true, V11 },
	{ "vfio-user of QEMU's own remote", LSI, "--protocol=vfio-user: it is mpqemu-remote's; "
	  "QEMU's own x-remote gets mpqemu from here", .protocol = REWRITE_PROTOCOL_VFIO_USER,
	  .qemu_remote = true, V11 },
	{ "QEMU's own remote without its proxy", LSI, "QEMU's own x-remote: this QEMU (11.0) has "
	  "no x-pci-proxy-dev: it was built without multi-process support", .qemu_remote = true,
	  .no_proxy = true, V11 },
	{ "mpqemu under TCG of a QEMU with both", LSI, "no -accel is given: QEMU 11.0 crashes by "
	  "itself with x-pci-proxy-dev under TCG; take -accel kvm or vfio-user", .tcg = true,
	  .protocol = REWRITE_PROTOCOL_MPQEMU, V11 },

	/* what vfio-user cannot do */
	{ "vfio-user: share=off", LSI " -object memory-backend-memfd,id=m,size=1G,share=off "
	  "-machine memory-backend=m",
	  "-object memory-backend-memfd,id=m,size=1G,share=off: share=off: the remote would map "
	  "other pages than the guest's; share=on is needed", V11 },
	{ "vfio-user: a private file", LSI " -object memory-backend-file,id=m,size=1G,mem-path=/x "
	  "-machine memory-backend=m",
	  "-object memory-backend-file,id=m,size=1G,mem-path=/x: it is RAM in a file, not a memfd, "
	  "or not with share=on; memory-backend-memfd is what a remote can share", V11 },
	{ "vfio-user: -mem-path", LSI " -mem-path /dev/hugepages",
	  "-mem-path /dev/hugepages: this RAM is not shared; take -object "
	  "memory-backend-file,share=on and -machine memory-backend=", V11 },
	{ "vfio-user: virtio-mem", LSI " -object memory-backend-memfd,id=vm,size=1G "
	  "-device virtio-mem-pci,memdev=vm",
	  "-device virtio-mem-pci,memdev=vm: RAM of virtio-mem comes and goes block by block, "
	  "which no remote was tried with", V11 },
	{ "vfio-user: confidential", LSI " -object tdx-guest,id=t",
	  "-object tdx-guest,id=t: a confidential guest's RAM cannot be shared with a remote",
	  V11 },
	{ "vfio-user: migration", LSI " -incoming tcp:0:1", NULL, V11 },
	{ "vfio-user: /dev/kvm", LSI,
	  "-accel kvm: /dev/kvm cannot be used: No such file or directory",
	  .kvm_error = "No such file or directory", V11 },
	{ "vfio-user: bootindex of a disk", LSI " " DISK ",bootindex=0 -hda y.img",
	  "-device scsi-hd,drive=d,id=disk,bootindex=0: bootindex=0: vfio-user-pci has no "
	  "bootindex for a disk behind it, and firmware could boot from -hda instead; leave it "
	  "out or leave the disk in QEMU", V11 },
	{ "vfio-user: addr is no bool", LSI ",multifunction=perhaps", NULL, V11 },
	{ "vfio-user: acpi-index is no number", LSI ",acpi-index=x", NULL, V11 },
	{ "vfio-user: an id too long for a path", "-device lsi53c895a,id=" LONG,
	  SOCKETS "/" LONG ".sock: the path of a socket has 107 bytes at the most; take a shorter "
	  "id", V11 },
};

/* ---- Rewritten ---- */

static const struct row moved[] = {
	{ "the device's place", LSI ",addr=5,multifunction=on,bus=pci.0 -device e1000,id=n",
	  "-device x-pci-proxy-dev,id=lsi0,addr=5,multifunction=on,bus=pci.0,fd=3 \\\n"
	  "\t\t-device e1000,id=n\n" },
	{ "the remote's device has no place", LSI ",addr=5,bus=pci.0", "-device lsi53c895a,id=lsi0 "
	  "\\\n" },
	{ "an alias", "-device lsi,id=a", "-device lsi53c895a,id=a \\\n" },
	{ "driver= written out", "-device id=a,driver=lsi53c810", "-device id=a,driver=lsi53c810 "
	  "\\\n" },
	{ "two dashes", "--device lsi53c895a,id=a", "--device x-pci-proxy-dev,id=a,fd=3" },
	{ "edu", "-device edu,id=e,dma_mask=0xfff", "-device edu,id=e,dma_mask=0xfff \\\n" },
	{ "a device without id", "-device lsi53c895a", "-device x-pci-proxy-dev,id=remote,fd=3" },
	{ "two without id", "-device lsi53c895a -device lsi53c895a",
	  "-device x-pci-proxy-dev,id=remote1,fd=4" },
	{ "an id that is taken", "-device e1000,id=remote -device lsi53c895a",
	  "-device x-pci-proxy-dev,id=remote1,fd=3" },
	{ "JSON stays JSON", "-device '{\"driver\":\"lsi53c895a\",\"id\":\"j\",\"addr\":\"7\"}'",
	  "-device '{\"driver\":\"x-pci-proxy-dev\",\"id\":\"j\",\"addr\":\"7\",\"fd\":\"3\"}'" },
	{ "JSON in the remote", "-device '{\"driver\":\"lsi53c895a\",\"id\":\"j\",\"addr\":\"7\"}'",
	  "-device '{\"driver\":\"lsi53c895a\",\"id\":\"j\"}'" },
	{ "an inherited fd is left alone", LSI, "x-pci-proxy-dev,id=lsi0,fd=4", .busy = 3 },
	{ "the peer object", LSI, "-object x-remote-object,id=peer-lsi0,devid=lsi0,fd=3 \\\n---" },
	{ "--remote", LSI " -device lsi53c895a,id=lsi1", "-device lsi53c895a,id=lsi0 "
	  "\\\n\t\t-device x-pci",
	  .remote = "lsi1" },
	{ "--local", LSI " -device lsi53c895a,id=lsi1", "-device lsi53c895a,id=lsi0 "
	  "\\\n\t\t-device x-pci",
	  .local = "lsi0" },
	{ "QEMU's own remote", LSI, "-machine x-remote \\\n\t\t-nodefaults", .qemu_remote = true },
	{ "a property of the controller", LSI ",x=1", "-device lsi53c895a,id=lsi0,x=1", },
	{ "... is not the proxy's", LSI ",x=1", "-device x-pci-proxy-dev,id=lsi0,fd=3\n" },

	/* disks */
	{ "implicit bus", LSI " " DISK, "-device scsi-hd,drive=d,id=disk,bus=lsi0.0 \\\n" },
	{ "the drive goes along", LSI " " DISK,
	  "-drive if=none,id=d,file=x.raw,format=raw \\\n\t\t-device scsi-hd,drive=d" },
	{ "the newest controller gets it", LSI " -device lsi53c895a,id=lsi1 " DISK, "bus=lsi1.0" },
	{ "... unless it stays", LSI " -device virtio-scsi-pci,id=v " DISK,
	  "-device scsi-hd,drive=d,id=disk\n" },
	{ "a name counted by QEMU", "-device lsi53c895a " DISK ",bus=scsi.0", "bus=remote.0" },
	{ "a count that changes", "-device lsi53c895a -device virtio-scsi-pci " DISK ",bus=scsi.1",
	  "-device scsi-hd,drive=d,id=disk,bus=scsi.0\n" },
	{ "JSON devices come last", "-device '{\"driver\":\"lsi53c895a\",\"id\":\"j\"}' "
	  "-device virtio-scsi-pci,id=v -device scsi-hd,drive=d -drive if=none,id=d,file=x",
	  "-device scsi-hd,drive=d \\\n\t\t-drive if=none,id=d,file=x\n" },
	{ "a CD without a drive", LSI " -device scsi-cd", "-device scsi-cd,bus=lsi0.0 \\\n" },
	{ "a comma in a name", LSI " -drive if=none,id=d,file=a,,b -device scsi-hd,drive=d",
	  "-drive if=none,id=d,file=a,,b \\\n" },
	{ "a space in a name", LSI " -drive 'if=none,id=d,file=a b' -device scsi-hd,drive=d",
	  "-drive 'if=none,id=d,file=a b' \\\n" },
	{ "a graph", LSI " -blockdev file,node-name=f,filename=x -blockdev "
	  "qcow2,node-name=q,file=f -device scsi-hd,drive=q",
	  "-blockdev file,node-name=f,filename=x \\\n\t\t-blockdev qcow2,node-name=q,file=f \\\n"
	  "\t\t-device scsi-hd,drive=q,bus=lsi0.0 \\\n" },
	{ "a graph in JSON", LSI " -blockdev "
	  "'{\"driver\":\"file\",\"node-name\":\"f\",\"filename\":\"x\"}' "
	  "-device scsi-hd,drive=q -blockdev "
	  "'{\"driver\":\"raw\",\"node-name\":\"q\",\"file\":\"f\"}'",
	  "-blockdev '{\"driver\":\"file\",\"node-name\":\"f\",\"filename\":\"x\"}' "
	  "\\\n\t\t-device" },
	{ "a quorum's children", LSI " -blockdev file,node-name=a,filename=x "
	  "-blockdev file,node-name=b,filename=y "
	  "-blockdev quorum,node-name=q,children.0=a,children.1=b,vote-threshold=1 "
	  "-device scsi-hd,drive=q",
	  "-blockdev file,node-name=b,filename=y \\\n\t\t-blockdev quorum" },
	{ "a file called as a node", LSI " -blockdev file,node-name=x.raw,filename=z " DISK,
	  "-blockdev file,node-name=x.raw,filename=z\n" },
	{ "a secret leaves", LSI " -object secret,id=s,data=a "
	  "-drive if=none,id=d,file=x,encrypt.format=luks,encrypt.key-secret=s "
	  "-device scsi-hd,drive=d",
	  "-object secret,id=s,data=a \\\n\t\t-drive",
	  .absent = "memory-backend=mem \\\n\t\t-device x-pci-proxy-dev,id=lsi0,fd=3 "
		    "\\\n\t\t-object sec" },
	{ "a secret that both need", LSI " -object secret,id=s,data=a "
	  "-drive if=none,id=d,file=x,encrypt.key-secret=s -device scsi-hd,drive=d "
	  "-spice port=1,password-secret=s",
	  "-object secret,id=s,data=a \\\n\t\t-spice" },
	{ "a secret of a secret", LSI " -object secret,id=k,data=b -object "
	  "secret,id=s,data=a,keyid=k "
	  "-drive if=none,id=d,file=x,encrypt.key-secret=s -device scsi-hd,drive=d",
	  "-object secret,id=k,data=b \\\n\t\t-object secret,id=s,data=a,keyid=k \\\n\t\t-drive" },
	{ "an image in an inherited fd", LSI " -add-fd fd=7,set=2 "
	  "-drive if=none,id=d,file=/dev/fdset/2 -device scsi-hd,drive=d",
	  "#   remote 0: fd 7 is inherited\n", .busy = 7 },
	{ "-set", LSI " " DISK " -set device.disk.serial=abc -set drive.d.cache=none",
	  "file=x.raw,format=raw,cache=none \\\n\t\t-device "
	  "scsi-hd,drive=d,id=disk,serial=abc,bus=lsi0.0",
	  .absent = "-set" },
	{ "-global goes into the disk", LSI " " DISK " -global scsi-hd.dpofua=on",
	  "-device scsi-hd,drive=d,id=disk,bus=lsi0.0,dpofua=on \\\n", .absent = "-global" },
	{ "-global, the long form", LSI " " DISK
	  " -global driver=scsi-hd,property=serial,value=a.b=c",
	  "-device scsi-hd,drive=d,id=disk,bus=lsi0.0,serial=a.b=c \\\n", .absent = "-global" },
	{ "-global gives way", LSI " " DISK ",dpofua=off -global scsi-hd.dpofua=on",
	  "-device scsi-hd,drive=d,id=disk,dpofua=off,bus=lsi0.0 \\\n" },
	{ "-global of the controller", LSI " -global lsi53c895a.x=1",
	  "-device lsi53c895a,id=lsi0,x=1 \\\n", .absent = "-global" },
	{ "-global of a JSON disk", LSI " -drive if=none,id=d,file=x -global scsi-hd.dpofua=on "
	  "-device '{\"driver\":\"scsi-hd\",\"drive\":\"d\"}'",
	  "\"drive\":\"d\",\"bus\":\"lsi0.0\",\"dpofua\":true}" },
	{ "-global for both sides", LSI " " DISK " -device virtio-scsi-pci,id=v "
	  "-drive if=none,id=e,file=y -device scsi-hd,drive=e,bus=v.0 "
	  "-global scsi-hd.dpofua=on",
	  "-device scsi-hd,drive=e,bus=v.0 \\\n\t\t-global scsi-hd.dpofua=on\n" },
	{ "-global of others stays", LSI " -global e1000.x=1", "-global e1000.x=1\n" },
	{ "-msg for all", LSI " -msg timestamp=on", "-msg timestamp=on \\\n\t\t-object "
	  "x-remote-object" },
	{ "bootindex of the only disk", LSI " " DISK ",bootindex=0", "drive=d,id=disk,bus=lsi0.0 "
	  "\\\n",
	  .absent = "id=disk,bootindex=0,bus" },
	{ "bootindex of the first disk, with strict", LSI " " DISK ",scsi-id=0,bootindex=1 "
	  "-drive if=none,id=e,file=e.img -device scsi-hd,drive=e,scsi-id=1,bootindex=2 "
	  "-drive if=none,id=c,file=c.iso -device scsi-cd,drive=c,scsi-id=2 -boot strict=on",
	  "-device scsi-hd,drive=e,scsi-id=1,bus=lsi0.0 ", .absent = "scsi-id=0,bootindex=1,bus" },
	{ "bootindex and -kernel", LSI " " DISK ",bootindex=0 -hda y -kernel k",
	  "drive=d,id=disk,bus=lsi0.0 \\\n" },

	/* RAM */
	{ "no -m", LSI, "-object memory-backend-memfd,id=mem,size=128M,share=on \\\n"
	  "\t\t-machine memory-backend=mem \\\n" },
	{ "-m MiB", LSI " -m 2048", "id=mem,size=2G,share=on" },
	{ "-m 1.5G", LSI " -m 1.5G", "id=mem,size=1536M,share=on" },
	{ "-m with slots", LSI " -m 512,slots=4,maxmem=4G", "id=mem,size=512M,share=on" },
	{ "-m size=", LSI " -m size=64M", "id=mem,size=64M,share=on" },
	{ "the last -m", LSI " -m 1G -m 64M -m slots=2,maxmem=1G", "id=mem,size=64M,share=on" },
	{ "-m 0", LSI " -m 0", "id=mem,size=128M,share=on" },
	{ "-m rounded up to 8 KiB", LSI " -m 100000001B", "id=mem,size=97664K,share=on" },
	{ "mem is taken", LSI " -object iothread,id=mem", "-machine memory-backend=mem1" },
	{ "memory-backend-ram", LSI " -m 1G -object memory-backend-ram,id=m,size=1G,prealloc=on "
	  "-machine q35,memory-backend=m",
	  "-object memory-backend-memfd,id=m,size=1G,prealloc=on,share=on", .absent = "id=mem," },
	{ "memory-backend-ram in JSON", LSI " -object "
	  "'{\"qom-type\":\"memory-backend-ram\",\"id\":\"m\",\"size\":1048576}' "
	  "-machine memory-backend=m",
	  "'{\"qom-type\":\"memory-backend-memfd\",\"id\":\"m\",\"size\":1048576,"
	  "\"share\":true}'" },
	{ "a memfd stays as it is", LSI " -object memory-backend-memfd,size=1G,id=m "
	  "-machine memory-backend=m", "-object memory-backend-memfd,size=1G,id=m \\\n" },
	{ "NUMA nodes", LSI " -object memory-backend-ram,id=a,size=1G -numa node,memdev=a "
	  "-object memory-backend-memfd,id=b,size=1G -numa node,memdev=b",
	  "-object memory-backend-memfd,id=a,size=1G,share=on", .absent = "-machine "
	  "memory-backend" },
	{ "NUMA nodes without memdev", LSI " -m 1G -numa node,mem=512M -numa node,mem=512M",
	  "-machine memory-backend=mem" },
	{ "a shared DIMM", LSI " -m 1G,slots=1,maxmem=2G -object memory-backend-memfd,id=x,size=1G "
	  "-device pc-dimm,memdev=x", "-object memory-backend-memfd,id=x,size=1G \\\n" },

	/* accelerators and vCPUs */
	{ "TCG warning", LSI " -accel tcg",
	  "# warning: under TCG QEMU delivers no interrupts from a remote device: firmware works, "
	  "a Linux guest needs 'irqpoll noapictimer nohz=off' on its kernel command line; with KVM "
	  "(-accel kvm) all is well\n", .tcg = true },
	{ "TCG by default", LSI, "# warning: under TCG", .tcg = true },
	{ "no TCG warning under KVM", LSI, "-accel kvm", .absent = "under TCG" },
	{ "QEMU 10 with KVM", LSI, "-accel kvm", .major = 10 },
	{ "kvm twice", LSI " -enable-kvm", "-enable-kvm" },
	{ "TCG without /dev/kvm", LSI " -accel tcg", "x-pci-proxy-dev", .kvm_error = "gone",
	  .tcg = true },
	{ "-smp 2", LSI " -smp 2", "# warning: more than one vCPU: two bugs of QEMU hit" },
	{ "-smp by topology", LSI " -smp sockets=1,cores=2", "# warning: more than one vCPU" },
	{ "-smp maxcpus", LSI " -smp 1,maxcpus=2", "# warning: more than one vCPU" },
	{ "-smp 1", LSI " -smp 1", "-smp 1", .absent = "more than one vCPU" },
	/* stopping the VM: a monitor of QEMU's for each remote that may have to */
	{ "--on-error", LSI " " DISK, "fd=3 \\\n\t\t--on-error=hold \\\n---",
	  .on_error = "hold", .absent = "qmp" },
	{ "--sandbox", LSI " " DISK, "fd=3 \\\n\t\t--sandbox=container \\\n---",
	  .sandbox = "container" },
	{ "--on-error=stop", LSI " " DISK, "--on-error=stop \\\n\t\t--qmp=fd=4 \\\n---",
	  .on_error = "stop" },
	{ "... QEMU's end", LSI " -nodefaults " DISK, "fd=3 \\\n\t\t-nodefaults \\\n"
	  "\t\t-chardev socket,id=mpqemu-qmp-lsi0,fd=4 \\\n"
	  "\t\t-mon chardev=mpqemu-qmp-lsi0,mode=control\n", .on_error = "stop" },
	{ "... its slots", LSI " " DISK,
	  "#   remote 0: fd 3 is the remote's end of socketpair 0 (lsi0)\n"
	  "#   remote 0: fd 4 is the remote's end of socketpair 1 (QMP of lsi0)\n"
	  "#   QEMU: fd 3 is the proxy's end of socketpair 0 (lsi0)\n"
	  "#   QEMU: fd 4 is the monitor's end of socketpair 1 (QMP of lsi0)\n",
	  .on_error = "stop" },
	{ "... an inherited fd is left alone", LSI " " DISK, "id=mpqemu-qmp-lsi0,fd=5",
	  .on_error = "stop", .busy = 4 },
	{ "... no disk, nothing to stop for", LSI, "--on-error=stop \\\n---", .on_error = "stop",
	  .absent = "--qmp" },
	{ "... of two, the one with a disk", LSI " -device lsi53c895a,id=b -drive if=none,id=d,"
	  "file=x.raw,format=raw -device scsi-hd,drive=d,bus=lsi0.0",
	  "#   QEMU: fd 5 is the monitor's end of socketpair 2 (QMP of lsi0)\n",
	  .on_error = "stop", .absent = "QMP of b" },
	{ "werror=stop of a -drive", LSI " -drive if=none,id=d,file=x.raw,format=raw,werror=stop "
	  "-device scsi-hd,drive=d", "--qmp=fd=4", .absent = "--on-error" },
	{ "werror=enospc of a -device", LSI " " DISK ",werror=enospc", "--qmp=fd=4" },
	{ "rerror=stop in JSON", LSI " -drive if=none,id=d,file=x.raw,format=raw -device "
	  "'{\"driver\":\"scsi-hd\",\"drive\":\"d\",\"bus\":\"lsi0.0\",\"rerror\":\"stop\"}'",
	  "--qmp=fd=4" },
	{ "-global werror=stop", LSI " " DISK " -global scsi-hd.werror=stop", "--qmp=fd=4" },
	{ "werror=report", LSI " " DISK ",werror=report,rerror=auto", "scsi-hd",
	  .absent = "--qmp" },
	{ "werror=stop of a disk that stays", LSI " " DISK " -drive if=none,id=v,file=y.raw,"
	  "format=raw,werror=stop -device virtio-blk,drive=v,werror=stop", "scsi-hd",
	  .absent = "--qmp" },
	{ "QEMU's own remote stops nothing", LSI " " DISK ",werror=stop", "scsi-hd",
	  .qemu_remote = true, .absent = "--qmp" },
	{ "the default monitor stays", LSI " " DISK ",werror=stop",
	  "-monitor vc:80Cx24C \\\n\t\t-chardev socket" },
	{ "... with -nographic", LSI " -nographic " DISK ",werror=stop",
	  "-serial mon:stdio \\\n\t\t-chardev socket", .absent = "-monitor" },
	{ "... and a serial port", LSI " -nographic -serial none " DISK ",werror=stop",
	  "-monitor stdio \\\n\t\t-chardev socket", .absent = "mon:stdio" },
	{ "... or a serial device", LSI " -nographic -device isa-serial,chardev=c " DISK
	  ",werror=stop", "-monitor stdio \\\n\t\t-chardev socket" },
	{ "the user's monitor is left alone", LSI " -qmp stdio " DISK ",werror=stop",
	  "-qmp stdio \\\n\t\t-chardev socket", .absent = "-monitor" },
	{ "none where none is wanted", LSI " -monitor none " DISK ",werror=stop",
	  "-monitor none \\\n\t\t-chardev socket" },
	{ "--events", LSI " " DISK, "--events=/run/e \\\n---", .events = "/run/e" },
	{ "--events of an fd", LSI " " DISK, "#   remote 0: fd 5 is inherited\n",
	  .events = "fd=5", .busy = 5 },
	{ "... which QEMU does not get", LSI " " DISK, "#   QEMU: fd 5 is closed\n",
	  .events = "fd=5", .busy = 5 },
	{ "... beside QMP", LSI " " DISK ",werror=stop", "--events=fd=5 \\\n\t\t--qmp=fd=6",
	  .events = "fd=5", .busy = 5 },
	/* vfio-user */
	{ "auto takes vfio-user", LSI ",addr=5", "-device '{\"driver\":\"vfio-user-pci\","
	  "\"id\":\"lsi0\",\"addr\":\"5\",\"socket\":{\"type\":\"unix\",\"path\":\""
	  SOCKETS "/lsi0.sock\"}}'\n", V11, .absent = "x-pci-proxy-dev" },
	{ "... also without the proxy", LSI, "vfio-user-pci", V11, .no_proxy = true },
	{ "... and says so", LSI, "# the protocol is vfio-user, which QEMU 11.0 has\n", V11 },
	{ "... asked for", LSI, "vfio-user-pci", V11, .protocol = REWRITE_PROTOCOL_VFIO_USER },
	{ "mpqemu asked for", LSI, "-device x-pci-proxy-dev,id=lsi0,fd=3\n", V11,
	  .protocol = REWRITE_PROTOCOL_MPQEMU, .absent = "vfio" },
	{ "auto takes mpqemu of an old QEMU", LSI, "x-pci-proxy-dev", .absent = "vfio" },
	{ "... with its limit said", LSI " -smp 2", "-smp 1 is safe, and so is vfio-user (QEMU "
	  "10.1 or later)\n" },
	{ "auto takes mpqemu for QEMU's own remote", LSI, "x-pci-proxy-dev", V11,
	  .qemu_remote = true, .absent = "vfio" },
	{ "vfio-user: the remote", LSI, "-machine x-remote,vfio-user=on \\\n\t\t-device "
	  "lsi53c895a,id=lsi0 \\\n\t\t-object x-vfio-user-server,id=peer-lsi0,type=fd,str=3,"
	  "device=lsi0 \\\n---", V11 },
	{ "vfio-user: its slot", LSI, "# fd slots:\n#   remote 0: fd 3 listens on " SOCKETS
	  "/lsi0.sock (lsi0)\n# the commands", V11 },
	{ "vfio-user: two devices", LSI " -device edu,id=e", SOCKETS "/e.sock\"}}'\n", V11 },
	{ "vfio-user: the slot's properties", LSI ",addr=0x5,multifunction=on,acpi-index=0x10,"
	  "bus=pci.0,bootindex=-1,failover_pair_id=n", "\"id\":\"lsi0\",\"bus\":\"pci.0\","
	  "\"addr\":\"0x5\",\"multifunction\":true,\"acpi-index\":16,"
	  "\"failover_pair_id\":\"n\",\"bootindex\":-1,\"socket\"", V11 },
	{ "... are not the remote's", LSI ",addr=5,bootindex=1", "-device lsi53c895a,id=lsi0 \\\n",
	  V11 },
	{ "vfio-user: JSON stays as it is", "-device '{\"driver\":\"lsi53c895a\",\"addr\":\"7\","
	  "\"id\":\"j\",\"multifunction\":false}'", "'{\"driver\":\"vfio-user-pci\","
	  "\"addr\":\"7\",\"id\":\"j\",\"multifunction\":false,\"socket\":", V11 },
	{ "vfio-user: other properties go along", LSI ",romfile=x.rom,rombar=0",
	  "-device lsi53c895a,id=lsi0,romfile=x.rom,rombar=0 \\\n", V11 },
	{ "... not to QEMU", LSI ",romfile=x.rom", "\"id\":\"lsi0\",\"socket\"", V11 },
	{ "vfio-user: a disk", LSI " " DISK ",bootindex=0", "-device scsi-hd,drive=d,id=disk,"
	  "bus=lsi0.0 \\\n", V11, .absent = "id=disk,bootindex=0,bus" },
	{ "vfio-user: RAM", LSI " -m 1G", "-object memory-backend-memfd,id=mem,size=1G,share=on",
	  V11 },
	{ "vfio-user: RAM in a shared file", LSI " -object memory-backend-file,id=m,size=1G,"
	  "mem-path=/x,share=on -machine memory-backend=m", "memory-backend-file,id=m", V11 },
	{ "vfio-user: POSIX shared memory", LSI " -object memory-backend-shm,id=m,size=1G "
	  "-machine memory-backend=m", "memory-backend-shm,id=m", V11 },
	{ "vfio-user: huge pages", LSI " -object memory-backend-memfd,id=m,size=1G,hugetlb=on,"
	  "hugetlbsize=2M -machine memory-backend=m", "hugetlbsize=2M", V11 },
	{ "vfio-user: a vIOMMU", LSI " -device intel-iommu,caching-mode=on", "intel-iommu", V11 },
	{ "vfio-user: kernel-irqchip=off", LSI " -machine q35,kernel-irqchip=off",
	  "kernel-irqchip=off", V11 },
	{ "vfio-user: TCG", LSI, "vfio-user-pci", V11, .tcg = true, .absent = "under TCG" },
	{ "vfio-user: a list of accelerators", LSI " -machine accel=kvm:tcg", "kvm:tcg", V11,
	  .tcg = true, .absent = "under TCG" },
	{ "vfio-user: migration", LSI, "# warning: do not migrate this VM, nor save or load", V11 },
	{ "mpqemu: QEMU sees to that", LSI, "x-pci-proxy-dev", .absent = "migrate" },
	{ "vfio-user: SMP", LSI " -smp 4", "-smp 4", V11, .absent = "more than one" },
	{ "vfio-user: 8 backends", LSI
	  " -object memory-backend-ram,id=m0,size=1G -numa node,memdev=m0"
	  " -object memory-backend-ram,id=m1,size=1G -numa node,memdev=m1"
	  " -object memory-backend-ram,id=m2,size=1G -numa node,memdev=m2"
	  " -object memory-backend-ram,id=m3,size=1G -numa node,memdev=m3"
	  " -object memory-backend-ram,id=m4,size=1G -numa node,memdev=m4"
	  " -object memory-backend-ram,id=m5,size=1G -numa node,memdev=m5"
	  " -object memory-backend-ram,id=m6,size=1G -numa node,memdev=m6"
	  " -object memory-backend-ram,id=m7,size=1G -numa node,memdev=m7", "memdev=m7", V11 },
	{ "vfio-user: --on-error=stop", LSI " " DISK, "--on-error=stop \\\n\t\t--qmp=fd=4 \\\n---",
	  .on_error = "stop", V11 },
	{ "... slots of both", LSI " " DISK,
	  "#   remote 0: fd 3 listens on " SOCKETS "/lsi0.sock (lsi0)\n"
	  "#   remote 0: fd 4 is the remote's end of socketpair 1 (QMP of lsi0)\n"
	  "#   QEMU: fd 3 is the monitor's end of socketpair 1 (QMP of lsi0)\n",
	  .on_error = "stop", V11 },
	{ "key=value comes before JSON", "-device '{\"driver\":\"e1000\",\"id\":\"j\"}' " LSI
	  " -device '{\"driver\":\"edu\",\"id\":\"k\"}' -device edu,id=e", "\"id\":\"lsi0\","
	  "\"socket\":{\"type\":\"unix\",\"path\":\"" SOCKETS "/lsi0.sock\"}}' \\\n\t\t-device "
	  "'{\"driver\":\"vfio-user-pci\",\"id\":\"e\",\"socket\":{\"type\":\"unix\","
	  "\"path\":\"" SOCKETS "/e.sock\"}}' \\\n\t\t-device '{\"driver\":\"e1000\","
	  "\"id\":\"j\"}' \\\n\t\t-device '{\"driver\":\"vfio-user-pci\",\"id\":\"k\"", V11,
	  .absent = "QEMU makes" },
	{ "a device that loses its turn", LSI " -device e1000,id=n", "# warning: QEMU makes "
	  "vfio-user-pci after the devices that are written key=value, so 'lsi0' and those behind "
	  "it (-device e1000,id=n) may get other PCI slots; addr= keeps them\n", V11 },
	{ "... also beside one with addr=", LSI ",addr=5 -device e1000,id=n", "# warning: ", V11 },
	{ "... no device behind it", "-device e1000,id=n " LSI, "vfio-user-pci", V11,
	  .absent = "QEMU makes" },
	{ "... one with addr= behind it", LSI " -device e1000,addr=5", "vfio-user-pci", V11,
	  .absent = "QEMU makes" },
	{ "... one on another bus behind it", LSI " -device virtio-scsi-pci,id=v,addr=4 "
	  "-drive if=none,id=e,file=y -device scsi-hd,drive=e,bus=v.0", "vfio-user-pci", V11,
	  .absent = "QEMU makes" },
	{ "... it was JSON already", "-device '{\"driver\":\"lsi53c895a\",\"id\":\"j\"}' "
	  "-device e1000,id=n", "vfio-user-pci", V11, .absent = "QEMU makes" },
	{ "other options stay", LSI " -append 'a=b c' --nographic -S -unknown-to-us x -usb y.img",
	  "-append 'a=b c' \\\n\t\t--nographic \\\n\t\t-S \\\n\t\t-unknown-to-us x \\\n\t\t-usb" },
};

static char **words(const char *text)
{
	char **argv = NULL;
	GError *error = NULL;

	g_shell_parse_argv(text, NULL, &argv, &error);
	g_assert_no_error(error);
	return argv;
}

static struct rewrite_facts facts_of(const struct row *row)
{
	static const char *const ours[] = { "mpqemu-remote", NULL };
	static const char *const qemus[] = { "/usr/bin/qemu-system-x86_64", NULL };

	return (struct rewrite_facts){
		.qemu_major = row->major ? row->major : 7,
		.has_proxy = !row->no_proxy,
		.has_vfio_user = row->vfio_user,
		.socket_dir = SOCKETS,
		.kvm_error = row->kvm_error,
		.remote_prefix = row->qemu_remote ? qemus : ours,
		.busy_fds = &row->busy,
		.busy_count = row->busy ? 1 : 0,
	};
}

static char **line_of(const struct row *row)
{
	g_autofree char *line = g_strdup_printf("qemu-system-x86_64 %s%s", row->tcg ? "" : KVM,
						row->line);

	return words(line);
}

static struct plan *plan_row(const struct row *row, GError **error)
{
	struct rewrite_facts facts = facts_of(row);
	g_auto(GStrv) argv = line_of(row);
	g_auto(GStrv) remote = row->remote ? g_strsplit(row->remote, ",", -1) : NULL;
	g_auto(GStrv) local = row->local ? g_strsplit(row->local, ",", -1) : NULL;
	struct rewrite_choice choice = {
		.remote = remote, .local = local, .on_error = row->on_error, .events = row->events,
		.sandbox = row->sandbox, .protocol = row->protocol,
	};

	return rewrite_move(argv, &choice, &facts, error);
}

/* The same by way of the file that import makes of it. */
static struct plan *plan_imported(const struct row *row, GError **error)
{
	struct rewrite_facts facts = facts_of(row);
	g_auto(GStrv) argv = line_of(row);
	const struct vm_settings settings = {
		.remote = row->remote, .local = row->local, .on_error = row->on_error,
		.events = row->events, .sandbox = row->sandbox,
	};
	g_autofree char *file = vm_import(argv, &settings, error);
	auto_vm vm = file ? vm_parse("file", file, error) : NULL;
	g_auto(GStrv) remote = vm && vm->remote ? g_strsplit(vm->remote, ",", -1) : NULL;
	g_auto(GStrv) local = vm && vm->local ? g_strsplit(vm->local, ",", -1) : NULL;
	struct rewrite_choice choice = { .remote = remote, .local = local,
					 .protocol = row->protocol };

	if (!vm)
		return NULL;
	choice.on_error = vm->all.on_error;
	choice.events = vm->all.events;
	choice.sandbox = vm->all.sandbox;
	return rewrite_move((char **)vm->qemu->pdata, &choice, &facts, error);
}

static void test_imported(const void *data)
{
	g_autoptr(GError) error = NULL, other = NULL;
	struct plan *plan = plan_row(data, &error), *imported = plan_imported(data, &other);

	g_assert_cmpint(!plan, ==, !imported);
	if (plan) {
		g_autofree char *text = plan_to_shell(plan, "x");
		g_autofree char *text2 = plan_to_shell(imported, "x");

		g_assert_cmpstr(text, ==, text2);
	} else {
		g_assert_cmpstr(error->message, ==, other->message);
	}
	plan_destroy(plan);
	plan_destroy(imported);
}

static void test_refused(const void *data)
{
	const struct row *row = data;
	g_autoptr(GError) error = NULL;
	struct plan *plan = plan_row(row, &error);

	g_assert_null(plan);
	g_assert_nonnull(error);
	g_assert_true(error->domain == MPQ_ERROR);
	if (row->expect)
		g_assert_cmpstr(error->message, ==, row->expect);
	g_assert_null(strchr(error->message, '\n'));
}

/* The printed command is one that gives the same plan again. */
static void check_fixpoint(const char *text, const struct row *row)
{
	const char *const ours[] = { "mpqemu-remote", NULL };
	struct rewrite_facts facts = {
		.qemu_major = row->major ? row->major : 7, .kvm_error = row->kvm_error,
		.has_proxy = !row->no_proxy, .has_vfio_user = row->vfio_user,
		.socket_dir = SOCKETS,
		.remote_prefix = ours, .busy_fds = &row->busy, .busy_count = row->busy ? 1 : 0,
	};
	g_auto(GStrv) argv = words(strstr(text, "\nmpqemu-orchestrate -- ") + 1);
	g_autoptr(GPtrArray) remotes = g_ptr_array_new();
	g_autoptr(GError) error = NULL;
	g_autofree char *again = NULL;
	struct plan *plan;
	char **start = argv + 2;

	/* Cut at the separators, in place: the words stay argv's. */
	for (char **word = argv + 2; *word; word++)
		if (!strcmp(*word, "---")) {
			char **copy = g_new0(char *, word - start + 1);

			memcpy(copy, start, (word - start) * sizeof(*copy));
			g_ptr_array_add(remotes, copy);
			start = word + 1;
		}
	plan = rewrite_join(remotes, start, &facts, &error);
	g_assert_no_error(error);
	again = plan_to_shell(plan, "mpqemu-orchestrate");
	g_assert_cmpstr(strstr(again, "# fd slots:"), ==, strstr(text, "# fd slots:"));
	plan_destroy(plan);
	for (unsigned i = 0; i < remotes->len; i++)
		g_free(remotes->pdata[i]);
}

static void test_moved(const void *data)
{
	const struct row *row = data;
	g_autoptr(GError) error = NULL;
	struct plan *plan = plan_row(row, &error);
	g_autofree char *text = NULL;

	g_assert_no_error(error);
	text = plan_to_shell(plan, "mpqemu-orchestrate");
	plan_destroy(plan);
	if (!strstr(text, row->expect))
		g_error("not in the plan: %s\n%s", row->expect, text);
	if (row->absent && strstr(text, row->absent))
		g_error("in the plan: %s\n%s", row->absent, text);
	check_fixpoint(text, row);
}

/* ---- Explicit command lines ---- */

#define REMOTE "mpqemu-remote -machine x-remote -device lsi53c895a,id=lsi0 "
#define QREMOTE "/usr/bin/qemu-system-x86_64 -machine x-remote -device lsi53c895a,id=lsi0 "
#define PEER "-object x-remote-object,id=r,devid=lsi0,fd=4,"
#define MEM "-object memory-backend-memfd,id=mem,size=2G "
#define PROXY "-device x-pci-proxy-dev,id=lsi0,socket=3"
#define VREMOTE "mpqemu-remote -machine x-remote,vfio-user=on -device lsi53c895a,id=lsi0 "
#define SERVER "-object x-vfio-user-server,id=v,type=fd,str=5,device=lsi0 "
#define CLIENT(path) "-device '{\"driver\":\"vfio-user-pci\",\"id\":\"lsi0\"," \
	"\"socket\":{\"type\":\"unix\",\"path\":\"" path "\"}}' "

static const struct {
	const char *name;
	const char *remotes;	/* separated by '|' */
	const char *qemu;
	const char *expect;	/* an error, or (starts with '+') a part of the plan's text */
	bool old;		/* this QEMU has no vfio-user-pci */
} joined[] = {
	{ "no peer", REMOTE, MEM PROXY,
	  "mpqemu-remote: this remote command has no -object x-remote-object or "
	  "x-vfio-user-server: no device of it could be reached" },
	{ "devid missing", REMOTE "-object x-remote-object,id=r,fd=4", MEM PROXY,
	  "-object x-remote-object,id=r,fd=4: devid= is missing: it names the -device that the "
	  "object serves" },
	{ "devid of nothing", REMOTE "-object x-remote-object,id=r,devid=nope,fd=4", MEM PROXY,
	  "-object x-remote-object,id=r,devid=nope,fd=4: no -device of this command has id=nope" },
	{ "fd missing", REMOTE "-object x-remote-object,id=r,devid=lsi0", MEM PROXY,
	  "-object x-remote-object,id=r,devid=lsi0: fd= is missing: it is the number that the "
	  "remote's end of the socketpair gets" },
	{ "fd of stderr", REMOTE "-object x-remote-object,id=r,devid=lsi0,fd=2", MEM PROXY,
	  "-object x-remote-object,id=r,devid=lsi0,fd=2: fd=2 is stdin, stdout or stderr: take 3 "
	  "or more" },
	{ "fd by name", REMOTE "-object x-remote-object,id=r,devid=lsi0,fd=mon", MEM PROXY,
	  "-object x-remote-object,id=r,devid=lsi0,fd=mon: fd=mon is no number: mpqemu-orchestrate "
	  "makes the socketpair and puts its ends at the numbers that stand here" },
	{ "fd too large", REMOTE "-object x-remote-object,id=r,devid=lsi0,fd=99999999999",
	  MEM PROXY,
	  "" },
	{ "the same fd twice", REMOTE PEER " -device edu,id=e -object "
	  "x-remote-object,id=s,devid=e,fd=4", MEM PROXY,
	  "-object x-remote-object,id=s,devid=e,fd=4: fd 4 is the socket of 'lsi0' already" },
	{ "served twice", REMOTE PEER "|" REMOTE PEER, MEM PROXY,
	  "-object x-remote-object,id=r,devid=lsi0,fd=4,: another x-remote-object serves 'lsi0' "
	  "already" },
	{ "two in QEMU's own remote", QREMOTE PEER " -device edu,id=e -object "
	  "x-remote-object,id=s,devid=e,fd=5", MEM PROXY,
	  "-object x-remote-object,id=s,devid=e,fd=5: QEMU's own x-remote serves one device a "
	  "process: a second object is accepted and never served" },
	{ "a remote that leaves", REMOTE PEER " -daemonize", MEM PROXY,
	  "-daemonize: mpqemu-remote would leave the process that mpqemu-orchestrate waits for" },
	{ "no proxy", REMOTE PEER, MEM,
	  "a remote command serves 'lsi0', but QEMU's has no -device x-pci-proxy-dev,id=lsi0" },
	{ "proxy without id", REMOTE PEER, MEM "-device x-pci-proxy-dev,fd=3",
	  "-device x-pci-proxy-dev,fd=3: id= is missing: it says which remote device this is" },
	{ "proxy without fd", REMOTE PEER, MEM "-device x-pci-proxy-dev,id=lsi0",
	  "-device x-pci-proxy-dev,id=lsi0: fd= is missing: it is the number that the proxy's end "
	  "of the socketpair gets" },
	{ "proxy of nothing", REMOTE PEER, MEM "-device x-pci-proxy-dev,id=lsi1,fd=3",
	  "-device x-pci-proxy-dev,id=lsi1,fd=3: no remote command has an x-remote-object with "
	  "devid=lsi1" },
	{ "proxy twice", REMOTE PEER, MEM PROXY " -device x-pci-proxy-dev,id=lsi0,fd=5",
	  "-device x-pci-proxy-dev,id=lsi0,fd=5: Duplicate ID 'lsi0' for device; -device "
	  "x-pci-proxy-dev,id=lsi0,socket=3 has it already" },
	{ "fd and socket", REMOTE PEER, MEM PROXY ",fd=3",
	  "-device x-pci-proxy-dev,id=lsi0,socket=3,fd=3: has both fd= and socket=, which mean the "
	  "same" },
	{ "an fd that a tap has", REMOTE PEER, MEM PROXY " -netdev tap,id=t,fd=3",
	  "-device x-pci-proxy-dev,id=lsi0,socket=3: fd 3 is used by -netdev tap,id=t,fd=3 too" },
	{ "share=off", REMOTE PEER, "-object memory-backend-memfd,id=mem,size=2G,share=off " PROXY,
	  "-object memory-backend-memfd,id=mem,size=2G,share=off: share=off: the remote would map "
	  "other pages than the guest's; share=on is needed" },
	{ "anonymous RAM", REMOTE PEER, "-object memory-backend-ram,id=mem,size=2G "
	  "-machine memory-backend=mem " PROXY,
	  "-object memory-backend-ram,id=mem,size=2G: a remote cannot share RAM of "
	  "memory-backend-ram; take memory-backend-memfd,share=on" },
	{ "the document", REMOTE PEER, MEM PROXY, "+# added -machine memory-backend=mem: without "
	  "it the guest's RAM is not that object, and a remote cannot reach it\n" },
	{ "... its socket", REMOTE PEER, MEM PROXY, "+-device x-pci-proxy-dev,id=lsi0,fd=3" },
	{ "... its trailing comma", REMOTE PEER, MEM PROXY, "+devid=lsi0,fd=4, \\\n" },
	{ "... its pair", REMOTE PEER, MEM PROXY,
	  "+#   remote 0: fd 4 is the remote's end of socketpair 0 (lsi0)\n"
	  "#   QEMU: fd 3 is the proxy's end of socketpair 0 (lsi0)\n" },
	{ "no backend at all", REMOTE PEER, "-m 1G " PROXY, "+memory-backend-memfd,id=mem,"
	  "size=1G" },
	{ "JSON on both sides", "mpqemu-remote -device '{\"driver\":\"edu\",\"id\":\"e\"}' -object "
	  "'{\"qom-type\":\"x-remote-object\",\"id\":\"r\",\"devid\":\"e\",\"fd\":\"9\"}'",
	  MEM "-device '{\"driver\":\"x-pci-proxy-dev\",\"id\":\"e\",\"fd\":\"8\"}'",
	  "+#   QEMU: fd 8 is the proxy's end of socketpair 0 (e)\n" },
	{ "two devices of one remote", REMOTE PEER " -device edu,id=e -object "
	  "x-remote-object,id=s,devid=e,fd=5", MEM PROXY " -device x-pci-proxy-dev,id=e,fd=4",
	  "+#   QEMU: fd 4 is the proxy's end of socketpair 1 (e)\n" },
	{ "order does not matter", REMOTE PEER "|mpqemu-remote -device edu,id=e -object "
	  "x-remote-object,id=s,devid=e,fd=3",
	  MEM "-device x-pci-proxy-dev,id=e,fd=4 " PROXY,
	  "+#   QEMU: fd 4 is the proxy's end of socketpair 1 (e)\n" },
	{ "a remote's own fd", REMOTE PEER " -add-fd fd=7,set=1", MEM PROXY,
	  "+#   remote 0: fd 7 is inherited\n" },
	{ "... QEMU does not get it", REMOTE PEER " -add-fd fd=7,set=1", MEM PROXY,
	  "+#   QEMU: fd 7 is closed\n" },
	{ "an fd that is not there", REMOTE PEER " -add-fd fd=8,set=1", MEM PROXY,
	  "-add-fd fd=8,set=1: fd 8 is not open" },
	{ "the socket in the place of an fd", REMOTE " -add-fd fd=7,set=1 "
	  "-object x-remote-object,id=r,devid=lsi0,fd=7", MEM PROXY,
	  "-object x-remote-object,id=r,devid=lsi0,fd=7: fd 7 is in -add-fd of this command too" },
	{ "... unless it names it", REMOTE PEER " -add-fd fd=7,set=1", MEM PROXY
	  " -chardev file,id=c,path=/dev/fd/7",
	  "+7 is inherited\n#   QEMU: fd 3 is the proxy's end of socketpair 0 (lsi0)\n# the" },
	{ "QMP without its other end", REMOTE PEER " --qmp=fd=5", MEM PROXY,
	  "--qmp=fd=5: fd 5 is not open, and QEMU's command line has no -chardev socket,"
	  "id=mpqemu-qmp-lsi0,fd=N to be its other end" },
	{ "... of another id", REMOTE PEER " --qmp=fd=5", MEM PROXY
	  " -chardev socket,id=mpqemu-qmp-lsi1,fd=6",
	  "--qmp=fd=5: fd 5 is not open, and QEMU's command line has no -chardev socket,"
	  "id=mpqemu-qmp-lsi0,fd=N to be its other end" },
	{ "... that is no fd", REMOTE PEER " --qmp=fd=5", MEM PROXY
	  " -chardev socket,id=mpqemu-qmp-lsi0,fd=mon",
	  "--qmp=fd=5: fd 5 is not open, and QEMU's command line has no -chardev socket,"
	  "id=mpqemu-qmp-lsi0,fd=N to be its other end" },
	{ "QMP at the socket's number", REMOTE PEER " --qmp=fd=4", MEM PROXY
	  " -chardev socket,id=mpqemu-qmp-lsi0,fd=6",
	  "--qmp=fd=4: fd 4 is the socket of 'lsi0' already" },
	{ "QMP at the proxy's number", REMOTE PEER " --qmp=fd=5", MEM PROXY
	  " -chardev socket,id=mpqemu-qmp-lsi0,fd=3",
	  "-device x-pci-proxy-dev,id=lsi0,socket=3: fd 3 is used by -chardev "
	  "socket,id=mpqemu-qmp-lsi0,fd=3 too" },
	{ "QMP of no number", REMOTE PEER " --qmp=fd=x", MEM PROXY,
	  "--qmp=fd=x: it takes a number, 3 or more" },
	{ "events at an fd that is not there", REMOTE PEER " --events=fd=8", MEM PROXY,
	  "--events=fd=8: fd 8 is not open" },
	{ "QMP by an inherited fd", REMOTE PEER " --qmp=fd=7", MEM PROXY,
	  "+#   remote 0: fd 7 is inherited\n" },
	{ "QMP by a path", REMOTE PEER " --qmp=/run/qmp", MEM PROXY,
	  "+--qmp=/run/qmp" },
	{ "QMP joined", REMOTE PEER " --qmp=fd=5", MEM PROXY " -chardev socket,"
	  "id=mpqemu-qmp-lsi0,fd=6 -mon chardev=mpqemu-qmp-lsi0,mode=control",
	  "+#   QEMU: fd 6 is the monitor's end of socketpair 1 (QMP of lsi0)\n" },
	/* vfio-user */
	{ "a server without its device", VREMOTE "-object x-vfio-user-server,id=v,type=fd,str=5",
	  MEM CLIENT("/s"), "-object x-vfio-user-server,id=v,type=fd,str=5: device= is missing: it "
	  "names the -device that the object serves" },
	{ "a server of nothing", VREMOTE "-object x-vfio-user-server,id=v,type=fd,str=5,device=x",
	  MEM CLIENT("/s"), "-object x-vfio-user-server,id=v,type=fd,str=5,device=x: no -device of "
	  "this command has id=x" },
	{ "a server without its fd", VREMOTE "-object x-vfio-user-server,id=v,type=fd,device=lsi0",
	  MEM CLIENT("/s"), "-object x-vfio-user-server,id=v,type=fd,device=lsi0: str= is missing: "
	  "it is the number that the remote's listening socket gets" },
	{ "a server at stderr", VREMOTE "-object x-vfio-user-server,id=v,type=fd,str=2,device=lsi0",
	  MEM CLIENT("/s"), "-object x-vfio-user-server,id=v,type=fd,str=2,device=lsi0: str=2 is "
	  "stdin, stdout or stderr: take 3 or more" },
	{ "a server without a socket", VREMOTE "-object x-vfio-user-server,id=v,device=lsi0",
	  MEM CLIENT("/s"), "-object x-vfio-user-server,id=v,device=lsi0: it is served over "
	  "type=fd,str=N or type=unix,path=PATH" },
	{ "one device, two servers", VREMOTE SERVER "-object x-vfio-user-server,id=w,type=fd,str=6,"
	  "device=lsi0", MEM CLIENT("/s"), "-object x-vfio-user-server,id=w,type=fd,str=6,"
	  "device=lsi0: another x-vfio-user-server serves 'lsi0' already" },
	{ "one device, two protocols", VREMOTE SERVER PEER, MEM CLIENT("/s"),
	  "-object x-remote-object,id=r,devid=lsi0,fd=4,: another x-remote-object serves 'lsi0' "
	  "already" },
	{ "a server without its client", VREMOTE SERVER, MEM "-device vfio-user-pci,id=other",
	  "a remote command serves 'lsi0', but there is no -device vfio-user-pci with id=lsi0 for "
	  "it" },
	{ "a client without a socket", VREMOTE SERVER, MEM "-device vfio-user-pci,id=lsi0",
	  "-device vfio-user-pci,id=lsi0: it has no socket; it is written in JSON: "
	  "\"socket\":{\"type\":\"unix\",\"path\":\"PATH\"}" },
	{ "two clients", VREMOTE SERVER, MEM CLIENT("/s") CLIENT("/t"), "" },
	{ "two paths", VREMOTE "-object x-vfio-user-server,id=v,type=unix,path=/a,device=lsi0",
	  MEM CLIENT("/s"), "'lsi0' is served on /a, and its client connects to /s" },
	{ "a path too long", VREMOTE SERVER, MEM CLIENT("/" LONG LONG), "/" LONG LONG ": the path "
	  "of a socket has 107 bytes at the most" },
	{ "a server for a QEMU without the client", VREMOTE SERVER, MEM CLIENT("/s"),
	  "x-vfio-user-server: this is QEMU 7.0, and vfio-user-pci is in QEMU 10.1 or later",
	  .old = true },
	{ "vfio-user", VREMOTE SERVER, MEM CLIENT("/s"),
	  "+#   remote 0: fd 5 listens on /s (lsi0)\n" },
	{ "... over a path of the remote's", VREMOTE "-object x-vfio-user-server,id=v,type=unix,"
	  "path=/s,device=lsi0", MEM CLIENT("/s"), "+#   remote 0: it listens on /s (lsi0)\n" },
	{ "... in QEMU's other spelling", VREMOTE "-object x-vfio-user-server,id=v,"
	  "socket.type=unix,socket.path=/s,device=lsi0", MEM CLIENT("/s"),
	  "+#   remote 0: it listens on /s (lsi0)\n" },
	{ "... and in JSON", VREMOTE "-object '{\"qom-type\":\"x-vfio-user-server\",\"id\":\"v\","
	  "\"device\":\"lsi0\",\"socket\":{\"type\":\"fd\",\"str\":\"6\"}}'", MEM CLIENT("/s"),
	  "+#   remote 0: fd 6 listens on /s (lsi0)\n" },
	{ "... RAM is added to it", VREMOTE SERVER, CLIENT("/s") "-smp 2",
	  "+memory-backend-memfd,id=mem,size=128M,share=on" },
	{ "somebody else's client stays", REMOTE PEER, MEM PROXY " -device '{\"driver\":"
	  "\"vfio-user-pci\",\"id\":\"nvme\",\"socket\":{\"type\":\"unix\",\"path\":\"/spdk\"}}'",
	  "+/spdk" },
	{ "both protocols in one remote", VREMOTE SERVER "-device edu,id=e -object "
	  "x-remote-object,id=r,devid=e,fd=4", MEM CLIENT("/s") "-device x-pci-proxy-dev,id=e,fd=3",
	  "+#   remote 0: fd 5 listens on /s (lsi0)\n#   remote 0: fd 4 is the remote's end of "
	  "socketpair 1 (e)\n#   QEMU: fd 3 is the proxy's end of socketpair 1 (e)\n" },
	{ "... the proxy's limits count", VREMOTE SERVER "-device edu,id=e -object "
	  "x-remote-object,id=r,devid=e,fd=4", MEM CLIENT("/s") "-device x-pci-proxy-dev,id=e,fd=3 "
	  "-smp 2", "+# warning: more than one vCPU" },
	{ "an fd in the place of the socket", REMOTE " -object x-remote-object,id=r,devid=lsi0,fd=7"
	  " -add-fd fd=7,set=1", MEM PROXY, "-add-fd fd=7,set=1: fd 7 is the socket of 'lsi0'" },
};

static void test_joined(const void *data)
{
	unsigned i = GPOINTER_TO_UINT(data);
	const char *const ours[] = { "mpqemu-remote", NULL };
	const int busy = 7;
	struct rewrite_facts facts = { .qemu_major = 7, .has_proxy = true,
				       .has_vfio_user = !joined[i].old, .remote_prefix = ours,
				       .busy_fds = &busy, .busy_count = 1 };
	g_auto(GStrv) texts = g_strsplit(joined[i].remotes, "|", -1);
	g_autofree char *line = g_strconcat("qemu-system-x86_64 " KVM, joined[i].qemu, NULL);
	g_auto(GStrv) qemu = words(line);
	GPtrArray *remotes = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	struct plan *plan;

	for (char **part = texts; *part; part++)
		g_ptr_array_add(remotes, words(*part));
	plan = rewrite_join(remotes, qemu, &facts, &error);
	g_ptr_array_unref(remotes);
	if (joined[i].expect[0] != '+') {
		g_assert_null(plan);
		g_assert_nonnull(error);
		if (joined[i].expect[0])
			g_assert_cmpstr(error->message, ==, joined[i].expect);
		return;
	}
	g_assert_no_error(error);
	text = plan_to_shell(plan, "mpqemu-orchestrate");
	plan_destroy(plan);
	if (!strstr(text, joined[i].expect + 1))
		g_error("not in the plan: %s\n%s", joined[i].expect + 1, text);
}

/* ---- Many ---- */

static bool has_word(const struct plan_process *process, const char *word)
{
	for (unsigned i = 0; i < process->argv->len; i++)
		if (!g_strcmp0(process->argv->pdata[i], word))
			return true;
	return false;
}

/* As many as may move, each with its copy of an option that all get; and one more. */
static void test_most(void)
{
	g_autoptr(GString) line = g_string_new("-msg timestamp=on");
	g_autoptr(GError) error = NULL, none = NULL;
	struct row row = { .name = "many" };
	struct plan *plan;

	for (unsigned i = 0; i < 64; i++)
		g_string_append_printf(line, " -device edu,id=e%u", i);
	row.line = line->str;
	plan = plan_row(&row, &none);
	g_assert_no_error(none);
	g_assert_cmpuint(plan->remotes->len, ==, 64);
	for (unsigned i = 0; i < 64; i++) {
		const struct plan_process *remote = plan->remotes->pdata[i];
		g_autofree char *id = g_strdup_printf("edu,id=e%u", i);

		g_assert_true(has_word(remote, "timestamp=on"));
		g_assert_true(has_word(remote, id));
	}
	plan_destroy(plan);
	g_string_append(line, " -device edu,id=other");
	row.line = line->str;
	g_assert_null(plan_row(&row, &error));
	g_assert_cmpstr(error->message, ==,
			"-device edu,id=other: more than 64 devices cannot move");
}

/* ---- Questions ---- */

static void test_questions(void)
{
	static const struct {
		const char *line;
		bool question;
	} rows[] = {
		{ "-version", true }, { "--help", true }, { "-h", true },
		{ "-device help", true }, { "-device lsi53c895a,help", true },
		{ "-machine help", true }, { "-M ?", true }, { "-cpu help", true },
		{ "-accel help", true }, { "-object help", true },
		{ "-append help", false }, { "-name help", false }, { "-append -version", false },
		{ "-S", false },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *line = g_strconcat("qemu ", rows[i].line, NULL);
		g_auto(GStrv) argv = words(line);
		g_autoptr(GError) error = NULL;

		g_test_message("%s", rows[i].line);
		g_assert_cmpint(rewrite_is_question(argv, &error), ==, rows[i].question);
		g_assert_no_error(error);
	}
}

static void add_rows(const char *prefix, const struct row *rows, unsigned count, GTestDataFunc fn)
{
	for (unsigned i = 0; i < count; i++) {
		g_autofree char *path = g_strdup_printf("/%s/%s", prefix, rows[i].name);

		g_test_add_data_func(g_strdelimit(path + 1, "/", '|') - 1, &rows[i], fn);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	add_rows("refused:", refused, G_N_ELEMENTS(refused), test_refused);
	add_rows("moved:", moved, G_N_ELEMENTS(moved), test_moved);
	add_rows("imported, refused:", refused, G_N_ELEMENTS(refused), test_imported);
	add_rows("imported:", moved, G_N_ELEMENTS(moved), test_imported);
	for (unsigned i = 0; i < G_N_ELEMENTS(joined); i++) {
		g_autofree char *path = g_strdup_printf("/joined: %s", joined[i].name);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_joined);
	}
	g_test_add_func("/most", test_most);
	g_test_add_func("/questions", test_questions);
	return g_test_run();
}
