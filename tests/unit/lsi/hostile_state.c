/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "hostile.h"

/*
 * A state that another process left, which may have been taken over by its guest: it is input.
 */

/* The same by way of a state that another process wrote: each length and index out of its range. */
static void test_forged_state(void)
{
	const struct lsi_state *s;
	static const struct { size_t off, size; uint64_t val; } rows[] = {
#define ROW(field, v) { offsetof(struct lsi_state, field), sizeof(s->field), v }
		ROW(bus.msg_in_len, LSI_MSG_IN + 1), ROW(bus.msg_in_pos, 1),
		ROW(bus.msg_out_len, LSI_MSG_OUT), ROW(bus.cdb_len, SCSI_MAX_CDB + 1),
		ROW(bus.req, SCSI_MAX_REQS), ROW(bus.target, SCSI_MAX_TARGETS),
		ROW(bus.phase, 8), ROW(bus.after, 4), ROW(bus.attr, 4), ROW(run, 5), ROW(carry, 2),
		ROW(move_left, 0x1000000), ROW(move_len, 0x1000000), ROW(gen_deadline, 1ULL << 63),
		ROW(hth_deadline, 1ULL << 63), ROW(nexus[287].target, 16),
#undef ROW
	};
	struct lsi_state *forged = g_new0(struct lsi_state, 1);
	struct pci_dev dev;
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		*forged = *rig.state;
		memcpy((uint8_t *)forged + rows[i].off, &rows[i].val, rows[i].size);
		g_assert_cmpint(pci_dev_init(&dev, &lsi53c895a_class, &forged->pci, &rig.dev.host,
					     "lsi1", &rig.setup), ==, -EINVAL);
	}
	g_free(forged);
	hostile_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	hostile_add("/lsi/hostile/CVE-2018-18849-state", test_forged_state);
	return g_test_run();
}
