/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A state that a predecessor has left: recorded at a few moments of its life, then bent by the
 * input, then taken over by a new chip on which a guest goes on.  A state may be refused; one that
 * was taken must not be able to do harm.
 *
 * The chip is made anew for each input, because taking over is a part of making one.
 */

#include <string.h>

#include "lsi.h"

#define MOMENTS 4
#define MAX_PATCHES 16

static struct rig rig;
static struct pci_host host;
static struct lsi_state moment[MOMENTS];

/* ---- the predecessor ---- */

static void remember(unsigned i)
{
	moment[i] = *rig.state;
}

#define AT 0x8000u
#define MEM 0x9000u

/* A script up to the moment that is to be remembered. */
static void run_to(const void *messages, unsigned count, const void *cdb, unsigned cdb_len)
{
	struct prog p = prog_at(&rig, AT);

	lsi_write(&rig, R_ISTAT0, 1, ISTAT0_SRST);
	lsi_write(&rig, R_ISTAT0, 1, 0);
	memcpy(rig.ram + MEM, messages, count);
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, count), MEM);
	if (cdb_len) {
		memcpy(rig.ram + MEM + 64, cdb, cdb_len);
		put2(&p, S_MOVE(PHASE_COMMAND, cdb_len), MEM + 64);
	}
	put2(&p, S_INT, 1);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
	g_assert_true(rig.state->bus.connected);
}

static void predecessor(void)
{
	static const uint8_t negotiation[] = { 0xc0, 1, 3, 1, 10, 31 };
	static const uint8_t inquiry[] = { 0x12, 0, 0, 0, 36, 0 };
	struct cmd read = cmd_rw(0, 5, false, 3, 8), write = cmd_rw(1, 6, true, 3, 1);

	rig_up(&rig, &lsi53c895a_class);
	host = rig.dev.host;
	remember(0);
	/* two disconnected commands, the script waits for either, a timer runs */
	rig.disk[0].hold = rig.disk[1].hold = true;
	g_assert_cmpint(cmd_start(&rig, 0, &read), ==, INT_DISCONNECTED);
	g_assert_cmpint(cmd_start(&rig, 1, &write), ==, INT_DISCONNECTED);
	lsi_write(&rig, R_STIME1, 1, 0x0f);
	lsi_write(&rig, R_DSP, 4, cmd_reselect_build(&rig));
	rig_pass(&rig, 3);
	g_assert_cmpint(rig.state->run, ==, RUN_WAIT_RESELECT);
	remember(1);
	rig.disk[0].hold = rig.disk[1].hold = false;
	/* a message that nobody has taken yet; data that nobody has taken yet */
	run_to(negotiation, sizeof(negotiation), NULL, 0);
	g_assert_cmpuint(rig.state->bus.msg_in_len, ==, 5);
	remember(2);
	run_to(negotiation, 1, inquiry, sizeof(inquiry));
	g_assert_cmpint(rig.state->bus.phase, ==, PHASE_DATA_IN);
	remember(3);
}

void fuzz_setup(void)
{
	predecessor();
	lsi_disks(&rig);
	lsi_quiet(&rig);
	pci_dev_finish(&rig.dev);
	fuzz_snapshot(&rig, sizeof(rig));
}

/* ---- the successor ---- */

/* Where a state hurts: bytes from @off on. */
static const struct {
	size_t off, len;
} parts[] = {
	{ 0, sizeof(struct lsi_state) },
	{ offsetof(struct lsi_state, regs), 256 },
	{ offsetof(struct lsi_state, initialized), offsetof(struct lsi_state, bus) -
	  offsetof(struct lsi_state, initialized) },
	{ offsetof(struct lsi_state, bus), sizeof(struct lsi_bus) },
	{ offsetof(struct lsi_state, nexus), 8 * sizeof(struct lsi_nexus) },
	{ offsetof(struct lsi_state, scsi.unit), 4 * sizeof(struct scsi_unit_state) },
	{ offsetof(struct lsi_state, scsi.req), 8 * sizeof(struct scsi_req_state) },
	{ offsetof(struct lsi_state, scsi), 16 },
};

static void patch_state(struct input *in)
{
	uint8_t how = in_u8(in);
	size_t part = how & 7, at = parts[part].off + in_u16(in) % parts[part].len;

	in_fill(in, (uint8_t *)rig.state + at, MIN(1u + (how >> 3 & 7), sizeof(*rig.state) - at));
}

static bool take_over(void)
{
	if (pci_dev_init(&rig.dev, &lsi53c895a_class, &rig.state->pci, &host, "lsi0", &rig.setup))
		return false;
	rig.l = rig.dev.priv;
	return true;
}

void fuzz_one(struct input *in)
{
	uint8_t how = in_u8(in);

	*rig.state = moment[how % MOMENTS];
	for (unsigned i = how / MOMENTS % MAX_PATCHES; i > 0; i--)
		patch_state(in);
	if (take_over()) {
		if (how & 0x80)
			rig_place(&rig);
		lsi_ops(&rig, in);
		lsi_check(&rig);
		pci_dev_finish(&rig.dev);
	}
	lsi_clear(&rig);
}
