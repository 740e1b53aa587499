#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-orchestrate over vfio-user: our remote and bad ones, a fake QEMU, a fake Cloud Hypervisor.

Stock QEMU that has vfio-user-pci is the guest suite's.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[0] / "lib"))
import qemu             # noqa: E402
import tap              # noqa: E402
from launch import Case, FAKE, PATIENCE  # noqa: E402
from qmp import Qmp     # noqa: E402

FAKE_VFIO = str(HERE / "fakevfio.py")
MEMORY = ["-object", "memory-backend-memfd,id=mem,size=128M"]


class VfioCase(Case):
    def setUp(self):
        super().setUp()
        self.run_dir = self.dir / "run"
        self.run_dir.mkdir()
        self.env = {"FAKE_VFIO": "1", "FAKE_VERSION": "11.1.3",
                    "XDG_RUNTIME_DIR": str(self.run_dir)}

    def fake(self, how, **more):
        return {**super().fake(how), **self.env, **more}

    def client(self, device="lsi0", path=None):
        path = path or str(self.run_dir / "mpqemu-XXXXXX" / f"{device}.sock")
        return ["-device", f'{{"driver":"vfio-user-pci","id":"{device}","socket":'
                           f'{{"type":"unix","path":"{path}"}}}}']

    def bad_remote(self, how, *options):
        """A remote that misbehaves, and the fake QEMU."""
        return [*options, "--", FAKE_VFIO, how, "-device", "lsi53c895a,id=lsi0", "-object",
                "x-vfio-user-server,id=v,type=fd,str=4,device=lsi0", "---", FAKE, *MEMORY,
                *self.client()]

    def own_remote(self, machine, server, path=None):
        """Our remote by its own command line, and the fake QEMU."""
        return ["--", qemu.built("mpqemu-remote"), "-machine", machine, "-device", "edu,id=e",
                "-object", f"x-vfio-user-server,id=v,{server},device=e", "---", FAKE, *MEMORY,
                *self.client("e", path)]

    def nothing_left(self, run):
        super().nothing_left(run)
        self.assertEqual(list(self.run_dir.iterdir()), [])

    def ready(self, run):
        run.until(lambda: run.process.stdout.readline() == "ready\n")


class BadServers(VfioCase):
    """Each is found before QEMU is started, which would look at it for five seconds."""

    def refused(self, how, text, *options):
        run = self.start(self.bad_remote(how, *options), self.fake("exit7"))
        self.assertEqual(run.wait(), 123, run.text())
        self.assertIn(text, run.text())
        self.nothing_left(run)

    def test_answers(self):
        for how, text in (
                ("closes", "does not answer for 'lsi0': it closed the socket"),
                ("babbles", "does not answer for 'lsi0': a message of 4294967295 bytes"),
                ("error", "does not answer for 'lsi0': it answers VERSION with error 22"),
                ("empty", "does not answer for 'lsi0': its reply to VERSION has 0 bytes"),
                ("other", "it sent command 9, expected the reply to VERSION"),
                ("commands", "it sent command 1, expected the reply to VERSION"),
                ("short", "its reply to REGION_READ has 16 bytes"),
                ("absent", "there is no device behind the socket")):
            with self.subTest(how):
                self.refused(how, text)

    def test_silent(self):
        self.refused("silent", "has not answered for 'lsi0' within 1 s", "--start-timeout=1")

    def test_ends_at_once(self):
        line = self.bad_remote("x")
        line[1:3] = ["sh", "-c", "exit 5", "sh"]
        run = self.start(line, self.fake("exit7"))
        self.assertEqual(run.wait(), 123, run.text())
        self.assertIn("ended with exit status 5 before QEMU was started", run.text())
        self.nothing_left(run)

    def test_makes_no_socket(self):
        path = str(self.dir / "none.sock")
        run = self.start(["--start-timeout=1", "--", "sh", "-c", "exec sleep 600", "sh", "-device",
                          "edu,id=e", "-object",
                          f"x-vfio-user-server,id=v,type=unix,path={path},device=e", "---", FAKE,
                          *MEMORY, *self.client("e", path)], self.fake("exit7"))
        self.assertEqual(run.wait(), 123, run.text())
        self.assertIn("' within 1 s", run.text())
        self.nothing_left(run)

    def test_does_not_end(self):
        """SIGTERM when QEMU has ended, another after a while, SIGKILL after that."""
        run = self.start(self.bad_remote("stays"), self.fake("exit7"))
        self.assertEqual(run.wait(), 7, run.text())
        self.assertIn("has not ended; sending SIGTERM", run.text())
        self.assertIn("has not ended; sending SIGKILL", run.text())
        self.nothing_left(run)

    def test_path_is_taken(self):
        taken = self.dir / "taken"
        taken.write_text("mine")
        run = self.start(self.own_remote("x-remote,vfio-user=on", "type=fd,str=4", str(taken)),
                         self.fake("exit7"))
        self.assertEqual(run.wait(), 125, run.text())
        self.assertIn(f"{taken}: Address already in use", run.text())
        self.assertEqual(taken.read_text(), "mine")
        self.nothing_left(run)

    def test_no_place_for_sockets(self):
        line = self.own_remote("x-remote,vfio-user=on", "type=fd,str=4",
                               str(self.dir / "none" / "mpqemu-XXXXXX" / "e.sock"))
        run = self.start(line, self.fake("exit7"))
        self.assertEqual(run.wait(), 125, run.text())
        self.assertIn("cannot make the directory of the sockets: No such file", run.text())


class Protocol(VfioCase):
    """Which one it is, by what QEMU has."""

    def picked(self, options, **env):
        run = self.start(self.real_remote("--dry-run", *options), {**self.fake("exit7"), **env})
        text = run.process.stdout.read()
        self.assertEqual(run.wait(), 0, run.text())
        self.assertNotEqual("vfio-user-pci" in text, "x-pci-proxy-dev,id" in text)
        return "vfio-user" if "vfio-user-pci" in text else "mpqemu"

    def test_auto(self):
        self.assertEqual(self.picked([]), "vfio-user")
        self.assertEqual(self.picked([], FAKE_NO_PROXY="1"), "vfio-user")
        self.assertEqual(self.picked([], FAKE_VFIO="", FAKE_VERSION="7.2.0"), "mpqemu")

    def test_asked_for(self):
        self.assertEqual(self.picked(["--protocol=vfio-user"]), "vfio-user")
        self.assertEqual(self.picked(["--protocol=mpqemu"], FAKE_VERSION="9.0.0"), "mpqemu")

    def test_stock_qemu(self):
        """Debian 12's has no vfio-user-pci: nothing changes for it."""
        asked = subprocess.run([qemu.QEMU, "-device", "vfio-user-pci,help"], timeout=PATIENCE,
                               check=False, capture_output=True)
        if b"vfio-user-pci options" in asked.stdout:
            self.skipTest(f"{qemu.QEMU} has vfio-user-pci")
        run = self.start(["--dry-run", "--", qemu.QEMU, "-device", "edu,id=e"])
        self.assertIn("-device x-pci-proxy-dev,id=e,fd=3", run.process.stdout.read())
        self.assertEqual(run.wait(), 0, run.text())
        run = self.start(["--protocol=vfio-user", "--", qemu.QEMU, "-device", "edu"])
        self.assertEqual(run.wait(), 125)
        self.assertIn("vfio-user-pci is in QEMU 10.1 or later", run.text())

    def test_usage(self):
        for argv, text in (
                (["--protocol=tcp", "--", FAKE], "--protocol=tcp: it is one of auto|mpqemu|vfio-"),
                (["--protocol=mpqemu", "--", "a", "---", FAKE], "with explicit remote commands"),
                (["--device", "edu", "--", FAKE], "are Cloud Hypervisor's"),
                (["--drive", "id=d", "--", "a", "---", "cloud-hypervisor"], "are Cloud Hyper"),
                (["--", "cloud-hypervisor", "--kernel", "k"], "--device says which"),
                (["--remote=x", "--device", "edu", "--", "cloud-hypervisor"], "choose among")):
            with self.subTest(argv):
                run = self.start(argv, self.fake("exit7"))
                self.assertEqual(run.wait(), 125, run.text())
                self.assertIn(text, run.text())


class Life(VfioCase):
    """The sockets, the sessions, the ends."""

    def test_sessions(self):
        """The VMM's own connections: the directory is ours alone, so are the sockets."""
        rom = self.dir / "rom"
        rom.write_bytes(b"\x55\xaa" + bytes(3000))
        run = self.start([*self.real_remote(), "-device", f"edu,id=e,romfile={rom}"],
                         self.fake("vfio"))
        self.assertEqual(run.wait(), 0, run.text())
        self.assertEqual(self.read_out(), 2 * ("lsi0.sock 00121000 rom=0 700 600\n"
                                               "e.sock 11e81234 rom=4096 700 600\n"))
        self.nothing_left(run)
        self.assertNotIn("ended", run.text())

    def test_dry_run_runs(self):
        """What --dry-run prints is a shell command that does the same."""
        env = self.fake("vfio")
        printed = self.start(["--dry-run", *self.real_remote()], env)
        text = printed.process.stdout.read()
        self.assertEqual(printed.wait(), 0, printed.text())
        self.assertEqual(list(self.run_dir.iterdir()), [])
        path = os.path.dirname(qemu.built("x")) + ":" + os.environ["PATH"]
        result = subprocess.run(["sh", "-c", text], env={**os.environ, **env, "PATH": path},
                                text=True, timeout=PATIENCE, capture_output=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.read_out(), 2 * "lsi0.sock 00121000 rom=0 700 600\n")
        self.assertEqual(list(self.run_dir.iterdir()), [])

    def test_place_of_the_sockets(self):
        """The first directory that is there; a comma in it would part a command line."""
        for given, place in ((None, self.dir), ("/nonexistent", self.dir), ("rel", self.dir),
                             (str(self.dir / "a,b"), self.dir), (str(self.run_dir), self.run_dir)):
            with self.subTest(given):
                env = self.fake("exit7", TMPDIR=str(self.dir))
                env.pop("XDG_RUNTIME_DIR")
                (self.dir / "a,b").mkdir(exist_ok=True)
                if os.path.isdir(f"/run/user/{os.getuid()}") and place == self.dir:
                    place = pathlib.Path(f"/run/user/{os.getuid()}")
                run = self.start(self.real_remote("--dry-run"),
                                 {**env, "XDG_RUNTIME_DIR": given or ""})
                text = run.process.stdout.read()
                self.assertEqual(run.wait(), 0, run.text())
                self.assertIn(f"fd 3 listens on {place}/mpqemu-XXXXXX/lsi0.sock (lsi0)\n", text)

    def test_qemu_fails(self):
        """One that never comes: the remote waits for a client, and is told to end."""
        run = self.start(self.real_remote(), self.fake("exit7"))
        self.assertEqual(run.wait(), 7, run.text())
        self.assertNotIn("has not ended", run.text())
        self.nothing_left(run)

    def test_signal(self):
        """QEMU gets it while its remote still serves."""
        run = self.start(self.real_remote(), self.fake("vfio_signals"))
        self.ready(run)
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())
        self.assertEqual(self.read_out(), "SIGTERM remotes=1\n")
        self.nothing_left(run)

    def test_signal_before_qemu(self):
        run = self.start(self.bad_remote("silent"), self.fake("exit7"))
        run.until(run.remote_pids)
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 143, run.text())
        self.nothing_left(run)

    def test_remote_killed(self):
        run = self.start(self.real_remote(), self.fake("vfio_wait"))
        self.ready(run)
        os.kill(run.remote_pids()[0], signal.SIGKILL)
        run.until(lambda: "while QEMU was using it" in run.text())
        self.assertEqual(run.wait(), 123, run.text())
        self.nothing_left(run)

    def test_remote_killed_with_policy_stop(self):
        run = self.start(self.real_remote("--on-remote-exit=stop"), self.fake("vfio_signals"))
        self.ready(run)
        os.kill(run.remote_pids()[0], signal.SIGKILL)
        self.assertEqual(run.process.wait(PATIENCE), 123, run.text())
        self.assertEqual(self.read_out(), "SIGTERM remotes=0\n")
        self.nothing_left(run)

    def test_released(self):
        """As detach does it: QEMU has the device no more, and its remote would wait for ever."""
        run = self.start(self.real_remote("--name=vm"), self.fake("vfio_signals"))
        self.ready(run)
        control = Qmp.connect(self.dir / "run" / "vm.sock")
        self.addCleanup(control.close)
        with self.assertRaisesRegex(AssertionError, "Device 'x' not found"):
            control.ask("release", device="x")
        control.ask("release", device="lsi0")
        end = control.event("MPQEMU_REMOTE_EXITED")["data"]
        self.assertEqual((end["remote"], end["expected"]), ("lsi0", True))
        self.assertEqual(control.ask("query-remotes")[0]["devices"], [])
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(run)

    def test_remote_that_ends_after_its_client(self):
        """It is not asked, since it would end after that; its end is the ordinary one."""
        run = self.start(self.own_remote("x-remote,vfio-user=on,auto-shutdown=on",
                                         "type=fd,str=4"), self.fake("vfio_wait"))
        self.ready(run)
        self.assertEqual(run.wait(), 0, run.text())
        self.assertNotIn("while QEMU was using it", run.text())
        self.nothing_left(run)

    def test_remote_that_makes_its_socket(self):
        path = str(self.dir / "own.sock")
        run = self.start(self.own_remote("x-remote,vfio-user=on", f"type=unix,path={path}", path),
                         self.fake("vfio"))
        self.assertEqual(run.wait(), 0, run.text())
        self.assertIn("own.sock 11e81234", self.read_out())
        self.nothing_left(run)
        self.assertFalse(os.path.exists(path))

    def test_fds(self):
        """The remote has its listening socket alone, QEMU none but its monitor's."""
        out = str(self.dir / "remote-out")
        run = self.start(self.bad_remote("fds"), self.fake("fds", FAKE_REMOTE_OUT=out))
        self.assertEqual(run.wait(), 0, run.text())
        remotes = pathlib.Path(out).read_text(encoding="ascii").splitlines()
        self.assertEqual(remotes[3], "4 socket")
        self.assertEqual([line for line in remotes if "socket" in line], ["4 socket"])
        self.assertEqual(self.read_out().count("socket"), 1)


class CloudHypervisor(VfioCase):
    def setUp(self):
        super().setUp()
        self.vmm = self.dir / "cloud-hypervisor"
        self.vmm.symlink_to(FAKE)

    def line(self, *options):
        return ["--device", "lsi53c895a,id=scsi0", "--drive",
                f"if=none,id=d,format=raw,file={self.image}", "--device", "scsi-hd,drive=d",
                *options, "--", str(self.vmm), "--kernel", "vmlinux", "--cpus", "boot=4",
                "--memory", "size=1G", "--disk", "path=root.img"]

    def test_argv(self):
        run = self.start(self.line(), self.fake("argv"))
        self.assertEqual(run.wait(), 0, run.text())
        said = re.sub(r"mpqemu-\w{6}/", "mpqemu-XXXXXX/", self.read_out()).splitlines()
        self.assertEqual(said, ["--kernel", "vmlinux", "--cpus", "boot=4", "--memory",
                                "size=1G,shared=on", "--disk", "path=root.img", "--user-device",
                                f"socket={self.run_dir}/mpqemu-XXXXXX/scsi0.sock"])
        self.assertIn("shared=on added", run.text())
        self.nothing_left(run)

    def test_sessions(self):
        run = self.start(self.line("--device", "edu,id=e"), self.fake("vfio"))
        self.assertEqual(run.wait(), 0, run.text())
        self.assertEqual(self.read_out(), 2 * ("scsi0.sock 00121000 rom=0 700 600\n"
                                               "e.sock 11e81234 rom=0 700 600\n"))
        self.nothing_left(run)

    def test_dry_run_runs(self):
        env = self.fake("vfio")
        printed = self.start(["--dry-run", *self.line()], env)
        text = printed.process.stdout.read()
        self.assertEqual(printed.wait(), 0, printed.text())
        path = os.path.dirname(qemu.built("x")) + ":" + os.environ["PATH"]
        result = subprocess.run(["sh", "-c", text], env={**os.environ, **env, "PATH": path},
                                text=True, timeout=PATIENCE, capture_output=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.read_out(), 2 * "scsi0.sock 00121000 rom=0 700 600\n")

    def test_name_that_is_no_text(self):
        """In a C locale, where a name is no UTF-8."""
        image = os.fsencode(self.dir / "disk") + b"\xff\xe4.raw"
        with open(image, "wb") as file:
            file.truncate(1 << 20)
        line = [os.fsencode(word).replace(os.fsencode(self.image), image) for word in self.line()]
        run = self.start(line, self.fake("vfio", LC_ALL="C"))
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(run)

    def test_remote_killed(self):
        run = self.start(self.line(), self.fake("vfio_wait"))
        self.ready(run)
        os.kill(run.remote_pids()[0], signal.SIGKILL)
        run.until(lambda: "while Cloud Hypervisor was using it" in run.text())
        self.assertEqual(run.wait(), 123, run.text())
        self.nothing_left(run)

    def test_is_not_there(self):
        self.vmm.unlink()
        run = self.start(self.line(), self.fake("argv"))
        self.assertEqual(run.wait(), 127, run.text())
        self.nothing_left(run)

    def test_question(self):
        run = self.start(["--", str(self.vmm), "--version"], self.fake("argv"))
        self.assertEqual(run.process.stdout.read(), "cloud-hypervisor v48.0\n")
        self.assertEqual(run.wait(), 0)


if __name__ == "__main__":
    tap.main()
