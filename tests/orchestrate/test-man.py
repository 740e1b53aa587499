#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples of the manual pages: each literal block is run, in a folder that has what it needs.

A block is the commands that a reader types.  Where lines begin with "$ " the others are what is
printed.  What has to be different here stands in a row of ROWS; an example without a row runs as it
stands.  A row that no example fits, and a change that changes nothing, fail.
"""
import collections
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/lib")]
import mpq      # noqa: E402
import tap      # noqa: E402

MAN = ROOT / "man"
MIB = 1 << 20

# page, begins: which example
# changes: [(what stands there, what is run)]; @HERE@ is the folder
# before, after: shell text around it; stdin: what is typed then
# said: a pattern of the output
# fd: the number at which a VMM's socket is given; serves: the socket of a server, which is asked
# and ended; needs: programs; reason: why it cannot be run
Row = collections.namedtuple("Row", "page begins changes before after stdin said fd serves needs "
                             "reason", defaults=((), "", "", "", "", None, None, (), None))

QUIET = "-accel tcg -S -nodefaults -display none -monitor stdio"
QEMU = "qemu-system-x86_64"
DISK = ("-device lsi53c895a,id=lsi0 -drive id=d0,file=disk.raw,format=raw,if=none "
        "-device scsi-hd,drive=d0,bus=lsi0.0")
RECORDED = (f"{QEMU} {QUIET} -object memory-backend-memfd,id=mem,size=64M "
            "-device x-pci-proxy-dev,id=lsi0,fd=3")

ROWS = [
    Row("mpqemu-orchestrate.1", "mpqemu-orchestrate -- qemu", [("-accel kvm", QUIET)],
        stdin="quit\n", said=r"scsi0 .* is served by process", needs=[QEMU]),
    Row("mpqemu-orchestrate.1", "mpqemu-orchestrate --device", said=r"1000:0012",
        before="mkdir bin; PATH=$PWD/bin:$PATH; cp vmm bin/cloud-hypervisor"),
    Row("mpqemu-orchestrate.1", "mpqemu-orchestrate --remote-program",
        [("qemu-system-x86_64 ...", f"{QEMU} {QUIET} {DISK}")], stdin="quit\n",
        said=r"lsi0 .* is served by process", needs=[QEMU]),
    Row("mpqemu-orchestrate.1", "mpqemu-orchestrate attach", [("disk.qcow2", "ol7.qcow2")],
        before="export MPQEMU_RUNTIME_DIR=run\ntrap 'kill $!; wait' EXIT\n"
        f"{QEMU} -accel tcg -S -nodefaults -display none -machine pc,memory-backend=m -object "
        "memory-backend-memfd,id=m,size=64M,share=on -qmp unix:qmp.sock,server=on,wait=off &\n"
        "until [ -S qmp.sock ]; do sleep 0.1; done; sleep 0.2", said=r"hp0 .* is attached",
        needs=[QEMU, "qemu-img", "qemu-storage-daemon"]),
    Row("mpqemu-proxy.1", "mpqemu-proxy info -- mpqemu-remote", said=r"1234:11e8"),
    Row("mpqemu-proxy.1", "mpqemu-proxy info -- qemu", said=r"1000:0012", needs=[QEMU]),
    Row("mpqemu-proxy.1", "$ mpqemu-proxy write 0:8=5", [("/run/e0", "e0")]),
    Row("mpqemu-proxy.1", "mpqemu-proxy read DSP", said=r"(?m)^DSP.*=0x00000000$"),
    Row("mpqemu-proxy.1", "$ mpqemu-proxy disk export",
        [("/tmp/nbd", "@HERE@/nbd"),
         ("$ nbdcopy", "$ until [ -S nbd ]; do sleep 0.1; done; nbdcopy")],
        after="kill $!; wait $!; cmp disk.img copy.img", needs=["nbdkit", "nbdcopy"]),
    Row("mpqemu-proxy.1", "mpqemu-proxy info --socket", [("/run/e0", "e0")],
        before="mpqemu-remote -machine x-remote,vfio-user=on,auto-shutdown=off -device edu,id=e0 "
               "-object x-vfio-user-server,id=v0,device=e0,type=unix,path=e0 &\n"
               "until [ -S e0 ]; do sleep 0.1; done", after="kill $!; wait $!",
        said=r"(?m)^0x4:2=0x0006$"),
    Row("mpqemu-proxy.1", "mpqemu-orchestrate --remote-command",
        [("-device lsi53c895a,id=lsi0 ...", DISK), ("qemu-system-x86_64 ...", RECORDED)],
        before='ln -s "$(command -v mpqemu-remote)" mpqemu-remote', stdin="quit\n", needs=[QEMU]),
    Row("mpqemu-proxy.1", "mpqemu-proxy bench",
        [("bench cfgread", "bench --runtime 0.2 --ramp_time 0 cfgread")],
        before="cp disk.img copy.img", after="test -s bench.svg", needs=[QEMU]),
    Row("mpqemu-remote.1", "mpqemu-remote -machine x-remote \\\n", [("/images/", "")], fd=4,
        needs=["qemu-img", "qemu-storage-daemon"]),
    Row("mpqemu-remote.1", "mpqemu-remote -machine x-remote,vfio-user=on \\\n",
        [("/images/", ""), ("/run/vm1/", "")], serves="lsi0"),
    Row("mpqemu-remote.1", "mpqemu-remote -machine x-remote,vfio-user=on -device",
        [("mpqemu-remote", 'systemd-socket-activate --fdname=lsi0 --listen="$PWD/lsi0" '
          '"$(command -v mpqemu-remote)"')], serves="lsi0", needs=["systemd-socket-activate"]),
    Row("mpqemu.conf.5", "[vm]", [("accel = kvm", "accel = tcg"), ("/srv/", ""),
                                  ("-serial stdio", "-S -nodefaults -monitor stdio")],
        before="mpqemu-orchestrate check example.conf", after="mpqemu-orchestrate start "
        "example.conf", stdin="quit\n", said=r"scsi0 .* is served by process",
        needs=[QEMU, "qemu-img", "qemu-storage-daemon"]),
    Row("mpqemu.conf.5", "mpqemu-orchestrate import", [("-accel kvm", QUIET)], stdin="quit\n",
        said=r"scsi0 .* is served by process", needs=[QEMU]),
]

# A VMM on the command line of Cloud Hypervisor's: it asks each device who it is.
VMM = """#!/bin/sh
for word; do
	case $word in
	socket=*) mpqemu-proxy info --socket "${word#socket=}" || exit 1 ;;
	esac
done
"""


def examples():
    """[(page, line, text as a reader sees it)]"""
    found = []
    for path in sorted(MAN.glob("*.scd")):
        text = path.read_text(encoding="utf-8")
        for block in re.finditer(r"^```\n(.*?)^```\n", text, re.M | re.S):
            line = text.count("\n", 0, block.start()) + 2
            found.append((path.stem, line, re.sub(r"\\(.)", r"\1", block[1])))
    return found


def row_of(page, text):
    """The row of an example, or one that says nothing."""
    fit = [row for row in ROWS if row.page == page and text.startswith(row.begins)]
    if len(fit) > 1:
        # the longest beginning is meant
        fit.sort(key=lambda row: len(row.begins), reverse=True)
    return fit[0] if fit else Row(page, "")


def change(text, row, folder):
    for old, new in row.changes:
        if old not in text:
            raise AssertionError(f"{row.page}: {row.begins!r}: {old!r} does not stand there")
        text = text.replace(old, new.replace("@HERE@", str(folder)))
    return text


def split(text):
    """(commands, [lines that they print]) of a transcript; all of it is commands elsewhere."""
    if not text.startswith("$ "):
        return text, []
    commands, printed, goes_on = [], [], False
    for line in text.rstrip("\n").split("\n"):
        if goes_on or line.startswith("$ "):
            commands.append(line.removeprefix("$ "))
            goes_on = line.endswith("\\")
        else:
            printed.append(line)
    return "\n".join(commands) + "\n", printed


def asked(row, commands):
    """A server in the background, which is asked who it is, and ended as a service manager does."""
    return (f"{commands.rstrip()} &\nuntil [ -S {row.serves} ]; do sleep 0.1; done\n"
            f"mpqemu-proxy info --socket {row.serves}\nkill $!\nwait $!\n")


class Examples(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(self.enter(tempfile.TemporaryDirectory(prefix="mpq-man-")))
        for name in ("disk.raw", "disk.img", "vm1.raw"):
            (self.folder / name).write_bytes(os.urandom(MIB))
        for name in ("ol7.qcow2", "web1.qcow2"):
            if shutil.which("qemu-img"):
                subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.folder / name,
                                "1M"], check=True)
        (self.folder / "vmlinux").touch()
        vmm = self.folder / "vmm"
        vmm.write_text(VMM, encoding="ascii")
        vmm.chmod(0o755)

    def enter(self, manager):
        value = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return value

    def script(self, row, text):
        commands, printed = split(change(text, row, self.folder))
        if text.startswith("["):
            (self.folder / "example.conf").write_text(commands, encoding="ascii")
            commands = ""
        if row.serves:
            commands = asked(row, commands)
        return "\n".join(part for part in (row.before, commands, row.after) if part), printed

    def talk(self, sock):
        """A VMM for a moment: the LSI chip is there."""
        peer = mpq.Peer(sock)
        self.assertEqual(peer.cfg_read(0, 2), 0x1000)
        peer.close()

    def run_script(self, row, script):
        """(stdout, stdout and stderr)"""
        sock = None
        if row.fd:
            sock, near = socket.socketpair()
            # out of the way of the number that it gets
            theirs = socket.socket(fileno=fcntl.fcntl(near, fcntl.F_DUPFD_CLOEXEC, 50))
            near.close()
            self.addCleanup(theirs.close)
            script = f"exec {row.fd}<&{theirs.fileno()} {theirs.fileno()}<&-\n{script}"
        env = {**os.environ, "LC_ALL": "C.UTF-8",
               "PATH": f"{os.path.dirname(mpq.program('mpqemu'))}:{os.environ['PATH']}"}
        err = self.enter(tempfile.TemporaryFile("w+"))
        with subprocess.Popen(["bash", "-eu", "-c", script], cwd=self.folder, env=env, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
                              start_new_session=True,
                              pass_fds=(theirs.fileno(),) if sock else ()) as proc:
            try:
                if sock:
                    theirs.close()
                    self.talk(sock)
                out = proc.communicate(row.stdin, timeout=mpq.TIMEOUT)[0]
            finally:
                try:
                    os.killpg(proc.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        err.seek(0)
        said = out + err.read()
        self.assertEqual(proc.returncode, 0, f"{script}\n{said}")
        return out, said

    def example(self, page, text):
        row = row_of(page, text)
        if row.reason:
            self.skipTest(row.reason)
        missing = [name for name in row.needs if not shutil.which(name)]
        if missing:
            self.skipTest(f"not installed: {', '.join(missing)}")
        script, printed = self.script(row, text)
        out, said = self.run_script(row, script)
        if printed:
            self.assertEqual([line for line in out.splitlines() if line in printed], printed, said)
        if row.said:
            self.assertRegex(said, row.said)


def add_test(page, line, text):
    def test(self):
        self.example(page, text)
    test.__doc__ = f"{page}, line {line}"
    name = re.sub(r"\W+", "_", " ".join(text.split()[:4])).strip("_")
    setattr(Examples, f"test_{page.replace('.', '_').replace('-', '_')}_{line}_{name}", test)


class Table(unittest.TestCase):
    def test_every_row_is_needed(self):
        used = [row_of(page, text) for page, _, text in ALL]
        self.assertEqual([(row.page, row.begins) for row in ROWS
                          if not any(row is one for one in used)], [])

    def test_pages(self):
        """A page with a section EXAMPLES has one, and no page keeps examples where none are run."""
        for path in MAN.glob("*.scd"):
            text = path.read_text(encoding="utf-8")
            blocks = len(re.findall(r"^```$", text, re.M))
            section = "\n# EXAMPLES\n" in text
            self.assertEqual((blocks > 0, blocks % 2), (section, 0), path.name)


ALL = examples()
for example in ALL:
    add_test(*example)

if __name__ == "__main__":
    tap.main()
