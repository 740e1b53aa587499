/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "scsi/disk.h"
#include "scsi/mode.h"

/* MODE SENSE and MODE SELECT (SPC-3 6.7 to 6.10). */

enum { PC_CURRENT, PC_CHANGEABLE, PC_DEFAULT, PC_SAVED };

static unsigned unit_types(const struct unit *unit)
{
	return unit_is_cd(unit) ? CDB_CD : CDB_DISK;
}

static void page_values(const struct unit *unit, const struct mode_page *page, unsigned pc,
			uint8_t *p)
{
	memcpy(p, pc == PC_CHANGEABLE ? page->changeable : page->value, page->len);
	memcpy(p, page->value, 2);
	if (pc != PC_CHANGEABLE && page->get)
		page->get(unit, p, pc == PC_DEFAULT);
}

static const struct mode_page *page_find(const struct unit *unit, uint8_t code)
{
	for (unsigned i = 0; i < mode_page_count; i++)
		if (mode_pages[i].code == code && mode_pages[i].types & unit_types(unit))
			return &mode_pages[i];
	return NULL;
}

/* Short LBA block descriptor (SBC-3): too many blocks are told as 0. */
static uint32_t put_block_descriptor(const struct unit *unit, uint8_t *p)
{
	uint64_t blocks = unit_blocks(unit);

	memset(p, 0, 8);
	put_be32(p, blocks > 0xffffff ? 0 : blocks);
	put_be24(&p[5], unit->state->block_size);
	return 8;
}

/* Device-specific parameter, SBC-3: write protected, DPOFUA.  MMC defines none of them. */
static uint8_t device_specific(const struct unit *unit)
{
	bool wp = unit->config->readonly || unit->state->swp ||
		  (unit->block && unit->block->readonly);

	if (unit_is_cd(unit))
		return 0;
	return (wp ? 0x80 : 0) | (unit->config->dpofua ? 0x10 : 0);
}

/* Mode parameter header (SPC-3 7.4.3); @len counts from its start. */
static void put_header(const struct unit *unit, uint8_t *p, bool ten, uint32_t len, uint8_t bd_len)
{
	memset(p, 0, ten ? 8 : 4);
	if (ten) {
		put_be16(p, len - 2);
		p[3] = device_specific(unit);
		p[7] = bd_len;
	} else {
		p[0] = len - 1;
		p[2] = device_specific(unit);
		p[3] = bd_len;
	}
}

static uint32_t put_pages(const struct unit *unit, uint8_t code, unsigned pc, uint8_t *p)
{
	uint32_t len = 0;

	for (unsigned i = 0; i < mode_page_count; i++) {
		const struct mode_page *page = &mode_pages[i];

		if (!(page->types & unit_types(unit)) || (code != 0x3f && code != page->code))
			continue;
		page_values(unit, page, pc, p + len);
		len += page->len;
	}
	return len;
}

void cmd_mode_sense(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);
	bool ten = t->row->len == 10;
	unsigned pc = cdb[2] >> 6, code = cdb[2] & 0x3f, header = ten ? 8 : 4, bd_len = 0;
	uint32_t len;

	if (code != 0x3f && !page_find(t->unit, code)) {
		task_bad_cdb(t, 2, 5);
		return;
	}
	if (cdb[3] && !(code == 0x3f && cdb[3] == 0xff)) {	/* no subpages */
		task_bad_cdb(t, 3, 7);
		return;
	}
	if (pc == PC_SAVED) {
		task_check(t, SENSE_NO_SAVING);
		return;
	}
	if (!(cdb[1] & 0x08) && !unit_is_cd(t->unit))		/* DBD; MMC has none */
		bd_len = put_block_descriptor(t->unit, t->buf + header);
	len = header + bd_len;
	len += put_pages(t->unit, code, pc, t->buf + len);
	put_header(t->unit, t->buf, ten, len, bd_len);
	task_reply(t, len, cdb_list_len(cdb));
}

/* ---- MODE SELECT ---- */

void cmd_mode_select(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);
	uint32_t len = cdb_list_len(cdb);

	if ((cdb[1] & 0x11) != 0x10) {		/* PF, and nothing can be saved */
		task_bad_cdb(t, 1, cdb[1] & 1 ? 0 : 4);
		return;
	}
	if (len > t->buf_size)
		task_check(t, SENSE_LIST_LENGTH);
	else if (len)
		task_data_out(t, 0, len);
	else
		task_good(t);
}

/*
 * A block descriptor may name the medium as it is.  Another length would take FORMAT UNIT on a
 * disk; a CD-ROM drive has 512 and 2048, for systems that boot from 512-byte blocks.
 */
static bool select_block_size_ok(const struct unit *unit, uint32_t bs)
{
	if (!bs || bs == unit->state->block_size)
		return true;
	return unit_is_cd(unit) && (bs == 512 || bs == 2048) &&
	       (!unit->block || unit->block->align <= bs);
}

/* Does the page name only bits that may change?  Returns its length, or 0 after ending the task. */
static uint32_t select_check_page(struct task *t, uint32_t off, uint32_t end)
{
	const uint8_t *p = t->buf + off;
	uint8_t now[MODE_PAGE_MAX];
	const struct mode_page *page;

	if (end - off < 2) {
		task_check(t, SENSE_LIST_LENGTH);
		return 0;
	}
	page = page_find(t->unit, p[0] & 0x3f);
	if (!page || p[0] & 0x40) {		/* 3Fh is for MODE SENSE; no subpages */
		task_bad_param(t, off, p[0] & 0x40 ? 6 : 5);
		return 0;
	}
	if (p[1] != page->len - 2) {
		task_bad_param(t, off + 1, -1);
		return 0;
	}
	if (end - off < page->len) {
		task_check(t, SENSE_LIST_LENGTH);
		return 0;
	}
	page_values(t->unit, page, PC_CURRENT, now);
	for (unsigned i = 2; i < page->len; i++)
		if ((now[i] ^ p[i]) & ~page->changeable[i]) {
			task_bad_param(t, off + i, -1);
			return 0;
		}
	return page->len;
}

/* Nothing changes unless all of it can. */
static bool select_check(struct task *t, uint32_t header, uint32_t bd_len, uint32_t end)
{
	uint32_t off = header + bd_len, len;

	if (bd_len && bd_len != 8) {
		task_bad_param(t, header == 4 ? 3 : 6, -1);
		return false;
	}
	if (off > end) {
		task_check(t, SENSE_LIST_LENGTH);
		return false;
	}
	if (bd_len && !select_block_size_ok(t->unit, get_be24(t->buf + header + 5))) {
		task_bad_param(t, header + 5, -1);
		return false;
	}
	for (; off < end; off += len) {
		len = select_check_page(t, off, end);
		if (!len)
			return false;
	}
	return true;
}

static void select_apply(struct task *t, uint32_t header, uint32_t bd_len, uint32_t end)
{
	uint32_t bs = bd_len ? get_be24(t->buf + header + 5) : 0;
	const struct mode_page *page;

	if (bs)
		t->unit->state->block_size = bs;
	for (uint32_t off = header + bd_len; off < end; off += page->len) {
		page = page_find(t->unit, t->buf[off] & 0x3f);
		if (page->set)
			page->set(t->unit, t->buf + off);
	}
}

void mode_select_moved(struct task *t)
{
	bool ten = t->row->len == 10, wce = t->unit->state->write_cache;
	uint32_t header = ten ? 8 : 4, end = t->s->win_len, bd_len;

	if (end < header) {
		task_check(t, SENSE_LIST_LENGTH);
		return;
	}
	bd_len = ten ? get_be16(t->buf + 6) : t->buf[3];
	if (!select_check(t, header, bd_len, end))
		return;
	select_apply(t, header, bd_len, end);
	/* What a cache that is now off still holds goes to the medium. */
	if (wce && !t->unit->state->write_cache && unit_has_medium(t->unit))
		task_io(t, BLOCK_FLUSH, 0, 0, 0, 0);
	else
		task_good(t);
}
