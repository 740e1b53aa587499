/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef INITIATOR_PRIV_H
#define INITIATOR_PRIV_H

/* What the parts of the initiator share. */

#include <stdbool.h>

#include "base/num.h"
#include "client/client.h"
#include "initiator/layout.h"

/* A command in flight, or one that has ended and waits for initiator_reap(). */
struct slot {
	struct initiator_cmd *cmd;	/* NULL: the slot is free */
	bool ended;
	bool sensing;			/* it is REQUEST SENSE that runs for it */
};

struct initiator {
	struct client *client;
	struct script_entries entry;
	int broken;			/* -errno: nothing works any more */
	unsigned start_put, done_get;	/* the next link of each queue */
	unsigned busy;			/* commands in flight */
	struct slot slot[INITIATOR_MAX_DEPTH];
	uint8_t free[INITIATOR_MAX_DEPTH];	/* a stack of slots */
	unsigned free_count;
	uint8_t ready[INITIATOR_MAX_DEPTH];	/* a ring of slots: commands that have ended */
	unsigned ready_get, ready_count;
	char why[128];			/* of the last failure; empty: client_why() */
};

static inline uint32_t slot_addr(unsigned slot)
{
	return RAM_SLOTS + slot * RAM_SLOT_SIZE;
}

static inline struct ram_slot *slot_ram(struct initiator *i, unsigned slot)
{
	return (struct ram_slot *)(i->client->mem + slot_addr(slot));
}

/* A word that the chip writes too. */
static inline uint32_t ram_load(const uint32_t *word)
{
	return le32toh(__atomic_load_n(word, __ATOMIC_ACQUIRE));
}

static inline void ram_store(uint32_t *word, uint32_t val)
{
	__atomic_store_n(word, htole32(val), __ATOMIC_RELEASE);
}

static inline bool init_in_flight(const struct initiator *i, unsigned slot)
{
	return i->slot[slot].cmd && !i->slot[slot].ended;
}

/* ---- initiator.c ---- */

/* Sets why; returns @ret. */
int init_fail(struct initiator *i, int ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for good. */
int init_break(struct initiator *i, int ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Registers, 1, 2 or 4 bytes; an error is for good. */
int init_read(struct initiator *i, unsigned reg, unsigned size, uint32_t *ret_val);
int init_write(struct initiator *i, unsigned reg, unsigned size, uint32_t val);
/* Resets the chip and makes it ready again; every command in flight ends with @ret. */
int init_reset(struct initiator *i, int ret);
/*
 * What runs in @slot has ended: with @result, or, when that is 0, with @status.  After CHECK
 * CONDITION the sense data is fetched first: the scripts have stopped and are to be started.
 * 0 or -errno, which is for good.
 */
int init_end(struct initiator *i, unsigned slot, int result, uint8_t status);

/* ---- queue.c: guest RAM ---- */

/* Empty queues, no commands. */
void queue_init(struct initiator *i);
/* Describes @cmd to the scripts; it is not in the start queue yet. */
void queue_describe(struct initiator *i, unsigned slot, const struct initiator_cmd *cmd);
/* REQUEST SENSE for the command of @slot, in its place. */
void queue_describe_sense(struct initiator *i, unsigned slot);
/* At the start queue's end; and at its head, for which the scripts must have stopped. */
void queue_put(struct initiator *i, unsigned slot);
void queue_put_first(struct initiator *i, unsigned slot);
/* No tag of this slot is known any more. */
void queue_forget(struct initiator *i, unsigned slot);
/* Which slot lies at @addr; -1: none; INITIATOR_MAX_DEPTH: RAM_NOBODY. */
int queue_slot_at(uint32_t addr);
/* Takes the next address out of the done queue; 0: there is none. */
uint32_t queue_take_done(struct initiator *i);

/* ---- irq.c ---- */

/* What an interrupt handler of a driver does.  0 or -errno, which is for good. */
int irq_handle(struct initiator *i);

#endif
