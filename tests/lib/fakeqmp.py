# SPDX-License-Identifier: GPL-2.0-or-later
"""A QMP server that a test writes: what QEMU's monitor would answer, but for what it is told."""
import json
import os
import socket
import threading

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""},
                    "capabilities": []}}

# "pc" with one memfd of RAM, nothing plugged in.
ANSWERS = {
    "qmp_capabilities": {},
    "query-version": GREETING["QMP"]["version"],
    "query-status": {"status": "running", "running": True, "singlestep": False},
    "query-kvm": {"enabled": True, "present": True},
    "query-cpus-fast": [{}],
    "device-list-properties x-pci-proxy-dev": [],
    "query-memdev": [{"id": "m", "share": True, "size": 1 << 27}],
    "query-memory-devices": [],
    "qom-list /objects": [{"name": "m", "type": "child<memory-backend-memfd>"}],
    "qom-get /objects/m hugetlb": False,
    "qom-list /machine": [{"name": "i440fx", "type": "child<i440FX-pcihost>"}],
    "qom-list /machine/i440fx": [{"name": "pci.0", "type": "child<PCI>"}],
    "qom-get /machine/i440fx/pci.0 hotplug-handler": "/machine/unattached/device[18]",
    "qom-list /machine/i440fx/pci.0": [],
    "qom-list /machine/peripheral": [],
    "qom-list /machine/peripheral-anon": [],
    "getfd": {}, "closefd": {}, "device_add": {}, "device_del": {},
}


class Refusal(Exception):
    """The answer is an error of this text."""


class FakeQmp:
    """
    Listens on @path and serves one client after the other.  @answers: of commands, or
    "command path property" of QOM; a function gets the server and the arguments.  .asked has the
    commands, .fds what came with them.
    """

    def __init__(self, test, path, **answers):
        self.answers = {**ANSWERS, **{k.replace("__", " "): v for k, v in answers.items()}}
        self.asked, self.fds, self.client = [], [], None
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen()
        self.path = str(path)
        test.addCleanup(self.close)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self.hang_up()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def hang_up(self):
        """QEMU is gone."""
        if self.client:
            try:
                self.client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def event(self, name, **data):
        self._send({"event": name, "data": data, "timestamp": {"seconds": 0, "microseconds": 0}})

    def _send(self, value):
        self.client.sendall(json.dumps(value).encode() + b"\r\n")

    def _serve(self):
        while True:
            try:
                self.client = self.sock.accept()[0]
                self._send(GREETING)
                self._commands()
            except (OSError, EOFError):
                if self.sock.fileno() < 0:
                    return
            finally:
                if self.client:
                    self.client.close()

    def _commands(self):
        data = b""
        while True:
            more, fds, _, _ = socket.recv_fds(self.client, 65536, 4)
            self.fds += fds
            if not more:
                raise EOFError
            data += more
            while b"}" in data:
                try:
                    text, end = json.JSONDecoder().raw_decode(data.decode())
                except ValueError:
                    break
                data = data[end:].lstrip()
                self._answer(text)

    def _answer(self, text):
        command, args = text["execute"], text.get("arguments", {})
        key = " ".join([command, *(args[k] for k in ("typename", "path", "property")
                                   if k in args)])
        self.asked.append((command, args))
        answer = self.answers.get(key, self.answers.get(command))
        try:
            if callable(answer):
                answer = answer(self, args)
            if answer is None:
                raise Refusal(f"{key}: no such thing")
            self._send({"return": answer, "id": text["id"]})
        except Refusal as refusal:
            self._send({"error": {"class": "GenericError", "desc": str(refusal)},
                        "id": text["id"]})
