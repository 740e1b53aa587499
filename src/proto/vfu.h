/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PROTO_VFU_H
#define PROTO_VFU_H

/*
 * The vfio-user protocol between a VMM (the client) and the process that has the device (the
 * server): the messages.  vfio-user-protocol(7) of this project says what of it is served.  Byte
 * order and layout are the host's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/conn.h"

enum vfu_cmd {
	VFU_VERSION = 1, VFU_DMA_MAP, VFU_DMA_UNMAP, VFU_GET_INFO, VFU_GET_REGION_INFO,
	VFU_GET_REGION_IO_FDS, VFU_GET_IRQ_INFO, VFU_SET_IRQS, VFU_REGION_READ, VFU_REGION_WRITE,
	VFU_DMA_READ, VFU_DMA_WRITE, VFU_RESET, VFU_DIRTY_PAGES, VFU_WRITE_MULTI,
	VFU_DEVICE_FEATURE, VFU_MIG_DATA_READ, VFU_MIG_DATA_WRITE,
	VFU_CMD_COUNT,
};

enum { VFU_TYPE_MASK = 0xf, VFU_REPLY = 1, VFU_NO_REPLY = 0x10, VFU_ERROR = 0x20 };

struct vfu_header {
	uint16_t id, cmd;	/* a reply has those of its command */
	uint32_t size;		/* bytes, this header included */
	uint32_t flags;
	uint32_t error;		/* errno, with VFU_ERROR */
};

struct vfu_version {
	uint16_t major, minor;	/* JSON text and a NUL may follow */
};

enum { VFU_MAP_READ = 1, VFU_MAP_WRITE = 2 };

struct vfu_dma_map {
	uint32_t argsz, flags;
	uint64_t offset, addr, size;
};

enum { VFU_UNMAP_BITMAP = 1, VFU_UNMAP_ALL = 2 };

struct vfu_dma_unmap {
	uint32_t argsz, flags;
	uint64_t addr, size;
};

enum { VFU_INFO_RESET = 1, VFU_INFO_PCI = 2 };

struct vfu_info {
	uint32_t argsz, flags, regions, irqs;
};

/* Regions by number: 0 to 5 are the BARs. */
enum { VFU_REGION_ROM = 6, VFU_REGION_CONFIG = 7, VFU_REGION_VGA = 8, VFU_REGIONS = 9 };
enum {
	VFU_REGION_MAY_READ = 1, VFU_REGION_MAY_WRITE = 2, VFU_REGION_MMAP = 4,
	VFU_REGION_CAPS = 8,
};

struct vfu_region_info {
	uint32_t argsz, flags, index, cap_offset;
	uint64_t size, offset;
};

enum { VFU_IRQ_INTX, VFU_IRQ_MSI, VFU_IRQ_MSIX, VFU_IRQ_ERR, VFU_IRQ_REQ, VFU_IRQS };
enum { VFU_IRQ_EVENTFD = 1, VFU_IRQ_MASKABLE = 2, VFU_IRQ_AUTOMASKED = 4, VFU_IRQ_NORESIZE = 8 };

struct vfu_irq_info {
	uint32_t argsz, flags, index, count;
};

enum {
	VFU_DATA_NONE = 1, VFU_DATA_BOOL = 2, VFU_DATA_EVENTFD = 4,
	VFU_ACTION_MASK = 8, VFU_ACTION_UNMASK = 16, VFU_ACTION_TRIGGER = 32,
};

struct vfu_set_irqs {
	uint32_t argsz, flags, index, start, count;	/* bytes of VFU_DATA_BOOL may follow */
};

/* The data follows: of a write in the command, of a read in the reply. */
struct vfu_region_access {
	uint64_t offset;
	uint32_t region, count;
};

struct vfu_dma_access {
	uint64_t addr, count;
};

#define VFU_MULTI_MAX 200	/* writes in one message: as many as QEMU puts into it */

struct vfu_write_multi {
	uint64_t count;
	struct vfu_multi_write {
		uint64_t offset;
		uint32_t region, count;
		uint8_t data[8];
	} write[];
};

_Static_assert(sizeof(struct vfu_header) == 16, "wire layout");
_Static_assert(sizeof(struct vfu_dma_map) == 32, "wire layout");
_Static_assert(sizeof(struct vfu_dma_unmap) == 24, "wire layout");
_Static_assert(sizeof(struct vfu_region_info) == 32, "wire layout");
_Static_assert(sizeof(struct vfu_set_irqs) == 20, "wire layout");
_Static_assert(sizeof(struct vfu_region_access) == 16, "wire layout");
_Static_assert(sizeof(struct vfu_multi_write) == 24, "wire layout");

/* What must be true of a command that a client sends. */
struct vfu_rule {
	const char *name;
	uint32_t size_min;	/* bytes of payload, */
	uint32_t size_max;	/* 0: as much as a message may have */
	uint8_t fd_max;
	bool served;		/* no: answered ENOTSUP */
};

/* The rule of @cmd, or NULL when there is no such command. */
const struct vfu_rule *vfu_rule(unsigned cmd);

/* A received message; the payload stands in the connection's buffer until the next one. */
struct vfu_msg {
	struct vfu_header h;
	const uint8_t *payload;	/* aligned to 8 bytes */
	uint32_t size;		/* bytes of payload */
	struct conn_fds fds;	/* the holder's to close */
};

/* A connection of this protocol; stays where it is.  @room: two messages of @size bytes. */
struct vfu_conn {
	struct conn conn;
	uint8_t *room;
	size_t size;
};

/* Bytes of a message that carries @max_data bytes of a region or of guest memory. */
size_t vfu_message_size(size_t max_data);

/* Memory for messages of @size bytes; 0 or -ENOMEM.  vfu_conn_finish() also after a failure. */
int vfu_conn_create(struct vfu_conn *vc, size_t size);
void vfu_conn_finish(struct vfu_conn *vc);
/* An idle connection over @fd. */
void vfu_conn_init(struct vfu_conn *vc, int fd);

/* As conn_peek() and conn_consume().  Only what breaks the framing is an error. */
int vfu_peek(struct vfu_conn *vc, struct vfu_msg *msg);
int vfu_consume(struct vfu_conn *vc, struct vfu_msg *msg);

/* Is it a command that its rule allows, with its fds?  0, or the errno that answers it. */
int vfu_check(const struct vfu_msg *msg);

/* As conn_send(): the answer to the command with header @to, as one write. */
int vfu_reply(struct vfu_conn *vc, const struct vfu_header *to, const void *payload, size_t size);
int vfu_reply_error(struct vfu_conn *vc, const struct vfu_header *to, int error);
/* A command of our own. */
int vfu_command(struct vfu_conn *vc, uint16_t id, enum vfu_cmd cmd, const void *payload,
		size_t size);
/* The same with fds, waiting as long as it takes: for a client. */
int vfu_command_fds(struct vfu_conn *vc, uint16_t id, enum vfu_cmd cmd, const void *payload,
		    size_t size, const int *fds, unsigned fd_count);

/* What one side of a connection can do, as VERSION says it; at first what its absence means. */
struct vfu_limits {
	uint32_t max_fds;	/* of a message */
	uint32_t max_maps;	/* DMA maps at a time */
	uint64_t max_data;	/* bytes of a region or of guest memory in a message */
	bool write_multiple;
};

#define VFU_VERSION_TEXT_MAX 4096	/* bytes of JSON that are looked at */
/*
 * The JSON text of VERSION, @len bytes with its NUL; 0 bytes are none.  Unknown keys are passed
 * over.  0 or -EINVAL.
 */
int vfu_version_parse(const void *text, size_t len, struct vfu_limits *ret);
/* Heap that is enough for each: jansson's objects, as many as fit in, arrays in arrays. */
#define VFU_VERSION_HEAP (1u << 20)
/*
 * For a process whose heap may not grow any more when a text comes (and that never gives any back,
 * M_TRIM_THRESHOLD): sets aside what the worst one takes.  0 or -ENOMEM.
 */
int vfu_version_prepare(void);
/*
 * The text that says @limits, of @size bytes at the most with its NUL: all of it, or
 * max_data_xfer_size alone where there is room for no more.  Returns its length with the NUL; 0:
 * not even that has room.
 */
size_t vfu_version_text(const struct vfu_limits *limits, char *buf, size_t size);

#endif
