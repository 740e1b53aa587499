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
#include "applets/remote/manage.h"
#include "applets/remote/speccheck.h"
#include "control/channel.h"
#include "control/launch.h"
#include "control/manage.h"
#include "event/loop.h"
#include "fuzz.h"
#include "mem/arena.h"
#include "mem/guestmem.h"
#include "pci/pci.h"
#include "plan/spec.h"
#include "proto/conn.h"
#include "scsi/scsi.h"

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
	g_snprintf(d->unit.id, sizeof(d->unit.id), "d%u", i);
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
		ctl_send_fd(end, how >> 1 & 15, in_u32(in), STDERR_FILENO);
	else if (end >= 0)
		ctl_send(end, how >> 1 & 15, in_u32(in));
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
		[CTL_PAUSE] = false, [CTL_RESUME] = false, [CTL_PAUSED] = true,
		[CTL_KEEP] = true, [CTL_KEPT] = false, [CTL_KEPT_ALL] = false,
		[CTL_PING] = false, [CTL_PONG] = true,
	};

	G_STATIC_ASSERT(G_N_ELEMENTS(from_device) == CTL_TYPE_COUNT);
	uint8_t how = in_u8(in);
	enum ctl_sender sender = how & 1 ? CTL_FROM_KEEPER : CTL_FROM_DEVICE;
	bool takes_fd = how & 0x80, takes_fds = how & 0x40;
	struct conn_fds fds = { 0 };
	struct ctl_msg msg;
	int ret, fd = -1;

	if (w.end[how & 1] < 0)
		return;
	if (takes_fds)
		ret = ctl_recv_fds(w.end[how & 1], sender, &msg, &fds);
	else if (takes_fd)
		ret = ctl_recv_fd(w.end[how & 1], sender, &msg, &fd);
	else
		ret = ctl_recv(w.end[how & 1], sender, &msg);
	if (fd >= 0)
		close(fd);
	conn_fds_close(&fds);
	if (ret)
		return;
	if (!takes_fds)
		g_assert_cmpint(fd >= 0, ==, takes_fd && msg.type == CTL_PEER);
	g_assert_cmpuint(msg.type, <, G_N_ELEMENTS(from_device));
	g_assert_cmpint(from_device[msg.type], ==, !(how & 1));
	if (msg.type == CTL_HELD)
		try_held(msg.arg, how >> 1);
}

/* The monitor's channel has messages of its own. */
static void op_manage(struct input *in)
{
	struct manage_msg msg = { .type = in_u8(in) & 15, .serial = in_u8(in) };
	uint8_t how = in_u8(in);

	msg.disk = in_u8(in);
	manage_set_value(&msg, in_u64(in));
	if (how & 2)
		in_fill(in, msg.body, sizeof(msg.body));
	if (w.end[how & 1] >= 0)
		manage_send(w.end[how & 1], &msg, how & 4 ? STDERR_FILENO : -1);
}

static void op_manage_receive(struct input *in)
{
	uint8_t how = in_u8(in);
	bool keeper = how & 2;
	struct manage_msg msg;
	int fd = -1;

	if (w.end[how & 1] < 0 || manage_recv(w.end[how & 1], keeper ? MANAGE_FROM_KEEPER :
					      MANAGE_FROM_DEVICE, &msg, &fd))
		return;
	g_assert_cmpuint(msg.type, <, MANAGE_TYPE_COUNT);
	g_assert_cmpuint(msg.disk, <, SPEC_MAX_DISKS);
	g_assert_true((msg.type <= MANAGE_FAILED) == !keeper);
	g_assert_true(fd < 0 || msg.type == MANAGE_LOAD || msg.type == MANAGE_ATTACH);
	if (fd >= 0)
		close(fd);
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
	for (unsigned i = 0; i < MAX_OPS && in->left; i++) {
		uint8_t op = in_u8(in);

		if (op >= 0xf0)
			(op & 1 ? op_manage : op_manage_receive)(in);
		else
			ops[op % G_N_ELEMENTS(ops)](in);
	}
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

/* ---- a monitor's requests to a device process ---- */

static struct scsi_bus *find_bus(void *opaque, unsigned device)
{
	struct pci_dev *dev = opaque;

	return device == 0 ? dev->cls->scsi_bus(dev) : NULL;
}

/* The keeper's end of the channel: a request made of the input, whose disk may be a good one. */
static void request(struct input *in, int fd)
{
	struct manage_msg msg = { .type = in_u8(in) % MANAGE_TYPE_COUNT, .serial = in_u8(in) };
	uint8_t how = in_u8(in);

	msg.disk = how & 7;
	manage_set_value(&msg, how & 8 ? in_u64(in) : how >> 4);
	if (msg.type == MANAGE_ATTACH) {
		struct spec_disk disk = w.good.disk[how >> 4 & 1 ? 2 : 0];

		disk.image = (struct spec_image){ .kind = SPEC_IMAGE_NONE, .slot = -1 };
		disk.unit.target = in_u8(in);
		disk.unit.lun = in_u8(in);
		g_snprintf(disk.unit.id, sizeof(disk.unit.id), "hot%u", how & 7);
		memcpy(msg.body, &disk, sizeof(disk));
	}
	if (how & 0x80 && (msg.type == MANAGE_ATTACH || msg.type == MANAGE_LOAD))
		msg.body[in_u16(in) % sizeof(struct spec_disk)] = in_u8(in);
	manage_send(fd, &msg, how & 0x40 ? STDERR_FILENO : -1);
}

/* Every one is answered, or waits for a disk. */
static void take_replies(int fd)
{
	struct manage_msg msg;
	int passed = -1;

	while (!manage_recv(fd, MANAGE_FROM_DEVICE, &msg, &passed))
		g_assert_cmpuint(manage_value(&msg), <, 0x4000);
}

static void try_manage(struct input *in)
{
	struct pci_host host = { .loop = w.loop, .mem = w.mem };
	struct manage *manage;
	struct disks *disks;
	struct pci_dev dev;
	int end[2];

	w.spec = w.good;
	w.spec.manage = 1;
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, end));
	must(dup2(end[1], LAUNCH_SLOT_MANAGE));
	close(end[1]);
	memset(w.state[0], 0, PCI_STATE_MAX);
	if (disks_create(w.loop, &w.spec, NULL, held, NULL, &disks) || disks_connect(disks) ||
	    pci_dev_init(&dev, class_find("lsi53c895a"), w.state[0], &host, "lsi0",
			 disks_bus_setup(disks, 0)) ||
	    manage_create(w.loop, disks, find_bus, &dev, &manage))
		g_error("a good spec");
	for (unsigned i = 0; i < MAX_OPS && in->left; i++) {
		request(in, end[0]);
		clock_advance(LOOP_MS);
		for (unsigned k = 0; k < 4; k++)
			loop_step(w.loop, 0);
		take_replies(end[0]);
	}
	manage_destroy(manage);
	pci_dev_finish(&dev);
	disks_destroy(disks);
	close(end[0]);
	close(LAUNCH_SLOT_MANAGE);
}

void fuzz_one(struct input *in)
{
	uint8_t what = in_u8(in);

	if (what >= 0xf8)
		try_manage(in);
	else if (what & 1)
		try_spec(in);
	else
		try_channel(in);
	clock_reset();
}
