#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-orchestrate inspect --security: what it finds is so, and nobody talks it into less."""
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import box
import mpq

ORCHESTRATE = "mpqemu-orchestrate"
NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
REQUIRED = {"seccomp", "capabilities", "threads", "no_new_privs", "user", "root", "fds",
            "W+X memory", *(f"{name} namespace" for name in NAMESPACES[1:-1])}
HIDDEN = {*(f"{name} namespace" for name in (*NAMESPACES, "time")), "root", "cwd", "fds",
          "W+X memory", "code", "guest RAM"}
PAGE = 50       # lines of a device process as it should be
CONTAINER = ("unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child",
             "--mount-proc")


def run(*words, prefix=(), **more):
    return subprocess.run([*prefix, mpq.program(ORCHESTRATE), "inspect", *map(str, words)],
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          timeout=mpq.TIMEOUT, **{"stdout": subprocess.PIPE, **more})


def look(pid, prefix=()):
    """(all that was found: [process], status)"""
    done = run(pid, "--security", "--json", prefix=prefix)
    if done.stderr:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)["processes"], done.returncode


def rows(process):
    return {row["name"]: row for row in process["rows"]}


def verdicts(process):
    return {row["name"]: row["verdict"] for row in process["rows"]}


@contextlib.contextmanager
def some_process(code, *args, argv0=None, pass_fds=()):
    """A Python process that has run @code, and then waits."""
    text = code + "\nimport sys, time\nprint('here', flush=True)\ntime.sleep(1000)\n"
    with subprocess.Popen([argv0 or sys.executable, "-c", text, *args], executable=sys.executable,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=pass_fds,
                          stderr=subprocess.DEVNULL, text=True) as proc:
        try:
            if proc.stdout.readline() != "here\n":
                raise AssertionError("the process did not start")
            yield proc.pid
        finally:
            proc.kill()


class Checks(unittest.TestCase):
    def check_shape(self, process):
        """Worst first, and the score is the average that the manual page states."""
        counted = [row for row in process["rows"] if row["badness"] is not None]
        total = sum(row["weight"] for row in counted)
        score = sum(row["weight"] * row["badness"] for row in counted) / total
        self.assertAlmostEqual(process["score"], score, delta=0.051)
        ranks = [row["weight"] * row["badness"] for row in counted if row["badness"]]
        self.assertEqual(ranks, sorted(ranks, reverse=True))
        names = [row["name"] for row in process["rows"]]
        self.assertEqual(len(set(names)), len(names))
        for row in process["rows"]:
            self.assertTrue(row["found"] and row["expected"] and row["means"], row)
            want = {None: ("?", "-"), 0: ("ok",), 10: ("BAD",)}.get(row["badness"], ("less",))
            self.assertIn(row["verdict"], want)
        required = [row for row in process["rows"] if row["required"]]
        self.assertEqual(process["missing"], any(row["badness"] == 10 for row in required))
        self.assertEqual(process["unseen"], any(row["verdict"] == "?" for row in required))


@box.needs_root
class ShutIn(Checks):
    def check_device(self, process, pid, keeper):
        self.check_shape(process)
        self.assertEqual((process["pid"], process["keeper"], process["role"]),
                         (pid, keeper, "device"))
        self.assertEqual(process["program"], os.readlink(f"/proc/{pid}/exe"))
        self.assertFalse(process["missing"] or process["unseen"], process)
        self.assertLessEqual(process["score"], 0.2)
        found = rows(process)
        self.assertEqual({name for name, row in found.items() if row["required"]}, REQUIRED)
        self.assertEqual({row["verdict"] for name, row in found.items() if row["required"]},
                         {"ok"}, found)
        for name in NAMESPACES:
            number = re.search(r"\d+", os.readlink(f"/proc/{pid}/ns/{name}"))[0]
            ours = re.search(r"\d+", os.readlink(f"/proc/self/ns/{name}"))[0]
            self.assertTrue(found[f"{name} namespace"]["found"].startswith(
                f"its own ({number}; ours {ours}, pid 1's "), found)

    def test_strict(self):
        for user in box.USERS:
            for kind in ("edu", "raw", "two"):
                with self.subTest(user=user, kind=kind), box.remote(kind, user) as remote:
                    pid, keeper = remote.device_pid(), remote.keeper
                    for asked in (keeper, pid):
                        (process,), status = look(asked)
                        self.assertEqual(status, 0)
                        self.check_device(process, pid, keeper)

    def test_fds(self):
        """Each by what it is; an image by its path and how it is open; seals; guest RAM."""
        for options, mode in ((",readonly=on", "read-only"), ("", "read-write")):
            with self.subTest(mode), box.place() as at, mpq.Ram(1 << 20) as ram, \
                    mpq.Remote.start([box.LSI], box.raw_disk(at.image(), options=options)) as it:
                box.serving(it)
                it.peer.sync_sysmem([ram.region()])
                it.peer.cfg_read(0, 2)
                (process,), status = look(it.proc.pid)
                found = rows(process)
                details = found["fds"]["details"]
                slot = box.slots()
                for line in (f"{slot['IMAGE']} image: {at.path('disk.img')}, {mode}",
                             f"{slot['SPEC']} memfd: mpqemu-spec, sealed: write+shrink+grow+seal",
                             f"{slot['CONTROL']} socket: socketpair", f"{slot['EPOLL']} epoll"):
                    self.assertIn(line, details)
                self.assertEqual(len(details), sum(not name.endswith("/null") for name in
                                                   mpq.fds(it.device_pid()).values()))
                self.assertEqual(found["guest RAM"]["found"], "1 mappings, 1 MiB")
                self.assertEqual(status, 0)

    def test_page(self):
        with box.remote("raw") as remote:
            done = run("--security", remote.keeper)
            lines = done.stdout.splitlines()
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertLessEqual(len(lines), PAGE)
            self.assertLessEqual(max(map(len, lines)), 100)
            self.assertEqual(lines[0].split(":")[0], f"device process {remote.device_pid()} of "
                             f"keeper {remote.keeper}")
            self.assertEqual(lines[-2:], ["score: 0.0 of 10 (0 is best)",
                                          "all required layers are there"])

    @unittest.skipUnless(mpq.has_nbd(), "this build has no libnbd")
    @unittest.skipUnless(shutil.which("qemu-storage-daemon"), "no qemu-storage-daemon")
    def test_storage_daemon(self):
        """Found as the keeper's child, and measured by what it needs."""
        for user in box.USERS:
            with self.subTest(user), box.place() as at:
                image = at.path("disk.qcow2")
                subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
                os.chmod(image, 0o666)
                disk = ["-drive", f"id=d0,file={image},if=none,format=qcow2", "-device",
                        "scsi-hd,drive=d0,bus=l0.0"]
                with mpq.Remote.start([box.LSI], disk, prefix=box.USERS[user]) as it:
                    box.serving(it)
                    found, status = look(it.proc.pid)
                    self.assertEqual(status, 0, found)
                    by_role = {process["role"]: process for process in found}
                    self.assertEqual(set(by_role), {"device", "storage"})
                    storage = by_role["storage"]
                    self.check_shape(storage)
                    self.assertEqual(storage["keeper"], it.proc.pid)
                    for limit, why in (("nproc", "; its threads would count with all"),
                                       ("as", "; its caches are as large as"),
                                       ("fsize", "; its images grow")):
                        self.assertIn(why, rows(storage)[f"limit {limit}"]["found"])
                    details = rows(storage)["fds"]["details"]
                    self.assertTrue([d for d in details if f"image: {image}, read-write" in d])
                    (alone,), status = look(storage["pid"])
                    self.assertEqual((alone["role"], alone["score"], status),
                                     ("storage", storage["score"], 0))


@box.needs_root
class LessShutIn(Checks):
    def test_off(self):
        with box.place() as at, mpq.Remote.start([box.LSI], [
                *box.raw_disk(at.image()), "--sandbox=off"]) as it:
            it.peer.cfg_read(0, 2)
            (process,), status = look(it.proc.pid)
            self.check_shape(process)
            self.assertEqual((status, process["role"]), (1, "device"))
            self.assertGreater(process["score"], 5)
            bad = {name for name, verdict in verdicts(process).items() if verdict == "BAD"}
            self.assertLessEqual({"seccomp", "capabilities", "no_new_privs", "root",
                                  "net namespace"}, bad)
            self.assertEqual(process["rows"][0]["name"], "seccomp")
            # the fds are in their slots at each level
            self.assertEqual(verdicts(process)["fds"], "ok")
            page = run(it.proc.pid, "--security").stdout
            self.assertRegex(page, r"\nmissing: seccomp, capabilities, ")

    def test_container(self):
        """The container's namespaces: not the host's, seen from there as from inside."""
        with mpq.Remote.start(["edu,id=e0"], ["--sandbox=container"], prefix=CONTAINER) as it:
            it.peer.cfg_read(0, 2)
            device = mpq.wait_for(lambda: box.device_below(it.proc.pid), "the device process")
            mpq.wait_for(lambda: box.status(device)["Seccomp"] == "2", "its filter")
            (process,), status = look(device)
            self.check_shape(process)
            self.assertEqual(status, 0, process)
            self.assertEqual(verdicts(process)["mnt namespace"], "ok")
            self.assertEqual(verdicts(process)["user namespace"], "BAD", "it has the host's")
            inside = subprocess.run(
                ["nsenter", f"--target={box.keeper_of(device)}", "--mount", "--pid", "--net",
                 "--ipc", "--uts", mpq.program(ORCHESTRATE), "inspect", "1", "--security",
                 "--json"], capture_output=True, text=True, timeout=mpq.TIMEOUT)
            (process,) = json.loads(inside.stdout)["processes"]
            self.check_shape(process)
            self.assertEqual(rows(process)["pid namespace"]["verdict"], "less", inside.stdout)
            self.assertRegex(rows(process)["pid namespace"]["found"],
                             r"\Aours, which is not the host's")

    @unittest.skipUnless(shutil.which(box.QEMU), "no QEMU")
    def test_qemus_own(self):
        with mpq.Remote.start([box.LSI], qemu=box.QEMU) as it:
            it.peer.cfg_read(0, 2)
            (theirs,), status = look(it.proc.pid)
            self.check_shape(theirs)
            self.assertEqual((status, theirs["role"], theirs["missing"]), (1, "other", True))
        with box.remote("raw") as it:
            (ours,), _ = look(it.keeper)
            self.assertGreater(theirs["score"], ours["score"] + 5)

    def test_any_other(self):
        with some_process("") as pid:
            (process,), status = look(pid)
            self.check_shape(process)
            self.assertEqual((status, process["role"], process["keeper"]), (1, "other", None))


@box.needs_root
class Hostile(Checks):
    """What a process says of itself, and what it hides behind."""

    def test_names(self):
        """Nothing of it reaches a terminal; no name makes a device process."""
        code = ("import ctypes, os\nlibc = ctypes.CDLL(None)\n"
                r"libc.prctl(15, b'\x1b[2J\nok  x', 0, 0, 0)" "\n"
                r"fd = libc.memfd_create(b'a\x1b[31m\xff\nok   seccomp filter', 0)")
        with some_process(code, argv0="mpqemu\x1b[1m") as pid:
            for prefix in ((), box.AS_NOBODY):
                done = run(pid, "--security", prefix=prefix)
                self.assertEqual((done.returncode, done.stderr), (1, ""))
                self.assertFalse(set(re.findall(r"[^ -~\n]", done.stdout)) - {"\ufffd"})
                self.assertEqual(done.stdout.count("\nok   seccomp"), 0, done.stdout)
                (process,), _ = look(pid, prefix)
                self.assertEqual(process["role"], "other")

    def test_in_a_devices_name(self):
        """It may call itself so: it is found wanting all the same."""
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "mpqemu-device"), "w", encoding="ascii") as file:
                file.write("print('here', flush=True)\nimport time\ntime.sleep(1000)\n")
            with subprocess.Popen(["mpqemu", "mpqemu-device"], executable=sys.executable,
                                  stdout=subprocess.PIPE, cwd=folder) as proc:
                self.addCleanup(proc.kill)
                proc.stdout.readline()
                (process,), status = look(proc.pid)
                self.check_shape(process)
                self.assertEqual((process["role"], process["missing"], status),
                                 ("device", True, 1))
                self.assertEqual(process["program"], os.path.realpath(sys.executable))
                proc.kill()

    def test_one_thread(self):
        code = ("import ctypes, threading\nlibc = ctypes.CDLL(None)\nbarrier = "
                "threading.Barrier(2)\ndef other():\n barrier.wait()\n threading.Event().wait()\n"
                "threading.Thread(target=other, daemon=True).start()\nbarrier.wait()\n"
                "libc.prctl(38, 1, 0, 0, 0)")
        with some_process(code) as pid:
            (process,), _ = look(pid)
            self.assertEqual(verdicts(process)["no_new_privs"], "ok", "of the first thread")
            self.assertEqual(rows(process)["threads"]["found"], "1 of 2 differ from the first")

    def test_memory(self):
        code = "import mmap\nm = mmap.mmap(-1, 4096, prot=7, flags=34)"
        with some_process(code) as pid:
            (process,), _ = look(pid)
            self.assertEqual(rows(process)["W+X memory"]["found"], "1 mappings")
            self.assertRegex(rows(process)["code"]["found"], r"; 1 mappings of no file\Z")

    def test_cwd_outside(self):
        with tempfile.TemporaryDirectory() as folder:
            with some_process(f"import os\nos.chdir('/proc')\nos.chroot('{folder}')") as pid:
                (process,), _ = look(pid)
                found = rows(process)
                self.assertEqual(found["cwd"]["found"], "/proc, not in its root")
                self.assertRegex(found["root"]["found"], r"\Aits own: 0 entries, \d")

    def test_fds(self):
        made = {
            "directory": "import os\nx = os.open('/', os.O_RDONLY)",
            "character device": "x = open('/dev/zero')",
            "file": "x = open('/etc/passwd')",
            "listens": "import socket\nx = socket.socket(socket.AF_UNIX)\nx.bind('')\nx.listen()",
            "network": "import socket\nx = socket.socket()",
            "no UNIX socket": "import socket\nx = socket.socket(socket.AF_NETLINK, "
                              "socket.SOCK_RAW)",
            "pidfd": "import os\nx = os.pidfd_open(1)",
        }
        for word, code in made.items():
            with self.subTest(word), some_process(code) as pid:
                (process,), _ = look(pid)
                row = rows(process)["fds"]
                self.assertEqual(row["verdict"], "BAD")
                bad = [line for line in row["details"] if line.endswith(" (not expected)")]
                self.assertEqual(len(bad), 1, row)
                self.assertIn(word, bad[0])
        good = "import os, socket\nx = socket.socketpair(), os.eventfd(0), os.memfd_create('x')"
        with some_process(good) as pid:
            (process,), _ = look(pid)
            self.assertEqual(rows(process)["fds"]["verdict"], "ok")

    def test_many_fds(self):
        code = "import os\nx = [os.eventfd(0) for _ in range(900)]\nx.append(os.open('/', 0))"
        with some_process(code) as pid:
            (process,), _ = look(pid)
            row = rows(process)["fds"]
            self.assertIn("900 eventfd", row["found"])
            self.assertEqual((row["verdict"], len(row["details"])), ("BAD", 256))


class NotSeen(Checks):
    """What the kernel does not show is said, and proves nothing."""

    @box.needs_root
    def test_as_nobody(self):
        with box.remote("raw") as remote:
            done = run(remote.keeper, "--security", prefix=box.AS_NOBODY)
            self.assertRegex(done.stdout, r"\nnot seen, and so not proved: mnt namespace, .*; root "
                             r"sees more\n\Z")
            (process,), status = look(remote.keeper, box.AS_NOBODY)
            self.check_shape(process)
            self.assertEqual((status, process["unseen"], process["missing"]), (1, True, False))
            self.assertEqual({n for n, v in verdicts(process).items() if v == "?"}, HIDDEN)
            for name in HIDDEN:
                self.assertEqual(rows(process)[name]["found"], "not seen: Permission denied")
            self.assertEqual(process["program"], "mpqemu-remote")

    def test_landlock(self):
        """No file of /proc has it: nothing is said of this process."""
        (process,), _ = look(os.getpid())
        self.assertEqual(verdicts(process)["landlock"], "-")


class BadUse(unittest.TestCase):
    def refused(self, *words):
        done = run(*words)
        self.assertEqual((done.returncode, done.stdout), (125, ""), done)
        self.assertRegex(done.stderr, r"\Ampqemu-orchestrate: [^\n]*\n\Z")
        return done.stderr

    def test_words(self):
        for words, said in (
                ((), "no PID: expected the number of a process"),
                (("--security",), "no PID"), (("1x", "--security"), "1x: expected the number"),
                (("0", "--security"), "0: expected"), (("-1", "--security"), "-1: expected"),
                (("99999999999", "--security"), "expected the number"),
                ((str(os.getpid()),), "expected --security"),
                (("1", "2", "--security"), "2 is a second"),
                (("1", "--secure"), "--secure: expected --security or --json"),
                (("--", "1", "--security"), "--: expected")):
            with self.subTest(words):
                self.assertIn(said, self.refused(*words))

    def test_no_such_process(self):
        proc = subprocess.Popen(["true"])
        proc.wait()
        said = self.refused(proc.pid, "--security")
        self.assertIn(f"{proc.pid}: there is no such process", said)

    def test_ended(self):
        """Not reaped yet: what it shows is nothing, and not a good jail."""
        proc = subprocess.Popen(["true"])
        mpq.wait_for(lambda: box.status(proc.pid)["State"].startswith("Z"), "the end")
        self.assertIn(f"{proc.pid}: it has ended", self.refused(proc.pid, "--security"))
        proc.wait()

    def test_nobody_reads(self):
        with open("/dev/full", "wb") as full:
            done = run(os.getpid(), "--security", stdout=full)
        self.assertEqual((done.returncode, done.stderr),
                         (125, "mpqemu-orchestrate: stdout: No space left on device\n"))

    def test_help(self):
        done = run("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout,
                         r"\Ausage: mpqemu-orchestrate inspect PID\|VM:DEVICE --security")


if __name__ == "__main__":
    box.tap.main()
