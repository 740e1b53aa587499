# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands whose answers are compared between QEMU's own remote and ours, and their answers.

A command is a name, the CDB, the length of data-in asked for, and data-out (or None).  Names are
the keys of differences.txt.  The order matters where one command changes what a later one sees.
"""
import re

# The disk has 16 MiB: 32768 (8000h) blocks of 512 bytes, each with its number in it.
DISK = [
    ("tur", "00 00 00 00 00 00", 0, None),
    ("inquiry 36", "12 00 00 00 24 00", 36, None),
    ("inquiry 5", "12 00 00 00 05 00", 5, None),
    ("inquiry 96", "12 00 00 00 60 00", 96, None),
    ("inquiry 0", "12 00 00 00 00 00", 0, None),
    ("inquiry page without EVPD", "12 00 80 00 24 00", 36, None),
    ("inquiry CMDDT", "12 02 00 00 24 00", 36, None),
    ("vpd 00", "12 01 00 00 ff 00", 255, None),
    ("vpd 00 in 5 bytes", "12 01 00 00 05 00", 5, None),
    ("vpd 80", "12 01 80 00 ff 00", 255, None),
    ("vpd 83", "12 01 83 00 ff 00", 255, None),
    ("vpd b0", "12 01 b0 00 ff 00", 255, None),
    ("vpd b1", "12 01 b1 00 ff 00", 255, None),
    ("vpd b2", "12 01 b2 00 ff 00", 255, None),
    ("vpd 86", "12 01 86 00 ff 00", 255, None),
    ("vpd c0", "12 01 c0 00 ff 00", 255, None),
    ("read capacity 10", "25 00 00 00 00 00 00 00 00 00", 8, None),
    ("read capacity 10 lba without PMI", "25 00 00 00 00 01 00 00 00 00", 8, None),
    ("read capacity 16", "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", 32, None),
    ("read capacity 16 in 12", "9e 10 00 00 00 00 00 00 00 00 00 00 00 0c 00 00", 12, None),
    ("service action in 1f", "9e 1f 00 00 00 00 00 00 00 00 00 00 00 20 00 00", 32, None),
    ("get lba status", "9e 12 00 00 00 00 00 00 00 00 00 00 00 20 00 00", 32, None),
    ("report luns", "a0 00 00 00 00 00 00 00 00 40 00 00", 64, None),
    ("report luns in 8", "a0 00 00 00 00 00 00 00 00 08 00 00", 8, None),
    ("report luns select 2", "a0 00 02 00 00 00 00 00 00 40 00 00", 64, None),
    ("report opcodes", "a3 0c 00 00 00 00 00 00 10 00 00 00", 4096, None),
    ("report tmf", "a3 0d 00 00 00 00 00 00 00 40 00 00", 64, None),
    ("mode sense 6 all", "1a 00 3f 00 ff 00", 255, None),
    ("mode sense 6 all, no block", "1a 08 3f 00 ff 00", 255, None),
    ("mode sense 6 all, changeable", "1a 00 7f 00 ff 00", 255, None),
    ("mode sense 6 all, default", "1a 00 bf 00 ff 00", 255, None),
    ("mode sense 6 all, saved", "1a 00 ff 00 ff 00", 255, None),
    ("mode sense 6 caching", "1a 00 08 00 ff 00", 255, None),
    ("mode sense 6 caching in 4", "1a 00 08 00 04 00", 4, None),
    ("mode sense 6 control", "1a 00 0a 00 ff 00", 255, None),
    ("mode sense 6 recovery", "1a 00 01 00 ff 00", 255, None),
    ("mode sense 6 geometry", "1a 00 04 00 ff 00", 255, None),
    ("mode sense 6 flexible", "1a 00 05 00 ff 00", 255, None),
    ("mode sense 6 exceptions", "1a 00 1c 00 ff 00", 255, None),
    ("mode sense 6 page 0", "1a 00 00 00 ff 00", 255, None),
    ("mode sense 6 page 2a", "1a 00 2a 00 ff 00", 255, None),
    ("mode sense 10 all", "5a 00 3f 00 00 00 00 01 00 00", 256, None),
    ("mode sense 10 all, long", "5a 10 3f 00 00 00 00 01 00 00", 256, None),
    ("mode sense 10 caching", "5a 00 08 00 00 00 00 01 00 00", 256, None),
    ("request sense", "03 00 00 00 fc 00", 252, None),
    ("request sense in 8", "03 00 00 00 08 00", 8, None),
    ("request sense, descriptor", "03 01 00 00 fc 00", 252, None),
    ("read 6", "08 00 00 07 01 00", 512, None),
    ("read 10", "28 00 00 00 00 05 00 00 01 00", 512, None),
    ("read 10 of nothing", "28 00 00 00 00 05 00 00 00 00", 0, None),
    ("read 12", "a8 00 00 00 00 06 00 00 00 01 00 00", 512, None),
    ("read 16", "88 00 00 00 00 00 00 00 00 09 00 00 00 01 00 00", 512, None),
    ("read 10 FUA", "28 08 00 00 00 05 00 00 01 00", 512, None),
    ("read 10 DPO", "28 10 00 00 00 05 00 00 01 00", 512, None),
    ("read 10 protect", "28 20 00 00 00 05 00 00 01 00", 512, None),
    ("read 6 at the end", "08 00 7f ff 01 00", 512, None),
    ("read 10 one over", "28 00 00 00 80 00 00 00 01 00", 512, None),
    ("read 10 over the end", "28 00 00 00 7f ff 00 00 02 00", 1024, None),
    ("read 10 nothing beyond", "28 00 00 00 80 01 00 00 00 00", 0, None),
    ("read 16 at 2^64 - 1", "88 00 ff ff ff ff ff ff ff ff 00 00 00 01 00 00", 512, None),
    ("read 16 wrapping", "88 00 ff ff ff ff ff ff ff ff 00 00 00 02 00 00", 1024, None),
    ("write 10 over the end", "2a 00 00 00 7f ff 00 00 02 00", 0, 1024),
    ("write 10", "2a 00 00 00 00 10 00 00 01 00", 0, 512),
    ("read 10 after write", "28 00 00 00 00 10 00 00 01 00", 512, None),
    ("write 6", "0a 00 00 11 01 00", 0, 512),
    ("write 12", "aa 00 00 00 00 12 00 00 00 01 00 00", 0, 512),
    ("write 16", "8a 00 00 00 00 00 00 00 00 13 00 00 00 01 00 00", 0, 512),
    ("write 10 FUA", "2a 08 00 00 00 10 00 00 01 00", 0, 512),
    ("write and verify 10", "2e 00 00 00 00 14 00 00 01 00", 0, 512),
    ("verify 10 without data", "2f 00 00 00 00 05 00 00 01 00", 0, None),
    ("verify 10 over the end", "2f 00 00 00 80 00 00 00 01 00", 0, None),
    ("verify 10 with data", "2f 02 00 00 00 14 00 00 01 00", 0, 512),
    ("verify 10 miscompare", "2f 02 00 00 00 05 00 00 01 00", 0, 512),
    ("verify 10 BYTCHK 2", "2f 04 00 00 00 05 00 00 01 00", 0, 512),
    ("verify 16 without data", "8f 00 00 00 00 00 00 00 00 05 00 00 00 01 00 00", 0, None),
    ("write same 10", "41 00 00 00 00 20 00 00 04 00", 0, 512),
    ("read 10 after write same", "28 00 00 00 00 23 00 00 01 00", 512, None),
    ("write same 10 of nothing", "41 00 00 00 7f ff 00 00 00 00", 0, 512),
    ("write same 10 over the end", "41 00 00 00 7f ff 00 00 02 00", 0, 512),
    ("write same 16", "93 00 00 00 00 00 00 00 00 28 00 00 00 02 00 00", 0, 512),
    ("write same 16 unmap", "93 08 00 00 00 00 00 00 00 2c 00 00 00 02 00 00", 0, 512),
    ("unmap nothing", "42 00 00 00 00 00 00 00 00 00", 0, None),
    ("unmap anchored", "42 01 00 00 00 00 00 00 00 00", 0, None),
    ("compare and write", "89 00 00 00 00 00 00 00 00 05 00 00 00 01 00 00", 0, 1024),
    ("synchronize cache 10", "35 00 00 00 00 00 00 00 00 00", 0, None),
    ("synchronize cache 10 over", "35 00 00 00 80 00 00 00 01 00", 0, None),
    ("synchronize cache 16", "91 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", 0, None),
    ("seek 10", "2b 00 00 00 00 05 00 00 00 00", 0, None),
    ("seek 10 over", "2b 00 00 00 80 00 00 00 00 00", 0, None),
    ("reserve 6", "16 00 00 00 00 00", 0, None),
    ("release 6", "17 00 00 00 00 00", 0, None),
    ("persistent reserve in", "5e 00 00 00 00 00 00 00 20 00", 32, None),
    ("persistent reserve out", "5f 00 00 00 00 00 00 00 18 00", 0, 24),
    ("start", "1b 00 00 00 01 00", 0, None),
    ("eject a fixed disk", "1b 00 00 00 02 00", 0, None),
    ("prevent", "1e 00 00 00 01 00", 0, None),
    ("allow", "1e 00 00 00 00 00", 0, None),
    ("send diagnostic", "1d 04 00 00 00 00", 0, None),
    ("send diagnostic pages", "1d 10 00 00 00 00", 0, None),
    ("receive diagnostic", "1c 01 00 00 20 00", 32, None),
    ("log sense", "4d 00 40 00 00 00 00 00 40 00", 64, None),
    ("read defect data 10", "37 00 1d 00 00 00 00 00 40 00", 64, None),
    ("read buffer", "3c 03 00 00 00 00 00 00 04 00", 4, None),
    ("format unit", "04 18 00 00 00 00", 0, 4),
    ("rezero", "01 00 00 00 00 00", 0, None),
    ("reassign blocks", "07 00 00 00 00 00", 0, None),
    ("read long 10", "3e 00 00 00 00 05 00 02 00 00", 512, None),
    ("read toc", "43 00 00 00 00 00 00 00 20 00", 32, None),
    ("get configuration", "46 00 00 00 00 00 00 00 40 00", 64, None),
    ("extended copy", "83 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", 0, None),
    ("mode select 6 nothing", "15 10 00 00 00 00", 0, None),
    ("mode select 6 short", "15 10 00 00 03 00", 0, 3),
    ("mode select 6 not a page", "15 10 00 00 08 00", 0, 8),
    ("opcode c1", "c1 00 00 00 00 00 00 00 00 00", 0, None),
    ("opcode ff", "ff 00 00 00 00 00 00 00 00 00", 0, None),
    ("opcode 7f", "7f 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", 0, None),
    ("read 10 in the end", "28 00 00 00 00 05 00 00 01 00", 512, None),
]

# A disc of 512 blocks of 2048 bytes.
CDROM = [
    ("tur", "00 00 00 00 00 00", 0, None),
    ("inquiry", "12 00 00 00 60 00", 96, None),
    ("vpd 00", "12 01 00 00 ff 00", 255, None),
    ("vpd 80", "12 01 80 00 ff 00", 255, None),
    ("vpd 83", "12 01 83 00 ff 00", 255, None),
    ("vpd b0", "12 01 b0 00 ff 00", 255, None),
    ("read capacity 10", "25 00 00 00 00 00 00 00 00 00", 8, None),
    ("read capacity 16", "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", 32, None),
    ("read 10", "28 00 00 00 00 10 00 00 01 00", 2048, None),
    ("read 12", "a8 00 00 00 00 10 00 00 00 01 00 00", 2048, None),
    ("read 10 over the end", "28 00 00 00 02 00 00 00 01 00", 2048, None),
    ("write 10", "2a 00 00 00 00 10 00 00 01 00", 0, 2048),
    ("verify 10", "2f 00 00 00 00 10 00 00 01 00", 0, None),
    ("synchronize cache", "35 00 00 00 00 00 00 00 00 00", 0, None),
    ("read toc", "43 00 00 00 00 00 00 03 24 00", 804, None),
    ("read toc msf", "43 02 00 00 00 00 00 03 24 00", 804, None),
    ("read toc track 1", "43 00 00 00 00 00 01 03 24 00", 804, None),
    ("read toc track 5", "43 00 00 00 00 00 05 03 24 00", 804, None),
    ("read toc lead-out", "43 00 00 00 00 00 aa 03 24 00", 804, None),
    ("read toc in 4", "43 00 00 00 00 00 00 00 04 00", 4, None),
    ("read toc sessions", "43 00 01 00 00 00 00 03 24 00", 804, None),
    ("read toc full", "43 02 02 00 00 00 00 03 24 00", 804, None),
    ("read toc format 4", "43 02 04 00 00 00 00 03 24 00", 804, None),
    ("get configuration", "46 00 00 00 00 00 00 01 00 00", 256, None),
    ("get configuration from 1", "46 01 00 01 00 00 00 01 00 00", 256, None),
    ("get configuration one", "46 02 00 03 00 00 00 01 00 00", 256, None),
    ("get configuration in 8", "46 00 00 00 00 00 00 00 08 00", 8, None),
    ("event status", "4a 01 00 00 10 00 00 00 08 00", 8, None),
    ("event status all", "4a 01 00 00 ff 00 00 00 40 00", 64, None),
    ("event status none", "4a 01 00 00 00 00 00 00 08 00", 8, None),
    ("event status waiting", "4a 00 00 00 10 00 00 00 08 00", 8, None),
    ("read disc information", "51 00 00 00 00 00 00 00 22 00", 34, None),
    ("read track information", "52 01 00 00 00 01 00 00 1c 00", 28, None),
    ("read dvd structure 0", "ad 00 00 00 00 00 00 00 08 04 00 00", 2052, None),
    ("read dvd structure ff", "ad 00 00 00 00 00 00 ff 00 40 00 00", 64, None),
    ("mechanism status", "bd 00 00 00 00 00 00 00 00 08 00 00", 8, None),
    ("set cd speed", "bb 00 ff ff ff ff 00 00 00 00 00 00", 0, None),
    ("read cd", "be 00 00 00 00 10 00 00 01 10 00 00", 2048, None),
    ("mode sense 6 all", "1a 00 3f 00 ff 00", 255, None),
    ("mode sense 6 capabilities", "1a 00 2a 00 ff 00", 255, None),
    ("mode sense 6 recovery", "1a 00 01 00 ff 00", 255, None),
    ("mode sense 6 audio", "1a 00 0e 00 ff 00", 255, None),
    ("mode sense 6 geometry", "1a 00 04 00 ff 00", 255, None),
    ("mode sense 6 changeable", "1a 00 7f 00 ff 00", 255, None),
    ("mode sense 10 all", "5a 00 3f 00 00 00 00 01 00 00", 256, None),
    ("mode sense 10 capabilities", "5a 00 2a 00 00 00 00 01 00 00", 256, None),
    ("report opcodes", "a3 0c 00 00 00 00 00 00 10 00 00 00", 4096, None),
    ("report luns", "a0 00 00 00 00 00 00 00 00 40 00 00", 64, None),
    ("unmap", "42 00 00 00 00 00 00 00 00 00", 0, None),
    ("write same 10", "41 00 00 00 00 20 00 00 01 00", 0, 2048),
    ("prevent", "1e 00 00 00 01 00", 0, None),
    ("eject while prevented", "1b 00 00 00 02 00", 0, None),
    ("event status while prevented", "4a 01 00 00 10 00 00 00 08 00", 8, None),
    ("allow", "1e 00 00 00 00 00", 0, None),
    ("eject", "1b 00 00 00 02 00", 0, None),
    ("tur, tray open", "00 00 00 00 00 00", 0, None),
    ("tur again", "00 00 00 00 00 00", 0, None),
    ("event status, tray open", "4a 01 00 00 10 00 00 00 08 00", 8, None),
    ("read 10, tray open", "28 00 00 00 00 10 00 00 01 00", 2048, None),
    ("read capacity, tray open", "25 00 00 00 00 00 00 00 00 00", 8, None),
    ("read toc, tray open", "43 00 00 00 00 00 00 03 24 00", 804, None),
    ("get configuration, tray open", "46 00 00 00 00 00 00 01 00 00", 256, None),
    ("mechanism status, tray open", "bd 00 00 00 00 00 00 00 00 08 00 00", 8, None),
    ("mode sense 6, tray open", "1a 00 2a 00 ff 00", 255, None),
    ("request sense, tray open", "03 00 00 00 12 00", 18, None),
    ("close", "1b 00 00 00 03 00", 0, None),
    ("tur, closed", "00 00 00 00 00 00", 0, None),
    ("tur, closed again", "00 00 00 00 00 00", 0, None),
    ("event status, closed", "4a 01 00 00 10 00 00 00 08 00", 8, None),
    ("read 10, closed", "28 00 00 00 00 10 00 00 01 00", 2048, None),
]


def script(label, commands, address):
    """Guest script that sends @commands to the unit at @address; steps are LABEL.NUMBER."""
    lines = [f"sg=/dev/$(sg_at {address})"]
    for number, (_, cdb, want, send) in enumerate(commands):
        options = (f"-r {want} " if want else "") + (f"-s {send} -i /pattern " if send else "")
        lines.append(f"run {label}.{number} sg_raw {options}$sg {cdb}")
    return "\n".join(lines) + "\n"


def parse(text):
    """(status, sense, data) from what sg_raw prints."""
    status = re.search(r"SCSI Status: (.*)", text)
    sense = re.search(r"Sense Information:\n(.*?)(?:\n\n|\Z)", text, re.S)
    return (status[1].strip() if status else "none: " + " ".join(text.split()),
            " / ".join(line.strip() for line in sense[1].splitlines()) if sense else "",
            _dump(text))


def _dump(text):
    """The bytes of a hex dump of sg_raw, 16 a line, between an address and the characters."""
    head = re.search(r"^Received (\d+) bytes of data:\n", text, re.M)
    if not head:
        return b""
    data, size = bytearray(), int(head[1])
    for line in text[head.end():].splitlines():
        if len(data) == size:
            break
        data += bytes.fromhex("".join(line.split()[1:1 + min(16, size - len(data))]))
    if len(data) != size:
        raise ValueError(f"half a dump: {text}")
    return bytes(data)


def answers(result, label, commands):
    """{name: (status, sense, data)} of one run."""
    return {f"{label}: {name}": parse(result.steps[f"{label}.{n}"][1])
            for n, (name, *_) in enumerate(commands)}


def differences(theirs, ours):
    """Lines "NAME | what theirs | what ours", one for each thing that differs."""
    lines = []
    for name, (status, sense, data) in theirs.items():
        status2, sense2, data2 = ours[name]
        if status != status2:
            lines.append(f"{name} | {status} | {status2}")
        if sense != sense2:
            lines.append(f"{name} | sense {sense or '-'} | sense {sense2 or '-'}")
        if not (data and data2):
            if data != data2:
                lines.append(f"{name} | {len(data)} bytes | {len(data2)} bytes")
            continue
        if len(data) != len(data2):
            padded = ", zero beyond" if not any(data[len(data2):]) else ""
            lines.append(f"{name} | {len(data)} bytes{padded} | {len(data2)} bytes")
        parts, parts2 = _parts(name, data), _parts(name, data2)
        for part in sorted(parts.keys() | parts2.keys()):
            if part not in parts or part not in parts2:
                there, here = ("without", "with") if part in parts2 else ("with", "without")
                lines.append(f"{name} | {there} {part.strip()} | {here} {part.strip()}")
            else:
                lines += _runs(name, part, parts[part], parts2[part])
    return lines


def _parts(name, data):
    """An answer that is a list of self-describing pieces in those pieces, its length fields left
    out; any other in one."""
    what = name.split(": ")[1]
    if what.startswith("mode sense 6") and " in " not in what:
        return _pages(data, data[1:4], 4, data[3])
    if what.startswith("mode sense 10"):
        return _pages(data, data[2:8], 8, data[7])
    if what.startswith("get configuration"):
        return _features(data)
    return {"": data}


def _pages(data, head, at, block):
    """SPC-4 7.5: mode parameter header, block descriptors, pages."""
    parts = {"header ": head, "block descriptor ": data[at:at + block]}
    at += block
    while at + 1 < len(data) and data[at] & 0x3f:
        size = 2 + data[at + 1]
        parts[f"page {data[at] & 0x3f:02x} "] = data[at:at + size]
        at += size
    return parts


def _features(data):
    """MMC-6 5.2: feature header, then feature descriptors."""
    parts, at = {"header ": data[4:8]}, 8
    while at + 4 <= len(data) and (any(data[at:at + 4]) or at == 8):
        size = 4 + data[at + 3]
        parts[f"feature {data[at:at + 2].hex()} "] = data[at:at + size]
        at += size
    return parts


def _runs(name, part, one, two):
    """A line for each run of bytes that differ, over the length that both have."""
    at, end = 0, min(len(one), len(two))
    if part and len(one) != len(two):
        yield f"{name} | {part}{len(one)} bytes | {part}{len(two)} bytes"
    while at < end:
        if one[at] == two[at]:
            at += 1
            continue
        stop = at
        while stop < end and one[stop] != two[stop]:
            stop += 1
        yield (f"{name} | {part}byte {at}: {one[at:stop].hex(' ')}"
               f" | {part}byte {at}: {two[at:stop].hex(' ')}")
        at = stop
