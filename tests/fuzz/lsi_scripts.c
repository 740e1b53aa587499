/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCRIPTS alone: the input is what the guest has in memory, from the script's start on (all in
 * front of it is four bytes: how many slices, what happens between them, and 64-bit modes).
 */

#include <string.h>

#include "lsi.h"

#define AT CMD_BASE(0)
#define MAX_SCRIPT 4096u

static struct rig rig;

void fuzz_setup(void)
{
	lsi_setup(&rig);
}

/* What a driver would answer: the next script begins where the interrupt left this one. */
static void go_on(void)
{
	lsi_read(&rig, R_SIST0, 2);
	lsi_read(&rig, R_DSTAT, 1);
	lsi_write(&rig, R_DCNTL, 1, DCNTL_COM | DCNTL_STD);
}

void fuzz_one(struct input *in)
{
	unsigned slices = 1 + in_u8(in) % 32, how = in_u8(in);
	uint8_t ccntl1 = in_u8(in), dmode = in_u8(in);
	struct lsi_budget left = LSI_BUDGET;
	const uint8_t *script;
	size_t len = in_take(in, MAX_SCRIPT, &script);

	memcpy(rig.ram + AT, script, len);
	memcpy(rig.state->ram, script, len);
	rig.disk[0].hold = how & 1;
	lsi_write(&rig, R_CCNTL1, 1, ccntl1 & 0x0f);
	lsi_write(&rig, R_DMODE, 1, dmode & ~DMODE_MAN);
	lsi_write(&rig, R_DSA, 4, AT);
	lsi_write(&rig, R_DSP, 4, how & 2 ? RIG_SRAM : AT);
	for (unsigned i = 0; i < slices; i++) {
		lsi_pump(&rig, &left, 1);
		if (how & 4 && rig.state->run == RUN_STOPPED)
			go_on();
		if (how & 8 && rig.disk[0].count)
			rig_end(&rig, 0, 0);
	}
	lsi_reset(&rig);
}
