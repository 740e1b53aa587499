# SPDX-License-Identifier: GPL-2.0-or-later
"""The supervisor's end of mpqemu-remote --control=, written down from mpqemu-remote(1).

    control = Supervisor()
    with Remote.edu([control.option], pass_fds=[control.theirs]) as remote:
        control.started()
        control.ask(Type.PAUSE)
"""
import socket
import struct
from collections import namedtuple
from enum import IntEnum

import mpq

VERSION = 1


class Type(IntEnum):
    (PAUSE, RESUME, PAUSED, RESUMED, REFUSED, READY, CRASHED, GONE, RESTARTED, RESTART,
     CLIENT_GONE, STORAGE_GONE) = range(12)


class Cause(IntEnum):
    EXIT, SIGNAL, FORBIDDEN = range(3)


Message = namedtuple("Message", "type id arg value")


class Supervisor:
    def __init__(self, kind=socket.SOCK_SEQPACKET):
        self.sock, self.far = socket.socketpair(socket.AF_UNIX, kind)
        self.sock.settimeout(mpq.TIMEOUT)
        self.theirs = self.far.fileno()
        self.option = f"--control=fd={self.theirs}"
        self.last_id = 0

    def started(self):
        """The remote has its end: ours is the only one here.  The device process's pid."""
        self.far.close()
        ready = self.recv()
        if (ready.type, ready.value) != (Type.READY, VERSION):
            raise AssertionError(f"{ready} comes first")
        return ready.arg

    def send(self, kind, ident=None):
        self.last_id += 1
        self.sock.send(struct.pack("<4I", kind, ident or self.last_id, 0, 0))
        return self.last_id

    def recv(self):
        """The next message, or None at the end."""
        data = self.sock.recv(64)
        return Message(Type(data[0]), *struct.unpack("<4I", data)[1:]) if data else None

    def answer(self, kind, ident, value=0):
        got = self.recv()
        if got != (kind, ident, 0, value):
            raise AssertionError(f"{got} instead of {kind.name} {ident} ({value})")

    def pause(self):
        self.answer(Type.PAUSED, self.send(Type.PAUSE))

    def resume(self):
        self.answer(Type.RESUMED, self.send(Type.RESUME))

    def close(self):
        self.sock.close()
        self.far.close()
