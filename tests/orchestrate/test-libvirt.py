#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""In QEMU's place: libvirt's command lines (recorded of libvirt 9) without libvirt, and others."""
import array
import json
import os
import pathlib
import socket
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[0] / "lib"))
import qemu             # noqa: E402
import tap              # noqa: E402
from launch import Case, FAKE, MARK, PATIENCE, Run, marked  # noqa: E402

PROGRAM = qemu.built("mpqemu-qemu-system-x86_64")

# What libvirt 9 asks first: twice, and with kvm:tcg before.
PROBE = ("-S -no-user-config -nodefaults -nographic -machine none,accel=tcg -qmp "
         "unix:{dir}/qmp.monitor,server=on,wait=off -pidfile {dir}/qmp.pid -daemonize").split()
# <controller type='scsi' model='lsilogic'/>, a disk and a CD-ROM on it.
DOMAIN = """-name
guest=t1,debug-threads=on
-S
-machine
pc-i440fx-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram
-accel
tcg
-cpu
qemu64
-m
256
-object
{{"qom-type":"memory-backend-ram","id":"pc.ram","size":268435456}}
-overcommit
mem-lock=off
-smp
1,sockets=1,cores=1,threads=1
-uuid
76a9b7d9-0079-40a6-9807-63c9c932a402
-display
none
-no-user-config
-nodefaults
-chardev
socket,id=charmonitor,fd={monitor},server=on,wait=off
-mon
chardev=charmonitor,id=monitor,mode=control
-rtc
base=utc
-no-shutdown
-no-acpi
-boot
strict=on
-device
{{"driver":"piix3-usb-uhci","id":"usb","bus":"pci.0","addr":"0x1.0x2"}}
-device
{{"driver":"lsi","id":"scsi0","bus":"pci.0","addr":"0x2"}}
-blockdev
{{"driver":"file","filename":"{image}","node-name":"libvirt-2-storage",\
"auto-read-only":true,"discard":"unmap"}}
-blockdev
{{"node-name":"libvirt-2-format","read-only":false,"driver":"raw","file":"libvirt-2-storage"}}
-device
{{"driver":"scsi-hd","bus":"scsi0.0","scsi-id":0,"device_id":"drive-scsi0-0-0",\
"drive":"libvirt-2-format","id":"scsi0-0-0","bootindex":1}}
-blockdev
{{"driver":"file","filename":"{cd}","node-name":"libvirt-1-storage","auto-read-only":true,\
"discard":"unmap"}}
-blockdev
{{"node-name":"libvirt-1-format","read-only":true,"driver":"raw","file":"libvirt-1-storage"}}
-device
{{"driver":"scsi-cd","bus":"scsi0.0","scsi-id":1,"device_id":"drive-scsi0-0-1",\
"drive":"libvirt-1-format","id":"scsi0-0-1"}}
-add-fd
set=0,fd={serial},opaque=serial0-source
-chardev
file,id=charserial0,path=/dev/fdset/0,append=on
-device
{{"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0}}
-audiodev
{{"id":"audio1","driver":"none"}}
-device
{{"driver":"virtio-balloon-pci","id":"balloon0","bus":"pci.0","addr":"0x3"}}
-sandbox
on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-msg
timestamp=on"""


class Monitor:
    """A client of the domain's monitor."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r")
        self.events = []
        self.greeting = json.loads(self.lines.readline())
        self.ask("qmp_capabilities")

    def send(self, command, args=None, fd=None, **more):
        text = json.dumps({"execute": command, **({"arguments": args} if args else {}), **more})
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd else []
        self.socket.sendmsg([text.encode() + b"\r\n"], passed)

    def receive(self):
        while True:
            reply = json.loads(self.lines.readline())
            if "event" not in reply:
                return reply
            self.events.append(reply)

    def ask(self, command, args=None, fd=None):
        self.send(command, args, fd)
        return self.receive()

    def close(self):
        self.lines.close()
        self.socket.close()


class Emulator(Case):
    def setUp(self):
        super().setUp()
        self.cds = [str(self.dir / f"{n}.iso") for n in range(2)]
        for n, path in enumerate(self.cds):
            pathlib.Path(path).write_bytes(bytes((n + 1) << 20))

    def call(self, *argv, program=PROGRAM, env=None, **kwargs):
        return subprocess.run([program, *argv], env={**os.environ, **(env or {})}, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=PATIENCE, check=False, **kwargs)

    def refused(self, result, text):
        self.assertEqual((result.returncode, result.stdout), (1, ""), result.stderr)
        self.assertIn(text, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)

    def line(self, monitor, serial):
        return DOMAIN.format(monitor=monitor, serial=serial, image=self.image,
                             cd=self.cds[0]).split("\n")

    def inherited(self):
        """A listening socket and a file, as libvirt leaves them open."""
        path = str(self.dir / "monitor.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        serial = os.open(self.dir / "serial", os.O_CREAT | os.O_WRONLY)
        return path, listener, serial

    def domain(self, edit=lambda line: line, env=None):
        """A Run of libvirt's line, and its monitor's path."""
        path, listener, serial = self.inherited()
        run = Run(self, edit(self.line(listener.fileno(), serial)), env=env, program=PROGRAM,
                  pass_fds=[listener.fileno(), serial])
        listener.close()
        os.close(serial)
        return run, path

    def monitor(self, path):
        monitor = Monitor(path)
        self.addCleanup(monitor.close)
        return monitor


class Names(Emulator):
    """Which QEMU it stands for, and what becomes of a name for which there is none."""

    def link(self, name):
        path = self.dir / name
        path.symlink_to(os.path.realpath(PROGRAM))
        return str(path)

    def test_questions_are_qemu_s(self):
        for argv in (["-version"], ["-machine", "help"], ["-device", "lsi,help"]):
            self.assertEqual(self.call(*argv).stdout,
                             subprocess.run([qemu.QEMU, *argv], capture_output=True, text=True,
                                            check=True).stdout)

    def test_never_itself(self):
        """Its own link stands first in PATH."""
        self.link("qemu-system-x86_64")
        result = self.call("-version", program=str(self.dir / "qemu-system-x86_64"),
                           env={"PATH": f"{self.dir}:{os.environ['PATH']}"})
        self.assertIn("QEMU emulator version", result.stdout)

    def test_no_qemu(self):
        self.refused(self.call("-version", program=self.link("mpqemu-qemu-system-nosuch")),
                     "no qemu-system-nosuch in PATH but this one; qemu= in "
                     "/etc/mpqemu/emulator.conf says where QEMU is")

    def test_given_is_itself(self):
        self.refused(self.call("-version", env={"MPQEMU_QEMU": PROGRAM}),
                     "this is mpqemu itself, not QEMU")

    def test_given_is_empty(self):
        result = self.call("-version", env={"MPQEMU_QEMU": "", "MPQEMU_EMULATOR_CONF": ""})
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("QEMU emulator version", result.stdout)

    def test_given_is_missing(self):
        self.refused(self.call("-version", env={"MPQEMU_QEMU": "/nosuch"}),
                     "/nosuch: cannot run it: No such file or directory")
        self.refused(self.call("-device", "lsi", env={"MPQEMU_QEMU": "/nosuch"}),
                     "/nosuch: cannot run it: No such file or directory")

    def test_given_leads_back(self):
        script = self.dir / "wrapper"
        script.write_text(f"#!/bin/sh\nexec {PROGRAM} \"$@\"\n")
        script.chmod(0o755)
        self.refused(self.call("-version", env={"MPQEMU_QEMU": str(script)}),
                     "leads back here")

    def test_conf(self):
        conf = self.dir / "emulator.conf"
        rows = (("[emulator]\nqmu = x\n", f"{conf}:2: qmu: no such key"),
                ("[vm]\n", f"{conf}:1: [vm]: only [emulator] and [emulator NAME]"),
                ("[emulator]\nsandbox = loose\n", "--sandbox=loose: it is one of"),
                ("[emulator qemu-system-x86_64]\nqemu = /nosuch\n", "/nosuch: cannot run it"))
        for text, message in rows:
            conf.write_text(text)
            self.refused(self.call("-device", "lsi", env={"MPQEMU_EMULATOR_CONF": str(conf)}),
                         message)
        conf.write_text("[emulator qemu-system-arm]\nqemu = /nosuch\n[emulator]\n"
                        f"qemu = {qemu.QEMU}\n" if os.path.isabs(qemu.QEMU) else
                        "[emulator qemu-system-arm]\nqemu = /nosuch\n")
        self.assertIn("QEMU emulator version",
                      self.call("-version", env={"MPQEMU_EMULATOR_CONF": str(conf)}).stdout)


class Passed(Emulator):
    """QEMU gets these as they came."""

    def test_nothing_moves(self):
        self.call("-S", "-device", "e1000,id=n", "-x", "--y", "z",
                  env=self.fake("argv", MPQEMU_QEMU=FAKE))
        self.assertEqual(self.read_out(), "-S\n-device\ne1000,id=n\n-x\n--y\nz\n")

    def test_probe(self):
        line = [word.format(dir=self.dir) for word in PROBE]
        self.assertEqual(self.call(*line).returncode, 0)
        pid = int((self.dir / "qmp.pid").read_text())
        self.addCleanup(lambda: os.path.exists(f"/proc/{pid}") and os.kill(pid, 9))
        monitor = self.monitor(str(self.dir / "qmp.monitor"))
        types = monitor.ask("qom-list-types", {"implements": "device"})["return"]
        self.assertIn("lsi53c895a", [entry["name"] for entry in types])
        monitor.ask("quit")

    def test_fds_and_arguments(self):
        """All that was inherited, and what QEMU needs besides: a listener, a socket, a pipe."""
        run, _ = self.domain(env=self.fake("fds", MPQEMU_QEMU=FAKE))
        run.wait()
        fds = dict(line.split(maxsplit=1) for line in self.read_out().splitlines())
        kinds = list(fds.values())
        self.assertGreaterEqual(kinds.count("socket"), 2)
        self.assertTrue(any("serial" in kind for kind in kinds), fds)
        self.nothing_left(run)


class Refused(Emulator):
    def test_lines(self):
        lsi = ["-device", "lsi,id=s", "-drive", f"if=none,id=d,file={self.image},format=raw",
               "-device", "scsi-hd,drive=d"]
        rows = ((["-incoming", "defer"], "-incoming defer: a VM with a remote device cannot be"),
                (["-chardev", "socket,id=m,fd=77,server=on,wait=off", "-mon",
                  "chardev=m,mode=control"], "fd 77 is not open"),
                (["-accel", "kvm:tcg"], "a list of accelerators"),
                (["-m"], "-m: requires an argument"))
        for more, message in rows:
            self.refused(self.call(*lsi, *more), message)

    def test_monitor_is_no_listener(self):
        fd = os.open("/dev/null", os.O_RDWR)
        self.addCleanup(os.close, fd)
        result = self.call("-device", "lsi,id=s", "-chardev",
                           f"socket,id=m,fd={fd},server=on,wait=off", "-mon",
                           "chardev=m,mode=control", pass_fds=[fd])
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn(f"fd {fd} of QEMU's monitor: it is no socket that listens", result.stderr)

    def test_image_is_missing(self):
        os.unlink(self.image)
        run, path = self.domain()
        self.assertEqual(run.wait(), 1)
        self.assertIn("No such file or directory", run.text())
        self.nothing_left(run)

    def test_remote_fails(self):
        """Before QEMU starts: one line of ours, and libvirt's client finds the monitor closed."""
        conf = self.dir / "emulator.conf"
        conf.write_text("[emulator]\nremote-program = /bin/false\n")
        run, path = self.domain(env={"MPQEMU_EMULATOR_CONF": str(conf)})
        self.assertEqual(run.wait(), 1)
        self.assertIn("ended with exit status 1 before QEMU was started", run.text())
        self.assertRaises(ConnectionRefusedError, Monitor, path)
        self.nothing_left(run)


class Domain(Emulator):
    def test_in_place(self):
        run, path = self.domain()
        monitor = self.monitor(path)
        self.assertEqual(monitor.greeting["QMP"]["version"]["qemu"]["major"], 7)
        self.assertEqual(os.readlink(f"/proc/{run.process.pid}/exe"),
                         os.path.realpath(f"/usr/bin/{qemu.QEMU}"))
        monitor.ask("quit")
        self.assertEqual(run.wait(), 0)
        self.assertEqual(run.process.stdout.read(), "")
        self.nothing_left(run)

    def test_killed(self):
        run, path = self.domain()
        self.monitor(path)
        run.process.kill()
        run.wait()      # or it is left behind as a zombie of ours, if it was seen alive
        self.nothing_left(run)

    def test_next_client(self):
        """One at a time; the next is greeted anew."""
        run, path = self.domain()
        for _ in range(3):
            monitor = Monitor(path)
            self.assertIn("running", monitor.ask("query-status")["return"])
            monitor.close()
        self.monitor(path).ask("quit")
        self.assertEqual(run.wait(), 0)

    def test_lists(self):
        run, path = self.domain()
        monitor = self.monitor(path)
        blocks = {b["qdev"]: b["inserted"]["node-name"]
                  for b in monitor.ask("query-block")["return"]}
        self.assertEqual(blocks, {"scsi0-0-0": "libvirt-2-format",
                                  "scsi0-0-1": "libvirt-1-format"})
        stats = monitor.ask("query-blockstats", {"query-nodes": False})["return"]
        self.assertEqual([s["qdev"] for s in stats], ["scsi0-0-0", "scsi0-0-1"])
        names = [e["name"] for e in monitor.ask("qom-list", {"path": "/machine/peripheral"})
                 ["return"]]
        self.assertLessEqual({"scsi0", "scsi0-0-0", "scsi0-0-1", "balloon0"}, set(names))

    def test_commands_of_what_moved(self):
        run, path = self.domain()
        monitor = self.monitor(path)
        self.assertEqual(monitor.ask("block_resize", {"node-name": "libvirt-2-format",
                                                      "size": 4 << 20}), {"return": {}})
        self.assertEqual(os.stat(self.image).st_size, 4 << 20)
        error = monitor.ask("block_resize", {"node-name": "libvirt-2-format", "size": -1})
        self.assertEqual(error["error"]["class"], "GenericError")
        for command, args in (("block-commit", {"device": "libvirt-2-format"}),
                              ("qom-get", {"path": "/machine/peripheral/scsi0-0-0",
                                           "property": "drive"}),
                              ("blockdev-add", {"driver": "raw", "node-name": "x",
                                                "file": "libvirt-2-storage"})):
            error = monitor.ask(command, args)["error"]
            self.assertEqual(error["class"], "GenericError")
            self.assertIn("in the process of scsi0", error["desc"])
        # ... and of what has not: QEMU's own words
        self.assertIn("Cannot find device", str(monitor.ask("block_resize", {"node-name": "x",
                                                                           "size": 1})))

    def test_medium(self):
        """libvirt's five steps."""
        run, path = self.domain()
        monitor = self.monitor(path)
        steps = (("blockdev-open-tray", {"id": "scsi0-0-1", "force": True}),
                 ("blockdev-remove-medium", {"id": "scsi0-0-1"}),
                 ("blockdev-add", {"driver": "file", "filename": self.cds[1],
                                   "node-name": "libvirt-3-storage", "auto-read-only": True}),
                 ("blockdev-add", {"driver": "raw", "node-name": "libvirt-3-format",
                                   "read-only": True, "file": "libvirt-3-storage"}),
                 ("blockdev-insert-medium", {"id": "scsi0-0-1",
                                             "node-name": "libvirt-3-format"}),
                 ("blockdev-close-tray", {"id": "scsi0-0-1"}),
                 ("blockdev-del", {"node-name": "libvirt-1-format"}),
                 ("blockdev-del", {"node-name": "libvirt-1-storage"}))
        for command, args in steps:
            self.assertEqual(monitor.ask(command, args), {"return": {}}, command)
        files = [b["inserted"]["file"] for b in monitor.ask("query-block")["return"]]
        self.assertEqual(files, [self.image, self.cds[1]])
        self.assertEqual([e["data"]["tray-open"] for e in monitor.events
                          if e["event"] == "DEVICE_TRAY_MOVED"], [True, False])
        error = monitor.ask("blockdev-insert-medium", {"id": "scsi0-0-1", "node-name": "none"})
        self.assertIn("'none' is no node over a file", error["error"]["desc"])

    def test_disk_comes_and_goes(self):
        """attach-disk and detach-disk, as libvirt does them."""
        image = str(self.dir / "hot.raw")
        pathlib.Path(image).write_bytes(bytes(3 << 20))
        run, path = self.domain()
        monitor = self.monitor(path)
        device = {"driver": "scsi-hd", "bus": "scsi0.0", "scsi-id": 4, "id": "scsi0-0-4",
                  "drive": "libvirt-3-format"}
        # the remote's own error
        error = monitor.ask("device_add", {**device, "drive": "nosuch"})["error"]
        self.assertIn("nosuch", error["desc"])
        for _ in range(2):
            for command, args in (
                    ("blockdev-add", {"driver": "file", "filename": image,
                                      "node-name": "libvirt-3-storage",
                                      "auto-read-only": True, "discard": "unmap"}),
                    ("blockdev-add", {"driver": "raw", "node-name": "libvirt-3-format",
                                      "read-only": False, "file": "libvirt-3-storage"}),
                    ("device_add", device),
                    ("block_resize", {"node-name": "libvirt-3-format", "size": 5 << 20}),
                    ("device_del", {"id": "scsi0-0-4"})):
                self.assertEqual(monitor.ask(command, args), {"return": {}}, command)
            self.assertEqual(os.stat(image).st_size, 5 << 20)
            while not any(e["event"] == "DEVICE_DELETED" for e in monitor.events):
                monitor.ask("query-status")
            monitor.events.clear()
            names = [e["name"] for e in monitor.ask("qom-list", {"path": "/machine/peripheral"})
                     ["return"]]
            self.assertNotIn("scsi0-0-4", names)
            for node in ("libvirt-3-format", "libvirt-3-storage"):
                self.assertEqual(monitor.ask("blockdev-del", {"node-name": node}),
                                 {"return": {}})

    def test_order(self):
        """Many commands at once: the answers come in their order, ids and all."""
        run, path = self.domain()
        monitor = self.monitor(path)
        wanted = []
        for n in range(20):
            command = ("query-status", "query-block", "nosuch", "query-blockstats")[n % 4]
            monitor.send(command, id=n)
            wanted.append(n)
        self.assertEqual([monitor.receive()["id"] for _ in wanted], wanted)

    def test_fd_is_passed(self):
        run, path = self.domain()
        monitor = self.monitor(path)
        fd = os.open("/dev/null", os.O_RDONLY)
        self.addCleanup(os.close, fd)
        self.assertEqual(monitor.ask("getfd", {"fdname": "x"}, fd), {"return": {}})
        self.assertEqual(monitor.ask("closefd", {"fdname": "x"}), {"return": {}})
        self.assertIn("error", monitor.ask("getfd", {"fdname": "x"}))

    def test_no_json(self):
        run, path = self.domain()
        monitor = self.monitor(path)
        monitor.socket.sendall(b"}\n{'execute': 'query-status'}\n")
        self.assertIn("error", monitor.receive())
        self.assertIn("return", monitor.receive())

    def test_daemonize(self):
        """QEMU leaves the process; the remotes stay until it ends.  The monitor is a path."""
        pidfile, path = self.dir / "pid", str(self.dir / "path.sock")

        def edit(line):
            at = line.index("-chardev")
            line[at + 1] = f"socket,id=charmonitor,path={path},server=on,wait=off"
            # QEMU's own filter would kill it for its fork
            at = line.index("-sandbox")
            del line[at:at + 2]
            return [*line, "-daemonize", "-pidfile", str(pidfile)]

        run, _ = self.domain(edit)
        self.assertEqual(run.wait(), 0)
        monitor = self.monitor(path)
        self.assertEqual(len(monitor.ask("query-block")["return"]), 2)
        self.assertTrue(marked(run.mark))
        monitor.ask("quit")
        self.nothing_left(run)
        self.assertFalse(os.path.exists(path))


if __name__ == "__main__":
    tap.main()
