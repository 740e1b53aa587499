#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""--sandbox=LEVEL: each is what it says, or the remote does not start and says what is missing."""
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
import uuid

import box
import mpq

DENY = (sys.executable, str(box.HERE / "deny.py"))
NO_USERNS = ("unshare", "-Ur", "sh", "-c",
             'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh")
JAIL = ("unshare", "-m", "sh", "-c",
        'mount --rbind / "$0" && exec chroot "$0" "$@"')
ALL_NEW = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts",
           "--cgroup", "--fork", "--mount-proc")
BWRAP = ("bwrap", "--unshare-all", "--die-with-parent", "--bind", "/", "/", "--proc", "/proc",
         "--dev", "/dev")
NO_CAPS = ("--cap-drop", "ALL")

x86_64 = unittest.skipUnless(platform.machine() == "x86_64", "deny.py knows x86-64 numbers")


def refused(prefix, options, fd=()):
    done = subprocess.run([*prefix, mpq.program("mpqemu-remote"), *options], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=mpq.TIMEOUT, pass_fds=fd)
    return done.returncode, done.stdout, done.stderr


@box.needs_root
class Refused(unittest.TestCase):
    """Status 1 and one line that names what is missing and what helps; nothing was served."""

    def check(self, prefix, level, words):
        with box.place() as at:
            image, pidfile = at.image(), at.path("pid")
            prefix = [at.folder if part == "JAIL" else part for part in prefix]
            ours, theirs = socket.socketpair()
            ours.sendall(mpq.sample(mpq.Cmd.PCI_CFGREAD))
            options = ["-machine", "x-remote", "-device", box.LSI, *box.raw_disk(image), "-pidfile",
                       pidfile, "-object", f"x-remote-object,id=r,devid=l0,fd={theirs.fileno()}"]
            if level:
                options.append(f"--sandbox={level}")
            status, out, err = refused(prefix, options, [theirs.fileno()])
            theirs.close()
            self.assertEqual((status, out), (mpq.EXIT_START, ""), err)
            self.assertRegex(err, r"\Ampqemu-remote: .*\n\Z")
            for word in words:
                self.assertIn(word, err)
            with self.assertRaises(mpq.Closed):
                mpq.Peer(ours).ret()
            ours.close()
            with open(pidfile, encoding="ascii") as file:
                self.assertEqual(file.read(), "", "nobody serves")
            # The image is free.
            with mpq.Remote.start([box.LSI], box.raw_disk(image)) as remote:
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1000, remote.said())
                remote.finish()

    def test_no_user_namespaces(self):
        self.check(NO_USERNS, None, ["--sandbox=strict", "user.max_user_namespaces is 0", "sysctl"])

    def test_chroot(self):
        self.check([*JAIL, "JAIL"], None,
                   ["--sandbox=strict", "no user namespace", "a container or a chroot",
                    "--sandbox"])

    @x86_64
    def test_forbidden_by_a_filter(self):
        self.check([*DENY, "userns=EPERM", "--"], "strict",
                   ["--sandbox=strict", "no user namespace", "a container or a chroot",
                    "--sandbox"])

    @x86_64
    def test_forbidden_by_a_filter_as_nobody(self):
        self.check([*box.AS_NOBODY, *DENY, "userns=EPERM", "--"], "strict",
                   ["--sandbox=strict", "no user namespace"])

    @x86_64
    def test_no_such_call(self):
        self.check([*DENY, "userns=ENOSYS", "--"], "strict",
                   ["--sandbox=strict", "this kernel has no user namespaces"])

    @x86_64
    def test_no_rights_inside(self):
        """A user namespace may be had, and is worth nothing: AppArmor's way on Ubuntu."""
        for call in ("mount", "pivot_root"):
            with self.subTest(call):
                self.check([*DENY, f"{call}=EACCES", "--"], "strict",
                           ["--sandbox=strict", "empty root", "Permission denied"])

    def test_root_without_setfcap(self):
        """Root may hand its own uid to a namespace only with CAP_SETFCAP (Linux 5.12)."""
        self.check(["setpriv", "--bounding-set=-setfcap", "--inh-caps=-setfcap", "--"], "strict",
                   ["--sandbox=strict", "user map", "CAP_SETFCAP"])

    def test_container_on_the_host(self):
        self.check([], "container", ["--sandbox=container", "mnt, pid, ipc, uts, net",
                                     "--sandbox=strict"])

    def test_half_a_container(self):
        for flags, left in ((["--net", "--ipc", "--uts", "--mount"], "pid;"),
                            (["--pid", "--fork", "--mount-proc", "--ipc", "--uts"], "net;"),
                            (["--pid", "--fork", "--mount-proc", "--ipc", "--net"], "uts;"),
                            (["--pid", "--fork", "--mount-proc", "--uts", "--net"], "ipc;")):
            with self.subTest(left):
                self.check(["unshare", *flags], "container", [f"these are the host's: {left}"])

    @x86_64
    def test_container_without_root_and_landlock(self):
        if not shutil.which("bwrap"):
            self.skipTest("bubblewrap is not installed")
        self.check([*BWRAP, *NO_CAPS, *DENY, "landlock=ENOSYS", "--"], "container",
                   ["--sandbox=container", "neither an empty root nor Landlock", "CAP_SYS_ADMIN"])

    def test_no_proc(self):
        with box.place() as at:
            script = ('mount --bind / "$0" && mount -t tmpfs none "$0/proc" && '
                      'exec chroot "$0" "$@"')
            status, _, err = refused(["unshare", "-m", "sh", "-c", script, at.folder],
                                     ["--sandbox-report"])
        self.assertEqual(status, mpq.EXIT_START)
        self.assertRegex(err, r"\Ampqemu-remote: .*/proc/self/exe.*\n\Z")

    def test_no_such_level(self):
        for level in ("", "Strict", "none", "strict,off"):
            with self.subTest(level):
                status, out, err = refused([], ["--sandbox-report", f"--sandbox={level}"])
                self.assertEqual((status, out), (mpq.EXIT_START, ""))
                self.assertRegex(err, r"\Ampqemu-remote: .*sandbox.*\n\Z")


@box.needs_root
class Reached(unittest.TestCase):
    """The line at start, and the facts behind it."""

    def serve(self, prefix, level, line, facts, landlock=True):
        with box.place() as at:
            extra = box.raw_disk(at.image()) + ([f"--sandbox={level}"] if level else [])
            with mpq.Remote.start([box.LSI], extra, prefix=prefix) as remote:
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1000, remote.said())
                self.look(remote, line, facts, landlock)
                self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.said())

    def look(self, remote, line, facts, landlock):
        pid = box.device_below(remote.proc.pid)
        words = f"sandbox: {line}"
        said = mpq.wait_for(remote.said, "the line at start")
        self.assertTrue(said.startswith(f"mpqemu-remote: {words}"), said)
        status = box.status(pid)
        if facts == "off":
            self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("0", "0"))
            return
        self.assertIn(", Landlock, " if landlock else ", no Landlock", said)
        for thread in box.threads(pid):
            status = box.status(thread)
            self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))
            for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                self.assertEqual(int(status[name], 16), 0, name)
        empty = os.listdir(f"/proc/{pid}/root") == []
        self.assertEqual(empty, facts == "empty root")
        self.assertEqual(box.limits(pid)["Max processes"], ("0", "0"))
        self.assertEqual(box.proc(pid, "environ"), "")

    def test_strict_is_the_default(self):
        self.serve((), None, "strict; empty root", "empty root")

    @x86_64
    def test_strict_without_landlock(self):
        for error in ("ENOSYS", "EPERM"):
            with self.subTest(error):
                self.serve([*DENY, f"landlock={error}", "--"], "strict", "strict; empty root, "
                           "uid 65534", "empty root", landlock=False)

    def test_seccomp_only(self):
        self.serve((), "seccomp-only", "seccomp-only; no own root, uid 65534", "host's root")
        self.serve(box.AS_NOBODY, "seccomp-only", "seccomp-only; no own root, uid 65534",
                   "host's root")

    @x86_64
    def test_seccomp_only_in_a_bare_container(self):
        """What is left when a container forbids all else."""
        self.serve([*DENY, "userns=EPERM", "landlock=EPERM", "mount=EPERM", "--"], "seccomp-only",
                   "seccomp-only; no own root, uid 65534", "host's root", landlock=False)

    def test_off(self):
        self.serve((), "off", "off\n", "off")

    def test_container_by_unshare(self):
        self.serve(ALL_NEW, "container", "container; empty root", "empty root")

    def test_strict_in_a_container(self):
        """Where the container allows it, the own namespaces lie inside its."""
        self.serve(ALL_NEW, "strict", "strict; empty root", "empty root")

    def test_bubblewrap(self):
        if not shutil.which("bwrap"):
            self.skipTest("bubblewrap is not installed")
        self.serve([*BWRAP, "--cap-add", "ALL"], "container", "container; empty root",
                   "empty root")
        self.serve([*BWRAP, *NO_CAPS], "container", "container; no own root", "container's root")
        self.serve([*box.AS_NOBODY, *BWRAP], "container", "container; no own root",
                   "container's root")
        self.serve([*box.AS_NOBODY, *BWRAP], "strict", "strict; empty root", "empty root")


@box.needs_root
class Runc(unittest.TestCase):
    """In a container of runc, as Docker's and Kubernetes' are."""

    def bundle(self, at, args, caps):
        subprocess.run(["runc", "spec"], cwd=at.folder, check=True)
        with open(at.path("config.json"), encoding="utf-8") as file:
            config = json.load(file)
        config["process"].update(terminal=False, args=args, env=[], cwd="/")
        config["process"]["rlimits"] = []
        for kind in config["process"]["capabilities"]:
            config["process"]["capabilities"][kind] = caps
        os.mkdir(at.path("rootfs"))
        build = os.path.realpath(os.path.dirname(mpq.program("mpqemu-remote")))
        for folder in ("/usr", "/lib", "/lib64", build):
            if os.path.islink(folder):
                os.symlink(os.readlink(folder), at.path("rootfs") + folder)
                continue
            config["mounts"].append({"destination": folder, "source": folder, "type": "none",
                                     "options": ["rbind", "ro"]})
        config["mounts"].append({"destination": "/disk", "source": at.image(), "type": "none",
                                 "options": ["bind", "rw"]})
        with open(at.path("config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        return os.path.join(build, "mpqemu-remote")

    def serve(self, level, caps, line, root_is_empty):
        ident = f"mpqemu-test-{uuid.uuid4()}"
        with box.place() as at:
            build = os.path.realpath(os.path.dirname(mpq.program("mpqemu-remote")))
            args = [os.path.join(build, "mpqemu-remote"), "-machine", "x-remote", "-device",
                    box.LSI, *box.raw_disk("/disk"), "-object",
                    "x-remote-object,id=r,devid=l0,fd=3", f"--sandbox={level}"]
            self.bundle(at, args, caps)
            ours, theirs = socket.socketpair()
            argv = ["sh", "-c", 'eval "exec 3<&$0"; exec runc --root "$1" run --preserve-fds 1 '
                    '--bundle "$2" "$3"', str(theirs.fileno()), at.path("state"), at.folder, ident]
            with mpq.Remote(argv, [(ours, theirs)], tempfile.TemporaryFile()) as remote:
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1000, remote.said())
                said = mpq.wait_for(remote.said, "the line at start")
                self.assertIn(f"mpqemu-remote: sandbox: {line}", said)
                pid = box.device_below(remote.proc.pid)
                status = box.status(pid)
                self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))
                self.assertEqual(int(status["CapEff"], 16), 0)
                self.assertEqual(os.listdir(f"/proc/{pid}/root") == [], root_is_empty)
                self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.said())

    def test_runc(self):
        if not shutil.which("runc"):
            self.skipTest("runc is not installed")
        rows = [("container", ["CAP_KILL"], "container; no own root", False),
                ("container", ["CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"],
                 "container; empty root, uid 65534", True)]
        for level, caps, line, empty in rows:
            with self.subTest(level=level, caps=caps):
                self.serve(level, caps, line, empty)


if __name__ == "__main__":
    box.tap.main()
