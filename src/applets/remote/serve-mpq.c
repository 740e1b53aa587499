/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>

#include "applets/remote/serve-priv.h"
#include "base/fd.h"
#include "base/log.h"
#include "mem/guestmem.h"
#include "metrics/page.h"
#include "proto/mpqemu.h"

/* A session of the mpqemu protocol, mpqemu-protocol(7). */

/*
 * While the line is up irqfd is written again this often: when the guest re-routes the interrupt,
 * the new one is raised only by a new write, and resamplefd stays silent until then.
 */
#define RERAISE_INTERVAL (100 * LOOP_MS)

/* ---- interrupts ---- */

static void irq_close(struct serve *serve)
{
	if (serve->mpq.resamplefd >= 0)
		loop_fd_del(serve->loop, serve->mpq.resamplefd);
	fd_close(&serve->mpq.resamplefd);
	fd_close(&serve->mpq.irqfd);
}

static void on_reraise(void *opaque)
{
	struct serve *serve = opaque;

	if (!pci_intx_pin(&serve->dev))
		return;
	serve->mpq.raise = true;
	loop_timer_set(serve->loop, &serve->mpq.reraise, loop_now() + RERAISE_INTERVAL);
}

static void on_intx(void *opaque, bool level)
{
	struct serve *serve = opaque;

	serve->mpq.raise = serve->mpq.raised = level;
	if (level && serve->open)
		loop_timer_set(serve->loop, &serve->mpq.reraise, loop_now() + RERAISE_INTERVAL);
	else
		loop_timer_cancel(serve->loop, &serve->mpq.reraise);
}

/* The guest has acknowledged the interrupt: KVM lowered the line; is ours still up? */
static void on_resample(void *opaque, uint32_t events)
{
	struct serve *serve = opaque;

	if (serve_event_take(serve->mpq.resamplefd))
		serve_protocol_error(serve, "resamplefd cannot be read");
	serve_trace(serve, TRACE_EOI, 0);
	if (serve->open && pci_intx_pin(&serve->dev))
		serve->mpq.raise = serve->mpq.raised = true;
}

/* ---- messages ---- */

/* A handler returns 0, or says with -errno that the peer has made a mistake. */

void serve_mpq_reply(struct serve *serve, uint64_t value)
{
	serve->mpq.reply = true;
	serve->mpq.reply_size = sizeof(value);
	serve->mpq.reply_value = value;
}

struct guestmem_region serve_mpq_region(const struct mpq_sync_sysmem *map, unsigned i, int fd)
{
	/* A negative offset becomes one beyond any file. */
	return (struct guestmem_region){
		.gpa = map->gpa[i], .size = map->size[i], .offset = (uint64_t)map->offset[i],
		.fd = fd,
	};
}

static int handle_sync_sysmem(struct serve *serve, struct mpq_msg *msg)
{
	struct guestmem_region region[MPQ_MAX_REGIONS];

	for (unsigned i = 0; i < msg->fd_count; i++)
		region[i] = serve_mpq_region(&msg->u.sync, i, msg->fd[i]);
	return guestmem_set(serve->mem, region, msg->fd_count);
}

static int handle_set_irqfd(struct serve *serve, struct mpq_msg *msg)
{
	return serve_mpq_set_irqfd(serve, msg->fd);
}

int serve_mpq_set_irqfd(struct serve *serve, int fd[2])
{
	int ret;

	if (!fd_is_event(fd[0]) || !fd_is_event(fd[1]))
		return -EBADF;
	irq_close(serve);
	ret = loop_fd_add(serve->loop, fd[1], EPOLLIN, on_resample, serve);
	if (ret)
		return ret;
	serve->mpq.irqfd = fd_steal(&fd[0]);
	serve->mpq.resamplefd = fd_steal(&fd[1]);
	if (pci_intx_pin(&serve->dev))
		serve->mpq.raise = serve->mpq.raised = true;
	return 0;
}

static int handle_cfgread(struct serve *serve, struct mpq_msg *msg)
{
	const struct mpq_cfg *cfg = &msg->u.cfg;
	bool ok = (cfg->len == 1 || cfg->len == 2 || cfg->len == 4) &&
		  cfg->addr <= PCI_CONFIG_SIZE - (uint32_t)cfg->len;

	serve_mpq_reply(serve, ok ? pci_config_read(&serve->dev, cfg->addr, cfg->len) : UINT64_MAX);
	return 0;
}

static int handle_cfgwrite(struct serve *serve, struct mpq_msg *msg)
{
	const struct mpq_cfg *cfg = &msg->u.cfg;

	pci_config_write(&serve->dev, cfg->addr, cfg->val, cfg->len);
	serve_mpq_reply(serve, 0);
	return 0;
}

static int handle_bar_read(struct serve *serve, struct mpq_msg *msg)
{
	const struct mpq_bar *bar = &msg->u.bar;
	uint64_t val;

	pci_bus_read(&serve->dev, bar->memory, bar->addr, bar->size, &val);
	serve_mpq_reply(serve, val);
	return 0;
}

static int handle_bar_write(struct serve *serve, struct mpq_msg *msg)
{
	const struct mpq_bar *bar = &msg->u.bar;
	bool ok = pci_bus_write(&serve->dev, bar->memory, bar->addr, bar->size, bar->val);

	serve_mpq_reply(serve, ok ? 0 : UINT64_MAX);
	return 0;
}

static int handle_reset(struct serve *serve, struct mpq_msg *msg)
{
	pci_dev_reset(&serve->dev);
	serve->mpq.reply = true;
	serve->mpq.reply_size = 0;
	return 0;
}

static int (*const handlers[MPQ_CMD_COUNT])(struct serve *, struct mpq_msg *) = {
	[MPQ_SYNC_SYSMEM] = handle_sync_sysmem,
	[MPQ_SET_IRQFD] = handle_set_irqfd,
	[MPQ_PCI_CFGREAD] = handle_cfgread,
	[MPQ_PCI_CFGWRITE] = handle_cfgwrite,
	[MPQ_BAR_READ] = handle_bar_read,
	[MPQ_BAR_WRITE] = handle_bar_write,
	[MPQ_DEVICE_RESET] = handle_reset,
};

static const uint8_t counters[MPQ_CMD_COUNT] = {	/* enum metric */
	[MPQ_SYNC_SYSMEM] = METRIC_MEMORY_MAPS,
	[MPQ_SET_IRQFD] = METRIC_IRQ_SETUPS,
	[MPQ_PCI_CFGREAD] = METRIC_CONFIG_READS,
	[MPQ_PCI_CFGWRITE] = METRIC_CONFIG_WRITES,
	[MPQ_BAR_READ] = METRIC_BAR_READS,
	[MPQ_BAR_WRITE] = METRIC_BAR_WRITES,
	[MPQ_DEVICE_RESET] = METRIC_RESETS,
};

/* With a journal. */
static int carry_out_once(struct serve *serve, struct mpq_msg *msg)
{
	int ret = serve_journal_answers(serve, msg) ? 0 : handlers[msg->cmd](serve, msg);

	if (!ret)
		serve_journal_done(serve, msg);
	return ret;
}

static int mpq_message(struct serve *serve)
{
	char why[128];
	struct mpq_msg msg;
	int ret = mpq_peek(&serve->mpq.conn, &msg);

	if (!ret)
		ret = serve->journal.journal ? serve_journal_peek(serve, &msg) :
		      mpq_consume(&serve->mpq.conn, &msg);
	if (ret)
		return ret;
	serve_trace(serve, TRACE_MESSAGE, msg.cmd);
	metrics_count(counters[msg.cmd]);
	if (serve->journal.journal)
		ret = carry_out_once(serve, &msg);
	else
		ret = handlers[msg.cmd](serve, &msg);
	mpq_msg_close(&msg);
	if (ret) {
		snprintf(why, sizeof(why), "%s cannot be carried out: %s", mpq_rule(msg.cmd)->name,
			 log_errname(ret));
		serve_protocol_error(serve, why);
	}
	return 0;
}

static int mpq_flush(struct serve *serve)
{
	struct serve_mpq *mpq = &serve->mpq;

	if (serve->journal.journal)
		serve_journal_commit(serve);
	if (mpq->raise) {
		if (mpq->raised)
			serve_trace(serve, TRACE_IRQ, 0);
		mpq->raise = mpq->raised = false;
		if (serve_event_write(mpq->irqfd)) {
			serve_protocol_error(serve, "irqfd cannot be written");
			return 0;
		}
	}
	if (serve->journal.journal)
		return serve_journal_flush(serve);
	if (!mpq->reply)
		return conn_flush(&mpq->conn.conn);
	mpq->reply = false;
	serve_trace(serve, TRACE_REPLY, MPQ_RET);
	return mpq_send(&mpq->conn, MPQ_RET, &mpq->reply_value, mpq->reply_size);
}

/* ---- making one ---- */

static int mpq_init(struct serve *serve, const struct serve_setup *setup, struct pci_host *host)
{
	serve->mpq = (struct serve_mpq){
		.irqfd = -1, .resamplefd = -1,
		.reraise = { .fn = on_reraise, .opaque = serve },
	};
	serve->conn = &serve->mpq.conn.conn;
	host->intx = on_intx;
	return 0;
}

static void mpq_start(struct serve *serve, int fd)
{
	mpq_conn_init(&serve->mpq.conn, fd, MPQ_FROM_PROXY);
	if (serve->journal.journal)
		conn_mark(serve->conn);
}

static void mpq_stop(struct serve *serve)
{
	loop_timer_cancel(serve->loop, &serve->mpq.reraise);
	irq_close(serve);
	serve->mpq.raise = serve->mpq.raised = serve->mpq.reply = false;
	serve->journal.hand = HAND_NONE;
}

static void mpq_finish(struct serve *serve)
{
}

const struct serve_protocol serve_mpqemu = {
	.regions = GUESTMEM_MAX_REGIONS,
	.init = mpq_init, .finish = mpq_finish, .start = mpq_start, .stop = mpq_stop,
	.message = mpq_message, .flush = mpq_flush,
};
