/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "initiator/opcodes.h"
#include "initiator/priv.h"

/* Start queue, done queue and jobs in guest RAM: see layout.h. */

enum { MSG_SIMPLE_TAG = 0x20, MSG_IDENTIFY = 0x80, IDENTIFY_DISCONNECT = 0x40 };

static struct ram_link *link_at(struct initiator *i, uint32_t queue, unsigned n)
{
	return (struct ram_link *)(i->client->mem + queue) + n;
}

static uint32_t link_addr(uint32_t queue, unsigned n)
{
	return queue + n % RAM_QUEUE * sizeof(struct ram_link);
}

static struct ram_vars *vars(struct initiator *i)
{
	return (struct ram_vars *)(i->client->mem + RAM_VARS);
}

static uint32_t *tag_entry(struct initiator *i, unsigned slot)
{
	return (uint32_t *)(i->client->mem + RAM_TAGS) + slot;
}

static struct ram_slot *slot_init(struct initiator *i, uint32_t addr)
{
	struct ram_slot *ram = (struct ram_slot *)(i->client->mem + addr);

	memset(ram, 0, RAM_SLOT_SIZE);
	ram->go = htole32(i->entry.select);
	ram->resume = htole32(i->entry.resume);
	ram->in_go = ram->out_go = htole32(i->entry.drain);
	put_le32(&ram->msg_out.addr, addr + offsetof(struct ram_slot, msg_out_bytes));
	put_le32(&ram->msg_out.count, 3);
	put_le32(&ram->cdb.addr, addr + offsetof(struct ram_slot, cdb_bytes));
	put_le32(&ram->status.addr, addr + offsetof(struct ram_slot, status_byte));
	put_le32(&ram->status.count, 1);
	return ram;
}

void queue_init(struct initiator *i)
{
	struct ram_vars *v = vars(i);

	for (unsigned n = 0; n < RAM_QUEUE; n++) {
		*link_at(i, RAM_START, n) = (struct ram_link){
			htole32(RAM_IDLE), htole32(link_addr(RAM_START, n + 1)) };
		*link_at(i, RAM_DONE, n) = (struct ram_link){
			0, htole32(link_addr(RAM_DONE, n + 1)) };
	}
	*v = (struct ram_vars){
		.start_pos = htole32(RAM_START), .done_pos = htole32(RAM_DONE),
		.tags = htole32(RAM_TAGS), .nobody = htole32(RAM_NOBODY),
		.moved = htole32(i->entry.moved), .drain = htole32(i->entry.drain),
		.drained = htole32(i->entry.drained),
	};
	slot_init(i, RAM_IDLE)->go = htole32(i->entry.idle);
	slot_init(i, RAM_NOBODY)->resume = htole32(i->entry.bad_tag);
	for (unsigned n = 0; n < INITIATOR_MAX_DEPTH; n++) {
		slot_init(i, slot_addr(n));
		queue_forget(i, n);
	}
	i->start_put = i->done_get = 0;
}

/* What a job of any kind has in common. */
static struct ram_slot *describe(struct initiator *i, unsigned slot, unsigned target, unsigned lun,
				 const uint8_t *cdb, unsigned cdb_len)
{
	struct ram_slot *ram = slot_ram(i, slot);

	put_le32(&ram->select, target << 16);
	ram->msg_out_bytes[0] = MSG_IDENTIFY | IDENTIFY_DISCONNECT | lun;
	ram->msg_out_bytes[1] = MSG_SIMPLE_TAG;
	ram->msg_out_bytes[2] = 4 * slot;
	put_le32(&ram->cdb.count, cdb_len);
	memcpy(ram->cdb_bytes, cdb, cdb_len);
	ram->status_byte = 0xff;
	put_le32(tag_entry(i, slot), slot_addr(slot));
	return ram;
}

void queue_describe(struct initiator *i, unsigned slot, const struct initiator_cmd *cmd)
{
	struct ram_slot *ram = describe(i, slot, cmd->target, cmd->lun, cmd->cdb, cmd->cdb_len);
	bool data = cmd->dir != INITIATOR_NO_DATA && cmd->len, in = cmd->dir == INITIATOR_IN;
	const struct script_entries *e = &i->entry;

	put_le32(&ram->in_go, !data ? e->drain : in ? e->data_in : e->wrong);
	put_le32(&ram->out_go, !data ? e->drain : in ? e->wrong : e->data_out);
	put_le32(&ram->data.count, cmd->len);
	put_le32(&ram->data.addr, cmd->addr);
}

void queue_describe_sense(struct initiator *i, unsigned slot)
{
	const struct initiator_cmd *cmd = i->slot[slot].cmd;
	uint8_t cdb[6] = { OP_REQUEST_SENSE, 0, 0, 0, INITIATOR_SENSE };
	struct ram_slot *ram = describe(i, slot, cmd->target, cmd->lun, cdb, sizeof(cdb));
	uint32_t at = RAM_SENSE + slot * RAM_SLOT_SIZE;

	memset(i->client->mem + at, 0, INITIATOR_SENSE);
	put_le32(&ram->in_go, i->entry.data_in);
	put_le32(&ram->out_go, i->entry.wrong);
	put_le32(&ram->data.count, INITIATOR_SENSE);
	put_le32(&ram->data.addr, at);
}

/* The idle job goes behind the new one before that is seen. */
void queue_put(struct initiator *i, unsigned slot)
{
	unsigned next = (i->start_put + 1) % RAM_QUEUE;

	ram_store(&link_at(i, RAM_START, next)->value, RAM_IDLE);
	ram_store(&link_at(i, RAM_START, i->start_put)->value, slot_addr(slot));
	i->start_put = next;
}

void queue_put_first(struct initiator *i, unsigned slot)
{
	struct ram_link *again = &slot_ram(i, slot)->again;

	ram_store(&again->value, slot_addr(slot));
	ram_store(&again->next, ram_load(&vars(i)->start_pos));
	ram_store(&vars(i)->start_pos,
		  slot_addr(slot) + offsetof(struct ram_slot, again));
}

void queue_forget(struct initiator *i, unsigned slot)
{
	put_le32(tag_entry(i, slot), RAM_NOBODY);
}

int queue_slot_at(uint32_t addr)
{
	uint32_t slot = (addr - RAM_SLOTS) / RAM_SLOT_SIZE;

	if (addr == RAM_NOBODY)
		return INITIATOR_MAX_DEPTH;
	return addr >= RAM_SLOTS && !(addr % RAM_SLOT_SIZE) && slot < INITIATOR_MAX_DEPTH ?
	       (int)slot : -1;
}

uint32_t queue_take_done(struct initiator *i)
{
	struct ram_link *link = link_at(i, RAM_DONE, i->done_get);
	uint32_t addr = ram_load(&link->value);

	if (!addr)
		return 0;
	ram_store(&link->value, 0);
	i->done_get = (i->done_get + 1) % RAM_QUEUE;
	return addr;
}
