# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the storage monitor, and remotes that have one."""
import json
import pathlib
import socket
import struct
import tempfile

import wire
import lsi
import mpq
from mpq import EXIT_CLEAN, Remote, wait_for

TIMEOUT = 20            # seconds: only guards against hangs
GENERIC = "GenericError"
SIZE = 1 << 20          # bytes of a disk
BUFFER = 0x20000        # in guest RAM
CHECK = 2               # CHECK CONDITION


class Client:
    """A client that says bytes and hears lines."""

    def __init__(self, path=None, sock=None):
        if not sock:
            sock = socket.socket(socket.AF_UNIX)
            wait_for(lambda: sock.connect_ex(str(path)) == 0, "the monitor's socket")
        sock.settimeout(TIMEOUT)
        self.sock, self.file, self.events = sock, sock.makefile("rb"), []
        self.greeting = None

    def negotiate(self):
        self.greeting = self.hear()
        self.ask("qmp_capabilities")
        return self

    def say(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def hear(self):
        """The next object, or None at the end."""
        try:
            line = self.file.readline()
        except ConnectionResetError:
            return None
        return json.loads(line) if line else None

    def call(self, command, exact=None, **arguments):
        """The whole answer; events before it are kept.  "_" is "-", but in @exact."""
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        arguments.update(exact or {})
        message = {"execute": command, "id": command}
        if arguments:
            message["arguments"] = arguments
        self.say(json.dumps(message).encode() + b"\n")
        while "event" in (answer := self.hear()):
            self.events.append(answer)
        assert answer.pop("id") == command, answer
        return answer

    def ask(self, command, exact=None, **arguments):
        answer = self.call(command, exact, **arguments)
        assert "return" in answer, (command, answer)
        return answer["return"]

    def refused(self, command, exact=None, **arguments):
        error = self.call(command, exact, **arguments)["error"]
        return error["class"], error["desc"]

    def event(self, name):
        while True:
            event = self.events.pop(0) if self.events else self.hear()
            if event is None or event["event"] == name:
                return event

    def close(self):
        self.file.close()
        self.sock.close()


class Case(wire.unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.path = self.folder / "qmp"

    def edu(self, extra=(), **kwargs):
        remote = Remote.edu(["-qmp", f"unix:{self.path},server=on,wait=off", *extra], **kwargs)
        self.enterContext(remote)
        return remote

    def client(self):
        client = Client(self.path)
        self.addCleanup(client.close)
        return client

    def negotiated(self):
        return self.client().negotiate()


class DiskCase(Case):
    """A controller with a raw disk."""

    ends = EXIT_CLEAN

    def start(self, extra=(), size=SIZE, **kwargs):
        self.image = self.folder / "raw"
        with open(self.image, "wb") as file:
            file.truncate(size)
        disks = ["-drive", f"id=d0,if=none,file={self.image},format=raw", "-device",
                 "scsi-hd,drive=d0,id=hd0,scsi-id=0"]
        remote = Remote.start(["lsi53c895a,id=l"], disks + [
            "-qmp", f"unix:{self.path},server=on,wait=off", *extra], **kwargs)
        self.enterContext(remote)
        self.addCleanup(lambda: self.assertEqual(remote.finish(), self.ends, remote.log()))
        ram = self.enterContext(mpq.Ram(1 << 20))
        remote.peer.sync_sysmem([ram.region()])
        self.remote, self.ram, self.chip = remote, ram, lsi.Lsi(remote.peer, ram)
        self.chip.ready()
        return self.negotiated()

    def do(self, cdb, size=0, **kwargs):
        """Of a command that has to go well: its data."""
        self.assertEqual(self.chip.run(cdb, BUFFER, size, **kwargs), ("done", 0))
        return bytes(self.ram.map[BUFFER:BUFFER + size])

    def capacity(self, target=0):
        """Of the whole disk, in bytes, as READ CAPACITY(10) has it."""
        last, block = struct.unpack(">II", self.do(b"\x25" + bytes(9), 8, target=target))
        return (last + 1) * block

    def attention(self, target=0):
        """The ASC and ASCQ of the unit attention that is there."""
        self.assertEqual(self.chip.run(lsi.test_unit_ready(), target=target), ("done", CHECK))
        sense = self.do(lsi.request_sense(), 18, target=target)
        return sense[2] & 0x0f, sense[12], sense[13]
