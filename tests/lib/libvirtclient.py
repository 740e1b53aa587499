# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts the domain of an XML file in libvirt's embedded driver, does what comes on stdin (a JSON
list a line: a method of the domain and its arguments), and destroys the domain at its end.  For
the Python that libvirt's module is for."""
import json
import sys
import threading

import libvirt
import libvirt_qemu


def answer(value):
    print(json.dumps(value), flush=True)


def call(domain, name, args):
    if name == "monitor":
        return json.loads(libvirt_qemu.qemuMonitorCommand(domain, args[0], 0))
    return getattr(domain, name)(*args)


def main():
    root, xml = sys.argv[1:]
    libvirt.virEventRegisterDefaultImpl()
    libvirt.registerErrorHandler(lambda *_: None, None)
    threading.Thread(target=lambda: [libvirt.virEventRunDefaultImpl() for _ in iter(int, 1)],
                     daemon=True).start()
    connection = libvirt.open(f"qemu:///embed?root={root}")
    domain = None
    for line in sys.stdin:
        name, *args = json.loads(line)
        try:
            if name == "start":
                with open(xml) as file:
                    domain = connection.createXML(file.read(), 0)
                answer({"value": domain.ID()})
            else:
                answer({"value": call(domain, name, args)})
        except (libvirt.libvirtError, ValueError) as error:
            answer({"error": str(error)})
    try:
        domain.destroy()
    except (libvirt.libvirtError, AttributeError):
        pass


main()
