# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU of Debian sid whose devices are behind vfio-user-pci, or, as the control, in QEMU itself.

Interrupts do arrive over vfio-user, so the guest has none of the kernel options that stand in for
them behind x-pci-proxy-dev.
"""
import functools
import json
import pathlib
import subprocess
import tempfile
import time

import guest
import guestimage
import guestsuite
import qemu
import qemusid

REMOTE, CONTROL = "vfio-user", "in-process"
VFIO_MODULES = ("vfio_pci", "vfio_iommu_type1")


def default_kind():
    """--remote qemu runs a test with QEMU's own devices."""
    return REMOTE if qemu.remote_kind() == "mpqemu" else CONTROL


class Case(guestsuite.GuestCase):
    """A test that skips where this QEMU cannot be had."""

    def setUp(self):
        super().setUp()
        try:
            qemusid.program()
        except guestimage.Missing as error:
            self.skipTest(str(error))


def _listens(path):
    """Its name is there a moment before, and to connect would make it the client's turn."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
        return any(line.endswith(f" {path}\n") and line.split()[3] == "00010000" for line in file)


class Remote(qemu.Remote):
    """mpqemu-remote as vfio-user server of @controllers; .sockets are its paths, one each."""

    def __init__(self, controllers, work):
        self.kind, self.controllers, self.peers = REMOTE, controllers, []
        self.log = qemu.Log()
        self.sockets = [work / f"{controller.id}.sock" for controller in controllers]
        self.argv = [qemu.built("mpqemu-remote"), "-machine", "x-remote,vfio-user=on"]
        for controller, path in zip(controllers, self.sockets):
            self.argv += controller.args() + [
                "-object", f"x-vfio-user-server,id=v{controller.id},type=unix,path={path},"
                           f"device={controller.id}"]
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.log.file,
                                        stderr=self.log.file)
        self._wait_for_sockets()

    def _wait_for_sockets(self):
        end = time.monotonic() + 20
        while not all(_listens(path) for path in self.sockets):
            if self.process.poll() is not None or time.monotonic() > end:
                self.close()
                raise qemu.Failure(f"no socket of {' '.join(self.argv)}\n{self.log.text()}")
            time.sleep(0.01)

    def wait(self, timeout=20):
        """It serves the next client when one has gone: told to end, it ends well."""
        if self.process.poll() is None:
            self.process.terminate()
        return super().wait(timeout)


class Vm(qemu.Vm):
    """One run of it.  @shared: guest RAM that a remote can map; without it DMA goes by messages.
    @bus: where the devices are.  @reboot: a reset of the guest does not end QEMU.  .monitor is the
    path of its QMP socket."""

    def __init__(self, *args, shared=True, bus=None, reboot=False, accel=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.accel = accel or self.accel
        self.shared, self.bus, self.reboot = shared, bus, reboot
        self.kind = self.kind or default_kind()
        self.folder = tempfile.TemporaryDirectory(prefix="mpqemu-vfio-")
        self.work = pathlib.Path(self.folder.name)
        self.monitor = self.work / "monitor"
        self.devices = {}           # id: what device_add takes

    def _start(self):
        self.argv = [qemusid.program(), "-nodefaults", "-display", "none", "-accel", self.accel,
                     "-m", self.memory, "-qmp", f"unix:{self.monitor},server=on,wait=off"]
        machine = self.machine
        if self.shared:
            machine += ",memory-backend=ram"
            self.argv += ["-object", f"memory-backend-memfd,id=ram,size={self.memory},share=on"]
        self.argv += ["-machine", machine] + ([] if self.reboot else ["-no-reboot"])
        if self.smp:
            self.argv += ["-smp", str(self.smp)]
        self.argv += self.args      # first: buses that the devices stand on
        for controllers in self.remotes:
            self.argv += self._remote(controllers) if self.kind == REMOTE else \
                self._control(controllers)
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.log.file,
                                        stderr=self.log.file)

    def _place(self, controller):
        place = {"addr": f"{controller.addr:#x}"}
        return {**place, "bus": self.bus} if self.bus else place

    def _remote(self, controllers):
        remote = Remote(controllers, self.work)
        self.started.append(remote)
        argv = []
        for controller, path in zip(controllers, remote.sockets):
            device = {"driver": "vfio-user-pci", "id": controller.id, **self._place(controller),
                      "socket": {"type": "unix", "path": str(path)}}
            self.devices[controller.id] = device
            argv += ["-device", json.dumps(device)]
        return argv

    def _control(self, controllers):
        argv = []
        for controller in controllers:
            first, device, *disks = controller.args()
            self.devices[controller.id] = {"driver": controller.driver, "id": controller.id,
                                           **self._place(controller)}
            place = "".join(f",{k}={v}" for k, v in self._place(controller).items())
            argv += [first, device + place, *disks]
        return argv

    def _stop(self):
        super()._stop()
        self.folder.cleanup()


def run(script, remotes, vm=None, append="", args=(), vfio=False, **kwargs):
    """guest.run() with this QEMU.  @vm: arguments of Vm that qemu.Vm does not have.  @vfio: the
    guest can load vfio-pci.  With an intel-iommu among @args the guest uses it."""
    if any("intel-iommu" in arg for arg in args):
        append += " intel_iommu=on iommu.strict=1"
    archives = [guestimage.module_archive("vfio", VFIO_MODULES)] if vfio else []
    kwargs.setdefault("memory", "512M" if "fio" in kwargs.get("programs", ()) else "256M")
    return guest.run(script, remotes, vm=functools.partial(Vm, **(vm or {})), base=guest.COMMON,
                     append=append, args=args, archives=archives, **kwargs)
