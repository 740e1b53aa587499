/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "applets/remote/serve-vfu.h"
#include "base/num.h"

/*
 * Guest memory: what the client maps, and the messages for what it does not share.
 *
 * A message is sent and nobody waits: QEMU answers it only when no vCPU of its waits for a reply of
 * ours.  The device goes on when the answer is there (pci_dma_answered()).
 */

int vfu_dma_map(struct serve *serve, struct vfu_msg *msg)
{
	struct guestmem_region region;
	struct vfu_dma_map map;

	memcpy(&map, msg->payload, sizeof(map));
	if (map.argsz < sizeof(map) || !map.flags ||
	    map.flags & ~(VFU_MAP_READ | VFU_MAP_WRITE))
		return EINVAL;
	region = (struct guestmem_region){
		.gpa = map.addr, .size = map.size, .readonly = !(map.flags & VFU_MAP_WRITE),
		.writeonly = !(map.flags & VFU_MAP_READ),
		.offset = msg->fds.count ? map.offset : 0,
		.fd = msg->fds.count ? msg->fds.fd[0] : -1,
	};
	return -guestmem_map(serve->mem, &region);
}

int vfu_dma_unmap(struct serve *serve, struct vfu_msg *msg)
{
	struct vfu_dma_unmap unmap;
	int ret = 0;

	memcpy(&unmap, msg->payload, sizeof(unmap));
	if (unmap.argsz < sizeof(unmap) || unmap.flags & ~VFU_UNMAP_ALL ||
	    (unmap.flags & VFU_UNMAP_ALL && (unmap.addr || unmap.size)))
		return EINVAL;
	if (unmap.flags & VFU_UNMAP_ALL)
		guestmem_clear(serve->mem);
	else
		ret = guestmem_unmap(serve->mem, unmap.addr, unmap.size);
	if (ret < 0)
		return -ret;
	return vfu_answer(serve, &unmap, sizeof(unmap));
}

/* ---- messages ---- */

static void finished(struct serve *serve, int err)
{
	struct vfu_dma *dma = &serve->vfu->dma;

	dma->busy = dma->staged = false;
	pci_dma_answered(&serve->dev, err, dma->write ? NULL : dma->data, dma->len);
}

static int access_shared(struct serve *serve, uint64_t gpa, size_t len)
{
	struct vfu_dma *dma = &serve->vfu->dma;

	return dma->write ? guestmem_write(serve->mem, gpa, dma->data + dma->done, len) :
	       guestmem_read(serve->mem, gpa, dma->data + dma->done, len);
}

/* Up to the next message, or the end: what is shared of the range is accessed at once. */
static void go_on(struct serve *serve)
{
	struct serve_vfu *vfu = serve->vfu;
	struct vfu_dma *dma = &vfu->dma;
	int err = 0;

	while (dma->done < dma->len && !err) {
		uint64_t at = dma->gpa + dma->done;
		bool shared;
		size_t n = guestmem_part(serve->mem, at, dma->len - dma->done, &shared);

		if (n && !shared) {
			dma->piece = min_u64(n, vfu->client.max_data);
			dma->id = vfu->next_id++;
			dma->staged = true;
			return;
		}
		err = n ? access_shared(serve, at, n) : -EFAULT;
		dma->done += n;
	}
	finished(serve, err);
}

int vfu_dma_request(void *opaque, bool write, uint64_t gpa, const void *data, size_t len)
{
	struct serve *serve = opaque;
	struct vfu_dma *dma = &serve->vfu->dma;

	if (!serve->open || !serve->vfu->negotiated || !len || len > sizeof(dma->data))
		return -EFAULT;
	/* One that was given up is as if it had never been: its answer has another number. */
	dma->busy = true;
	dma->staged = false;
	dma->write = write;
	dma->gpa = gpa;
	dma->len = len;
	dma->done = 0;
	if (write)
		memcpy(dma->data, data, len);
	go_on(serve);
	return 0;
}

int vfu_dma_flush(struct serve *serve)
{
	struct serve_vfu *vfu = serve->vfu;
	struct vfu_dma *dma = &vfu->dma;
	struct vfu_dma_access access = { dma->gpa + dma->done, dma->piece };
	size_t size = sizeof(access);

	if (!dma->staged || vfu->conn.conn.out_len)
		return 0;
	dma->staged = false;
	memcpy(dma->message, &access, sizeof(access));
	if (dma->write) {
		memcpy(dma->message + sizeof(access), dma->data + dma->done, dma->piece);
		size += dma->piece;
	}
	return vfu_command(&vfu->conn, dma->id, dma->write ? VFU_DMA_WRITE : VFU_DMA_READ,
			   dma->message, size);
}

/* The data of a read, or of a write that it was made; a short one is none. */
static int take_answer(struct vfu_dma *dma, const struct vfu_msg *msg)
{
	struct vfu_dma_access access;

	if (msg->h.flags & VFU_ERROR || msg->fds.count)
		return -EFAULT;
	if (dma->write)
		return 0;
	if (msg->size != sizeof(access) + dma->piece)
		return -EFAULT;
	memcpy(&access, msg->payload, sizeof(access));
	if (access.addr != dma->gpa + dma->done || access.count != dma->piece)
		return -EFAULT;
	memcpy(dma->data + dma->done, msg->payload + sizeof(access), dma->piece);
	return 0;
}

void vfu_dma_answer(struct serve *serve, const struct vfu_msg *msg)
{
	struct vfu_dma *dma = &serve->vfu->dma;
	int err;

	if (!dma->busy || dma->staged || msg->h.id != dma->id ||
	    msg->h.cmd != (dma->write ? VFU_DMA_WRITE : VFU_DMA_READ))
		return;
	err = take_answer(dma, msg);
	dma->done += dma->piece;
	if (err)
		finished(serve, err);
	else
		go_on(serve);
}

void vfu_dma_clear(struct serve *serve)
{
	if (serve->vfu->dma.busy)
		finished(serve, -EFAULT);
}
