#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers mpqemu-orchestrate's questions as QEMU does, then does what FAKE_QEMU says.

FAKE_VERSION is the version, FAKE_QEMU one of the functions below, FAKE_OUT a file for what it saw.
"""
import os
import signal
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
    def handler(signum, _frame):
        write_out(f"{signal.Signals(signum).name} remotes={len(siblings())}\n")
        os._exit(0)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, handler)
    print("ready", flush=True)
    time.sleep(600)


def do_deaf():
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    print("ready", flush=True)
    time.sleep(600)


def do_wait():
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1:] == ["-version"]:
        print(f"QEMU emulator version {VERSION} (fake)")
    elif sys.argv[1:] == ["-device", "x-pci-proxy-dev,help"]:
        if os.environ.get("FAKE_NO_PROXY"):
            sys.exit("Device 'x-pci-proxy-dev' not found")
        print("x-pci-proxy-dev options:\n  fd=<str>")
    else:
        globals()["do_" + os.environ["FAKE_QEMU"]]()
