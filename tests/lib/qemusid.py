# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU of Debian sid, unpacked beside Debian 12: the newest stock QEMU, which has vfio-user-pci.

It needs libraries newer than the host's, and so runs by the dynamic loader that came with it.  No
chroot, thus no rights: sockets, images and /dev/kvm are where the caller sees them.  What is
unpacked stays in the cache, or in the folder MPQEMU_SID; the first use makes it, in half a minute.
"""
import contextlib
import fcntl
import functools
import os
import pathlib
import shutil
import subprocess
import tempfile

import guestimage

PACKAGE = "qemu-system-x86"
OPTIONS = ("--variant=extract", f"--include={PACKAGE}",     # unpacked only: nothing is set up
           "--aptopt=Acquire::Check-Valid-Until \"false\"",
           "--aptopt=APT::Install-Recommends \"false\"")
PATIENCE = 600      # seconds: only guards against a mirror that hangs

# -L: where the firmware is; QEMU looks through all of them.
PROGRAM = """#!/bin/sh
# QEMU of Debian sid, by its own loader and libraries.
usr=${0%/*}/usr
export QEMU_MODULE_DIR="$usr/lib/x86_64-linux-gnu/qemu"
exec "$usr/lib64/ld-linux-x86-64.so.2" --library-path "$usr/lib/x86_64-linux-gnu" \\
	"$usr/bin/qemu-system-x86_64" -L "$usr/share/qemu" -L "$usr/share/seabios" "$@"
"""


def folder():
    given = os.environ.get("MPQEMU_SID")
    return pathlib.Path(given).absolute() if given else guestimage.cache_dir() / "sid"


@contextlib.contextmanager
def _locked(root):
    """Two test runs on one machine do not both make it."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with open(root.parent / f"{root.name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(root):
    """Unpacks into a folder beside @root, which then takes its name: it is whole or not there."""
    tool = guestimage.program("mmdebstrap")
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f"{root.name}-") as work:
        part = pathlib.Path(work) / "root"
        try:
            done = subprocess.run([tool, "--quiet", *OPTIONS, "sid", part], text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise guestimage.Missing(f"mmdebstrap hung for {PATIENCE} s") from None
        if done.returncode:
            said = [line for line in done.stdout.splitlines() if line.startswith("E: ")]
            reason = "; ".join(said or [done.stdout[-300:]])
            raise guestimage.Missing(f"mmdebstrap failed: {reason}")
        program = part / "qemu-system-x86_64"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        _version(program)
        part.rename(root)


def _version(program):
    done = subprocess.run([program, "--version"], capture_output=True, text=True)
    if done.returncode:
        raise guestimage.Missing(f"QEMU of Debian sid does not run: {done.stderr.strip()}")
    return done.stdout.split("\n")[0]


@functools.cache
def program():
    """The path of a program that is this QEMU; Missing says why there is none."""
    root = folder()
    try:
        with _locked(root):
            if not root.exists():
                _make(root)
    except (guestimage.Missing, OSError) as error:
        raise guestimage.Missing(f"no QEMU of Debian sid: {error}") from None
    return str(root / "qemu-system-x86_64")


def version():
    return _version(program())


def remove():
    """The next use makes it anew, from what sid has then."""
    root = folder()
    with _locked(root):
        shutil.rmtree(root, ignore_errors=True)
