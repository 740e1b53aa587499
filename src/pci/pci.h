/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PCI_PCI_H
#define PCI_PCI_H

/*
 * A PCI function: config space with its capabilities, BARs, ROM, interrupts, bus mastering.  A
 * device model is one struct pci_class (static, const) and one plain state struct that begins with
 * struct pci_state.  The model never knows which protocol drives it, nor where its process got its
 * memory from.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct loop;
struct reg_file;
struct guestmem;
struct pci_dev;
struct pci_dma;

#define PCI_CONFIG_SIZE 256
#define PCI_CONFIG_SIZE_EXPRESS 4096
#define PCI_NUM_BARS 6
#define PCI_STATE_MAX 65536	/* bytes of a device's whole state */
#define PCI_MSIX_MAX 64		/* vectors; the standard allows 2048 */
#define PCI_MSIX_ENTRY 16	/* bytes */
#define PCI_ROM_MIN 2048	/* bytes: the smallest that a ROM BAR can say */
#define PCI_ROM_MAX (16u << 20)	/* the largest that 6.2.5.2 allows */

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM };

struct pci_bar {
	enum pci_bar_kind kind;
	uint64_t size;		/* bytes, a power of two; I/O >= 4, memory >= 16 */
	bool is_64bit;		/* memory only; takes the next slot too, which is PCI_BAR_NONE */
	bool prefetch;		/* memory only */
};

/* What a protocol can carry, and so what its clients are shown (struct pci_host.show). */
enum pci_show {
	PCI_SHOW_CAPS = 1,	/* the capability list, message interrupts, extended config space */
	PCI_SHOW_64BIT = 2,	/* without it they are 32-bit BARs, or absent from 4 GiB on */
	PCI_SHOW_ROM = 4,
	PCI_SHOW_ALL = 7,
};

/* Regions as vfio numbers them; 0 to 5 are the BARs. */
enum { PCI_REGION_ROM = 6, PCI_REGION_CONFIG = 7 };

/* What has become of a message interrupt. */
enum pci_message {
	PCI_MESSAGE_OFF,	/* neither MSI nor MSI-X is in use */
	PCI_MESSAGE_SENT,
	PCI_MESSAGE_MASKED,	/* MSI-X is in use, and nobody listens for this vector now */
};

/*
 * Everything a successor process needs to go on: no pointers, no padding that is not written.  The
 * first member of every device's state struct.  A change of any state struct bumps its version.
 */
struct pci_state {
	uint32_t magic;			/* PCI_STATE_MAGIC */
	uint32_t version;		/* pci_class.state_version */
	uint32_t size;			/* pci_class.state_size, bytes */
	uint8_t line;			/* level driven on INTA#, before INTx disable */
	uint8_t pad[3];
	uint8_t config[PCI_CONFIG_SIZE];
};

#define PCI_STATE_MAGIC 0x3051504dU	/* "MPQ0" */

/* The part of a device's state struct that MSI-X needs (pci_class.msix.state_off). */
struct pci_msix_state {
	uint8_t table[PCI_MSIX_MAX][PCI_MSIX_ENTRY];	/* as the guest sees it */
	uint8_t pending[PCI_MSIX_MAX / 8];		/* the PBA */
};

/* MSI-X of a class (PCI Local Bus 3.0, section 6.8.2); the rest of the BARs is the model's. */
struct pci_msix_def {
	uint16_t vectors;		/* 0: none; <= PCI_MSIX_MAX */
	uint8_t table_bar, pba_bar;	/* memory BARs */
	uint32_t table_off, pba_off;	/* bytes, multiples of 8 */
	size_t state_off;		/* of struct pci_msix_state in the device's state struct */
};

struct pci_class {
	const char *name;		/* QEMU's -device name */
	const char *desc;
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code;		/* 24 bits: class, subclass, interface */
	uint8_t revision;
	uint8_t min_gnt, max_lat;
	bool has_irq;			/* INTA# */
	struct pci_bar bar[PCI_NUM_BARS];
	/* Capabilities, in the order in which they stand in config space. */
	bool has_pm;			/* power management: D0 and D3hot */
	uint8_t msi_vectors;		/* 0: none; a power of two, <= 32 */
	struct pci_msix_def msix;
	bool express;			/* PCI Express endpoint with function level reset */
	uint32_t state_version;
	size_t state_size;		/* bytes of the state struct, <= PCI_STATE_MAX */
	bool has_scsi_bus;		/* owns a bus "ID.0" for scsi-hd and scsi-cd */
	/* The register file at the start of a BAR, for tools that know registers by name. */
	const struct reg_file *regs;
	uint8_t regs_bar;

	/*
	 * Makes the runtime part around @dev->state (buffers, timers; nothing that a successor
	 * would miss) and hangs it on @dev->priv.  Returns 0 or -errno.
	 */
	int (*realize)(struct pci_dev *dev);
	void (*unrealize)(struct pci_dev *dev);
	/*
	 * RST#: the chip and its bus as after power-on.  Config space has its defaults already.
	 * When it returns, no DMA of an earlier request can land any more.
	 */
	void (*reset)(struct pci_dev *dev);
	/*
	 * @off + @size lies inside the BAR, @size is 1, 2, 4 or 8; little-endian value.  A model
	 * that has no 8-byte registers sees two 4-byte accesses (max_access = 4).
	 */
	uint64_t (*read)(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size);
	void (*write)(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size, uint64_t val);
	unsigned max_access;
	/* The operator: tries again what is held back after an error, or lets a timer do it. */
	void (*retry)(struct pci_dev *dev, bool later);	/* may be NULL */
	/* Its bus, which the operator may change; with has_scsi_bus. */
	struct scsi_bus *(*scsi_bus)(struct pci_dev *dev);
	/*
	 * The answer that an access of -EAGAIN waits for is there: the model makes its step again,
	 * now or from the loop.  NULL for a model without DMA.
	 */
	void (*dma_ready)(struct pci_dev *dev);
	/*
	 * The VM stood still for @ns, and its loop was held: what the guest counts by (deadlines in
	 * the state) moves by so much.  NULL: there is none.
	 */
	void (*stood_still)(struct pci_dev *dev, int64_t ns);
	/* After a guest write to config space at @off, @len bytes; may be NULL. */
	void (*config_written)(struct pci_dev *dev, unsigned off, unsigned len);
};

/* What surrounds a device: given by the process that runs it. */
struct pci_host {
	struct loop *loop;
	struct guestmem *mem;
	/* The level of the INTA# pin (after INTx disable and D3hot) has changed. */
	void (*intx)(void *opaque, bool level);
	/*
	 * Sends message interrupt @vector, which may be above what is in use: the host checks it.
	 * It decides alone whether messages are in use and who listens: over vfio-user it is the
	 * client that keeps the MSI-X table.  NULL: never.
	 */
	enum pci_message (*message)(void *opaque, unsigned vector);
	/* One line about something odd that the guest did; rate-limited.  May be NULL. */
	void (*guest_error)(void *opaque, const char *what);
	/*
	 * Asks the VMM for an access to memory that it does not share, @len bytes at @gpa, at most
	 * GUESTMEM_REMOTE_MAX; @data is what to write, and NULL for a read.  Sends, and does not
	 * wait: 0, and one pci_dma_answered() follows, also when the VMM goes away first; or -errno
	 * and none does.  A request that comes while another is under way takes its place: the
	 * answer to the older one is dropped by the host, which knows them apart.  One that the
	 * device has given up (a reset) cannot be taken back: the VMM may do it after it heard of
	 * the reset, and nobody may wait for it, since the VMM answers no request while it waits
	 * for ours.  NULL: such memory is out of reach, -EFAULT.
	 */
	int (*dma_request)(void *opaque, bool write, uint64_t gpa, const void *data, size_t len);
	void *opaque;
	unsigned show;			/* enum pci_show */
	const uint8_t *rom;		/* stays in place as long as the device; NULL: none */
	uint32_t rom_size;		/* bytes, a power of two, PCI_ROM_MIN to PCI_ROM_MAX */
};

/*
 * What config space comes to: looked at for every access of a script and every bus cycle, so it is
 * worked out when config space changes (pci_decode_update()).
 */
struct pci_decode {
	bool master;			/* may the function start bus cycles? */
	struct {
		uint64_t base, size;	/* size 0: the BAR decodes nothing */
	} bar[PCI_NUM_BARS];
	uint64_t mem_low, mem_high;	/* all memory BARs lie in [low, high); none: both are 0 */
};

struct pci_dev {
	const struct pci_class *cls;
	struct pci_state *state;	/* cls->state_size bytes, owned by the process */
	struct pci_host host;
	const uint8_t *rom;		/* as shown: NULL without PCI_SHOW_ROM */
	uint32_t rom_size;
	struct pci_decode decode;
	bool taken_over;		/* the state is a predecessor's: realize goes on from it */
	void *priv;			/* the model's runtime part */
	struct pci_dma *dma;		/* dma.c; NULL without host.dma_request */
	unsigned dma_logged;		/* accesses in its log */
	const char *id;
	void *scsi_config;		/* struct scsi_bus_setup *, for has_scsi_bus */
};

/*
 * Prepares a fresh @state (zeroed memory of cls->state_size bytes) with config space at power-on
 * and realizes the model.  A state with PCI_STATE_MAGIC is a predecessor's and is gone on from: of
 * its config space, the bits that a guest may write.  Returns 0; -EINVAL for a class that cannot
 * be, a ROM of such a size, or a state of another class or version; or what realize returns.
 * pci_dev_finish() does nothing after a failure.
 */
int pci_dev_init(struct pci_dev *dev, const struct pci_class *cls, struct pci_state *state,
		 const struct pci_host *host, const char *id, void *scsi_config);
void pci_dev_finish(struct pci_dev *dev);

/* RST# of the function: PCI Local Bus 3.0, section 2.2.1; config to its defaults, line low. */
void pci_dev_reset(struct pci_dev *dev);

/* Bytes of config space: 256, or 4096 for an express function that shows its capabilities. */
uint32_t pci_config_size(const struct pci_dev *dev);

/*
 * A config access as the guest makes it.  @len 1, 2 or 4 inside pci_config_size(), any alignment;
 * anything else reads as all ones (of 4 bytes) and is dropped on write.  There are no extended
 * capabilities: from byte 256 on all reads as zero.
 */
uint32_t pci_config_read(struct pci_dev *dev, uint32_t off, int32_t len);
void pci_config_write(struct pci_dev *dev, uint32_t off, uint32_t val, int32_t len);

/*
 * Config space as a predecessor had it, which may be anything: of it what a guest could have
 * written stands afterwards.  For a device as after pci_dev_init().
 */
void pci_config_restore(struct pci_dev *dev, const uint8_t config[PCI_CONFIG_SIZE]);

/*
 * A bus access at the absolute address that the guest used.  Returns false when no enabled BAR
 * decodes the whole access (*val is all ones then).
 */
bool pci_bus_read(struct pci_dev *dev, bool memory, uint64_t addr, unsigned size, uint64_t *val);
bool pci_bus_write(struct pci_dev *dev, bool memory, uint64_t addr, unsigned size, uint64_t val);

/* Bytes of a region as it is shown; 0: absent. */
uint64_t pci_region_size(const struct pci_dev *dev, unsigned region);

/*
 * An access by BAR number (@region 0 to 5) and offset, @size 1, 2, 4 or 8, any alignment.  Served
 * wherever the BAR stands and whether or not the command register enables it: a vfio client that
 * plays a guest's bus decodes by itself, and one that is a driver may never enable anything.  In
 * D3hot it reads all ones and is dropped on write.  Returns false (*val is all ones then) when the
 * access does not lie inside the BAR or has another size.
 */
bool pci_region_read(struct pci_dev *dev, unsigned region, uint64_t off, unsigned size,
		     uint64_t *val);
bool pci_region_write(struct pci_dev *dev, unsigned region, uint64_t off, unsigned size,
		      uint64_t val);

/* Bytes of the ROM, enabled or not; what is beyond it, or in D3hot, reads as ones. */
void pci_rom_read(const struct pci_dev *dev, uint64_t off, void *buf, size_t len);

/*
 * Which of this function's own enabled BARs decodes [addr, addr + len)?  Returns the BAR's number
 * and sets *ret_off, or -ENXIO.  For engines whose programs may address their own chip.
 */
int pci_bar_at(const struct pci_dev *dev, bool memory, uint64_t addr, uint64_t len,
	       uint64_t *ret_off);

/*
 * @len, or less: as many bytes from @addr on as lie on one side of every border of this function's
 * own enabled BARs.
 */
uint64_t pci_bar_clip(const struct pci_dev *dev, bool memory, uint64_t addr, uint64_t len);

/*
 * false: no enabled memory BAR of this function is in [addr, addr + len), which is most of memory;
 * true: ask the two above.
 */
static inline bool pci_bars_near(const struct pci_dev *dev, uint64_t addr, uint64_t len)
{
	return addr < dev->decode.mem_high &&
	       (addr >= dev->decode.mem_low || len > dev->decode.mem_low - addr);
}

/* The device's interrupt condition; the pin follows unless INTx is disabled. */
void pci_set_intx(struct pci_dev *dev, bool level);
bool pci_intx_pin(const struct pci_dev *dev);

/*
 * Message interrupt @vector, by MSI-X or MSI, whichever is in use.  Returns false when neither is:
 * the model uses pci_set_intx() then.  When it cannot be sent now, MSI-X keeps it pending; of MSI
 * it is lost.  With fewer MSI vectors enabled than the class has, the low bits of @vector count.
 */
bool pci_irq_message(struct pci_dev *dev, unsigned vector);
/* The events behind @vector are dealt with: it is not pending any more (6.8.3.5). */
void pci_irq_settled(struct pci_dev *dev, unsigned vector);
/* For the host: somebody listens for MSI-X @vector now; a pending one is sent. */
void pci_msix_listen(struct pci_dev *dev, unsigned vector);
/* As shown: 0 without PCI_SHOW_CAPS. */
unsigned pci_msi_vectors(const struct pci_dev *dev);
unsigned pci_msix_vectors(const struct pci_dev *dev);

/* May the function start bus cycles (command register bit 2, and not in D3hot)? */
bool pci_bus_master(const struct pci_dev *dev);

/*
 * DMA: 0; -EPERM while bus mastering is off; -EFAULT when a byte is not RAM (nothing moved); or
 * -EAGAIN: the memory is not shared, and the VMM was asked (pci_host.dma_request).  The model
 * stops where it is and shows nothing that the access would have brought about.  After dma_ready()
 * of its class it makes the same accesses again since its last pci_dma_forget(), in the same order:
 * those that were answered return at once what they returned before, and a write of them is not
 * made again, whatever its bytes are now.  An access that comes instead of one of those is a new
 * one, and what came after it is dropped.
 *
 * So a model works in steps that can be made again from its state alone, as a successor does with
 * nothing of this: what cannot be made twice (a register whose reading has a side effect) is kept
 * in the state before.  A step has at most 4 accesses to such memory, of at most
 * GUESTMEM_REMOTE_MAX bytes (pci_dma_clip()): others are -EFAULT.
 */
int pci_dma_read(struct pci_dev *dev, uint64_t gpa, void *buf, size_t len);
int pci_dma_write(struct pci_dev *dev, uint64_t gpa, const void *buf, size_t len);
/*
 * For a system call that moves @len bytes to guest memory by itself, at once: guestmem_iov(), under
 * the rules above, so -EPERM without bus mastering and -EREMOTE for memory that is not shared.
 * What it moved is then told of by pci_dma_moved().
 */
int pci_dma_iov(struct pci_dev *dev, uint64_t gpa, size_t len, struct iovec *iov, unsigned max);
void pci_dma_moved(struct pci_dev *dev, uint64_t gpa, size_t len);
/* @len, or less: as many bytes from @gpa on as one access may take. */
size_t pci_dma_clip(const struct pci_dev *dev, uint64_t gpa, size_t len);
/*
 * What follows is a new step; an answer that is still to come is ignored.  For a step that is done,
 * and for one that is given up (a reset, an abort).
 */
void pci_dma_drop(struct pci_dev *dev);
/* Is an answer of the VMM's still to come? */
bool pci_dma_waits(const struct pci_dev *dev);
static inline void pci_dma_forget(struct pci_dev *dev)
{
	if (dev->dma_logged)
		pci_dma_drop(dev);
}

/*
 * The host: the answer to its last dma_request came.  @err is 0 or -errno, -EFAULT too when there
 * is nobody left to answer; @data is what was read, all of it (@len bytes), and not looked at after
 * a write.  Calls the model's dma_ready, unless it comes from inside of dma_request: then the
 * access itself returns what it brought.  Ignored when nothing waits for it.
 */
void pci_dma_answered(struct pci_dev *dev, int err, const void *data, size_t len);

/* The log around a device, made and freed by pci_dev_init() and pci_dev_finish(). */
int pci_dma_init(struct pci_dev *dev);
void pci_dma_finish(struct pci_dev *dev);

/* Says one line about something odd that the guest did, through the host. */
void pci_guest_error(struct pci_dev *dev, const char *what);

/* Config space offsets (PCI Local Bus 3.0, section 6.1) that models and clients name. */
enum {
	PCI_VENDOR_ID = 0x00, PCI_DEVICE_ID = 0x02, PCI_COMMAND = 0x04, PCI_STATUS = 0x06,
	PCI_REVISION_ID = 0x08, PCI_CLASS_PROG = 0x09, PCI_CLASS_DEVICE = 0x0a,
	PCI_CACHE_LINE_SIZE = 0x0c, PCI_LATENCY_TIMER = 0x0d, PCI_HEADER_TYPE = 0x0e,
	PCI_BASE_ADDRESS_0 = 0x10, PCI_SUBSYSTEM_VENDOR_ID = 0x2c, PCI_SUBSYSTEM_ID = 0x2e,
	PCI_ROM_ADDRESS = 0x30, PCI_CAPABILITY_LIST = 0x34, PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d, PCI_MIN_GNT = 0x3e, PCI_MAX_LAT = 0x3f,
};

#define PCI_COMMAND_IO 0x0001
#define PCI_COMMAND_MEMORY 0x0002
#define PCI_COMMAND_MASTER 0x0004
#define PCI_COMMAND_INTX_DISABLE 0x0400
#define PCI_STATUS_INTERRUPT 0x0008
#define PCI_STATUS_CAP_LIST 0x0010

#endif
