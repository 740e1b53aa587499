/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "base/num.h"
#include "initiator/scsi.h"

/* Sense data as people read it: SPC-4, 4.5 and annex D. */

static const char *const keys[16] = {
	"NO SENSE", "RECOVERED ERROR", "NOT READY", "MEDIUM ERROR", "HARDWARE ERROR",
	"ILLEGAL REQUEST", "UNIT ATTENTION", "DATA PROTECT", "BLANK CHECK", "VENDOR SPECIFIC",
	"COPY ABORTED", "ABORTED COMMAND", "sense key 0xC", "VOLUME OVERFLOW", "MISCOMPARE",
	"COMPLETED",
};

/* What disks and CD-ROMs say. */
static const struct {
	uint8_t asc, ascq;
	const char *name;
} codes[] = {
	{ 0x00, 0x00, "no additional sense information" },
	{ 0x00, 0x06, "I/O process terminated" },
	{ 0x04, 0x00, "logical unit not ready" },
	{ 0x04, 0x01, "logical unit is becoming ready" },
	{ 0x04, 0x02, "initializing command required" },
	{ 0x0c, 0x00, "write error" },
	{ 0x11, 0x00, "unrecovered read error" },
	{ 0x1a, 0x00, "parameter list length error" },
	{ 0x1d, 0x00, "miscompare during verify operation" },
	{ 0x20, 0x00, "invalid command operation code" },
	{ 0x21, 0x00, "logical block address out of range" },
	{ 0x24, 0x00, "invalid field in CDB" },
	{ 0x25, 0x00, "logical unit not supported" },
	{ 0x26, 0x00, "invalid field in parameter list" },
	{ 0x27, 0x00, "write protected" },
	{ 0x27, 0x07, "space allocation failed write protect" },
	{ 0x28, 0x00, "the medium may have changed" },
	{ 0x29, 0x00, "power on, reset, or bus device reset occurred" },
	{ 0x2a, 0x01, "mode parameters changed" },
	{ 0x2a, 0x09, "capacity data has changed" },
	{ 0x3a, 0x00, "medium not present" },
	{ 0x3f, 0x0e, "reported LUNs data has changed" },
	{ 0x44, 0x00, "internal target failure" },
	{ 0x47, 0x00, "SCSI parity error" },
	{ 0x53, 0x02, "medium removal prevented" },
	{ 0x64, 0x00, "illegal mode for this track" },
};

static const char *code_name(uint8_t asc, uint8_t ascq)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].asc == asc && codes[i].ascq == ascq)
			return codes[i].name;
	return NULL;
}

/* The information descriptor among the others (SPC-4 4.5.2.2). */
static void find_lba(const uint8_t *sense, unsigned len, struct scsi_sense_info *info)
{
	for (unsigned at = 8; at + 2 <= len; at += 2u + sense[at + 1]) {
		if (sense[at] || sense[at + 1] != 10 || at + 12 > len)
			continue;
		info->has_lba = sense[at + 2] & 0x80;
		info->lba = get_be64(sense + at + 4);
		return;
	}
}

bool scsi_sense_read(const uint8_t *sense, unsigned len, struct scsi_sense_info *ret)
{
	struct scsi_sense_info info = { .key = 0 };
	uint8_t format = len ? sense[0] & 0x7f : 0;

	if ((format == 0x72 || format == 0x73) && len >= 8) {
		info.key = sense[1] & 0xf;
		info.asc = sense[2];
		info.ascq = sense[3];
		find_lba(sense, len, &info);
	} else if ((format == 0x70 || format == 0x71) && len >= 14) {
		info.key = sense[2] & 0xf;
		info.asc = sense[12];
		info.ascq = sense[13];
		info.has_lba = sense[0] & 0x80;
		info.lba = get_be32(sense + 3);
	} else {
		return false;
	}
	*ret = info;
	return true;
}

void scsi_sense_text(const struct scsi_sense_info *info, char *text, size_t size)
{
	const char *name = code_name(info->asc, info->ascq);
	int n = snprintf(text, size, "%s%s%s (%X/%02x/%02x)", keys[info->key], name ? ", " : "",
			 name ? name : "", info->key, info->asc, info->ascq);

	if (info->has_lba && n > 0 && (size_t)n < size)
		snprintf(text + n, size - n, ", LBA %llu", (unsigned long long)info->lba);
}
