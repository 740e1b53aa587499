/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs in the guest: drives the teaching device edu-pcie (1234:11e8) through VFIO, and prints what
 * its interrupts do, one fact a line, for a test to compare.
 *
 *	msixprobe 0000:BB:DD.F		the device is bound to vfio-pci
 *
 * Bit n of the device's interrupt status is MSI or MSI-X vector n. Counts are of eventfds that
 * VFIO signals for each interrupt that the guest's kernel takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define VECTORS		8u
#define PATIENCE	2000	/* ms for an interrupt that has to come */
#define SETTLE		60	/* ms in which one that must not come would show */
#define ROUNDS		200u

/* Registers in BAR 0 (QEMU's docs/specs/edu). */
#define IRQ_STATUS	0x24
#define IRQ_RAISE	0x60
#define IRQ_ACK		0x64
#define DMA_SRC		0x80
#define DMA_DST		0x88
#define DMA_COUNT	0x90
#define DMA_CMD		0x98
#define DMA_START	1u
#define DMA_TO_RAM	2u
#define DMA_BUFFER	0x40000u	/* of 4096 bytes, in the device */

/* PCI Local Bus 3.0, 6.8.2: entries of 16 bytes, the last word is the vector's control. */
#define TABLE_BAR	VFIO_PCI_BAR2_REGION_INDEX
#define PBA_OFFSET	0x800u
#define ENTRY_WORDS	4u
#define CONTROL_WORD	3u
#define MASKED		1u

#define IOVA		0x100000ull
#define PAGE		4096u

struct probe {
	int container, group, device;
	uint64_t regs;			/* file offset of BAR 0 */
	volatile uint32_t *table;	/* BAR 2, mapped */
	int event[VECTORS];
};

static void die(const char *what)
{
	printf("failed: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void reg_write(struct probe *p, unsigned reg, uint32_t val)
{
	if (pwrite(p->device, &val, sizeof(val), (off_t)(p->regs + reg)) != sizeof(val))
		die("register write");
}

static uint32_t reg_read(struct probe *p, unsigned reg)
{
	uint32_t val;

	if (pread(p->device, &val, sizeof(val), (off_t)(p->regs + reg)) != sizeof(val))
		die("register read");
	return val;
}

static int open_group(const char *address)
{
	char path[128], link[256];
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", address);
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		die(path);
	link[len] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	return open(path, O_RDWR | O_CLOEXEC);
}

static uint64_t region(struct probe *p, unsigned index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	if (ioctl(p->device, VFIO_DEVICE_GET_REGION_INFO, &info))
		die("VFIO_DEVICE_GET_REGION_INFO");
	return info.offset;
}

/* VFIO turns it off; a message is DMA too. */
static void enable_bus_master(struct probe *p)
{
	off_t at = (off_t)region(p, VFIO_PCI_CONFIG_REGION_INDEX) + PCI_COMMAND;
	uint16_t command;

	if (pread(p->device, &command, sizeof(command), at) != sizeof(command))
		die("the command register");
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(p->device, &command, sizeof(command), at) != sizeof(command))
		die("the command register");
}

static void open_device(struct probe *p, const char *address)
{
	void *map;

	p->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	p->group = open_group(address);
	if (p->container < 0 || p->group < 0)
		die("VFIO container and group");
	if (ioctl(p->group, VFIO_GROUP_SET_CONTAINER, &p->container) ||
	    ioctl(p->container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU))
		die("VFIO_SET_IOMMU");
	p->device = ioctl(p->group, VFIO_GROUP_GET_DEVICE_FD, address);
	if (p->device < 0)
		die("VFIO_GROUP_GET_DEVICE_FD");
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, p->device,
		   (off_t)region(p, TABLE_BAR));
	if (map == MAP_FAILED)
		die("BAR 2");
	p->table = map;
	p->regs = region(p, VFIO_PCI_BAR0_REGION_INDEX);
	enable_bus_master(p);
	for (unsigned i = 0; i < VECTORS; i++)
		p->event[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* @count 0 turns interrupts of this kind off. */
static void set_irqs(struct probe *p, unsigned index, unsigned count)
{
	char buf[sizeof(struct vfio_irq_set) + sizeof(p->event)] = { 0 };
	struct vfio_irq_set *set = (struct vfio_irq_set *)buf;

	set->argsz = (uint32_t)(sizeof(*set) + count * sizeof(p->event[0]));
	set->flags = VFIO_IRQ_SET_ACTION_TRIGGER |
		     (count ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	set->index = index;
	set->count = count;
	memcpy(set->data, p->event, count * sizeof(p->event[0]));
	if (ioctl(p->device, VFIO_DEVICE_SET_IRQS, set))
		die("VFIO_DEVICE_SET_IRQS");
}

static void unmask_intx(struct probe *p)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set), .index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1,
		.flags = VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_DATA_NONE,
	};

	if (ioctl(p->device, VFIO_DEVICE_SET_IRQS, &set))
		die("unmask");
}

/* Waits for @vector and returns how often it came; 0 when it did not come within @ms. */
static unsigned take(struct probe *p, unsigned vector, int ms)
{
	struct pollfd poller = { .fd = p->event[vector], .events = POLLIN };
	eventfd_t count = 0;

	if (poll(&poller, 1, ms) == 1)
		eventfd_read(p->event[vector], &count);
	return (unsigned)count;
}

/* What has come on any vector, without waiting longer than SETTLE. */
static unsigned strays(struct probe *p)
{
	unsigned total = 0;

	usleep(SETTLE * 1000);
	for (unsigned i = 0; i < VECTORS; i++)
		total += take(p, i, 0);
	return total;
}

static void ack(struct probe *p)
{
	reg_write(p, IRQ_ACK, UINT32_MAX);
}

static unsigned vector_count(struct probe *p, unsigned index)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };

	if (ioctl(p->device, VFIO_DEVICE_GET_IRQ_INFO, &info))
		die("VFIO_DEVICE_GET_IRQ_INFO");
	return info.count;
}

static void messages(struct probe *p, const char *name, unsigned index)
{
	unsigned total = 0;

	printf("%s vectors: %u\n", name, vector_count(p, index));
	set_irqs(p, index, VECTORS);
	for (unsigned i = 0; i < VECTORS; i++) {
		reg_write(p, IRQ_RAISE, 1u << i);
		printf("%s vector %u: %u\n", name, i, take(p, i, PATIENCE));
		ack(p);
	}
	printf("%s strays: %u\n", name, strays(p));
	reg_write(p, IRQ_RAISE, (1u << VECTORS) - 1);
	for (unsigned i = 0; i < VECTORS; i++)
		total += take(p, i, PATIENCE);
	ack(p);
	printf("%s all at once: %u\n", name, total);
	total = 0;
	for (unsigned i = 0; i < ROUNDS && total == i; i++) {
		reg_write(p, IRQ_RAISE, 1u << i % VECTORS);
		total += take(p, i % VECTORS, PATIENCE);
		ack(p);
	}
	printf("%s rounds: %u\n", name, total);
	printf("%s status: %#x\n", name, reg_read(p, IRQ_STATUS));
}

static uint32_t pending(struct probe *p)
{
	return p->table[PBA_OFFSET / sizeof(uint32_t)];
}

static void mask(struct probe *p, unsigned vector, uint32_t value)
{
	p->table[vector * ENTRY_WORDS + CONTROL_WORD] = value;
}

/*
 * The mask of a vector in use is QEMU's own: it takes the device's signal and holds it back. Its
 * PBA is not looked at: reads of that go to the device, which does not know.
 */
static void masked(struct probe *p)
{
	mask(p, 5, MASKED);
	reg_write(p, IRQ_RAISE, 1u << 5 | 1u << 2);
	printf("masked: vector 2: %u\n", take(p, 2, PATIENCE));
	printf("masked: vector 5: %u\n", take(p, 5, SETTLE));
	mask(p, 5, 0);
	printf("unmasked: vector 5: %u\n", take(p, 5, PATIENCE));
	printf("unmasked: strays: %u\n", strays(p));
	ack(p);
}

/* Vectors 6 and 7 have no user: the device keeps what they are to say, and shows it in the PBA. */
static void kept(struct probe *p)
{
	set_irqs(p, VFIO_PCI_MSIX_IRQ_INDEX, 6);
	printf("pba idle: %#x\n", pending(p));
	reg_write(p, IRQ_RAISE, 1u << 6 | 1u << 7);
	printf("kept: strays: %u\n", strays(p));
	printf("pba: %#x\n", pending(p));
	reg_write(p, IRQ_ACK, 1u << 7);
	printf("pba after 7 is served: %#x\n", pending(p));
	for (unsigned i = 0; i < CONTROL_WORD; i++)	/* vector 6 sends what vector 2 does */
		p->table[6 * ENTRY_WORDS + i] = p->table[2 * ENTRY_WORDS + i];
	mask(p, 6, 0);
	printf("kept: vector 6, as 2: %u\n", take(p, 2, PATIENCE));
	printf("pba at the end: %#x\n", pending(p));
	ack(p);
}

/* A level: VFIO masks it at each event, and it comes again for as long as the device holds it. */
static void line(struct probe *p)
{
	printf("intx vectors: %u\n", vector_count(p, VFIO_PCI_INTX_IRQ_INDEX));
	set_irqs(p, VFIO_PCI_INTX_IRQ_INDEX, 1);
	reg_write(p, IRQ_RAISE, 1);
	printf("intx raised: %u\n", take(p, 0, PATIENCE));
	printf("intx masked: %u\n", take(p, 0, SETTLE));
	unmask_intx(p);
	printf("intx held: %u\n", take(p, 0, PATIENCE));
	ack(p);
	unmask_intx(p);
	printf("intx acknowledged: %u\n", take(p, 0, SETTLE));
	reg_write(p, IRQ_RAISE, 2);
	printf("intx again: %u\n", take(p, 0, PATIENCE));
	ack(p);
	set_irqs(p, VFIO_PCI_INTX_IRQ_INDEX, 0);
}

static void copy(struct probe *p, uint32_t src, uint32_t dst, uint32_t cmd)
{
	reg_write(p, DMA_SRC, src);
	reg_write(p, DMA_DST, dst);
	reg_write(p, DMA_COUNT, PAGE);
	reg_write(p, DMA_CMD, cmd | DMA_START);
	for (unsigned i = 0; i < PATIENCE; i++) {
		if (!(reg_read(p, DMA_CMD) & DMA_START))
			return;
		usleep(1000);
	}
	printf("failed: a transfer does not end\n");
	exit(1);
}

/* A page to the device and back into the next, at addresses that only the IOMMU gives meaning. */
static void transfer(struct probe *p)
{
	uint8_t *ram = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)ram, .iova = IOVA, .size = (uint64_t)2 * PAGE,
	};

	if (ram == MAP_FAILED || ioctl(p->container, VFIO_IOMMU_MAP_DMA, &map))
		die("VFIO_IOMMU_MAP_DMA");
	for (unsigned i = 0; i < PAGE; i++)
		ram[i] = (uint8_t)(i * 7 + i / 256);
	copy(p, (uint32_t)IOVA, DMA_BUFFER, 0);
	copy(p, DMA_BUFFER, (uint32_t)IOVA + PAGE, DMA_TO_RAM);
	printf("dma: %s\n", memcmp(ram, ram + PAGE, PAGE) ? "differs" : "same");
}

static void flr(struct probe *p)
{
	reg_write(p, IRQ_RAISE, 0x100);
	printf("before reset: %#x\n", reg_read(p, IRQ_STATUS));
	if (ioctl(p->device, VFIO_DEVICE_RESET))
		die("VFIO_DEVICE_RESET");
	printf("after reset: %#x\n", reg_read(p, IRQ_STATUS));
}

int main(int argc, char **argv)
{
	struct probe p;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 2) {
		fprintf(stderr, "usage: msixprobe 0000:BB:DD.F\n");
		return 2;
	}
	open_device(&p, argv[1]);
	messages(&p, "msi-x", VFIO_PCI_MSIX_IRQ_INDEX);
	masked(&p);
	set_irqs(&p, VFIO_PCI_MSIX_IRQ_INDEX, 0);
	kept(&p);
	set_irqs(&p, VFIO_PCI_MSIX_IRQ_INDEX, 0);
	messages(&p, "msi", VFIO_PCI_MSI_IRQ_INDEX);
	set_irqs(&p, VFIO_PCI_MSI_IRQ_INDEX, 0);
	line(&p);
	transfer(&p);
	flr(&p);
	return 0;
}
