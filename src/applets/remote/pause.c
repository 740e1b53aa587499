/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/pause.h"

#include "applets/remote/disks.h"
#include "applets/remote/serve.h"
#include "event/loop.h"
#include "pci/pci.h"

/* How often the VMM's answers are looked for. */
#define LOOK_INTERVAL (2 * LOOP_MS)

static void on_drained(void *opaque, int ret)
{
	struct pause *pause = opaque;

	pause->told(pause->opaque, pause->number, ret);
}

/* A write that the VMM was asked for lands when it comes to it. */
static bool dma_waits(const struct pause *pause)
{
	for (unsigned i = 0; i < pause->count; i++)
		if (pause->serve[i].dev.cls && pci_dma_waits(&pause->serve[i].dev))
			return true;
	return false;
}

static void on_look(void *opaque)
{
	struct pause *pause = opaque;

	if (dma_waits(pause))
		loop_timer_set(pause->loop, &pause->look, loop_now() + LOOK_INTERVAL);
	else
		disks_drain(pause->disks, on_drained, pause);
}

void pause_init(struct pause *pause)
{
	pause->look = (struct loop_timer){ .fn = on_look, .opaque = pause, .unheld = true };
	pause->on = false;
}

void pause_begin(struct pause *pause, uint32_t number)
{
	if (!pause->on)
		pause->since = loop_now();
	pause->on = true;
	pause->number = number;
	loop_hold(pause->loop, true);
	disks_drain_cancel(pause->disks);
	on_look(pause);
}

void pause_end(struct pause *pause)
{
	int64_t ns = loop_now() - pause->since;

	if (!pause->on)
		return;
	pause->on = false;
	loop_timer_cancel(pause->loop, &pause->look);
	disks_drain_cancel(pause->disks);
	for (unsigned i = 0; i < pause->count; i++) {
		struct pci_dev *dev = &pause->serve[i].dev;

		if (dev->cls && dev->cls->stood_still)
			dev->cls->stood_still(dev, ns);
	}
	loop_hold(pause->loop, false);
}
