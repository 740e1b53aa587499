# SPDX-License-Identifier: GPL-2.0-or-later
"""A SCSI command as a driver performs it: a dispatcher by bus phase in SCRIPTS that takes messages,
disconnection and reselection as they come, and a host part that goes on after phase mismatches."""
import functools
from collections import namedtuple

import asm
import steps
from access import DSA, SCNTL2, run, wr

DONE, STRAY, SIGNAL = 0xd04e, 0xbad, 0x519      # DSPS of the driver's INTs
MA = 0x80
MAX_STOPS = 12                                  # phase mismatches of one command
TABLE = 0x10000000
ALWAYS = asm.TRUE
# what is not data: name, phase, where it lies, its entry in the table at DSA
OTHERS = (("out", asm.MSG_OUT, steps.MESSAGES, 0), ("cdb", asm.COMMAND, steps.CDB, 1),
          ("status", asm.STATUS, steps.STATUS, 2), ("in", asm.MSG_IN, steps.MSG_IN, 3))
SELECT_ENTRY = 4
EMPTY_SINK = b"\xc3" * steps.SINK_SIZE
NOTHING = b"\xc3"            # where nothing was fetched


def _when(phase, target, wait=False):
    return asm.transfer(asm.JUMP, ALWAYS | asm.PHASE | (asm.WAIT if wait else 0) | phase << 24,
                        target)


# What a script depends on: lengths and options, not contents.
Shape = namedtuple("Shape", "unit cdb out size atn messages how chunk pos")


@functools.lru_cache(maxsize=2000)
def script_of(shape):
    return Script(shape)


def script_for(args, pos):
    """The script for a command from byte @pos of its data on."""
    return script_of(Shape(args.unit, len(args.cdb), len(args.out), args.size, args.atn,
                           len(args.messages), args.how, args.chunk, pos))


class Script:
    """Labels are resolved at the end."""

    def __init__(self, shape):
        self.args, self.code, self.labels = shape, [], {}
        self.moves, self.sinks = {}, set()      # by the address after them
        self.lengths = {"out": 1 + shape.messages, "cdb": shape.cdb, "status": 1, "in": 1}
        self._select()
        self._dispatcher("a", "data")
        self._data(shape.pos)
        self._dispatcher("b", "sink")
        for phase in (asm.DATA_IN, asm.DATA_OUT):
            self._label(f"sink{phase}")
            self.code.append(asm.move(steps.SINK_SIZE, phase, steps.SINK))
            self.sinks.add(self._here())
            self.code.append(asm.transfer(asm.JUMP, ALWAYS, "b"))
        self._label("stray")
        self.code.append(asm.interrupt(STRAY))
        self.code = [i._replace(target=self.labels.get(i.target, i.target)) for i in self.code]
        self.bytes = asm.assemble(self.code, steps.DRIVER, STRAY)
        # where phase mismatches go on
        self.again = steps.DRIVER + sum(4 * len(i.words) for i in self.code[:self.labels["a"]])

    def _here(self):
        return steps.DRIVER + sum(4 * len(i.words) for i in self.code)

    def _label(self, name):
        self.labels[name] = len(self.code)

    def _select(self):
        atn = 0x01000000 if self.args.atn else 0
        if self.args.how == TABLE:
            bits = 0x02000000 | 8 * SELECT_ENTRY
        else:
            bits = self.args.unit[0] << 16
        self.code.append(asm.io(0, atn | bits, target="stray"))

    def _move(self, name, phase, addr, slot):
        if self.args.how == TABLE:
            return asm.move(0, phase, 8 * slot, TABLE)
        if self.args.how:
            return asm.move(self.lengths[name], phase, steps.TABLES + 8 * slot + 4, self.args.how)
        return asm.move(self.lengths[name], phase, addr)

    def _dispatcher(self, here, data):
        self._label(here)
        for name, phase, _, _ in OTHERS[:2]:
            self.code.append(_when(phase, here + name, wait=name == "out"))
        for phase in (asm.DATA_IN, asm.DATA_OUT):
            wanted = phase == (asm.DATA_OUT if self.args.out else asm.DATA_IN)
            self.code.append(_when(phase, data if wanted and data == "data" else f"sink{phase}"))
        for name, phase, _, _ in OTHERS[2:]:
            self.code.append(_when(phase, here + name))
        self.code.append(asm.interrupt(STRAY))
        for name, *rest in OTHERS:
            self._label(here + name)
            self.code.append(self._move(name, *rest))
            if name != "in":
                self.code.append(asm.transfer(asm.JUMP, ALWAYS, here))
        self._message_in(here)

    def _message_in(self, here):
        """After one byte; DISCONNECT and COMMAND COMPLETE are acted on, others only heard."""
        leave = [asm.read_write(7, 4, SCNTL2, 0x7f), asm.io(4, 0x40), asm.io(1)]
        self.code += [asm.transfer(asm.JUMP, ALWAYS | asm.DATA, here + "complete"),
                      asm.transfer(asm.JUMP, ALWAYS | asm.DATA | 0x04, here + "disconnect"),
                      asm.transfer(asm.JUMP, ALWAYS | asm.DATA | 0x20, here + "tag"),
                      asm.transfer(asm.JUMP, ALWAYS | asm.DATA | 0x01, here + "extended"),
                      asm.io(4, 0x40), asm.transfer(asm.JUMP, ALWAYS, here)]
        self._extended(here)
        self._label(here + "tag")
        self.code += [asm.io(4, 0x40), self._move(*OTHERS[3]), asm.io(4, 0x40),
                      asm.transfer(asm.JUMP, ALWAYS, here)]
        self._label(here + "complete")
        self.code += leave + [asm.interrupt(DONE)]
        self._label(here + "disconnect")
        self.code += leave + [asm.io(2, target=here + "signal"),
                              asm.transfer(asm.JUMP, ALWAYS, here)]
        self._label(here + "signal")
        self.code.append(asm.interrupt(SIGNAL))

    def _extended(self, here):
        """The rest of an extended message: its length, and so many bytes."""
        self._label(here + "extended")
        self.code += [asm.io(4, 0x40), self._move(*OTHERS[3])]
        for length in (2, 3, 6):
            self.code.append(asm.transfer(asm.JUMP, ALWAYS | asm.DATA | length,
                                          f"{here}extended{length}"))
        for length in (2, 3, 6):
            self._label(f"{here}extended{length}")
            self.code += [asm.io(4, 0x40), asm.move(length, asm.MSG_IN, steps.MSG_IN),
                          asm.io(4, 0x40), asm.transfer(asm.JUMP, ALWAYS, here)]

    def _data(self, pos):
        """The moves; each with its position and length."""
        total = self.args.out or self.args.size
        step = max(self.args.chunk or total, total // 16 + 1)
        self._label("data")
        while pos < total:
            n = min(step, total - pos)
            phase = asm.DATA_OUT if self.args.out else asm.DATA_IN
            self.code.append(asm.move(n, phase, steps.DATA + pos))
            self.moves[self._here()] = (pos, n)
            pos += n
        # falls into the second dispatcher


def _prepare(side, args):
    """CDB, messages, data and the table in guest memory."""
    identify = 0x80 | (0 if args.chunk & 1 else 0x40) | args.unit[1]
    out = bytes([identify]) + args.messages
    side.ram.map[steps.CDB:steps.CDB + len(args.cdb)] = args.cdb
    side.ram.map[steps.MESSAGES:steps.MESSAGES + len(out)] = out
    side.ram.map[steps.STATUS:steps.STATUS + 1] = b"\xee"
    data = args.out or NOTHING * args.size
    side.ram.map[steps.DATA:steps.DATA + len(data)] = data
    side.ram.map[steps.SINK:steps.SINK + steps.SINK_SIZE] = EMPTY_SINK
    for (_, _, addr, slot), count in zip(OTHERS, (len(out), len(args.cdb), 1, 1)):
        at = steps.TABLES + 8 * slot
        side.ram.map[at:at + 8] = count.to_bytes(4, "little") + addr.to_bytes(4, "little")
    at = steps.TABLES + 8 * SELECT_ENTRY
    side.ram.map[at:at + 4] = bytes((0, 0, args.unit[0], 0))


def perform(side, args):
    """Runs a command to its end: status, what came, where the script stopped."""
    _prepare(side, args)
    yield [wr(DSA, steps.TABLES, 4)]
    pos, mismatches = 0, 0
    script = script_for(args, pos)
    start = steps.DRIVER
    for _ in range(MAX_STOPS):
        side.ram.map[steps.DRIVER:steps.DRIVER + len(script.bytes)] = script.bytes
        stop = yield from run(start)
        if not stop["stopped"]:
            return {"status": -1, "end": "runs on", "data": b"", "sink": b""}
        if stop["sist"] != MA:
            break
        if stop["dsp"] in script.moves:
            at, count = script.moves[stop["dsp"]]
            pos = at + count - stop["dbc"]
        else:
            mismatches += 1
            if stop["dsp"] in script.sinks:
                pos = len(args.out) or args.size
        script = script_for(args, pos)
        start = script.again
    end = f"sist {stop['sist']:#x} dstat {stop['dstat']:#x}"
    if stop["dstat"] & 4:
        end += f" int {stop['dsps']:#x}"
    data = bytes(side.ram.map[steps.DATA:steps.DATA + args.size])
    return {"status": side.ram.map[steps.STATUS], "end": end, "data": data,
            "mismatches": mismatches, "sink": bytes(side.ram.map[steps.SINK:steps.SINK + 64])}
