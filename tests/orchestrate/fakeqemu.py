#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers mpqemu-orchestrate's questions as QEMU does, then does what FAKE_QEMU says.

FAKE_VERSION is the version, FAKE_QEMU one of the functions below, FAKE_OUT a file for what it saw.
With FAKE_VFIO it has vfio-user-pci.  Called cloud-hypervisor it is asked nothing.
"""
import json
import os
import signal
import socket
import stat
import struct
import sys
import time

VERSION = os.environ.get("FAKE_VERSION", "7.2.0")


def fds():
    """Which fds it has, beside the one that lists them."""
    result = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            result[int(name)] = os.readlink(f"/proc/self/fd/{name}").split(":")[0]
        except FileNotFoundError:
            pass
    return "".join(f"{fd} {what}\n" for fd, what in sorted(result.items()))


def siblings():
    """The remotes: other children of our parent that are alive."""
    parent = os.getppid()
    alive = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and int(name) != os.getpid() and fields[0] != "Z":
            alive.append(int(name))
    return alive


def write_out(text):
    with open(os.environ["FAKE_OUT"] + ".new", "w") as file:
        file.write(text)
    os.rename(os.environ["FAKE_OUT"] + ".new", os.environ["FAKE_OUT"])


def do_fds():
    write_out(fds())


def do_exit7():
    sys.exit(7)


def do_segv():
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def do_signals():
    """Says which signal came, and whether the remotes still lived then."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    # A handler of Python's would not run when its signal came just before a sleep.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    write_out("ready\n")
    print("ready", flush=True)
    signum = signal.sigwait(signals)
    write_out(f"{signum.name} remotes={len(siblings())}\n")
    os._exit(0)


def do_sleepy():
    """Ends at the second SIGTERM: QEMU 7.2, told to end while a QMP command is in flight."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    print("ready", flush=True)
    for _ in range(2):
        signal.sigwait({signal.SIGTERM})
    write_out("second SIGTERM\n")
    os._exit(0)


def do_deaf():
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    print("ready", flush=True)
    time.sleep(600)


def sockets():
    """The paths that its vfio-user devices connect to: QEMU's, Cloud Hypervisor's."""
    found = [json.loads(arg)["socket"]["path"] for arg in sys.argv if "vfio-user-pci" in arg]
    return found + [arg.partition("=")[2] for arg in sys.argv if arg.startswith("socket=")]


def vfu(peer, command, payload):
    """The reply's payload."""
    peer.sendall(struct.pack("<HHIII", 7, command, 16 + len(payload), 0, 0) + payload)
    _, answered, size, flags, error = struct.unpack("<HHIII", peer.recv(16, socket.MSG_WAITALL))
    assert answered == command and flags == 1, (command, answered, flags, error)
    return peer.recv(size - 16, socket.MSG_WAITALL)


def connect(path):
    """A session, with what the device is: its ids, the size of its ROM."""
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)
    vfu(peer, 1, struct.pack("<HH", 0, 0) + b'{"capabilities":{"max_msg_fds":16}}\0')
    ids = vfu(peer, 9, struct.pack("<QII", 0, 7, 4))[16:]
    rom = vfu(peer, 5, struct.pack("<IIIIQQ", 32, 0, 6, 0, 0, 0))
    return peer, struct.unpack("<I", ids)[0], struct.unpack("<Q", rom[16:24])[0]


def do_vfio():
    """Each device, one after the other, twice: as device_del and device_add would."""
    lines = []
    for path in sockets() * 2:
        peer, ids, rom = connect(path)
        modes = [stat.S_IMODE(os.stat(p).st_mode) for p in (os.path.dirname(path), path)]
        lines.append(f"{os.path.basename(path)} {ids:08x} rom={rom} {modes[0]:o} {modes[1]:o}\n")
        peer.close()
    write_out("".join(lines))


def do_vfio_wait():
    peers = [connect(path)[0] for path in sockets()]
    print("ready", flush=True)
    sys.stdin.read()
    del peers


def do_vfio_signals():
    peers = [connect(path)[0] for path in sockets()]
    do_signals()
    del peers


def do_argv():
    write_out("\n".join(sys.argv[1:]) + "\n")


def do_wait():
    print("ready", flush=True)
    sys.stdin.read()


def monitor():
    """The socket of the monitor that mpqemu-orchestrate watches."""
    text = next(arg for arg in sys.argv if arg.startswith("socket,id=mpqemu-qmp,"))
    return socket.socket(fileno=int(text.rpartition("fd=")[2]))


def do_babble():
    """A QEMU that was taken over, at its monitor."""
    sock = monitor()
    sock.sendall(b'{"QMP": ' + b"[" * 100000)
    do_signals()


def do_liar():
    """Greets, then answers what nobody has asked."""
    sock = monitor()
    sock.sendall(b'{"QMP": {"version": {"qemu": {"major": "x"}}, "capabilities": []}}\r\n'
                 b'{"return": {}, "id": 77}\r\n{"event": "STOP"}\r\n{"event": 7}\r\n')
    do_signals()


def do_refuses():
    """Greets, and refuses all but query-status."""
    file = monitor().makefile("rwb", 0)
    file.write(b'{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}, '
               b'"capabilities": []}}\r\n')
    print("ready", flush=True)
    while line := file.readline():
        command = json.loads(line)
        answer = {"id": command["id"], "return": {"status": "running", "running": True}}
        if command["execute"] not in ("qmp_capabilities", "query-status"):
            answer = {"id": command["id"], "error": {"class": "GenericError", "desc": "no"}}
        file.write(json.dumps(answer).encode() + b"\r\n")


if __name__ == "__main__":
    if os.path.basename(sys.argv[0]) == "cloud-hypervisor" and "--version" in sys.argv:
        print("cloud-hypervisor v48.0")
    elif sys.argv[1:] == ["-version"]:
        print(f"QEMU emulator version {VERSION} (fake)")
    elif sys.argv[1:] == ["-device", "x-pci-proxy-dev,help"]:
        if os.environ.get("FAKE_NO_PROXY"):
            sys.exit("Device 'x-pci-proxy-dev' not found")
        print("x-pci-proxy-dev options:\n  fd=<str>")
    elif sys.argv[1:] == ["-device", "e1000,help"]:
        print("e1000 options:\n  mac=<str>              - MAC\n  netdev=<str>\n  addr=<int32>")
    elif sys.argv[1:] == ["-device", "vfio-user-pci,help"]:
        if not os.environ.get("FAKE_VFIO"):
            print("Device 'vfio-user-pci' not found", file=sys.stderr)
            sys.exit(0)         # as QEMU 7.2 does
        print("vfio-user-pci options:\n  socket=<SocketAddress> - SocketAddress")
    else:
        globals()["do_" + os.environ["FAKE_QEMU"]]()
