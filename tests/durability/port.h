/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TEST_DURABILITY_PORT_H
#define TEST_DURABILITY_PORT_H

/*
 * A host's way to one disk: the SCSI target by itself, or a driver of the LSI chip.  A program has
 * one of them.  Commands have a slot each, which is their tag.
 */

#include <stdbool.h>
#include <stdint.h>

struct block;
struct loop;
struct port;

#define PORT_SLOTS 8
#define PORT_BLOCKS 16u		/* a command, mostly */
#define PORT_WIDE_BLOCKS 200u	/* now and then, where port_is_wide: more than one window */
#define PORT_SECTORS 64u	/* of the disk that are used */
#define PORT_WIDE_SECTORS 256u

struct port_cmd {
	uint8_t cdb[16];
	uint8_t cdb_len;
	uint8_t *data;			/* data-out, or where data-in goes before it has ended */
	uint32_t len;
	bool in;
};

/* How to end commands early. */
enum port_kill {
	PORT_ABORT_TAG,		/* that slot; the others end all slots */
	PORT_ABORT,
	PORT_CLEAR_QUEUE,
	PORT_BUS_DEVICE_RESET,
	PORT_BUS_RESET,
	PORT_SOFT_RESET,	/* of the chip */
	PORT_DEVICE_RESET,	/* of the PCI device */
	PORT_KILLS
};

/* The seeds that a test runs when it is not told how many. */
extern const unsigned port_seeds, port_late_seeds;

/*
 * The disk stands on what @make returns; NULL, or a port that takes none (port_takes_block): on
 * one of its own.  port_down() closes it.
 */
extern const bool port_takes_block, port_is_wide;
typedef struct block *port_make_block(struct loop *loop, void *opaque);
struct port *port_up(port_make_block *make, void *opaque, struct block **ret_block);
/* The disk is sound again and idle. */
void port_down(struct port *p);

/* The slot is free. */
void port_start(struct port *p, unsigned slot, const struct port_cmd *cmd);
/* Everything that can happen now has happened. */
void port_run(struct port *p);
/* Has the command ended?  Then its status, and the slot is free. */
bool port_ended(struct port *p, unsigned slot, uint8_t *ret_status);
void port_kill(struct port *p, unsigned slot, enum port_kill how);
/* Is the unit's write cache on? */
bool port_cache_on(const struct port *p);

#endif
