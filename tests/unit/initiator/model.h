/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_UNIT_INITIATOR_MODEL_H
#define TESTS_UNIT_INITIATOR_MODEL_H

/*
 * The initiator over our own model of the chip, in one process: a client whose calls go straight to
 * the rig of the chip's tests.
 */

#include <sys/eventfd.h>
#include <unistd.h>

#include "../lsi/rig.h"
#include "../util.h"
#include "client/client-priv.h"
#include "initiator/initiator.h"

#define MODEL_DATA INITIATOR_RAM	/* where tests have their data */

struct model {
	struct client client;		/* first: a client's calls find the model */
	struct rig rig;
	struct initiator *initiator;
	unsigned edges;			/* of the pin, that irqfd has had */
	unsigned accesses;		/* to registers, so far */
	unsigned eois;
};

static inline struct model *model_of(struct client *c)
{
	return (struct model *)c;
}

/* Lets the chip and its disks do what they can, and interrupts. */
static inline void model_settle(struct model *m)
{
	rig_settle(&m->rig);
	if (m->rig.pin_edges == m->edges)
		return;
	m->edges = m->rig.pin_edges;
	must(eventfd_write(m->client.irqfd, 1));
}

static int model_cfg_read(struct client *c, uint32_t addr, int32_t len, uint64_t *ret_val)
{
	*ret_val = pci_config_read(&model_of(c)->rig.dev, addr, len);
	return 0;
}

static int model_cfg_write(struct client *c, uint32_t addr, uint32_t val, int32_t len)
{
	pci_config_write(&model_of(c)->rig.dev, addr, val, len);
	return 0;
}

static int model_region_read(struct client *c, unsigned bar, uint64_t off, uint32_t size,
			     uint64_t *ret_val)
{
	struct model *m = model_of(c);

	m->accesses++;
	g_assert_true(pci_bus_read(&m->rig.dev, true, RIG_REGS + off, size, ret_val));
	model_settle(m);
	return 0;
}

static int model_region_write(struct client *c, unsigned bar, uint64_t off, uint32_t size,
			      uint64_t val)
{
	struct model *m = model_of(c);

	m->accesses++;
	g_assert_true(pci_bus_write(&m->rig.dev, true, RIG_REGS + off, size, val));
	model_settle(m);
	return 0;
}

/* As KVM and the device do it together: up still, up again. */
static int model_eoi(struct client *c)
{
	struct model *m = model_of(c);

	m->eois++;
	if (m->rig.pin)
		must(eventfd_write(c->irqfd, 1));
	return 0;
}

static int model_size_bar(struct client *c, unsigned i)
{
	c->bar[i] = (struct client_bar){ .present = i == 1, .size = i == 1 ? 1024 : 0 };
	return 0;
}

static int model_config_size(struct client *c, uint64_t *ret_size)
{
	*ret_size = 256;
	return 0;
}

static const struct client_ops model_ops = {
	.name = "model", .cfg_read = model_cfg_read, .cfg_write = model_cfg_write,
	.region_read = model_region_read, .region_write = model_region_write, .eoi = model_eoi,
	.size_bar = model_size_bar, .config_size = model_config_size,
};

static inline void model_up(struct model *m, const struct pci_class *cls)
{
	*m = (struct model){ .edges = 0 };
	rig_bare(&m->rig, cls);
	rig_place(&m->rig);
	m->client = (struct client){
		.ops = &model_ops, .fd = -1, .mem_fd = -1, .resamplefd = -1,
		.mem = m->rig.ram, .mem_size = RIG_RAM, .irqfd = must(eventfd(0, EFD_CLOEXEC)),
	};
	g_assert_cmpint(initiator_create(&m->client, &m->initiator), ==, 0);
}

static inline void model_down(struct model *m)
{
	initiator_destroy(m->initiator);
	rig_down(&m->rig);
	close(m->client.irqfd);
}

#endif
