/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/serve-journal.h"

#include <errno.h>
#include <string.h>

#include "applets/remote/serve-priv.h"
#include "base/fd.h"
#include "journal/journal.h"
#include "mem/guestmem.h"

_Static_assert(sizeof(struct serve_kept) <= JOURNAL_BODY, "it has to fit");

/* ---- A message ---- */

static uint16_t next_epoch(uint16_t epoch)
{
	return epoch == UINT16_MAX ? 1 : epoch + 1;
}

static int keep(struct serve *serve, const struct mpq_msg *msg)
{
	const struct serve_kept *kept = &serve->journal.kept;
	bool irq = msg->cmd == MPQ_SET_IRQFD;
	const struct ctl_keep what = {
		.device = serve->index, .kind = irq ? CTL_KEEP_IRQ : CTL_KEEP_MEMORY,
		.epoch = next_epoch(irq ? kept->irq_epoch : kept->map_epoch),
	};

	return serve->ops->keep(serve->ops->opaque, &what, msg->fd, msg->fd_count);
}

int serve_journal_peek(struct serve *serve, struct mpq_msg *msg)
{
	int ret = mpq_peek_fds(&serve->mpq.conn, msg);

	if (ret || !msg->fd_count)
		return ret;
	/* -EAGAIN: the keeper has to catch up; the message stays and is looked at again. */
	ret = keep(serve, msg);
	if (ret)
		mpq_msg_close(msg);
	return ret;
}

bool serve_journal_answers(struct serve *serve, const struct mpq_msg *msg)
{
	bool answers = serve->journal.interrupted &&
		       (msg->cmd == MPQ_BAR_READ || msg->cmd == MPQ_BAR_WRITE);

	serve->journal.interrupted = false;
	if (answers)
		serve_mpq_reply(serve, msg->cmd == MPQ_BAR_READ ? UINT64_MAX : 0);
	return answers;
}

static void note_map(struct serve *serve, const struct mpq_msg *msg)
{
	struct serve_kept *kept = &serve->journal.kept;

	kept->map_epoch = next_epoch(kept->map_epoch);
	kept->map_count = msg->fd_count;
	kept->map = msg->u.sync;
}

static void note_irq(struct serve *serve, const struct mpq_msg *msg)
{
	serve->journal.kept.irq_epoch = next_epoch(serve->journal.kept.irq_epoch);
}

static void note_config(struct serve *serve, const struct mpq_msg *msg)
{
	memcpy(serve->journal.kept.config, serve->dev.state->config, PCI_CONFIG_SIZE);
}

void serve_journal_init(struct serve *serve)
{
	struct serve_journal *sj = &serve->journal;

	if (!sj->journal || sj->journal->taken_over)
		return;
	note_config(serve, NULL);
	journal_update(sj->journal, &sj->kept, sizeof(sj->kept));
}

static void (*const notes[MPQ_CMD_COUNT])(struct serve *, const struct mpq_msg *) = {
	[MPQ_SYNC_SYSMEM] = note_map,
	[MPQ_SET_IRQFD] = note_irq,
	[MPQ_PCI_CFGWRITE] = note_config,
	[MPQ_DEVICE_RESET] = note_config,
};

void serve_journal_done(struct serve *serve, const struct mpq_msg *msg)
{
	struct serve_journal *sj = &serve->journal;

	sj->hand = HAND_CARRIED_OUT;
	sj->msg = *msg;
	if (notes[msg->cmd]) {
		notes[msg->cmd](serve, msg);
		sj->changed = true;
	}
}

/* ---- After an event ---- */

void serve_journal_commit(struct serve *serve)
{
	struct serve_journal *sj = &serve->journal;
	struct serve_mpq *mpq = &serve->mpq;
	struct {
		struct mpq_header head;
		uint64_t value;
	} reply = { { MPQ_RET, 0, mpq->reply_size }, mpq->reply_value };

	if (sj->hand != HAND_CARRIED_OUT)
		return;
	journal_commit(sj->journal, sizeof(reply.head) + sj->msg.size, &reply,
		       mpq->reply ? sizeof(reply.head) + mpq->reply_size : 0,
		       sj->changed ? &sj->kept : NULL, sizeof(sj->kept));
	mpq->reply = sj->changed = false;
	sj->hand = HAND_COMMITTED;
}

/* The reply first: the guest waits for it. */
int serve_journal_flush(struct serve *serve)
{
	struct serve_journal *sj = &serve->journal;
	int ret, dropped = 0;

	if (sj->hand == HAND_NONE)
		return 0;
	ret = journal_send(sj->journal, serve->conn->fd);
	if (sj->hand == HAND_COMMITTED) {
		dropped = mpq_drop(&serve->mpq.conn, &sj->msg);
		sj->hand = HAND_TAKEN;
	}
	serve->conn->out_len = sj->journal->left;
	if (dropped == -EPROTO) {
		serve_protocol_error(serve, serve->conn->why);
		return 0;
	}
	if (ret || dropped)
		return ret ? ret : dropped;
	journal_idle(sj->journal);
	sj->hand = HAND_NONE;
	return 0;
}

void serve_journal_poison(struct serve *serve, uint64_t disks)
{
	struct serve_journal *sj = &serve->journal;

	if (!sj->journal || sj->kept.poisoned == disks)
		return;
	sj->kept.poisoned = disks;
	if (sj->hand == HAND_CARRIED_OUT)
		sj->changed = true;	/* goes with its commit, which is next */
	else
		journal_update(sj->journal, &sj->kept, sizeof(sj->kept));
}

/* ---- A successor ---- */

static int adopt_map(struct serve *serve, struct serve_vault *vault)
{
	const struct serve_kept *kept = &serve->journal.kept;
	struct guestmem_region region[MPQ_MAX_REGIONS];
	const struct conn_fds *fds = NULL;

	if (!kept->map_epoch)
		return 0;
	for (unsigned i = 0; i < 2; i++)
		if (vault->map[i].fds.count && vault->map[i].epoch == kept->map_epoch)
			fds = &vault->map[i].fds;
	if (!fds || fds->count != kept->map_count)
		return -EINVAL;
	for (unsigned i = 0; i < fds->count; i++)
		region[i] = serve_mpq_region(&kept->map, i, fds->fd[i]);
	return guestmem_set(serve->mem, region, fds->count);
}

static int adopt_irq(struct serve *serve, struct serve_vault *vault)
{
	const struct serve_kept *kept = &serve->journal.kept;

	if (!kept->irq_epoch)
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		struct conn_fds *fds = &vault->irq[i].fds;

		if (fds->count == 2 && vault->irq[i].epoch == kept->irq_epoch)
			return serve_mpq_set_irqfd(serve, fds->fd);
	}
	return -EINVAL;
}

/* What was carried out is answered, if it was not, and taken, as far as it was not. */
static int adopt_hand(struct serve *serve, enum journal_phase phase, uint32_t request)
{
	struct serve_journal *sj = &serve->journal;
	ssize_t looked = conn_marked(serve->conn->fd);
	int ret = 0;

	if (looked < 0)
		return looked;
	sj->interrupted = phase == JOURNAL_IDLE && looked;
	if (phase == JOURNAL_IDLE)
		return 0;
	if (looked > request)
		return -EINVAL;
	ret = conn_drop(serve->conn->fd, looked);
	sj->hand = HAND_TAKEN;
	return ret;
}

int serve_journal_adopt(struct serve *serve, struct serve_vault *vault)
{
	struct serve_journal *sj = &serve->journal;
	enum journal_phase phase;
	uint32_t request;
	int ret = journal_take_over(sj->journal, &phase, &request, &sj->kept, sizeof(sj->kept));

	if (!ret && sj->kept.map_count > MPQ_MAX_REGIONS)
		ret = -EINVAL;
	if (!ret)
		ret = adopt_map(serve, vault);
	if (!ret)
		ret = adopt_irq(serve, vault);
	if (ret)
		return ret;
	pci_config_restore(&serve->dev, sj->kept.config);
	return adopt_hand(serve, phase, request);
}
