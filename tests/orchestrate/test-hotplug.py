#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
attach and detach with stock QEMU, stopped, and with QMP servers that misbehave: whatever goes
wrong, one line says so, and nothing is left behind.
"""
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time


HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[0] / "lib"))
import qemu             # noqa: E402
import tap              # noqa: E402
from fakeqmp import FakeQmp, Refusal    # noqa: E402
from hotplug import HotplugCase, PC, Q35, fds           # noqa: E402
from launch import PATIENCE, marked         # noqa: E402
from qmp import Qmp     # noqa: E402


class Words(HotplugCase):
    """What is wrong before anybody is asked."""

    def check(self, words, text):
        run = self.start(words)
        self.assertEqual(run.wait(), 125)
        self.assertEqual(run.text(), f"mpqemu-orchestrate: {text}\n")

    def test_words(self):
        qmp = f"--qmp={self.socket}"
        for words, text in [
                (["attach", "-device", "lsi53c895a,id=a"],
                 "attach: the VM is missing: its name, if it is one of ours, or --qmp=PATH, the "
                 "QMP socket of its QEMU"),
                (["attach", "vm", "-device", "lsi53c895a,id=a"], "vm: no VM of this name runs"),
                (["attach", "a b", "-device", "x"], "'a b': a VM's name has letters, digits, '-', "
                 "'_' and '.', at most 48 of them"),
                (["attach", "vm", "stray", "-device", "x"],
                 "attach: 'stray' is no option; what the remote gets begins with -device"),
                (["detach", "vm", "hp0"], "vm: no VM of this name runs"),
                (["detach", "vm"], "detach: it takes one ID"),
                (["migrate", "vm", "tcp:a:1"], "vm: no VM of this name runs"),
                (["attach", qmp],
                 "attach: -device is missing, the controller that the VM gets"),
                (["attach", qmp, "stray", "-device", "lsi53c895a,id=a"],
                 "attach: 'stray' is no option; what the remote gets begins with -device"),
                (["attach", qmp, "--root=a", "-device", "x"],
                 "attach: Unknown option --root=a"),
                (["attach", qmp, "--timeout=0", "-device", "x"],
                 "--timeout: it takes a number of seconds, 1 to 86400"),
                (["attach", qmp, "--sandbox=maybe", "-device", "x"],
                 "--sandbox=maybe: it is one of strict|container|seccomp-only|off"),
                (["attach", qmp, "--foreground", "--log=x", "-device", "x"],
                 "--log=x: it is for the background, and --foreground has stderr"),
                (["attach", qmp, f"--log={self.dir}/no/x", "-device", "x"],
                 f"--log={self.dir}/no/x: No such file or directory"),
                (["detach", qmp], "detach: it takes one ID"),
                (["migrate", qmp], "migrate: it takes one URI"),
                (["migrate", "tcp:a:1"], "migrate: it takes one URI"),
                (["detach", qmp, "a", "b"], "detach: it takes one ID"),
                (["detach", qmp, "../a"], "../a: it is no id of a device")]:
            with self.subTest(words=words):
                self.check(words, text)

    def test_help(self):
        for verb in "attach", "detach", "migrate":
            run = self.start([verb, "--help"])
            self.assertEqual(run.wait(), 0, run.text())
            self.assertIn("--qmp=PATH", run.process.stdout.read())


class Sockets(HotplugCase):
    """What is behind --qmp is not QEMU, or is busy."""

    def both(self, text, *options):
        """Each verb says it."""
        self.refused(self.attach(*options), text)
        for words in ["detach", "hp0"], ["migrate", "tcp:localhost:1"]:
            run = self.start([words[0], f"--qmp={self.socket}", *options, words[1]])
            self.assertEqual(run.wait(), 125)
            self.assertIn(text, run.text())

    def listen(self, kind=socket.SOCK_STREAM):
        sock = socket.socket(socket.AF_UNIX, kind)
        self.addCleanup(sock.close)
        sock.bind(self.socket)
        return sock

    def answer(self, data):
        """Somebody who says @data to each client, and reads no more."""
        sock = self.listen()
        sock.listen()

        def serve():
            while True:
                try:
                    client = sock.accept()[0]
                    if data is None:
                        client.close()
                    else:
                        client.sendall(data)
                        clients.append(client)
                except OSError:
                    return
        clients = []
        threading.Thread(target=serve, daemon=True).start()
        self.addCleanup(lambda: sock.shutdown(socket.SHUT_RDWR))

    def test_not_there(self):
        self.both(f"{self.socket}: cannot connect to QEMU's QMP socket: No such file or directory")

    def test_a_file(self):
        pathlib.Path(self.socket).touch()
        self.both(f"{self.socket}: cannot connect to QEMU's QMP socket: nobody listens there")

    def test_nobody_listens(self):
        self.listen().close()
        self.both(f"{self.socket}: cannot connect to QEMU's QMP socket: nobody listens there")

    def test_datagrams(self):
        self.listen(socket.SOCK_DGRAM)
        self.both(f"{self.socket}: cannot connect to QEMU's QMP socket: it is no stream socket")

    def test_too_long(self):
        self.socket = "/" + "x" * 200
        self.both("cannot connect to QEMU's QMP socket: File name too long")

    def test_another_program(self):
        self.answer(b"SSH-2.0-OpenSSH_9.2p1\r\n")
        self.both(f"{self.socket}: a line of it is no JSON object")

    def test_another_protocol(self):
        self.answer(b'{"hello": "world"}\n')
        self.both(f"{self.socket}: it did not greet as a QMP monitor does")

    def test_closes(self):
        self.answer(None)
        self.both(f"{self.socket}: it closed the connection")

    def test_never_answers(self):
        self.answer(b"")
        self.both(f"{self.socket}: it has not answered qmp_capabilities for 1 s; QEMU serves one "
                  "client at a time there: another one may have it", "--timeout=1")

    def test_busy(self):
        """QEMU has another client."""
        self.qemu(*PC)
        other = Qmp.connect(self.socket)
        self.both("another one may have it", "--timeout=1")
        other.close()

    def test_refuses(self):
        def refuse(fake, args):
            raise Refusal("not you")
        FakeQmp(self, self.socket, qmp_capabilities=refuse)
        self.both(f"{self.socket}: it refused: not you")

    def test_stops_answering(self):
        FakeQmp(self, self.socket, **{"query-memdev": lambda *_: time.sleep(3)})
        self.refused(self.attach("--timeout=1"),
                     f"{self.socket}: it has not answered query-memdev for 1 s")

    def test_nonsense(self):
        """Answers of types that QEMU does not give."""
        FakeQmp(self, self.socket, **{k: v for k, v in [
            ("query-version", []), ("query-status", 7), ("query-kvm", "yes"),
            ("query-cpus-fast", {}), ("device-list-properties x-pci-proxy-dev", None),
            ("query-memdev", [1, {}, {"id": 3}]), ("qom-list /objects", [{"type": "child<"}]),
            ("qom-list /machine", [{"name": "x", "type": "child<>"}, "y"])]})
        self.refused(self.attach(), "this QEMU (0.0) has neither vfio-user-pci")

    def test_no_end(self):
        """A device in a device in a device."""
        part = [{"name": "pci.0", "type": "child<PCI>"}] * 3000
        FakeQmp(self, self.socket, **{"qom-list /machine/i440fx": part})
        self.refused(self.attach(), "there is no end of its devices: it is no QEMU")


class Refused(HotplugCase):
    """A VM that cannot have it."""

    def test_ram_not_shared(self):
        process = self.qemu("-machine", "pc", "-m", "64M")
        before = fds(process.pid)
        self.refused(self.attach(), "RAM 'pc.ram' (memory-backend-ram) is not shared")
        self.assertEqual(fds(process.pid), before)

    def test_private_memfd(self):
        self.qemu("-machine", "pc,memory-backend=m", "-object",
                  "memory-backend-memfd,id=m,size=128M,share=off")
        self.refused(self.attach(), "RAM 'm' (memory-backend-memfd) is not shared")

    def test_ram_in_a_file(self):
        self.qemu("-machine", "pc,memory-backend=m", "-object",
                  f"memory-backend-file,id=m,size=128M,share=on,mem-path={self.dir}/ram")
        self.refused(self.attach(), "RAM 'm' is of memory-backend-file; memory-backend-memfd is "
                     "what a remote can share")

    def fake(self, text, **answers):
        FakeQmp(self, self.socket, **answers)
        self.refused(self.attach(), text)

    def test_huge_pages(self):
        self.fake("RAM 'm' has pages of more than 4 KiB (hugetlb=on), which makes QEMU abort",
                  **{"qom-get /objects/m hugetlb": True})

    def test_no_ram(self):
        self.fake("QEMU names no RAM (query-memdev)", **{"query-memdev": []})

    def test_many_backends(self):
        self.fake("the VM has 8 memory backends; a remote can take 7",
                  **{"query-memdev": [{"id": f"m{i}", "share": True} for i in range(8)]})

    def test_virtio_mem(self):
        self.fake("RAM of virtio-mem comes and goes block by block",
                  **{"query-memory-devices": [{"type": "virtio-mem", "data": {}}]})

    def test_confidential(self):
        self.fake("a confidential guest's RAM cannot be shared", **{"qom-list /objects": [
            {"name": "m", "type": "child<memory-backend-memfd>"},
            {"name": "sev0", "type": "child<sev-guest>"}]})

    def test_viommu(self):
        self.fake("the VM has a vIOMMU", **{"qom-list /machine/peripheral": [
            {"name": "iommu", "type": "child<intel-iommu>"}]})

    def test_migrating(self):
        self.fake("the VM is being migrated (inmigrate)",
                  **{"query-status": {"status": "inmigrate"}})

    def test_crashing_qemu(self):
        self.fake("QEMU 10.0 crashes by itself with x-pci-proxy-dev without KVM",
                  **{"query-version": {"qemu": {"major": 10, "minor": 0, "micro": 0}},
                     "query-kvm": {"enabled": False, "present": True}})

    def test_no_client(self):
        self.fake("this QEMU (7.2) has neither vfio-user-pci",
                  **{"device-list-properties x-pci-proxy-dev": None})

    def test_id_in_use(self):
        self.qemu(*PC, "-device", "virtio-rng-pci,id=hp0")
        self.refused(self.attach(),
                     "id=hp0: the VM has a device of this id already (virtio-rng-pci)")

    def test_unknown_bus(self):
        self.qemu(*PC)
        self.refused(self.attach(words=self.words("lsi53c895a,id=hp0,bus=pci.7")),
                     "bus=pci.7: the VM has no PCI bus of this name; it has pci.0")

    def test_bus_without_hotplug(self):
        self.qemu(*Q35)
        self.refused(self.attach(), "no PCI bus of the VM takes a device while it runs (it has "
                     "pcie.0)", "pcie-root-port")
        self.refused(self.attach(words=self.words("lsi53c895a,id=hp0,bus=pcie.0")),
                     "bus=pcie.0: it takes no device while the VM runs")

    def test_port_in_use(self):
        self.qemu(*Q35, "-device", "pcie-root-port,id=port0,chassis=1", "-device",
                  "virtio-rng-pci,bus=port0")
        self.refused(self.attach(words=self.words("lsi53c895a,id=hp0,bus=port0")),
                     "bus=port0: this port has its device already")

    def test_slot_in_use(self):
        """QEMU itself refuses: the socket that it got is closed again."""
        process = self.qemu(*PC)
        before = fds(process.pid)
        self.refused(self.attach(words=self.words("lsi53c895a,id=hp0,addr=1")),
                     "QEMU refuses it (device_add): PCI: slot 1 function 0 not available")
        self.assertEqual(fds(process.pid), before)
        self.assertEqual(self.ids(process), [])

    def test_image_missing(self):
        self.qemu(*PC)
        run = self.attach(words=self.words(image="/no/such/image"))
        self.refused(run, "Could not open '/no/such/image': No such file or directory")

    def test_image_twice(self):
        self.qemu(*PC)
        twice = ["-drive", f"if=none,id=e,format=raw,file={self.image}", "-device",
                 "scsi-hd,drive=e,scsi-id=3"]
        self.refused(self.attach(words=self.words() + twice), "it is the same image as that of")

    def test_image_of_another(self):
        process = self.qemu(*PC)
        first = self.attach("--foreground", words=self.words("lsi53c895a,id=first"))
        first.until(lambda: "is attached" in first.text())
        run = self.attach()
        self.assertEqual(run.wait(), 125)
        self.assertIn('Failed to get "write" lock', run.text())
        self.nothing_left(run)
        self.assertEqual(self.ids(process), ["first"])


class Remotes(HotplugCase):
    """Remotes that fail before QEMU has the device."""

    def check(self, how, *texts, status=123):
        process = self.qemu(*PC)
        before = fds(process.pid)
        self.refused(self.attach(self.fake_remote(how), "--timeout=2"), *texts, status=status)
        self.assertEqual(fds(process.pid), before)
        self.assertEqual(self.ids(process), [])

    def test_not_there(self):
        self.qemu(*PC)
        self.refused(self.attach("--remote-program=/no/such/program"), "/no/such/program: cannot "
                     "start it: exec: No such file or directory", status=127)

    def test_no_program(self):
        self.qemu(*PC)
        self.refused(self.attach("--remote-program=/etc/passwd"), "Permission denied", status=126)

    def test_silent(self):
        self.check("silent", "hp0 (lsi53c895a; scsi-hd d) does not answer: its time is over")

    def test_closes(self):
        self.check("closes", "does not answer: it closed the socket")

    def test_babbles(self):
        self.check("babbles", "hp0 (lsi53c895a; scsi-hd d) does not answer: ")

    def test_absent(self):
        self.check("absent", "does not answer: there is no device behind the socket")

    def test_ends(self):
        self.check("nothing", "its process ended with exit status 0 before QEMU had the device")

    def test_does_not_reset(self):
        self.check("unreset", "does not answer: its time is over")


class Middle(HotplugCase):
    """Somebody goes away between the probe and the end of device_add."""

    def fake(self, device_add, **answers):
        return FakeQmp(self, self.socket, device_add=device_add, **answers)

    def until_asked(self, run, fake, command):
        run.until(lambda: command in [c for c, _ in fake.asked])

    def test_remote_dies_and_qemu_refuses(self):
        def die(fake, args):
            pathlib.Path(self.out).touch()
            time.sleep(0.5)
            raise Refusal("the device is dead")
        fake = self.fake(die)
        run = self.attach(self.fake_remote("dies"), env={"FAKE_REMOTE_OUT": self.out})
        self.refused(run, "its process ended with exit status 9 before QEMU had the device",
                     status=123)
        self.assertEqual([c for c, _ in fake.asked][-2:], ["device_add", "closefd"])

    def test_remote_dies_and_qemu_takes_it(self):
        """As QEMU does: the device is taken out again."""
        def die(fake, args):
            pathlib.Path(self.out).touch()
            time.sleep(0.5)
            return {}

        def delete(fake, args):
            self.assertEqual(args, {"id": "hp0"})
            fake.event("DEVICE_DELETED", device="hp0", path="/machine/peripheral/hp0")
            return {}
        fake = self.fake(die, device_del=delete,
                         **{"qom-get /machine/peripheral/hp0 type": "x-pci-proxy-dev"})
        run = self.attach(self.fake_remote("dies"), env={"FAKE_REMOTE_OUT": self.out})
        self.refused(run, "before QEMU had the device", status=123)
        self.assertIn("device_del", [c for c, _ in fake.asked])

    def test_remote_dies_under_real_qemu(self):
        """At any time: QEMU may have the device by then."""
        process = self.qemu(*PC)
        before = fds(process.pid)
        pathlib.Path(self.out).touch()
        run = self.attach(self.fake_remote("dies"), "--guest-timeout=1",
                          env={"FAKE_REMOTE_OUT": self.out})
        self.assertIn(run.wait(), (0, 123), run.text())
        self.nothing_left(run)
        if not self.ids(process):       # else the guest, which does not run, has it still
            self.assertEqual(fds(process.pid), before)

    def test_qemu_dies_at_getfd(self):
        FakeQmp(self, self.socket, getfd=lambda fake, args: fake.hang_up() or {})
        self.refused(self.attach(), f"{self.socket}: it closed the connection")

    def test_qemu_dies_at_device_add(self):
        self.fake(lambda fake, args: fake.hang_up() or {})
        self.refused(self.attach(), f"{self.socket}: it closed the connection")

    def test_qemu_hangs_at_device_add(self):
        self.fake(lambda fake, args: time.sleep(3) or {})
        self.refused(self.attach("--timeout=1"), "it has not answered device_add for 1 s")

    def slow(self, then=None):
        self.go = threading.Event()

        def wait(fake, args):
            self.go.wait(PATIENCE)
            if then:
                raise then
            return {}
        return self.fake(wait, **{"qom-get /machine/peripheral/hp0 type": "x-pci-proxy-dev"})

    def test_verb_is_killed_and_qemu_refuses(self):
        fake = self.slow(Refusal("no"))
        run = self.attach()
        self.until_asked(run, fake, "device_add")
        run.process.kill()
        run.process.wait()
        run.until(lambda: "the caller has ended" in run.text())
        self.go.set()
        self.nothing_left(run)
        self.image_is_free()

    def test_verb_is_killed_and_qemu_takes_it(self):
        def delete(fake, args):
            fake.event("DEVICE_DELETED", device="hp0", path="/machine/peripheral/hp0")
            return {}
        fake = self.slow()
        fake.answers["device_del"] = delete
        run = self.attach()
        self.until_asked(run, fake, "device_add")
        run.process.kill()
        run.process.wait()
        run.until(lambda: "the caller has ended" in run.text())
        self.go.set()
        self.nothing_left(run)
        self.assertIn("device_del", [c for c, _ in fake.asked])
        self.image_is_free()

    def test_verb_is_killed_before(self):
        run = self.attach(self.fake_remote("silent"))
        process = self.qemu(*PC)
        run = self.attach(self.fake_remote("silent"))
        run.until(lambda: len(run.pids()) >= 2)
        run.process.kill()
        run.process.wait()
        self.nothing_left(run)
        self.assertEqual(self.ids(process), [])

    def test_background_is_killed(self):
        fake = self.slow()
        run = self.attach()
        self.until_asked(run, fake, "device_add")
        for pid in run.pids():
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "mpqemu-orchestr":
                os.kill(pid, signal.SIGKILL)
        self.assertNotEqual(run.wait(), 0)
        self.go.set()
        self.nothing_left(run)
        self.image_is_free()

    def test_signal(self):
        fake = self.slow(Refusal("no"))
        run = self.attach("--foreground")
        self.until_asked(run, fake, "device_add")
        run.process.terminate()
        run.until(lambda: "ended by signal 15 before QEMU had the device" in run.text())
        self.go.set()
        self.refused(run, status=128 + signal.SIGTERM)


class Attached(HotplugCase):
    """It works."""

    def attached(self, *options, words=None, qemu_args=PC):
        process = self.qemu(*qemu_args)
        run = self.attach(*options, words=words)
        self.assertEqual(run.wait(), 0, run.text())
        self.assertIn("hp0 (lsi53c895a; scsi-hd d) is attached", run.text())
        self.assertEqual(self.ids(process)[-1:], ["hp0"])
        return process, run

    def test_ends_with_qemu(self):
        process, run = self.attached()
        self.assertTrue(run.pids())
        self.assertEqual(len(self.holders()), 1)
        process.terminate()
        self.nothing_left(run)
        self.assertEqual(self.holders(), [])
        self.image_is_free()

    def test_ends_with_killed_qemu(self):
        process, run = self.attached()
        process.kill()
        self.nothing_left(run)

    def test_sigterm(self):
        """To the process in the background."""
        _, run = self.attached(f"--log={self.dir}/log")
        log = self.dir / "log"
        # Asked before any of them is told to end: the others follow at once.
        holders = [pid for pid in run.pids() if
                   pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "mpqemu-orchestr"]
        for pid in holders:
            os.kill(pid, signal.SIGTERM)
        self.nothing_left(run)
        self.assertIn("ended by signal 15; the guest reads all ones", log.read_text())
        self.image_is_free()

    def test_inherited_image(self):
        """The remote gets it; who is in the background keeps no fd of the caller's."""
        process = self.qemu(*PC)
        here, there = os.pipe()
        self.addCleanup(os.close, here)
        with open(self.image, "r+b") as image:
            run = self.start(["attach", f"--qmp={self.socket}", "-add-fd",
                              f"fd={image.fileno()},set=1", "-device", "lsi53c895a,id=hp0",
                              "-drive", "if=none,id=d,format=raw,file=/dev/fdset/1", "-device",
                              "scsi-hd,drive=d"], pass_fds=[image.fileno(), there])
            self.assertEqual(run.wait(), 0, run.text())
        os.close(there)
        self.assertEqual(os.read(here, 1), b"")         # nobody has the other end
        self.assertEqual(self.ids(process), ["hp0"])
        process.terminate()
        self.nothing_left(run)

    def test_qmp_is_free(self):
        """Nobody has QEMU's socket afterwards."""
        self.attached()
        Qmp.connect(self.socket).close()

    def test_foreground(self):
        process = self.qemu(*PC)
        run = self.attach("--foreground")
        run.until(lambda: "is attached" in run.text())
        process.terminate()
        self.assertEqual(run.wait(), 0, run.text())
        self.assertIn("it is not used any more", run.text())
        self.nothing_left(run)

    def test_remote_dies(self):
        process = self.qemu(*PC)
        run = self.attach("--foreground")
        run.until(lambda: "is attached" in run.text())
        pid = int(run.text().partition("; process ")[2].split()[0])
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(run.wait(), 123, run.text())
        self.assertIn("if the VM still has the device, its guest reads all ones", run.text())
        self.nothing_left(run)
        self.assertIsNone(process.poll())

    def test_port_of_q35(self):
        process, run = self.attached(qemu_args=[*Q35, "-device",
                                                "pcie-root-port,id=port0,chassis=1"])
        self.assertIn("hp0", str(process.monitor.ask("qom-list",
                                                     path="/machine/peripheral")))
        process.terminate()
        self.nothing_left(run)

    def test_json_and_separator(self):
        self.attached(words=["--", "-device", '{"driver":"lsi53c895a","id":"hp0","addr":"9"}',
                             *self.words()[2:4], "-device", '{"driver":"scsi-hd","drive":"d"}'])

    def test_holder(self):
        """What it says over its socket, which only we may use."""
        process, run = self.attached("--sandbox=strict")
        path, = self.holders()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(path.parent.stat().st_mode & 0o777, 0o700)
        holder = Qmp.connect(path)
        said = holder.ask("query-attached")
        self.assertIn(said.pop("pid"), run.pids())
        self.assertEqual(said, {"id": "hp0", "qmp": self.socket, "cwd": os.getcwd(),
                                "attached": True, "options": ["--sandbox=strict"],
                                "words": self.words()})
        holder.close()
        process.terminate()
        self.nothing_left(run)

    def test_left_behind(self):
        """A name that a killed one has left is taken again."""
        process, run = self.attached()
        path, = self.holders()
        for pid in run.pids():
            os.kill(pid, signal.SIGKILL)
        self.nothing_left(run)
        process.kill()
        process.wait()
        self.assertEqual(self.holders(), [path])
        os.unlink(self.socket)
        os.unlink(self.dir / "second.sock")
        process, run = self.attached()
        self.assertEqual(self.holders(), [path])
        process.terminate()
        self.nothing_left(run)

    def test_place_of_another(self):
        self.qemu(*PC)
        self.place.mkdir(mode=0o777)
        self.place.chmod(0o777)
        self.refused(self.attach(), f"{self.place}: others may write there")

    def test_two(self):
        process, first = self.attached()
        other = str(self.dir / "other.raw")
        with open(other, "wb") as file:
            file.truncate(1 << 20)
        second = self.attach(words=self.words("lsi53c895a,id=hp1", other))
        self.assertEqual(second.wait(), 0, second.text())
        self.assertEqual(sorted(self.ids(process)), ["hp0", "hp1"])
        process.terminate()
        self.nothing_left(first)
        self.nothing_left(second)


class VfioUser(HotplugCase):
    """A QEMU that has vfio-user-pci: here a server that connects as QEMU does."""

    def fake(self, device_add=None, **answers):
        self.client = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.client.close)

        def connect(fake, args):
            self.args = args
            self.client.connect(args["socket"]["path"])
            if device_add:
                return device_add(fake, args)
            return {}
        return FakeQmp(self, self.socket, device_add=connect, **answers, **{
            "device-list-properties vfio-user-pci": [],
            "qom-get /machine/peripheral/hp0 type": "vfio-user-pci"})

    def attached(self):
        fake = self.fake()
        run = self.attach()
        self.assertEqual(run.wait(), 0, run.text())
        self.assertEqual({**self.args, "socket": None}, {
            "driver": "vfio-user-pci", "id": "hp0", "bus": "pci.0", "socket": None})
        self.assertNotIn("getfd", [c for c, _ in fake.asked])
        return fake, run

    def gone(self, run):
        self.nothing_left(run)
        self.assertEqual(self.holders(), [])
        self.assertFalse(os.path.exists(os.path.dirname(self.args["socket"]["path"])))
        self.image_is_free()

    def test_ends_with_qemu(self):
        """The remote would wait for its next client."""
        _, run = self.attached()
        self.client.close()
        self.gone(run)

    def test_detach(self):
        fake, run = self.attached()

        def delete(fake, args):
            self.client.close()
            fake.event("DEVICE_DELETED", device="hp0", path="/machine/peripheral/hp0")
            return {}
        fake.answers["device_del"] = delete
        detach = self.start(["detach", f"--qmp={self.socket}", "hp0"])
        self.assertEqual(detach.wait(), 0, detach.text())
        self.assertIn("and its remote has ended", detach.text())
        self.gone(run)

    def test_qemu_refuses(self):
        def refuse(fake, args):
            self.client.close()
            raise Refusal("realize failed")
        self.fake(refuse)
        run = self.attach()
        self.assertIn(run.wait(), (123, 125), run.text())
        self.assertIn("QEMU refuses it (device_add): realize failed", run.text())
        self.gone(run)

    def test_qemu_dies(self):
        self.fake(lambda fake, args: self.client.close() or fake.hang_up() or {})
        run = self.attach()
        self.assertIn(run.wait(), (123, 125), run.text())
        self.gone(run)

    def test_ram_in_a_file(self):
        """Over vfio-user a file will do."""
        fake = self.fake(**{"qom-list /objects": [{"name": "m",
                                                   "type": "child<memory-backend-file>"}]})
        run = self.attach()
        self.assertEqual(run.wait(), 0, run.text())
        self.assertEqual(fake.answers["query-memdev"][0]["share"], True)
        self.client.close()
        self.gone(run)


class Detach(HotplugCase):
    def detach(self, *options):
        return self.start(["detach", f"--qmp={self.socket}", *options, "hp0"])

    def fake(self, device_del, kind="x-pci-proxy-dev"):
        return FakeQmp(self, self.socket, device_del=device_del,
                       **{"qom-get /machine/peripheral/hp0 type": kind})

    def check(self, run, text, status=125):
        self.assertEqual(run.wait(), status, run.text())
        self.assertIn(text, run.text())
        self.nothing_left(run)

    def test_no_such_device(self):
        self.qemu(*PC)
        self.check(self.detach(), "hp0: the VM has no device of this id")

    def test_another_device(self):
        process = self.qemu(*PC, "-device", "virtio-rng-pci,id=hp0")
        self.check(self.detach(), "hp0: it is a virtio-rng-pci of QEMU's, and no remote device")
        self.assertEqual(self.ids(process), ["hp0"])

    def test_guest_does_not_answer(self):
        process = self.qemu(*PC)
        run = self.attach()
        self.assertEqual(run.wait(), 0, run.text())
        for _ in range(2):      # QEMU says then that it is under way already
            self.check(self.detach("--guest-timeout=1"),
                       "hp0: the guest has not let go of it for 1 s; it stays")
        self.assertEqual(self.ids(process), ["hp0"])
        self.assertTrue(run.pids(), "its remote serves it")
        process.monitor.ask("system_reset")
        self.nothing_left(run)
        self.assertEqual(self.ids(process), [])
        self.image_is_free()

    def test_guest_refuses(self):
        def delete(fake, args):
            fake.event("DEVICE_UNPLUG_GUEST_ERROR", device="hp0", path="/machine/peripheral/hp0")
            return {}
        self.fake(delete)
        self.check(self.detach(), "hp0: the guest refuses to let go of it")

    def test_of_another_device(self):
        """An event of another device says nothing."""
        def delete(fake, args):
            fake.event("DEVICE_DELETED", device="hp1", path="/machine/peripheral/hp1")
            fake.event("DEVICE_DELETED", path="/machine/peripheral/hp0/bus")
            return {}
        self.fake(delete)
        self.check(self.detach("--guest-timeout=1"), "the guest has not let go of it")

    def test_goes(self):
        def delete(fake, args):
            fake.event("DEVICE_DELETED", device="hp0", path="/machine/peripheral/hp0")
            return {}
        self.fake(delete, "vfio-user-pci")
        self.check(self.detach(), "hp0: the VM has it no more; its remote is not known here", 0)

    def test_remote_ends_first(self):
        """The verb returns when the images are free."""
        fake = FakeQmp(self, self.socket)
        run = self.attach()
        self.assertEqual(run.wait(), 0, run.text())

        def delete(fake, args):
            fake.event("DEVICE_DELETED", device="hp0", path="/machine/peripheral/hp0")
            return {}
        fake.answers.update({"device_del": delete,
                             "qom-get /machine/peripheral/hp0 type": "x-pci-proxy-dev"})
        detach = self.detach()      # the fake keeps QEMU's end of the socket open
        self.assertEqual(detach.wait(), 0, detach.text())
        self.assertIn("hp0: the VM has it no more, and its remote has ended", detach.text())
        self.assertEqual(self.holders(), [])
        self.image_is_free()
        self.nothing_left(run)

    def test_bus_refuses(self):
        def delete(fake, args):
            raise Refusal("Bus 'pcie.0' does not support hotplugging")
        self.fake(delete)
        self.check(self.detach(), "hp0: QEMU refuses (device_del): Bus 'pcie.0' does not support "
                   "hotplugging")

    def test_qemu_dies(self):
        self.fake(lambda fake, args: {})
        fake = self.fake_closing()
        run = self.detach()
        run.until(lambda: "device_del" in [c for c, _ in fake.asked])
        time.sleep(0.1)
        fake.hang_up()
        self.check(run, "it closed the connection")

    def fake_closing(self):
        self.socket += "2"
        return self.fake(lambda fake, args: {})


class Migrate(HotplugCase):
    """A VM that does not run, so that a reset is what lets go of a device."""

    def migrate(self, uri, *options):
        return self.start(["migrate", f"--qmp={self.socket}", *options, uri])

    def attached(self):
        process = self.qemu(*PC)
        run = self.attach("--sandbox=strict")
        self.assertEqual(run.wait(), 0, run.text())
        return process, run

    def let_go(self, process, run):
        """A reset lets go of what QEMU has asked the guest for, and does nothing before."""
        def gone():
            process.monitor.ask("system_reset")
            return any(e["event"] == "DEVICE_DELETED" for e in process.monitor.events)
        run.until(gone)

    def destination(self):
        path = str(self.dir / "incoming.sock")
        monitor = str(self.dir / "destination.sock")
        process = subprocess.Popen(
            [qemu.QEMU, "-S", "-nodefaults", "-display", "none", "-accel", "tcg", *PC, "-qmp",
             f"unix:{monitor},server=on,wait=off", "-incoming", f"unix:{path}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def end():
            process.kill()
            process.wait()
        self.addCleanup(end)
        deadline = time.monotonic() + PATIENCE
        while not os.path.exists(path) or not os.path.exists(monitor):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        return process, monitor, f"unix:{path}"

    def test_goes(self):
        """And is attached on the other side by the line that is printed."""
        process, holder = self.attached()
        there, monitor, uri = self.destination()
        run = self.migrate(uri)
        self.let_go(process, run)
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(holder)
        self.assertEqual(process.monitor.ask("query-migrate")["status"], "completed")
        line = run.process.stdout.read()
        self.assertIn("--sandbox=strict", line)
        words = line.partition("mpqemu-orchestrate ")[2].replace("=PATH ", f"={monitor} ")
        self.assertTrue(line.startswith(f"cd {os.getcwd()}") or "'" in line, line)
        again = self.start(shlex.split(words))
        self.assertEqual(again.wait(), 0, again.text())
        there.terminate()
        self.nothing_left(again)

    def test_nothing_to_move(self):
        self.qemu(*PC)
        _, _, uri = self.destination()
        run = self.migrate(uri)
        self.assertEqual(run.wait(), 0, run.text())
        self.assertEqual(run.process.stdout.read(), "")

    def test_fails(self):
        """The device comes back."""
        process, holder = self.attached()
        run = self.migrate(f"unix:{self.dir}/nobody")
        self.let_go(process, run)
        self.assertEqual(run.wait(), 125, run.text())
        self.assertIn(f"the migration has failed: Failed to connect to '{self.dir}/nobody'",
                      run.text())
        self.nothing_left(holder)
        self.assertEqual(self.ids(process), ["hp0"])
        self.assertEqual(len(self.holders()), 1)
        process.terminate()
        self.nothing_left(run)
        self.image_is_free()

    def test_refused_uri(self):
        process, holder = self.attached()
        run = self.migrate("nonsense:x")
        self.let_go(process, run)
        self.assertEqual(run.wait(), 125, run.text())
        self.assertIn("QEMU refuses (migrate): Parameter 'uri' expects a valid migration "
                      "protocol", run.text())
        self.assertEqual(self.ids(process), ["hp0"])
        process.terminate()
        self.nothing_left(run)

    def test_cancelled(self):
        """By a signal, while the other side does not read."""
        process, holder = self.attached()
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.bind(str(self.dir / "deaf.sock"))
        sock.listen()
        process.monitor.ask("migrate-set-parameters", **{"max-bandwidth": 1})
        run = self.migrate(f"unix:{self.dir}/deaf.sock")
        self.let_go(process, run)
        run.until(lambda: process.monitor.ask("query-migrate").get("status") == "active")
        run.process.terminate()
        self.assertEqual(run.wait(), 128 + signal.SIGTERM, run.text())
        self.assertIn("the migration is cancelled", run.text())
        self.assertEqual(self.ids(process), ["hp0"])
        process.terminate()
        self.nothing_left(run)

    def test_guest_keeps_it(self):
        process, holder = self.attached()
        run = self.migrate("tcp:localhost:1", "--guest-timeout=1")
        self.assertEqual(run.wait(), 125, run.text())
        self.assertIn("hp0: the guest has not let go of it for 1 s", run.text())
        self.assertNotIn("status", process.monitor.ask("query-migrate"))
        self.assertEqual(self.ids(process), ["hp0"])

    def test_device_of_the_start(self):
        """A proxy that attach did not plug in."""
        FakeQmp(self, self.socket, **{"qom-list /machine/peripheral": [
            {"name": "lsi0", "type": "child<x-pci-proxy-dev>"}]})
        run = self.migrate("tcp:localhost:1")
        self.assertEqual(run.wait(), 125)
        self.assertIn("lsi0: nothing is known here of an attach that plugged it in", run.text())
        self.assertIn("x-pci-proxy-dev blocks that", run.text())

    def test_migrated_already(self):
        FakeQmp(self, self.socket, **{"query-status": {"status": "postmigrate"}})
        run = self.migrate("tcp:localhost:1")
        self.assertEqual(run.wait(), 125)
        self.assertIn("the VM is being migrated (postmigrate)", run.text())

    def test_qemu_dies(self):
        fake = FakeQmp(self, self.socket, migrate={}, **{
            "query-migrate": lambda fake, args: fake.hang_up() or {}})
        run = self.migrate("tcp:localhost:1")
        self.assertEqual(run.wait(), 125)
        self.assertIn(f"{self.socket}: it closed the connection", run.text())
        self.assertIn("whether the VM has gone to tcp:localhost:1 is not known", run.text())
        self.assertIn("migrate", [c for c, _ in fake.asked])


if __name__ == "__main__":
    tap.main()
