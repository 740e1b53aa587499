/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_SERVE_JOURNAL_H
#define APPLETS_REMOTE_SERVE_JOURNAL_H

/*
 * A session of mpqemu that a successor can go on with (--on-crash=): between the socket, the
 * journal and the keeper.  A message is looked at, carried out, and committed with its reply; then
 * the reply goes out and the message leaves the socket (journal.h says how a successor knows).
 *
 *     NONE --looked at and carried out--> CARRIED_OUT --commit--> COMMITTED --taken off--> TAKEN
 *     TAKEN --reply out--> NONE
 *
 * With --on-crash=reset the chip of a successor is as after a reset.  What it keeps is the body of
 * the journal, struct serve_kept: the memory map, the interrupt fds, config space.
 */

#include <stdbool.h>
#include <stdint.h>

#include "pci/pci.h"
#include "proto/conn.h"
#include "proto/mpqemu.h"

struct journal;
struct serve;

enum serve_hand { HAND_NONE, HAND_CARRIED_OUT, HAND_COMMITTED, HAND_TAKEN };

/* An epoch of 0 is none; its fds are in the keeper's vault. */
struct serve_kept {
	uint16_t map_epoch, irq_epoch;
	uint32_t map_count;
	struct mpq_sync_sysmem map;
	uint64_t poisoned;		/* bit a disk of the process: a flush has failed */
	uint8_t config[PCI_CONFIG_SIZE];
};

struct serve_journal {
	struct journal *journal;	/* NULL: none is kept, and nothing of this is used */
	struct serve_kept kept;
	bool changed;			/* since the last commit */
	bool interrupted;		/* the next message may have been begun by a predecessor */
	uint8_t hand;			/* enum serve_hand */
	struct mpq_msg msg;		/* in hand; without its fds */
};

/* Fds that a predecessor has got, as the keeper gives them back: owned by the caller. */
struct serve_vault {
	struct {
		uint16_t epoch;
		struct conn_fds fds;	/* count 0: unused */
	} map[2], irq[2];
};

/* What a successor of a process that nobody has spoken to yet finds. */
void serve_journal_init(struct serve *serve);
/* After mpq_peek(): copies of the message's fds, which are kept before.  As mpq_consume(). */
int serve_journal_peek(struct serve *serve, struct mpq_msg *msg);
/*
 * Answers in place of the device what a predecessor may have begun: the device is not as it was
 * then.  False: it is to be carried out.
 */
bool serve_journal_answers(struct serve *serve, const struct mpq_msg *msg);
/* It was carried out. */
void serve_journal_done(struct serve *serve, const struct mpq_msg *msg);

/* After each event, first: nothing may leave before. */
void serve_journal_commit(struct serve *serve);
/* Last: what is committed leaves.  As serve_protocol.flush. */
int serve_journal_flush(struct serve *serve);

/* A disk's flush has failed for good: so it has for every successor.  @disks: a bit each. */
void serve_journal_poison(struct serve *serve, uint64_t disks);

/*
 * Goes on where the predecessor stopped, whose journal is believed as little as a peer.  Before
 * serve_start().  0; -EINVAL: nothing that can be gone on from; or -errno.  The fds that it uses
 * are taken out of @vault.
 */
int serve_journal_adopt(struct serve *serve, struct serve_vault *vault);

#endif
