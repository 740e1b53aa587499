/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A launch spec whose every count, index and string is checked before a device is built from it. */

#include <string.h>

#include <glib.h>

#include "applets/remote/speccheck.h"
#include "control/launch.h"
#include "plan/spec.h"

static void make_good(struct launch_spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->magic = SPEC_MAGIC;
	spec->version = SPEC_VERSION;
	spec->size = sizeof(*spec);
	spec->device_count = 2;
	spec->disk_count = 2;
	spec->threads = 8;
	spec->device[0].peer_slot = LAUNCH_SLOT_PEER;
	spec->device[0].protocol = SPEC_PROTOCOL_VFIO_USER;
	spec->device[0].listens = 1;
	spec->device[0].rom_slot = LAUNCH_SLOT_ROM;
	spec->device[0].rom_size = SPEC_ROM_MIN;
	spec->device[1].peer_slot = -1;
	spec->device[1].rom_slot = -1;
	spec->auto_shutdown = 1;
	spec->disk[0].image.kind = SPEC_IMAGE_RAW;
	spec->disk[0].image.slot = LAUNCH_SLOT_IMAGE;
	spec->disk[1].device = 1;
	spec->disk[1].image.kind = SPEC_IMAGE_NULL;
	spec->disk[1].image.slot = -1;
}

#define FIELD(f) offsetof(struct launch_spec, f), sizeof(((struct launch_spec *)NULL)->f)

static const struct {
	size_t off, len;
	uint8_t fill;			/* every byte of the field */
} bad[] = {
	{ FIELD(magic), 0 }, { FIELD(version), 2 }, { FIELD(size), 1 },
	{ FIELD(device_count), 9 }, { FIELD(device_count), 0 }, { FIELD(disk_count), 65 },
	{ FIELD(threads), 0xff }, { FIELD(sandbox), 0xff }, { FIELD(log_level), 4 },
	{ FIELD(log_prog), 'x' }, { FIELD(comm), 'x' },
	{ FIELD(device[0].driver), 'x' }, { FIELD(device[1].id), 'x' },
	{ FIELD(device[0].peer_slot), 0 }, { FIELD(device[0].peer_slot), 0xfe },
	{ FIELD(auto_shutdown), 2 }, { FIELD(on_crash), 1 }, { FIELD(on_crash), 2 },
	 { FIELD(trace_size), 1 }, { FIELD(trace_size), 0xff },
	{ FIELD(device[0].protocol), 2 },
	{ FIELD(device[0].listens), 2 }, { FIELD(device[1].listens), 1 },
	{ FIELD(device[0].rom_slot), 0xff }, { FIELD(device[0].rom_slot), 0 },
	{ FIELD(device[0].rom_size), 0 }, { FIELD(device[0].rom_size), 0xff },
	{ FIELD(device[0].rom_size), 1 }, { FIELD(device[1].rom_slot), LAUNCH_SLOT_ROM },
	{ FIELD(device[1].rom_size), 8 },
	{ FIELD(disk[0].device), 2 }, { FIELD(disk[0].image.kind), 4 },
	{ FIELD(disk[0].image.kind), SPEC_IMAGE_NULL }, { FIELD(disk[1].image.kind), 1 },
	{ FIELD(disk[0].image.slot), 0xff }, { FIELD(disk[0].image.slot), 0 },
	{ FIELD(disk[0].image.detect_zeroes), 3 }, { FIELD(disk[0].image.export_name), 'x' },
	{ FIELD(disk[0].unit.type), 2 }, { FIELD(disk[1].unit.werror), 4 },
	{ FIELD(disk[1].unit.rerror), 4 }, { FIELD(disk[1].unit.vendor), 'x' },
	{ FIELD(disk[1].unit.product), 'x' }, { FIELD(disk[1].unit.version), 'x' },
	{ FIELD(disk[1].unit.serial), 'x' }, { FIELD(disk[1].unit.device_id), 'x' },
	{ FIELD(disk[1].unit.id), 'x' },
};

static void test_fields(void)
{
	g_autofree struct launch_spec *spec = g_new(struct launch_spec, 1);

	make_good(spec);
	g_assert_true(spec_ok(spec));
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		make_good(spec);
		memset((uint8_t *)spec + bad[i].off, bad[i].fill, bad[i].len);
		g_test_message("row %u", i);
		g_assert_false(spec_ok(spec));
	}
}

/* The sizes that a ROM BAR can have, and those beside them. */
static void test_rom_size(void)
{
	g_autofree struct launch_spec *spec = g_new(struct launch_spec, 1);

	make_good(spec);
	for (uint32_t size = 1; size; size <<= 1) {
		bool fits = size >= SPEC_ROM_MIN && size <= SPEC_ROM_MAX;

		spec->device[0].rom_size = size;
		g_assert_true(spec_ok(spec) == fits);
		spec->device[0].rom_size = size + SPEC_ROM_MIN / 2;
		g_assert_true(spec_ok(spec) == (size == SPEC_ROM_MIN / 2));
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/spec/fields", test_fields);
	g_test_add_func("/spec/rom-size", test_rom_size);
	return g_test_run();
}
