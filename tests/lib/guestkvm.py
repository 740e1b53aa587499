# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether KVM can run firmware here: under some hypervisors /dev/kvm opens and runs nothing."""
import functools
import os
import subprocess
import time

import qemu


@functools.cache
def unusable():
    """None when SeaBIOS starts under KVM, else the reason for a skip."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    argv = [qemu.QEMU, "-nodefaults", "-display", "none", "-vga", "none", "-accel", "kvm",
            "-m", "32M", "-chardev", "stdio,id=log", "-device",
            "isa-debugcon,iobase=0x402,chardev=log"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        os.set_blocking(process.stdout.fileno(), False)
        said, end = b"", time.monotonic() + 20
        while b"SeaBIOS (version" not in said and time.monotonic() < end:
            ended = process.poll() is not None
            said += process.stdout.read() or b""
            if ended:
                break
            time.sleep(0.05)
        process.kill()
    if b"SeaBIOS (version" in said:
        return None
    words = said.decode(errors="replace").strip().splitlines()
    return "KVM runs no firmware here: " + (words[-1] if words else "no output in 20 s")
