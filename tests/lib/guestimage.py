# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian kernel and an initramfs to boot it with, made without root and without installing.

The kernel package comes through apt-get download and is unpacked into the cache; programs (fio,
sg3_utils, e2fsprogs, ...) are the host's own, taken along with their shared libraries.  Everything
is kept in the cache directory, so only the first run pays for it.
"""
import fcntl
import functools
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

META_PACKAGE = "linux-image-amd64"      # the cloud kernel has no sym53c8xx

# What the guest can load by name; dependencies come from each module's own .modinfo.
MODULES = ("sym53c8xx", "sd_mod", "sr_mod", "sg", "ext4", "isofs", "crc32c_generic")

# What is unpacked of the kernel package.
KERNEL_FILES = ("./boot/vmlinuz-*", "./lib/modules/*/modules.*",
                *(f"./lib/modules/*/kernel/{folder}/*" for folder in
                  ("drivers/scsi", "drivers/cdrom", "drivers/vfio", "fs", "lib", "crypto", "block",
                   "virt")))

# Programs of the base image: name and the Debian package that has it.
PROGRAMS = {
    "lspci": "pciutils", "mkfs.ext4": "e2fsprogs", "e2fsck": "e2fsprogs",
    "sg_inq": "sg3-utils", "sg_vpd": "sg3-utils", "sg_raw": "sg3-utils",
    "sg_modes": "sg3-utils", "sg_readcap": "sg3-utils", "sg_luns": "sg3-utils",
    "sg_reset": "sg3-utils", "sg_turs": "sg3-utils", "sg_requests": "sg3-utils",
    "sg_opcodes": "sg3-utils", "sg_start": "sg3-utils",
    "iscsi-test-cu": "libiscsi-bin",
}


class Missing(Exception):
    """Something that the guest suite needs is not on this machine; the text says what to do."""


def cache_dir():
    """MPQEMU_CACHE, or mpqemu/ in the user's cache directory; made when it is not there."""
    base = os.environ.get("MPQEMU_CACHE")
    if not base:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.join(
            os.path.expanduser("~"), ".cache")
        base = os.path.join(home, "mpqemu")
    path = pathlib.Path(base)
    path.mkdir(parents=True, exist_ok=True)
    return path


class _CacheLock:
    """Two test runs on one machine build the cache one after the other."""

    def __enter__(self):
        self.file = open(cache_dir() / "lock", "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *exc):
        self.file.close()


def program(name):
    """The host's path of program @name, looked for where root's PATH would."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
    found = shutil.which(name, path=path)
    if not found:
        hint = PROGRAMS.get(name)
        raise Missing(f"{name} is not installed" + (f" (Debian package {hint})" if hint else ""))
    return found


def _output(argv, **kwargs):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, **kwargs)
    if done.returncode:
        raise Missing(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


class Kernel:
    """An unpacked kernel package: .image is the file to boot."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.image = str(next((self.root / "boot").glob("vmlinuz-*")))
        self.modules = next((self.root / "lib/modules").iterdir())
        self.version = self.modules.name
        self.files = {p.stem.replace("-", "_"): p for p in self.modules.rglob("*.ko")}
        builtin = (self.modules / "modules.builtin").read_text().split()
        self.builtin = {pathlib.Path(p).stem.replace("-", "_") for p in builtin}

    @staticmethod
    def _depends(path):
        match = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        return [d for d in match.group(1).decode().split(",") if d] if match else []

    def load_order(self, names):
        """Files to insmod, in order, for modules @names and all that they need."""
        order = []

        def visit(name):
            name = name.replace("-", "_")
            if name in self.builtin:
                return
            path = self.files.get(name)
            if path is None:
                raise Missing(f"kernel {self.version} has no module {name}")
            for needed in self._depends(path):
                visit(needed)
            if path not in order:
                order.append(path)

        for name in names:
            visit(name)
        return order


def _complete():
    """The name of the mark of an unpacked kernel that has all of KERNEL_FILES."""
    return "complete-" + hashlib.sha256(" ".join(KERNEL_FILES).encode()).hexdigest()[:16]


def _cached_kernel():
    found = sorted(cache_dir().glob(f"kernel-*/{_complete()}"), key=lambda p: p.stat().st_mtime)
    return Kernel(found[-1].parent) if found else None


def _kernel_package():
    text = _output(["apt-cache", "show", "--no-all-versions", META_PACKAGE])
    match = re.search(r"^Depends:.*?(linux-image-[0-9][^ ,]*)", text, re.M)
    if not match:
        raise Missing(f"{META_PACKAGE} names no kernel package (try: apt-get update)")
    return match.group(1)


def _unpack_kernel(deb, target):
    (target / "root").mkdir()
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as tar:
        subprocess.run(["tar", "-x", "-C", target / "root", "--wildcards", *KERNEL_FILES],
                       stdin=tar.stdout, check=True)
    if tar.returncode:
        raise Missing(f"dpkg-deb cannot read {deb}")


@functools.cache
def kernel():
    """The newest kernel of the cache; fetched and unpacked when there is none."""
    with _CacheLock():
        cached = _cached_kernel()
        if cached:
            return cached
        package = _kernel_package()
        with tempfile.TemporaryDirectory(dir=cache_dir(), prefix="fetch-") as work:
            work = pathlib.Path(work)
            try:
                _output(["apt-get", "download", package], cwd=work)
            except Missing as error:
                raise Missing(f"{error} (package lists too old? apt-get update)") from None
            _unpack_kernel(next(work.glob("*.deb")), work)
            root = cache_dir() / f"kernel-{package}"
            shutil.rmtree(root, ignore_errors=True)
            (work / "root").rename(root)
        (root / _complete()).touch()
        return Kernel(root)


class Cpio:
    """Writes a newc archive: what the kernel unpacks as its first root."""

    def __init__(self):
        self.parts = []
        self.made = set()
        self.inode = 1

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(name) + 1, 0)
        self.inode += 1
        head = b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0"
        self.parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]

    def _parents(self, name):
        parent = os.path.dirname(name)
        if parent and parent not in self.made:
            self._parents(parent)
            self.made.add(parent)
            self._entry(parent, 0o040755)

    def directory(self, name):
        self._parents(name.strip("/") + "/x")

    def file(self, name, data, mode=0o755):
        name = name.lstrip("/")
        if name in self.made:
            return
        self._parents(name)
        self.made.add(name)
        self._entry(name, 0o100000 | mode, data)

    def symlink(self, name, target):
        name = name.lstrip("/")
        self._parents(name)
        self._entry(name, 0o120777, target.encode())

    def device(self, name, major, minor):
        name = name.lstrip("/")
        self._parents(name)
        self._entry(name, 0o020600, rdev=(major, minor))

    def program(self, path):
        """The program at host path @path as /bin/NAME, with its libraries where it expects them."""
        self.file("bin/" + os.path.basename(path), pathlib.Path(path).read_bytes())
        for library in libraries(path):
            self.file(library, pathlib.Path(library).read_bytes())

    def bytes(self):
        self._entry("TRAILER!!!", 0)
        data = b"".join(self.parts)
        return data + b"\0" * (-len(data) % 512)


def libraries(path):
    """Absolute paths of the shared libraries of program @path, loader included; none if static."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True)
    if "not found" in done.stdout:
        raise Missing(f"{path}: a library is missing: {done.stdout}")
    return re.findall(r"(/\S+) \(0x", done.stdout)


def _stamp(paths, salt):
    """Changes when one of the files that go into an archive changes, or this file does."""
    text = [salt, pathlib.Path(__file__).read_text()]
    text += [f"{p} {os.stat(p).st_size} {os.stat(p).st_mtime_ns}" for p in paths]
    return hashlib.sha256("\n".join(text).encode()).hexdigest()[:16]


def _cached_archive(name, paths, salt, fill):
    """A cpio archive in the cache, made by @fill(cpio) unless one with the same stamp is there."""
    target = cache_dir() / f"{name}-{_stamp(paths, salt)}.cpio"
    with _CacheLock():
        if not target.exists():
            cpio = Cpio()
            fill(cpio)
            for old in cache_dir().glob(f"{name}-*.cpio"):
                old.unlink()
            part = target.with_suffix(".part")
            part.write_bytes(cpio.bytes())
            part.rename(target)
    return target


def busybox():
    path = program("busybox")
    if libraries(path):
        raise Missing(f"{path} is not static (Debian package busybox-static)")
    return path


def base_archive():
    """Busybox, the SCSI tools, and the modules with /modules listing them in load order."""
    linux, shell = kernel(), busybox()
    programs = [program(name) for name in PROGRAMS]

    def fill(cpio):
        cpio.device("dev/console", 5, 1)
        for name in ("proc", "sys", "tmp", "mnt", "run", "sbin", "usr/bin"):
            cpio.directory(name)
        cpio.file("bin/busybox", pathlib.Path(shell).read_bytes())
        for path in programs:
            cpio.program(path)
        ids = pathlib.Path("/usr/share/misc/pci.ids")
        if ids.exists():
            cpio.file(str(ids), ids.read_bytes(), 0o644)
        order = linux.load_order(MODULES)
        for path in order:
            cpio.file("lib/modules/" + path.name, path.read_bytes(), 0o644)
        cpio.file("modules", "".join(f"{p.name}\n" for p in order).encode(), 0o644)

    return _cached_archive("base", [shell, linux.image, *programs], " ".join(MODULES), fill)


def program_archive(name):
    """One large program (fio: 60 libraries) as an archive of its own, for the tests that use it."""
    path = program(name)
    return _cached_archive(name, [path], name, lambda cpio: cpio.program(path))


def module_archive(name, modules):
    """Kernel @modules that the guest loads with `load /modules.NAME`, with all that they need."""
    order = kernel().load_order(modules)

    def fill(cpio):
        for path in order:
            cpio.file("lib/modules/" + path.name, path.read_bytes(), 0o644)
        cpio.file(f"modules.{name}", "".join(f"{p.name}\n" for p in order).encode(), 0o644)

    return _cached_archive(name, order, " ".join(modules), fill)
