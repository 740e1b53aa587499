# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages that access the device, and the two things that every step needs: to run a script until
it stops, and to dump the registers."""
import os
import sys
import time

import steps

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import mpq  # noqa: E402

HANG = float(os.environ.get("MPQ_TEST_TIMEOUT", "10"))      # guards hangs, decides nothing else
ISTAT0, ISTAT1, DSTAT, SIST0, DSP, DSPS, DBC, DSA = 0x14, 0x15, 0x0c, 0x42, 0x2c, 0x30, 0x24, 0x10
SCNTL1, SCNTL2 = 0x01, 0x02
SRUN, SRST, RST, INTF = 0x02, 0x40, 0x08, 0x04
DUMP = range(0, 0x100, 4)


def rd(off, size=1, bar="regs"):
    base, memory = steps.BASES[bar]
    return mpq.message(mpq.Cmd.BAR_READ, mpq.bar(base + off, 0, size, memory))


def wr(off, val, size=1, bar="regs"):
    base, memory = steps.BASES[bar]
    return mpq.message(mpq.Cmd.BAR_WRITE, mpq.bar(base + off, val, size, memory))


def cfg_rd(off, size=4):
    return mpq.message(mpq.Cmd.PCI_CFGREAD, mpq.cfg(off, 0, size))


def cfg_wr(off, val, size=4):
    return mpq.message(mpq.Cmd.PCI_CFGWRITE, mpq.cfg(off, val, size))


PLACE = [cfg_wr(0x10, steps.IO), cfg_wr(0x14, steps.REGS), cfg_wr(0x18, steps.SCRIPT_RAM),
         cfg_wr(0x1c, 0), cfg_wr(0x0c, 0, 2), cfg_wr(0x3c, 0, 1), cfg_wr(4, 7, 2)]
RESET = mpq.message(mpq.Cmd.DEVICE_RESET)


def run(addr):
    """Runs the script at @addr until it stops; what the interrupt registers then say."""
    yield [wr(DSP, addr, 4)]
    end, polls = time.monotonic() + HANG, 0
    while True:
        istat1 = (yield [rd(ISTAT1)])[0]
        if not istat1 & SRUN:
            break
        polls += 1
        if polls > 50:
            time.sleep(0.0005)
            if time.monotonic() > end:
                return {"stopped": False}
    istat0 = (yield [rd(ISTAT0)])[0]
    # as drivers do: QEMU does not clear DSTAT while INTF stands
    dstat, sist, dsp, dsps, dbc = (yield [
        wr(ISTAT0, INTF) if istat0 & INTF else rd(ISTAT0), rd(DSTAT), rd(SIST0, 2), rd(DSP, 4),
        rd(DSPS, 4), rd(DBC, 4)])[1:]
    return {"stopped": True, "istat0": istat0, "dstat": dstat, "sist": sist, "dsp": dsp,
            "dsps": dsps, "dbc": dbc & 0xffffff}


def dump():
    values = yield [rd(off, 4) for off in DUMP]
    return {f"register {off:02x}": value for off, value in zip(DUMP, values)}
