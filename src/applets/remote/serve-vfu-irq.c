/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "applets/remote/serve-vfu.h"
#include "base/fd.h"

/* Interrupts: DEVICE_GET_IRQ_INFO, DEVICE_SET_IRQS, and the eventfds. */

/* How long INTx may stay up after a message has unmasked it before it is sent again. */
#define SETTLE_TIME LOOP_MS

static void settled(struct serve *serve)
{
	serve->vfu->irqs.settling = false;
	loop_timer_cancel(serve->loop, &serve->vfu->irqs.settle);
}

static void on_settled(void *opaque)
{
	settled(opaque);
}

void vfu_irqs_init(struct serve *serve)
{
	struct vfu_irqs *irqs = &serve->vfu->irqs;

	*irqs = (struct vfu_irqs){
		.unmask_fd = -1, .settle = { .fn = on_settled, .opaque = serve },
	};
	for (unsigned i = 0; i < VFU_IRQS; i++)
		for (unsigned v = 0; v < VFU_VECTORS; v++)
			irqs->fd[i][v] = -1;
}

static unsigned vectors(const struct serve *serve, unsigned index)
{
	switch (index) {
	case VFU_IRQ_INTX:
		return serve->dev.cls->has_irq;
	case VFU_IRQ_MSI:
		return pci_msi_vectors(&serve->dev);
	case VFU_IRQ_MSIX:
		return pci_msix_vectors(&serve->dev);
	}
	/* Taken, so that a client is content, and never sent: a disk's error is the disk's. */
	return 1;
}

int vfu_get_irq_info(struct serve *serve, struct vfu_msg *msg)
{
	struct vfu_irq_info info;
	uint32_t index;

	memcpy(&info, msg->payload, sizeof(info));
	index = info.index;
	if (info.argsz < sizeof(info) || index >= VFU_IRQS)
		return EINVAL;
	info = (struct vfu_irq_info){
		.argsz = sizeof(info), .index = index, .count = vectors(serve, index),
	};
	if (info.count)
		info.flags = VFU_IRQ_EVENTFD;
	if (info.count && index == VFU_IRQ_INTX)
		info.flags |= VFU_IRQ_MASKABLE | VFU_IRQ_AUTOMASKED;
	return vfu_answer(serve, &info, sizeof(info));
}

/* ---- the device's side ---- */

void vfu_intx(void *opaque, bool level)
{
	struct serve *serve = opaque;

	serve->vfu->irqs.line = level;
	if (!level)
		settled(serve);
}

enum pci_message vfu_message(void *opaque, unsigned vector)
{
	struct serve *serve = opaque;
	struct vfu_irqs *irqs = &serve->vfu->irqs;
	unsigned index = irqs->on[VFU_IRQ_MSIX] ? VFU_IRQ_MSIX : VFU_IRQ_MSI;

	if (!irqs->on[index])
		return PCI_MESSAGE_OFF;
	if (vector >= VFU_VECTORS || irqs->fd[index][vector] < 0)
		return PCI_MESSAGE_MASKED;
	irqs->raise[index] |= 1ULL << vector;
	return PCI_MESSAGE_SENT;
}

static int raise_vectors(struct vfu_irqs *irqs, unsigned index)
{
	int ret = 0;

	for (unsigned v = 0; irqs->raise[index] && !ret; v++) {
		if (irqs->raise[index] & 1ULL << v)
			ret = serve_event_write(irqs->fd[index][v]);
		irqs->raise[index] &= ~(1ULL << v);
	}
	return ret;
}

int vfu_irqs_flush(struct serve *serve)
{
	struct vfu_irqs *irqs = &serve->vfu->irqs;
	int ret = 0;

	if (irqs->line && !irqs->masked && !irqs->settling && irqs->fd[VFU_IRQ_INTX][0] >= 0) {
		irqs->raise[VFU_IRQ_INTX] = 1;
		irqs->masked = true;
	}
	for (unsigned i = 0; i < VFU_IRQS && !ret; i++)
		ret = raise_vectors(irqs, i);
	return ret;
}

/* ---- the client's side: DEVICE_SET_IRQS ---- */

static void unmask_fd_close(struct serve *serve)
{
	struct vfu_irqs *irqs = &serve->vfu->irqs;

	if (irqs->unmask_fd >= 0)
		loop_fd_del(serve->loop, irqs->unmask_fd);
	fd_close(&irqs->unmask_fd);
}

static void index_clear(struct serve *serve, unsigned index)
{
	struct vfu_irqs *irqs = &serve->vfu->irqs;

	for (unsigned v = 0; v < VFU_VECTORS; v++)
		fd_close(&irqs->fd[index][v]);
	irqs->on[index] = false;
	irqs->raise[index] = 0;
	if (index == VFU_IRQ_INTX) {
		unmask_fd_close(serve);
		settled(serve);
		irqs->masked = false;
	}
}

void vfu_irqs_clear(struct serve *serve)
{
	for (unsigned i = 0; i < VFU_IRQS; i++)
		index_clear(serve, i);
}

/* For a handler of one action: the command, its data, and which vectors it names. */
struct set {
	struct vfu_set_irqs c;
	const uint8_t *chosen;		/* VFU_DATA_BOOL: a byte a vector */
	struct conn_fds *fds;
};

static bool is_chosen(const struct set *set, unsigned i)
{
	return !set->chosen || set->chosen[i];
}

static int trigger(struct serve *serve, const struct set *set)
{
	if (!set->c.count) {
		index_clear(serve, set->c.index);
		return 0;
	}
	for (unsigned i = 0; i < set->c.count; i++)
		if (is_chosen(set, i))
			serve->vfu->irqs.raise[set->c.index] |= 1ULL << (set->c.start + i);
	return 0;
}

/* Without fds the vectors are there, and nobody listens yet. */
static int listen_to(struct serve *serve, const struct set *set)
{
	struct vfu_irqs *irqs = &serve->vfu->irqs;

	irqs->on[set->c.index] = true;
	for (unsigned i = 0; i < set->c.count; i++) {
		unsigned v = set->c.start + i;

		fd_close(&irqs->fd[set->c.index][v]);
		if (!set->fds->count)
			continue;
		irqs->fd[set->c.index][v] = fd_steal(&set->fds->fd[i]);
		if (set->c.index == VFU_IRQ_MSIX)
			pci_msix_listen(&serve->dev, v);
	}
	/* Whoever listens anew has not heard of what was sent before. */
	if (set->c.index == VFU_IRQ_INTX)
		irqs->masked = false;
	return 0;
}

static int mask(struct serve *serve, const struct set *set)
{
	if (set->c.count && is_chosen(set, 0))
		serve->vfu->irqs.masked = true;
	return 0;
}

/*
 * QEMU without KVM takes the guest's first register access for its end of interrupt: its handler
 * has looked at the cause and not yet removed it.  To send the interrupt again now would make the
 * guest come back for nothing, so the line gets the time that the handler needs.  An interrupt that
 * comes after the line was down is not late.
 */
static int unmask(struct serve *serve, const struct set *set)
{
	struct vfu_irqs *irqs = &serve->vfu->irqs;

	if (!set->c.count || !is_chosen(set, 0) || !irqs->masked)
		return 0;
	irqs->masked = false;
	if (!irqs->line)
		return 0;
	irqs->settling = true;
	loop_timer_set(serve->loop, &irqs->settle, loop_now() + SETTLE_TIME);
	return 0;
}

/*
 * The guest's write that took the line down is posted, and stands in the socket when its end of
 * interrupt is here already: what was sent before is carried out first, or the line seems to be up
 * still.  (The eventfd stays readable, and the loop comes back.)
 */
static void on_unmask(void *opaque, uint32_t events)
{
	struct serve *serve = opaque;

	if (serve_has_message(serve))
		return;
	if (serve_event_take(serve->vfu->irqs.unmask_fd))
		serve_protocol_error(serve, "the eventfd that unmasks INTx cannot be read");
	else
		serve->vfu->irqs.masked = false;
	settled(serve);
}

static int unmask_by(struct serve *serve, const struct set *set)
{
	struct vfu_irqs *irqs = &serve->vfu->irqs;
	int ret;

	unmask_fd_close(serve);
	if (!set->fds->count)
		return 0;
	ret = loop_fd_add(serve->loop, set->fds->fd[0], EPOLLIN, on_unmask, serve);
	if (ret)
		return -ret;
	irqs->unmask_fd = fd_steal(&set->fds->fd[0]);
	return 0;
}

/* What can be asked for; all else is EINVAL. */
static const struct {
	uint32_t flags;
	bool any_index;		/* or INTx only */
	bool some;		/* a count of 0 is a mistake */
	int (*fn)(struct serve *serve, const struct set *set);
} actions[] = {
	{ VFU_ACTION_TRIGGER | VFU_DATA_EVENTFD, true, true, listen_to },
	{ VFU_ACTION_TRIGGER | VFU_DATA_NONE, true, false, trigger },
	{ VFU_ACTION_TRIGGER | VFU_DATA_BOOL, true, true, trigger },
	{ VFU_ACTION_MASK | VFU_DATA_NONE, false, true, mask },
	{ VFU_ACTION_MASK | VFU_DATA_BOOL, false, true, mask },
	{ VFU_ACTION_UNMASK | VFU_DATA_NONE, false, true, unmask },
	{ VFU_ACTION_UNMASK | VFU_DATA_BOOL, false, true, unmask },
	{ VFU_ACTION_UNMASK | VFU_DATA_EVENTFD, false, true, unmask_by },
};

/* Does the index have these vectors, is the data there, and are the fds eventfds? */
static bool set_ok(const struct serve *serve, const struct vfu_msg *msg, const struct set *set)
{
	const struct vfu_set_irqs *c = &set->c;
	uint32_t data = c->flags & VFU_DATA_BOOL ? c->count : 0;
	unsigned have;

	if (c->argsz < sizeof(*c) || c->index >= VFU_IRQS)
		return false;
	have = vectors(serve, c->index);
	if (c->start > have || c->count > have - c->start || msg->size != sizeof(*c) + data ||
	    (!c->count && c->start))
		return false;
	if (msg->fds.surplus || (msg->fds.count && (!(c->flags & VFU_DATA_EVENTFD) ||
						     msg->fds.count != c->count)))
		return false;
	for (unsigned i = 0; i < msg->fds.count; i++)
		if (!fd_is_event(msg->fds.fd[i]))
			return false;
	return true;
}

int vfu_set_irqs(struct serve *serve, struct vfu_msg *msg)
{
	struct set set = { .fds = &msg->fds };

	memcpy(&set.c, msg->payload, sizeof(set.c));
	if (set.c.flags & VFU_DATA_BOOL)
		set.chosen = msg->payload + sizeof(set.c);
	if (!set_ok(serve, msg, &set))
		return EINVAL;
	for (unsigned i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (set.c.flags != actions[i].flags)
			continue;
		if ((!actions[i].any_index && set.c.index != VFU_IRQ_INTX) ||
		    (actions[i].some && !set.c.count))
			return EINVAL;
		return actions[i].fn(serve, &set);
	}
	return EINVAL;
}
