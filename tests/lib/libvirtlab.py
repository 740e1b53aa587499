# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt's embedded driver, shut into one folder: no daemon, no network, no user of its own.

As root the driver wants a user libvirt-qemu even if it is not to use it; a mount namespace has a
/etc/passwd with one, and the host's stays as it is."""
import json
import os
import pathlib
import shutil
import subprocess

import guest
import guestimage
import qemu

CONF = """user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = [ ]
namespaces = [ ]
remember_owner = 0
"""
SYSTEM_PYTHON = "/usr/bin/python3"
CLIENT = pathlib.Path(__file__).resolve().parent / "libvirtclient.py"

DOMAIN = """<domain type='qemu'>
  <name>lab</name>
  <memory unit='MiB'>384</memory>
  {more}
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>{boot}</os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <devices>
    <emulator>{emulator}</emulator>
    <controller type='scsi' index='0' model='lsilogic'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{disk}'/><target dev='sda' bus='scsi'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/><source file='{cd}'/><target dev='sdb' bus='scsi'/>
      <readonly/>
    </disk>
    <serial type='file'><source path='{dir}/console'/></serial>
    <serial type='file'><source path='{dir}/result'/><target port='1'/></serial>
  </devices>
</domain>
"""
SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"


def missing(python=False):
    """Why there is no such lab here, or None."""
    if not shutil.which("virt-qemu-run"):
        return "virt-qemu-run is not installed (libvirt-daemon-driver-qemu)"
    if os.getuid():
        return "the mount namespace of the embedded driver is root's"
    if python and subprocess.run([SYSTEM_PYTHON, "-c", "import libvirt"],
                                 stderr=subprocess.DEVNULL, check=False).returncode:
        return "python3-libvirt is not installed"
    return None


class Lab:
    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.root = self.dir / "root"
        (self.root / "etc").mkdir(parents=True)
        (self.root / "etc/qemu.conf").write_text(CONF)
        for name, line in (("passwd", "libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin\n"),
                           ("group", "libvirt-qemu:x:64055:\n")):
            text = pathlib.Path("/etc", name).read_text()
            (self.dir / name).write_text(text if "libvirt-qemu:" in text else text + line)

    def domain(self, disk, cd, script=None, more="", emulator=None):
        """The XML's path; with @script Linux is booted and runs it, else the disk."""
        boot = "<boot dev='hd'/>"
        if script is not None:
            guest.initramfs(script, self.dir / "initrd")
            boot = (f"<kernel>{guestimage.kernel().image}</kernel>"
                    f"<initrd>{self.dir}/initrd</initrd><cmdline>{guest.APPEND}</cmdline>")
        path = self.dir / "domain.xml"
        path.write_text(DOMAIN.format(
            emulator=emulator or qemu.built("mpqemu-qemu-system-x86_64"), disk=disk, cd=cd,
            dir=self.dir, boot=boot, more=more))
        return str(path)

    def start(self, argv, **kwargs):
        """A process in a mount namespace with our users."""
        mounts = " && ".join(f"mount --bind {self.dir}/{name} /etc/{name}"
                             for name in ("passwd", "group"))
        return subprocess.Popen(["unshare", "-m", "sh", "-c", mounts + ' && exec "$@"', "sh",
                                 *argv], **kwargs)

    def log(self):
        path = self.root / "log/qemu/lab.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def result(self):
        path = self.dir / "result"
        return path.read_bytes().decode(errors="replace") if path.exists() else ""


class Client:
    """A program of libvirt's API on the lab's driver."""

    def __init__(self, lab, xml):
        self.process = lab.start([SYSTEM_PYTHON, str(CLIENT), str(lab.root), xml],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True)

    def call(self, name, *args):
        """{"value": ...} or {"error": text}"""
        self.process.stdin.write(json.dumps([name, *args]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()
