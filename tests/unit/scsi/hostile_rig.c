/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hostile.h"

/* Tests that have come to their end: see hostile_add(). */
static unsigned ended;

void hostile_down(struct rig *rig)
{
	uint8_t buf[36] = { 0 };

	for (unsigned i = 0; i < RIG_UNITS; i++) {
		rig->disk[i].hold = false;
		rig->disk[i].fail_count = 0;
	}
	scsi_bus_reset(rig->bus, false);
	g_assert_cmpuint(scsi_active(rig->bus), ==, 0);
	rig_good(rig, "12 00 00 00 24 00", buf, 36, 36);
	g_assert_cmpmem(buf + 8, 12, "QEMU    QEMU", 12);
	rig_down(rig);
	ended++;
}

static void run_test(const void *data)
{
	void (*fn)(void) = (void (*)(void))(uintptr_t)data;
	unsigned before = ended;

	fn();
	g_assert_cmpuint(ended, >, before);
}

void hostile_add(const char *path, void (*fn)(void))
{
	g_test_add_data_func(path, (const void *)(uintptr_t)fn, run_test);
}
