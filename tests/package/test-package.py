#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package: it is built from the tree, lintian has nothing to say, it installs on a fresh
Debian 12 and works there.  And what is there for AppArmor is what its parsers understand."""
import contextlib
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))
import tap      # noqa: E402

SUITE = "bookworm"
PATIENCE = 600      # seconds: only guards against a mirror that hangs
LINTIAN = ("lintian", "--allow-root", "-EviI", "--pedantic", "--fail-on",
           "error,warning,info,pedantic,experimental")
# What the package's own tests need of the testbed.
TESTBED = "autopkgtest,ca-certificates"
PATHS = {
    "bin/mpqemu", "bin/mpqemu-orchestrate", "bin/mpqemu-proxy", "bin/mpqemu-remote",
    "lib/x86_64-linux-gnu/mpqemu/mpqemu-nbd.so", "lib/x86_64-linux-gnu/mpqemu/mpqemu-preload.so",
    "lib/x86_64-linux-gnu/mpqemu/nbdkit-mpqemu-plugin.so", "share/man/man1/mpqemu.1.gz",
    "share/man/man5/mpqemu.conf.5.gz", "share/man/man7/vfio-user-protocol.7.gz",
    "share/bash-completion/completions/mpqemu-remote", "share/zsh/vendor-completions/_mpqemu",
    "share/fish/vendor_completions.d/mpqemu.fish", "share/mpqemu/apparmor/libvirt-qemu",
    "share/mpqemu/apparmor/mpqemu",
}
UNITS = {"mpqemu@.service", "mpqemu-remote@.service", "mpqemu-remote@.socket"}

needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root: makes a root file system")


def needs(*programs):
    missing = [name for name in programs if not tool(name)]
    return unittest.skipIf(missing, f"not installed: {', '.join(missing)}")


def tool(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def run(argv, **more):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", **more)


def copy_tree(target):
    """The tree as a clone of it would be, with what is not committed yet; no product of a build."""
    found = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others",
                            "--exclude-standard"], capture_output=True)
    if found.returncode:    # unpacked from an archive
        shutil.copytree(ROOT, target, symlinks=True, ignore=shutil.ignore_patterns("build*"))
        return
    for name in filter(None, os.fsdecode(found.stdout).split("\0")):
        if os.path.lexists(ROOT / name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)


def unpack(suite, root, *options):
    """A root of that release, by mmdebstrap."""
    done = run([tool("mmdebstrap"), "--quiet", *options, suite, root], timeout=PATIENCE)
    if done.returncode:
        raise unittest.SkipTest(f"no files of Debian {suite}: "
                                f"{' '.join(done.stdout.strip().split())[-200:]}")


@needs("dpkg-buildpackage", "dh", "dh_apparmor")
class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.addClassCleanup(cls.stack.close)
        cls.work = pathlib.Path(cls.stack.enter_context(
            tempfile.TemporaryDirectory(prefix="mpq-package-")))
        cls.tree = cls.work / "mpqemu"
        cls.tree.mkdir()
        copy_tree(cls.tree)
        cls.sources = cls.package("-S", "-d")
        cls.built = cls.package("-b")
        cls.changes = sorted(cls.work.glob("*.changes"))
        cls.deb = next(cls.work.glob("mpqemu_*.deb"), None)

    @classmethod
    def package(cls, *options):
        """What a clean tree gives, whatever this build was told."""
        env = {name: value for name, value in os.environ.items()
               if not name.startswith(("MESON", "NINJA", "CFLAGS", "LDFLAGS", "CC"))}
        return run(["dpkg-buildpackage", "-us", "-uc", *options], cwd=cls.tree, env={
            **env, "LC_ALL": "C.UTF-8", "DEB_BUILD_OPTIONS": "nocheck"})

    def setUp(self):
        if not self.deb and self._testMethodName != "test_build":
            self.skipTest("the package was not built")

    def test_build(self):
        for done in (self.sources, self.built):
            self.assertEqual(done.returncode, 0, done.stdout[-4000:])
        self.assertIsNotNone(self.deb)
        self.assertEqual([path.name.split("_")[-1] for path in self.changes],
                         ["amd64.changes", "source.changes"])

    def test_contents(self):
        listed = run(["dpkg-deb", "--contents", self.deb]).stdout
        names = set(re.findall(r" \./(\S+)", listed))
        self.assertEqual({f"usr/{name}" for name in PATHS} - names, set())
        self.assertEqual({n.split("/")[-1] for n in names if "/systemd/system/" in n} - {""}, UNITS)
        self.assertFalse([name for name in names if name.startswith("usr/local")])
        # the profile goes where it is understood, by the parser of the release it is built on
        self.assertEqual("etc/apparmor.d/mpqemu" in names,
                         os.path.exists("/etc/apparmor.d/abi/4.0"))

    def test_dependencies(self):
        """What few need is not pulled in."""
        fields = {name: run(["dpkg-deb", "--field", self.deb, name]).stdout
                  for name in ("Depends", "Recommends", "Suggests")}
        self.assertFalse(re.search(r"qemu|nbdkit|systemd|apparmor", fields["Depends"]), fields)
        self.assertRegex(fields["Depends"], r"libseccomp2")
        self.assertRegex(fields["Recommends"], r"qemu-system-x86")
        self.assertRegex(fields["Suggests"], r"nbdkit")

    @needs("lintian")
    def test_lintian(self):
        """Of the source and of what is built from it."""
        done = run([*LINTIAN, *self.changes], env={**os.environ, "LC_ALL": "C.UTF-8"})
        tags = [line for line in done.stdout.splitlines() if re.match(r"[EWIXP]: ", line)]
        self.assertEqual((tags, done.returncode), ([], 0), done.stdout)

    @needs_root
    @needs("mmdebstrap", "bwrap")
    def test_installed(self):
        """Its own tests, on a Debian 12 that has nothing else of it."""
        root = self.work / "root"
        unpack(SUITE, root, "--variant=apt", f"--include={TESTBED}", "--skip=cleanup/apt")
        shutil.copy2(self.deb, root / "tmp")
        copy_tree(root / "tmp/mpqemu")
        # Not chroot(8): a chroot allows no user namespaces, which a remote makes.
        done = run(["bwrap", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs",
                    "/dev/shm", "--ro-bind", "/etc/resolv.conf", "/etc/resolv.conf", "--cap-add",
                    "ALL", "--chdir", "/tmp", "--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin",
                    "--setenv", "LC_ALL", "C.UTF-8", "--die-with-parent", "autopkgtest",
                    self.deb.name, "mpqemu//", "--", "null"],
                   timeout=2 * PATIENCE)
        self.assertEqual(done.returncode, 0, done.stdout[-6000:])
        for test in ("commands", "vm"):
            self.assertRegex(done.stdout, rf"(?m)^{test} +PASS")
        self.assertEqual(done.stdout.count("\nsandbox: strict\n"), 2, done.stdout[-6000:])


@needs_root
@needs("apparmor_parser", "mmdebstrap")
class AppArmor(unittest.TestCase):
    """Both files, by the parsers of releases: 3 of Debian 12, 4 of Debian 13."""

    @functools.lru_cache(maxsize=None)
    def parser4(self):
        root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        unpack("trixie", root / "r", "--variant=extract", "--include=apparmor",
               "--aptopt=APT::Install-Recommends \"false\"")
        usr = root / "r/usr"
        return root / "r/etc/apparmor.d", [
            usr / "lib64/ld-linux-x86-64.so.2", "--library-path", usr / "lib/x86_64-linux-gnu",
            usr / "sbin/apparmor_parser", "--config-file", root / "r/etc/apparmor/parser.conf"]

    def enterContext(self, manager):    # of unittest from Python 3.11 on
        value = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return value

    def parse(self, base, parser, path):
        done = run([*parser, "-Q", "--skip-kernel-load", "--base", base, path])
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotRegex(done.stdout, r"(?i)error|warning from")
        return run([*parser, "-Q", "--skip-kernel-load", "--debug", "--base", base, path]).stdout

    def test_profile(self):
        base, parser = self.parser4()
        said = self.parse(base, parser, ROOT / "apparmor/mpqemu")
        self.assertIn("mpqemu", said)

    def test_libvirt(self):
        """As libvirt's own abstraction takes them in, which a domain's profile does."""
        lines = (ROOT / "apparmor/libvirt-qemu").read_text(encoding="utf-8")
        for base, parser in ((pathlib.Path("/etc/apparmor.d"), [tool("apparmor_parser")]),
                             self.parser4()):
            for text in (lines, lines.replace("#userns,", "userns,")):
                if text != lines and not (base / "abi/4.0").exists():
                    continue
                folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "d"
                shutil.copytree(base, folder, symlinks=True)
                place = folder / "local/abstractions/libvirt-qemu"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text, encoding="utf-8")
                domain = folder / "libvirt-domain"
                domain.write_text("include <tunables/global>\n"
                                  "profile libvirt-0 flags=(attach_disconnected) {\n"
                                  "  include <abstractions/base>\n"
                                  "  include <local/abstractions/libvirt-qemu>\n}\n",
                                  encoding="utf-8")
                self.assertIn("bin/mpqemu", self.parse(folder, parser, domain))


if __name__ == "__main__":
    tap.main()
