#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The static program in the containers of docs/containers.md, with the files that stand there."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE.parent / "sandbox")]
import box      # noqa: E402
import lsi      # noqa: E402
import mpq      # noqa: E402
import tap      # noqa: E402

DOCS = HERE.parents[1] / "docs/containers"
SECCOMP = DOCS / "seccomp.json"
LINE = "mpqemu-remote: sandbox: container; "
# The caller's socket as fd 3 of what follows; this needs no other program in the container.
AT_FD_3 = ("sh", "-c", 'fd=$0; [ $fd = 3 ] || eval "exec 3<&$fd $fd<&-"; exec "$@"')
# crun 1.8 refuses version 2 of cgroups beside version 1.
CRUN = ("unshare", "-m", "sh", "-c",
        'if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi; '
        'exec crun "$@"', "crun")
PODMAN_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")


def config():
    return json.loads((DOCS / "config.json").read_text(encoding="utf-8"))


class Bundle:
    """A place with rootfs/ (the static program alone), disk.img, run/ and config.json."""

    def __init__(self, at):
        self.at = at
        self.name = f"mpqemu-test-{uuid.uuid4()}"
        self.root, self.run = at.path("rootfs"), at.path("run")
        for folder in ("bin", "dev", "proc", "run", "sys", "tmp"):
            os.makedirs(os.path.join(self.root, folder))
        os.mkdir(self.run)
        os.chmod(self.run, 0o777)
        self.disk = at.image()
        self.program = os.path.join(self.root, "bin/mpqemu")
        subprocess.run(["strip", "-o", self.program, mpq.program("mpqemu")], check=True)
        subprocess.run(["chroot", self.root, "/bin/mpqemu", "--install", "-s", "/bin"], check=True)
        for mount in ("disk.img", "run"):
            assert os.path.exists(at.path(mount)), mount
        with open(os.path.join(self.root, "disk.img"), "wb"):
            pass        # what runtimes mount on

    def args(self, channel):
        """The document's command; @channel: what its object has for fd=3."""
        return [arg.replace("fd=3", channel) for arg in config()["process"]["args"]]

    def write_config(self, channel):
        made = config()
        made["process"]["args"] = self.args(channel)
        with open(self.at.path("config.json"), "w", encoding="utf-8") as file:
            json.dump(made, file)


# ---- Runtimes: the command that runs bundle.args(channel) ----

def runc(bundle, channel):
    bundle.write_config(channel)
    return ["runc", "--root", bundle.at.path("state"), "run", "--preserve-fds", "1", "--bundle",
            bundle.at.folder, bundle.name]


def crun(bundle, channel):
    bundle.write_config(channel)
    return [*CRUN, "--root", bundle.at.path("state"), "run", "--preserve-fds=1", "--bundle",
            bundle.at.folder, bundle.name]


def bubblewrap(bundle, channel):
    return ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
            "--ro-bind", bundle.root, "/", "--proc", "/proc", "--dev", "/dev", "--bind",
            bundle.disk, "/disk.img", "--bind", bundle.run, "/run", *bundle.args(channel)]


def podman_own(bundle):
    """podman with its stores at the bundle's place."""
    return ["podman", "--root", bundle.at.path("store"), "--runroot", bundle.at.path("state"),
            "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none",
            "--runtime", "runc"]


def podman_run(bundle):
    return [*podman_own(bundle), "run", *PODMAN_LIMITS, "--rm", "--network", "none",
            "--log-driver", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
            "--security-opt", f"seccomp={SECCOMP}", "--read-only", "--read-only-tmpfs=false",
            "--preserve-fds", "1", "-v", f"{bundle.disk}:/disk.img", "-v", f"{bundle.run}:/run"]


def podman(bundle, channel):
    program, *args = bundle.args(channel)
    return [*podman_run(bundle), "--user", "65534:65534", "--entrypoint", program, "--rootfs",
            bundle.root, *args]


def podman_image(bundle, channel):
    """The image that the Containerfile makes: its user, its program."""
    subprocess.run([*podman_own(bundle), "build", "-q", "--isolation", "chroot", "-t", "mpqemu",
                    "-f", DOCS / "Containerfile", os.path.dirname(bundle.program)], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=mpq.TIMEOUT)
    return [*podman_run(bundle), "localhost/mpqemu", *bundle.args(channel)[1:]]


def nspawn(bundle, channel):
    folder = os.path.join(bundle.root, "usr/lib")
    os.makedirs(folder)
    with open(os.path.join(folder, "os-release"), "w", encoding="ascii") as file:
        file.write("ID=mpqemu\n")
    return ["sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', "sh", "systemd-nspawn", "-q",
            "--register=no", "--keep-unit", "-D", bundle.root, "--as-pid2", "--console=pipe",
            "--private-network", "--system-call-filter=landlock_create_ruleset landlock_add_rule "
            "landlock_restrict_self", "--bind", f"{bundle.disk}:/disk.img", "--bind",
            f"{bundle.run}:/run/mpqemu", *bundle.args(channel)]


# What a runtime says where this host does not let it run at all.
CANNOT = r"(?i)cgroups? in hybrid mode|must be run as root|Operation not permitted.*cgroup"


@box.needs_root
class Runtime:
    """One runtime, over a socket that it inherits and over one in a folder that is mounted."""

    start = None        # the function
    program = None
    folder = "/run"     # where run/ is in the container

    def setUp(self):
        if not shutil.which(self.program):
            self.skipTest(f"{self.program} is not installed")

    def ended(self, remote):
        """It has, before it served."""
        if re.search(CANNOT, remote.said()):
            self.skipTest(f"cannot run here: {remote.said().strip()}")
        self.fail(remote.said())

    def come(self, remote, what):
        """Waits for what() while the runtime is there."""
        def look():
            return what() or remote.proc.poll() is not None and self.ended(remote)
        return mpq.wait_for(look, "the remote's connection")

    def use(self, remote, low):
        """A register, the guest's RAM by an fd, and a disk command that goes all the way."""
        try:
            value = remote.peer.cfg_read(0, 2)
        except mpq.Closed:
            remote.wait()
            self.ended(remote)
        self.assertEqual(value, 0x1000, remote.said())
        remote.peer.sync_sysmem([low.region()])
        chip = lsi.Lsi(remote.peer, low)
        chip.ready()
        mpq.wait_for(lambda: LINE in remote.said(), LINE)
        self.look(remote)

    def look(self, remote):
        pass

    def serve(self, argv, peers):
        with mpq.Remote(argv, peers, tempfile.TemporaryFile()) as remote, mpq.Ram(1 << 20) as low:
            self.use(remote, low)
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.said())

    def test_inherited(self):
        with box.place() as at:
            bundle = Bundle(at)
            ours, theirs = socket.socketpair()
            command = self.start(bundle, "fd=3")
            self.serve([*AT_FD_3, str(theirs.fileno()), *command], [(ours, theirs)])

    def test_mounted(self):
        with box.place() as at, socket.socket(socket.AF_UNIX) as listener:
            bundle = Bundle(at)
            path = os.path.join(bundle.run, "lsi0")
            listener.bind(path)
            os.chmod(path, 0o666)
            listener.listen()
            argv = self.start(bundle, f"path={self.folder}/lsi0")
            self.serve_accepted(argv, listener)

    def serve_accepted(self, argv, listener):
        def accept():
            try:
                return listener.accept()[0]
            except TimeoutError:
                return None
        listener.settimeout(0.1)
        # /dev/null as fd 3, which runtimes are told to keep
        with open("/dev/null", "rb") as null, \
                mpq.Remote([*AT_FD_3, str(null.fileno()), *argv], [], tempfile.TemporaryFile(),
                           pass_fds=[null.fileno()]) as remote, mpq.Ram(1 << 20) as low:
            remote.peers = [mpq.Peer(self.come(remote, accept))]
            self.use(remote, low)
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.said())


class Oci(Runtime):
    """What reads config.json."""

    def look(self, remote):
        """The profile's filter lies below ours, and there was no right from the start."""
        pid = mpq.wait_for(lambda: box.device_below(remote.proc.pid), "the device process")
        for process in (pid, box.keeper_of(pid)):
            status = box.status(process)
            self.assertEqual(status["Uid"].split(), [str(box.NOBODY)] * 4)
            self.assertEqual((status["CapBnd"], status["NoNewPrivs"]), ("0" * 16, "1"))
            mpq.wait_for(lambda p=process: box.status(p)["Seccomp_filters"] == "2", "two filters")


    def test_listening(self):
        """The socket is made inside, and removed at the end that a signal asks for."""
        with box.place() as at, open("/dev/null", "rb") as null:
            bundle = Bundle(at)
            path = os.path.join(bundle.run, "lsi0")
            argv = [*AT_FD_3, str(null.fileno()), *self.start(bundle, "path=/run/lsi0,server=on")]
            with mpq.Remote(argv, [], tempfile.TemporaryFile(), pass_fds=[null.fileno()]) as \
                    remote, mpq.Ram(1 << 20) as low:
                self.come(remote, lambda: os.path.exists(path) and mpq.listens(path))
                sock = socket.socket(socket.AF_UNIX)
                sock.connect(path)
                remote.peers = [mpq.Peer(sock)]
                self.use(remote, low)
                remote.proc.terminate()
                self.assertEqual(remote.wait(), mpq.EXIT_CLEAN, remote.said())
            self.assertEqual(os.listdir(bundle.run), [])


class Runc(Oci, unittest.TestCase):
    start, program = staticmethod(runc), "runc"


class Crun(Oci, unittest.TestCase):
    start, program = staticmethod(crun), "crun"


class Bubblewrap(Runtime, unittest.TestCase):
    start, program = staticmethod(bubblewrap), "bwrap"


class Podman(Runtime, unittest.TestCase):
    start, program = staticmethod(podman), "podman"


class Containerfile(Runtime, unittest.TestCase):
    start, program = staticmethod(podman_image), "podman"
    test_mounted = None     # is the other way's in Podman


class Nspawn(Runtime, unittest.TestCase):
    start, program, folder = staticmethod(nspawn), "systemd-nspawn", "/run/mpqemu"


class Documents(unittest.TestCase):
    def test_one_profile(self):
        """The profile for podman and Docker is the one of config.json."""
        profile = json.loads(SECCOMP.read_text(encoding="utf-8"))
        self.assertEqual(profile, config()["linux"]["seccomp"])
        names = profile["syscalls"][0]["names"]
        self.assertEqual(names, sorted(set(names)))


if __name__ == "__main__":
    tap.main()
