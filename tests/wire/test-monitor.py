#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The storage monitor: QMP for the disks of a remote; first clients that are no good."""
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess

import wire
import lsi
import mpq
from monitor import BUFFER, CHECK, GENERIC, SIZE, TIMEOUT, Case, Client, DiskCase
from mpq import EXIT_CLEAN, Remote, wait_for
from supervise import Supervisor

F_OFD_SETLK = 37        # fcntl(2)
NO_LIMITS = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)


class Hostile(Case):
    ROWS = [
        (b"hello\n", "JSON parse error"),
        (b"\x00" * 100 + b"\n", "JSON parse error"),
        (b"GET / HTTP/1.1\r\n", "JSON parse error"),
        (b"[" * (1 << 20), "nested deeper than 128 brackets"),
        (b'{"a": ' * 5000, "nested deeper than 128 brackets"),
        (b"[" + b" " * (2 << 20), "longer than 1048576 bytes"),
        (b'{"execute": "\xff"}', "JSON parse error"),
        (b'{"execute": "quit"}', "Expecting capabilities negotiation"),
        (b'{"execute": "qmp_capabilities", "arguments": []}', "must be an object"),
        (b'{"execute": {}}', "must be a string"),
    ]

    def test_says_nonsense(self):
        """One error each; the device is served as before, and so is the next client."""
        remote = self.edu()
        for data, words in self.ROWS:
            with self.subTest(words=words, data=data[:20]):
                client = self.client()
                client.hear()
                client.say(data)
                self.assertIn(words, client.hear()["error"]["desc"])
                client.close()
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1234)
        self.assertEqual(self.negotiated().ask("query-status")["status"], "running")
        self.assertEqual(remote.finish(), EXIT_CLEAN)

    def test_comes_and_goes(self):
        """By the hundred, with a message half said: no fd of the keeper's stays."""
        remote = self.edu()
        self.negotiated().close()
        fds = f"/proc/{remote.proc.pid}/fd"
        before = len(os.listdir(fds))
        for i in range(200):
            client = self.client()
            client.say(b'{"execute": "qmp_capabilities"}{"exec'[:i % 40])
            client.close()
        wait_for(lambda: len(os.listdir(fds)) <= before, "the fds of clients that are gone")
        self.assertEqual(self.negotiated().ask("query-name"), {})

    def test_too_many(self):
        """Those beyond the eighth wait until one goes."""
        self.edu()
        clients = [self.negotiated() for _ in range(8)]
        late = self.client()
        late.sock.settimeout(0.2)
        with self.assertRaises(TimeoutError):
            late.sock.recv(1)
        late.sock.settimeout(TIMEOUT)
        clients[3].close()
        self.assertIn(b"QMP", late.sock.recv(4096))
        self.assertEqual(clients[7].ask("query-name"), {})

    def test_never_reads(self):
        """It asks for what is long, and does not read: it waits, and nobody else does."""
        remote = self.edu()
        greedy = self.negotiated()
        greedy.sock.setblocking(False)
        try:
            for _ in range(100000):
                greedy.sock.send(b'{"execute": "query-qmp-schema"}')
        except BlockingIOError:
            pass
        self.assertEqual(self.negotiated().ask("query-status")["running"], True)
        self.assertEqual(remote.peer.cfg_read(0, 2), 0x1234)
        with open(f"/proc/{remote.proc.pid}/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        self.assertLess(pages * os.sysconf("SC_PAGESIZE"), 64 << 20)

    def test_sends_fds(self):
        """None of them arrives."""
        remote = self.edu()
        client = self.negotiated()
        fds = f"/proc/{remote.proc.pid}/fd"
        before = len(os.listdir(fds))
        with open("/dev/null", "rb") as null:
            for _ in range(50):
                socket.send_fds(client.sock, [b" "], [null.fileno()] * 10)
        self.assertEqual(client.ask("query-name"), {})
        self.assertEqual(len(os.listdir(fds)), before)


class Ordinary(Case):
    def test_commands(self):
        remote = self.edu(["-name", "vm1"])
        client = self.negotiated()
        self.assertEqual(client.greeting["QMP"]["version"]["package"], "mpqemu-remote")
        self.assertEqual(client.ask("query-version"), client.greeting["QMP"]["version"])
        self.assertEqual(client.ask("query-name"), {"name": "vm1"})
        self.assertEqual(client.ask("query-status"),
                         {"status": "running", "singlestep": False, "running": True})
        names = {command["name"] for command in client.ask("query-commands")}
        schema = {entry["name"] for entry in client.ask("query-qmp-schema")
                  if entry["meta-type"] == "command"}
        self.assertEqual(names, schema)
        for name in sorted(names - {"quit", "qmp_capabilities"}):
            answer = client.call(name, no_such_argument=1)
            self.assertEqual(answer["error"]["class"], GENERIC)
        self.assertEqual(client.refused("cont"),
                         ("CommandNotFound", "The command cont has not been found"))
        self.assertEqual(remote.finish(), EXIT_CLEAN)
        self.assertFalse(self.path.exists())

    def test_quit(self):
        """The event comes before the answer, and both before the end; others hear of it, too."""
        remote = self.edu()
        client, other = self.negotiated(), self.negotiated()
        self.assertEqual(client.ask("quit"), {})
        for each in client, other:
            self.assertEqual(each.event("SHUTDOWN")["data"],
                             {"guest": False, "reason": "host-qmp-quit"})
            self.assertIsNone(each.hear())
        self.assertEqual(remote.wait(), EXIT_CLEAN)
        self.assertFalse(self.path.exists())

    def test_other_ends(self):
        remote = self.edu()
        client = self.negotiated()
        remote.proc.send_signal(signal.SIGTERM)
        self.assertEqual(client.event("SHUTDOWN")["data"],
                         {"guest": False, "reason": "host-signal"})
        remote.wait()
        remote = self.edu()
        client = self.negotiated()
        self.assertEqual(remote.finish(), EXIT_CLEAN)
        self.assertEqual(client.event("SHUTDOWN")["data"],
                         {"guest": True, "reason": "guest-shutdown"})

    def test_as_socat_does(self):
        """All in one piece, then the writing end is closed; the answers come all the same."""
        self.edu()
        client = self.client()
        client.say(b'{"execute": "qmp_capabilities"}{"execute":\n"query-name"}'
                   b'{"execute": "query-status"}')
        client.sock.shutdown(socket.SHUT_WR)
        answers = [client.hear() for _ in range(5)]
        self.assertEqual([list(a)[0] if a else None for a in answers],
                         ["QMP", "return", "return", "return", None])

    def test_as_qmp_shell_does(self):
        """A line a command, with an id of any type, and \\r\\n at its end."""
        self.edu()
        client = self.negotiated()
        for ident in (1, "a", None, [1], {"b": {}}, 1.5, True):
            client.say(json.dumps({"execute": "query-name", "id": ident}).encode() + b"\r\n")
            self.assertEqual(client.hear(), {"return": {}, "id": ident})


class Disks(DiskCase):
    """A controller with a raw disk, one of QEMU's formats, and an empty CD drive."""

    def test_query_block(self):
        """As QEMU 7.2 tells it, of the same options; but for what it makes up itself."""
        client = self.start(["-device", "scsi-cd,id=cd0,scsi-id=1"])
        disk, drive = client.ask("query-block")
        node = disk.pop("inserted")
        self.assertEqual(disk, {"device": "d0", "qdev": "hd0", "removable": False, "locked": False,
                                "type": "unknown"})
        self.assertEqual(drive, {"device": "", "qdev": "cd0", "removable": True, "locked": False,
                                 "type": "unknown", "tray_open": False})
        self.assertEqual(client.ask("query-named-block-nodes"), [node])
        image = node.pop("image")
        self.assertEqual(image, {"virtual-size": SIZE, "filename": str(self.image), "format": "raw",
                                 "dirty-flag": False, "actual-size": image["actual-size"]})
        self.assertEqual((node["drv"], node["ro"], node["file"], node["cache"]),
                         ("raw", False, str(self.image),
                          {"writeback": True, "direct": False, "no-flush": False}))

    def test_query_stats(self):
        """What the guest does is counted, for its disk alone."""
        other = self.folder / "other"
        with open(other, "wb") as file:
            file.truncate(SIZE)
        client = self.start(["-drive", f"id=d1,if=none,file={other},format=raw", "-device",
                             "scsi-hd,drive=d1,scsi-id=1"])
        self.do(lsi.write10(5, 2), 1024, write=True)
        self.do(lsi.read10(0, 1), 512)
        self.do(bytes([0x35]) + bytes(9))       # SYNCHRONIZE CACHE
        disk, idle = (entry["stats"] for entry in client.ask("query-blockstats"))
        self.assertEqual((disk["wr_bytes"], disk["wr_operations"], disk["wr_highest_offset"]),
                         (1024, 1, 7 * 512))
        self.assertEqual((disk["rd_bytes"], disk["rd_operations"]), (512, 1))
        self.assertEqual((disk["flush_operations"], disk["failed_wr_operations"]), (1, 0))
        self.assertGreater(disk["wr_total_time_ns"], 0)
        self.assertFalse(any(idle[key] for key in idle if key.endswith(("_bytes", "_operations"))))
        latency = client.ask("query-latency")[0]
        self.assertEqual((latency["write"]["count"], latency["read"]["count"]), (1, 1))
        self.assertEqual(latency["write"]["p50"], disk["wr_total_time_ns"])

    def test_resize(self):
        """The guest hears of it, and what is new is there; what is cut is gone."""
        client = self.start()
        self.assertEqual(self.capacity(), SIZE)
        client.ask("block_resize", device="d0", size=2 * SIZE)
        self.assertEqual(self.attention(), (6, 0x2a, 0x09))
        self.assertEqual(self.capacity(), 2 * SIZE)
        self.assertEqual(os.path.getsize(self.image), 2 * SIZE)
        last = 2 * SIZE // 512 - 1
        self.ram.map[BUFFER:BUFFER + 512] = b"z" * 512
        self.do(lsi.write10(last, 1), 512, write=True)
        self.assertEqual(self.image.read_bytes()[-512:], b"z" * 512)
        node = client.ask("query-block")[0]["inserted"]
        self.assertEqual(node["image"]["virtual-size"], 2 * SIZE)
        client.ask("block_resize", node_name="d0", size=SIZE // 2 - 100)
        self.assertEqual(self.attention(), (6, 0x2a, 0x09))
        self.assertEqual((self.capacity(), os.path.getsize(self.image)), (SIZE // 2, SIZE // 2))
        self.assertEqual(self.chip.run(lsi.read10(last, 1)), ("done", CHECK))
        self.assertEqual(self.do(lsi.request_sense(), 18)[12], 0x21)
        self.assertEqual(os.path.getsize(self.image), SIZE // 2)

    def test_resize_refused(self):
        client = self.start(["-device", "scsi-cd,id=cd0,scsi-id=1", "-drive",
                             "if=none,id=n,driver=null-co,size=1M", "-device",
                             "scsi-hd,drive=n,scsi-id=2"])
        for arguments, words in [
                ({"size": 1}, "Cannot find device='' nor node-name=''"),
                ({"size": 1, "device": "x"}, "Cannot find device='x' nor node-name=''"),
                ({"size": 1, "device": ""}, "Cannot find device='' nor node-name=''"),
                ({"size": 1, "device": "d0", "node_name": "d0"},
                 "Cannot find device='d0' nor node-name='d0'"),
                ({"size": -1, "device": "d0"}, "Parameter 'size' expects a >0 size"),
                ({"size": 0, "device": "d0"}, "Parameter 'size' expects a >0 size"),
                ({"size": (1 << 63) - 1, "device": "d0"}, "Parameter 'size' expects a >0 size"),
                ({"size": 1 << 62, "device": "d0"}, "Failed to resize the file: File too large"),
                ({"size": 1 << 20, "device": "n"},
                 "Image format driver does not support resize")]:
            with self.subTest(arguments=arguments):
                self.assertEqual(client.refused("block_resize", **arguments), (GENERIC, words))
        self.assertEqual(self.capacity(), SIZE)
        self.assertEqual(os.path.getsize(self.image), SIZE)

    def disc(self, name, content, size=1 << 20):
        path = self.folder / name
        path.write_bytes(content.ljust(size, b"\0"))
        return path

    def test_media(self):
        """Another disc, out and in: as the guest and as clients see it."""
        one, two = self.disc("one", b"first"), self.disc("two", b"second", 2 << 20)
        client = self.start(["-drive", f"if=none,id=cd,file={one},format=raw,media=cdrom",
                             "-device", "scsi-cd,drive=cd,id=cd0,scsi-id=1"])
        self.chip.run(lsi.test_unit_ready(), target=1)
        self.chip.run(lsi.request_sense(), BUFFER, 18, target=1)
        self.assertEqual(self.do(lsi.read10(0, 1), 2048, target=1)[:5], b"first")
        client.ask("blockdev-change-medium", id="cd0", filename=str(two), format="raw")
        moves = [client.event("DEVICE_TRAY_MOVED")["data"] for _ in range(2)]
        self.assertEqual(moves, [{"device": "cd", "tray-open": True, "id": "cd0"},
                                 {"device": "cd", "tray-open": False, "id": "cd0"}])
        self.assertEqual(self.attention(target=1), (6, 0x28, 0))
        self.assertEqual(self.do(lsi.read10(0, 1), 2048, target=1)[:6], b"second")
        self.assertEqual(self.capacity(target=1), 2 << 20)
        drive = client.ask("query-block")[1]
        self.assertEqual((drive["inserted"]["file"], drive["tray_open"]), (str(two), False))
        held = {os.readlink(f"/proc/{pid}/fd/{fd}")
                for pid in (self.remote.proc.pid, self.remote.device_pid())
                for fd in os.listdir(f"/proc/{pid}/fd")}
        self.assertNotIn(str(one), held)
        self.assertIn(str(two), held)
        client.ask("eject", device="cd")
        self.assertTrue(client.event("DEVICE_TRAY_MOVED")["data"]["tray-open"])
        self.assertEqual(self.attention(target=1), (2, 0x3a, 2))
        drive = client.ask("query-block")[1]
        self.assertEqual(("inserted" in drive, drive["tray_open"]), (False, True))
        self.assertEqual(client.refused("block_resize", node_name="cd", size=512)[1],
                         "Cannot find device='' nor node-name='cd'")

    def test_media_refused(self):
        one = self.disc("one", b"first")
        client = self.start(["-drive", f"if=none,id=cd,file={one},format=raw", "-device",
                             "scsi-cd,drive=cd,id=cd0,scsi-id=1"])
        qcow2 = self.disc("qcow2", b"QFI\xfb\0\0\0\3")
        change = "blockdev-change-medium"
        for command, arguments, answer in [
                ("eject", {}, (GENERIC, "Need exactly one of 'device' and 'id'")),
                ("eject", {"device": "cd", "id": "cd0"},
                 (GENERIC, "Need exactly one of 'device' and 'id'")),
                ("eject", {"device": "x"}, ("DeviceNotFound", "Device 'x' not found")),
                ("eject", {"device": "d0"}, (GENERIC, "Device 'd0' is not removable")),
                (change, {"id": "cd0", "filename": "/nonexistent"},
                 (GENERIC, "Could not open '/nonexistent': No such file or directory")),
                (change, {"id": "cd0", "filename": "/dev/null"},
                 (GENERIC, "Could not open '/dev/null': neither a regular file nor a block "
                  "device")),
                (change, {"id": "cd0", "filename": str(qcow2)},
                 (GENERIC, f"'{qcow2}' is qcow2: a new medium can be raw only")),
                (change, {"id": "cd0", "filename": str(one), "format": "qcow2"},
                 (GENERIC, "Format 'qcow2': a new medium can be raw only")),
                (change, {"id": "cd0", "filename": str(one), "read_only_mode": "x"},
                 (GENERIC, "Parameter 'read-only-mode' does not accept value 'x'"))]:
            with self.subTest(command=command, arguments=arguments):
                self.assertEqual(client.refused(command, **arguments), answer)
        self.chip.run(lsi.test_unit_ready(), target=1)
        self.chip.run(lsi.request_sense(), BUFFER, 18, target=1)
        self.assertEqual(self.do(lsi.read10(0, 1), 2048, target=1)[:5], b"first")
        self.do(bytes([0x1e, 0, 0, 0, 1, 0]), target=1)         # PREVENT MEDIUM REMOVAL
        self.assertTrue(client.ask("query-block")[1]["locked"])
        self.assertEqual(client.refused("eject", id="cd0"), (
            GENERIC, "Device 'cd0' is locked and force was not specified, wait for tray to open "
            "and try again"))
        self.assertEqual(self.do(lsi.read10(0, 1), 2048, target=1)[:5], b"first")
        client.ask("eject", id="cd0", force=True)
        drive = client.ask("query-block")[1]
        self.assertEqual((drive["locked"], drive["tray_open"]), (False, True))

    def add(self, client, name, content, **kwargs):
        """A node on a file with that content."""
        path = self.disc(name, content)
        client.ask("blockdev-add", driver="raw", node_name=name, file={
            "driver": "file", "filename": str(path)}, **kwargs)
        return path

    def luns(self, target):
        size = 16
        for _ in range(2):
            data = self.do(b"\xa0" + bytes(5) + struct.pack(">I", size) + bytes(2), size,
                           target=target)
            size = 8 + struct.unpack(">I", data[:4])[0]
        return [data[i + 1] for i in range(8, size, 8)]

    def test_hotplug(self):
        """A disk comes, is written to, goes; its node and file stay, and it comes again."""
        client = self.start()
        path = self.add(client, "n1", b"hello")
        node = next(n for n in client.ask("query-named-block-nodes") if n["node-name"] == "n1")
        self.assertEqual((node["drv"], node["file"]), ("raw", str(path)))
        # all that QEMU's schema promises, without which libvirt takes no list
        self.assertLessEqual({"file", "ro", "drv", "backing_file_depth", "encrypted", "bps",
                              "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr", "detect_zeroes",
                              "write_threshold", "image", "cache"}, set(node))
        self.assertLessEqual({"filename", "format", "virtual-size"}, set(node["image"]))
        client.ask("device_add", driver="scsi-hd", drive="n1", bus="l.0", scsi_id=3, id="h1")
        self.assertEqual(self.attention(target=3), (6, 0x29, 0))
        self.assertEqual(self.do(lsi.read10(0, 1), 512, target=3)[:5], b"hello")
        self.ram.map[BUFFER:BUFFER + 512] = b"w" * 512
        self.do(lsi.write10(7, 1), 512, write=True, target=3)
        self.assertEqual(path.read_bytes()[7 * 512:8 * 512], b"w" * 512)
        disk = client.ask("query-block")[1]
        self.assertEqual((disk["qdev"], disk["inserted"]["node-name"]), ("h1", "n1"))
        stats = client.ask("query-blockstats")[1]
        self.assertEqual((stats["qdev"], stats["stats"]["wr_bytes"]), ("h1", 512))
        self.assertEqual(client.refused("blockdev-del", node_name="n1"),
                         (GENERIC, "Node n1 is in use"))
        client.ask("block_resize", node_name="n1", size=2 << 20)
        self.assertEqual(self.attention(target=3), (6, 0x2a, 9))
        self.assertEqual(self.capacity(target=3), 2 << 20)
        client.ask("device_del", id="h1")
        self.assertEqual(client.event("DEVICE_DELETED")["data"],
                         {"device": "h1", "path": "/machine/peripheral/h1"})
        self.assertNotEqual(self.chip.run(lsi.test_unit_ready(), target=3)[0], "done")
        self.chip.soft_reset()
        self.assertEqual(len(client.ask("query-block")), 1)
        held = [os.readlink(f"/proc/{pid}/fd/{fd}")
                for pid in (self.remote.proc.pid, self.remote.device_pid())
                for fd in os.listdir(f"/proc/{pid}/fd")]
        self.assertNotIn(str(path), held)
        client.ask("device_add", driver="scsi-hd", drive="n1", bus="l.0", scsi_id=4, id="h1")
        self.attention(target=4)
        self.assertEqual(self.do(lsi.read10(7, 1), 512, target=4), b"w" * 512)
        client.ask("device_del", id="h1")
        client.event("DEVICE_DELETED")
        client.ask("blockdev-del", node_name="n1")
        self.assertEqual(client.refused("blockdev-del", node_name="n1"),
                         (GENERIC, "Failed to find node with node-name='n1'"))

    def test_hotplug_lun(self):
        """Beside a unit of the same target, which tells of it."""
        client = self.start()
        self.assertEqual(self.luns(0), [0])
        client.ask("device_add", driver="scsi-cd", bus="l.0", scsi_id=0, lun=1, id="c1")
        self.assertEqual(self.attention(), (6, 0x3f, 0x0e))
        self.assertEqual(self.luns(0), [0, 1])
        path = self.disc("one", b"disc")
        client.ask("blockdev-change-medium", id="c1", filename=str(path))
        client.ask("device_del", id="c1")
        client.event("DEVICE_DELETED")
        self.assertEqual(self.attention(), (6, 0x3f, 0x0e))
        self.assertEqual(self.luns(0), [0])

    def test_hotplug_first_disk(self):
        """One of the command line goes, and its node is free."""
        image = self.disc("node", b"node")
        client = self.start(["-blockdev", f"driver=file,filename={image},node-name=f", "-blockdev",
                             "driver=raw,file=f,node-name=r", "-device",
                             "scsi-hd,drive=r,scsi-id=1,id=h1"])
        self.assertEqual(client.refused("device_add", driver="scsi-hd", drive="r"),
                         (GENERIC, "Node 'r' is in use"))
        client.ask("device_del", id="h1")
        client.event("DEVICE_DELETED")
        self.assertEqual(client.refused("blockdev-del", node_name="f"),
                         (GENERIC, "Node f is in use"))
        client.ask("blockdev-del", node_name="r")
        client.ask("blockdev-del", node_name="f")
        client.ask("device_del", id="hd0")
        client.event("DEVICE_DELETED")
        self.assertEqual(client.ask("query-block"), [])

    def test_hotplug_all(self):
        """As many as there can be, and again."""
        client = self.start()
        for name in range(6):
            self.add(client, f"n{name}", b"%d" % name)
        for _ in range(3):
            for name in range(6):
                client.ask("device_add", driver="scsi-hd", drive=f"n{name}", id=f"h{name}")
            self.assertEqual(len(client.ask("query-block")), 7)
            self.assertEqual(client.refused("device_add", driver="scsi-cd"),
                             (GENERIC, "no free target"))
            for name in range(6):
                self.attention(target=name + 1)
                self.assertEqual(self.do(lsi.read10(0, 1), 512, target=name + 1)[:1],
                                 b"%d" % name)
                client.ask("device_del", id=f"h{name}")
                client.event("DEVICE_DELETED")

    def test_hotplug_refused(self):
        client = self.start()
        path = self.add(client, "n1", b"")
        qcow2 = self.disc("qcow2", b"QFI\xfb\0\0\0\3")
        only = "only raw images, on files and block devices, can be added while the process runs"
        file = {"driver": "file", "filename": str(path)}
        add = "blockdev-add"
        rows = [
            (add, {"driver": "raw"}, "'node-name' must be specified for the root node"),
            (add, {"driver": "raw", "node_name": "x"}, "Parameter 'file' is missing"),
            (add, {"driver": "rawx", "node_name": "x"},
             "Parameter 'driver' does not accept value 'rawx'"),
            (add, {"driver": "raw", "node_name": "n1", "file": file},
             "Duplicate nodes with node-name='n1'"),
            (add, {"driver": "file", "node_name": "x", "filename": "/nonexistent"},
             "Could not open '/nonexistent': No such file or directory"),
            (add, {"driver": "qcow2", "node_name": "x", "file": file}, only),
            (add, {"driver": "null-co", "node_name": "x"}, only),
            ("device_add", {"driver": "scsi-hdx", "id": "q"},
             "'scsi-hdx' is not a valid device model name"),
            ("device_add", {"driver": "scsi-hd", "id": "q"}, "drive property not set"),
            ("device_add", {"driver": "scsi-hd", "drive": "no"},
             "Property 'scsi-hd.drive' can't find value 'no'"),
            ("device_add", {"driver": "scsi-hd", "drive": "n1", "scsi_id": 0, "lun": 0},
             "lun already used by 'hd0'"),
            ("device_add", {"driver": "scsi-hd", "drive": "n1", "id": "hd0"},
             "Duplicate ID 'hd0' for device"),
            ("device_add", {"driver": "scsi-hd", "drive": "n1", "bus": "x.0"},
             "Bus 'x.0' not found"),
            ("device_add", {"driver": "edu"},
             "Device 'edu' cannot be added while the process runs"),
        ]
        for command, arguments, words in rows:
            with self.subTest(command=command, arguments=arguments):
                self.assertEqual(client.refused(command, **arguments), (GENERIC, words))
        self.assertEqual(client.refused("device_del", id="q"),
                         ("DeviceNotFound", "Device 'q' not found"))
        client.ask(add, driver="raw", node_name="q", file={"driver": "file", "filename":
                                                           str(qcow2)})
        self.assertEqual(len(client.ask("query-block")), 1)
        # Somebody else writes to it: the disk is not added, the node stays.
        with open(path, "r+b") as image:
            fcntl.fcntl(image, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 101, 1, 0))
            fcntl.fcntl(image, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 201, 1, 0))
            words = client.refused("device_add", driver="scsi-hd", drive="n1", id="h1")[1]
            self.assertIn('Failed to get "write" lock', words)
        client.ask("device_add", driver="scsi-hd", drive="n1", id="h1")

    def test_throttle(self):
        """A read that would have to wait for minutes, until the limit goes."""
        client = self.start()

        def throttle(bps):
            client.ask("block_set_io_throttle", {**NO_LIMITS, "id": "hd0", "bps": bps})

        def reads():
            return client.ask("query-blockstats")[0]["stats"]["rd_operations"]
        throttle(1)
        self.assertEqual(client.ask("query-block")[0]["inserted"]["bps"], 1)
        self.do(lsi.read10(0, 1), 512)
        self.assertEqual(reads(), 1)
        self.chip.start(lsi.read10(0, 1), BUFFER, 512)
        for _ in range(20):
            self.assertEqual(reads(), 1)
        throttle(0)
        self.assertEqual(self.chip.finish(), ("done", 0))
        self.assertEqual(reads(), 2)
        # The end does not wait for it, either.
        throttle(1)
        self.do(lsi.read10(0, 1), 512)
        self.chip.start(lsi.read10(0, 1), BUFFER, 512)
        client.ask("quit")
        self.assertEqual(self.remote.wait(), EXIT_CLEAN)

    def test_paused(self):
        """A supervisor's pause: clients see it, limits do not keep it waiting, changes go on."""
        supervisor = Supervisor()
        self.addCleanup(supervisor.close)
        client = self.start([supervisor.option, "-device", "scsi-cd,id=cd0,scsi-id=1"],
                            pass_fds=[supervisor.theirs])
        supervisor.started()
        client.ask("block_set_io_throttle", {**NO_LIMITS, "id": "hd0", "bps": 1})
        self.do(lsi.read10(0, 1), 512)
        self.chip.start(lsi.read10(0, 1), BUFFER, 512)
        supervisor.pause()
        client.event("STOP")
        self.assertEqual(client.ask("query-status"),
                         {"status": "paused", "singlestep": False, "running": False})
        client.ask("block_resize", device="d0", size=2 * SIZE)
        client.ask("eject", id="cd0")
        self.add(client, "n1", b"")
        client.ask("device_add", driver="scsi-hd", drive="n1", id="h1")
        client.ask("device_del", id="h1")
        client.event("DEVICE_DELETED")
        supervisor.resume()
        client.event("RESUME")
        self.assertEqual(self.chip.finish(), ("done", 0))
        self.assertEqual(self.attention(), (6, 0x2a, 9))
        self.assertEqual(client.ask("query-status")["status"], "running")

    def test_throttle_refused(self):
        client = self.start(["-device", "scsi-cd,id=cd0,scsi-id=1"])
        for changed, words in [
                ({"id": "x"}, "Device 'x' not found"),
                ({"id": "cd0"}, "Device 'cd0' has no medium"),
                ({"bps": 1, "bps_rd": 2}, "bps/iops/max total values and read/write values cannot "
                 "be used at the same time"),
                ({"iops": -1}, "bps/iops/max values must be within [0, 1000000000000000]"),
                ({"iops": 10 ** 15 + 1},
                 "bps/iops/max values must be within [0, 1000000000000000]")]:
            with self.subTest(changed=changed):
                arguments = {**NO_LIMITS, "id": "hd0", **changed}
                self.assertEqual(client.refused("block_set_io_throttle", arguments)[1], words)
        self.assertEqual(client.refused("block_set_io_throttle", device="d0")[1],
                         "Parameter 'bps' is missing")

    def test_io_error(self):
        """An error of the host: told to the guest, ignored, or held back."""
        path = self.disc("short", b"x")
        rows = [("report", "report"), ("ignore", "ignore"), ("stop", "stop")]
        disks = []
        for i, (policy, _) in enumerate(rows):
            disks += ["-drive", f"if=none,id=e{i},format=raw,rerror={policy},file={path},"
                      "file.locking=off", "-device", f"scsi-hd,drive=e{i},scsi-id={i + 1}"]
        client = self.start(disks)
        os.truncate(path, 0)
        for i, (_, action) in enumerate(rows):
            self.attention(target=i + 1)
            self.chip.start(lsi.read10(0, 1), BUFFER, 512 if i else 0, target=i + 1)
            data = client.event("BLOCK_IO_ERROR")["data"]
            self.assertEqual((data["device"], data["operation"], data["action"], data["nospace"]),
                             (f"e{i}", "read", action, False))
            if action != "stop":
                self.chip.finish()
        os.truncate(path, SIZE)
        self.remote.proc.send_signal(signal.SIGUSR1)
        self.assertEqual(self.chip.finish(), ("done", 0))

    def test_tray_of_the_guest(self):
        client = self.start(["-device", "scsi-cd,id=cd0,scsi-id=1"])
        self.chip.run(lsi.test_unit_ready(), target=1)
        self.chip.run(lsi.request_sense(), BUFFER, 18, target=1)
        for is_open in True, False:
            self.do(bytes([0x1b, 0, 0, 0, 2 | (not is_open), 0]), target=1)
            self.assertEqual(client.event("DEVICE_TRAY_MOVED")["data"],
                             {"device": "", "tray-open": is_open, "id": "cd0"})

    @wire.unittest.skipUnless(mpq.has_nbd(), "this build has no libnbd")
    def test_qcow2(self):
        if mpq.wrapper():
            self.skipTest("valgrind 3.19 has no pidfd_open")
        image = self.folder / "qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "4M"], check=True)
        client = self.start(["-blockdev", f"driver=file,filename={image},node-name=f", "-blockdev",
                             "driver=qcow2,file=f,node-name=q", "-device",
                             "scsi-hd,drive=q,scsi-id=1"])
        node = client.ask("query-block")[1]["inserted"]
        self.assertEqual((node["drv"], node["node-name"], node["image"]["virtual-size"]),
                         ("qcow2", "q", 4 << 20))


class Places(Case):
    """Where a monitor's socket can be."""

    def serves(self, extra, client=None, **kwargs):
        remote = Remote.edu(extra, **kwargs)
        self.enterContext(remote)
        client = client() if client else Client(self.path)
        self.addCleanup(client.close)
        self.assertEqual(client.negotiate().ask("query-status")["status"], "running")
        return client

    def test_mon(self):
        self.serves(["-mon", "chardev=c0,mode=control,id=m", "-chardev",
                     f"socket,id=c0,path={self.path},server=on,wait=off"])

    def test_pretty(self):
        client = self.serves(["-qmp-pretty", f"unix:{self.path},server,nowait"], client=lambda:
                             PrettyClient(self.path))
        self.assertIn(b'{\n    "QMP": {\n', client.all)

    def test_listening_fd(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path))
            listener.listen()
            fd = listener.fileno()
            self.serves(["-chardev", f"socket,id=c0,fd={fd},server=on,wait=off",
                         "-mon", "c0,mode=control"], pass_fds=[fd])
        # It is the caller's, and stays.
        self.assertTrue(self.path.exists())

    def test_connected_fd(self):
        ours, theirs = socket.socketpair()
        with theirs:
            self.serves(["-chardev", f"socket,id=c0,fd={theirs.fileno()}",
                         "-mon", "c0,mode=control"], client=lambda: Client(sock=ours),
                        pass_fds=[theirs.fileno()])

    def test_connects(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path))
            listener.listen()
            self.serves(["-qmp", f"unix:{self.path}"],
                        client=lambda: Client(sock=listener.accept()[0]))

    def test_several(self):
        other = self.folder / "other"
        first = self.serves(["-qmp", f"unix:{self.path},server=on,wait=off",
                             "-qmp", f"unix:{other},server=on,wait=off"])
        second = Client(other).negotiate()
        self.addCleanup(second.close)
        first.ask("quit")
        self.assertIsNotNone(second.event("SHUTDOWN"))
        wait_for(lambda: not other.exists() and not self.path.exists(), "no path is left")

    def test_device_has_none(self):
        """The device process gets no fd of the monitor's."""
        with Remote.edu(["-qmp", f"unix:{self.path},server=on,wait=off"]) as remote:
            Client(self.path).negotiate().close()
            names = set(remote.device_fds().values())
            self.assertFalse(any("qmp" in name for name in names), names)

    def test_refused(self):
        """Bad places: one line, and the documented status."""
        (self.folder / "file").write_text("")
        rows = [
            (["-qmp", "stdio"], "UNIX sockets only"),
            (["-qmp", "tcp::4444,server=on,wait=off"], "UNIX sockets only"),
            (["-qmp", f"unix:{self.path},server=on"], "say wait=off"),
            (["-qmp", f"unix:{self.path},server=on,wait=off,foo=1"], "Invalid parameter 'foo'"),
            (["-qmp", f"unix:{self.folder}/none/x,server=on,wait=off"], "No such file"),
            (["-qmp", f"unix:{self.folder}/file,server=on,wait=off"], "Failed to bind"),
            (["-qmp", f"unix:{self.folder}/none"], "Failed to connect"),
            (["-mon", "c1,mode=control"], "chardev \"c1\" not found"),
            (["-mon", "c1"], "mode=control"),
            (["-chardev", "pty,id=c1", "-mon", "c1,mode=control"], "UNIX sockets only"),
            (["-chardev", "socket,id=c1,fd=99", "-mon", "c1,mode=control"], "fd 99"),
        ]
        for extra, words in rows:
            with self.subTest(extra=extra), Remote.edu(extra) as remote:
                self.assertEqual(remote.wait(), 1)
                log = remote.log()
                self.assertIn(words, log)
                self.assertEqual(log.count("\n"), 1, log)


class PrettyClient(Client):
    """Each object over several lines."""

    def __init__(self, path):
        super().__init__(path)
        self.all = b""

    def hear(self):
        lines = [self.file.readline()]
        while lines[-1] and lines[-1].rstrip() != b"}":
            lines.append(self.file.readline())
        self.all += b"".join(lines)
        return json.loads(b"".join(lines))


if __name__ == "__main__":
    wire.tap.main()
