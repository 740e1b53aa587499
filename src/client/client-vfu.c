/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/client-vfu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/num.h"

/* The vfio-user protocol: a session as QEMU's vfio-user-pci sets it up, and accesses. */

#define VERSION_TEXT 256
#define CONFIG_MIN 256		/* bytes: that of a conventional PCI device */

/* As QEMU's, but for the size of a message; and nothing that we send is a WRITE_MULTI. */
static const struct vfu_limits own = {
	.max_fds = CONN_MAX_FDS, .max_maps = 65535, .max_data = CLIENT_VFU_MAX_DATA,
};

/* ---- negotiation ---- */

/*
 * Some servers make their text no longer than ours was, as QEMU has no room for more: ours is
 * filled up with blanks.
 */
static int negotiate(struct client *c)
{
	struct {
		struct vfu_version version;
		char text[VERSION_TEXT];
	} payload = { .version = { 0, 0 } };
	struct client_vfu_call call = {
		.cmd = VFU_VERSION, .payload = &payload, .size = sizeof(payload),
		.reply_min = sizeof(payload.version), .reply_max = CLIENT_VFU_ANY,
	};
	size_t len = vfu_version_text(&own, payload.text, sizeof(payload.text));
	struct vfu_msg msg;
	int ret;

	memset(payload.text + len - 1, ' ', sizeof(payload.text) - len);
	payload.text[sizeof(payload.text) - 1] = 0;
	ret = client_vfu_call(c, &call, &msg);
	if (ret)
		return ret;
	memcpy(&payload.version, msg.payload, sizeof(payload.version));
	if (payload.version.major != 0)
		return client_fail(c, -EPROTO, "version %u.%u, expected 0.0",
				   payload.version.major, payload.version.minor);
	c->minor = payload.version.minor;
	if (vfu_version_parse(msg.payload + sizeof(payload.version),
			      msg.size - sizeof(payload.version), &c->limits))
		return conn_error(c->conn, "VERSION: what the remote can do is no JSON text that "
				  "the protocol knows");
	if (c->limits.max_data < sizeof(uint64_t))
		return client_fail(c, -EPROTO, "no message may carry more than %llu bytes",
				   (unsigned long long)c->limits.max_data);
	return 0;
}

/* A server that takes no fds reads and writes by message. */
static int share_memory(struct client *c)
{
	const struct vfu_dma_map map = {
		.argsz = sizeof(map), .flags = VFU_MAP_READ | VFU_MAP_WRITE, .size = c->mem_size,
	};
	const struct client_vfu_call call = {
		.cmd = VFU_DMA_MAP, .payload = &map, .size = sizeof(map),
		.fd = c->mem_fd, .fd_count = c->limits.max_fds != 0, .reply_max = sizeof(map),
	};

	return client_vfu_call(c, &call, NULL);
}

/* ---- what the device is ---- */

/* The answer to a question of @size bytes takes its place; more may follow it. */
static int ask(struct client *c, enum vfu_cmd cmd, void *info, size_t size)
{
	const struct client_vfu_call call = {
		.cmd = cmd, .payload = info, .size = size,
		.reply_min = size, .reply_max = CLIENT_VFU_ANY,
	};
	struct vfu_msg msg;
	int ret = client_vfu_call(c, &call, &msg);

	if (!ret)
		memcpy(info, msg.payload, size);
	return ret;
}

static int get_info(struct client *c, uint32_t *ret_regions, uint32_t *ret_irqs)
{
	struct vfu_info info = { .argsz = sizeof(info) };
	int ret = ask(c, VFU_GET_INFO, &info, sizeof(info));

	if (ret)
		return ret;
	if (!(info.flags & VFU_INFO_PCI) || info.regions <= VFU_REGION_CONFIG)
		return client_fail(c, -EPROTO, "not a PCI device");
	c->vfu->flags = info.flags;
	*ret_regions = info.regions;
	*ret_irqs = info.irqs;
	return 0;
}

static int get_region(struct client *c, uint32_t index)
{
	struct vfu_region_info info = { .argsz = sizeof(info), .index = index };
	int ret = ask(c, VFU_GET_REGION_INFO, &info, sizeof(info));

	if (ret)
		return ret;
	if (info.argsz < sizeof(info) || info.index != index)
		return conn_error(c->conn, "DEVICE_GET_REGION_INFO of %u: an answer of %u bytes on "
				  "region %u", index, info.argsz, info.index);
	c->vfu->region_flags[index] = info.flags;
	c->vfu->region_size[index] = info.size;
	return 0;
}

static int get_irq(struct client *c, uint32_t index)
{
	struct vfu_irq_info info = { .argsz = sizeof(info), .index = index };
	int ret = ask(c, VFU_GET_IRQ_INFO, &info, sizeof(info));

	if (ret)
		return ret;
	if (info.argsz < sizeof(info) || info.index != index)
		return conn_error(c->conn, "DEVICE_GET_IRQ_INFO of %u: an answer of %u bytes on "
				  "interrupt %u", index, info.argsz, info.index);
	c->vfu->irq_flags[index] = info.flags;
	c->vfu->irq_count[index] = info.count;
	return 0;
}

/* An error that the server answered, not one of the session. */
static bool is_refusal(const struct client *c)
{
	return c->why[0];
}

/* ROM, VGA, and interrupts that a server knows nothing of are not there. */
static int get_regions_and_irqs(struct client *c)
{
	uint32_t regions = 0, irqs = 0;
	int ret = get_info(c, &regions, &irqs);

	for (uint32_t i = 0; i < VFU_REGIONS && i < regions && !ret; i++) {
		ret = get_region(c, i);
		if (ret && is_refusal(c) && (i == VFU_REGION_ROM || i == VFU_REGION_VGA))
			ret = c->why[0] = 0;
	}
	if (!ret && c->vfu->region_size[VFU_REGION_CONFIG] < CONFIG_MIN)
		ret = client_fail(c, -EPROTO, "a config space of %llu bytes",
				  (unsigned long long)c->vfu->region_size[VFU_REGION_CONFIG]);
	for (uint32_t i = 0; i < VFU_IRQS && i < irqs && !ret; i++) {
		ret = get_irq(c, i);
		if (ret && is_refusal(c))
			ret = c->why[0] = 0;
	}
	return ret;
}

/* ---- interrupts ---- */

static int set_intx(struct client *c, uint32_t flags, int fd)
{
	const struct vfu_set_irqs set = {
		.argsz = sizeof(set), .flags = flags, .index = VFU_IRQ_INTX, .count = 1,
	};
	const struct client_vfu_call call = {
		.cmd = VFU_SET_IRQS, .payload = &set, .size = sizeof(set),
		.fd = fd, .fd_count = fd >= 0, .reply_max = sizeof(set),
	};

	return client_vfu_call(c, &call, NULL);
}

/* The eventfd of the interrupt, and the one that says that it has been dealt with. */
static int listen_to_intx(struct client *c)
{
	int ret;

	if (!c->vfu->irq_count[VFU_IRQ_INTX] || !c->limits.max_fds)
		return 0;
	ret = set_intx(c, VFU_DATA_EVENTFD | VFU_ACTION_TRIGGER, c->irqfd);
	if (ret || !(c->vfu->irq_flags[VFU_IRQ_INTX] & VFU_IRQ_MASKABLE))
		return ret;
	ret = set_intx(c, VFU_DATA_EVENTFD | VFU_ACTION_UNMASK, c->resamplefd);
	if (ret && is_refusal(c)) {
		c->vfu->eoi_by_message = true;
		ret = c->why[0] = 0;
	}
	return ret;
}

static int eoi(struct client *c)
{
	if (c->vfu->eoi_by_message)
		return set_intx(c, VFU_DATA_NONE | VFU_ACTION_UNMASK, -1);
	return eventfd_write(c->resamplefd, 1) ? -errno : 0;
}

static int vectors(struct client *c, unsigned kind, unsigned *ret_count)
{
	*ret_count = kind < VFU_IRQS ? c->vfu->irq_count[kind] : 0;
	return 0;
}

/* ---- accesses ---- */

static int read_region(struct client *c, uint32_t region, uint64_t off, uint32_t size,
		       uint64_t *ret_val)
{
	const struct vfu_region_access a = { .offset = off, .region = region, .count = size };
	const struct client_vfu_call call = {
		.cmd = VFU_REGION_READ, .payload = &a, .size = sizeof(a),
		.reply_min = sizeof(a) + size, .reply_max = sizeof(a) + size,
	};
	uint64_t val = 0;
	struct vfu_msg msg;
	int ret = client_vfu_call(c, &call, &msg);

	if (ret)
		return ret;
	if (memcmp(msg.payload, &a, sizeof(a)))
		return conn_error(c->conn, "REGION_READ: an answer on another access");
	memcpy(&val, msg.payload + sizeof(a), size);
	*ret_val = le64toh(val);
	return 0;
}

/* QEMU takes an answer without payload as well. */
static int write_region(struct client *c, uint32_t region, uint64_t off, uint32_t size,
			uint64_t val)
{
	const struct {
		struct vfu_region_access a;
		uint64_t data;
	} payload = { { .offset = off, .region = region, .count = size }, htole64(val) };
	const struct client_vfu_call call = {
		.cmd = VFU_REGION_WRITE, .payload = &payload, .size = sizeof(payload.a) + size,
		.reply_max = sizeof(payload.a),
	};
	struct vfu_msg msg;
	int ret = client_vfu_call(c, &call, &msg);

	if (!ret && msg.size && (msg.size != sizeof(payload.a) ||
				 memcmp(msg.payload, &payload.a, sizeof(payload.a))))
		ret = conn_error(c->conn, "REGION_WRITE: an answer on another access");
	return ret;
}

static int cfg_read(struct client *c, uint32_t addr, int32_t len, uint64_t *ret_val)
{
	return read_region(c, VFU_REGION_CONFIG, addr, len, ret_val);
}

static int cfg_write(struct client *c, uint32_t addr, uint32_t val, int32_t len)
{
	return write_region(c, VFU_REGION_CONFIG, addr, len, val);
}

static int region_read(struct client *c, unsigned bar, uint64_t off, uint32_t size,
		       uint64_t *ret_val)
{
	return read_region(c, bar, off, size, ret_val);
}

static int region_write(struct client *c, unsigned bar, uint64_t off, uint32_t size, uint64_t val)
{
	return write_region(c, bar, off, size, val);
}

static int bar_read(struct client *c, bool memory, uint64_t addr, uint32_t size, uint64_t *ret_val)
{
	uint64_t off = 0;
	int bar = client_decode(c, memory, addr, size, &off);

	if (bar == -ENXIO) {
		*ret_val = UINT64_MAX;
		return 0;
	}
	return bar < 0 ? bar : read_region(c, bar, off, size, ret_val);
}

static int bar_write(struct client *c, bool memory, uint64_t addr, uint32_t size, uint64_t val)
{
	uint64_t off = 0;
	int bar = client_decode(c, memory, addr, size, &off);

	if (bar == -ENXIO)
		return 0;
	return bar < 0 ? bar : write_region(c, bar, off, size, val);
}

static int reset(struct client *c)
{
	const struct client_vfu_call call = { .cmd = VFU_RESET };

	if (!(c->vfu->flags & VFU_INFO_RESET))
		return client_fail(c, -EOPNOTSUPP, "the device has no reset");
	return client_vfu_call(c, &call, NULL);
}

/* The size is the region's; the kind stands in the low bits of the BAR, sized or not. */
static int size_bar(struct client *c, unsigned i)
{
	uint64_t dword = 0, size = c->vfu->region_size[i];
	int ret = size ? cfg_read(c, CFG_BAR_0 + 4 * i, 4, &dword) : 0;

	if (!ret) {
		client_bar_describe(&c->bar[i], dword, size);
		c->bar[i].size = size;
	}
	return ret;
}

static int rom_size(struct client *c, uint64_t *ret_size)
{
	*ret_size = c->vfu->region_size[VFU_REGION_ROM];
	return 0;
}

static int config_size(struct client *c, uint64_t *ret_size)
{
	*ret_size = c->vfu->region_size[VFU_REGION_CONFIG];
	return 0;
}

/* ---- making one ---- */

static int vfu_init(struct client *c)
{
	int ret;

	c->vfu = calloc(1, sizeof(*c->vfu));
	if (!c->vfu)
		return -ENOMEM;
	ret = vfu_conn_create(&c->vfu->conn, vfu_message_size(CLIENT_VFU_MAX_DATA));
	if (ret)
		return ret;
	c->vfu->buf = malloc(c->vfu->conn.size);
	if (!c->vfu->buf)
		return -ENOMEM;
	vfu_conn_init(&c->vfu->conn, c->fd);
	c->conn = &c->vfu->conn.conn;
	ret = negotiate(c);
	if (!ret)
		ret = share_memory(c);
	if (!ret)
		ret = get_regions_and_irqs(c);
	return ret ? ret : listen_to_intx(c);
}

static void vfu_finish(struct client *c)
{
	if (!c->vfu)
		return;
	free(c->vfu->buf);
	vfu_conn_finish(&c->vfu->conn);
	free(c->vfu);
	c->vfu = NULL;
	c->conn = NULL;
}

const struct client_ops client_vfio_user = {
	.name = "vfio-user", .init = vfu_init, .finish = vfu_finish,
	.cfg_read = cfg_read, .cfg_write = cfg_write, .bar_read = bar_read, .bar_write = bar_write,
	.region_read = region_read, .region_write = region_write, .reset = reset, .eoi = eoi,
	.size_bar = size_bar, .rom_size = rom_size, .config_size = config_size, .vectors = vectors,
};
