/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "applets/remote/serve-vfu.h"
#include "base/num.h"

/* What the device is, and accesses to its regions. */

int vfu_get_info(struct serve *serve, struct vfu_msg *msg)
{
	struct vfu_info info;

	memcpy(&info, msg->payload, sizeof(info));
	if (info.argsz < sizeof(info))
		return EINVAL;
	info = (struct vfu_info){
		.argsz = sizeof(info), .flags = VFU_INFO_RESET | VFU_INFO_PCI,
		.regions = VFU_REGIONS, .irqs = VFU_IRQS,
	};
	return vfu_answer(serve, &info, sizeof(info));
}

/* No region is mapped into the client: each access reaches the device. */
int vfu_get_region_info(struct serve *serve, struct vfu_msg *msg)
{
	struct vfu_region_info info;
	uint32_t index;

	memcpy(&info, msg->payload, sizeof(info));
	index = info.index;
	if (info.argsz < sizeof(info) || index >= VFU_REGIONS)
		return EINVAL;
	info = (struct vfu_region_info){
		.argsz = sizeof(info), .index = index,
		.size = pci_region_size(&serve->dev, index),
	};
	if (info.size)
		info.flags = VFU_REGION_MAY_READ |
			     (index == VFU_REGION_ROM ? 0 : VFU_REGION_MAY_WRITE);
	return vfu_answer(serve, &info, sizeof(info));
}

/* As wide as alignment allows: 4, 2 or 1 byte of config space. */
static unsigned config_step(uint64_t off, uint32_t left)
{
	if (!(off & 3) && left >= 4)
		return 4;
	return !(off & 1) && left >= 2 ? 2 : 1;
}

static void config_read(struct serve *serve, uint64_t off, uint8_t *buf, uint32_t count)
{
	while (count) {
		unsigned n = config_step(off, count);
		uint32_t val = pci_config_read(&serve->dev, off, n);

		for (unsigned i = 0; i < n; i++)
			*buf++ = val >> (8 * i);
		off += n;
		count -= n;
	}
}

/* A write of 1, 2 or 4 bytes is one, wherever it is: a BAR's halves, say, are seen together. */
static void config_write(struct serve *serve, uint64_t off, const uint8_t *buf, uint32_t count)
{
	while (count) {
		unsigned n = count == 2 || count == 4 ? count : config_step(off, count);
		uint32_t val = 0;

		for (unsigned i = 0; i < n; i++)
			val |= (uint32_t)*buf++ << (8 * i);
		pci_config_write(&serve->dev, off, val, n);
		off += n;
		count -= n;
	}
}

static int bar_read(struct serve *serve, const struct vfu_region_access *a, uint8_t *buf)
{
	uint64_t val;

	if (!pci_region_read(&serve->dev, a->region, a->offset, a->count, &val))
		return EINVAL;
	val = htole64(val);
	memcpy(buf, &val, a->count);
	return 0;
}

static int bar_write(struct serve *serve, const struct vfu_region_access *a, const uint8_t *buf)
{
	uint64_t val = 0;

	if (a->count > sizeof(val))
		return EINVAL;
	memcpy(&val, buf, a->count);
	return pci_region_write(&serve->dev, a->region, a->offset, a->count, le64toh(val)) ? 0 :
	       EINVAL;
}

/* Is it inside a region that there is? */
static bool access_ok(struct serve *serve, const struct vfu_region_access *a)
{
	return a->region < VFU_REGIONS && a->count && a->count <= serve->vfu->own.max_data &&
	       range_fits(a->offset, a->count, pci_region_size(&serve->dev, a->region));
}

int vfu_region_read(struct serve *serve, struct vfu_msg *msg)
{
	struct serve_vfu *vfu = serve->vfu;
	uint8_t *data = vfu->data + sizeof(struct vfu_region_access);
	struct vfu_region_access a;
	int err = 0;

	memcpy(&a, msg->payload, sizeof(a));
	if (!access_ok(serve, &a))
		return EINVAL;
	if (a.region == VFU_REGION_CONFIG)
		config_read(serve, a.offset, data, a.count);
	else if (a.region == VFU_REGION_ROM)
		pci_rom_read(&serve->dev, a.offset, data, a.count);
	else
		err = bar_read(serve, &a, data);
	vfu_answer(serve, &a, sizeof(a));
	serve->vfu->reply.size += a.count;
	return err;
}

static int region_write(struct serve *serve, const struct vfu_region_access *a, const uint8_t *data)
{
	if (!access_ok(serve, a) || a->region == VFU_REGION_ROM)
		return EINVAL;
	if (a->region != VFU_REGION_CONFIG)
		return bar_write(serve, a, data);
	config_write(serve, a->offset, data, a->count);
	return 0;
}

int vfu_region_write(struct serve *serve, struct vfu_msg *msg)
{
	struct vfu_region_access a;

	memcpy(&a, msg->payload, sizeof(a));
	if (msg->size - sizeof(a) != a.count)
		return EINVAL;
	vfu_answer(serve, &a, sizeof(a));
	return region_write(serve, &a, msg->payload + sizeof(a));
}

/* Writes that the client has put together; the first that cannot be made ends them. */
int vfu_write_multi(struct serve *serve, struct vfu_msg *msg)
{
	const uint8_t *at = msg->payload + sizeof(uint64_t);
	uint64_t count;
	int err = 0;

	memcpy(&count, msg->payload, sizeof(count));
	if (count > VFU_MULTI_MAX ||
	    msg->size != sizeof(count) + count * sizeof(struct vfu_multi_write))
		return EINVAL;
	for (uint64_t i = 0; i < count && !err; i++) {
		struct vfu_multi_write w;
		struct vfu_region_access a;

		memcpy(&w, at + i * sizeof(w), sizeof(w));
		a = (struct vfu_region_access){ w.offset, w.region, w.count };
		err = w.count <= sizeof(w.data) ? region_write(serve, &a, w.data) : EINVAL;
	}
	vfu_answer(serve, &count, sizeof(count));
	return err;
}
