/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mem/guestmem.h"
#include "metrics/page.h"
#include "pci/pci.h"

/*
 * DMA.  Memory that is shared is accessed at once.  For other memory the host sends a request, and
 * the access is -EAGAIN until the answer is there; the model makes its step again from the start,
 * and finds in the log what the accesses of that step brought before.
 *
 * log[0..dma_logged) are accesses to memory that is not shared since pci_dma_forget(), in order.
 * Only the last one may be without its answer; it is the request that is under way.  next is where
 * this run of the step is in the log.
 *
 * Nothing of this is state: a successor makes the step again with an empty log.
 */

#define LOG_MAX 4	/* accesses to such memory in one step of a model */

/* Out of the way of accesses to shared memory, which are to save no registers for it. */
#define SLOW __attribute__((noinline, cold))

struct access {
	uint64_t gpa;
	size_t len;
	bool write, answered;
	int ret;			/* 0 or -EFAULT */
	uint8_t data[GUESTMEM_REMOTE_MAX];	/* of a read */
};

struct pci_dma {
	unsigned next;
	bool asking;		/* inside the host's dma_request */
	struct access log[LOG_MAX];
};

int pci_dma_init(struct pci_dev *dev)
{
	if (!dev->host.dma_request)
		return 0;
	dev->dma = calloc(1, sizeof(*dev->dma));
	return dev->dma ? 0 : -ENOMEM;
}

void pci_dma_finish(struct pci_dev *dev)
{
	free(dev->dma);
	dev->dma = NULL;
	dev->dma_logged = 0;
}

bool pci_dma_waits(const struct pci_dev *dev)
{
	return dev->dma_logged && !dev->dma->log[dev->dma_logged - 1].answered;
}

void pci_dma_drop(struct pci_dev *dev)
{
	dev->dma_logged = dev->dma->next = 0;
}

/*
 * What the access brought, a read to @buf.  As long as that is not known the model comes back to
 * the start of its step.
 */
static int replay(struct pci_dma *dma, struct access *a, void *buf)
{
	if (!a->answered) {
		dma->next = 0;
		return -EAGAIN;
	}
	dma->next++;
	if (!a->ret && buf)
		memcpy(buf, a->data, a->len);
	return a->ret;
}

/* A new access: what the log has from here on, and a request under way, belong to another run. */
static SLOW int ask(struct pci_dev *dev, bool write, uint64_t gpa, void *buf, const void *data,
	       size_t len)
{
	struct pci_dma *dma = dev->dma;
	struct access *a;
	int ret;

	if (!dma || len > GUESTMEM_REMOTE_MAX || dma->next == LOG_MAX)
		return -EFAULT;
	a = &dma->log[dma->next];
	dev->dma_logged = dma->next + 1;
	a->gpa = gpa;
	a->len = len;
	a->write = write;
	a->answered = false;
	dma->asking = true;
	ret = dev->host.dma_request(dev->host.opaque, write, gpa, data, len);
	dma->asking = false;
	if (ret) {
		a->answered = true;
		a->ret = -EFAULT;
	}
	return replay(dma, a, buf);
}

void pci_dma_answered(struct pci_dev *dev, int err, const void *data, size_t len)
{
	struct access *a;

	if (!pci_dma_waits(dev))
		return;
	a = &dev->dma->log[dev->dma_logged - 1];
	if (!a->write && (!data || len != a->len))
		err = -EFAULT;
	a->answered = true;
	a->ret = err ? -EFAULT : 0;
	if (!err) {
		metrics_count(a->write ? METRIC_DMA_WRITES : METRIC_DMA_READS);
		metrics_add(a->write ? METRIC_DMA_WRITE_BYTES : METRIC_DMA_READ_BYTES, a->len);
	}
	if (!a->ret && !a->write)
		memcpy(a->data, data, len);
	if (!dev->dma->asking && dev->cls->dma_ready)
		dev->cls->dma_ready(dev);
}

/*
 * An access of a step that has asked before.  An answer is taken even if the memory is another's
 * now: it was asked for while it was there.
 */
static SLOW int again(struct pci_dev *dev, bool write, uint64_t gpa, void *buf, const void *data,
		      size_t len)
{
	struct pci_dma *dma = dev->dma;
	struct access *a = &dma->log[dma->next];
	int ret;

	if (dma->next < dev->dma_logged && a->write == write && a->gpa == gpa && a->len == len)
		return replay(dma, a, buf);
	ret = write ? guestmem_write(dev->host.mem, gpa, data, len) :
		      guestmem_read(dev->host.mem, gpa, buf, len);
	return ret == -EREMOTE ? ask(dev, write, gpa, buf, data, len) : ret;
}

int pci_dma_read(struct pci_dev *dev, uint64_t gpa, void *buf, size_t len)
{
	int ret;

	if (!pci_bus_master(dev))
		return -EPERM;
	if (dev->dma_logged)
		return again(dev, false, gpa, buf, NULL, len);
	ret = guestmem_read(dev->host.mem, gpa, buf, len);
	return ret == -EREMOTE ? ask(dev, false, gpa, buf, NULL, len) : ret;
}

int pci_dma_write(struct pci_dev *dev, uint64_t gpa, const void *buf, size_t len)
{
	int ret;

	if (!pci_bus_master(dev))
		return -EPERM;
	if (dev->dma_logged)
		return again(dev, true, gpa, NULL, buf, len);
	ret = guestmem_write(dev->host.mem, gpa, buf, len);
	return ret == -EREMOTE ? ask(dev, true, gpa, NULL, buf, len) : ret;
}

/* A step that has asked before goes on by accesses that the log knows. */
int pci_dma_iov(struct pci_dev *dev, uint64_t gpa, size_t len, struct iovec *iov, unsigned max)
{
	if (!pci_bus_master(dev))
		return -EPERM;
	if (dev->dma_logged)
		return -EREMOTE;
	return guestmem_iov(dev->host.mem, gpa, len, iov, max);
}

void pci_dma_moved(struct pci_dev *dev, uint64_t gpa, size_t len)
{
	guestmem_moved(dev->host.mem, GUESTMEM_WRITE, gpa, len);
}

/* What is short is asked for as a whole, also if a part of it is shared. */
size_t pci_dma_clip(const struct pci_dev *dev, uint64_t gpa, size_t len)
{
	if (!dev->dma || len <= GUESTMEM_REMOTE_MAX)
		return len;
	return guestmem_clip(dev->host.mem, gpa, len);
}
