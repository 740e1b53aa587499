#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A vfio-user server on an inherited socket that answers as badly as it is told: fakevfio.py HOW"""
import os
import signal
import socket
import struct
import sys
import time

VERSION, REGION_READ = 1, 9


def take(peer, command):
    number, sent, size, _, _ = struct.unpack("<HHIII", peer.recv(16, socket.MSG_WAITALL))
    assert sent == command, sent
    peer.recv(size - 16, socket.MSG_WAITALL)
    return number


def reply(peer, number, command, payload, flags=1, error=0):
    peer.sendall(struct.pack("<HHIII", number, command, 16 + len(payload), flags, error) + payload)


def ids(peer, value):
    reply(peer, take(peer, VERSION), VERSION, struct.pack("<HH", 0, 0))
    number = take(peer, REGION_READ)
    reply(peer, number, REGION_READ, struct.pack("<QIII", 0, 7, 4, value))


def session(peer, how):
    if how == "closes":
        return
    if how == "babbles":
        peer.sendall(b"\xff" * 64)
    elif how == "error":
        reply(peer, take(peer, VERSION), VERSION, b"", 0x21, 22)
    elif how == "empty":
        reply(peer, take(peer, VERSION), VERSION, b"")
    elif how == "other":
        reply(peer, take(peer, VERSION), REGION_READ, bytes(20))
    elif how == "commands":
        reply(peer, take(peer, VERSION), VERSION, bytes(4), 0)
    elif how == "short":
        reply(peer, take(peer, VERSION), VERSION, struct.pack("<HH", 0, 0))
        reply(peer, take(peer, REGION_READ), REGION_READ, struct.pack("<QII", 0, 7, 0))
    elif how == "absent":
        ids(peer, 0xffffffff)
    else:
        ids(peer, 0x00121000)
        peer.recv(1)
        return
    time.sleep(600)


def main():
    how = sys.argv[1]
    server = [a for a in sys.argv if a.startswith("x-vfio-user-server")][0]
    fd = int(dict(part.split("=") for part in server.split(",")[1:])["str"])
    listener = socket.socket(fileno=fd)
    if how == "silent":
        time.sleep(600)
    if how == "stays":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if how == "fds":
        with open(os.environ["FAKE_REMOTE_OUT"], "w", encoding="ascii") as file:
            for name in sorted(os.listdir("/proc/self/fd"), key=int):
                if os.path.exists(f"/proc/self/fd/{name}") and int(name) != file.fileno():
                    file.write(f"{name} {os.readlink(f'/proc/self/fd/{name}').split(':')[0]}\n")
    while True:
        peer = listener.accept()[0]
        session(peer, how)
        peer.close()


main()
