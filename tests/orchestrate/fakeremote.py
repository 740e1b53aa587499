#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A remote that answers the first config read and then misbehaves: fakeremote.py HOW -device ..."""
import os
import signal
import socket
import struct
import sys
import time


def answer(peer, value):
    header = peer.recv(16, socket.MSG_WAITALL)
    command, size = struct.unpack("=i4xQ", header)
    assert command == 3, command            # PCI_CFGREAD
    peer.recv(size, socket.MSG_WAITALL)
    peer.sendall(struct.pack("=i4xQQ", 1, 8, value))        # RET


def reset(peer):
    header = peer.recv(16, socket.MSG_WAITALL)
    assert struct.unpack("=i4xQ", header) == (7, 0), header     # DEVICE_RESET
    peer.sendall(struct.pack("=i4xQQ", 1, 8, 0))


def main():
    how = sys.argv[1]
    objects = [a for a in sys.argv if a.startswith("x-remote-object")]
    fd = int(objects[0].rpartition("fd=")[2].rstrip(","))
    peer = socket.socket(fileno=fd)
    if how == "silent":
        time.sleep(600)
    elif how == "closes":
        peer.close()
        time.sleep(600)
    elif how == "babbles":
        peer.sendall(b"\xff" * 64)
        time.sleep(600)
    elif how == "absent":
        answer(peer, 0xffffffff)
    elif how == "stays":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        answer(peer, 0x00121000)
        time.sleep(600)
    elif how == "unreset":                  # one that does not answer DEVICE_RESET
        answer(peer, 0x00121000)
        time.sleep(600)
    elif how == "dies":                     # when its death is asked for
        answer(peer, 0x00121000)
        reset(peer)
        while not os.path.exists(os.environ["FAKE_REMOTE_OUT"]):
            time.sleep(0.01)
        os._exit(9)
    elif how == "fails":                    # when its peer goes
        answer(peer, 0x00121000)
        peer.recv(1)
        os._exit(9)
    elif how == "fds":
        answer(peer, 0x00121000)
        with open(os.environ["FAKE_REMOTE_OUT"], "w") as file:
            for name in sorted(os.listdir("/proc/self/fd"), key=int):
                if os.path.exists(f"/proc/self/fd/{name}"):
                    target = os.readlink(f"/proc/self/fd/{name}").split(":")[0]
                    if int(name) != file.fileno():
                        file.write(f"{name} {target}\n")
            file.write(f"pgrp={os.getpgrp() == os.getpid()}\n")
        peer.recv(1)


main()
