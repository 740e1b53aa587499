#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM's file: check, start and import, with the fake QEMU and with the real one."""
import os
import pathlib
import signal
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[0] / "lib"))
import mpq              # noqa: E402
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
        self.refused(self.call("strat", "a"), "unknown verb 'strat'; did you mean 'start'?")

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
        for option in ("name=x", "daemonize", "pidfile=p", "log-json"):
            name = option.partition("=")[0]
            self.refused(self.call("import", f"--{option}", "--", "q", "-S"),
                         f"import: --{name} is not what a file says; leave it out")

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
            self.skipTest("every file is readable to root")
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
                ("[remote]", "remote=lsi0,lsi9\n[remote]", 3,
                 "remote=lsi9: no -device has this id"),
                ("[remote]", "local=lsi0\nremote=lsi0\n[remote]", 4, "remote=lsi0: it is also "
                 "among those that stay (local)"),
                ("[remote]", "[remote]\nevents=fd=77", 4, "events=fd=77: no such fd is open"),
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

    def disks(self, first, second, more="", between=""):
        """A VM with two disks of these lines."""
        return self.write("[vm]\nqemu = {fake}\n" + more + "[device lsi0]\n"
                          "driver = lsi53c895a\n[disk a]\nbus = lsi0.0\n" + first +
                          between + "[disk b]\nbus = lsi0.0\n" + second, "disks.conf")

    def test_image_twice(self):
        image, link = self.image, self.dir / "link"
        hard = self.dir / "hard"
        link.symlink_to(image)
        os.link(image, hard)
        first = "file = " + str(image) + "\nformat = raw\n"
        lsi1 = "[device lsi1]\ndriver = lsi53c895a\n"
        for second, between in ((image, ""), (link, ""), (hard, ""), (f"file:{link}", ""),
                                (f"{self.dir}/../{self.dir.name}/hard", lsi1)):
            bus = "lsi1.0" if between else "lsi0.0"
            path = self.disks(first, f"file = {second}\nformat = raw\n", between=between)
            text = pathlib.Path(path).read_text()
            pathlib.Path(path).write_text(text.replace("[disk b]\nbus = lsi0.0",
                                                       f"[disk b]\nbus = {bus}"))
            for verb in ("check", "start"):
                self.refused(self.call(verb, path, env=self.fake("fds")),
                             f"{path}:{11 if between else 9}: -drive if=none,id=b,file={second},"
                             f"format=raw: it is the same image as that of -drive if=none,id=a,"
                             f"file={image},format=raw, and they are not both read-only")
        self.assertFalse(os.path.exists(self.out))

    def test_image_twice_of_one_who_writes(self):
        text = "file = " + str(self.image) + "\nformat = raw\n"
        reads, shares = "readonly = on\n", "share-rw = on\n"
        for first, second, ok in (("", reads, False), (reads, "", False), (reads, reads, True),
                                  (shares, "", False), (shares, shares, True),
                                  ("", "file.locking = off\n", True)):
            path = self.disks(text + first, text + second)
            result = self.call("check", path)
            if ok:
                self.assertEqual(result.returncode, 0, result.stderr)
            else:
                self.refused(result, "it is the same image as that of")

    def test_image_twice_where_one_stays(self):
        """QEMU's own disk is another's too."""
        lines = "file = " + str(self.image) + "\nformat = raw\n"
        drive = f"-drive file={self.image},format=raw"
        node = f"-blockdev file,node-name=n,filename={self.image}"
        raw = "-blockdev raw,file=n,node-name=m -device ide-hd,drive=m"
        cd = f"-drive if=none,id=c,file={self.image},format=raw -device ide-cd,drive=c"
        # What it says, and whether it may be beside a disk that writes, and one that reads.
        for words, writer, reader in (
                ("-hda {image}", False, False), ("{image}", False, False), (drive, False, False),
                (f"{node} -device ide-hd,drive=n", False, False), (f"{node} {raw}", False, False),
                ("-cdrom {image}", False, True), (drive + ",readonly=on", False, True),
                (drive + ",snapshot=on", False, True), (cd, False, True),
                (f"{node},read-only=on {raw}", False, True),
                # QEMU takes no locks without a device
                (drive + ",if=none,id=u", True, True), (node, True, True)):
            for more, ok in (("", writer), ("readonly = on\n", reader)):
                path = self.vm(f"arguments = {words}\n")
                with open(path, "a") as file:
                    file.write(more)
                result = self.call("check", path)
                self.assertEqual(result.returncode, 0 if ok else 125, (words, result.stderr))
                if not ok:
                    self.refused(result, ": it is the same image as that of ")

    def test_no_qemu(self):
        path = self.write("[vm]\nqemu=/no/qemu\n[device]\ndriver=edu\n")
        self.refused(self.call("start", path), f"{path}:2: qemu=/no/qemu: cannot run it", 127)

    def test_cpus(self):
        missing = next(n for n in range(1024) if n not in FREE_CPUS)
        for path in (self.vm(f"cpus = {missing}\n"), self.vm(remote=f"cpus = {missing}\n")):
            result = self.call("check", path)
            self.refused(result, f"cpus={missing}: we may not run on all of these CPUs")
            self.assertRegex(result.stderr, f"{path}:[34]: ")
        path = self.vm(f"cpus = {FREE_CPUS[0]},{missing}\n")
        self.refused(self.call("start", path, env=self.fake("fds")), "QEMU: cpus=")
        self.assertFalse(os.path.exists(self.out))

    def test_numa(self):
        for value in ("1023", "0,1023", "interleave:1023"):
            path = self.vm(remote=f"numa = {value}\n")
            self.refused(self.call("check", path), f"{path}:4: lsi0 (lsi53c895a; scsi-hd d): "
                         f"numa={value}: not all of these nodes are there")
            self.refused(self.call("start", path, env=self.fake("fds")), f"numa={value}: ")
        self.assertFalse(os.path.exists(self.out))
        self.refused(self.call("--numa=1-0", "--", FAKE), "--numa=1-0: it takes [bind:|")
        self.refused(self.call("--numa=0", "--", "a", "---", FAKE), "--numa is for remotes that "
                     "are made here")
        self.refused(self.call("import", "--numa=x", "--", "q", "-S"), "--numa=x: it takes")

    def test_oom_score(self):
        if os.getuid() == 0:
            self.skipTest("nothing is refused to root")
        path = self.vm(remote="oom-score = -1000\n")
        self.refused(self.call("check", path), "oom-score: Permission denied")


class Fake(File):
    def test_help(self):
        for verb in ("start", "check", "import"):
            result = self.call(verb, "--help")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn(f"usage: mpqemu-orchestrate {verb} ", result.stdout)

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
        self.refused(self.call("check", path), f"{path}:3: protocol=vfio-user: this is QEMU "
                     "7.2")
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
        children = mpq.children(remote)
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

    def policies(self, pid):
        """Of the memory that has no policy of its own, which is that of the process."""
        lines = pathlib.Path(f"/proc/{pid}/numa_maps").read_text().splitlines()
        return {line.split()[1] for line in lines}

    @unittest.skipUnless(os.path.exists("/proc/self/numa_maps"), "this kernel has no NUMA")
    @unittest.skipUnless(os.getuid() == 0, "a device process shows its memory to root alone")
    def test_numa(self):
        """Of a remote and its device process, which runs on; not of QEMU, and none of ours."""
        for value, shown in (("0", "bind:0"), ("preferred:0", "prefer:0"),
                             ("interleave:0", "interleave:0"), ("default", "default")):
            run = self.start(["start", self.vm(remote=f"numa = {value}\n")], self.fake("wait"))
            run.until(lambda: run.process.stdout.readline() == "ready\n")
            remote, = run.remote_pids()
            children = mpq.children(remote)
            self.assertTrue(children)
            for pid in (remote, *children):
                self.assertEqual(self.policies(pid), {shown})
            vmm, = (pid for pid in run.pids() if FAKE in self.cmdline(pid))
            self.assertEqual(self.policies(vmm), {"default"})
            self.assertEqual(self.policies(run.process.pid), {"default"})
            self.assertEqual(run.wait(), 0, run.text())
            self.nothing_left(run)
        line = self.call("--numa=interleave:0", "--dry-run", "--", FAKE, "-accel", "tcg",
                         "-device", "edu,id=e")
        self.assertIn("#   remote 0: its memory is on the NUMA nodes interleave:0\n", line.stdout)
        text = self.call("import", "--numa=0", "--", FAKE, "-device", "edu,id=e").stdout
        self.assertIn("[remote]\nnuma = 0\n", text)

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
        self.assertIn("# (CPUs, NUMA nodes and oom_score_adj are not in it)\n", result.stdout)

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

    def test_keys_of_qemu_s_own(self):
        """QEMU is asked for the keys of what it alone knows."""
        vm = ("[vm]\nqemu = {qemu}\narguments = -nodefaults -display none\n[accel]\n"
              "accel = tcg\n[device e]\ndriver = edu\n")
        for more, line, why in (
                ("[device n]\ndriver=e1000\nmca=1\n", 10, "mca: QEMU's e1000 has no such key; "
                 "did you mean 'mac'?"),
                ("[device n]\ndriver=e10000\n", 8, "[device]: this QEMU has no device 'e10000'"),
                ("[object o]\nqom-type=iothread\npoll-max=1\n", 10, "poll-max: QEMU's iothread "
                 "has no such key"),
                ("[object o]\nqom-type=iothreads\n", 8,
                 "[object]: this QEMU has no object 'iothreads'"),
                ("[disk o]\ndriver=virtio-blk-pci\nfile=x\nnumqueues=1\n", 11,
                 "numqueues: QEMU's virtio-blk-pci has no such key; did you mean 'num-queues'?")):
            path = self.write(vm + more)
            self.refused(self.call("check", path), f"{path}:{line}: {why}")
        path = self.write(vm + "[device n]\ndriver=e1000\nbus=pci.0\nmac=52:54:00:00:00:01\n"
                          "bootindex=1\n[object o]\nqom-type=iothread\npoll-max-ns=1\n"
                          "[disk o]\ndriver=virtio-blk-pci\nfile=x\niothread=o\nwerror=stop\n")
        result = self.call("check", path)
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_a_key_that_qemu_has_not(self):
        """What is no group QEMU reads itself."""
        path = self.write("[vm]\nqemu = {qemu}\narguments = -nodefaults -display none -S "
                          "-device e1000,nosuch=1\n[accel]\naccel = tcg\n[device e]\n"
                          "driver = edu\n")
        run = self.start(["start", path])
        self.assertEqual(run.wait(), 1, run.text())
        self.assertIn("nosuch", run.text())
        self.nothing_left(run)


class Engine(File):
    """engine=qemu: devices that mpqemu-remote has not, in QEMU's own remote."""

    DEVICES = ("am53c974", "dc390", "e1000", "i82551", "i82557b", "lsi53c810", "lsi53c895a",
               "mptsas1068", "ne2k_pci", "pcnet", "rtl8139", "tulip")
    FIRST_SLOT = 4
    QTEST = ["-nodefaults", "-display", "none", "-S", "-qtest", "stdio"]

    def vm_of(self, device, more="", remote="engine = qemu\n", vm=""):
        return self.write("[vm]\nqemu = {qemu}\n" + vm + "arguments = " + " ".join(self.QTEST) +
                          "\n[accel]\naccel = tcg\n[memory]\nsize = 64M\n[remote]\n"
                          "sandbox = strict\n[remote x]\n" + remote + "[device x]\ndriver = " +
                          device + "\n" + more)

    def ask(self, process, line):
        process.stdin.write(line + "\n")
        process.stdin.flush()
        while not (answer := process.stdout.readline()).startswith("OK"):
            self.assertTrue(answer, "the end of QEMU's answers")
        return int(answer.split()[1], 0) if " " in answer else None

    def config(self, process, slot, offset, value=None):
        self.ask(process, f"outl 0xcf8 {0x80000000 | slot << 11 | offset:#x}")
        if value is None:
            return self.ask(process, "inl 0xcfc")
        return self.ask(process, f"outl 0xcfc {value:#x}")

    def read_device(self, process, slot):
        """Ids, class, subsystem, pin; and the BARs' sizes."""
        words = [self.config(process, slot, offset) for offset in (0, 8, 0x2c, 0x3c)]
        for offset in range(0x10, 0x28, 4):
            self.config(process, slot, offset, 0xffffffff)
            words.append(self.config(process, slot, offset))
            self.config(process, slot, offset, 0)
        return [f"{word:08x}" for word in words]

    def capabilities(self, process, slot):
        """Their ids (PCI 3.0, 6.7)."""
        found, at = [], self.config(process, slot, 0x34) & 0xfc
        while at and len(found) < 48:
            word = self.config(process, slot, at)
            found.append(word & 0xff)
            at = word >> 8 & 0xfc
        return found

    def test_devices(self):
        """Each that is taken is the same behind the proxy as in plain QEMU."""
        text = ("[vm]\nqemu = {qemu}\nstart-timeout = 300\narguments = " +
                " ".join(self.QTEST) + "\n[accel]\naccel = tcg\n[memory]\nsize = 64M\n")
        line = [qemu.QEMU, *self.QTEST, "-accel", "tcg", "-m", "64M"]
        for slot, name in enumerate(self.DEVICES, self.FIRST_SLOT):
            text += f"[remote d{slot}]\nengine = qemu\n[device d{slot}]\ndriver = {name}\n"
            text += f"addr = {slot:#x}\n"
            line += ["-device", f"{name},id=d{slot},addr={slot:#x}"]
        run = self.start(["start", self.write(text)])
        plain = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                 stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (plain.kill(), plain.communicate()))
        for slot, name in enumerate(self.DEVICES, self.FIRST_SLOT):
            with self.subTest(device=name):
                self.assertEqual(self.read_device(run.process, slot),
                                 self.read_device(plain, slot))
                # MSI and MSI-X: nobody would deliver them.
                self.assertFalse({5, 0x11} & set(self.capabilities(run.process, slot)))
        self.assertEqual(len(run.remote_pids()), len(self.DEVICES))
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(run)

    def test_network_card(self):
        """With its back end, and its registers in the guest's memory."""
        run = self.start(["start", self.vm_of("e1000", "netdev = n\nmac = 52:54:00:12:34:56\n"
                                              "addr = 5\n[netdev n]\ntype = user\n")])
        process = run.process
        self.config(process, 5, 0x10, 0xe0000000)
        self.config(process, 5, 4, 6)
        # RAL and RAH: the receive address (82540 manual, 13.4.2).
        self.assertEqual(self.ask(process, "readl 0xe0005400"), 0x12005452)
        self.assertEqual(self.ask(process, "readl 0xe0005404") & 0xffff, 0x5634)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(run)

    def test_plan(self):
        disk = "[disk d]\nbus = x.0\nfile = {image}\nformat = raw\n"
        result = self.call("check", self.vm_of("am53c974", disk))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        remote, vmm = result.stdout.split("--- \\\n")
        for word in ("-machine x-remote", "-sandbox on,", "scsi-hd,id=d", "am53c974,id=x"):
            self.assertIn(word, remote)
            self.assertNotIn(word, vmm)
        self.assertNotIn("--sandbox", remote)       # [remote] means mpqemu-remote's
        self.assertIn("x-pci-proxy-dev,id=x", vmm)

    def test_refused(self):
        net = "netdev = n\n[netdev n]\ntype = "
        for device, more, why in (
                ("virtio-net-pci", "", "[remote x]: engine=qemu: virtio-net-pci is none of the "
                 "devices for which 32-bit BARs and INTx are enough (am53c974, dc390, e1000, "),
                ("nvme", "serial = 1\n", "nvme is none of the devices"),
                ("e1000", "bootindex = 1\n", "bootindex=: QEMU's proxy has none"),
                ("e1000", "romfile = x.rom\n", "romfile=: QEMU's proxy shows the guest no"),
                ("e1000", "netdev = m\n", "no -netdev is called 'm'"),
                ("e1000", net + "tap\nfd = 7\n", "fd=: QEMU's own remote does not get this file"),
                ("e1000", net + "user\n[device y]\ndriver = e1000\nnetdev = n\n",
                 "it stays in QEMU, and 'n', which it uses, moves"),
                ("e1000", net + "user\n[object f]\nqom-type = filter-dump\nnetdev = n\n"
                 "file = x\n", "it stays in QEMU, and 'n', which it uses, moves"),
                ("e1000", net + "user\n[remote y]\nengine = qemu\n[device y]\ndriver = e1000\n"
                 "netdev = n\n", "netdev 'n' has moved with another device")):
            path = self.vm_of(device, more)
            result = self.call("check", path)
            self.refused(result, why)
            self.assertRegex(result.stderr, f"^mpqemu-orchestrate: {path}:[0-9]+: ")
        for key in ("sandbox = off", "on-error = stop", "events = /dev/null"):
            path = self.vm_of("e1000", remote=f"engine = qemu\n{key}\n")
            self.refused(self.call("check", path), f"[remote x]: {key.replace(' ', '')}: "
                         "on-error=, on-crash=, watchdog=, events= and sandbox= are "
                         "mpqemu-remote's (engine=builtin); engine=qemu has none of them")
        for more, why in (("watchdog = 0\non-crash = reset\n", "it takes seconds, 1 to 3600"),
                          ("watchdog = 5\n", "--watchdog: nobody would take the place of a "
                           "process that does not answer; add --on-crash=reset")):
            path = self.vm_of("lsi53c895a", remote=more)
            self.refused(self.call("check", path), why)
        path = self.vm_of("lsi53c895a", remote="watchdog = 5\non-crash = reset\n")
        self.assertIn("--watchdog=5", self.call("check", path).stdout)
        path = self.vm_of("e1000", vm="protocol = vfio-user\n")
        self.refused(self.call("check", path), "QEMU's own x-remote gets mpqemu from here")
        path = self.vm_of("e1000", vm="local = x\n")
        self.refused(self.call("check", path), "nothing to move: no -device of those chosen")
        path = self.vm_of("e1000", remote="engine = builtin\n")
        self.refused(self.call("check", path), "nothing to move")


if __name__ == "__main__":
    tap.main()
