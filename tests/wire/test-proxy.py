#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-proxy: devices over both protocols, registers, errors, and servers that are not ours."""
import json
import mmap
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading

import wire
import mpq
from mpq import TIMEOUT

EXIT_USAGE, EXIT_REMOTE = 1, 2
QEMU = os.environ.get("MPQEMU_QEMU", "qemu-system-x86_64")

# What each device is over mpqemu, and over vfio-user where that is something else.
EDU = ["1234:11e8 (rev 10), Unclassified device [00ff00], subsystem 1af4:1100", "interrupt: INTA"]
LSI = ["1000:0012 (rev 00), SCSI storage controller [010000], subsystem 0000:1000",
       "interrupt: INTA", "BAR0: I/O, 256 bytes", "BAR1: memory, 1024 bytes",
       "BAR2: memory, 8192 bytes", "vectors: INTx", "config space: 256 bytes"]
OVER_MPQEMU = {
    "edu": EDU + ["BAR0: memory, 1048576 bytes", "vectors: INTx", "config space: 256 bytes"],
    "edu-pcie": EDU + ["BAR0: memory, 1048576 bytes, prefetchable", "BAR2: memory, 4096 bytes",
                       "vectors: INTx", "config space: 256 bytes"],
    "lsi53c895a": LSI,
}
OVER_VFIO_USER = {
    "edu": EDU + ["BAR0: memory, 1048576 bytes", "vectors: INTx, MSI 1",
                  "capabilities: MSI at 0x40", "config space: 256 bytes"],
    "edu-pcie": EDU + ["BAR0: memory, 1048576 bytes, 64-bit, prefetchable",
                       "BAR2: memory, 4096 bytes", "vectors: INTx, MSI 8, MSI-X 8",
                       "capabilities: PM at 0x40, MSI at 0x48, MSI-X at 0x58, PCIe at 0x64",
                       "config space: 4096 bytes"],
    "lsi53c895a": LSI,
}
DRIVERS = {"lsi53c895a": "sym53c8xx"}
MPQEMU = "protocol: mpqemu"
VFIO_USER = ("protocol: vfio-user 0.0, 4096 bytes of data, 16 fds a message, 8192 DMA maps, "
             "multiple writes")


def proxy(*args, **kwargs):
    # valgrind, which the proxy runs under, goes with it into the remote
    return subprocess.run([*mpq.wrapper(), mpq.program("mpqemu-proxy"), *args], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=TIMEOUT, **kwargs)


def remote(*devices, extra=()):
    """["--", a command]; @devices: (driver, how it is reached: {} is the device's id)."""
    argv = ["--", mpq.program("mpqemu-remote"), *mpq.sandbox(), "-machine",
            "x-remote,vfio-user=on"]
    for i, (driver, way) in enumerate(devices):
        argv += ["-device", f"{driver},id=dev{i}", "-object", way.replace("{}", f"dev{i}")]
    return argv + list(extra)


def by_fd(number=9):
    return f"x-remote-object,id=r{number},devid={{}},fd={number}"


def vfu_by_fd(number=9):
    return f"x-vfio-user-server,id=r{number},device={{}},type=fd,str={number}"


def read_text(path):
    with open(path, encoding="ascii") as file:
        return file.read()


class ProxyTest(wire.unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "socket")

    def ways(self):
        """Each way to reach a device, and whether it is vfio-user."""
        return [(by_fd(), False),
                (f"x-remote-object,id=r,devid={{}},path={self.path},server=on", False),
                (vfu_by_fd(), True),
                ("x-vfio-user-server,id=r,device={},socket.type=fd,socket.str=9", True),
                (f"x-vfio-user-server,id=r,device={{}},type=unix,path={self.path}", True),
                ('{"qom-type":"x-vfio-user-server","id":"r","device":"{}",'
                 '"socket":{"type":"unix","path":"%s"}}' % self.path, True)]

    def good(self, *args, **kwargs):
        """The lines that it prints."""
        done = proxy(*args, **kwargs)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    def bad(self, status, words, *args, out="", **kwargs):
        """One line of the proxy's own, the last of what stands on stderr."""
        done = proxy(*args, **kwargs)
        lines = [x for x in done.stderr.splitlines() if x.startswith("mpqemu-proxy: ")]
        self.assertEqual((done.returncode, done.stdout), (status, out), done.stderr)
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertIn(words, lines[0])
        return done


class Info(ProxyTest):
    def check(self, driver, way, vfio_user, name="dev0"):
        about = (OVER_VFIO_USER if vfio_user else OVER_MPQEMU)[driver]
        lines = [*about, "Linux driver: " + DRIVERS.get(driver, "none that is known"),
                 VFIO_USER if vfio_user else MPQEMU]
        return [f"{name}: {lines[0]}"] + ["  " + line for line in lines[1:]]

    def test_devices(self):
        for driver in OVER_MPQEMU:
            for way, vfio_user in self.ways()[::wire.thin(1, 4)]:
                with self.subTest(driver=driver, way=way):
                    self.assertEqual(self.good("info", *remote((driver, way))),
                                     self.check(driver, way, vfio_user))
                    self.assertFalse(os.path.lexists(self.path))

    def test_both_protocols_at_once(self):
        devices = [("edu-pcie", vfu_by_fd(9)), ("lsi53c895a", by_fd(10)), ("edu", by_fd(11)),
                   ("edu", self.ways()[4][0])]
        want = [self.check(driver, way, "vfio" in way, f"dev{i}")
                for i, (driver, way) in enumerate(devices)]
        self.assertEqual(self.good("info", *remote(*devices)), sum(want, []))
        self.assertEqual(self.good("info", "--device", "dev2", *remote(*devices)), want[2])

    def test_json(self):
        """The facts that the text has, of each device."""
        found = json.loads("\n".join(self.good("info", "--json", *remote(
            ("lsi53c895a", by_fd(9)), ("edu-pcie", vfu_by_fd(10))))))
        self.assertEqual([x["id"] for x in found], ["dev0", "dev1"])
        lsi, edu = found
        self.assertEqual((lsi["vendor"], lsi["device"], lsi["class"], lsi["linux-driver"]),
                         ("0x1000", "0x0012", "0x010000", "sym53c8xx"))
        self.assertEqual(lsi["modalias"],
                         "pci:v00001000d00000012sv00000000sd00001000bc01sc00i00")
        self.assertEqual([(x["bar"], x["space"], x["size"]) for x in lsi["bars"]],
                         [(0, "io", 256), (1, "memory", 1024), (2, "memory", 8192)])
        self.assertEqual((lsi["interrupt-pin"], lsi["config-size"], lsi["protocol"]),
                         ("INTA", 256, {"name": "mpqemu"}))
        self.assertEqual([x["name"] for x in edu["capabilities"]],
                         ["PM", "MSI", "MSI-X", "PCIe"])
        self.assertEqual(edu["vectors"], {"intx": 1, "msi": 8, "msi-x": 8})
        self.assertEqual((edu["protocol"]["name"], edu["protocol"]["max-data"]),
                         ("vfio-user", 4096))
        self.assertIsNone(edu["linux-driver"])

    @wire.unittest.skipUnless(shutil.which("lspci"), "no lspci (package pciutils)")
    def test_lspci(self):
        """A dump that lspci decodes, of 256 bytes and of 4096."""
        dump = self.good("info", "--lspci", *remote(("lsi53c895a", by_fd(9)),
                                                    ("edu-pcie", vfu_by_fd(10))))
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("\n".join(dump) + "\n")
            file.flush()
            done = subprocess.run(["lspci", "-F", file.name, "-nvv"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=TIMEOUT)
        for words in ("00:00.0 0100: 1000:0012", "01:00.0 00ff: 1234:11e8 (rev 10)",
                      "Interrupt: pin A", "MSI-X: Enable- Count=8", "Express (v2) Endpoint"):
            self.assertIn(words, done.stdout, done.stderr)
        self.assertEqual(sum(line[0:1].isalnum() for line in dump), 2 + 16 + 256)

    def test_rom(self):
        with tempfile.NamedTemporaryFile() as rom:
            rom.write(b"\x55\xaa" + bytes(3000))
            rom.flush()
            lines = self.good("info", *remote((f"edu-pcie,romfile={rom.name}", vfu_by_fd())))
        self.assertIn("  ROM: 4096 bytes", lines)

    def test_remote_that_listens(self):
        """One client after the other, by path and by a socket that was inherited."""
        argv = remote(("edu-pcie", self.ways()[4][0]))[1:]
        server = subprocess.Popen([*mpq.wrapper(), *argv], stderr=subprocess.DEVNULL)
        try:
            mpq.wait_for(lambda: os.path.exists(self.path), "the socket")
            want = self.check("edu-pcie", "", True, self.path)
            for option in (["--socket", self.path], [f"--socket={self.path}"]):
                self.assertEqual(self.good("info", *option), want)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(self.path)
                fd = sock.fileno()
                want[0] = want[0].replace(self.path, f"fd {fd}")
                self.assertEqual(self.good("info", "--fd", str(fd), "--protocol=vfio-user",
                                           pass_fds=[fd]), want)
            self.bad(EXIT_REMOTE, "another process listens there", "info",
                     *remote(("edu", self.ways()[4][0])))
            self.bad(EXIT_REMOTE, "closed the connection", "info", "--protocol", "mpqemu",
                     "--socket", self.path)
            self.assertIsNone(server.poll())
        finally:
            server.terminate()
            server.wait(TIMEOUT)

    def test_mpqemu_by_socket(self):
        argv = remote(("edu", self.ways()[1][0]))[1:]
        server = subprocess.Popen([*mpq.wrapper(), *argv], stderr=subprocess.DEVNULL)
        try:
            mpq.wait_for(lambda: os.path.exists(self.path), "the socket")
            self.assertEqual(self.good("info", "--socket", self.path, "--protocol", "mpqemu"),
                             self.check("edu", "", False, self.path))
        finally:
            server.terminate()
            server.wait(TIMEOUT)


class Access(ProxyTest):
    def test_edu(self):
        """A factorial, in the order that was asked for."""
        for way, _ in self.ways()[::wire.thin(1, 4)]:
            with self.subTest(way=way):
                self.assertEqual(
                    self.good("read", "0:0", "0:0:1", "0:3:1", "write", "0:8=5", "0:4=0xf",
                              "read", "0:8", "0:4:4", "cfg", "0", "0:2", "8:1", "0x3c:1=7",
                              "0x3c:1", *remote(("edu", way))),
                    ["0:0x0:4=0x010000ed", "0:0x0:1=0xed", "0:0x3:1=0x01",
                     "0:0x8:4=0x00000078", "0:0x4:4=0xfffffff0",
                     "0x0:4=0x11e81234", "0x0:2=0x1234", "0x8:1=0x10", "0x3c:1=0x07"])

    def test_lsi(self):
        """SCRATCHA through ports and memory; the RAM of scripts in every size."""
        for way, _ in self.ways()[::wire.thin(1, 4)]:
            with self.subTest(way=way):
                self.assertEqual(
                    self.good("write", "1:0x34=0x12345678", "read", "0:0x34", "1:0x34:1",
                              "1:0x35:2", "write", "2:0x1ff8:8=0x1122334455667788", "read",
                              "2:0x1ff8:8", "2:0x1fff:1", *remote(("lsi53c895a", way))),
                    ["0:0x34:4=0x12345678", "1:0x34:1=0x78", "1:0x35:2=0x3456",
                     "2:0x1ff8:8=0x1122334455667788", "2:0x1fff:1=0x11"])

    def test_names(self):
        """Registers by the names of their manual, config space by setpci's."""
        self.assertEqual(
            self.good("write", "scratcha=0x12345678", "SCRATCHA:1=0x77", "read", "SCRATCHA",
                      "scratcha:2", "ISTAT0", "1:0x34", "cfg", "vendor_id", "COMMAND=6",
                      "COMMAND", "BASE_ADDRESS_0:1", *remote(("lsi53c895a", by_fd()))),
            ["SCRATCHA:4=0x12345677", "scratcha:2=0x5677", "ISTAT0:1=0x00",
             "1:0x34:4=0x12345677", "vendor_id:2=0x1000", "COMMAND:2=0x0006",
             "BASE_ADDRESS_0:1=0x01"])
        self.assertEqual(self.good("write", "FACTORIAL=5", "read", "factorial",
                                   *remote(("edu", vfu_by_fd()))), ["factorial:4=0x00000078"])
        self.bad(EXIT_REMOTE, "dev0: ISTAT9: the device has no such register; expected BAR:OFFSET",
                 "read", "ISTAT9", *remote(("lsi53c895a", by_fd())))
        done = self.bad(EXIT_REMOTE, "dev0: ISTAT0=256: the value has more than 1 byte",
                        "write", "ISTAT0=256", *remote(("lsi53c895a", by_fd())))
        self.assertIn("1 byte\n", done.stderr)

    def test_edu_pcie(self):
        """A 64-bit BAR, the MSI-X table, and a config space of 4096 bytes."""
        self.assertEqual(
            self.good("cfg", "0x10:4=0xffffffff", "0x14=0xffffffff", "0x10", "0x14", "0xffc",
                      "read", "0:0", "write", "2:0:8=0xfee01000", "read", "2:0:8",
                      *remote(("edu-pcie", vfu_by_fd()))),
            ["0x10:4=0xfff0000c", "0x14:4=0xffffffff", "0xffc:4=0x00000000", "0:0x0:4=0x010000ed",
             "2:0x0:8=0x00000000fee01000"])

    def test_place_of_ones_own(self):
        """Over mpqemu a BAR that stands somewhere stays there, and others keep clear of it."""
        lines = self.good("cfg", "0x14=0x90000000", "4:2=5", "read", "1:0:1", "2:0", "0:0", "cfg",
                          "0x10", "0x14", "0x18", "4:2", *remote(("lsi53c895a", by_fd())))
        self.assertEqual(lines[3:], ["0x10:4=0x00001001", "0x14:4=0x90000000",
                                     "0x18:4=0x90002000", "0x4:2=0x0007"])

    def test_output_is_input(self):
        lines = self.good("read", "2:0", "2:8:8", "2:3:1", *remote(("lsi53c895a", by_fd())))
        self.assertEqual(self.good("write", *lines, *remote(("lsi53c895a", by_fd()))), [])

    def test_device(self):
        devices = [("edu", by_fd(9)), ("lsi53c895a", vfu_by_fd(10))]
        self.assertEqual(self.good("cfg", "0", "--device", "dev1", *remote(*devices)),
                         ["0x0:4=0x00121000"])
        self.bad(EXIT_USAGE, "2 devices: choose one with --device", "cfg", "0", *remote(*devices))
        self.bad(EXIT_USAGE, "no such device", "cfg", "0", "--device=x", *remote(*devices))

    def test_cannot_be_made(self):
        """What came before has been done and printed; what follows is not."""
        for way, vfio_user in (self.ways()[0], self.ways()[2]):
            for words, *access in [
                    ("there is no BAR1", "read", "1:0"),
                    ("outside of BAR0, which has 1048576 bytes", "read", "0:0xfffff:2"),
                    ("outside of BAR0", "write", "0:0xffffffffffffffff:1=1"),
                    ("outside of config space, which has 256 bytes", "cfg", "0xff:2"),
                    ("outside of config space", "cfg", "0x100=0")]:
                with self.subTest(way=way, access=access):
                    self.bad(EXIT_REMOTE, words, "read", "0:0", *access, "read", "0:4",
                             *remote(("edu", way)), out="0:0x0:4=0x010000ed\n")


class Usage(ProxyTest):
    def test_refused(self):
        """One line on stderr that says what is wrong, and nothing is started."""
        edu = remote(("edu", by_fd()))
        rows = [
            ([], "no verb"), (["nosuch", *edu], "nosuch: expected a verb"),
            (["info", "--json", "--lspci", *edu], "--json cannot be used with --lspci"),
            (["cfg", "0", "--json", *edu], "--json: invalid option"),
            (["--nosuch", "info", *edu], "--nosuch: invalid option"),
            (["info"], "expected one of '-- REMOTE-COMMAND"), (["info", "--"], "expected one of"),
            (["info", "x", *edu], "info takes no arguments"),
            (["read", *edu], "read: nothing to access"), (["cfg", *edu], "cfg: nothing"),
            (["read", "0:0", "info", *edu], "info cannot be used with other verbs"),
            (["read", "0", *edu], "read 0: expected BAR:OFFSET[:SIZE] or NAME[:SIZE], "
             "a SIZE of 1, 2, 4 or 8"),
            (["write", "0:0", *edu], "write 0:0: expected BAR:OFFSET[:SIZE]=VALUE or "
             "NAME[:SIZE]=VALUE"),
            (["cfg", "0:8", *edu], "cfg 0:8: expected OFFSET[:SIZE][=VALUE] or "
             "NAME[:SIZE][=VALUE], a SIZE of 1, 2 or 4"),
            (["write", "0:0:1=256", *edu], "the value has more than 1 byte"),
            (["info", "--nosuch", *edu], "--nosuch: invalid option"),
            (["info", "--device"], "--device: requires an argument"),
            (["info", "--fd", "x"], "expected the number of a file descriptor"),
            (["info", "--fd", "-1"], "expected the number of a file descriptor"),
            (["info", "--socket", "x", "--protocol", "vfio"], "expected mpqemu or vfio-user"),
            (["info", "--socket", "x", "--fd", "3"], "expected one of"),
            (["info", "--socket", "x", *edu], "expected one of"),
            (["info", "--protocol", "mpqemu", *edu], "--protocol"),
            (["info", "--socket", "x", "--device", "y"], "--device"),
            (["info", "--", "true"], "has no -object"),
            (["info", "--", "true", "-object", "x-remote-object,devid=a,path=p"], "server=on"),
            (["info", "--", "true", "-object", "x-vfio-user-server,device=a,type=unix"],
             "type=unix,path=PATH or type=fd,str=N"),
            (["info", "--", "true", "-object", "x-vfio-user-server,device=a,type=fd,str=x"],
             "str=x is not the number of a file descriptor"),
            (["info", "--", "true", "-object", "x-vfio-user-server,type=fd,str=4"], "device="),
            (["info", *remote(*[("edu", by_fd(20 + i)) for i in range(9)])], "more than 8"),
        ]
        for args, words in rows:
            with self.subTest(args=args):
                done = self.bad(EXIT_USAGE, words, *args)
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_help(self):
        for args, words in ((["-help"], "VERB"), (["info", "-h"], "info"), (["--help"], "VERB")):
            self.assertIn(f"usage: mpqemu-proxy {words}", "\n".join(self.good(*args)))
        self.assertRegex(self.good("--version")[0], "^mpqemu-proxy version ")

    def test_full_output(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([*mpq.wrapper(), mpq.program("mpqemu-proxy"), "info",
                                   *remote(("edu", by_fd()))], stdin=subprocess.DEVNULL,
                                  stdout=full, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT)
        self.assertEqual(done.returncode, EXIT_REMOTE)
        self.assertIn("standard output: No space left on device", done.stderr)


class NoServer(ProxyTest):
    def test_remote_ends(self):
        """Its end ends the wait for its socket, and its status is told."""
        way = f"x-vfio-user-server,id=r,device=a,type=unix,path={self.path}"
        for command, status in (["true"], 0), (["sh", "-c", "exit 7", "x"], 7), \
                (["sh", "-c", "kill -9 $$", "x"], 137):
            self.bad(EXIT_REMOTE, f"the remote ended with status {status} before it listened at "
                     + self.path, "info", "--", *command, "-object", way)

    def test_noise(self):
        """It is said that the remote is at fault, over either protocol."""
        for protocol in ("mpqemu", "vfio-user"):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                theirs.send(bytes(range(0x86, 0x86 + 64)))
                self.bad(EXIT_REMOTE, "the remote broke the protocol: ", "info", "--protocol",
                         protocol, "--fd", str(ours.fileno()), pass_fds=[ours.fileno()])

    def test_nobody(self):
        self.bad(EXIT_REMOTE, "No such file or directory", "info", "--socket", self.path)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(self.path)
        self.bad(EXIT_REMOTE, "Connection refused", "info", "--socket", self.path)
        self.bad(EXIT_REMOTE, "fd 777: Bad file descriptor", "info", "--fd", "777")
        self.bad(EXIT_REMOTE, "fd 0: Socket operation on non-socket", "info", "--fd", "0")
        self.bad(EXIT_REMOTE, "File name too long", "info", "--socket", "/" + "x" * 200)

    def test_remote_stays(self):
        """A remote that does not end with its clients is told to, whatever it thinks of that."""
        way = f"x-vfio-user-server,id=r,device=a,type=unix,path={self.path}"
        with Foreign(self.path) as server:
            # nobody may listen there before the command is started
            os.rename(self.path, self.path + ".later")
            script = f"mv {self.path}.later {self.path}; exec sleep 600"
            lines = self.good("info", "--", "sh", "-c", script, "x", "-object", way)
        server.check(self)
        self.assertEqual(lines[0][:12], "a: abcd:ef01")


class Metrics(ProxyTest):
    def metrics(self, form, *args):
        done = proxy("--metrics", form, *args)
        return done, "\n".join(x for x in done.stderr.splitlines() if x.startswith(("{", "#",
                                                                                   "mpqemu_")))

    def test_json(self):
        """Both ends count the same."""
        for way in (by_fd(), vfu_by_fd()):
            page = self.path + ".page"
            args = ["cfg", "0", "4:2=6", "0", "0x10=0x90000000", "read", "0:0", "0:4", "0:8",
                    "write", "0:4=1"]
            done, text = self.metrics("json", *args, *remote(("edu", way), extra=[
                f"--metrics={page}"]))
            self.assertEqual((done.returncode, len(done.stdout.splitlines())), (0, 5))
            found = json.loads(text)
            sent = found["messages"]
            self.assertEqual((sent["bar_read"], sent["bar_write"], sent["reset"]), (3, 1, 0))
            there = json.loads(subprocess.run([
                *mpq.wrapper(), mpq.program("mpqemu-remote"), f"--print-metrics={page}", "--json"],
                stdout=subprocess.PIPE, check=True).stdout)["messages"]
            for kind in ("config_read", "config_write", "bar_read", "bar_write", "reset"):
                self.assertEqual(sent[kind], there[kind], kind)
            self.assertEqual(found["round_trip_ns"]["count"], sum(sent.values()))
            self.assertGreater(found["round_trip_ns"]["p50"], 0)
            self.assertEqual(found["interrupts"], 0)

    def test_text(self):
        done, text = self.metrics("text", "info", *remote(("edu", vfu_by_fd())))
        self.assertEqual(done.returncode, 0)
        name = "mpqemu_client_[a-z_]+"
        for line in text.splitlines():
            self.assertRegex(line, rf"^(# (HELP|TYPE) {name} .+|{name}"
                                   r'(\{([a-z]+="[^"]*",?)+\})? [0-9.]+)$')
        self.assertRegex(text, r'messages_total\{kind="config_read"\} [1-9]')
        self.assertRegex(text, r"round_trip_seconds_count [1-9]")

    def test_error(self):
        """What was counted before an error is printed too; without the option nothing is."""
        done, text = self.metrics("json", "read", "0:0", "1:0", *remote(("edu", vfu_by_fd())))
        self.assertEqual(done.returncode, EXIT_REMOTE)
        self.assertEqual(json.loads(text)["messages"]["bar_read"], 1)
        self.assertIn("there is no BAR1", done.stderr)
        self.bad(EXIT_USAGE, "--metrics x: expected text or json", "info", "--metrics", "x", "--",
                 "true")
        self.assertNotIn("messages", proxy("info", *remote(("edu", by_fd()))).stderr)


class Signals(ProxyTest):
    def check(self, way, signum):
        pidfile = self.path + ".pid"
        with subprocess.Popen([*mpq.wrapper(), mpq.program("mpqemu-proxy"), "bench", "cfgread",
                               "--runtime", "3600", *remote(("edu", way), extra=[
                                   "-pidfile", pidfile])],
                              stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            pid = mpq.wait_for(lambda: os.path.exists(pidfile) and read_text(pidfile), "pid file")
            ended = os.pidfd_open(int(pid))
            self.addCleanup(os.close, ended)
            process.send_signal(signum)
            self.assertEqual(process.wait(TIMEOUT), -signum)
        self.assertTrue(select.select([ended], [], [], TIMEOUT)[0], "the remote lives on")
        # It has ended as it does when it is told to.
        self.assertEqual([name for name in (self.path, pidfile) if os.path.exists(name)], [])

    def test_proxy_alone(self):
        """The remote ends with a proxy that gets a signal which the remote does not get."""
        for way in (f"x-vfio-user-server,id=r,device={{}},type=unix,path={self.path}",
                    f"x-remote-object,id=r,devid={{}},path={self.path},server=on", by_fd()):
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
                with self.subTest(way=way, signum=signum):
                    self.check(way, signum)


class Foreign:
    """
    A server as strange as the protocol lets it be, for one client: another minor, no JSON text,
    infos of a later version, capabilities with an fd, no VGA region and no interrupt but INTx,
    header-only answers in two pieces, and questions of its own before each of them.
    """

    REGIONS = {0: 64, 7: 256}

    def __init__(self, path):
        self.config = bytearray(256)
        self.config[0:4] = struct.pack("<HH", 0xabcd, 0xef01)
        self.config[0x3d] = 1
        self.bar = bytearray(64)
        self.failed = None
        self.ram = None
        self.asked = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(TIMEOUT)
        self.listener.bind(path)
        self.listener.listen(1)
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.thread.join(TIMEOUT)
        self.listener.close()

    def check(self, test):
        test.assertIsNone(self.failed)
        test.assertGreater(self.asked, 0)

    def run(self):
        try:
            with self.listener.accept()[0] as self.sock:
                self.sock.settimeout(TIMEOUT)
                while self.serve():
                    pass
        except Exception as err:    # pylint: disable=broad-except
            self.failed = err

    def recv(self):
        head, fds, _, _ = socket.recv_fds(self.sock, 16, 16)
        if not head:
            return None
        ident, cmd, size, flags, _ = struct.unpack("<HHIII", head)
        payload = self.sock.recv(size - 16, socket.MSG_WAITALL) if size > 16 else b""
        return ident, cmd, flags, payload, fds

    def send(self, ident, cmd, payload=b"", flags=1, error=0, fds=()):
        data = struct.pack("<HHIII", ident, cmd, 16 + len(payload), flags, error) + payload
        if fds:
            socket.send_fds(self.sock, [data], fds)
        else:
            # A header and its payload need not come together.
            self.sock.sendall(data[:9])
            self.sock.sendall(data[9:])

    def ask(self):
        """Writes to the client's memory by message, and looks for it in what was mapped."""
        word = struct.pack("<Q", 0x1000 + self.asked)
        self.send(0x8000 + self.asked, 12, struct.pack("<QQ", 0x2000, 8) + word, flags=0)
        answer = self.recv()
        assert answer[:3] == (0x8000 + self.asked, 12, 1), answer
        assert self.ram[0x2000:0x2008] == word, self.ram[0x2000:0x2008]
        self.ram[0x2000] = 0xee
        self.send(0x8000 + self.asked, 11, struct.pack("<QQ", 0x2000, 8), flags=0)
        answer = self.recv()
        assert answer[3] == struct.pack("<QQ", 0x2000, 8) + b"\xee" + word[1:], answer
        self.asked += 1

    def serve(self):
        message = self.recv()
        if not message:
            return False
        ident, cmd, _, payload, fds = message
        if cmd == 2:
            self.ram = mmap.mmap(fds[0], 1 << 20)
        for fd in fds:
            os.close(fd)
        if self.ram:
            self.ask()
        self.answer(ident, cmd, payload)
        return True

    def answer(self, ident, cmd, payload):
        if cmd == 1:
            self.send(ident, cmd, struct.pack("<HH", 0, 7))
        elif cmd == 4:
            self.send(ident, cmd, struct.pack("<IIIIQ", 24, 3, 20, 9, 0))
        elif cmd == 5:
            index = struct.unpack_from("<I", payload, 8)[0]
            size = self.REGIONS.get(index, 0)
            if index in (6, 8):
                self.send(ident, cmd, flags=0x21, error=22)
            else:
                with open("/dev/null", "rb") as file:
                    self.send(ident, cmd, struct.pack("<IIIIQQ", 64, 0xf, index, 32, size, 0)
                              + bytes(32), fds=[file.fileno()])
        elif cmd == 7:
            index = struct.unpack_from("<I", payload, 8)[0]
            if index:
                self.send(ident, cmd, flags=0x21, error=22)
            else:
                self.send(ident, cmd, struct.pack("<IIII", 16, 3, 0, 1))
        elif cmd in (9, 10):
            self.region(ident, cmd, payload)
        else:
            self.send(ident, cmd)

    def region(self, ident, cmd, payload):
        offset, region, count = struct.unpack_from("<QII", payload)
        at = self.config if region == 7 else self.bar
        if cmd == 9:
            self.send(ident, cmd, payload[:16] + bytes(at[offset:offset + count]))
        else:
            at[offset:offset + count] = payload[16:]
            self.send(ident, cmd)


class OtherServers(ProxyTest):
    def test_info(self):
        with Foreign(self.path) as server:
            lines = self.good("info", "--socket", self.path)
        server.check(self)
        self.assertEqual(lines, [
            self.path + ": abcd:ef01 (rev 00), Unclassified device [000000], subsystem 0000:0000",
            "  interrupt: INTA", "  BAR0: memory, 64 bytes", "  vectors: INTx",
            "  config space: 256 bytes", "  Linux driver: none that is known",
            "  protocol: vfio-user 0.7, 1048576 bytes of data, 8 fds a message, 65535 DMA maps"])

    def test_access(self):
        with Foreign(self.path) as server:
            lines = self.good("write", "0:8:8=0x0102030405060708", "read", "0:8:8", "0:12:1",
                              "cfg", "4:2=7", "4", "--socket", self.path)
        server.check(self)
        self.assertEqual(lines, ["0:0x8:8=0x0102030405060708", "0:0xc:1=0x04",
                                 "0x4:4=0x00000007"])


@wire.unittest.skipUnless(shutil.which(QEMU), "qemu-system-x86_64 is not installed")
class QemusRemote(ProxyTest):
    """QEMU's own remote: the same words as ours, line by line."""

    ACCESSES = ["write", "1:0x34=0x12345678", "read", "0:0x34", "1:0x34:1", "write",
                "2:0=0xaabbccdd", "read", "2:0:8", "2:3:1", "cfg", "0", "4:2", "0x10", "0x14"]

    @staticmethod
    def qemu():
        return ["--", QEMU, "-machine", "x-remote", "-nodefaults", "-display", "none", "-device",
                "lsi53c895a,id=dev0", "-object", by_fd().replace("{}", "dev0")]

    def test_same(self):
        for args in (["info"], self.ACCESSES):
            ours = self.good(*args, *remote(("lsi53c895a", by_fd())))
            self.assertEqual(self.good(*args, *self.qemu()), ours)
            self.assertGreater(len(ours), 7)


if __name__ == "__main__":
    wire.tap.main()
