#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The teaching device edu-pcie behind vfio-user-pci: its capabilities as lspci shows them, and its
MSI-X, MSI and INTx as VFIO in the guest takes them (msixprobe.c)."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guestsuite                       # noqa: E402
import guestvfio                        # noqa: E402
from qemu import Controller             # noqa: E402

ARGS = ["-device", "intel-iommu,caching-mode=on", "-device", "pcie-root-port,id=port5,addr=5"]

SCRIPT = """
slot=0000:01:00.0
run lspci lspci -vvnn -s $slot
run tree lspci -t
load /modules.vfio
echo vfio-pci >/sys/bus/pci/devices/$slot/driver_override
run bind sh -c "echo $slot >/sys/bus/pci/drivers_probe"
run probe timeout 60 /msixprobe $slot
run irqs cat /proc/interrupts
run again timeout 60 /msixprobe $slot
run faults sh -c "dmesg | grep -iE 'DMAR.*fault|nobody cared|vfio.*(fail|error)'"
"""

CAPABILITIES = [
    r"\[1234:11e8\] \(rev 10\)",
    r"Region 0: Memory at \w+ \(64-bit, prefetchable\) .*\[size=1M\]",
    r"Region 2: Memory at \w+ \(32-bit, non-prefetchable\) .*\[size=4K\]",
    r"Capabilities: \[\w+\] Power Management version 3",
    r"Status: D0 ",
    r"Capabilities: \[\w+\] MSI: Enable- Count=1/8 Maskable- 64bit\+",
    r"Capabilities: \[\w+\] MSI-X: Enable- Count=8 Masked-",
    r"Vector table: BAR=2 offset=00000000",
    r"PBA: BAR=2 offset=00000800",
    r"Capabilities: \[\w+\] Express \(v2\) Endpoint, MSI 00",
    r"FLReset\+",
]


def message_facts(name):
    facts = {f"{name} vectors": "8"}
    facts.update({f"{name} vector {n}": "1" for n in range(8)})
    return {**facts, f"{name} strays": "0", f"{name} all at once": "8", f"{name} rounds": "200",
            f"{name} status": "0"}


FACTS = {
    **message_facts("msi-x"),
    "masked: vector 2": "1", "masked: vector 5": "0", "unmasked: vector 5": "1",
    "unmasked: strays": "0",
    "pba idle": "0", "kept: strays": "0", "pba": "0xc0", "pba after 7 is served": "0x40",
    "kept: vector 6, as 2": "1", "pba at the end": "0",
    **message_facts("msi"),
    "intx vectors": "1", "intx raised": "1", "intx masked": "0", "intx held": "1",
    "intx acknowledged": "0", "intx again": "1",
    "dma": "same",
    "before reset": "0x100", "after reset": "0",
}


class VfioMsix(guestvfio.Case):
    def setUp(self):
        super().setUp()
        self.ours_only("QEMU's own edu has no MSI-X")

    def check_facts(self, text):
        facts = dict(line.rsplit(": ", 1) for line in text.splitlines())
        self.maxDiff = None
        self.assertEqual(facts, FACTS)

    def test_edu_pcie(self):
        controller = Controller([], driver="edu-pcie", id="edu0", addr=0)
        files = [("msixprobe", guestsuite.built_guest_program("msixprobe"))]
        result = guestvfio.run(SCRIPT, [[controller]], vm={"bus": "port5"}, machine="q35", smp=2,
                               args=ARGS, files=files, vfio=True, timeout=120)
        shown = result.output("lspci")
        for pattern in CAPABILITIES:
            with self.subTest(capability=pattern):
                self.assertRegex(shown, pattern)
        result.output("bind")
        with self.subTest(run="first"):
            self.check_facts(result.output("probe"))
        with self.subTest(run="second"):
            self.check_facts(result.output("again"))
        self.assertEqual(result.steps["faults"], (1, ""))


if __name__ == "__main__":
    guestsuite.main()
