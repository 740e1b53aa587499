/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keeper's channel, packets of any content from either side, and launch specs: one that passes
 * the check must be safe to build disks and devices from.
 */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/util.h"
#include "applets/remote/classes.h"
#include "applets/remote/disks.h"
#include "applets/remote/speccheck.h"
#include "control/channel.h"
#include "event/loop.h"
#include "fuzz.h"
#include "mem/arena.h"
#include "mem/guestmem.h"
#include "pci/pci.h"
#include "plan/spec.h"

#define MAX_OPS 64
#define DISKS 3
#define DEVICES 2

static struct {
	int end[2];			/* keeper's, device's; as the slots have them */
	struct launch_spec good, spec;
	struct pci_state *state[SPEC_MAX_DEVICES];
	struct loop *loop;
	struct guestmem *mem;
} w;

static void good_disk(unsigned i, uint8_t kind, uint8_t type)
{
	struct spec_disk *d = &w.good.disk[i];

	d->device = 0;
	d->unit = (struct scsi_unit_config){
		.type = type, .target = i, .scsi_version = 5, .vendor = "QEMU",
		.product = "QEMU HARDDISK", .version = "2.5+", .removable = type,
		.logical_block_size = type ? 2048 : 512, .physical_block_size = type ? 2048 : 512,
		.discard_granularity = UINT32_MAX, .max_io_size = INT32_MAX,
	};
	d->image = (struct spec_image){ .kind = kind, .slot = -1, .size = 1 << 20 };
}

void fuzz_setup(void)
{
	w.good = (struct launch_spec){
		.magic = SPEC_MAGIC, .version = SPEC_VERSION, .size = sizeof(w.good),
		.device_count = DEVICES, .disk_count = DISKS,
		.device = {
			{ .driver = "lsi53c895a", .id = "lsi0", .peer_slot = -1, .rom_slot = -1 },
			{ .driver = "edu", .id = "edu0", .peer_slot = -1, .rom_slot = -1 },
		},
	};
	good_disk(0, SPEC_IMAGE_NULL, SCSI_UNIT_DISK);
	good_disk(1, SPEC_IMAGE_NULL, SCSI_UNIT_CDROM);
	good_disk(2, SPEC_IMAGE_NONE, SCSI_UNIT_CDROM);
	g_assert_true(spec_ok(&w.good));
	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++)
		w.state[i] = g_malloc0(PCI_STATE_MAX);
	w.loop = loop_create(-1);
	w.mem = guestmem_create(guestmem_arena_create());
	g_assert_true(w.loop && w.mem);
}

/* ---- the channel ---- */

static void op_packet(struct input *in)
{
	uint8_t how = in_u8(in);
	const uint8_t *bytes;
	size_t len = in_take(in, how >> 1 & 0x1f, &bytes);

	if (w.end[how & 1] >= 0)
		send(w.end[how & 1], bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void op_message(struct input *in)
{
	uint8_t how = in_u8(in);
	int end = w.end[how & 1];

	if (end >= 0 && how & 0x80)
		ctl_send_fd(end, how >> 1 & 7, in_u32(in), STDERR_FILENO);
	else if (end >= 0)
		ctl_send(end, how >> 1 & 7, in_u32(in));
}

static void try_held(uint32_t arg, unsigned disks)
{
	struct ctl_held held;

	if (!ctl_held_unpack(arg, disks, &held))
		return;
	g_assert_cmpuint(held.disk, <, disks);
	g_assert_cmpint(held.err, >, 0);
	g_assert_cmpuint(ctl_held_pack(&held), ==, arg);
}

/* What comes out is what the other side may say. */
static void op_receive(struct input *in)
{
	static const bool from_device[] = {
		[CTL_READY] = true, [CTL_STOP] = false, [CTL_HELD] = true, [CTL_RETRY] = false,
		[CTL_RETRY_LATER] = false, [CTL_PEER] = false, [CTL_PEER_GONE] = true,
	};
	uint8_t how = in_u8(in);
	enum ctl_sender sender = how & 1 ? CTL_FROM_KEEPER : CTL_FROM_DEVICE;
	bool takes_fd = how & 0x80;
	struct ctl_msg msg;
	int ret, fd = -1;

	if (w.end[how & 1] < 0)
		return;
	if (takes_fd)
		ret = ctl_recv_fd(w.end[how & 1], sender, &msg, &fd);
	else
		ret = ctl_recv(w.end[how & 1], sender, &msg);
	if (fd >= 0)
		close(fd);
	if (ret)
		return;
	g_assert_cmpint(fd >= 0, ==, takes_fd && msg.type == CTL_PEER);
	g_assert_cmpuint(msg.type, <, G_N_ELEMENTS(from_device));
	g_assert_cmpint(from_device[msg.type], ==, !(how & 1));
	if (msg.type == CTL_HELD)
		try_held(msg.arg, how >> 1);
}

static void op_close(struct input *in)
{
	unsigned side = in_u8(in) & 1;

	if (w.end[side] >= 0)
		close(w.end[side]);
	w.end[side] = -1;
}

static void try_channel(struct input *in)
{
	static void (*const ops[])(struct input *) = {
		op_packet, op_message, op_receive, op_receive, op_close,
	};
	struct input none = { 0 };

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, w.end));
	for (unsigned i = 0; i < MAX_OPS && in->left; i++)
		ops[in_u8(in) % G_N_ELEMENTS(ops)](in);
	for (unsigned i = 0; i < 2; i++) {
		op_receive(&none);
		if (w.end[i] >= 0)
			close(w.end[i]);
	}
}

/* ---- the spec ---- */

static void build(unsigned index, struct disks *disks)
{
	const struct spec_device *sd = &w.spec.device[index];
	const struct pci_class *cls = class_find(sd->driver);
	struct pci_host host = { .loop = w.loop, .mem = w.mem };
	struct pci_dev dev;

	g_assert_nonnull(memchr(sd->driver, 0, sizeof(sd->driver)));
	g_assert_nonnull(memchr(sd->id, 0, sizeof(sd->id)));
	if (!cls)
		return;
	memset(w.state[index], 0, PCI_STATE_MAX);
	if (pci_dev_init(&dev, cls, w.state[index], &host, sd->id, disks_bus_setup(disks, index)))
		return;
	for (unsigned i = 0; i < 4; i++)
		loop_step(w.loop, 0);
	pci_dev_finish(&dev);
}

static void held(void *opaque, const struct ctl_held *held)
{
	g_assert_cmpuint(held->disk, <, w.spec.disk_count);
}

/* Files, sockets and threads are the process's: a spec that asks for them ends here. */
static bool asks_for_files(void)
{
	for (unsigned i = 0; i < w.spec.disk_count; i++)
		if (w.spec.disk[i].image.slot >= 0)
			return true;
	return w.spec.threads;
}

static void try_spec(struct input *in)
{
	struct disks *disks;
	int ret;

	w.spec = w.good;
	for (unsigned i = 0; i < MAX_OPS && in->left; i++) {
		uint8_t how = in_u8(in);
		size_t at = in_u16(in) % sizeof(w.spec), len = 1 + (how & 15);

		if (how & 0x80)		/* of the disks and devices that are there */
			at %= offsetof(struct launch_spec, disk[DISKS]);
		in_fill(in, (uint8_t *)&w.spec + at, MIN(len, sizeof(w.spec) - at));
	}
	if (!spec_ok(&w.spec) || asks_for_files())
		return;
	if (disks_create(w.loop, &w.spec, NULL, held, NULL, &disks))
		return;
	ret = disks_connect(disks);
	for (unsigned i = 0; i < w.spec.device_count && !ret; i++)
		build(i, disks);
	disks_destroy(disks);
}

void fuzz_one(struct input *in)
{
	if (in_u8(in) & 1)
		try_spec(in);
	else
		try_channel(in);
	clock_reset();
}
