/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_SERVE_VFU_H
#define APPLETS_REMOTE_SERVE_VFU_H

/* The parts of a vfio-user session. */

#include "applets/remote/serve-priv.h"
#include "mem/guestmem.h"
#include "proto/vfu.h"

#define VFU_VECTORS PCI_MSIX_MAX	/* of one interrupt index: a bit each in vfu_irqs.raise */

/*
 * Interrupts.  INTx is masked by being sent, and is sent again, if the line is still up, when the
 * client unmasks it: by message, or by an eventfd of its own.
 */
struct vfu_irqs {
	int fd[VFU_IRQS][VFU_VECTORS];	/* owned; -1: nobody listens */
	bool on[VFU_IRQS];		/* the client has set the index up */
	uint64_t raise[VFU_IRQS];	/* vectors to send after the commit */
	int unmask_fd;			/* owned; -1 */
	bool masked;			/* INTx */
	bool line;			/* INTx is to be sent when it is not masked */
	bool settling;			/* INTx was unmasked while up, see unmask() */
	struct loop_timer settle;	/* until then it is not sent again */
};

/*
 * A DMA request of the device's, of memory that the client does not share.  One at a time; long
 * ones go in as many messages as the client's limit asks for.
 */
struct vfu_dma {
	bool busy;		/* a request is not answered yet */
	bool staged;		/* its next message has to be sent */
	bool write;
	uint16_t id;		/* of the message that is under way */
	uint64_t gpa;
	uint32_t len, done, piece;	/* bytes */
	uint8_t data[GUESTMEM_REMOTE_MAX];
	uint8_t message[sizeof(struct vfu_dma_access) + GUESTMEM_REMOTE_MAX];
};

_Static_assert(VFU_VECTORS <= 64, "a bit each");

struct serve_vfu {
	struct vfu_conn conn;
	bool negotiated;
	struct vfu_limits own, client;
	struct {
		bool staged;
		int error;		/* errno; 0: the answer is in @data */
		struct vfu_header to;
		uint32_t size;
	} reply;
	uint8_t *data;			/* of the reply, as long as a message may be */
	uint16_t next_id;
	struct vfu_irqs irqs;
	struct vfu_dma dma;
};

/* A handler carries a command out: 0 with vfu->reply.size bytes in vfu->data, or an errno. */
typedef int vfu_handler(struct serve *serve, struct vfu_msg *msg);

/* ---- serve-vfu.c ---- */
/* The answer, or its beginning.  0, as what a handler returns. */
int vfu_answer(struct serve *serve, const void *data, size_t size);

/* ---- serve-vfu-irq.c ---- */
int vfu_get_irq_info(struct serve *serve, struct vfu_msg *msg);
int vfu_set_irqs(struct serve *serve, struct vfu_msg *msg);
void vfu_irqs_init(struct serve *serve);
/* Closes all that the client has set up. */
void vfu_irqs_clear(struct serve *serve);
/* Writes the eventfds of what is staged.  0, or -errno: one is none. */
int vfu_irqs_flush(struct serve *serve);
/* For struct pci_host. */
void vfu_intx(void *opaque, bool level);
enum pci_message vfu_message(void *opaque, unsigned vector);

/* ---- serve-vfu-dma.c ---- */
int vfu_dma_map(struct serve *serve, struct vfu_msg *msg);
int vfu_dma_unmap(struct serve *serve, struct vfu_msg *msg);
/* For struct pci_host. */
int vfu_dma_request(void *opaque, bool write, uint64_t gpa, const void *data, size_t len);
/* The client has answered one of our messages; what nobody waits for any more is dropped. */
void vfu_dma_answer(struct serve *serve, const struct vfu_msg *msg);
/* The client is gone, and will not answer. */
void vfu_dma_clear(struct serve *serve);
/* Sends the next message of a request.  As conn_send(). */
int vfu_dma_flush(struct serve *serve);

/* ---- serve-vfu-region.c ---- */
int vfu_get_info(struct serve *serve, struct vfu_msg *msg);
int vfu_get_region_info(struct serve *serve, struct vfu_msg *msg);
int vfu_region_read(struct serve *serve, struct vfu_msg *msg);
int vfu_region_write(struct serve *serve, struct vfu_msg *msg);
int vfu_write_multi(struct serve *serve, struct vfu_msg *msg);

#endif
