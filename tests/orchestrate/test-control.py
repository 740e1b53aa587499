#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A running VM: its control socket, the verbs that ask it, its policies, how it is shut down."""
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import unittest

from launch import Case, FAKE, PATIENCE, qemu
import mpq
import qmp
import tap

NAME = "mpqemu-orchestrate: "


def have_qemu():
    return shutil.which(qemu.QEMU)


class ControlCase(Case):
    def setUp(self):
        super().setUp()
        self.run_dir = self.dir / "run"

    def second_remote(self, *options):
        """One without a disk, which another VM may have."""
        return [*options, "--", FAKE, "-device", "lsi53c895a,id=lsi0"]

    def ask(self, *words, status=0, env=None):
        """What a verb prints; its line of error when it is to fail."""
        run = subprocess.run([qemu.built("mpqemu-orchestrate"), *words], capture_output=True,
                             text=True, timeout=PATIENCE,
                             env={**os.environ, "MPQEMU_RUNTIME_DIR": str(self.run_dir),
                                  **(env or {})})
        if status is None:      # of what it says, not of how it went
            return run.stdout
        self.assertEqual(run.returncode, status, run.stderr)
        if not status:
            self.assertEqual(run.stderr, "")
            return run.stdout
        self.assertEqual(run.stdout, "")
        self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
        self.assertTrue(run.stderr.startswith(NAME), run.stderr)
        return run.stderr[len(NAME):-1]

    def path(self, name="vm"):
        return self.run_dir / f"{name}.sock"

    def fake_vm(self, how="signals", *options, **env):
        """The fake QEMU beside our remote, as soon as it is ready."""
        run = self.start(self.real_remote("--name=vm", *options), self.fake(how, **env))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        run.until(lambda: self.path().exists())
        return run

    def real_vm(self, *options):
        """Stock QEMU beside our remote: no guest that could answer, but vCPUs."""
        run = self.start(["--name=vm", *options, "--", qemu.QEMU, "-accel", "tcg", "-M", "pc",
                          "-m", "64", "-nodefaults", "-display", "none",
                          "-device", "lsi53c895a,id=lsi0", "-drive",
                          f"if=none,id=d,format=raw,file={self.image}", "-device",
                          "scsi-hd,drive=d"])
        run.until(lambda: self.path().exists() and "running" == self.status()["qemu"]["status"])
        return run

    def status(self):
        return json.loads(self.ask("status", "--json", "vm"))

    def client(self, name="vm"):
        client = qmp.Qmp.connect(self.path(name))
        self.addCleanup(client.close)
        return client


class Places(ControlCase):
    def refused(self, text, *options, env=None):
        run = self.start(self.second_remote(*options), self.fake("exit7", **(env or {})))
        self.assertEqual(run.wait(), 125, run.text())
        self.assertIn(text, run.text())
        self.nothing_left(run)

    def test_bad_names(self):
        for name in ("", ".x", "a b", "a/b", "x" * 49, "é"):
            with self.subTest(name):
                self.refused("a VM's name has letters", "--name=" + name)

    def test_no_socket_there(self):
        self.run_dir.mkdir(mode=0o700)
        self.path().write_text("mine")
        self.refused("something that is no socket is there", "--name=vm")
        self.assertEqual(self.path().read_text(), "mine")

    def test_two_of_one_name(self):
        run = self.fake_vm()
        self.refused("a VM that has it runs already", "--name=vm")
        self.assertEqual(self.status()["name"], "vm")
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())

    def test_left_behind(self):
        """The socket of a VM that was killed is in nobody's way."""
        run = self.fake_vm()
        run.process.kill()
        run.process.wait()
        self.nothing_left(run)
        self.assertTrue(self.path().exists())
        self.assertEqual(self.ask("status", "vm", status=125),
                         f"{self.path()}: no VM of this name runs")
        run = self.fake_vm()
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())
        self.assertFalse(self.path().exists())

    def test_long_path(self):
        self.refused("the path of a socket has at most", "--control=/" + "x" * 120)

    def test_no_directory(self):
        """Nobody has asked for the socket: the VM runs without."""
        env = {"MPQEMU_RUNTIME_DIR": "/nonexistent/dir"}
        run = self.start(self.real_remote(), self.fake("exit7", **env))
        self.assertEqual(run.wait(), 7, run.text())
        self.assertIn("there is no control socket", run.text())

    @unittest.skipIf(os.geteuid(), "needs root: makes another user's directory")
    def test_anothers_directory(self):
        self.run_dir.mkdir(mode=0o700)
        os.chown(self.run_dir, 65534, 65534)
        self.refused("it belongs to another user (65534)")

    @unittest.skipIf(os.geteuid(), "needs root: makes another user's socket")
    def test_anothers_socket(self):
        self.run_dir.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(self.path()))
        os.chown(self.path(), 65534, 65534)
        self.refused("this control socket belongs to another user", "--name=vm")
        self.assertTrue(self.path().exists())

    def test_open_directory(self):
        self.run_dir.mkdir()
        self.run_dir.chmod(0o777)
        self.refused("others may write there")

    def test_off(self):
        run = self.start(self.real_remote("--control=off"), self.fake("signals"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        self.assertFalse(self.run_dir.exists())
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())

    def test_rights(self):
        run = self.fake_vm()
        self.assertEqual(stat.S_IMODE(os.stat(self.path()).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.run_dir).st_mode), 0o700)
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())

    def test_names(self):
        """QEMU's -name, where there is no --name; and none at all."""
        for options, want in ((["-name", "guest=my web,debug-threads=on"], "my_web"),
                              (["-name", "db.1"], "db.1"), ([], r"vm-\d+")):
            with self.subTest(want):
                run = self.start([*self.real_remote(), *options], self.fake("signals"))
                run.until(lambda: run.process.stdout.readline() == "ready\n")
                (name,) = [vm["name"] for vm in json.loads(self.ask("list", "--json"))]
                self.assertRegex(name, f"^{want}$")
                run.process.send_signal(signal.SIGTERM)
                self.assertEqual(run.wait(), 0, run.text())


class Verbs(ControlCase):
    def test_usage(self):
        for words, text in ((["status"], "status: it takes VM"),
                            (["status", "a", "b"], "status: b: it takes VM"),
                            (["list", "a"], "list: a: it takes no words"),
                            (["stop", "-t", "-1", "a"], "stop: --timeout: it takes seconds"),
                            (["top", "-d", "0", "a"], "top: --interval: it takes"),
                            (["top", "-n", "0", "a"], "top: -n: it takes a number, 1 or more"),
                            (["top", "-n", "-1", "a"], "top: -n: it takes a number, 1 or more"),
                            (["top", "--nosuch", "a"], "top: Unknown option --nosuch"),
                            (["status", ".."], "a VM's name has letters"),
                            (["status", "nobody"], "no VM of this name runs"),
                            (["metrics", "nobody"], "no VM of this name runs")):
            with self.subTest(words):
                self.assertIn(text, self.ask(*words, status=125))

    def test_help(self):
        for verb in ("list", "status", "top", "metrics", "logs", "graph", "stop"):
            with self.subTest(verb):
                lines = self.ask(verb, "--help").splitlines()
                self.assertTrue(lines[0].startswith(f"usage: mpqemu-orchestrate {verb} "))
                self.assertLess(len(lines), 24)
                self.assertLessEqual(max(map(len, lines)), 80)

    def test_nobody(self):
        self.assertEqual(self.ask("list"), "")
        self.assertEqual(self.ask("metrics"), "")
        self.assertEqual(json.loads(self.ask("list", "--json")), [])

    def test_foreign_sockets(self):
        """Sockets of others: one that never answers, one that babbles, one that hangs up."""
        self.run_dir.mkdir(mode=0o700)
        for name, said in (("babbles", b"220 mail\r\n"), ("hangs-up", b"")):
            with socket.socket(socket.AF_UNIX) as sock, self.subTest(name):
                sock.bind(str(self.path(name)))
                sock.listen()
                ask = subprocess.Popen([qemu.built("mpqemu-orchestrate"), "status", name],
                                       stderr=subprocess.PIPE, text=True,
                                       env={**os.environ,
                                            "MPQEMU_RUNTIME_DIR": str(self.run_dir)})
                peer = sock.accept()[0]
                peer.sendall(said)
                peer.shutdown(socket.SHUT_WR)
                errors = ask.communicate(timeout=PATIENCE)[1]
                peer.close()
                self.assertEqual(ask.returncode, 125)
                self.assertEqual(errors.count("\n"), 1, errors)
                self.assertIn(f"{name}: query-status: ", errors)

    def test_unreachable_in_the_list(self):
        """One that is stopped takes nothing from the others."""
        run = self.fake_vm()
        self.assertEqual(json.loads(self.ask("list", "--json"))[0]["phase"], "running")
        run.process.send_signal(signal.SIGSTOP)
        (vm,) = json.loads(self.ask("list", "--json"))
        self.assertEqual(vm["phase"], "unreachable")
        self.assertIn("has not answered", vm["reason"])
        run.process.send_signal(signal.SIGCONT)
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())

    @unittest.skipUnless(have_qemu(), f"{qemu.QEMU} is not installed")
    def test_all(self):
        run = self.real_vm()
        status = self.status()
        self.assertEqual((status["name"], status["phase"]), ("vm", "running"))
        self.assertEqual(status["pid"], run.process.pid)
        (remote,) = status["remotes"]
        self.assertEqual((remote["id"], remote["state"], remote["devices"]),
                         ("lsi0", "running", ["lsi0"]))
        self.assertEqual([remote["pid"]], run.remote_pids())
        self.assertIn("vm ", self.ask("list"))
        self.assertIn("lsi0 (lsi53c895a; scsi-hd d)", self.ask("status", "vm"))
        self.check_metrics()
        self.check_top()
        self.check_graph(status)
        jail = json.loads(self.ask("inspect", "vm:lsi0", "--security", "--json", status=None))
        self.assertIn("score", jail["processes"][0])
        self.assertIn("no remote of it serves 'x'",
                      self.ask("inspect", "vm:x", "--security", status=125))
        self.assertIn("sandbox: ", self.ask("logs", "--source", "lsi0", "vm"))
        self.assertNotIn("is served by", self.ask("logs", "--source", "lsi0", "vm"))
        self.assertIn("is served by process", self.ask("logs", "vm"))
        self.assertIn(" mpqemu-orchestrate: warning: under TCG", self.ask("logs", "vm"))
        self.assertEqual(len(self.ask("logs", "-n", "1", "vm").splitlines()), 1)
        self.assertEqual(self.ask("stop", "--now", "vm"), "")
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(run)
        self.assertFalse(self.path().exists())

    def check_metrics(self):
        text = self.ask("metrics", "vm")
        self.assertRegex(text, r'mpqemu_messages_total\{vm="vm",remote="lsi0",'
                               r'kind="config_read"\} [1-9]')
        for line in text.splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) |[a-z_]+\{vm="vm",remote="lsi0"[,}])')
        self.assertEqual(len(re.findall("# TYPE mpqemu_messages_total ", text)), 1)
        metrics = json.loads(self.ask("metrics", "--json"))["vm"][0]["metrics"]
        self.assertGreater(metrics["messages"]["config_read"], 0)

    def check_top(self):
        lines = self.ask("top", "-n", "2", "-d", "0.1", "vm").splitlines()
        rows = [line for line in lines if line.startswith("lsi0")]
        self.assertEqual(len(rows), 2)
        self.assertNotIn("\033", "".join(lines))
        level = rows[0].split()[-1]
        self.assertIn(level, ("strict", "filter", "off"))

    def check_graph(self, status):
        text = self.ask("graph", "vm")
        for pid in (status["pid"], status["qemu"]["pid"], status["remotes"][0]["pid"]):
            self.assertIn(f"p{pid} [label=", text)
        self.assertNotIn('label="\\\\n', text)
        (device,) = re.findall(r'p(\d+) \[label="device process\\n', text)
        if os.getuid() == 0:
            ram = re.search(r'(m\d+) \[shape=box, label="memfd:memory-backend-memfd', text)
            for pid in (status["qemu"]["pid"], device):
                self.assertIn(f"p{pid} -> {ram[1]} ", text)
        if shutil.which("dot"):
            subprocess.run(["dot", "-Tsvg"], input=text, text=True, check=True,
                           stdout=subprocess.DEVNULL, timeout=PATIENCE)

    @unittest.skipUnless(have_qemu(), f"{qemu.QEMU} is not installed")
    def test_follow(self):
        run = self.real_vm()
        follow = subprocess.Popen([qemu.built("mpqemu-orchestrate"), "logs", "-f", "--json", "vm"],
                                  stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, "MPQEMU_RUNTIME_DIR": str(self.run_dir)})
        self.addCleanup(follow.stdout.close)
        json.loads(follow.stdout.readline())
        self.ask("stop", "--now", "vm")
        lines = [json.loads(line) for line in follow.stdout]
        self.assertEqual(follow.wait(PATIENCE), 0)
        self.assertTrue(any("asked to shut down" in line["message"] for line in lines), lines)
        self.assertEqual(run.wait(), 0, run.text())


class Socket(ControlCase):
    def test_hostile(self):
        """What no client may send, and one that reads nothing: the VM does not notice."""
        run = self.fake_vm()
        deaf = [socket.socket(socket.AF_UNIX) for _ in range(12)]
        for sock in deaf:
            self.addCleanup(sock.close)
            sock.connect(str(self.path()))
        for said in (b"\0" * 5000, b"{" * 300000, b'{"execute": "x"', b"[]\n", b'"text"\n'):
            with socket.socket(socket.AF_UNIX) as sock, self.subTest(said[:8]):
                sock.connect(str(self.path()))
                try:
                    sock.sendall(said)
                except (BrokenPipeError, ConnectionResetError):
                    pass
        for sock in deaf:
            sock.close()
        run.until(lambda: not self.path().exists() or self.reachable())
        self.assertEqual(self.status()["phase"], "running")
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())

    def reachable(self):
        return json.loads(self.ask("list", "--json"))[0]["phase"] == "running"

    def test_errors(self):
        run = self.fake_vm("babble")
        run.until(lambda: "QEMU's monitor: " in run.text())
        client = self.client()
        for command, arguments, text in (
                ("nosuch", {}, "The command nosuch has not been found"),
                ("query-status", {"x": 1}, "Parameter 'x' is unexpected"),
                ("shutdown", {"timeout": "1"}, "Invalid parameter type for 'timeout'"),
                ("shutdown", {"timeout": -1}, "expects seconds"),
                ("query-logs", {"count": -1}, "expects a number of lines"),
                ("qemu", {}, "Parameter 'execute' is missing"),
                ("stop", {}, "QEMU's monitor cannot be asked")):
            with self.subTest(command), self.assertRaises(AssertionError) as caught:
                client.ask(command, **arguments)
            self.assertIn(text, str(caught.exception))
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())

    @unittest.skipUnless(have_qemu(), f"{qemu.QEMU} is not installed")
    def test_vcpus(self):
        """stop and cont; QEMU's own events come too, and its answers."""
        run = self.real_vm()
        client = self.client()
        client.ask("stop")
        client.event("STOP")
        self.assertEqual(client.event("MPQEMU_STATUS")["data"], {"status": "paused"})
        for state in ("pausing", "paused"):
            self.assertEqual(client.event("MPQEMU_REMOTE_STATE")["data"],
                             {"remote": "lsi0", "state": state})
        self.assertEqual(self.status()["remotes"][0]["state"], "paused")
        self.assertEqual(client.ask("qemu", execute="query-status")["status"], "paused")
        client.ask("cont")
        self.assertEqual(client.event("MPQEMU_STATUS")["data"], {"status": "running"})
        self.assertEqual(client.event("MPQEMU_REMOTE_STATE")["data"],
                         {"remote": "lsi0", "state": "running"})
        self.assertIn("q35", [m["name"].split("-")[1] for m in
                              client.ask("qemu", execute="query-machines") if "-q35-" in m["name"]])
        client.ask("shutdown", timeout=0)
        self.assertEqual(run.wait(), 0, run.text())


def own_group():
    """Our control group of version 2, if a group can be made there; else None."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = [line.split()[4] for line in file if " - cgroup2 " in line]
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        own = [line[3:].strip() for line in file if line.startswith("0::")]
    path = mounts[0] + own[0] if mounts and own else None
    return path if path and os.access(path, os.W_OK) else None


def group_of(pid):
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        return next(line[3:].strip() for line in file if line.startswith("0::"))


class Group(ControlCase):
    @unittest.skipUnless(own_group(), "no control group of version 2 that we may write to")
    def test_vm_has_its_own(self):
        """QEMU and the remote are in it, we are not; it is gone when they are."""
        config = self.dir / "vm.conf"
        config.write_text(f"[vm]\nqemu = {FAKE}\nname = vm\nmemory-max = 1G\npids-max = max\n"
                          "[device lsi0]\ndriver = lsi53c895a\n", encoding="utf-8")
        run = self.start(["start", str(config)], self.fake("signals"))
        run.until(lambda: run.process.stdout.readline() == "ready\n")
        status = self.status()
        pids = [status["qemu"]["pid"], status["remotes"][0]["pid"]]
        groups = {group_of(pid) for pid in pids}
        self.assertEqual(len(groups), 1, groups)
        self.assertRegex(groups.pop(), rf"/mpqemu-vm\.{run.process.pid}$")
        self.assertNotIn("/mpqemu-vm.", group_of(run.process.pid))
        # Where a controller is not delegated, that is said of each key.
        path = own_group() + f"/mpqemu-vm.{run.process.pid}"
        for key, file in (("memory-max", "memory.max"), ("pids-max", "pids.max")):
            self.assertNotEqual(f"{key}=" in run.text(), os.path.exists(f"{path}/{file}"))
        self.ask("stop", "--now", "vm")
        self.assertEqual(run.wait(), 0, run.text())
        self.assertFalse(os.path.exists(path))


class Shutdown(ControlCase):
    def test_monitor_babbles(self):
        run = self.fake_vm("babble")
        run.until(lambda: "QEMU's monitor: " in run.text())
        self.assertEqual(self.status()["qemu"]["status"], "unknown")
        self.assertEqual(self.ask("stop", "vm"), "")
        self.assertEqual(run.wait(), 0, run.text())
        self.assertEqual(self.read_out(), "SIGTERM remotes=1\n")

    def test_monitor_lies(self):
        run = self.fake_vm("liar")
        run.until(lambda: "QEMU's monitor: " in run.text())
        self.assertEqual(self.ask("stop", "vm"), "")
        self.assertEqual(run.wait(), 0, run.text())

    def test_powerdown_refused(self):
        """The guest cannot be asked: QEMU gets the signal at once."""
        run = self.fake_vm("refuses")
        run.until(lambda: self.status()["qemu"]["status"] == "running")
        self.ask("stop", "-t", "500", "vm")
        self.assertEqual(run.wait(), 128 + signal.SIGTERM, run.text())
        self.assertIn("the guest cannot be asked to shut down: no", run.text())
        self.nothing_left(run)

    def test_sleepy(self):
        """One that a signal must wake twice: QEMU does not hang, whoever told it to end."""
        for how in ("signal", "verb"):
            with self.subTest(how):
                run = self.fake_vm("sleepy")
                if how == "signal":
                    run.process.send_signal(signal.SIGTERM)
                else:
                    self.ask("stop", "--now", "vm")
                self.assertEqual(run.wait(), 0, run.text())
                self.assertEqual(self.read_out(), "second SIGTERM\n")
                self.nothing_left(run)

    def test_deaf(self):
        """SIGTERM does not help: SIGKILL."""
        run = self.fake_vm("deaf")
        self.ask("stop", "--now", "vm")
        self.assertEqual(run.wait(), 128 + signal.SIGKILL, run.text())
        self.assertIn("sending SIGKILL", run.text())
        self.nothing_left(run)

    @unittest.skipUnless(have_qemu(), f"{qemu.QEMU} is not installed")
    def test_guest_in_no_hurry(self):
        """SeaBIOS hears of no power button."""
        run = self.real_vm()
        self.ask("stop", "-t", "1", "vm")
        self.assertEqual(run.wait(), 0, run.text())
        self.assertIn("the guest has not shut down in time; sending SIGTERM to QEMU", run.text())

    @unittest.skipUnless(have_qemu(), f"{qemu.QEMU} is not installed")
    def test_signal_with_a_limit(self):
        run = self.real_vm("--shutdown-timeout=1")
        run.process.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(), 0, run.text())
        self.assertIn("the guest has not shut down in time", run.text())
        self.nothing_left(run)


class Policies(ControlCase):
    @unittest.skipUnless(have_qemu(), f"{qemu.QEMU} is not installed")
    def test_pause(self):
        run = self.real_vm("--on-remote-exit=pause")
        client = self.client()
        os.kill(run.remote_pids()[0], signal.SIGKILL)
        exited = client.event("MPQEMU_REMOTE_EXITED")["data"]
        self.assertEqual(exited, {"remote": "lsi0", "expected": False,
                                  "reason": "was killed by signal 9 (KILL)"})
        self.assertEqual(client.event("MPQEMU_STATUS")["data"], {"status": "paused"})
        self.assertIn("; stopping the VM", run.text())
        (remote,) = self.status()["remotes"]
        self.assertEqual((remote["state"], remote["reason"]),
                         ("ended", "was killed by signal 9 (KILL)"))
        client.ask("shutdown", timeout=0)
        self.assertEqual(run.wait(), 123, run.text())

    def test_pause_without_a_monitor(self):
        run = self.fake_vm("babble", "--on-remote-exit=pause")
        run.until(lambda: "QEMU's monitor: " in run.text())
        os.kill(run.remote_pids()[0], signal.SIGKILL)
        run.until(lambda: "the VM cannot be stopped: its monitor: " in run.text())
        self.ask("stop", "--now", "vm")
        self.assertEqual(run.wait(), 123, run.text())


    def test_device_process_killed(self):
        """The cause is told: a keeper's own end would be but an exit status."""
        run = self.fake_vm()
        client = self.client()
        run.until(lambda: "device-pid" in self.status()["remotes"][0])
        os.kill(self.status()["remotes"][0]["device-pid"], signal.SIGKILL)
        self.assertEqual(client.event("MPQEMU_REMOTE_CRASHED")["data"],
                         {"remote": "lsi0", "cause": "signal 9 (Killed)"})
        exited = client.event("MPQEMU_REMOTE_EXITED")["data"]
        self.assertEqual((exited["expected"], exited["cause"]), (False, "signal 9 (Killed)"))
        self.assertIn('\nmpqemu_remote_up{vm="vm",remote="lsi0"} 0\n', self.ask("metrics", "vm"))
        self.ask("stop", "--now", "vm")
        self.assertEqual(run.wait(), 123, run.text())


    @unittest.skipUnless(mpq.has_nbd(), "this build has no libnbd")
    def test_storage_daemon_killed(self):
        """One disk fails: told at once with its cause, and the policy is followed."""
        image = self.dir / "d.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
        for policy in ("report", "stop"):
            run = self.start(
                ["--name=vm", f"--on-remote-exit={policy}", "--", FAKE, "-device",
                 "lsi53c895a,id=lsi0", "-drive", f"if=none,id=d,file={image}", "-device",
                 "scsi-hd,drive=d"], self.fake("signals"))
            run.until(lambda: run.process.stdout.readline() == "ready\n")
            run.until(lambda: self.path().exists() and
                      "device-pid" in self.status()["remotes"][0])
            client = self.client()
            os.kill(mpq.child_named(self.status()["remotes"][0]["pid"],
                                    "qemu-storage-daemon"), signal.SIGKILL)
            self.assertEqual(client.event("MPQEMU_REMOTE_STORAGE_GONE")["data"],
                             {"remote": "lsi0", "cause": "signal 9 (Killed)"})
            if policy == "report":
                self.assertEqual(self.status()["remotes"][0]["state"], "degraded")
                self.assertIn("a storage daemon ended by signal 9 (Killed)",
                              self.ask("status", "vm"))
                self.ask("stop", "--now", "vm")
            self.assertEqual(run.wait(), 123, run.text())
            self.assertIn("a storage daemon of it has ended (signal 9 (Killed)); requests of "
                          "that disk fail from now on", run.text())
            self.assertEqual("; ending QEMU" in run.text(), policy == "stop")
            self.nothing_left(run)

    def test_restart(self):
        """Another device process, asked for and after a crash; the remote is the same."""
        run = self.fake_vm("signals", "--on-crash=reset")
        client = self.client()
        run.until(lambda: "device-pid" in self.status()["remotes"][0])
        before = self.status()["remotes"][0]
        self.assertEqual(self.ask("restart", "vm", "lsi0"), "")
        after = self.status()["remotes"][0]
        self.assertEqual((after["pid"], after["state"], after["restarts"]),
                         (before["pid"], "running", 1))
        self.assertNotEqual(after["device-pid"], before["device-pid"])
        self.assertNotIn("killed by signal", run.text())
        if os.getuid() == 0 and "no system-call filter" not in run.text():
            self.assertRegex(self.ask("top", "-n", "1", "vm"), r"(?m)^lsi0 .* strict$")
        self.assertIn('\nmpqemu_remote_restarts_total{vm="vm",remote="lsi0"} 1\n',
                      self.ask("metrics", "vm"))
        os.kill(after["device-pid"], signal.SIGKILL)
        run.until(lambda: self.status()["remotes"][0].get("restarts") == 2)
        self.assertEqual(client.event("MPQEMU_REMOTE_RESTARTED")["data"]["remote"], "lsi0")
        self.ask("stop", "--now", "vm")
        self.assertEqual(run.wait(), 0, run.text())
        self.nothing_left(run)

    def test_restart_refused(self):
        run = self.fake_vm()
        self.assertIn("Device 'x' not found", self.ask("restart", "vm", "x", status=125))
        self.assertIn("it cannot be restarted: it has no --on-crash=reset",
                      self.ask("restart", "vm", "lsi0", status=125))
        self.ask("stop", "--now", "vm")
        self.assertEqual(run.wait(), 0, run.text())


class Background(ControlCase):
    def test_daemonize(self):
        for dash in ("--daemonize", "-daemonize"):
            with self.subTest(dash):
                self.check_daemonize(dash)

    def check_daemonize(self, dash):
        pidfile, log = self.dir / "pid", self.dir / "log"
        run = self.start(self.real_remote("--name=vm", dash, f"--pidfile={pidfile}",
                                          f"--log-file={log}"), self.fake("signals"))
        self.assertEqual(run.wait(), 0, run.text())
        self.assertEqual(run.text(), "")
        pid = int(pidfile.read_text())
        self.assertEqual(self.status()["pid"], pid)
        self.assertIn("is served by process", log.read_text())
        self.assertIn("mpqemu-remote: sandbox: ", log.read_text())
        run.until(lambda: os.path.exists(self.out) and self.read_out() == "ready\n")
        self.ask("stop", "--now", "vm")
        self.nothing_left(run)
        self.assertFalse(pidfile.exists())
        os.unlink(self.out)
        log.unlink()

    def test_failures(self):
        """The status of what failed is the caller's, and nothing is left."""
        for line, status in ((self.real_remote("--daemonize"), 125),
                             (self.fake_line(["/nonexistent/remote"], "--daemonize"), 127)):
            with self.subTest(status):
                if status == 125:
                    line = line[:-1] + ["scsi-hd,drive=nosuch"]
                run = self.start(line, self.fake("signals"))
                self.assertEqual(run.wait(), status, run.text())
                self.assertTrue(run.text().splitlines()[-1].startswith(NAME), run.text())
                self.nothing_left(run)

    @unittest.skipUnless(have_qemu(), f"{qemu.QEMU} is not installed")
    def test_qemu_that_does_not_start(self):
        """Nobody is told that it runs."""
        run = self.start(["--daemonize", "--", qemu.QEMU, "-M", "pc", "-display", "none",
                          "-device", "lsi53c895a,id=lsi0", "-device", "nonsense"])
        self.assertEqual(run.wait(), 1, run.text())
        self.assertIn("'nonsense' is not a valid device model name", run.text())
        self.nothing_left(run)

    def test_pidfile_in_use(self):
        pidfile = self.dir / "pid"
        first = self.fake_vm("signals", f"--pidfile={pidfile}")
        run = self.start(self.second_remote(f"--pidfile={pidfile}"), self.fake("exit7"))
        self.assertEqual(run.wait(), 125, run.text())
        self.assertIn("Cannot lock pid file", run.text())
        self.assertEqual(int(pidfile.read_text()), first.process.pid)
        first.process.send_signal(signal.SIGTERM)
        self.assertEqual(first.wait(), 0, first.text())

    def test_bad_log(self):
        run = self.start(self.real_remote("--log-file=/nonexistent/x"), self.fake("exit7"))
        self.assertEqual(run.wait(), 125, run.text())
        self.assertIn("--log-file=/nonexistent/x: No such file or directory", run.text())

    def test_json(self):
        run = self.start(self.real_remote("--log-json"), self.fake("exit7"))
        self.assertEqual(run.wait(), 7, run.text())
        lines = [json.loads(line) for line in run.text().splitlines()]
        self.assertEqual({line["source"] for line in lines}, {"mpqemu-orchestrate", "lsi0"})
        self.assertEqual([line["level"] for line in lines if "exit status 7" in line["message"]],
                         ["error"])

    def test_journal(self):
        """Levels in front, where stderr is the journal's by JOURNAL_STREAM."""
        log = (self.dir / "journal").open("w+b")
        self.addCleanup(log.close)
        st = os.fstat(log.fileno())
        run = subprocess.run([qemu.built("mpqemu-orchestrate"),
                              *self.real_remote("--control=off")], stderr=log,
                             env={**os.environ, **self.fake("exit7"),
                                  "JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}"}, timeout=PATIENCE)
        self.assertEqual(run.returncode, 7)
        log.seek(0)
        lines = log.read().decode().splitlines()
        self.assertTrue(all(re.match("<[346]>", line) for line in lines), lines)
        self.assertTrue(any(line.startswith("<3>mpqemu-orchestrate: QEMU ended") for line in lines))

    def test_notify(self):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(str(self.dir / "notify"))
        listener.settimeout(PATIENCE)
        run = self.fake_vm("signals", NOTIFY_SOCKET=str(self.dir / "notify"),
                           WATCHDOG_USEC="200000")
        said = b""
        while b"WATCHDOG=1" not in said or b"READY=1" not in said:
            said += listener.recv(4096) + b"\n"
        self.assertIn(b"READY=1\nSTATUS=vm: 1 remotes", said)
        run.process.send_signal(signal.SIGTERM)
        while b"STOPPING=1" not in said:
            said += listener.recv(4096)
        self.assertEqual(run.wait(), 0, run.text())


if __name__ == "__main__":
    tap.main()
