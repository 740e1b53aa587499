# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a shell script in a Linux guest whose disks are behind x-pci-proxy-dev.

The kernel's console is the first serial port; what the script reports goes through the second, so
that kernel messages never mix with results.  The script has `run NAME COMMAND...`, which reports
the command's output and exit status under NAME.

QEMU 7.2 under TCG gives the proxy's device no interrupts: irqpoll makes the timer tick call the
driver's handler, noapictimer keeps the tick on the timer that does so, and nohz=off keeps it going
while the guest waits (without it each CHECK CONDITION takes 150 ms).
"""
import pathlib
import re
import tempfile

import guestimage
import qemu

COMMON = ("console=ttyS0 tsc=unstable panic=-1 oops=panic loglevel=4 random.trust_cpu=on "
          "no_timer_check mitigations=off")
APPEND = COMMON + " irqpoll noapictimer nohz=off highres=off"

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin LC_ALL=C HOME=/tmp
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/shm; mount -t tmpfs tmp /tmp; mount -t tmpfs shm /dev/shm
stty -F /dev/ttyS1 raw 115200
exec 3>/dev/ttyS1
run() {
	name=$1; shift
	echo "@@begin $name" >&3
	"$@" >/tmp/run.out 2>&1
	rc=$?
	cat /tmp/run.out >&3
	printf '\\n@@end %s %d\\n' "$name" $rc >&3
	return $rc
}
die() { echo "@@die $*" >&3; dmesg | tail -n 40 >&3; poweroff -f; sleep 60; }
load() {
	for module in $(cat ${1:-/modules}); do
		[ -e /sys/module/${module%.ko} ] && continue
		case $module in
		scsi_mod.ko) set -- scan=sync;;
		sym53c8xx.ko) set -- settle=0 verb=0 SYM_PARAMS;;
		vfio_iommu_type1.ko) set -- allow_unsafe_interrupts=1;;
		*) set --;;
		esac
		insmod /lib/modules/$module "$@" || die "insmod $module"
	done
}
# The first block device of the sd or sr driver at host:channel:target:lun $1.
disk_at() { ls /sys/bus/scsi/devices/$1/block 2>/dev/null; }
sg_at() { ls /sys/bus/scsi/devices/$1/scsi_generic 2>/dev/null; }
load
. /script
echo "@@finished" >&3
sync
poweroff -f
sleep 60
"""


class Result:
    """.steps: name -> (exit status, output), in the script's order.  .words: what QEMU and the
    remotes said."""

    def __init__(self, text, words=""):
        self.text, self.words = text, words
        self.steps = {}
        for match in re.finditer(r"^@@begin (\S+)\n(.*?)\n?@@end \1 (\d+)$",
                                 text, re.M | re.S):
            self.steps[match[1]] = (int(match[3]), match[2])

    def status(self, name):
        return self.steps[name][0]

    def output(self, name):
        """The output of step @name, which must have succeeded."""
        code, text = self.steps[name]
        if code:
            raise qemu.Failure(f"step {name} gave {code}:\n{text}\nall:\n{self.text}")
        return text


def initramfs(script, target, archives=(), files=(), sym_params=""):
    """Writes an initramfs that runs @script to @target: the base image, @archives, then @files
    (pairs of guest path and bytes)."""
    cpio = guestimage.Cpio()
    cpio.file("init", INIT.replace("SYM_PARAMS", sym_params).encode())
    cpio.file("script", script.encode(), 0o644)
    for name, data in files:
        cpio.file(name, data)
    with open(target, "wb") as file:
        for archive in (guestimage.base_archive(), *archives):
            file.write(pathlib.Path(archive).read_bytes())
        file.write(cpio.bytes())


def run(script, remotes, programs=(), files=(), memory="512M", append="", timeout=120,
        machine="pc", smp=None, args=(), sym_params="", check=True, kind=None, vm=qemu.Vm,
        base=APPEND, archives=(), during=None):
    """Boots a guest with @remotes (lists of qemu.Controller, one list a process), runs @script in
    it and returns its Result.  Raises qemu.Failure when guest, QEMU or a remote fails.

    @vm: what runs it: qemu.Vm or what takes the same arguments.  @base: the kernel's options; to
    them comes @append.  @during: called with the VM and the path of the guest's report, while the
    guest runs."""
    kernel = guestimage.kernel()
    archives = [*archives, *(guestimage.program_archive(name) for name in programs)]
    with tempfile.TemporaryDirectory(prefix="mpqemu-guest-") as work:
        work = pathlib.Path(work)
        initramfs(script, work / "initrd", archives, files, sym_params)
        options = ["-kernel", kernel.image, "-initrd", str(work / "initrd"),
                   "-append", f"{base} {append}",
                   "-serial", f"file:{work}/console", "-serial", f"file:{work}/result", *args]
        with vm(remotes, options, memory, "tcg", machine, smp, kind) as running:
            try:
                if during:
                    during(running, work / "result")
                running.finish(timeout)
                text = (work / "result").read_text(errors="replace")
                if check and "@@finished" not in text:
                    raise qemu.Failure("the guest's script did not come to its end")
            except qemu.Failure as failure:
                raise qemu.Failure(str(failure) + _last_words(work)) from None
        return Result(text, running.words())


def _last_words(work):
    text = ""
    for name in ("console", "result"):
        path = work / name
        if path.exists():
            text += f"--- {name}:\n" + path.read_text(errors="replace")[-6000:]
    return text
