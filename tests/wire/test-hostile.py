#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages that break the protocol: one log line, that session closed, nothing leaked.

Some sessions of one process each get one bad message; the last is a witness, which must be
served before and after, and in whose process no fd may be left.
"""
import os
import resource
import select
import socket
import time

import wire
import lsi
from mpq import (ALL_ONES, EXIT_PROTOCOL, FDS, MAX_PAYLOAD, NO_FDS, PAYLOAD, Closed, Cmd, Edu,
                 Event, Ram, Region, Remote, bar, cfg, message, sample, wait_for)

BAD_SESSIONS = 7
SIZES = [0, 1, 7, 8, 9, 11, 12, 13, 23, 24, 25, 191, 192, 193, 4096, 1 << 31, 1 << 32, 1 << 63,
         ALL_ONES]
COUNTS = [0, 1, 2, 3, 7, 8, 9, 10, 16]
UNKNOWN = [-1, -2, 8, 9, 100, 255, 256, 65536, 0x7fffffff, -0x80000000]


def fits(cmd, size, fds):
    return (cmd in list(Cmd) and cmd != Cmd.RET and size == PAYLOAD[cmd]
            and fds in FDS.get(cmd, NO_FDS))


def raw(cmd, size):
    """A header of any numbers, with as much payload as a sane size asks for."""
    return message(cmd, bytes(min(size, MAX_PAYLOAD + 64)), size)


class HostileTest(wire.unittest.TestCase):
    """Runs bad messages beside a witness."""

    def fill(self, rows):
        """Runs each (label, send(peer)) in a session of its own."""
        rows = list(rows)[::wire.thin(1, 3)]
        for at in range(0, len(rows), BAD_SESSIONS):
            self.batch(rows[at:at + BAD_SESSIONS])

    def batch(self, rows):
        devices = [f"edu,id=bad{i}" for i in range(len(rows))] + ["edu,id=witness"]
        with Remote.start(devices) as remote:
            witness = remote.peers[-1]
            self.assertEqual(witness.cfg_read(0, 2), 0x1234)
            before = remote.device_fds()
            for i, (label, send) in enumerate(rows):
                with self.subTest(label):
                    self.one(remote, i, send)
            self.assertEqual(witness.cfg_read(2, 2), 0x11e8)
            after = remote.device_fds()
            gained = {n: what for n, what in after.items() if before.get(n) != what}
            self.assertFalse(any("memfd" in what or "event" in what or "socket" in what
                                 for what in gained.values()), f"{rows[0][0]}: {gained}")
            self.assertLessEqual(len(after), len(before))
            self.assertEqual(remote.finish(), EXIT_PROTOCOL, remote.log())

    def one(self, remote, i, send):
        peer = remote.peers[i]
        try:
            send(peer)
        except Closed:
            pass    # closed before all of it was taken: early is fine
        self.assertTrue(peer.ended())
        mark = f"bad{i}: "
        lines = wait_for(lambda: [x for x in remote.log().split("\n") if mark in x], "a log line")
        self.assertEqual(len(lines), 1, lines)


class Hostile(HostileTest):
    """Headers: commands, sizes, numbers of fds."""

    def test_matrix(self):
        """Every command in every wrong size with every number of fds."""
        fds = [os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC) for _ in range(max(COUNTS))]
        rows = []
        for cmd in list(Cmd) + UNKNOWN:
            for size in SIZES:
                for count in COUNTS:
                    if not fits(cmd, size, count):
                        label = f"command {int(cmd)} size {size} fds {count}"
                        rows.append((label, lambda peer, d=raw(cmd, size), n=count:
                                     peer.send_raw(d, fds[:n])))
        self.fill(rows[::wire.thin(1, 67)])
        for fd in fds:
            os.close(fd)

    def test_log_names_the_message(self):
        for cmd in Cmd:
            data = message(cmd, bytes(PAYLOAD[cmd] + 1))
            with self.subTest(cmd=cmd.name), Remote.edu() as remote:
                remote.peer.send_raw(data)
                self.assertTrue(remote.peer.ended())
                self.assertEqual(remote.finish(), EXIT_PROTOCOL)
                self.assertIn(cmd.name, remote.log())
                self.assertEqual(remote.log().count("\n"), 1)

    def test_bad_after_good(self):
        """What came before the bad message is carried out and answered."""
        with Remote.edu() as remote:
            remote.peer.send_raw(sample(Cmd.PCI_CFGREAD) + message(77) + sample(Cmd.PCI_CFGREAD))
            self.assertEqual(remote.peer.ret(), 0x1234)
            with self.assertRaises(Closed):
                remote.peer.recv()
            self.assertEqual(remote.finish(), EXIT_PROTOCOL)

    def test_fds_within_the_payload(self):
        """fds that come in the middle of a message that takes none are seen and closed."""
        data = message(Cmd.BAR_WRITE, bar(0, 0, 4))
        with Ram(4096) as ram:
            def send(peer, at):
                peer.send_raw(data[:at])
                peer.send_raw(data[at:], [ram.fd])
            self.fill((f"at {at}", lambda peer, at=at: send(peer, at)) for at in (1, 8, 16, 20, 39))

    def test_padding_is_ignored(self):
        """Bytes 4..7 of a header are padding: QEMU does not clear them."""
        data = bytearray(sample(Cmd.PCI_CFGREAD))
        data[4:8] = b"\xff" * 4
        with Remote.edu() as remote:
            remote.peer.send_raw(bytes(data))
            self.assertEqual(remote.peer.ret(), 0x1234)
            self.assertEqual(remote.finish(), 0)


class FdFlood(HostileTest):
    """More fds than the process has room for: what the kernel could not hand over is seen."""

    def leave_room(self, remote, count):
        """Slots are taken from 0 on without a gap: what is received stands behind the last."""
        before = remote.device_fds()
        self.assertEqual(len(before), max(before) + 1)
        limit = len(before) + count
        resource.prlimit(remote.device_pid(), resource.RLIMIT_NOFILE, (limit, limit))
        return before

    @wire.not_wrapped("valgrind has fds of its own in the process")
    def test_few_free_slots(self):
        """With room for 0..7 fds a message with 8 ends its session, and none of them stays."""
        page = 4096
        with Ram(8 * page) as ram:
            table = [Region(i * page, page, i * page, ram.fd) for i in range(8)]
            for room in range(8):
                with self.subTest(room=room), \
                        Remote.start(["edu,id=bad0", "edu,id=witness"]) as remote:
                    self.assertEqual(remote.peers[1].cfg_read(0, 2), 0x1234)
                    before = self.leave_room(remote, room)
                    remote.peers[0].sync_sysmem(table)
                    self.assertTrue(remote.peers[0].ended())
                    self.assertEqual(remote.peers[1].cfg_read(0, 2), 0x1234)
                    self.assertEqual(remote.device_fds(), before)
                    self.assertEqual(remote.finish(), EXIT_PROTOCOL)
                    self.assertRegex(remote.log(), f"bad0: .*SYNC_SYSMEM .*{room} arrived")

    @wire.not_wrapped("valgrind has fds of its own in the process")
    def test_room_for_all(self):
        """The limit that is just enough."""
        page = 4096
        with Ram(8 * page) as ram, Remote.edu() as remote:
            remote.peer.cfg_read(0, 2)
            self.leave_room(remote, 8)
            remote.peer.sync_sysmem([Region(i * page, page, i * page, ram.fd) for i in range(8)])
            self.assertEqual(remote.peer.cfg_read(0, 2), 0x1234)
            self.assertEqual(remote.finish(), 0, remote.log())

    def test_queued_behind_the_end(self):
        """Messages with fds that come after the bad one: dropped, and the VM's RAM with them."""
        with Remote.start(["edu,id=bad0", "edu,id=witness"]) as remote:
            remote.peers[1].cfg_read(0, 2)
            before = remote.device_fds()
            reader, writer = os.pipe()
            try:
                for _ in range(20):
                    remote.peers[0].send_raw(message(99) + bytes(100), [writer] * 8)
            except Closed:
                pass
            os.close(writer)
            self.assertEqual(os.read(reader, 1), b"")   # nobody holds the other end any more
            os.close(reader)
            self.assertEqual(remote.peers[1].cfg_read(0, 2), 0x1234)
            self.assertEqual(remote.device_fds(), before)
            self.assertEqual(remote.finish(), EXIT_PROTOCOL)


class QemuBugs(wire.unittest.TestCase):
    """What takes QEMU's own remote away from its guest (docs/upstream-bugs.md, 1 to 5): answered,
    or the end of that session alone."""

    def run_one(self, send, answer=None):
        """@answer None: the session ends."""
        with Remote.start(["lsi53c895a,id=bad", "edu,id=witness"]) as remote:
            peer, witness = remote.peers
            send(peer)
            if answer is None:
                self.assertTrue(peer.ended())
            else:
                self.assertEqual(peer.ret(), answer)
                self.assertEqual(peer.cfg_read(0, 2), 0x1000)
            self.assertEqual(witness.cfg_read(0, 2), 0x1234)
            self.assertEqual(remote.finish(), 0 if answer is not None else EXIT_PROTOCOL)

    def test_config_read_of_the_last_bytes(self):
        for addr in (0xfd, 0xfe, 0xff):
            self.run_one(lambda peer, a=addr: peer.send(Cmd.PCI_CFGREAD, cfg(a, 0, 1)), 0)

    def test_config_read_with_an_fd(self):
        with Ram(4096) as ram:
            self.run_one(lambda peer: peer.send(Cmd.PCI_CFGREAD, cfg(0, 0, 4), [ram.fd]))

    def test_bar_read_of_an_address_without_a_device(self):
        self.run_one(lambda peer: peer.send(Cmd.BAR_READ, bar(0xdead0000, 0, 4)), ALL_ONES)

    def test_config_read_of_8_bytes(self):
        self.run_one(lambda peer: peer.send(Cmd.PCI_CFGREAD, cfg(0, 0, 8)), ALL_ONES)

    def test_config_read_of_minus_1_byte(self):
        self.run_one(lambda peer: peer.send(Cmd.PCI_CFGREAD, cfg(0, 0, -1)), ALL_ONES)

    def test_memory_table_of_8(self):
        with Ram(8 * 4096) as ram:
            def send(peer):
                peer.sync_sysmem([Region(i << 16, 4096, i * 4096, ram.fd) for i in range(8)])
                peer.send(Cmd.PCI_CFGREAD, cfg(0, 0, 2))
            self.run_one(send, 0x1000)

    def test_memory_longer_than_its_file(self):
        with Ram(4096) as ram:
            self.run_one(lambda peer: peer.sync_sysmem([Region(0, 8192, 0, ram.fd)]))


class Flood(wire.unittest.TestCase):
    """A guest or peer that misbehaves as fast as it can fills no log: a line a second a device."""

    def lines(self, remote, begun, most_of_each):
        """Checks that there are no more lines than seconds; returns them."""
        seconds = int(time.monotonic() - begun) + 1
        lines = remote.log().splitlines()
        self.assertLessEqual(len(lines), most_of_each * (seconds + 1), lines[-5:])
        return lines

    def test_accesses_that_nobody_answers(self):
        """These are no line at all."""
        with Remote.start(["lsi53c895a,id=l0"]) as remote:
            for i in range(wire.thin(3000, 100)):
                remote.peer.bar_write(0xdead0000 + i, i, 4, i % 2)
                remote.peer.cfg_write(i, i, i % 7)
            self.assertEqual(remote.finish(), 0)
            self.assertEqual(remote.log(), "")

    def test_scripts_that_fault(self):
        """An illegal instruction, and one that is nowhere, thousands of times."""
        with Ram(1 << 20) as ram, Remote.start(["lsi53c895a,id=l0"]) as remote:
            remote.peer.sync_sysmem([ram.region()])
            chip = lsi.Lsi(remote.peer, ram)
            ram.map[0x1000:0x1008] = b"\xff" * 8
            begun = time.monotonic()
            for i in range(wire.thin(2000, 50)):
                chip.write(lsi.DSP, 0x1000 if i % 2 else 0xf0000000, 4)
                chip.finish()
            self.assertEqual(remote.finish(), 0)
            lines = self.lines(remote, begun, 1)
            self.assertTrue(lines)
            for line in lines:
                self.assertRegex(line, r"l0: guest: .* \(\d+ so far\)")


class HostileMemory(HostileTest):
    """SYNC_SYSMEM with tables that cannot be."""

    def table(self, label, *regions):
        return label, lambda peer: peer.sync_sysmem(regions)

    def test_ranges(self):
        page, size = 4096, 1 << 20
        with Ram(size) as ram:
            fd = ram.fd
            self.fill([
                self.table("size 0", Region(0, 0, 0, fd)),
                self.table("size not whole pages", Region(0, 4095, 0, fd)),
                self.table("size 1", Region(0, 1, 0, fd)),
                self.table("gpa not on a page", Region(1, page, 0, fd)),
                self.table("offset not on a page", Region(0, page, 1, fd)),
                self.table("offset past the file", Region(0, page, size, fd)),
                self.table("end past the file", Region(0, page * 2, size - page, fd)),
                self.table("negative offset", Region(0, page, -page, fd)),
                self.table("smallest offset", Region(0, page, 1 << 63, fd)),
                self.table("offset and size wrap", Region(0, 2 * page, ALL_ONES - page + 1, fd)),
                self.table("gpa and size wrap", Region(ALL_ONES - page + 1, 2 * page, 0, fd)),
                self.table("size of everything", Region(0, ALL_ONES - page + 1, 0, fd)),
                self.table("size 2^63", Region(0, 1 << 63, 0, fd)),
                self.table("the same twice", Region(0, size, 0, fd), Region(0, size, 0, fd)),
                self.table("overlap by a page", Region(0, size, 0, fd),
                           Region(size - page, page, 0, fd)),
                self.table("one inside another", Region(page, page, 0, fd),
                           Region(0, size, 0, fd)),
                self.table("the last one of 8", *[Region(i * size, size, 0, fd) for i in range(7)],
                           Region(8 * size, size, page, fd)),
            ])

    def test_sparse_giant(self):
        """More bytes than the address range that a device process reserves."""
        with Ram(4096) as ram:
            os.ftruncate(ram.fd, 1 << 62)
            self.fill([self.table("2^62 bytes", Region(0, 1 << 62, 0, ram.fd)),
                       self.table("2^47 bytes", Region(0, 1 << 47, 0, ram.fd))])
            os.ftruncate(ram.fd, 4096)

    def test_file_types(self):
        with Ram(1 << 20) as ram, Event() as event:
            reader, writer = os.pipe()
            ours, theirs = socket.socketpair()
            epoll = select.epoll()
            read_only = os.open(f"/proc/self/fd/{ram.fd}", os.O_RDONLY | os.O_CLOEXEC)
            write_only = os.open(f"/proc/self/fd/{ram.fd}", os.O_WRONLY | os.O_CLOEXEC)
            rows = {"pipe": reader, "socket": ours.fileno(), "eventfd": event.fd,
                    "read-only memfd": read_only, "write-only memfd": write_only,
                    "directory": os.open("/", os.O_RDONLY | os.O_CLOEXEC),
                    "path": os.open("/", os.O_PATH | os.O_CLOEXEC),
                    "null": os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC),
                    "epoll": epoll.fileno()}
            self.fill(self.table(label, Region(0, 1 << 20, 0, fd)) for label, fd in rows.items())
            self.fill(self.table(label + " in second place", ram.region(1 << 24),
                                 Region(0, 1 << 20, 0, fd)) for label, fd in rows.items())
            epoll.close()
            for fd in (reader, writer, read_only, write_only):
                os.close(fd)
            for label in ("directory", "path", "null"):
                os.close(rows[label])
            ours.close()
            theirs.close()

    def test_refused_table_leaves_the_witness(self):
        """The other device of the process goes on with the RAM that it has."""
        with Ram(1 << 20) as ram, Remote.start(["edu,id=bad0", "edu,id=witness"]) as remote:
            witness = remote.peers[1]
            witness.sync_sysmem([ram.region()])
            remote.peers[0].sync_sysmem([ram.region(1)])
            self.assertTrue(remote.peers[0].ended())
            edu = Edu(witness)
            ram.map[0:5] = b"alive"
            edu.load(0, 5)
            edu.store(64, 5)
            self.assertEqual(ram.map[64:69], b"alive")
            self.assertEqual(remote.finish(), EXIT_PROTOCOL)


class HostileInterrupts(HostileTest):
    """SET_IRQFD with what is no eventfd."""

    def test_file_types(self):
        with Ram(4096) as ram, Event() as good:
            reader, writer = os.pipe()
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            folder = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
            rows = {"memfd": ram.fd, "pipe": writer, "null": null, "directory": folder}
            self.fill((f"{label} as irqfd", lambda peer, fd=fd: peer.set_irqfd(fd, good.fd))
                      for label, fd in rows.items())
            self.fill((f"{label} as resamplefd", lambda peer, fd=fd: peer.set_irqfd(good.fd, fd))
                      for label, fd in rows.items())
            for fd in (reader, writer, null, folder):
                os.close(fd)


if __name__ == "__main__":
    wire.tap.main()
