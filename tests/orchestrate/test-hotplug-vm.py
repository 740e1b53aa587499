#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
attach and detach in a VM of ours: its keeper takes the remote in, shows it, has it stand still and
misses it as those that the VM was started with.
"""
import json
import os
import shlex
import signal
import socket
import struct
import subprocess
import tempfile

from hotplug import HotplugCase
from launch import PATIENCE, qemu
from supervise import Type
import tap


class OwnVmCase(HotplugCase):
    """A VM of ours, by its name: its QEMU has no monitor but the keeper's."""

    def vm(self, *options, name="vm", qemu_options=()):
        other = self.own = str(self.dir / f"{name}.raw")
        with open(other, "wb") as file:
            file.truncate(1 << 20)
        run = self.start([f"--name={name}", *options, "--", qemu.QEMU, "-S", "-nodefaults",
                          "-display", "none", "-accel", "tcg", "-m", "64", "-device",
                          "lsi53c895a,id=lsi0", "-drive", f"if=none,id=d,format=raw,file={other}",
                          "-device", "scsi-hd,drive=d", *qemu_options])
        control = run.until(lambda: self.connect(self.place / f"{name}.sock"))
        self.addCleanup(control.close)
        run.until(lambda: control.ask("query-status")["qemu"]["status"] in ("prelaunch",
                                                                            "inmigrate"))
        return run, control

    def devices(self, control):
        return sorted(p["name"] for p in control.ask(
            "qemu", execute="qom-list", arguments={"path": "/machine/peripheral"})
            if p["type"] == "child<x-pci-proxy-dev>")

    def attached(self, *options):
        vm, control = self.vm(*options)
        run = self.start(["attach", "vm", *self.words()])
        self.assertEqual(run.wait(), 0, run.text())
        self.assertEqual(self.devices(control), ["hp0", "lsi0"])
        return vm, control, run

    def remote(self, control, device="hp0"):
        """What query-remotes says of it, or None."""
        return next((r for r in control.ask("query-remotes") if r["id"] == device), None)

    def let_go(self, control, run):
        def gone():
            control.ask("qemu", execute="system_reset")
            return any(e["event"] == "DEVICE_DELETED" for e in control.events)
        run.until(gone)

    def with_device(self, vm, control):
        """What is said of hp0, once it has said which process its device process is."""
        vm.until(lambda: "device-pid" in self.remote(control))
        return self.remote(control)

    def ends(self, vm, status=0):
        vm.process.terminate()
        self.assertEqual(vm.wait(), status, vm.text())
        self.nothing_left(vm)
        self.image_is_free()

    def verb(self, *words):
        run = subprocess.run([qemu.built("mpqemu-orchestrate"), *words], capture_output=True,
                             text=True, timeout=PATIENCE, check=False)
        self.assertEqual(run.stderr, "")
        return run.stdout


class OwnVm(OwnVmCase):
    def test_attach(self):
        vm, control, run = self.attached()
        self.assertEqual([(r["id"], r["state"]) for r in control.ask("query-remotes")],
                         [("lsi0", "running"), ("hp0", "running")])
        vm.process.terminate()
        vm.wait()
        self.nothing_left(vm)
        self.nothing_left(run)
        self.image_is_free()
        self.assertEqual(self.holders(), [])

    def test_detach(self):
        vm, control, run = self.attached()
        detach = self.start(["detach", "vm", "hp0"])
        self.let_go(control, detach)
        self.assertEqual(detach.wait(), 0, detach.text())
        self.assertEqual(self.devices(control), ["lsi0"])
        self.nothing_left(run)
        self.image_is_free()

    def test_detach_of_the_start(self):
        """A device that the VM was started with, and the same again by attach."""
        vm, control = self.vm()
        pid = self.remote(control, "lsi0")["pid"]
        detach = self.start(["detach", "vm", "lsi0"])
        self.let_go(control, detach)
        self.assertEqual(detach.wait(), 0, detach.text())
        self.assertIn("lsi0: the VM has it no more, and its remote has ended", detach.text())
        self.assertFalse(os.path.exists(f"/proc/{pid}"))
        remote = self.remote(control, "lsi0")
        self.assertEqual((remote["state"], remote["devices"]), ("ended", []))
        self.assertNotIn("while QEMU was using it", vm.text())
        run = self.start(["attach", "vm", *self.words("lsi53c895a,id=lsi0", self.own)])
        self.assertEqual(run.wait(), 0, run.text())
        self.assertEqual([r["state"] for r in control.ask("query-remotes")], ["ended", "running"])
        self.ends(vm)
        self.nothing_left(run)

    def test_refused(self):
        """Its id is in use; and a device that is not there."""
        self.vm()
        run = self.start(["attach", "vm", *self.words("lsi53c895a,id=lsi0")])
        self.refused(run, "id=lsi0: the VM has a device of this id already (x-pci-proxy-dev)")
        run = self.start(["detach", "vm", "hp7"])
        self.refused(run, "hp7: the VM has no device of this id")

    def test_slot_in_use(self):
        vm, control = self.vm()
        run = self.start(["attach", "vm", *self.words("lsi53c895a,id=hp0,addr=1")])
        self.refused(run, "QEMU refuses it (device_add): PCI: slot 1 function 0 not available")
        self.assertEqual(self.devices(control), ["lsi0"])

    def test_migrate(self):
        """The controller that it was started with is in the way."""
        _, control, _ = self.attached()
        run = self.start(["migrate", "vm", "tcp:localhost:1"])
        self.assertEqual(run.wait(), 125)
        self.assertIn("lsi0: nothing is known here of an attach", run.text())
        self.assertEqual(self.devices(control), ["hp0", "lsi0"])


class Migrate(OwnVmCase):
    """
    A guest that runs.  The VM's own controller is taken out by hand: nothing brings that back, and
    for that reason the other side is a plain QEMU, since with remotes -incoming is refused.
    """

    def source(self):
        vm, control, run = self.attached()
        detach = self.start(["detach", "vm", "lsi0"])
        self.let_go(control, detach)
        self.assertEqual(detach.wait(), 0, detach.text())
        control.events.clear()
        control.ask("cont")
        vm.until(lambda: self.remote(control)["state"] == "running")
        return vm, control, run

    def migrated(self, control, run):
        """The command that brings the device back."""
        uri = f"unix:{self.dir}/in.sock"
        migrate = self.start(["migrate", "vm", uri])
        self.let_go(control, migrate)
        self.assertEqual(migrate.wait(), 0, migrate.text())
        self.assertIn(f"the VM is at {uri}", migrate.text())
        self.nothing_left(run)
        self.image_is_free()
        self.assertEqual(self.devices(control), [])
        self.assertEqual([r["state"] for r in control.ask("query-remotes")], ["ended"])
        run.until(lambda: control.ask("query-status")["qemu"]["status"] == "postmigrate")
        words = shlex.split(migrate.process.stdout.read())
        self.assertEqual(words[:6], ["cd", os.getcwd(), "&&", "mpqemu-orchestrate", "attach",
                                     "--qmp=PATH"])
        return words[6:]

    def test_to_a_plain_qemu(self):
        vm, control, run = self.source()
        there = self.qemu("-m", "64", "-machine", "memory-backend=mem", "-object",
                          "memory-backend-memfd,id=mem,size=64M,share=on", "-incoming",
                          f"unix:{self.dir}/in.sock")
        words = self.migrated(control, run)
        run.until(lambda: there.monitor.ask("query-status")["status"] != "inmigrate")
        again = self.start(["attach", f"--qmp={self.socket}", *words])
        self.assertEqual(again.wait(), 0, again.text())
        self.assertEqual(self.ids(there), ["hp0"])
        there.monitor.ask("cont")
        self.assertEqual(there.monitor.ask("query-status")["status"], "running")
        vm.process.terminate()
        self.assertEqual(vm.wait(), 0, vm.text())
        self.nothing_left(vm)
        there.terminate()
        self.nothing_left(again)
        self.image_is_free()

    def test_fails(self):
        """It comes back, by the keeper as before."""
        vm, control, run = self.source()
        migrate = self.start(["migrate", "vm", f"unix:{self.dir}/nobody"])
        self.let_go(control, migrate)
        self.assertEqual(migrate.wait(), 125, migrate.text())
        self.assertIn("the migration has failed", migrate.text())
        self.assertEqual(self.devices(control), ["hp0"])
        self.assertEqual(self.remote(control)["state"], "running")
        self.assertEqual(control.ask("query-status")["qemu"]["status"], "running")
        self.nothing_left(run)
        self.ends(vm)


class Hostile(OwnVmCase):
    """Who hands the keeper what is no remote."""

    def adopt(self, control, fd, **more):
        return control.ask_with(fd, "adopt", **{"id": "hp0", "serves": "hp0 (mine)", "program": "x",
                                                "pid": os.getpid(), "holder": os.getpid(), **more})

    def channel(self, kind=socket.SOCK_SEQPACKET):
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        return ours, theirs.fileno()

    def test_no_channel(self):
        vm, control = self.vm()
        file = tempfile.TemporaryFile()
        self.addCleanup(file.close)
        _, stream = self.channel(socket.SOCK_STREAM)
        _, good = self.channel()
        for fd, more, text in ((file.fileno(), {}, "no channel came with it"),
                               (stream, {}, "no channel came with it"),
                               (good, {"pid": 0}, "Parameters 'pid' and 'holder' expect processes"),
                               (good, {"holder": -7},
                                "Parameters 'pid' and 'holder' expect processes"),
                               (good, {"id": "lsi0"}, "Duplicate device ID 'lsi0'")):
            with self.subTest(text=text, more=more):
                self.assertEqual(self.adopt(control, fd, **more)["error"]["desc"], text)
        with self.assertRaisesRegex(AssertionError, "no channel came with it"):
            control.ask("adopt", id="hp0", serves="", program="", pid=1, holder=1)
        self.assertIsNone(self.remote(control))
        self.ends(vm)

    def test_other_fds(self):
        """What the keeper reads must not be able to stop it."""
        vm, control = self.vm()
        ours, theirs = self.channel()
        self.assertEqual(self.adopt(control, theirs, socket=1)["return"], {})
        with tempfile.TemporaryFile() as file:
            for name, device, text in (("metrics", "hp0", "what came with it is no 'metrics'"),
                                       ("log", "hp0", "what came with it is no 'log'"),
                                       ("log", "hp1", "Device 'hp1' not found"),
                                       ("x", "hp0", "Parameter 'name' does not accept value 'x'")):
                answer = control.ask_with(file.fileno(), "adopt-fd", id=device, name=name)
                self.assertEqual(answer["error"]["desc"], text)
        page = os.memfd_create("short")
        self.addCleanup(os.close, page)
        self.assertEqual(control.ask_with(page, "adopt-fd", id="hp0", name="metrics")["return"], {})
        self.assertEqual([m["id"] for m in control.ask("query-metrics")], ["lsi0"])
        ours.close()
        self.ends(vm)

    def test_babbles(self):
        """It is taken for one that has ended; QEMU never had its socket, so nobody misses it."""
        vm, control = self.vm()
        ours, theirs = self.channel()
        self.adopt(control, theirs, socket=1)
        self.assertEqual(self.remote(control)["state"], "running")
        ours.send(b"x" * 1000)
        vm.until(lambda: not self.remote(control))
        self.ends(vm)

    def test_left(self):
        """A client of one that listens: QEMU has left it before it ends."""
        vm, control = self.vm()
        ours, theirs = self.channel()
        self.adopt(control, theirs)
        ours.send(struct.pack("=4I", Type.CLIENT_GONE, 0, 0, 0))
        ours.close()
        vm.until(lambda: not self.remote(control))
        self.assertEqual(control.event("MPQEMU_REMOTE_EXITED")["data"]["expected"], True)
        self.ends(vm)

    def test_deaf(self):
        """A channel that is full stops nobody."""
        vm, control = self.vm()
        ours, theirs = self.channel()
        self.adopt(control, theirs)
        for _ in range(300):
            control.ask("cont")
            control.ask("stop")
        vm.until(lambda: self.remote(control, "lsi0")["state"] == "paused")
        ours.close()        # over vfio-user, as far as is known, and QEMU has not left
        vm.until(lambda: self.remote(control)["state"] == "ended")
        self.ends(vm, 123)

    def test_id_in_use(self):
        """What the keeper does not take, the VM does not get."""
        vm, control = self.vm()
        ours, theirs = self.channel()
        self.adopt(control, theirs, socket=1)
        run = self.start(["attach", "vm", *self.words()])
        self.refused(run, "the VM's keeper does not take it in: Duplicate device ID 'hp0'")
        self.assertEqual(self.devices(control), ["lsi0"])
        ours.close()
        self.ends(vm)

    def test_held_for_ever(self):
        """Three signals: who never ends is left to its parent."""
        vm, control = self.vm()
        _, theirs = self.channel()
        self.adopt(control, theirs, socket=1)
        vm.process.terminate()
        vm.until(lambda: control.ask("query-status")["phase"] == "ending")
        for text in "second signal: killing QEMU", f"it is left to process {os.getpid()}":
            vm.until(lambda text=text: vm.process.terminate() or text in vm.text())
        vm.wait()
        self.nothing_left(vm)


class Adopted(OwnVmCase):
    def test_shown(self):
        vm, control, run = self.attached(f"--metrics={self.dir}/m.sock")
        remote = self.with_device(vm, control)
        self.assertEqual((remote["state"], remote["devices"]), ("running", ["hp0"]))
        self.assertIn("hp0 (lsi53c895a; scsi-hd d)", remote["serves"])
        self.assertIn(remote["pid"], run.pids())
        self.assertIn(remote["holder"], run.pids())
        self.assertIn(remote["device-pid"], run.pids())
        self.assertEqual(control.ask("query-status")["remotes"], 2)
        self.assertIn(f"attached by pid {remote['holder']}", self.verb("status", "vm"))
        metrics = self.verb("metrics", "vm")
        self.assertRegex(metrics, r'mpqemu_messages_total\{vm="vm",remote="hp0",'
                                  r'kind="config_read"\} [1-9]')
        self.assertEqual(metrics.count("# TYPE mpqemu_messages_total"), 1)
        row = [line for line in self.verb("top", "-n", "1", "-d", "0.1", "vm").splitlines()
               if line.startswith("hp0")][0].split()
        self.assertEqual(row[1], "running")
        self.assertNotEqual(row[2], "-")
        jail = json.loads(self.verb("inspect", "vm:hp0", "--security", "--json"))
        self.assertEqual(jail["processes"][0]["pid"], remote["device-pid"])
        graph = self.verb("graph", "vm")
        self.assertIn(f"p{remote['holder']} -> p{remote['pid']} [style=dotted]", graph)
        self.assertIn('[dir=both, label="hp0"]', graph)
        vm.until(lambda: "sandbox: " in self.verb("logs", "--source", "hp0", "vm"))
        self.ends(vm)
        self.nothing_left(run)

    def states(self, control, device="hp0"):
        """Its next state."""
        while True:
            data = control.event("MPQEMU_REMOTE_STATE")["data"]
            if data["remote"] == device:
                return data["state"]

    def test_list_sweeps(self):
        """What was left behind, and nothing else."""
        vm, control, run = self.attached()
        place = self.place / "attached"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(place / "00-old.sock"))
        (place / "file.sock").touch()
        held = [path for path in self.holders() if path.name.endswith("-hp0.sock")]
        self.verb("list")
        self.assertEqual(sorted(self.holders()), sorted(held + [place / "file.sock"]))
        self.ends(vm)
        self.nothing_left(run)

    def test_pause(self):
        vm, control, run = self.attached()
        control.ask("cont")
        control.ask("stop")
        self.assertEqual([self.states(control), self.states(control)], ["pausing", "paused"])
        self.assertEqual(self.remote(control)["state"], "paused")
        control.ask("cont")
        self.assertEqual(self.states(control), "running")
        self.ends(vm)
        self.nothing_left(run)

    def test_attached_to_a_paused_vm(self):
        vm, control = self.vm()
        control.ask("cont")
        control.ask("stop")
        vm.until(lambda: self.remote(control, "lsi0")["state"] == "paused")
        run = self.start(["attach", "vm", *self.words()])
        self.assertEqual(run.wait(), 0, run.text())
        vm.until(lambda: self.remote(control)["state"] == "paused")
        control.ask("cont")
        vm.until(lambda: self.remote(control)["state"] == "running")
        self.ends(vm)
        self.nothing_left(run)

    def test_restart(self):
        """The keeper's question reaches it, and so does the answer come back."""
        vm, control, _ = self.attached()
        with self.assertRaisesRegex(AssertionError, "it has no --on-crash=reset"):
            control.ask("restart", device="hp0")
        self.ends(vm)

    def exited(self, control):
        return control.event("MPQEMU_REMOTE_EXITED")["data"]

    def test_killed(self):
        vm, control, run = self.attached()
        os.kill(self.remote(control)["pid"], signal.SIGKILL)
        data = self.exited(control)
        self.assertEqual((data["remote"], data["expected"]), ("hp0", False))
        remote = self.remote(control)
        self.assertEqual((remote["state"], remote["reason"]),
                         ("ended", "was killed by signal 9 (KILL)"))
        self.assertIn("hp0 (lsi53c895a; scsi-hd d): its process was killed by signal 9 (KILL) "
                      "while QEMU was using it", vm.text())
        self.nothing_left(run)
        self.ends(vm, 123)

    def test_device_process_killed(self):
        vm, control, run = self.attached()
        os.kill(self.with_device(vm, control)["device-pid"], signal.SIGKILL)
        self.exited(control)
        self.assertEqual(self.remote(control)["cause"], "signal 9 (Killed)")
        self.nothing_left(run)
        self.ends(vm, 123)

    def test_stop(self):
        vm, control, run = self.attached("--on-remote-exit=stop")
        os.kill(self.remote(control)["pid"], signal.SIGKILL)
        self.assertEqual(vm.wait(), 123, vm.text())
        self.nothing_left(run)
        self.nothing_left(vm)

    def test_pause_policy(self):
        vm, control, run = self.attached("--on-remote-exit=pause")
        control.ask("cont")
        os.kill(self.remote(control)["pid"], signal.SIGKILL)
        vm.until(lambda: control.ask("query-status")["qemu"]["status"] == "paused")
        self.nothing_left(run)
        self.ends(vm, 123)

    def test_holder_killed(self):
        """Its remote goes with it; the keeper says so until the guest has let go of the device."""
        vm, control, run = self.attached()
        holder = self.remote(control)["holder"]
        os.kill(holder, signal.SIGKILL)
        self.assertFalse(self.exited(control)["expected"])
        remote = self.remote(control)
        self.assertEqual((remote["state"], remote["reason"]),
                         ("ended", f"ended with process {holder}, which held it (exit status "
                          "unknown)"))
        self.assertNotIn("pid", remote)
        self.nothing_left(run)
        self.image_is_free()
        self.assertEqual(len(self.holders()), 1)        # left behind
        detach = self.start(["detach", "vm", "hp0"])
        detach.until(lambda: not self.holders())
        self.let_go(control, detach)
        self.assertEqual(detach.wait(), 0, detach.text())
        self.assertIsNone(self.remote(control))
        again = self.start(["attach", "vm", *self.words()])
        self.assertEqual(again.wait(), 0, again.text())
        self.assertEqual(self.remote(control)["state"], "running")
        self.ends(vm, 123)
        self.nothing_left(again)


if __name__ == "__main__":
    tap.main()
