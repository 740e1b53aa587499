/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bus state that another process left behind: nothing of it is believed. */

#include <string.h>

#include "rig.h"

/* Commands in flight are gone with the process that had their buffers: no index leads to one. */
static void test_requests(void)
{
	for (unsigned phase = SCSI_PHASE_WAIT; phase <= 0xff; phase += 9) {
		struct rig rig;

		rig_init(&rig, 1);
		memset(&rig.state->req[3], phase, sizeof(rig.state->req[3]));
		rig.state->req[3].phase = MIN(phase, SCSI_PHASE_STATUS);
		rig.state->req[4].phase = phase;
		rig.state->next_generation = UINT32_MAX;
		rig_start(&rig);
		g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
		for (unsigned i = 3; i < 5; i++) {
			g_assert_cmpint(scsi_phase(rig.bus, i), ==, SCSI_PHASE_FREE);
			scsi_advance(rig.bus, i, 1);
			scsi_release(rig.bus, i);
			scsi_abort(rig.bus, i);
		}
		g_assert_cmpuint(scsi_active(rig.bus), ==, 0);
		rig_fails(&rig, "00 00 00 00 00 00", NULL, 0, 0x062900);
		rig_good(&rig, "00 00 00 00 00 00", NULL, 0, 0);
		rig_down(&rig);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/scsi/adopt/requests", test_requests);
	return g_test_run();
}
