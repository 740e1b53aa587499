/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include <string.h>

#include <glib.h>

#include "base/fd.h"
#include "event/loop.h"
#include "mem/arena.h"
#include "mem/memfd.h"
#include "../util.h"

static void on_intx(void *opaque, bool level)
{
	((struct world *)opaque)->pin = level;
}

static void on_error(void *opaque, const char *what)
{
	((struct world *)opaque)->errors++;
}

static enum pci_message on_message(void *opaque, unsigned vector)
{
	struct world *w = opaque;

	g_assert_cmpuint(vector, <, G_N_ELEMENTS(w->sent));
	if (w->answer == PCI_MESSAGE_SENT)
		w->sent[vector]++;
	return w->answer;
}

static int on_request(void *opaque, bool write, uint64_t gpa, const void *data, size_t len)
{
	struct world *w = opaque;

	w->asked++;
	w->write = write;
	w->gpa = gpa;
	w->len = len;
	g_assert_cmpuint(len, <=, sizeof(w->data));
	if (write)
		memcpy(w->data, data, len);
	return 0;
}

void world_init(struct world *w, const struct pci_class *cls, unsigned show, size_t ram_size,
		bool shared)
{
	struct guestmem_region ram = { .size = ram_size };

	*w = (struct world){
		.state = g_malloc0(cls->state_size), .loop = loop_create(-1),
		.arena = guestmem_arena_create(),
		.ram = shared ? must(memfd_make("ram", ram_size)) : -1,
	};
	g_assert_nonnull(w->loop);
	g_assert_nonnull(w->arena);
	w->mem = guestmem_create(w->arena);
	g_assert_nonnull(w->mem);
	ram.fd = w->ram;
	g_assert_cmpint(guestmem_map(w->mem, &ram), ==, 0);
	w->host = (struct pci_host){
		.loop = w->loop, .mem = w->mem, .intx = on_intx, .message = on_message,
		.guest_error = on_error, .opaque = w, .show = show,
		.dma_request = shared ? NULL : on_request,
	};
	g_assert_cmpint(pci_dev_init(&w->dev, cls, w->state, &w->host, "edu0", NULL), ==, 0);
	pci_config_write(&w->dev, PCI_BASE_ADDRESS_0, BAR, 4);
	pci_config_write(&w->dev, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

void world_finish(struct world *w)
{
	pci_dev_finish(&w->dev);
	/* The device has left no timer and no work behind. */
	g_assert_cmpint(loop_step(w->loop, 0), ==, 0);
	loop_destroy(w->loop);
	guestmem_destroy(w->mem);
	guestmem_arena_destroy(w->arena);
	fd_close(&w->ram);
	g_free(w->state);
}

uint64_t world_read(struct world *w, uint64_t off, unsigned size)
{
	uint64_t val;

	g_assert_true(pci_bus_read(&w->dev, true, BAR + off, size, &val));
	return val;
}

void world_write(struct world *w, uint64_t off, unsigned size, uint64_t val)
{
	g_assert_true(pci_bus_write(&w->dev, true, BAR + off, size, val));
}
