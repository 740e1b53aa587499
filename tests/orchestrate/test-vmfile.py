#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM's file: check, start and import, with the fake QEMU and with the real one."""
import os
import pathlib
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[0] / "lib"))
import qemu             # noqa: E402
import tap              # noqa: E402
from launch import Case, FAKE, PATIENCE  # noqa: E402

PROGRAM = qemu.built("mpqemu-orchestrate")
FREE_CPUS = sorted(os.sched_getaffinity(0))


class File(Case):
    def write(self, text, name="vm.conf"):
        path = self.dir / name
        path.write_text(text.format(fake=FAKE, image=self.image, qemu=qemu.QEMU))
        return str(path)

    def call(self, *argv, env=None, **kwargs):
        return subprocess.run([PROGRAM, *argv], env={**os.environ, **(env or {})}, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=PATIENCE, **kwargs)

    def vm(self, more="", remote=""):
        """A VM with one disk on the fake QEMU."""
        return self.write("[vm]\nqemu = {fake}\n" + more + "[remote]\n" + remote +
                          "[device lsi0]\ndriver = lsi53c895a\n[disk d]\nbus = lsi0.0\n"
                          "file = {image}\nformat = raw\n")

    def refused(self, result, text, status=125):
        self.assertEqual((result.returncode, result.stdout), (status, ""), result.stderr)
        self.assertIn(text, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)


class Refused(File):
    def test_usage(self):
        for argv in (["start"], ["check"], ["start", "a", "b"], ["check", "a", "b"]):
            self.refused(self.call(*argv), f"{argv[0]}: it takes one FILE")
        self.refused(self.call("strat", "a"), "strat: QEMU's command line stands after a")

    def test_options_are_the_file_s(self):
        path = self.vm()
        self.refused(self.call("start", "--sandbox=off", path), "start: what --sandbox=off and "
                     "the like say stands in the file")

    def test_import_usage(self):
        self.refused(self.call("import"), "QEMU's command line is missing")
        self.refused(self.call("import", "--", "q", "-version"), "import: this only asks QEMU")
        self.refused(self.call("import", "--", "a", "---", "q", "-S"), "import: it takes QEMU's "
                     "command line alone")
        self.refused(self.call("import", "--device=edu", "--", "cloud-hypervisor"),
                     "import: it takes QEMU's command line alone")
        self.refused(self.call("import", "--sandbox=none", "--", "q", "-S"), "--sandbox=none")

    def test_no_file(self):
        for verb in ("start", "check"):
            self.refused(self.call(verb, str(self.dir / "none")),
                         f"{self.dir}/none: No such file or directory")
            self.refused(self.call(verb, str(self.dir)),
                         f"{self.dir}: it is not a regular file")
        os.mkfifo(self.dir / "fifo")
        self.refused(self.call("check", str(self.dir / "fifo")), "it is not a regular file")

    def test_not_for_us(self):
        if os.getuid() == 0:
            self.skipTest("root may read everything")
        path = self.vm()
        os.chmod(path, 0)
        self.refused(self.call("check", path), f"{path}: Permission denied")

    def test_line(self):
        path = self.vm()
        text = pathlib.Path(path).read_text()
        for old, new, line, why in (
                ("driver", "drvier", 4, "[device]: driver= is missing"),
                ("format", "fromat", 9, "fromat: [disk d] has no such key; did you mean 'format'?"),
                (self.image, "/no/disk", 6, "Could not open '/no/disk': No such file"),
                ("[remote]", "[remote lsi1]", 3, "[remote lsi1]: no device of this id moves"),
                ("[remote]", "[remtoe]", 3, "there is no such group; did you mean 'remote'?")):
            bad = self.write(text.replace(old, new), "bad.conf")
            for verb in ("check", "start"):
                result = self.call(verb, bad, env=self.fake("fds"))
                self.refused(result, f"{bad}:{line}: ")
                self.assertIn(why, result.stderr)
        self.assertFalse(os.path.exists(self.out))

    def test_question(self):
        path = self.vm("arguments = -version\n")
        self.refused(self.call("check", path), f"{path}: its QEMU is only asked something")

    def test_explicit_form(self):
        path = self.vm("arguments = -device x-pci-proxy-dev,id=p,fd=3\n")
        self.refused(self.call("check", path), f"{path}:3: -device x-pci-proxy-dev,id=p,fd=3: a "
                     "command line that has its proxies already")

    def test_image_in_use(self):
        run = self.start(["start", self.vm()], self.fake("wait"))
        run.until(lambda: len(run.remote_pids()) == 1)
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        self.refused(self.call("check", self.vm()), 'Failed to get "write" lock')
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(run)

    def test_no_qemu(self):
        path = self.write("[vm]\nqemu=/no/qemu\n[device]\ndriver=edu\n")
        self.refused(self.call("start", path), f"{path}: /no/qemu: cannot run it", 127)

    def test_cpus(self):
        missing = next(n for n in range(1024) if n not in FREE_CPUS)
        for path in (self.vm(f"cpus = {missing}\n"), self.vm(remote=f"cpus = {missing}\n")):
            result = self.call("check", path)
            self.refused(result, f"cpus={missing}: we may not run on all of these CPUs")
        path = self.vm(f"cpus = {FREE_CPUS[0]},{missing}\n")
        self.refused(self.call("start", path, env=self.fake("fds")), "QEMU: cpus=")
        self.assertFalse(os.path.exists(self.out))

    def test_oom_score(self):
        if os.getuid() == 0:
            self.skipTest("root may lower it")
        path = self.vm(remote="oom-score = -1000\n")
        self.refused(self.call("check", path), "oom-score: Permission denied")


class Fake(File):
    def test_help(self):
        for verb in ("start", "check", "import"):
            result = self.call(verb, "--help")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("start FILE", result.stdout)

    def test_check_starts_nothing(self):
        result = self.call("check", self.vm(), env=self.fake("fds"))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("x-pci-proxy-dev,id=lsi0,fd=3", result.stdout)
        self.assertFalse(os.path.exists(self.out))

    def test_start(self):
        run = self.start(["start", self.vm("name = web1\narguments = -append 'a  b'\n")],
                         self.fake("argv"))
        self.assertEqual(run.wait(), 0, run.text())
        words = self.read_out().splitlines()
        self.assertEqual(words[words.index("-name") + 1], "web1")
        self.assertEqual(words[words.index("-append") + 1], "a  b")
        self.assertIn("x-pci-proxy-dev,id=lsi0,fd=3", words)
        self.nothing_left(run)

    def test_status(self):
        run = self.start(["start", self.vm()], self.fake("exit7"))
        self.assertEqual(run.wait(), 7, run.text())
        self.nothing_left(run)

    def test_plan_is_that_of_the_line(self):
        """What check prints is what --dry-run prints."""
        line = self.real_remote("--sandbox=container", "--on-error=hold", "--start-timeout=9",
                                "--on-remote-exit=stop")
        line += ["-m", "1G", "-append", "it's \"a\" \\ b", "-device", "e1000,id=net,addr=9"]
        imported = self.call("import", *line)
        self.assertEqual((imported.returncode, imported.stderr), (0, ""))
        for word in ("on-remote-exit = stop", "start-timeout = 9", "sandbox = container"):
            self.assertIn(word, imported.stdout)
        path = self.dir / "imported.conf"
        path.write_text(imported.stdout)
        checked, dry = self.call("check", str(path)), self.call("--dry-run", *line)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))
        self.assertEqual(checked.stdout, dry.stdout)
        self.assertIn("--on-error=hold", dry.stdout)

    def test_protocol(self):
        path = self.vm("protocol = vfio-user\n")
        self.refused(self.call("check", path), "--protocol=vfio-user: this is QEMU 7.2")
        result = self.call("check", path, env={"FAKE_VFIO": "1", "FAKE_VERSION": "11.1.0"})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("vfio-user-pci", result.stdout)

    def test_limits(self):
        """Of QEMU, of a remote and of its device process; none of ours."""
        cpu = FREE_CPUS[-1]
        path = self.vm(f"oom-score = 300\ncpus = {FREE_CPUS[0]}\n",
                       f"cpus = {cpu}\noom-score = 400\n")
        run = self.start(["start", path], self.fake("wait"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        remote, = run.remote_pids()
        children = [int(pid) for pid in pathlib.Path(
            f"/proc/{remote}/task/{remote}/children").read_text().split()]
        self.assertTrue(children)
        for pid in (remote, *children):
            self.assertEqual(os.sched_getaffinity(pid), {cpu})
            self.assertEqual(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text(), "400\n")
        vmm, = (pid for pid in run.pids() if FAKE in self.cmdline(pid))
        self.assertEqual(os.sched_getaffinity(vmm), {FREE_CPUS[0]})
        self.assertEqual(pathlib.Path(f"/proc/{vmm}/oom_score_adj").read_text(), "300\n")
        self.assertEqual(os.sched_getaffinity(run.process.pid), set(FREE_CPUS))
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(run)

    def cmdline(self, pid):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")

    def test_each_remote_has_its_own(self):
        """[remote ID] counts more than [remote]."""
        path = self.write("[vm]\nqemu={fake}\n[remote]\nsandbox=off\noom-score=100\n"
                          "[remote b]\nsandbox=seccomp-only\nevents=/dev/null\n"
                          "[device a]\ndriver=edu\n[device b]\ndriver=edu\n")
        result = self.call("check", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        first, second, _ = result.stdout.split("--- \\\n")
        self.assertIn("--sandbox=off", first)
        self.assertNotIn("--events", first)
        self.assertIn("--sandbox=seccomp-only", second)
        self.assertIn("--events=/dev/null", second)
        self.assertNotIn("--sandbox=off", second)
        for n in (0, 1):
            self.assertIn(f"#   remote {n}: oom_score_adj is 100\n", result.stdout)

    def test_on_remote_exit(self):
        """The policy of the file: QEMU gets SIGTERM when its remote dies."""
        run = self.start(["start", self.vm("on-remote-exit = stop\n")], self.fake("signals"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        os.kill(run.remote_pids()[0], signal.SIGKILL)
        self.assertEqual(run.wait(), 123, run.text())
        self.assertIn("SIGTERM", self.read_out())
        self.nothing_left(run)


class Real(File):
    """Stock QEMU by -S -qtest stdio."""

    def test_disk_of_a_file(self):
        path = self.write("[vm]\nqemu = {qemu}\narguments = -nodefaults -display none -S -qtest "
                          "stdio\n[accel]\naccel = tcg\n[memory]\nsize = 64M\n"
                          "[device lsi0]\ndriver = lsi53c895a\naddr = 5\n"
                          "[disk d]\nbus = lsi0.0\nfile = {image}\nformat = raw\n")
        run = self.start(["start", path])
        run.process.stdin.write(f"outl 0xcf8 {0x80000000 | 5 << 11:#x}\ninl 0xcfc\n")
        run.process.stdin.flush()
        answers = [run.process.stdout.readline() for _ in range(2)]
        self.assertEqual(answers[0], "OK\n", run.text())
        self.assertEqual(int(answers[1].split()[1], 0), 0x00121000)
        self.assertIn("lsi0 (lsi53c895a; scsi-hd d) is served by process", run.text())
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(run)

    def test_a_key_that_qemu_has_not(self):
        """Of a device that only QEMU knows, QEMU says so."""
        path = self.write("[vm]\nqemu = {qemu}\narguments = -nodefaults -display none -S\n"
                          "[accel]\naccel = tcg\n[device e]\ndriver = edu\n"
                          "[device n]\ndriver = e1000\nnosuch = 1\n")
        run = self.start(["start", path])
        self.assertEqual(run.wait(), 1, run.text())
        self.assertIn("nosuch", run.text())
        self.nothing_left(run)


if __name__ == "__main__":
    tap.main()
