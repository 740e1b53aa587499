#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-proxy bench: short runs.  Counts are checked; times have to be there, no more."""
import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

import wire
import mpq
from mpq import TIMEOUT

EXIT_USAGE, EXIT_REMOTE = 1, 2
QEMU = os.environ.get("MPQEMU_QEMU", "qemu-system-x86_64")
MIB = 1 << 20
DISK = 4 * MIB
SHORT = ["--count", "40", "--rounds", "4"]
TRIPS = ["cfgread", "barread", "barwrite"]
DISK_OPS = ["read", "write", "rw", "randread", "randwrite", "randrw"]

# A remote that answers as many requests as its last word says, and goes.
MORTAL = """
import socket, struct, sys
sock = socket.socket(fileno=9)
left = int(sys.argv[-1])
while left:
    data = sock.recv(16, socket.MSG_WAITALL)
    cmd, _, size = struct.unpack("<iIQ", data)
    if size:
        sock.recv(size, socket.MSG_WAITALL)
    if cmd not in (0, 6):
        sock.send(struct.pack("<iIQQ", 1, 0, 8, 0))
        left -= 1
"""


def proxy(*args, **kwargs):
    kwargs = {"stderr": subprocess.PIPE, **kwargs}
    return subprocess.run([*mpq.wrapper(), mpq.program("mpqemu-proxy"), "bench", *args], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=TIMEOUT,
                          **kwargs)


def by_fd(vfio_user=False):
    return "x-vfio-user-server,id=r,device=lsi0,type=fd,str=9" if vfio_user else \
        "x-remote-object,id=r,devid=lsi0,fd=9"


def devices(image, vfio_user=False, extra=""):
    return ["-device", "lsi53c895a,id=lsi0", "-drive",
            f"id=d0,if=none,format=raw,file={image}{extra}", "-device",
            "scsi-hd,id=u0,drive=d0,bus=lsi0.0,scsi-id=2", "-object", by_fd(vfio_user)]


def ours(image, vfio_user=False, extra=""):
    return [mpq.program("mpqemu-remote"), *mpq.sandbox(), "-machine", "x-remote,vfio-user=on",
            *devices(image, vfio_user, extra)]


def qemus(image):
    return [QEMU, "-machine", "x-remote", "-nodefaults", "-display", "none", *devices(image)]


def edu():
    return [mpq.program("mpqemu-remote"), *mpq.sandbox(), "-machine", "x-remote", "-device",
            "edu,id=lsi0", "-object", by_fd()]


class BenchTest(wire.unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.image, self.copy = (os.path.join(self.folder, name) for name in ("a.img", "b.img"))
        for path in (self.image, self.copy):
            with open(path, "wb") as file:
                file.write(bytes(range(256)) * (DISK // 256))

    def sums(self):
        with open(self.image, "rb") as file:
            return [hashlib.sha256(file.read(MIB)).hexdigest() for _ in range(DISK // MIB)]

    def good(self, *args):
        done = proxy(*SHORT, "--json", *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def bad(self, status, words, *args):
        done = proxy(*SHORT, *args)
        lines = [x for x in done.stderr.splitlines() if x.startswith("mpqemu-proxy: ")]
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertIn(words, lines[0])

    def check_side(self, side, count, rounds=4):
        figures = side["figures"]
        self.assertEqual(side["operations"], count)
        self.assertEqual(sum(n for _, _, n in side["latency_ns_histogram"]), count)
        self.assertGreater(side["seconds"], 0)
        order = [figures[f"latency_ns_{p}"]["value"] for p in ("p50", "p90", "p99", "p99.9",
                                                               "max")]
        self.assertEqual(order, sorted(order))
        self.assertGreater(order[0], 0)
        self.assertGreater(figures["iops"]["value"], 0)
        for name, figure in figures.items():
            self.assertEqual(len(figure["rounds"]), rounds, name)
            self.assertEqual(figure["min"], min(figure["rounds"]), name)
            self.assertEqual(figure["max"], max(figure["rounds"]), name)
        return figures

    def check_workload(self, workload, name, labels, count=40):
        self.assertEqual(workload["name"], name)
        self.assertEqual([s["label"] for s in workload["sides"]], labels)
        self.assertEqual([(r["of"], r["to"]) for r in workload["ratios"]],
                         [("A", label) for label in labels[1:]])
        for ratio in workload["ratios"]:
            iops = ratio["figures"]["iops"]
            self.assertLessEqual(iops["min"], iops["value"])
            self.assertLessEqual(iops["value"], iops["max"])
        return [self.check_side(side, count) for side in workload["sides"]]


class Trips(BenchTest):
    def check(self, *command, protocol="mpqemu"):
        found = self.good(*TRIPS, "--", *command)
        self.assertEqual([r["protocol"] for r in found["remotes"]], [protocol])
        self.assertEqual(len(found["workloads"]), 3)
        for name, workload in zip(TRIPS, found["workloads"]):
            figures, floor = self.check_workload(workload, name, ["A", "floor"])
            self.assertEqual(set(figures["messages"]["rounds"]), {1})
            self.assertEqual(set(figures["interrupts"]["rounds"]), {0})
            self.assertGreater(figures["remote_cpu_ns"]["max"], 0)
            self.assertGreater(floor["remote_cpu_ns"]["max"], 0)

    def test_mpqemu(self):
        self.check(*ours(self.image))

    def test_vfio_user(self):
        self.check(*ours(self.image, vfio_user=True), protocol="vfio-user")

    def test_other_device(self):
        found = self.good("barwrite", "barread", "--register", "0:4", "--", *edu())
        self.check_workload(found["workloads"][0], "barwrite", ["A", "floor"])
        self.assertEqual(found["workloads"][1]["detail"], "4 bytes of BAR0 at 0x4")

    def test_time(self):
        """Rounds of a time have any number of operations, but one at least."""
        done = proxy("cfgread", "--runtime", "0.02", "--rounds", "2", "--json", "--", *edu())
        self.assertEqual(done.returncode, 0, done.stderr)
        side = json.loads(done.stdout)["workloads"][0]["sides"][0]
        self.check_side(side, side["operations"], 2)
        self.assertGreaterEqual(side["operations"], 2)

    def test_cpus(self):
        cpus = sorted(os.sched_getaffinity(0))
        for chosen in (cpus[:1], cpus[:2]):
            text = ",".join(map(str, chosen))
            found = self.good("cfgread", "--cpus", text, "--", *edu())
            self.assertEqual(found["options"]["cpus"], text)
            self.check_workload(found["workloads"][0], "cfgread", ["A", "floor"])
        for text in ("1023", f"{cpus[0]},1023"):
            self.bad(EXIT_USAGE, f"--cpus {text}: the CPUs that can be used are ", "cfgread",
                     "--cpus", text, "--", "/nonexistent", "-object", by_fd())

    def test_remote_dies(self):
        path = os.path.join(self.folder, "mortal.py")
        with open(path, "w", encoding="ascii") as file:
            file.write(MORTAL)
        for answers in (0, 1, 10, 30):
            with self.subTest(answers=answers):
                self.bad(EXIT_REMOTE, "lsi0: the remote closed the connection", "cfgread", "--",
                         sys.executable, path, "-object", by_fd(), str(answers))


class Disk(BenchTest):
    def check(self, *options, depth=1, vfio_user=False):
        found = self.good(*DISK_OPS, "--allow-write", "--iodepth", str(depth), *options, "--",
                          *ours(self.image, vfio_user))
        disk = found["remotes"][0]["disk"]
        self.assertEqual((disk["target"], disk["lun"], disk["blocks"] * disk["block_size"]),
                         (2, 0, DISK))
        return [self.check_workload(w, name, ["A"])[0]
                for name, w in zip(DISK_OPS, found["workloads"])]

    def test_depth_1(self):
        """What the initiator says is the least: four messages, one interrupt."""
        for figures in self.check():
            self.assertEqual(set(figures["messages"]["rounds"]), {4})
            self.assertEqual(set(figures["interrupts"]["rounds"]), {1})

    def test_depth_8(self):
        for figures in self.check(depth=8):
            for messages in figures["messages"]["rounds"]:
                self.assertGreater(messages, 1)
                self.assertLessEqual(messages, 4)

    def test_vfio_user(self):
        for figures in self.check("--bs", "64k", vfio_user=True):
            self.assertEqual(set(figures["interrupts"]["rounds"]), {1})

    def test_block_size(self):
        for size in ("512", "128k", "4m"):
            found = self.good("read", "--bs", size, "--lun", "2", "--", *ours(self.image))
            figures = self.check_workload(found["workloads"][0], "read", ["A"])[0]
            for rate, iops in zip(figures["bytes_per_second"]["rounds"],
                                  figures["iops"]["rounds"]):
                self.assertAlmostEqual(rate / iops, found["options"]["bs"], places=3)

    def test_reading_changes_nothing(self):
        before = self.sums()
        self.good("read", "randread", "--", *ours(self.image))
        self.assertEqual(self.sums(), before)

    def test_size_bounds_writing(self):
        before = self.sums()
        self.good("write", "randwrite", "--allow-write", "--size", "1m", "--bs", "64k", "--",
                  *ours(self.image))
        after = self.sums()
        self.assertNotEqual(after[0], before[0])
        self.assertEqual(after[1:], before[1:])

    def test_writing_must_be_asked_for(self):
        before = self.sums()
        for name in ("write", "rw", "randwrite", "randrw"):
            self.bad(EXIT_USAGE, "say --allow-write", "read", name, "--", "/nonexistent")
        self.assertEqual(self.sums(), before)

    def test_refused(self):
        remote = ours(self.image)
        for words, args in (
                ("no disk at 3:0", ["read", "--lun", "3"]),
                ("no disk at 2:1", ["read", "--lun", "2:1"]),
                ("4194304 bytes only", ["read", "--size", "5m"]),
                ("4194304 bytes only", ["read", "--bs", "8m"])):
            self.bad(EXIT_REMOTE, words, *args, "--", *remote)
        self.bad(EXIT_REMOTE, "no LSI 53C8xx", "read", "--", *edu())
        self.bad(EXIT_USAGE, "--register", "barwrite", "--", *edu())

    def test_write_protected(self):
        self.bad(EXIT_REMOTE, "sense key 7", "write", "--allow-write", "--",
                 *ours(self.image, extra=",readonly=on"))


class Versus(BenchTest):
    def test_ours(self):
        other = " ".join(ours(self.copy, vfio_user=True))
        found = self.good("cfgread", "randread", "--vs", other, "--", *ours(self.image))
        self.assertEqual([(r["label"], r["protocol"]) for r in found["remotes"]],
                         [("A", "mpqemu"), ("B", "vfio-user")])
        self.check_workload(found["workloads"][0], "cfgread", ["A", "B", "floor"])
        self.check_workload(found["workloads"][1], "randread", ["A", "B"])

    @wire.unittest.skipUnless(shutil.which(QEMU), "qemu-system-x86_64 is not installed")
    def test_qemu(self):
        """Its remote on either side; it interrupts while the initiator still looks."""
        sides = qemus(self.copy), ours(self.image)
        for here, there in (sides, sides[::-1]):
            found = self.good("barread", "randread", "randwrite", "--allow-write", "--vs",
                              " ".join(there), "--", *here)
            self.check_workload(found["workloads"][0], "barread", ["A", "B", "floor"])
            for name, workload in zip(("randread", "randwrite"), found["workloads"][1:]):
                for figures in self.check_workload(workload, name, ["A", "B"]):
                    self.assertGreaterEqual(figures["messages"]["min"], 4)
                    self.assertLessEqual(figures["messages"]["max"], 8)

    def test_one_image(self):
        self.bad(EXIT_REMOTE, "give each a copy of its own", "randread", "--vs",
                 " ".join(ours(self.image)), "--", *ours(self.image))
        shared = ours(self.image, extra=",readonly=on")
        found = self.good("randread", "--vs", " ".join(shared), "--", *shared)
        self.check_workload(found["workloads"][0], "randread", ["A", "B"])

    def test_refused(self):
        for words, other in (("not a command line", "'"), ("not a command line", ""),
                             ("--vs: the remote command has no -object", "true"),
                             ("--vs: lsi0: no LSI 53C8xx", " ".join(edu()))):
            done = proxy(*SHORT, "read", "--vs", other, "--", *ours(self.image))
            self.assertIn(done.returncode, (EXIT_USAGE, EXIT_REMOTE))
            self.assertEqual(done.stdout, "")
            self.assertIn(words, done.stderr)


class Output(BenchTest):
    def test_text(self):
        done = proxy(*SHORT, "cfgread", "randread", "--vs", " ".join(ours(self.copy)), "--",
                     *ours(self.image))
        self.assertEqual(done.returncode, 0, done.stderr)
        for words in ("cfgread: 4 bytes, 4 rounds", "randread: 4096 bytes, depth 1, 4 rounds",
                      "A / floor", "A / B", "latency, 99.9 %", "voluntary switches, remote",
                      "#" * 20):
            self.assertIn(words, done.stdout)
        self.assertNotIn("\r", done.stderr)
        self.assertNotIn("round 1 of", done.stderr)
        self.assertIn("disk 2:0, QEMU QEMU HARDDISK 2.5+, 4 MiB", done.stdout)

    def test_metrics(self):
        """Beside the figures: each of them has an interrupt."""
        done = proxy(*SHORT, "--ramp_time", "0", "randread", "--json", "--metrics", "json", "--",
                     *ours(self.image))
        self.assertEqual(done.returncode, 0, done.stderr)
        json.loads(done.stdout)
        line, = (x for x in done.stderr.splitlines() if x.startswith("{"))
        self.assertGreaterEqual(json.loads(line)["interrupts"], 40)

    def test_one_round(self):
        done = proxy("--count", "4", "--rounds", "1", "cfgread", "--", *edu())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("cfgread: 4 bytes, 1 round\n", done.stdout)

    def test_progress(self):
        """Where there is a terminal."""
        ours_end, terminal = pty.openpty()
        with os.fdopen(ours_end, "rb", buffering=0) as file:
            done = proxy(*SHORT, "cfgread", "--", *edu(), stderr=terminal)
            os.close(terminal)
            text = file.read(65536).decode()
        self.assertEqual(done.returncode, 0, text)
        # Of the first round nothing is known yet.
        self.assertIn("\rcfgread: round 1 of 4\033[K", text)
        self.assertRegex(text, "\rcfgread: round 2 of 4, [0-9]+/s\033")
        self.assertNotIn("\r", done.stdout)

    def test_plot(self):
        path = os.path.join(self.folder, "x.svg")
        self.good("cfgread", "randread", "--plot", path, "--vs", " ".join(ours(self.copy)), "--",
                  *ours(self.image))
        root = xml.etree.ElementTree.parse(path).getroot()
        space = "{http://www.w3.org/2000/svg}"
        self.assertEqual(root.tag, space + "svg")
        # two charts for three sides and for two; a run so short may have no time to show
        self.assertGreaterEqual(len(root.findall(space + "polyline")), 10)
        words = [element.text for element in root.iter(space + "text")]
        for word in ("latency, us", "percentile", "operations a second", "measured time, s",
                     "% of operations"):
            self.assertEqual(words.count(word), 4 if word == "latency, us" else 2, word)

    def test_plot_in_place(self):
        """What stands at the path is written, not replaced; a link is followed."""
        path, link, device = (os.path.join(self.folder, x) for x in ("x.svg", "link", "device"))
        with open(path, "wb") as file:
            file.write(b"old" * 100000)
        os.symlink("x.svg", link)
        os.symlink("/dev/null", device)
        before = os.stat(path).st_ino
        self.good("cfgread", "--plot", link, "--", *edu())
        self.assertTrue(os.path.islink(link))
        self.assertEqual(os.stat(path).st_ino, before)
        xml.etree.ElementTree.parse(path)
        self.good("cfgread", "--plot", device, "--", *edu())
        self.assertTrue(os.path.islink(device))
        os.unlink(link)
        os.symlink("new.svg", link)
        self.good("cfgread", "--plot", link, "--", *edu())
        xml.etree.ElementTree.parse(os.path.join(self.folder, "new.svg"))

    def test_plot_fifo(self):
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        self.bad(EXIT_REMOTE, f"--plot {fifo}: No such device or address", "cfgread", "--plot",
                 fifo, "--", "/nonexistent")
        with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE) as reader:
            # It may not have come that far.
            while "No such device" in (done := proxy(*SHORT, "cfgread", "--plot", fifo, "--",
                                                     *edu())).stderr:
                pass
            xml.etree.ElementTree.fromstring(reader.communicate()[0])
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_plot_refused(self):
        """Before anything is started; what was there is kept until there is a result."""
        for name, why in (("none/x.svg", "No such file"), (".", "Is a directory")):
            path = os.path.join(self.folder, name)
            self.bad(EXIT_REMOTE, f"--plot {path}: {why}", "cfgread", "--plot", path, "--",
                     "/nonexistent", "-object", by_fd())
        path = os.path.join(self.folder, "x.svg")
        for content in (None, b"old"):
            if content:
                with open(path, "wb") as file:
                    file.write(content)
            self.bad(EXIT_REMOTE, "/nonexistent: No such file", "cfgread", "--plot", path, "--",
                     "/nonexistent", "-object", by_fd())
            self.assertEqual(os.path.exists(path), bool(content))
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"old")
        done = proxy(*SHORT, "cfgread", "--plot", "/dev/full", "--", *edu())
        self.assertEqual(done.returncode, EXIT_REMOTE)
        self.assertIn("--plot /dev/full: No space left on device\n", done.stderr)


if __name__ == "__main__":
    wire.tap.main()
