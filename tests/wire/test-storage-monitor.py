#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What storage daemons do for clients of the monitor: jobs, bitmaps; first daemons that are no
good."""
import os
import pathlib
import shutil
import signal
import subprocess
from unittest import mock

import wire
import lsi
import mpq
from monitor import BUFFER, CHECK, GENERIC, DiskCase
from mpq import EXIT_CLEAN, EXIT_FLUSH, wait_for

DISK = 4 << 20          # bytes of an image
DAEMON = shutil.which("qemu-storage-daemon")

# In place of the daemon: it starts that one without a monitor, and speaks on its socket itself.
FAKE = """#!/usr/bin/env python3
import os, re, signal, socket, subprocess, sys
args = sys.argv[1:]
for option in "--chardev", "--monitor":
    at = args.index(option)
    del args[at:at + 2]
child = subprocess.Popen([{daemon!r}, *args], pass_fds=[3])
def end(*_):
    child.terminate()
    child.wait()
    os._exit(0)
signal.signal(signal.SIGTERM, end)
monitor = socket.socket(fileno=6)
lines = monitor.makefile("rb")
def say(text):
    monitor.sendall(text.encode() + b"\\n")
def ident(line):
    return int(re.search(rb'"id": (\\d+)', line)[1])
{body}
signal.pause()
"""
GREETS = """
say('{"QMP": {"version": {}, "capabilities": []}}')
say('{"return": {}, "id": %s}' % ident(lines.readline()))
"""
# For each question, what it answers.
ANSWERS = GREETS + """
for line in lines:
    say({answer!r} % ident(line))
"""
EVENT = '{"event": "%s", "data": {"id": "%s"}, "timestamp": {"seconds": 1, "microseconds": 0}}'


def answers(answer):
    return ANSWERS.replace("{answer!r}", repr(answer))


def qemu_img(*args):
    return subprocess.run(["qemu-img", *map(str, args)], check=True, capture_output=True,
                          text=True).stdout


@wire.unittest.skipUnless(mpq.has_nbd(), "this build has no libnbd")
@wire.unittest.skipIf(mpq.wrapper(), "valgrind 3.19 has no pidfd_open")
class DaemonCase(DiskCase):
    """Disk hq, target 1, is qcow2; hd0, target 0, is raw."""

    def setUp(self):
        super().setUp()
        self.backups = self.folder / "backups"
        self.backups.mkdir()

    def make(self, name, *options, size=DISK):
        path = self.folder / name
        qemu_img("create", "-q", "-f", "qcow2", *options, path, *([size] if size else []))
        return path

    def disk(self, number, path):
        """Options of a disk on that qcow2 image; its node is qN."""
        return ["-blockdev", f"driver=file,filename={path},node-name=f{number}", "-blockdev",
                f"driver=qcow2,file=f{number},node-name=q{number}", "-device",
                f"scsi-hd,drive=q{number},scsi-id={number},id=hq{number}"]

    def start_qcow2(self, extra=(), **kwargs):
        self.qcow2 = self.make("qcow2")
        client = self.start([*self.disk(1, self.qcow2), f"--storage-folder={self.backups}",
                             *extra], **kwargs)
        self.chip.run(lsi.test_unit_ready(), target=1)
        self.chip.run(lsi.request_sense(), BUFFER, 18, target=1)
        return client

    def write(self, lba, byte, target=1):
        self.ram.map[BUFFER:BUFFER + 512] = byte * 512
        self.do(lsi.write10(lba, 1), 512, write=True, target=target)

    def read(self, lba, target=1):
        return self.do(lsi.read10(lba, 1), 512, target=target)[:1]

    def target(self, client, name, *options, backing=None):
        """A node of that name on a new qcow2 image where daemons may write; its path."""
        path = self.make(f"backups/{name}", *options)
        client.ask("blockdev-add", driver="qcow2", node_name=name, backing=backing,
                   file={"driver": "file", "filename": str(path)})
        return path

    def content(self, path):
        """Of the disk that an image is."""
        raw = self.folder / "content"
        qemu_img("convert", "-O", "raw", path, raw)
        return raw.read_bytes()

    def job_status(self, client, job, wanted):
        """Waits until it has one of these."""
        while True:
            event = client.event("JOB_STATUS_CHANGE")
            if event["data"]["id"] == job and event["data"]["status"] in wanted:
                return

    def job_ends(self, client, job):
        while True:
            data = client.event("BLOCK_JOB_COMPLETED")["data"]
            if data["device"] == job:
                self.assertNotIn("error", data)
                return

    def daemons(self):
        """Their pids."""
        children = pathlib.Path(f"/proc/{self.remote.proc.pid}/task/{self.remote.proc.pid}/"
                                "children").read_text("ascii").split()
        return [int(pid) for pid in children if
                "storage-daemon" in pathlib.Path(f"/proc/{pid}/cmdline").read_text("ascii")]


class HostileDaemon(DaemonCase):
    def start_fake(self, body):
        """Its folder goes before all others in PATH."""
        self.enterContext(mock.patch.dict(os.environ))
        fake = self.folder / "bin" / "qemu-storage-daemon"
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(FAKE.replace("{daemon!r}", repr(DAEMON)).replace("{body}", body))
        fake.chmod(0o755)
        os.environ["PATH"] = f"{fake.parent}:{os.environ['PATH']}"
        return self.start_qcow2(["--sandbox=off"])

    def serves(self, client):
        """The keeper answers, and both disks are served."""
        self.assertEqual([disk["qdev"] for disk in client.ask("query-block")], ["hd0", "hq1"])
        self.write(5, b"w")
        self.assertEqual(self.read(5), b"w")
        self.assertEqual(client.ask("query-status")["status"], "running")

    def test_says_nonsense(self):
        rows = [
            "monitor.shutdown(socket.SHUT_RDWR)",
            "say('hello')",
            "say('[' * 100000)",
            "say('{}')",
            "say('{\"QMP\": 1}')",
            "say('{\"return\": 1, \"id\": 1}')",
            GREETS + "say('{\"return\": 1, \"id\": 77}')",
            GREETS + "lines.readline()\nmonitor.shutdown(socket.SHUT_RDWR)",
            answers('{"return": 5, "id": %s}'),
            answers('{"return": [5, {}, {"node-name": 1}, {"id": []}], "id": %s}'),
            answers('{"return": [{"node-name": "' + "x" * 5000 + '"}], "id": %s}'),
            answers('{"error": {"class": "", "desc": "%%s%%n"}, "id": %s}'),
            answers('{"return": "' + "x" * (5 << 20) + '", "id": %s}'),
        ]
        for body in rows:
            with self.subTest(body=body[:80]):
                client = self.start_fake(body)
                for command in "query-jobs", "query-block-jobs", "query-named-block-nodes":
                    self.assertIsInstance(client.ask(command), list)
                answer = client.call("block-job-cancel", device="x")
                self.assertIn(answer.get("return", {}), ({},))
                self.serves(client)
                client.ask("quit")
                self.assertEqual(self.remote.wait(), EXIT_CLEAN)

    def test_never_stops(self):
        """Events without end: known ones come, so many a second; others and long ones do not."""
        events = "\n".join([EVENT % ("SHUTDOWN", "x"), EVENT % ("JOB_STATUS_CHANGE", "x" * 9000),
                            EVENT % ("JOB_STATUS_CHANGE", "j")])
        client = self.start_fake(GREETS + f"while True:\n    say({events!r})\n")
        self.assertEqual(client.event("JOB_STATUS_CHANGE")["data"], {"id": "j"})
        self.assertEqual(client.ask("query-status")["status"], "running")
        self.write(5, b"w")
        self.assertEqual({event["event"] for event in client.events} - {"JOB_STATUS_CHANGE"},
                         set())

    def test_never_answers(self):
        """Others are answered meanwhile; at the end of the process so is the one who waits."""
        client = self.start_fake(GREETS)
        client.say(b'{"execute": "query-jobs"}\n')
        other = self.negotiated()
        other.ask("block_resize", device="d0", size=2 << 20)
        self.write(5, b"w")
        other.ask("quit")
        answers = [client.hear(), client.hear()]
        self.assertEqual({list(answer)[0] for answer in answers} & {"error"}, {"error"})

    def test_dies(self):
        """While a command is with it: that one fails, and those after it."""
        client = self.start_qcow2()
        self.ends = EXIT_FLUSH
        pid = self.daemons()[0]
        os.kill(pid, signal.SIGSTOP)
        client.say(b'{"execute": "job-cancel", "arguments": {"id": "j"}}\n')
        other = self.negotiated()
        self.assertEqual(other.ask("query-name"), {})
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(client.hear()["error"]["class"], GENERIC)
        wait_for(lambda: "its storage daemon has ended" in self.remote.log(), "the keeper's line")
        self.assertIn("no storage daemon is there", client.refused("job-cancel", id="j")[1])
        self.assertEqual(client.ask("query-jobs"), [])
        self.assertEqual(client.ask("query-block")[1]["inserted"]["node-name"], "q1")
        self.assertEqual(self.chip.run(lsi.read10(0, 1), target=1), ("done", CHECK))


class Refused(DaemonCase):
    def test_without_daemon(self):
        client = self.start()
        for command in ("blockdev-backup", "transaction", "job-cancel", "qom-set"):
            arguments = {"property": "limits"} if command == "qom-set" else {}
            self.assertIn("no storage daemon is there", client.refused(command, **arguments)[1])
        self.assertEqual(client.ask("query-jobs"), [])

    def test_by_name(self):
        client = self.start_qcow2()
        file = {"driver": "file", "filename": str(self.backups / "x")}
        listed = {command["name"] for command in client.ask("query-commands")}
        for command, words in [
                ("nbd-server-start", "one client"), ("nbd-server-add", "one client"),
                ("nbd-server-stop", "one client"), ("block-export-del", "device process alone"),
                ("block-export-add", "device process alone"), ("chardev-add", "the keeper's"),
                ("chardev-remove", "the keeper's"), ("drive-backup", "use blockdev-backup"),
                ("drive-mirror", "blockdev-mirror"),
                ("blockdev-snapshot-sync", "use blockdev-snapshot")]:
            with self.subTest(command=command):
                kind, text = client.refused(command, id="e")
                self.assertEqual(kind, GENERIC)
                self.assertIn(f"{command}: ", text)
                self.assertIn(words, text)
                self.assertNotIn(command, listed)
        add = "blockdev-add"
        for command, arguments, words in [
                (add, {"driver": "nbd", "server": {"type": "unix", "path": "/x"}}, "'nbd'"),
                (add, {"driver": "ssh"}, "'ssh'"),
                (add, {"driver": "raw", "file": {"driver": "https"}}, "'https'"),
                (add, {"driver": "vmdk", "file": file}, "'vmdk'"),
                (add, {"driver": "qcow2", "file": file}, "name its backing file's node, or null"),
                (add, {"driver": "qcow2", "file": file, "backing": {"driver": "nbd"}}, "'nbd'"),
                (add, {"driver": "qcow2", "backing": None, "file": dict(file, aio="io_uring")},
                 "io_uring"),
                (add, {"driver": "qcow2", "file": file, "backing": None}, "No such file"),
                (add, {"driver": "qcow2", "backing": None, "file":
                       {"driver": "file", "filename": "/etc/passwd"}}, "--storage-folder="),
                ("blockdev-create", {"job-id": "j", "options": {
                    "driver": "file", "filename": "/x", "size": 1}}, "makes no files"),
                ("blockdev-reopen", {"options": [{"driver": "nbd"}]}, "'nbd'"),
                ("object-add", {"qom-type": "secret", "id": "s"}, "only a throttle-group"),
                ("object-add", {"qom-type": "iothread", "id": "s"}, "only a throttle-group"),
                ("qom-set", {"path": "/chardevs/qmp", "property": "addr", "value": 1}, "limits"),
                ("transaction", {"actions": [{"type": "blockdev-snapshot-sync", "data": {}}]},
                 "'blockdev-snapshot-sync'"),
                ("blockdev-backup", {"device": "d0", "target": "q1", "sync": "full"},
                 "'d0' is a disk without a storage daemon"),
                ("blockdev-backup", {"device": "q1", "target": "no", "sync": "full",
                                     "job-id": "j"}, "node-name='no'"),
                ("blockdev-del", {"node-name": "q1"}, "in use"),
                ("blockdev-del", {"node-name": "no"}, "node-name='no'"),
                ("block-commit", {"device": 5}, "'device'"),
                ("job-cancel", {"id": "no"}, "Job not found")]:
            with self.subTest(command=command, arguments=arguments):
                if command == add:
                    arguments = dict(arguments, **{"node-name": "x"})
                self.assertIn(words, client.refused(command, arguments)[1])
        self.assertEqual(client.refused("block-job-cancel", device="no")[0], "DeviceNotActive")
        self.write(5, b"w")
        self.assertEqual(len(self.daemons()), 1)

    def test_two_daemons(self):
        """What one command names is in one of them; a new node goes where it is used first."""
        second = self.make("second")
        client = self.start_qcow2(self.disk(2, second))
        names = [node["node-name"] for node in client.ask("query-named-block-nodes")]
        self.assertEqual(len(names), len(set(names)))
        self.assertLessEqual({"d0", "q1", "f1", "q2", "f2"}, set(names))
        self.assertIn("one daemon has to have all", client.refused(
            "blockdev-backup", device="q1", target="q2", sync="full", job_id="j")[1])
        for other in "no", "a":
            self.assertEqual(client.refused("blockdev-add", driver="raw", node_name="a",
                                            file=other)[1],
                             f"Cannot find device='' nor node-name='{other}'")
        # Nobody has opened it before it is used.
        client.ask("blockdev-add", driver="qcow2", node_name="a", backing=None,
                   file={"driver": "file", "filename": "/nonexistent"})
        self.assertIn("Could not open '/nonexistent'", client.refused(
            "blockdev-backup", device="q2", target="a", sync="full", job_id="j")[1])
        client.ask("blockdev-del", node_name="a")
        path = self.make("backups/t")
        client.ask("blockdev-add", driver="file", node_name="tf", filename=str(path))
        client.ask("blockdev-add", driver="qcow2", node_name="t", file="tf", backing=None)
        self.assertEqual(client.refused("blockdev-add", driver="raw", node_name="t",
                                        file="tf")[1], "Duplicate nodes with node-name='t'")
        self.assertIn("in no storage daemon yet", client.refused(
            "blockdev-create", job_id="c", options={"driver": "qcow2", "file": "tf",
                                                    "size": DISK})[1])
        client.ask("blockdev-backup", device="q2", target="t", sync="full", job_id="j")
        self.job_ends(client, "j")
        self.assertIn("one daemon has to have all", client.refused(
            "blockdev-backup", device="q1", target="t", sync="full", job_id="j")[1])
        # Of one name there is one job, whichever daemon has it.
        third = self.target(client, "u")
        client.ask("blockdev-mirror", device="q1", target="u", sync="full", job_id="j")
        client.event("BLOCK_JOB_READY")
        self.assertEqual(client.refused("blockdev-backup", device="q2", target="t", sync="full",
                                        job_id="j")[1], "Job ID 'j' already in use")
        client.ask("block-job-cancel", device="j")
        client.event("BLOCK_JOB_COMPLETED")
        client.ask("quit")
        self.assertEqual(self.remote.wait(), EXIT_CLEAN)
        qemu_img("check", "-q", third)


class Jobs(DaemonCase):
    """As libvirt does it, while the guest writes."""

    def finish(self, client):
        client.ask("quit")
        self.assertEqual(self.remote.wait(), EXIT_CLEAN)

    def busy(self, client, job, lba):
        """Writes while that job is at work."""
        while any(entry["id"] == job and entry["status"] == "running"
                  for entry in client.ask("query-jobs")):
            self.write(lba, b"n")

    def test_backup(self):
        """Full with a bitmap, then what has changed since; both are the disk of their moment."""
        client = self.start_qcow2()
        for lba in range(0, 4096, 128):
            self.write(lba, b"a")
        full = self.target(client, "full")
        client.ask("transaction", actions=[
            {"type": "block-dirty-bitmap-add",
             "data": {"node": "q1", "name": "b0", "persistent": True}},
            {"type": "blockdev-backup", "data": {"device": "q1", "target": "full", "sync": "full",
                                                 "job-id": "j0", "speed": 1 << 20}}])
        for lba in range(0, 4096, 512):
            self.write(lba, b"b")
        self.assertEqual(client.ask("query-block-jobs")[0]["device"], "j0")
        client.ask("block-job-set-speed", device="j0", speed=0)
        self.busy(client, "j0", 77)
        self.job_ends(client, "j0")
        client.ask("blockdev-del", node_name="full")
        then = self.content(full)
        for lba in range(4096):
            self.assertEqual(then[lba * 512:][:512], (b"\0" if lba % 128 else b"a") * 512, lba)
        node = client.ask("query-block")[1]["inserted"]
        self.assertEqual(node["dirty-bitmaps"][0]["name"], "b0")
        self.assertGreater(node["dirty-bitmaps"][0]["count"], 0)
        parent = {"driver": "qcow2", "read-only": True, "backing": None, "node-name": "base",
                  "file": {"driver": "file", "filename": str(full)}}
        client.ask("blockdev-add", parent)
        inc = self.target(client, "inc", "-b", full, "-F", "qcow2", backing="base")
        client.ask("blockdev-backup", device="q1", target="inc", sync="incremental", bitmap="b0",
                   job_id="j1")
        self.job_ends(client, "j1")
        for name in "inc", "base":
            client.ask("blockdev-del", node_name=name)
        client.ask("block-dirty-bitmap-remove", node="q1", name="b0")
        self.finish(client)
        qemu_img("compare", self.qcow2, inc)
        for path in self.qcow2, full, inc:
            qemu_img("check", "-q", path)

    def test_mirror(self):
        """The disk moves to another image, and the guest writes all the time."""
        client = self.start_qcow2()
        for lba in range(0, 4096, 128):
            self.write(lba, b"a")
        copy = self.target(client, "copy")
        client.ask("blockdev-mirror", device="q1", target="copy", sync="full", job_id="m",
                   speed=1 << 20)
        for lba in range(1, 4096, 256):
            self.write(lba, b"b")
        client.ask("block-job-set-speed", device="m", speed=0)
        self.busy(client, "m", 9)
        client.event("BLOCK_JOB_READY")
        client.ask("block-job-complete", device="m")
        self.job_ends(client, "m")
        self.write(4000, b"c")
        node = client.ask("query-block")[1]["inserted"]
        self.assertEqual((node["node-name"], node["file"]), ("copy", str(copy)))
        self.assertEqual(client.refused("blockdev-del", node_name="copy")[1],
                         "Node copy is in use")
        client.ask("blockdev-del", node_name="q1")
        client.ask("blockdev-del", node_name="f1")
        self.assertEqual((self.read(1), self.read(4000)), (b"b", b"c"))
        self.finish(client)
        qemu_img("check", "-q", copy)
        content = self.content(copy)
        self.assertEqual([content[lba * 512:lba * 512 + 1] for lba in (0, 1, 257, 4000)],
                         [b"a", b"b", b"b", b"c"])

    def overlay(self):
        """A disk with a backing file, whose data is "a" at 0."""
        base = self.make("base")
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 0x61 0 1M", base], check=True,
                       stdout=subprocess.DEVNULL)
        return base, self.make("top", "-b", base, "-F", "qcow2", size=None)

    def test_stream(self):
        """From its backing file, whose node the daemon has named itself, until it needs none."""
        base, top = self.overlay()
        client = self.start([*self.disk(1, top), f"--storage-folder={self.backups}"])
        self.chip.run(lsi.test_unit_ready(), target=1)
        self.chip.run(lsi.request_sense(), BUFFER, 18, target=1)
        names = [node["node-name"] for node in client.ask("query-named-block-nodes")]
        self.assertIn("backing-0.q1", names)
        client.ask("block-stream", device="q1", job_id="s")
        self.busy(client, "s", 9)
        self.job_ends(client, "s")
        self.assertEqual((self.read(0), self.read(9)), (b"a", b"n")
                         if self.read(9) == b"n" else (b"a", b"a"))
        self.assertEqual(client.ask("query-block")[1]["inserted"]["backing_file_depth"], 0)
        self.finish(client)
        self.assertNotIn("backing file", qemu_img("info", top))
        qemu_img("check", "-q", top)
        qemu_img("check", "-q", base)

    def test_snapshot_and_commit(self):
        """An overlay comes above the disk, takes writes, and is committed into it again."""
        client = self.start_qcow2()
        self.write(0, b"a")
        self.target(client, "over", "-b", self.qcow2, "-F", "qcow2")
        client.ask("blockdev-snapshot", node="q1", overlay="over")
        self.write(1, b"b")
        self.assertEqual(client.ask("query-block")[1]["inserted"]["node-name"], "over")
        client.ask("block-commit", device="over", base_node="q1", job_id="c")
        client.event("BLOCK_JOB_READY")
        client.ask("job-complete", id="c")
        self.job_ends(client, "c")
        client.ask("blockdev-del", node_name="over")
        self.assertEqual(client.ask("query-block")[1]["inserted"]["node-name"], "q1")
        self.assertEqual((self.read(0), self.read(1)), (b"a", b"b"))
        self.finish(client)
        qemu_img("check", "-q", self.qcow2)

    def test_create(self):
        """An image is made in an empty file, and used."""
        client = self.start_qcow2()
        path = self.backups / "new"
        path.touch()
        client.ask("blockdev-add", driver="file", node_name="nf", filename=str(path))
        client.ask("blockdev-create", job_id="c", options={"driver": "qcow2", "file": "nf",
                                                           "size": DISK})
        self.job_status(client, "c", {"concluded"})
        client.ask("job-dismiss", id="c")
        client.ask("blockdev-add", driver="qcow2", node_name="n", file="nf", backing=None)
        self.write(3, b"x")
        client.ask("blockdev-backup", device="q1", target="n", sync="full", job_id="j")
        self.job_ends(client, "j")
        self.finish(client)
        qemu_img("compare", self.qcow2, path)

    def test_drive(self):
        """A -drive's job has its name without being told, and raw nodes of ours are targets."""
        path = self.make("drive")
        client = self.start(["-drive", f"if=none,id=dq,file={path},format=qcow2", "-device",
                             "scsi-hd,drive=dq,scsi-id=1,id=hq", "-device",
                             "scsi-cd,id=cd0,scsi-id=2", f"--storage-folder={self.backups}"])
        self.chip.run(lsi.test_unit_ready(), target=1)
        self.chip.run(lsi.request_sense(), BUFFER, 18, target=1)
        self.write(3, b"x")
        raw = self.backups / "raw"
        with open(raw, "wb") as file:
            file.truncate(DISK)
        client.ask("blockdev-add", driver="raw", node_name="t",
                   file={"driver": "file", "filename": str(raw)})
        client.ask("blockdev-mirror", device="dq", target="t", sync="full")
        self.assertEqual(client.event("BLOCK_JOB_READY")["data"]["device"], "dq")
        self.assertEqual(client.refused("device_add", driver="scsi-hd", drive="t")[1],
                         "Node 't' is in use")
        client.ask("block-job-complete", device="dq")
        self.job_ends(client, "dq")
        disk = client.ask("query-block")[1]
        self.assertEqual((disk["device"], disk["inserted"]["node-name"]), ("dq", "t"))
        # The -drive stands for what is below it now.
        client.ask("block-dirty-bitmap-add", node="dq", name="b")
        client.ask("blockdev-del", node_name="dq")
        self.write(4, b"y")
        self.finish(client)
        self.assertEqual(raw.read_bytes()[3 * 512:4 * 512 + 1], b"x" * 512 + b"y")

    def test_throttle(self):
        """In the daemon, by a throttle group of the graph; and in the device process."""
        path = self.make("throttled")
        client = self.start([
            "-object", "throttle-group,id=tg", "-blockdev",
            f"driver=qcow2,node-name=q,file.driver=file,file.filename={path}", "-blockdev",
            "driver=throttle,node-name=t,throttle-group=tg,file=q", "-device",
            "scsi-hd,drive=t,scsi-id=1,id=hq"])
        self.chip.run(lsi.test_unit_ready(), target=1)
        self.chip.run(lsi.request_sense(), BUFFER, 18, target=1)

        def limit(value):
            client.ask("qom-set", path="tg", property="limits", value={"iops-total": value})

        def reads():
            return client.ask("query-blockstats")[1]["stats"]["rd_operations"]
        self.read(0)
        limits = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
        client.ask("block_set_io_throttle", dict(limits, id="hq", bps=1 << 30))
        self.assertEqual(client.ask("query-block")[1]["inserted"]["bps"], 1 << 30)
        limit(1)
        before = reads()
        self.read(0)
        self.chip.start(lsi.read10(0, 1), BUFFER, 512, target=1)
        self.assertIn(reads() - before, (1, 2))
        limit(0)
        self.assertEqual(self.chip.finish(), ("done", 0))
        client.ask("object-add", {"qom-type": "throttle-group", "id": "other"})
        client.ask("object-del", id="other")
        self.assertIn("in use", client.refused("object-del", id="tg")[1])


if __name__ == "__main__":
    wire.tap.main()
