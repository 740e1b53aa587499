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

static void predecessor(void)
{
	struct cmd read = cmd_rw(0, 5, false, 3, 8), write = cmd_rw(1, 6, true, 3, 8);

	rig_up(&rig, &lsi53c895a_class);
	host = rig.dev.host;
	remember(0);
	/* two disconnected commands */
	rig.disk[0].hold = rig.disk[1].hold = true;
	g_assert_cmpint(cmd_start(&rig, 0, &read), ==, INT_DISCONNECTED);
	write.data_len = 512;
	cmd_start(&rig, 1, &write);
	remember(1);
	/* in the middle of a data phase, the script stopped by a mismatch of lengths */
	rig.disk[0].hold = rig.disk[1].hold = false;
	read.tag = 7;
	read.target = 1;
	read.data_len = 100;
	lsi_write(&rig, R_DSP, 4, cmd_build(&rig, 2, &read, NULL));
	rig_pass(&rig, 3);
	remember(2);
	lsi_write(&rig, R_STIME1, 1, 0x0f);
	lsi_write(&rig, R_DSP, 4, cmd_reselect_build(&rig));
	rig_pass(&rig, 3);
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
