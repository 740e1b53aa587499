/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/num.h"
#include "scsi/mode.h"

#define D CDB_DISK
#define C CDB_CD

/* Nobody believes in cylinders, but old systems ask for them: 16 heads, 63 sectors. */
static uint32_t geometry_cylinders(const struct unit *unit)
{
	uint64_t sectors = unit->block ? unit->block->size / 512 : 0;

	return max_u64(2, min_u64(16383, sectors / (16 * 63)));
}

/* SBC, rigid disk geometry. */
static void get_geometry(const struct unit *unit, uint8_t *page, bool defaults)
{
	uint32_t cyls = geometry_cylinders(unit);

	put_be24(&page[2], cyls);
	put_be24(&page[6], cyls);	/* write precompensation: off */
	put_be24(&page[9], cyls);	/* reduced write current: off */
}

/* SCSI-2, flexible disk. */
static void get_flexible(const struct unit *unit, uint8_t *page, bool defaults)
{
	uint32_t cyls = geometry_cylinders(unit);

	put_be16(&page[6], unit->state->block_size);
	put_be16(&page[8], cyls);
	put_be16(&page[10], cyls);
	put_be16(&page[12], cyls);
}

/* Caching, SBC-3: WCE. */
static void get_caching(const struct unit *unit, uint8_t *page, bool defaults)
{
	bool wce = defaults ? unit->config->write_cache : unit->state->write_cache;

	page[2] = wce ? 0x04 : 0;
}

static void set_caching(struct unit *unit, const uint8_t *page)
{
	unit->state->write_cache = !!(page[2] & 0x04);
}

/* SPC-3 7.4.6, control: SWP. */
static void get_control(const struct unit *unit, uint8_t *page, bool defaults)
{
	page[4] = !defaults && unit->state->swp ? 0x08 : 0;
}

static void set_control(struct unit *unit, const uint8_t *page)
{
	unit->state->swp = !!(page[4] & 0x08);
}

/* MMC-3, capabilities: bit 1 of byte 6 is the lock state. */
static void get_capabilities(const struct unit *unit, uint8_t *page, bool defaults)
{
	page[6] |= !defaults && unit->state->tray_locked ? 0x02 : 0;
}

/*
 * In order of their codes, as page 3Fh returns them.  D_SENSE of the control page stays 0: it
 * speaks of sense data that comes with the status, and this bus has none (SPC-3 7.4.6).
 */
const struct mode_page mode_pages[] = {
	/* Read-write error recovery, SBC-3: AWRE.  MMC-6: read retries. */
	{ 0x01, D, 12, { 0x01, 10, 0x80 } },
	{ 0x01, C, 12, { 0x01, 10, 0x80, 0x20 } },
	/* Step rate 200 ns, landing zone, 5400 rpm. */
	{ 0x04, D, 24, { 0x04, 22, [5] = 16, [13] = 200, [14] = 0xff, 0xff, 0xff,
	  [20] = 5400 >> 8, 5400 & 0xff }, .get = get_geometry },
	{ 0x05, D, 32, { 0x05, 30, 5000 >> 8, 5000 & 0xff, 16, 63, [15] = 1, 1, [18] = 1, 1, 1,
	  [28] = 5400 >> 8, 5400 & 0xff }, .get = get_flexible },
	{ 0x08, D, 20, { 0x08, 18 }, { [2] = 0x04 }, get_caching, set_caching },
	{ 0x08, C, 20, { 0x08, 18 } },
	/* QUEUE ALGORITHM MODIFIER 1: SIMPLE tasks are reordered. */
	{ 0x0a, D, 12, { 0x0a, 10, [3] = 0x10 }, { [4] = 0x08 }, get_control, set_control },
	{ 0x0a, C, 12, { 0x0a, 10, [3] = 0x10 } },
	/* CD device parameters, MMC-2: 60 S units an M unit, 75 F units an S unit. */
	{ 0x0d, C, 8, { 0x0d, 6, 0, 0, 0, 60, 0, 75 } },
	/* CD audio control, MMC-6: no audio. */
	{ 0x0e, C, 16, { 0x0e, 14 } },
	/* Informational exceptions control, SPC-3 7.4.11: none is reported (DEXCPT). */
	{ 0x1c, D | C, 12, { 0x1c, 10, 0x08 } },
	/* Capabilities and mechanical status, as QEMU's: reads all CDs and DVD-ROM; lock, eject,
	 * tray; 50x; 2 MiB of buffer. */
	{ 0x2a, C, 22, { 0x2a, 20, 0x3b, 0x00, 0x7f, 0xff, 0x2d, 0x00,
	  (50 * 176) >> 8, (50 * 176) & 0xff, 0, 2, 2048 >> 8, 2048 & 0xff,
	  (16 * 176) >> 8, (16 * 176) & 0xff, 0, 0, (16 * 176) >> 8, (16 * 176) & 0xff,
	  (16 * 176) >> 8, (16 * 176) & 0xff }, .get = get_capabilities },
};
const unsigned mode_page_count = sizeof(mode_pages) / sizeof(mode_pages[0]);
