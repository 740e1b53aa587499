/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_DURABILITY_LEDGER_H
#define TEST_DURABILITY_LEDGER_H

/*
 * What a host has asked a disk to write, what it was told of it, and whether what the disk holds in
 * the end can be true.
 *
 * Of two writes of a sector that were under way at the same time either may be the later one.  A
 * write that had ended, in whatever way (acknowledged, failed, aborted), before another one was
 * issued is older than that: once the newer one is durable, a sector that holds the older one has
 * gone back in time.
 */

#include <stdbool.h>
#include <stdint.h>

#define LEDGER_SECTOR 512
#define LEDGER_MAX 512		/* writes */

enum ledger_kind {
	LEDGER_DATA,		/* each sector has its own stamp */
	LEDGER_SAME,		/* all sectors have the first one's */
	LEDGER_ZERO,
};

struct ledger_write {
	enum ledger_kind kind;
	uint32_t lba, blocks;
	uint64_t issued, ended;		/* the ledger's time; UINT64_MAX: it has not */
	bool acked, durable;
	bool hint;			/* the disk may leave it: it is never durable */
	bool lazy;			/* only a flush makes it durable */
};

struct ledger {
	uint64_t now;
	unsigned count;
	struct ledger_write write[LEDGER_MAX];	/* by number; number 0 is the first content */
};

void ledger_init(struct ledger *l, uint32_t sectors);
bool ledger_full(const struct ledger *l);

/* A write goes out; its number. */
unsigned ledger_issue(struct ledger *l, enum ledger_kind kind, uint32_t lba, uint32_t blocks);
/* It has ended.  @durable: an acknowledgement says that it is on the medium. */
void ledger_end(struct ledger *l, unsigned number, bool acked, bool durable);
/* A flush or a read goes out: the time, for what is called when it was acknowledged. */
uint64_t ledger_tick(struct ledger *l);
void ledger_flushed(struct ledger *l, uint64_t issued);
/* The write cache was switched off: all that was acknowledged but lazy writes is on the medium. */
void ledger_cache_off(struct ledger *l, uint64_t issued);
/* What was acknowledged must be found: for a disk that keeps its power. */
void ledger_all_durable(struct ledger *l);

/* The 512 bytes that write @number puts into sector @lba. */
void ledger_stamp(const struct ledger *l, unsigned number, uint32_t lba, void *sector);

/*
 * May a read that was issued at @issued have found these 512 bytes in sector @lba?  Else one line
 * in @why.  What was acknowledged before, it must find, or something newer.
 */
bool ledger_check_read(const struct ledger *l, uint64_t issued, uint32_t lba, const void *sector,
		       char *why, unsigned why_size);
/* May a disk be this?  What is durable must be there, or something newer. */
bool ledger_check_all(const struct ledger *l, const uint8_t *disk, char *why, unsigned why_size);

#endif
