# SPDX-License-Identifier: GPL-2.0-or-later
"""What the vfio-user tests share: a server and a client a test, and how the server must end."""
import errno
import re
import time
import unittest

import wire
import vfu
from mpq import EXIT_CLEAN, Edu, wait_for

EDU_PCIE, EDU, LSI = "edu-pcie,id=e0", "edu,id=e0", "lsi53c895a,id=l0"
VENDOR = 0x1234
PAGE, MIB = 4096, 1 << 20
MEMORY, MASTER = 2, 4
WARNING = re.compile(r"warning: \S+: peer: ")      # a mistake that the session survives


class VfioTest(unittest.TestCase):
    """One server a test, which must end cleanly.

    What it says: a warning of a peer's mistake, at the most one a second, where there was an error
    reply or the test sets .mistakes; and what has the words of expect_words, which must come then.
    """

    devices = (EDU_PCIE,)
    extra = ()
    expect_words = None
    mistakes = False

    def setUp(self):
        self.begun = time.monotonic()
        self.server = vfu.Server.start(self.devices, self.extra)
        self.addCleanup(self.end)
        self.client = self.first_client()

    def first_client(self):
        return self.server.client()

    def end(self):
        with self.server:
            status, log = self.server.finish(), self.server.log()
        self.assertEqual(status, EXIT_CLEAN, log)
        warnings, words = [], []
        for line in log.splitlines():
            (warnings if WARNING.search(line) else words).append(line)
        if not self.mistakes and not any(client.refusals for client in self.server.clients):
            self.assertEqual(warnings, [])
        self.assertLessEqual(len(warnings), time.monotonic() - self.begun + 2, log)
        if self.expect_words:
            self.assertTrue(words, log)
        for line in words:
            self.assertIn(self.expect_words or "nothing of the kind", line)

    def refused(self, cmd, payload=b"", fds=(), want=errno.EINVAL, client=None):
        """A request that earns an error reply, after which the session goes on."""
        client = client or self.client
        numbers = want if isinstance(want, (tuple, set)) else (want,)
        self.assertIn(client.errno_of(cmd, payload, fds), numbers,
                      f"{cmd!r} {payload[:64].hex()}")
        self.assertNotEqual(client.alive(), 0)

    def edu(self, client=None, command=MEMORY | MASTER):
        return Device(client or self.client, command)

    def device_fds(self):
        """{number: what it is} once the session has answered."""
        self.client.alive()
        return self.server.device_fds()

    def map_ram(self, size=MIB, base=0):
        """Guest RAM of this test, mapped with its fd."""
        ram = wire.mpq.Ram(size)
        self.addCleanup(ram.close)
        self.client.dma_map(base, size, ram.fd)
        return ram


class Device(Edu):
    """The teaching device by its BAR 0, as a guest that has enabled it."""

    def __init__(self, client, command=MEMORY | MASTER):
        self.client = client
        client.write(vfu.CONFIG, 4, command, 2)

    def read(self, offset, size=4):
        return self.client.read(vfu.BAR0, offset, size)

    def write(self, offset, val, size=4, posted=False):
        self.client.write(vfu.BAR0, offset, val, size, posted)

    def busy(self):
        return bool(self.read(self.DMA_CMD) & self.START)

    def settle(self):
        """Waits for the end of a transfer, and serves what the server asks meanwhile."""
        wait_for(lambda: not self.busy(), "the end of a DMA")

    def copy(self, src, dst, count):
        """Guest memory to guest memory, through the device's buffer."""
        self.load(src, count)
        self.store(dst, count)
