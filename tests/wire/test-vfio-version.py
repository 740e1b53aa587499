#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""VERSION: what is agreed on, what is refused, and that nothing else comes before it."""
import errno
import json

import vfio
import vfu
import wire
from vfu import CONFIG, REQUESTS, Cmd, capabilities, version_payload

# What a VMM may say of its limits, at their bounds.
LIMITS = {
    "max_msg_fds": (1, 16),
    "max_data_xfer_size": (256, 4096, 1 << 20, 64 << 20),
    "max_dma_maps": (1, 65535),
    "pgsizes": (4096, 4096 | 1 << 21),
}
# What none can mean.
OUT_OF_RANGE = {
    "max_msg_fds": (-1, 1 << 64, 1.5, "16", None, [], True),
    "max_data_xfer_size": (0, -1, 1 << 64, "1", {}),
    "max_dma_maps": (-1, 1 << 64, "x"),
    "pgsizes": (-4096, "4096"),
    "write_multiple": (1, "true", []),
}
NOT_JSON = ['{', '}', '[]', '1', 'null', '"capabilities"', '{"capabilities"}', '{"capabilities":}',
            '{"capabilities": {}', '{"capabilities": {}} x', '{"capabilities": {},}', "{'a': 1}",
            '{"capabilities": []}', '{"capabilities": 1}', '{"capabilities": null}', ' ', '\x01',
            '{"a": "\x01"}', '{"a": tru}', '[' * 1000, '{"a":' * 500, '{"capabilities": {}}{}']
NOT_UTF8 = [b'{"\xff": 1}', b'{"a": "\xc3"}', b'{"a": "\xed\xa0\x80"}']


class Silent(vfio.VfioTest):
    """Each test negotiates itself."""

    def first_client(self):
        return self.server.silent()

    def another(self):
        """The next client; the one before it leaves."""
        self.client.close()
        self.client = self.server.silent()
        return self.client

    def refused_version(self, payload, fds=()):
        """Refused with EINVAL, after which a good one is taken."""
        self.assertEqual(self.client.errno_of(Cmd.VERSION, payload, fds), errno.EINVAL,
                         payload[:80])
        self.client.version()
        self.assertEqual(self.client.alive(), vfio.VENDOR)


class Agreed(Silent):
    def test_minor_is_not_above_the_clients(self):
        for minor in (0, 1, 2, 255, 65535):
            with self.subTest(minor=minor):
                got = self.another().version(0, minor)
                self.assertEqual(got.major, 0)
                self.assertLessEqual(got.minor, minor)
                self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_no_json(self):
        got = self.client.version(text=None)
        self.assertEqual((got.major, got.minor), (0, 0))
        self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_little_json(self):
        for text in ("{}", '{"capabilities": {}}', ' {\t"capabilities"\n:\r{ } } '):
            with self.subTest(text=text):
                self.another().version(text=text)
                self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_unknown_keys(self):
        rows = [capabilities(twin_socket={"supported": True}), capabilities(nobody_knows=[1, {}]),
                json.dumps({"capabilities": {}, "more": 5}), json.dumps({"more": None}),
                capabilities(**{f"key{i}": i for i in range(100)}),
                capabilities(deep=[[[[[[[[{"a": 1}]]]]]]]]), capabilities(text="\u00e9\u20ac\\\"")]
        for text in rows:
            with self.subTest(text=text[:60]):
                got = self.another().version(text=text)
                self.assertNotIn("twin_socket", got.capabilities)
                self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_limits(self):
        for key, values in LIMITS.items():
            for value in values:
                with self.subTest(key=key, value=value):
                    self.another().version(text=capabilities(**{key: value}))
                    self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_our_limits(self):
        """As QEMU takes them: others make it give up."""
        caps = self.client.version().capabilities
        self.assertTrue(1 <= caps.get("max_msg_fds", 1) <= 16)
        self.assertTrue(4096 <= caps.get("max_data_xfer_size", 1 << 20) <= 64 << 20)
        self.assertTrue(1 <= caps.get("max_dma_maps", 65535) <= 65535)
        self.assertEqual(caps.get("pgsizes", 4096) % 4096, 0)
        known = {"max_msg_fds", "max_data_xfer_size", "max_dma_maps", "pgsizes", "write_multiple",
                 "migration"}
        self.assertLessEqual(set(caps), known)

    def test_16_fds_are_taken(self):
        """Cloud Hypervisor sends as many whatever is said; QEMU asks."""
        self.assertEqual(self.client.version().capabilities["max_msg_fds"], 16)

    def test_no_migration(self):
        """There is none, so none may be offered: QEMU believes it."""
        self.assertNotIn("migration", self.client.version().capabilities)

    def test_write_multiple_only_when_served(self):
        if self.client.version().capabilities.get("write_multiple"):
            self.assertEqual(self.client.write_multi([(CONFIG, 0x3c, b"\x07")]), 1)
            self.assertEqual(self.client.read(CONFIG, 0x3c, 1), 7)
        else:
            self.assertNotEqual(
                self.client.errno_of(Cmd.WRITE_MULTI, vfu.sample(Cmd.WRITE_MULTI)), 0)

    def test_reply_fits_the_request(self):
        """A client like QEMU has a buffer of its request's size."""
        for text in (self.client.TEXT, "{}", vfu.capabilities(), vfu.capabilities(max_msg_fds=1),
                     *(vfu.capabilities(pad="x" * size) for size in (*range(80), 100, 3000))):
            with self.subTest(size=len(text)):
                got = self.another().version(text=text)
                self.assertLessEqual(got.size, 16 + len(version_payload(0, 0, text)))

    def test_any_id(self):
        for ident in (0, 1, 0x7fff, 0xffff):
            self.another().ident = ident
            self.client.version()

    def test_long_text(self):
        """Long, and yet no attack."""
        self.client.version(text=capabilities(pad="x" * 3000))
        self.assertEqual(self.client.alive(), vfio.VENDOR)


class Wrong(Silent):
    def test_majors(self):
        for major in (1, 2, 255, 65535):
            with self.subTest(major=major):
                self.another()
                self.refused_version(version_payload(major, 0, "{}"))

    def test_payload_too_short(self):
        for size in range(4):
            with self.subTest(size=size):
                self.another()
                self.refused_version(bytes(size))

    def test_not_json(self):
        for text in NOT_JSON:
            with self.subTest(text=text[:40]):
                self.another()
                self.refused_version(version_payload(0, 0, text))

    def test_not_utf8(self):
        for text in NOT_UTF8:
            with self.subTest(text=text):
                self.another()
                self.refused_version(version_payload() + text + b"\0")

    def test_no_nul(self):
        for text in (b"{}", b"{", b'{"capabilities": {}}', b"x"):
            with self.subTest(text=text):
                self.another()
                self.refused_version(version_payload() + text)

    def test_nul_inside(self):
        for text in (b"{}\0{}\0", b"{\0}\0", b"{}\0\0x\0", b'{"a\0": 1}\0'):
            with self.subTest(text=text):
                self.another()
                self.refused_version(version_payload() + text)

    def test_limits_out_of_range(self):
        for key, values in OUT_OF_RANGE.items():
            for value in values:
                with self.subTest(key=key, value=value):
                    self.another()
                    self.refused_version(version_payload(0, 0, capabilities(**{key: value})))

    def test_huge_text(self):
        """Refused, or too much for the session; never the end of the process."""
        for size in (1 << 16, 1 << 20, (1 << 20) + 4096):
            with self.subTest(size=size):
                self.another()
                try:
                    got = self.client.errno_of(Cmd.VERSION, version_payload() + b" " * size + b"\0")
                    self.assertEqual(got, errno.EINVAL)
                except vfu.Closed:
                    self.expect_words = "e0: "
                self.another().version()
                self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_with_an_fd(self):
        """It takes none: closed, whatever the answer is."""
        self.client.version()
        before = self.device_fds()
        self.another()
        with wire.mpq.Ram(4096) as ram:
            self.client.errno_of(Cmd.VERSION, version_payload(0, 0, "{}"), [ram.fd])
            self.another().version()
            self.assertFalse([x for x in self.device_fds().values() if "guest-ram" in x])
        self.assertEqual(len(self.device_fds()), len(before))


class Order(Silent):
    def test_anything_before(self):
        for cmd in REQUESTS:
            if cmd != Cmd.VERSION:
                with self.subTest(cmd=cmd.name):
                    self.another()
                    got = self.client.errno_of(cmd, vfu.sample(cmd))
                    self.assertEqual(got, errno.EINVAL)
                    self.client.version()
                    self.assertEqual(self.client.alive(), vfio.VENDOR)

    def test_posted_before(self):
        """No reply to it, and nothing done."""
        self.mistakes = True
        self.client.send(Cmd.REGION_WRITE, vfu.access(CONFIG, 0x3c, 1, b"\x55"),
                         flags=vfu.NO_REPLY)
        self.client.version()
        self.assertEqual(self.client.read(CONFIG, 0x3c, 1), 0)

    def test_map_with_fd_before(self):
        """The fd is closed."""
        with wire.mpq.Ram(4096) as ram:
            payload = vfu.MAP.pack(32, 3, 0, 0, 4096)
            self.assertEqual(self.client.errno_of(Cmd.DMA_MAP, payload, [ram.fd]), errno.EINVAL)
            self.client.version()
            self.assertFalse([x for x in self.device_fds().values() if "guest-ram" in x])
            self.client.dma_map(0, 4096, ram.fd)

    def test_second(self):
        """Agreed is agreed; the session goes on as it was."""
        self.client.version()
        with wire.mpq.Ram(4096) as ram:
            self.client.dma_map(0, 4096, ram.fd)
            for text in (self.client.TEXT, "{}", None):
                self.refused(Cmd.VERSION, version_payload(0, 0, text))
            self.refused(Cmd.DMA_MAP, vfu.MAP.pack(32, 3, 0, 0, 8192),
                         want={errno.EEXIST, errno.EINVAL})

    def test_new_client_negotiates_anew(self):
        self.client.version()
        self.another()
        self.assertEqual(self.client.errno_of(Cmd.GET_INFO, vfu.sample(Cmd.GET_INFO)),
                         errno.EINVAL)
        self.client.version()

    def test_limits_do_not_outlive_their_client(self):
        """The next client's own limits count."""
        self.client.version(text=capabilities(max_data_xfer_size=4096))
        self.another().version()
        memory = vfu.Memory(vfio.MIB)
        memory.share(self.client)
        self.edu().load(0, 4096)
        self.assertEqual(sum(ask.count for ask in memory.asks), 4096)

    def test_pipelined(self):
        """A client that does not wait for the reply."""
        self.client.send_batch([(Cmd.VERSION, version_payload(0, 0, self.client.TEXT)),
                                (Cmd.REGION_READ, vfu.access(CONFIG, 0, 2))])
        vfu.version_reply(vfu.VERSION.unpack(self.client.reply()))
        self.assertEqual(self.client.reply()[16:], b"\x34\x12")

    def test_client_that_says_nothing(self):
        """It may go; the next one is served."""
        self.another().version()
        self.assertEqual(self.client.alive(), vfio.VENDOR)


if __name__ == "__main__":
    wire.tap.main()
