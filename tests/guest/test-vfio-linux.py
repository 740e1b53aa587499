#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's sym53c8xx on controllers behind QEMU 11's vfio-user-pci: verified data and interrupts,
with as many vCPUs as one likes.  The control is the same guest with QEMU's own controller."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guestsuite                       # noqa: E402
import guestvfio                        # noqa: E402
import qemu                             # noqa: E402
from guestsuite import sha256           # noqa: E402
from qemu import Controller, Disk       # noqa: E402
from qmp import Qmp                     # noqa: E402

MIB = 1 << 20
IOMMU = ["-device", "intel-iommu,caching-mode=on"]

# irqs counts what the line of the controller at $slot has brought.
START = """
slot=0000:00:04.0
disk() { disk_at '*:0:0:0'; }
disk=/dev/$(disk)
irqs() { awk '/sym53c8xx/ { for (i = 2; $i ~ /^[0-9]+$/; i++) n += $i } END { print n + 0 }' \\
	/proc/interrupts; }
await() { for i in $(seq 400); do [ -b /dev/$(disk) ] && break; usleep 50000; done; }
sum() { dd if=$1 bs=64k count=${2:-256} iflag=direct 2>/dev/null | sha256sum; }
complaints() { dmesg | grep -iE 'sym[0-9].*(error|abort|timeout|unexpected)|I/O error'\\
'|nobody cared|DMAR.*fault'; }
"""

FIO = """
run before irqs
( while [ ! -e /tmp/stop ]; do lspci -vv >/tmp/lspci 2>&1 || touch /tmp/bad; echo >>/tmp/turns; done
) &
run fio fio --name=verify --filename=$disk --ioengine=libaio --direct=1 --thread --numjobs=4 \\
	--iodepth=32 --size=FIO_SIZE --offset_increment=4m --rw=randwrite --bs=4k-64k \\
	--verify=crc32c --verify_fatal=1 --randseed=11 --output-format=terse
touch /tmp/stop
wait
run after irqs
run each dd if=$disk of=/dev/null bs=4k count=100 iflag=direct
run then irqs
run lspci cat /tmp/lspci
run turns sh -c "[ ! -e /tmp/bad ] && grep -c ^ /tmp/turns"
run sum sum $disk
"""

REBIND = """
run unbind sh -c "echo $slot >/sys/bus/pci/drivers/sym53c8xx/unbind"
run gone ls /sys/class/block
run bind sh -c "echo $slot >/sys/bus/pci/drivers/sym53c8xx/bind"
await
disk=/dev/$(disk)
run resum sum $disk
"""

# Two controllers, one line: each disk gets data of its own, and both are read back together.
TWO = START + """
disk=/dev/$(disk_at 0:0:0:0) other=/dev/$(disk_at 1:0:0:0)
fill() { dd if=/dev/urandom of=$1 bs=64k count=160 oflag=direct 2>/dev/null; }
run before irqs
fill $disk & fill $other & wait
( sum $other 160 >/tmp/other ) &
run sum sum $disk 160
wait
run other cat /tmp/other
run after irqs
"""

END = "run complaints complaints\nrun errors sh -c \"grep -c processor /proc/cpuinfo\"\n"

REBOOT = START + """
if [ "$(dd if=$disk bs=512 count=1 2>/dev/null | head -c 5)" != again ]; then
	run write dd if=/dev/urandom of=$disk bs=64k count=64 seek=16 oflag=direct
	run first sum $disk 80
	dd if=$disk of=/tmp/block bs=512 count=1 2>/dev/null
	printf again | dd of=$disk bs=512 count=1 conv=notrunc,sync oflag=direct 2>/dev/null
	run marked sum $disk 80
	exec 3>&-
	reboot -f
	sleep 60
fi
run second sum $disk 80
run rewrite dd if=/dev/urandom of=$disk bs=64k count=64 seek=16 oflag=direct
run irqs irqs
""" + END

UNPLUG = START + """
run first sum $disk 32
while [ -e /sys/bus/pci/devices/$slot ]; do usleep 50000; done
run gone ls /sys/class/block
await
disk=/dev/$(disk)
run second sum $disk 32
run write dd if=/dev/urandom of=$disk bs=64k count=16 oflag=direct
run third sum $disk 16
""" + END


class VfioLinux(guestvfio.Case):
    def controller(self, size=16 * MIB):
        self.image = qemu.pattern(self.dir / "disk.img", size, "vfio")
        return [[Controller([Disk(self.image)])]]

    def run_guest(self, script, **kwargs):
        result = guestvfio.run(script, self.controller(), timeout=90, **kwargs)
        self.assertEqual(result.steps["complaints"], (1, ""), "the driver complained")
        return result

    def on_host(self, blocks, image=None):
        with open(image or self.image, "rb") as file:
            return sha256(file.read(blocks << 16))

    def check_io(self, result, smp):
        self.assertEqual(result.output("errors").strip(), str(smp), "vCPUs")
        jobs = [line.split(";") for line in result.output("fio").splitlines()
                if line.startswith("3;")]
        self.assertEqual([job[4] for job in jobs], ["0"] * 4, "fio's errors")
        self.assertEqual(result.output("sum").split()[0], self.on_host(256))
        before, after, then = (int(result.output(step)) for step in ("before", "after", "then"))
        print(f"# {result.output('turns').strip()} lspci -vv, {after - before} interrupts; then "
              f"{then - after} for 100 reads")
        self.assertGreater(after, before)
        self.assertGreaterEqual(then - after, 100, "interrupts of 100 reads, one after the other")
        self.assertIn("SCSI storage controller: Broadcom / LSI 53c895a", result.output("lspci"))

    def check_rebind(self, result):
        result.output("unbind")
        self.assertNotIn("sda", result.output("gone").split())
        result.output("bind")
        self.assertEqual(result.output("resum"), result.output("sum"))

    def io(self, machine, smp, size="3m", **kwargs):
        script = START + FIO.replace("FIO_SIZE", size) + REBIND + END
        result = self.run_guest(script, machine=machine, smp=smp,
                                programs=["fio"], **kwargs)
        self.check_io(result, smp)
        self.check_rebind(result)

    def test_pc_1(self):
        self.io("pc", 1)

    def test_pc_2(self):
        self.io("pc", 2)

    def test_pc_4(self):
        self.io("pc", 4)

    def test_q35_1(self):
        self.io("q35", 1)

    def test_q35_2(self):
        self.io("q35", 2)

    def test_q35_4(self):
        self.io("q35", 4)

    def test_control(self):
        """QEMU's own controller: a failure here is the guest's, or the script's."""
        self.io("pc", 2, kind=guestvfio.CONTROL)

    def test_dma_by_message(self):
        """Plain RAM cannot be mapped: all DMA is DMA_READ and DMA_WRITE."""
        self.io("pc", 2, size="512k", vm={"shared": False})

    def test_viommu(self):
        """Maps of a page come and go with each request."""
        self.ours_only("QEMU's own controller fetches SCRIPTS from its RAM through the IOMMU")
        script = START + FIO.replace("FIO_SIZE", "2m") + END
        result = self.run_guest(script + "run groups ls /sys/kernel/iommu_groups\n",
                                machine="q35", smp=2, programs=["fio"], args=IOMMU)
        self.check_io(result, 2)
        self.assertGreater(len(result.output("groups").split()), 1, "the guest uses no IOMMU")

    def reboot(self, **kwargs):
        result = self.run_guest(REBOOT, vm={"reboot": True}, **kwargs)
        for step in ("write", "rewrite"):
            result.output(step)
        self.assertNotEqual(result.output("first"), result.output("marked"))
        self.assertEqual(result.output("second"), result.output("marked"))
        self.assertGreater(int(result.output("irqs")), 100)

    def test_two_controllers_in_one_remote(self):
        disks = [qemu.image(self.dir / f"disk{n}.img", 16 * MIB) for n in range(2)]
        controllers = [Controller([Disk(disk)], id=f"lsi{n}", addr=4 + 4 * n)
                       for n, disk in enumerate(disks)]
        result = guestvfio.run(TWO + END, [controllers], machine="q35", smp=4, timeout=90)
        self.assertEqual(result.steps["complaints"], (1, ""), "the driver complained")
        for step, disk in zip(("sum", "other"), disks):
            self.assertEqual(result.output(step).split()[0], self.on_host(160, disk))
        self.assertNotEqual(result.output("sum"), result.output("other"))
        self.assertGreater(int(result.output("after")), int(result.output("before")))

    def test_reboot(self):
        """The remote stays; QEMU resets it and sets its interrupts up again."""
        self.reboot(smp=2)

    def unplug(self, **kwargs):
        def during(vm, report):
            vm.wait_for(report, b"@@end first", 60)
            monitor = Qmp.connect(vm.monitor)
            self.addCleanup(monitor.close)
            monitor.ask("device_del", id="lsi0")
            monitor.event("DEVICE_DELETED")
            vm.wait_for(report, b"@@end gone", 60)
            monitor.ask("device_add", **vm.devices["lsi0"])
        result = self.run_guest(UNPLUG, during=during, **kwargs)
        self.assertNotIn("sda", result.output("gone").split())
        self.assertEqual(result.output("first"), result.output("second"))
        result.output("write")
        self.assertEqual(result.output("third").split()[0], self.on_host(16))

    def test_unplug_and_plug(self):
        """The remote accepts QEMU's second connection."""
        self.ours_only("QEMU's own controller takes its disks with it")
        self.unplug()


if __name__ == "__main__":
    guestsuite.main()
