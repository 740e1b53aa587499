#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-orchestrate with real processes: stock QEMU and both remotes, and fakes that misbehave."""
import fcntl
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import termios
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[0] / "lib"))
import mpq              # noqa: E402
import qemu             # noqa: E402
import tap              # noqa: E402
from launch import Case, DOC_QEMU, FAKE, FAKE_REMOTE, PATIENCE  # noqa: E402

LSI_IDS = 0x00121000    # 1000:0012, LSI53C895A

# The document's command line of a remote, but for paths and sizes.
DOC_REMOTE = ["-machine", "x-remote", "-device", "lsi53c895a,id=lsi0", "-drive",
              "id=drive_image2,file={image}", "-device",
              "scsi-hd,id=drive2,drive=drive_image2,bus=lsi0.0,scsi-id=0", "-object",
              "x-remote-object,id=robj1,devid=lsi0,fd=4,"]
QUIET = ["-nodefaults", "-display", "none", "-S"]


class Qtest:
    """QEMU's qtest protocol on an orchestrator's stdin and stdout."""

    def __init__(self, run):
        self.run = run

    def ask(self, line):
        self.run.process.stdin.write(line + "\n")
        self.run.process.stdin.flush()
        answer = self.run.process.stdout.readline().split()
        if not answer or answer[0] != "OK":
            raise AssertionError(f"{line}: {answer}; stderr:\n{self.run.text()}")
        return int(answer[1], 0) if len(answer) > 1 else None

    def config(self, slot, offset, value=None):
        self.ask(f"outl 0xcf8 {0x80000000 | slot << 11 | offset:#x}")
        if value is None:
            return self.ask("inl 0xcfc")
        return self.ask(f"outl 0xcfc {value:#x}")


class StockQemu(Case):
    """The real proxy, without a guest: -S -qtest stdio."""

    def document(self, program):
        remote = [program, *(a.format(image=self.image) for a in DOC_REMOTE)]
        if program == qemu.QEMU:
            remote += ["-display", "none"]
        return ["--", *remote, "---", qemu.QEMU, *DOC_QEMU, *QUIET, "-accel", "tcg", "-qtest",
                "stdio"]

    def check_document(self, program):
        run = self.start(self.document(program))
        qtest = Qtest(run)
        slot = next(s for s in range(32) if qtest.config(s, 0) == LSI_IDS)
        # BAR 0: 256 bytes of I/O space, the chip's registers.
        qtest.config(slot, 0x10, 0xffffffff)
        self.assertEqual(qtest.config(slot, 0x10), 0xffffff01)
        qtest.config(slot, 0x10, 0xc000)
        qtest.config(slot, 4, 7)
        # SCRATCHA (0x34) is memory to the chip; CTEST4 and the like are not.
        qtest.ask("outl 0xc034 0x12345678")
        self.assertEqual(qtest.ask("inl 0xc034"), 0x12345678)
        self.assertEqual(qtest.ask("inb 0xc037"), 0x12)
        # BAR 1 shows the same registers in memory.
        qtest.config(slot, 0x14, 0xe0000000)
        self.assertEqual(qtest.ask("readl 0xe0000034"), 0x12345678)
        qtest.ask("writew 0xe0000034 0xbeef")
        self.assertEqual(qtest.ask("inl 0xc034"), 0x1234beef)
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(run)
        self.assertIn("socket=3 became fd=3", run.text())
        self.assertIn("added -machine memory-backend=mem", run.text())
        return run.text()

    def test_document_with_our_remote(self):
        text = self.check_document(qemu.built("mpqemu-remote"))
        self.assertRegex(text, r"lsi0 \(lsi53c895a\) is served by process \d+: ")

    def test_document_with_qemus_own_remote(self):
        self.check_document(qemu.QEMU)

    def test_remote_command_option(self):
        line = self.document(qemu.built("mpqemu-remote"))
        at = line.index("---")
        run = self.start(["--remote-command", shlex.join(line[1:at]), "--", *line[at + 1:]])
        qtest = Qtest(run)
        self.assertIn(LSI_IDS, [qtest.config(s, 0) for s in range(8)])
        run.process.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(run)

    def slots(self, run):
        qtest = Qtest(run)
        return [[qtest.config(slot, offset) for offset in (0, 8, 0x2c)] for slot in range(32)]

    def test_slots_stay(self):
        """Each device is found where plain QEMU puts it."""
        line = [qemu.QEMU, *QUIET, "-accel", "tcg", "-qtest", "stdio", "-device", "e1000",
                "-device", "lsi53c895a,id=a", "-device", "rtl8139", "-device", "edu,id=b,addr=9",
                "-device", '{"driver":"lsi53c810","id":"c"}', "-device", "ne2k_pci",
                "-device", "lsi53c895a", "-device",
                '{"driver":"lsi53c895a","id":"d","addr":"0xa"}']
        line[line.index("edu,id=b,addr=9")] = "e1000,addr=9"
        run = self.start(["--", *line])
        ours = self.slots(run)
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())
        plain = self.start(["--local", "nobody", "--", *line])
        plain.wait()                    # refused: no such id; so QEMU itself, by hand
        process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.DEVNULL)
        plain.process = process
        theirs = self.slots(plain)
        process.kill()
        process.wait()
        self.assertEqual([ids[0] for ids in ours], [ids[0] for ids in theirs])
        self.assertEqual(sum(ids[0] == LSI_IDS for ids in ours), 3)
        self.assertEqual(len(run.remote_pids()), 4)

    def test_firmware_boots_from_a_moved_disk(self):
        """SeaBIOS, the boot sector of the guest suite, a disk that plain QEMU would have had."""
        boot = HERE.parents[0] / "guest" / "boot.asm"
        sector = self.dir / "boot.bin"
        try:
            subprocess.run(["nasm", "-f", "bin", "-o", sector, boot], check=True)
        except FileNotFoundError:
            self.skipTest("nasm is not installed")
        text = b"block one of the image, by INT13"
        with open(self.image, "r+b") as file:
            file.write(sector.read_bytes() + text)
        serial = self.dir / "serial"
        run = self.start(["--", qemu.QEMU, "-nodefaults", "-display", "none", "-vga", "none",
                          "-accel", "tcg", "-m", "64", "-serial", f"file:{serial}", "-device",
                          "lsi53c895a", "-drive", f"if=none,id=d,format=raw,file={self.image}",
                          "-device", "scsi-hd,drive=d,bootindex=0"])
        run.until(lambda: serial.exists() and b":done" in serial.read_bytes())
        self.assertEqual(serial.read_bytes(), b"boot: " + text + b" :done\n")
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())
        self.assertIn("bootindex dropped", run.text())
        self.nothing_left(run)

    def test_two_remotes_of_qemus_own(self):
        run = self.start(["--remote-program", qemu.QEMU, "--", qemu.QEMU, *QUIET, "-accel", "tcg",
                          "-qtest", "stdio", "-device", "lsi53c895a,id=a,addr=5", "-device",
                          "lsi53c810,id=b,addr=6", "-drive",
                          f"if=none,id=d,format=raw,file={self.image}", "-device",
                          "scsi-hd,drive=d,bus=b.0"])
        qtest = Qtest(run)
        self.assertEqual(qtest.config(5, 0), LSI_IDS)
        self.assertEqual(qtest.config(6, 0), 0x00011000)
        run.process.send_signal(signal.SIGHUP)
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(run)

    def test_dry_run_runs(self):
        """What --dry-run prints is a shell command that does the same."""
        line = [qemu.QEMU, *QUIET, "-accel", "tcg", "-qmp", "stdio", "-device",
                "lsi53c895a,id=a,addr=5", "-drive",
                f"if=none,id=d,format=raw,file={self.image}", "-device", "scsi-hd,drive=d",
                "-name", "it's a test"]
        printed = self.start(["--on-error=stop", "--dry-run", "--", *line])
        text = printed.process.stdout.read()
        self.assertEqual(printed.wait(), 0)
        env = {**os.environ, "PATH": os.path.dirname(qemu.built("x")) + ":" + os.environ["PATH"]}
        result = subprocess.run(["sh", "-c", text], env=env, text=True, timeout=PATIENCE,
                                capture_output=True,
                                input='{"execute":"qmp_capabilities"}'
                                      '{"execute":"query-pci"}{"execute":"query-name"}'
                                      '{"execute":"query-chardev"}'
                                      '{"execute":"quit"}')
        self.assertEqual(result.returncode, 0, result.stderr)
        # The proxy sized three BARs, which only a remote that answers has.
        self.assertRegex(result.stdout, r'"qdev_id": "a".*"bar": 2, "size": 8192')
        self.assertIn("it's a test", result.stdout)
        # The monitor that the remote can stop the VM by: QEMU is connected to it.
        self.assertRegex(result.stdout, r'"frontend-open": true, "filename": "unix:[^"]*", '
                                        r'"label": "mpqemu-qmp-a"')

    def test_monitor_beside_ours(self):
        """QEMU's default monitor is there, though a -mon of ours takes it away otherwise."""
        run = self.start(["--on-error=stop", "--", qemu.QEMU, "-nographic", "-vga", "none", "-S",
                          "-accel", "tcg", "-device", "lsi53c895a,id=a", "-drive",
                          f"if=none,id=d,format=raw,file={self.image}", "-device",
                          "scsi-hd,drive=d"])
        run.process.stdin.write("\x01cinfo chardev\nquit\n")
        run.process.stdin.flush()
        said = run.process.stdout.read()
        self.assertIn("mpqemu-qmp-a: filename=unix:", said)
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(run)
        self.assertNotIn("--qmp", run.text())

    def test_no_stop_for_made_remotes(self):
        run = self.start(self.fake_line([FAKE_REMOTE, "fds"], "--on-error=stop"))
        self.assertEqual(run.wait(), 125)
        self.assertIn("write them into the remote commands", run.text())

    def test_qemus_refusal_is_passed_on(self):
        run = self.start(["--", qemu.QEMU, *QUIET, "-accel", "tcg", "-device",
                          "lsi53c895a,id=a", "-device", "no-such-device"])
        self.assertEqual(run.wait(), 1)
        self.assertIn("'no-such-device' is not a valid device model name", run.text())
        self.nothing_left(run)

    def test_remote_killed(self):
        """The proxy reads all ones, QEMU goes on, the exit status says it."""
        run = self.start(["--", qemu.QEMU, *QUIET, "-accel", "tcg", "-qtest", "stdio", "-device",
                          "lsi53c895a,id=a,addr=5"])
        qtest = Qtest(run)
        self.assertEqual(qtest.config(5, 0), LSI_IDS)
        os.kill(run.remote_pids()[0], signal.SIGKILL)
        run.until(lambda: "was killed by signal 9 (KILL)" in run.text())
        # The keeper was killed; its device process follows in its own time.
        run.until(lambda: qtest.config(5, 0) == 0xffffffff)
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 123)
        self.nothing_left(run)


class Ends(Case):
    """Exit statuses, signals, what is left behind."""

    def test_status_passes(self):
        for how, status in (("exit7", 7), ("segv", 139)):
            with self.subTest(how):
                run = self.start(self.real_remote(), self.fake(how))
                self.assertEqual(run.wait(), status, run.text())
                self.nothing_left(run)

    def test_programs_that_are_not_there(self):
        plain = self.dir / "plain"
        plain.write_text("no program\n")
        for program, status in (("/nonexistent/qemu", 127), ("no-such-qemu-anywhere", 127),
                                (str(plain), 126), (str(self.dir), 126)):
            with self.subTest(program, where="QEMU"):
                run = self.start(["--", program, "-device", "lsi53c895a"])
                self.assertEqual(run.wait(), status, run.text())
                self.assertIn(f"{program}: cannot run it: ", run.text())
            with self.subTest(program, where="remote"):
                run = self.start(["--remote-program", program, *self.real_remote()],
                                 self.fake("exit7"))
                self.assertEqual(run.wait(), status, run.text())
                self.assertIn(f"{program}: cannot run it: ", run.text())
                self.nothing_left(run)

    def test_all_that_the_remote_emulates_moves(self):
        """The two programs agree on the drivers and their aliases."""
        listed = subprocess.run([qemu.built("mpqemu-remote"), "-device", "help"], text=True,
                                capture_output=True, check=True, timeout=PATIENCE).stdout
        drivers = re.findall(r'^name "([^"]+)", bus PCI', listed, re.M)
        drivers += re.findall(r'bus PCI.*alias "([^"]+)"', listed)
        self.assertLessEqual({"lsi53c895a", "lsi53c810", "edu", "lsi"}, set(drivers))
        argv = ["--dry-run", "--", FAKE]
        for driver in drivers:
            argv += ["-device", driver]
        run = self.start(argv, self.fake("exit7"))
        text = run.process.stdout.read()
        self.assertEqual(run.wait(), 0, run.text())
        self.assertEqual(text.count("-device x-pci-proxy-dev,"), len(drivers))

    def test_usage(self):
        for argv, text in (
                ([], "QEMU's command line is missing"),
                (["--"], "QEMU's command line is missing after"),
                (["--", "---", FAKE], "a command is missing at a"),
                (["--", FAKE, "---"], "a command is missing at a"),
                (["--nope", "--", FAKE], "Unknown option --nope"),
                (["--dry-run", "stray", "--", FAKE], "stray: QEMU's command line stands after"),
                (["frobnicate", "--", FAKE], "unknown verb 'frobnicate': --help lists them, and "
                 "QEMU's command line stands after a"),
                (["statsu", "vm"], "unknown verb 'statsu'; did you mean 'status'?"),
                (["atach", "vm"], "unknown verb 'atach'; did you mean 'attach'?"),
                (["inspekt", "1"], "unknown verb 'inspekt'; did you mean 'inspect'?"),
                (["help"], "unknown verb 'help'; did you mean '--help'?"),
                (["qemu-system-x86_64", "-m", "1G"], "qemu-system-x86_64: QEMU's command line "
                 "stands after"),
                (["/usr/bin/q"], "/usr/bin/q: QEMU's command line stands after"),
                (["--on-remote-exit=panic", "--", FAKE], "it is one of report|pause|stop"),
                (["--start-timeout=0", "--", FAKE], "1 or more"),
                (["--remote", "x", "--", "a", "---", FAKE], "with explicit remote commands"),
                (["--remote-command", "a 'b", "--", FAKE], "--remote-command 'a 'b'"),
                (["--", FAKE], "nothing to move"),
                (["--", "true", "-device", "lsi53c895a"], "does not answer -version as QEMU")):
            with self.subTest(argv):
                run = self.start(argv, self.fake("exit7"))
                self.assertEqual(run.wait(), 125, run.text())
                self.assertIn(text, run.text())
                self.assertEqual(run.text().count("\n"), 1)

    def test_qemu_without_the_device(self):
        run = self.start(self.real_remote(), self.fake("exit7", FAKE_NO_PROXY="1"))
        self.assertEqual(run.wait(), 125)
        self.assertIn("has neither vfio-user-pci (10.1 or later) nor x-pci-proxy-dev", run.text())

    def test_qemu_that_crashes_under_tcg(self):
        run = self.start(self.real_remote(), self.fake("exit7", FAKE_VERSION="10.0.13"))
        self.assertEqual(run.wait(), 125)
        self.assertIn("QEMU 10.0 crashes by itself", run.text())

    def test_questions_go_to_qemu(self):
        run = self.start(["--", FAKE, "-version"])
        self.assertEqual(run.process.stdout.read(), "QEMU emulator version 7.2.0 (fake)\n")
        self.assertEqual(run.wait(), 0)

    def test_images(self):
        short = self.dir / "short.raw"
        short.write_bytes(b"x" * 700)
        for name, text in ((str(self.dir / "none.raw"), "No such file or directory"),
                           (str(short), "Could not open")):
            with self.subTest(name):
                argv = [a.replace(self.image, name) for a in self.real_remote("--dry-run")]
                run = self.start(argv, self.fake("exit7"))
                self.assertEqual(run.wait(), 125)
                self.assertIn(text, run.text())

    def test_dry_run_names_the_backing_chain(self):
        """What a storage daemon will be able to open is shown; a missing backing file is told."""
        top = str(self.dir / "top.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self.image,
                        top], check=True, timeout=PATIENCE)
        argv = [a.replace(self.image, top).replace("raw", "qcow2")
                for a in self.real_remote("--dry-run")]
        run = self.start(argv, self.fake("exit7"))
        text = run.process.stdout.read()
        self.assertEqual(run.wait(), 0, run.text())
        daemon = re.search(r"^# d: its remote starts qemu-storage-daemon .*$", text, re.M)[0]
        self.assertIn(self.image, daemon)
        self.assertIn(top, daemon)
        os.unlink(self.image)
        run = self.start(argv, self.fake("exit7"))
        self.assertEqual(run.wait(), 125)
        self.assertIn(self.image, run.text())

    def test_image_in_use(self):
        first = self.start(self.real_remote(), self.fake("wait"))
        first.until(lambda: first.process.stdout.readline() == "ready\n")
        second = self.start(self.real_remote(), self.fake("exit7"))
        self.assertEqual(second.wait(), 125)
        self.assertIn('Failed to get "write" lock', second.text())
        self.assertEqual(first.wait(), 0, first.text())
        third = self.start(self.real_remote(), self.fake("exit7"))
        self.assertEqual(third.wait(), 7)

    def test_one_image_in_two_remotes(self):
        run = self.start([*self.real_remote(), "-device", "lsi53c895a,id=b", "-drive",
                          f"if=none,id=e,format=raw,file={self.image}", "-device",
                          "scsi-hd,drive=e"], self.fake("exit7"))
        self.assertEqual(run.wait(), 125)
        self.assertIn("it is the same image as that of", run.text())

    def test_signals_in_order(self):
        """QEMU gets the signal while its remote still serves."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signum):
                run = self.start(self.real_remote(), self.fake("signals"))
                run.until(lambda: run.process.stdout.readline() == "ready\n")
                run.process.send_signal(signum)
                self.assertEqual(run.wait(), 0, run.text())
                self.assertEqual(self.read_out(), f"{signum.name} remotes=1\n")
                self.nothing_left(run)
                self.assertNotIn("while QEMU was using it", run.text())

    def test_terminal(self):
        """Ctrl-C at the terminal reaches QEMU, which is in the foreground, and not its remote."""
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)

        def attach():
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        run = self.start(self.real_remote(), self.fake("signals"), preexec_fn=attach)
        os.close(theirs)
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        self.assertEqual(os.tcgetpgrp(ours), run.process.pid)
        os.write(ours, b"\x03")
        self.assertEqual(run.wait(), 0, run.text())
        self.assertEqual(self.read_out(), "SIGINT remotes=1\n")
        self.nothing_left(run)

    def test_two_signals_at_once(self):
        """As timeout(1) sends them: QEMU gets its time to end."""
        run = self.start(self.real_remote(), self.fake("signals"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        run.process.send_signal(signal.SIGTERM)
        run.process.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(), 0, run.text())
        self.assertNotIn("second signal", run.text())
        self.nothing_left(run)

    def test_second_signal_kills(self):
        run = self.start(self.real_remote(), self.fake("deaf"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        run.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)                 # two signals at once may be one
        self.assertIsNone(run.process.poll())
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 137, run.text())
        self.assertIn("second signal: killing QEMU", run.text())
        self.nothing_left(run)

    def test_nobody_reads_stderr(self):
        """Lines are lost, and nothing else is."""
        with subprocess.Popen([qemu.built("mpqemu-orchestrate"), *self.real_remote()],
                              env={**os.environ, **self.fake("exit7")},
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            process.stderr.close()
            self.assertEqual(process.wait(PATIENCE), 7)

    def test_sigpipe_of_qemu(self):
        """It is ours alone to ignore: QEMU has the one that we were given."""
        program = self.dir / "qemu"
        program.write_text("#!/bin/sh\nexec grep SigIgn /proc/self/status\n")
        program.chmod(0o755)
        run = self.start(["--", str(program), "-version"])
        ignored = int(run.process.stdout.read().split()[1], 16)
        self.assertEqual(run.wait(), 0)
        self.assertFalse(ignored & 1 << signal.SIGPIPE - 1, hex(ignored))

    def test_signal_before_qemu(self):
        run = self.start(self.fake_line([FAKE_REMOTE, "silent"]), self.fake("exit7"))
        run.until(run.remote_pids)
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 143, run.text())
        self.nothing_left(run)

    def test_device_process_hangs(self):
        """One that does not end is killed by its keeper, not left behind without it."""
        run = self.start(self.real_remote(), self.fake("wait"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        keeper = run.remote_pids()[0]
        device, = mpq.children(keeper)
        os.kill(device, signal.SIGSTOP)
        self.assertEqual(run.wait(), 123, run.text())
        self.assertNotIn("sending SIGKILL", run.text())
        self.nothing_left(run)

    def test_orchestrator_killed(self):
        run = self.start(self.real_remote(), self.fake("wait"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        self.assertGreaterEqual(len(run.pids()), 3)     # QEMU, keeper, device process
        run.process.kill()
        run.process.wait()
        self.nothing_left(run)

    def test_inherited_fds(self):
        """QEMU has what it was given, its socket, its monitor; the remote its socket alone."""
        out = str(self.dir / "remote-out")
        with open(self.image, "rb") as file:
            inherited = file.fileno()
            os.set_inheritable(inherited, True)
            run = self.start(self.fake_line([FAKE_REMOTE, "fds"]),
                             self.fake("fds", FAKE_REMOTE_OUT=out), pass_fds=[inherited])
            self.assertEqual(run.wait(), 0, run.text())
        self.assertEqual(run.process.returncode, 0)
        qemus = dict(line.split(maxsplit=1) for line in self.read_out().splitlines())
        remotes = pathlib.Path(out).read_text().splitlines()
        self.assertEqual(qemus["3"], "socket")
        self.assertEqual(qemus[str(inherited)] if inherited > 4 else self.image, self.image)
        extra = set(qemus) - {"0", "1", "2", "3", str(inherited)}
        monitors = [fd for fd in extra if qemus[fd] == "socket"]
        self.assertEqual(len(monitors), 1, qemus)
        self.assertTrue(all("/proc" in qemus[fd] for fd in extra - set(monitors)), qemus)
        self.assertEqual(remotes[0], "0 /dev/null")
        self.assertEqual(remotes[3], "4 socket")
        self.assertTrue(all("/proc" in line for line in remotes[4:-1]), remotes)
        self.assertEqual(remotes[-1], "pgrp=True")

    def test_odd_surroundings(self):
        """SIGCHLD ignored, SIGTERM blocked, stdin closed: children end and are seen to end."""
        def spoil():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            os.close(0)
        run = self.start(self.real_remote(), self.fake("exit7"), preexec_fn=spoil)
        self.assertEqual(run.wait(), 7, run.text())
        self.nothing_left(run)


class BadRemotes(Case):
    def refused(self, how, text, *options):
        run = self.start(self.fake_line([FAKE_REMOTE, how], *options), self.fake("exit7"))
        self.assertEqual(run.wait(), 123, run.text())
        self.assertIn(text, run.text())
        self.nothing_left(run)

    def test_silent(self):
        self.refused("silent", "has not answered for 'lsi0' within 1 s", "--start-timeout=1")

    def test_closes(self):
        self.refused("closes", "does not answer for 'lsi0': it closed the socket")

    def test_babbles(self):
        self.refused("babbles", "does not answer for 'lsi0': ")

    def test_no_device(self):
        self.refused("absent", "there is no device behind the socket")

    def test_ends_at_once(self):
        run = self.start(self.fake_line(["sh", "-c", "exit 5"]), self.fake("exit7"))
        self.assertEqual(run.wait(), 123, run.text())
        self.assertIn("ended with exit status 5 before QEMU was started", run.text())
        self.nothing_left(run)

    def test_second_of_two_is_not_there(self):
        first = [qemu.built("mpqemu-remote"), "-machine", "x-remote", "-device", "edu,id=e",
                 "-object", "x-remote-object,id=r,devid=e,fd=3", "---"]
        line = self.fake_line(["/nonexistent/remote"])
        run = self.start(["--", *first, *line[1:], "-device", "x-pci-proxy-dev,id=e,fd=7"],
                         self.fake("exit7"))
        self.assertEqual(run.wait(), 127, run.text())
        self.nothing_left(run)

    def test_our_remote_refuses(self):
        run = self.start([*self.real_remote(), "-device", "scsi-hd,drive=d,nonsense=1"],
                         self.fake("exit7"))
        self.assertEqual(run.wait(), 125)
        self.assertIn("Property 'scsi-hd.nonsense' not found", run.text())

    def test_fails_at_the_end(self):
        """QEMU ended well; the status says that its remote did not."""
        run = self.start(self.fake_line([FAKE_REMOTE, "fails"]), self.fake("wait"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        self.assertEqual(run.wait(), 123, run.text())
        self.assertIn("ended with exit status 9", run.text())

    def test_does_not_end(self):
        """SIGTERM after a while, SIGKILL after another."""
        run = self.start(self.fake_line([FAKE_REMOTE, "stays"]), self.fake("wait"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        self.assertEqual(run.wait(), 123, run.text())
        self.assertIn("has not ended; sending SIGTERM", run.text())
        self.assertIn("has not ended; sending SIGKILL", run.text())
        self.nothing_left(run)

    def test_killed_with_policy_stop(self):
        run = self.start(self.real_remote("--on-remote-exit=stop"), self.fake("signals"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        os.kill(run.remote_pids()[0], signal.SIGKILL)
        self.assertEqual(run.process.wait(PATIENCE), 123, run.text())
        self.assertIn("; ending QEMU", run.text())
        self.assertEqual(self.read_out(), "SIGTERM remotes=0\n")
        self.nothing_left(run)

    def test_device_process_killed(self):
        """The keeper's child dies, the keeper says so by its own end."""
        run = self.start(self.real_remote(), self.fake("wait"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        keeper = run.remote_pids()[0]
        device = mpq.children(keeper)[0]
        os.kill(device, signal.SIGKILL)
        run.until(lambda: "while QEMU was using it" in run.text())
        self.assertEqual(run.wait(), 123, run.text())
        self.nothing_left(run)


if __name__ == "__main__":
    tap.main()
