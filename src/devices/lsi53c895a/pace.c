/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/num.h"
#include "devices/lsi53c895a/lsi.h"

/*
 * The engine's pace, as lsi.h describes it.  Everything is counted; time is only how long a slice
 * without credit waits.  The bound: a script that gets no credit uses a slice each LSI_PACE, which
 * is a few percent of a CPU, and sees a change in memory that long after it at the latest.
 */

void pace_reset(struct lsi *l)
{
	pace_stop(l);
	l->s->credit = LSI_CREDIT_MAX;
	l->s->io_left = LSI_IO_MAX;
}

void pace_stop(struct lsi *l)
{
	loop_timer_cancel(l->dev->host.loop, &l->pace);
	l->s->pace_deadline = 0;
}

void pace_go(struct lsi *l)
{
	if (l->in_slice)
		return;
	if (l->s->credit) {
		pace_stop(l);
		loop_work_queue(l->dev->host.loop, &l->work);
	} else if (!l->s->pace_deadline) {
		l->s->pace_deadline = loop_now() + LSI_PACE;
		loop_timer_set(l->dev->host.loop, &l->pace, l->s->pace_deadline);
	}
}

void pace_expired(void *opaque)
{
	struct lsi *l = opaque;

	l->s->pace_deadline = 0;
	lsi_slice(l);
}

/* A deadline that is later than ours would be is not one of ours. */
void pace_resume(struct lsi *l)
{
	int64_t deadline = l->s->pace_deadline;

	l->s->pace_deadline = 0;
	if (l->s->run != RUN_ACTIVE)
		return;
	pace_go(l);
	if (l->s->pace_deadline && deadline && deadline < l->s->pace_deadline) {
		l->s->pace_deadline = deadline;
		loop_timer_set(l->dev->host.loop, &l->pace, deadline);
	}
}

void pace_charge(struct lsi *l, unsigned insns, unsigned bytes)
{
	l->s->credit -= min_u64(l->s->credit, insns + bytes / LSI_UNIT_BYTES);
}

/*
 * To ask costs far more than an instruction does, so that it is charged for more: a VMM that
 * answers at once does not make a script without an end a burden.  A window of 64 KiB is 16 pieces;
 * the credit of its command (LSI_CREDIT_IO) is enough for them and for the script around them.
 */
void pace_remote(struct lsi *l)
{
	l->s->credit -= min_u64(l->s->credit, LSI_REMOTE_COST);
}

static void set_credit(struct lsi *l, uint32_t units)
{
	l->s->credit = units;
	if (l->s->pace_deadline)
		pace_go(l);
}

void pace_access(struct lsi *l)
{
	l->s->io_left = LSI_IO_MAX;
	set_credit(l, min_u64((uint64_t)l->s->credit + LSI_CREDIT_ACCESS, LSI_CREDIT_MAX));
}

/* What a command gives does not add up: a script cannot save it for another purpose. */
void pace_io(struct lsi *l)
{
	if (!l->s->io_left)
		return;
	l->s->io_left--;
	if (l->s->credit < LSI_CREDIT_IO)
		set_credit(l, LSI_CREDIT_IO);
}
