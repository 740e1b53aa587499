/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SCSI_MODE_H
#define SCSI_MODE_H

/* The table of mode pages (SPC-3 7.4, SBC-3, MMC-6). */

#include <stdint.h>

#include "scsi/bus.h"

#define MODE_PAGE_MAX 32

struct mode_page {
	uint8_t code;
	uint8_t types;			/* CDB_DISK, CDB_CD */
	uint8_t len;			/* with its header */
	uint8_t value[MODE_PAGE_MAX];	/* what never changes, from byte 0 */
	uint8_t changeable[MODE_PAGE_MAX];
	/* Fills in what depends on the unit; @defaults: not the current but the default value. */
	void (*get)(const struct unit *unit, uint8_t *page, bool defaults);
	/* Takes over the changeable bits of a page that passed all checks. */
	void (*set)(struct unit *unit, const uint8_t *page);
};

extern const struct mode_page mode_pages[];
extern const unsigned mode_page_count;


#endif
