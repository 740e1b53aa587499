/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "scsi/disk.h"

/* READ TOC/PMA/ATIP (MMC-6) and READ CD of a disc with one data track. */

#define LEAD_OUT 0xaa
#define TRACK_DATA 0x14		/* ADR 1, CONTROL: data track */

/* An address in 4 bytes: LBA, or minute, second, frame after the 2 seconds of lead-in. */
static void put_address(uint8_t *p, uint32_t lba, bool msf)
{
	uint32_t frames = lba + 150;

	if (!msf) {
		put_be32(p, lba);
		return;
	}
	p[0] = 0;
	p[1] = frames / (75 * 60);
	p[2] = frames / 75 % 60;
	p[3] = frames % 75;
}

static uint8_t *put_toc_entry(uint8_t *p, uint8_t track, uint32_t lba, bool msf)
{
	memset(p, 0, 4);
	p[1] = TRACK_DATA;
	p[2] = track;
	put_address(p + 4, lba, msf);
	return p + 8;
}

/* Format 0: from track @first on, and the lead-out; 0 when there is no such track. */
static uint32_t toc_tracks(uint8_t *buf, uint32_t end, bool msf, uint8_t first)
{
	uint8_t *p = buf + 4;

	if (first > 1 && first != LEAD_OUT)
		return 0;
	buf[2] = buf[3] = 1;
	if (first <= 1)
		p = put_toc_entry(p, 1, 0, msf);
	p = put_toc_entry(p, LEAD_OUT, end, msf);
	return p - buf;
}

/* Format 1: the first session is the last. */
static uint32_t toc_sessions(uint8_t *buf, uint32_t end, bool msf, uint8_t first)
{
	buf[2] = buf[3] = 1;
	return put_toc_entry(buf + 4, 1, 0, msf) - buf;
}

static uint8_t *put_raw_entry(uint8_t *p, uint8_t point, uint8_t m, uint8_t s, uint8_t f)
{
	memset(p, 0, 11);
	p[0] = 1;		/* session */
	p[1] = TRACK_DATA;
	p[3] = point;
	p[8] = m;
	p[9] = s;
	p[10] = f;
	return p + 11;
}

/* Format 2: points A0h (first track), A1h (last), A2h (lead-out) and track 1. */
static uint32_t toc_raw(uint8_t *buf, uint32_t end, bool msf, uint8_t first)
{
	uint8_t *p = buf + 4, out[4];

	put_address(out, end, true);
	buf[2] = buf[3] = 1;
	p = put_raw_entry(p, 0xa0, 1, 0, 0);
	p = put_raw_entry(p, 0xa1, 1, 0, 0);
	p = put_raw_entry(p, 0xa2, out[1], out[2], out[3]);
	p = put_raw_entry(p, 1, 0, 2, 0);
	return p - buf;
}

void cmd_read_toc(struct task *t)
{
	static uint32_t (*const formats[])(uint8_t *, uint32_t, bool, uint8_t) = {
		toc_tracks, toc_sessions, toc_raw,
	};
	const uint8_t *cdb = task_cdb(t);
	/* SFF-8020 had the format in the last byte. */
	uint8_t format = cdb[2] & 0x0f ? cdb[2] & 0x0f : cdb[9] >> 6;
	uint32_t len, end = min_u64(t->unit->block->size / 2048, UINT32_MAX);

	if (format > 2) {
		task_bad_cdb(t, 2, 3);
		return;
	}
	memset(t->buf, 0, 4);
	len = formats[format](t->buf, end, cdb[1] & 2, cdb[6]);
	if (!len) {
		task_bad_cdb(t, 6, -1);
		return;
	}
	put_be16(t->buf, len - 2);
	task_reply(t, len, get_be16(&cdb[7]));
}

/*
 * READ CD for data: main channel selection none (0) or user data (10h) of 2048 bytes; raw sectors
 * and subchannels are not on an image of user data.
 */
void cmd_read_cd(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);
	uint32_t blocks = get_be24(&cdb[6]), type = cdb[1] >> 2 & 7;

	if (cdb[9] & ~0x10u || cdb[10] & 7) {
		task_bad_cdb(t, cdb[10] & 7 ? 10 : 9, -1);
		return;
	}
	if (type == 1) {		/* expected sector type CD-DA */
		task_check(t, SENSE_TRACK_MODE);
		return;
	}
	if (type > 5 || t->s->block_size != 2048) {
		task_bad_cdb(t, 1, 4);
		return;
	}
	if (!disk_check_range(t, get_be32(&cdb[2]), blocks))
		return;
	t->s->lba = get_be32(&cdb[2]);
	t->s->blocks = cdb[9] ? blocks : 0;
	read_moved(t);			/* the first window, or GOOD */
}
