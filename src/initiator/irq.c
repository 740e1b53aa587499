/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "initiator/priv.h"

/* The interrupt handler (manual 2.2.15): what has ended, and what went wrong. */

static const char *const phases[8] = {
	"DATA OUT", "DATA IN", "COMMAND", "STATUS", "a reserved phase", "a reserved phase",
	"MESSAGE OUT", "MESSAGE IN",
};

/* Why the scripts stopped by themselves. */
static const char *const stops[STOP_COUNT] = {
	[STOP_NO_MSG_OUT] = "a target that was selected takes no message",
	[STOP_PHASE] = "a target is in an unexpected phase",
	[STOP_DIRECTION] = "a target moves data the other way than the command says",
	[STOP_OVERRUN] = "a target has more data than the command's buffer",
	[STOP_MESSAGE] = "a target sent a message that is not expected",
	[STOP_RESELECT] = "a target reselected without an IDENTIFY message",
	[STOP_NO_TAG] = "a target reselected without a tag",
	[STOP_BAD_TAG] = "a target reselected with the tag of no command",
};

/* The rest: bits of SIST and of DSTAT, the gravest first. */
static const struct {
	uint16_t sist;
	uint8_t dstat;
	const char *what;
} faults[] = {
	{ 0, DSTAT_BF, "the chip met a bus fault" },
	{ 0, DSTAT_MDPE, "the chip met a parity error on the PCI bus" },
	{ 0, DSTAT_IID, "the chip met an illegal instruction" },
	{ 0, DSTAT_ABRT, "the chip's operation was aborted" },
	{ SIST_RST, 0, "the SCSI bus was reset" },
	{ SIST_UDC, 0, "a target disconnected unexpectedly" },
	{ SIST_SGE, 0, "the chip met a gross error on the SCSI bus" },
	{ SIST_PAR, 0, "the chip met a parity error on the SCSI bus" },
};

/* The only command in flight, or -1. */
static int only_slot(const struct initiator *i)
{
	int found = -1;

	for (unsigned n = 0; n < INITIATOR_MAX_DEPTH; n++) {
		if (!init_in_flight(i, n))
			continue;
		if (found >= 0)
			return -1;
		found = n;
	}
	return found;
}

/* The command in flight that DSA points to, in *ret_slot; INITIATOR_MAX_DEPTH: RAM_NOBODY. */
static int current_slot(struct initiator *i, unsigned *ret_slot)
{
	uint32_t dsa = 0;
	int ret = init_read(i, R_DSA, 4, &dsa), slot;

	if (ret)
		return ret;
	slot = queue_slot_at(dsa);
	if (slot < 0 || (slot < INITIATOR_MAX_DEPTH && !init_in_flight(i, slot)))
		return init_break(i, -EPROTO, "the remote interrupts for no command (DSA 0x%x)",
				  dsa);
	*ret_slot = slot;
	return 0;
}

/*
 * A status that is not GOOD.  QEMU's LSI lets a command that has disconnected, and then fails
 * without data, end without reselection: DSA points to nobody.  With one command in flight it is
 * that one.
 */
static int bad_status(struct initiator *i)
{
	unsigned slot;
	uint8_t status;
	int ret = current_slot(i, &slot), only;

	if (ret)
		return ret;
	if (slot < INITIATOR_MAX_DEPTH) {
		status = slot_ram(i, slot)->status_byte;
	} else {
		only = only_slot(i);
		status = ((struct ram_slot *)(i->client->mem + RAM_NOBODY))->status_byte;
		if (only < 0) {
			init_fail(i, -EIO, "a command has failed with status 0x%02x, and the "
				  "remote does not say which", status);
			return init_reset(i, -EIO);
		}
		slot = only;
	}
	ret = init_end(i, slot, 0, status);
	return ret ? ret : init_write(i, R_DSP, 4, i->entry.start);
}

static int script_stop(struct initiator *i)
{
	uint32_t dsps = 0;
	int ret = init_read(i, R_DSPS, 4, &dsps);

	if (ret)
		return ret;
	if (dsps == STOP_STATUS)
		return bad_status(i);
	if (dsps >= STOP_COUNT || !stops[dsps])
		return init_break(i, -EPROTO, "the remote says that its script stopped for "
				  "reason 0x%x, which is not one of ours", dsps);
	init_fail(i, -EIO, "%s", stops[dsps]);
	return init_reset(i, -EIO);
}

/* Nobody answers the selection. */
static int no_target(struct initiator *i)
{
	unsigned slot;
	int ret = current_slot(i, &slot);

	if (ret)
		return ret;
	if (slot == INITIATOR_MAX_DEPTH)
		return init_break(i, -EPROTO, "the remote selects for no command");
	init_fail(i, -ENODEV, "no target %u on the SCSI bus", i->slot[slot].cmd->target);
	ret = init_end(i, slot, -ENODEV, 0);
	return ret ? ret : init_write(i, R_DSP, 4, i->entry.start);
}

static int mismatch(struct initiator *i)
{
	uint32_t phase = 0;
	int ret = init_read(i, R_SSTAT1, 1, &phase);

	if (ret)
		return ret;
	init_fail(i, -EIO, "phase mismatch: a target went to %s", phases[phase & 7]);
	return init_reset(i, -EIO);
}

static int fault(struct initiator *i, uint32_t sist, uint32_t dstat)
{
	if (sist & SIST_MA)
		return mismatch(i);
	for (unsigned n = 0; n < sizeof(faults) / sizeof(faults[0]); n++) {
		if (!(sist & faults[n].sist) && !(dstat & faults[n].dstat))
			continue;
		init_fail(i, -EIO, "%s", faults[n].what);
		return init_reset(i, -EIO);
	}
	return init_break(i, -EPROTO, "the remote interrupts for nothing (SIST 0x%x, DSTAT 0x%x)",
			  sist, dstat);
}

/* SIP or DIP is set: the scripts have stopped. */
static int stopped(struct initiator *i, uint32_t istat)
{
	uint32_t sist = 0, dstat = 0;
	int ret = 0;

	if (istat & ISTAT0_SIP)
		ret = init_read(i, R_SIST0, 2, &sist);
	if (!ret && istat & ISTAT0_DIP)
		ret = init_read(i, R_DSTAT, 1, &dstat);
	if (ret)
		return ret;
	if (sist == SIST_STO)
		return no_target(i);
	if (!sist && (dstat & (DSTAT_SIR | DSTAT_BF | DSTAT_IID)) == DSTAT_SIR)
		return script_stop(i);
	return fault(i, sist, dstat);
}

static int reap_done(struct initiator *i)
{
	uint32_t addr;

	/* Each takes a command out of flight, so this ends whatever the remote writes. */
	while ((addr = queue_take_done(i))) {
		int slot = queue_slot_at(addr), ret;

		if (slot < 0 || slot == INITIATOR_MAX_DEPTH || !init_in_flight(i, slot))
			return init_break(i, -EPROTO, "the remote says that a command has ended "
					  "which is none (0x%x)", addr);
		ret = init_end(i, slot, 0, slot_ram(i, slot)->status_byte);
		if (ret)
			return ret;
	}
	return 0;
}

int irq_handle(struct initiator *i)
{
	uint32_t istat = 0, again = 0;
	int ret = init_read(i, R_ISTAT0, 1, &istat);

	if (!ret && istat & ISTAT0_INTF) {
		ret = init_write(i, R_ISTAT0, 1, (istat & ISTAT0_SIGP) | ISTAT0_INTF);
		if (!ret)
			ret = init_read(i, R_ISTAT0, 1, &again);
		if (!ret)
			ret = reap_done(i);
		istat |= again;
	}
	if (!ret && istat & (ISTAT0_SIP | ISTAT0_DIP))
		ret = stopped(i, istat);
	return ret;
}
