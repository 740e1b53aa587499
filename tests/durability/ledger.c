/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ledger.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

#define MAGIC 0x5354414du

void ledger_init(struct ledger *l, uint32_t sectors)
{
	l->now = 0;
	l->count = 1;
	l->write[0] = (struct ledger_write){ .kind = LEDGER_DATA, .blocks = sectors,
					     .acked = true };
}

bool ledger_full(const struct ledger *l)
{
	return l->count == LEDGER_MAX;
}

unsigned ledger_issue(struct ledger *l, enum ledger_kind kind, uint32_t lba, uint32_t blocks)
{
	g_assert_cmpuint(l->count, <, LEDGER_MAX);
	l->write[l->count] = (struct ledger_write){
		.kind = kind, .lba = lba, .blocks = blocks, .issued = ++l->now,
		.ended = UINT64_MAX,
	};
	return l->count++;
}

void ledger_end(struct ledger *l, unsigned number, bool acked, bool durable)
{
	struct ledger_write *w = &l->write[number];

	g_assert_cmpuint(w->ended, ==, UINT64_MAX);
	w->ended = ++l->now;
	w->acked = acked;
	w->durable = acked && durable;
}

uint64_t ledger_tick(struct ledger *l)
{
	return ++l->now;
}

void ledger_flushed(struct ledger *l, uint64_t issued)
{
	for (unsigned i = 0; i < l->count; i++)
		if (l->write[i].acked && !l->write[i].hint && l->write[i].ended < issued)
			l->write[i].durable = true;
}

void ledger_cache_off(struct ledger *l, uint64_t issued)
{
	ledger_flushed(l, issued);
	for (unsigned i = 0; i < l->count; i++)
		if (l->write[i].acked && !l->write[i].hint && !l->write[i].lazy)
			l->write[i].durable = true;
}

void ledger_all_durable(struct ledger *l)
{
	ledger_flushed(l, UINT64_MAX);
}

static bool covers(const struct ledger_write *w, uint32_t lba)
{
	return lba >= w->lba && lba - w->lba < w->blocks;
}

/* Magic, number and place, then bytes that differ in every sector of every write. */
void ledger_stamp(const struct ledger *l, unsigned number, uint32_t lba, void *sector)
{
	uint8_t *p = sector;

	if (l->write[number].kind == LEDGER_ZERO) {
		memset(p, 0, LEDGER_SECTOR);
		return;
	}
	if (l->write[number].kind == LEDGER_SAME)
		lba = l->write[number].lba;
	put_le32(p, MAGIC);
	put_le32(p + 4, number);
	put_le32(p + 8, lba);
	for (unsigned i = 12; i < LEDGER_SECTOR; i++)
		p[i] = number * 31 + lba * 7 + i + (i >> 8);
}

/*
 * Must sector @lba hold write @w or a newer one?  On a disk that was cut (@read 0) when it is
 * durable; for a read of that time when it had been acknowledged.
 */
static bool counts(const struct ledger_write *w, uint32_t lba, uint64_t read)
{
	if (!covers(w, lba))
		return false;
	return read ? w->acked && !w->hint && w->ended < read : w->durable;
}

/* The write that makes write @number in sector @lba a thing of the past, or -1. */
static int overruled_by(const struct ledger *l, unsigned number, uint32_t lba, uint64_t read)
{
	for (unsigned i = 0; i < l->count; i++)
		if (i != number && counts(&l->write[i], lba, read) &&
		    l->write[number].ended < l->write[i].issued)
			return i;
	return -1;
}

static bool check_zeroes(const struct ledger *l, uint64_t read, uint32_t lba, char *why,
			 unsigned why_size)
{
	for (unsigned i = 0; i < l->count; i++)
		if (l->write[i].kind == LEDGER_ZERO && covers(&l->write[i], lba) &&
		    overruled_by(l, i, lba, read) < 0)
			return true;
	g_snprintf(why, why_size, "sector %u holds zeroes, which no write of now left there", lba);
	return false;
}

static bool is_zero(const uint8_t *p)
{
	return !p[0] && !memcmp(p, p + 1, LEDGER_SECTOR - 1);
}

static bool check(const struct ledger *l, uint64_t read, uint32_t lba, const void *sector,
		  char *why, unsigned why_size)
{
	uint8_t want[LEDGER_SECTOR];
	unsigned number;
	int by;

	if (is_zero(sector))
		return check_zeroes(l, read, lba, why, why_size);
	number = get_le32((const uint8_t *)sector + 4);
	if (number >= l->count || !covers(&l->write[number], lba)) {
		g_snprintf(why, why_size, "sector %u holds what was never written there", lba);
		return false;
	}
	ledger_stamp(l, number, lba, want);
	if (memcmp(want, sector, LEDGER_SECTOR)) {
		g_snprintf(why, why_size, "sector %u is torn; it begins as write %u", lba, number);
		return false;
	}
	by = overruled_by(l, number, lba, read);
	if (by >= 0)
		g_snprintf(why, why_size, "sector %u holds write %u, which had ended before the "
			   "%s write %d was issued", lba, number, read ? "acknowledged" : "durable",
			   by);
	return by < 0;
}

bool ledger_check_read(const struct ledger *l, uint64_t issued, uint32_t lba, const void *sector,
		       char *why, unsigned why_size)
{
	return check(l, issued, lba, sector, why, why_size);
}

bool ledger_check_all(const struct ledger *l, const uint8_t *disk, char *why, unsigned why_size)
{
	for (uint32_t lba = 0; lba < l->write[0].blocks; lba++)
		if (!check(l, 0, lba, disk + lba * LEDGER_SECTOR, why, why_size))
			return false;
	return true;
}
