# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that sequences send: a table of CDBs with random fields (SPC-3, SBC-3, MMC-6)."""
from collections import namedtuple

# @make: random -> (CDB, data to send, bytes to fetch)
Row = namedtuple("Row", "name units make")

DISK_BLOCKS, CD_BLOCKS, BLOCK, CD_BLOCK = 512, 64, 512, 2048
D, C, ANY = "disk", "cd", "any"


def be(value, size):
    return (value & (1 << 8 * size) - 1).to_bytes(size, "big")


def alloc(r, size):
    """An allocation length: usual ones, none, all."""
    top = (1 << 8 * size) - 1
    return min(top, r.choice([0, 1, 4, 5, 8, 18, 36, 64, 96, 252, 255, 256, 4096, top]))


def fetched(r, length):
    """As much as was asked for, within the data area."""
    return min(length, 4096)


def lba(r, blocks=DISK_BLOCKS):
    """In range mostly, else about the end, or far beyond."""
    pick = r.random()
    if pick < 0.75:
        return r.randrange(blocks)
    if pick < 0.95:
        return blocks + r.randrange(-8, 4)
    return r.getrandbits(r.choice([16, 24, 31, 32, 48, 64]))


def count(r):
    """Blocks: few, or as many as the sink holds beyond the data area, or more than there are."""
    return r.choice([0, 1, 1, 1, 2, 3, 8, 16]) if r.random() < 0.95 else r.choice(
        [100, 0x200 | r.getrandbits(16)])


def flags(r, mask=0xff):
    """Byte 1: mostly zero, at times one bit of it."""
    return 0 if r.random() < 0.8 else 1 << r.randrange(8) & mask


def control(r):
    return 0 if r.random() < 0.97 else r.getrandbits(8)


def rw(op, size, block=BLOCK, blocks=DISK_BLOCKS, out=False):
    """READ, WRITE, VERIFY and the like of @size bytes."""
    def make(r):
        at, n = lba(r, blocks), count(r)
        if size == 6:
            cdb = bytes([op]) + be(at & 0x1fffff, 3) + bytes([n & 0xff, control(r)])
        elif size == 10:
            cdb = bytes([op, flags(r)]) + be(at, 4) + b"\0" + be(n, 2) + bytes([control(r)])
        elif size == 12:
            cdb = bytes([op, flags(r)]) + be(at, 4) + be(n, 4) + bytes([0, control(r)])
        else:
            cdb = bytes([op, flags(r)]) + be(at, 8) + be(n, 4) + bytes([0, control(r)])
        length = min(n, 32) * block
        return cdb, r.randbytes(length) if out else b"", 0 if out else length
    return make


def inquiry(r):
    page = r.choice([0, 0x80, 0x83, 0xb0, 0xb1, 0xb2, r.getrandbits(8)])
    evpd = r.choice([0, 1, 1, flags(r)])
    n = r.choice([5, 36, 96, 255, 4096, alloc(r, 2)])
    return (bytes([0x12, evpd, page if evpd & 1 or r.random() < 0.1 else 0]) + be(n, 2) +
            bytes([control(r)]), b"", fetched(r, n))


def mode_sense(r):
    page = r.choice([1, 4, 5, 8, 0x0a, 0x0d, 0x0e, 0x1c, 0x2a, 0x3f, 0x3f, r.getrandbits(6)])
    page |= r.choice([0, 0, 0x40, 0x80, 0xc0])
    sub = r.choice([0, 0, 0, 0xff, r.getrandbits(8)])
    if r.random() < 0.5:
        n = alloc(r, 1)
        return bytes([0x1a, r.choice([0, 8]), page, sub, n, control(r)]), b"", n
    n = alloc(r, 2)
    return (bytes([0x5a, r.choice([0, 8, 0x10]), page, sub, 0, 0, 0]) + be(n, 2) +
            bytes([control(r)]), b"", fetched(r, n))


def mode_list(r, ten):
    """A parameter list: header, perhaps a block descriptor, perhaps pages."""
    descriptor = b"" if r.random() < 0.6 else bytes(4) + be(
        r.choice([512, 512, 2048, 0, 256, 4096]), 4)
    pages = b""
    for _ in range(r.choice([0, 1, 1, 2])):
        code, length = r.choice([(1, 10), (8, 18), (8, 18), (0x0a, 10), (0x2a, 20), (0x3f, 8)])
        page = bytearray([code, length]) + bytearray(length)
        if code == 8:
            page[2] = r.choice([0, 4, 4, 5])
        pages += page[:r.choice([len(page)] * 8 + [1, 5])]
    if ten:
        return bytes(6) + be(len(descriptor), 2) + descriptor + pages
    return bytes(3) + bytes([len(descriptor)]) + descriptor + pages


def mode_select(r):
    ten = r.random() < 0.5
    data = mode_list(r, ten)
    n = len(data) if r.random() < 0.9 else r.choice([0, 3, 4, 7, 8, len(data) + 4])
    head = bytes([0x55 if ten else 0x15, r.choice([0x10, 0x10, 0x10, 0, 0x11])])
    cdb = head + (bytes(5) + be(n, 2) if ten else bytes(2) + bytes([n])) + bytes([control(r)])
    return cdb, (data + bytes(max(0, n - len(data))))[:n], 0


def request_sense(r):
    n = alloc(r, 1)
    return bytes([3, r.choice([0, 0, 0, 1]), 0, 0, n, 0]), b"", n


def read_capacity_10(r):
    at, pmi = r.choice([0, 0, 5]), r.getrandbits(1)
    return bytes([0x25, 0]) + be(at, 4) + bytes([0, 0, pmi, 0]), b"", 8


def service_in(r):
    n = alloc(r, 2)
    action = r.choice([0x10, 0x10, 0x12, r.getrandbits(5)])
    return bytes([0x9e, action]) + be(0, 8) + be(n, 4) + bytes(2), b"", fetched(r, n)


def report_luns(r):
    n = r.choice([0, 8, 16, 64, alloc(r, 2)])
    select = r.choice([0, 0, 1, 2, 3])
    return bytes([0xa0, 0, select, 0, 0, 0]) + be(n, 4) + bytes(2), b"", fetched(r, n)


def start_stop(r):
    return bytes([0x1b, r.choice([0, 1]), 0, 0, r.choice([0, 1, 1, 2, 3, 0x11, 0x21]), 0]), b"", 0


def sync_cache(r):
    if r.random() < 0.5:
        return bytes([0x35, flags(r, 2)]) + be(lba(r), 4) + b"\0" + be(count(r), 2) + b"\0", b"", 0
    return bytes([0x91, flags(r, 2)]) + be(lba(r), 8) + be(count(r), 4) + bytes(2), b"", 0


def write_same(r):
    data = r.choice([bytes(BLOCK), r.randbytes(BLOCK)])
    n = r.choice([0, 1, 2, 8, 64])
    bits = r.choice([0, 0, 8, 0x18, 1])
    if r.random() < 0.5:
        return bytes([0x41, bits]) + be(lba(r), 4) + b"\0" + be(n, 2) + b"\0", data, 0
    return bytes([0x93, bits]) + be(lba(r), 8) + be(n, 4) + bytes(2), data, 0


def unmap(r):
    rows = b"".join(be(lba(r), 8) + be(r.choice([0, 1, 8]), 4) + bytes(4)
                    for _ in range(r.choice([0, 1, 1, 2])))
    data = be(len(rows) + 6, 2) + be(len(rows), 2) + bytes(4) + rows
    n = len(data) if r.random() < 0.9 else r.choice([0, 7, 8])
    return bytes([0x42, 0, 0, 0, 0, 0, 0]) + be(n, 2) + b"\0", data[:n], 0


def toc(r):
    n = alloc(r, 2)
    return (bytes([0x43, r.choice([0, 2]), r.choice([0, 0, 1, 2, 4, 5]), 0, 0, 0,
                   r.choice([0, 1, 2, 0xaa])]) + be(n, 2) + b"\0", b"", fetched(r, n))


def cd_info(op, byte1=(0,)):
    """GET CONFIGURATION, GET EVENT STATUS and their like: byte 1 and an allocation length."""
    def make(r):
        n = alloc(r, 2)
        return (bytes([op, r.choice(byte1)]) + r.choice([bytes(2), be(r.getrandbits(6), 2)]) +
                bytes([r.choice([0, 0x10, 0xff]) if op == 0x4a else 0, 0, 0]) + be(n, 2) + b"\0",
                b"", fetched(r, n))
    return make


def read_dvd(r):
    n = alloc(r, 2)
    return (bytes([0xad, 0, 0, 0, 0, 0, 0, r.choice([0, 1, 4, 0xff])]) + be(n, 2) + bytes(2), b"",
            fetched(r, n))


def mechanism(r):
    n = alloc(r, 2)
    return bytes([0xbd, 0, 0, 0, 0, 0, 0, 0]) + be(n, 2) + bytes(2), b"", fetched(r, n)


def fixed(text):
    return lambda r: (bytes.fromhex(text), b"", 0)


def any_opcode(r):
    """Whatever is not in a reserved group and sends no data that we know of."""
    op = r.choice([o for o in range(256) if o >> 5 in (0, 1, 2, 4, 5)])
    size = {0: 6, 1: 10, 2: 10, 4: 16, 5: 12}[op >> 5]
    return bytes([op]) + bytes(size - 1), b"", 64


TABLE = [
    Row("TEST UNIT READY", ANY, fixed("00 00 00 00 00 00")),
    Row("REQUEST SENSE", ANY, request_sense),
    Row("INQUIRY", ANY, inquiry),
    Row("MODE SENSE", ANY, mode_sense),
    Row("MODE SELECT", ANY, mode_select),
    Row("READ CAPACITY(10)", ANY, read_capacity_10),
    Row("SERVICE ACTION IN(16)", D, service_in),
    Row("REPORT LUNS", ANY, report_luns),
    Row("START STOP UNIT", ANY, start_stop),
    Row("PREVENT ALLOW", ANY, lambda r: (bytes([0x1e, 0, 0, 0, r.getrandbits(1), 0]), b"", 0)),
    Row("RESERVE(6)", ANY, fixed("16 00 00 00 00 00")),
    Row("RELEASE(6)", ANY, fixed("17 00 00 00 00 00")),
    Row("SYNCHRONIZE CACHE", D, sync_cache),
    Row("READ(6)", D, rw(0x08, 6)), Row("WRITE(6)", D, rw(0x0a, 6, out=True)),
    Row("READ(10)", D, rw(0x28, 10)), Row("WRITE(10)", D, rw(0x2a, 10, out=True)),
    Row("READ(12)", D, rw(0xa8, 12)), Row("WRITE(12)", D, rw(0xaa, 12, out=True)),
    Row("READ(16)", D, rw(0x88, 16)), Row("WRITE(16)", D, rw(0x8a, 16, out=True)),
    Row("READ(10)", C, rw(0x28, 10, CD_BLOCK, CD_BLOCKS)),
    Row("READ(12)", C, rw(0xa8, 12, CD_BLOCK, CD_BLOCKS)),
    Row("WRITE AND VERIFY(10)", D, rw(0x2e, 10, out=True)),
    Row("VERIFY(10)", D, lambda r: rw(0x2f, 10)(r)[0:1] + (b"", 0)),
    Row("SEEK(10)", ANY, lambda r: (bytes([0x2b, 0]) + be(lba(r), 4) + bytes(4), b"", 0)),
    Row("WRITE SAME", D, write_same),
    Row("UNMAP", D, unmap),
    Row("READ TOC", C, toc),
    Row("GET CONFIGURATION", C, cd_info(0x46, (0, 1, 2))),
    Row("GET EVENT STATUS", C, cd_info(0x4a, (0, 1))),
    Row("READ DISC INFORMATION", C, cd_info(0x51)),
    Row("READ DISC STRUCTURE", C, read_dvd),
    Row("MECHANISM STATUS", C, mechanism),
    Row("any", ANY, any_opcode),
]
