# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's monitor protocol, from a test."""
import json
import socket

PATIENCE = 120          # seconds: only guards against hangs


class Qmp:
    """A monitor, or a socket on which events come: one JSON object a line."""

    def __init__(self, sock):
        sock.settimeout(PATIENCE)
        self.file = sock.makefile("rwb")
        self.events = []
        self.sock = sock

    @classmethod
    def connect(cls, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(path))
        monitor = cls(sock)
        monitor.line()
        monitor.ask("qmp_capabilities")
        return monitor

    def line(self):
        line = self.file.readline()
        if not line:
            raise EOFError
        return json.loads(line)

    def ask(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self.file.flush()
        while "event" in (answer := self.line()):
            self.events.append(answer)
        if "error" in answer:
            raise AssertionError(f"{command}: {answer['error']}")
        return answer["return"]

    def event(self, name):
        """The next event of that name."""
        while True:
            event = self.events.pop(0) if self.events else self.line()
            if event.get("event") == name:
                return event

    def ask_with(self, fd, command, **arguments):
        """The same, with a fd; the answer as it comes, an error too."""
        line = json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
        socket.send_fds(self.sock, [line], [fd])
        while "event" in (answer := self.line()):
            self.events.append(answer)
        return answer

    def close(self):
        self.file.close()
        self.sock.close()
