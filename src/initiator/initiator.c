/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "initiator/initiator.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "initiator/priv.h"

#define REGISTERS 1		/* BAR: the registers in memory space */

/* Config space (PCI Local Bus 3.0, section 6.1). */
enum { CFG_ID = 0x00, CFG_COMMAND = 0x04 };
enum { COMMAND_SPACES = 3, COMMAND_MASTER = 4, COMMAND_NO_INTX = 0x400 };
enum { ID_53C810 = 0x00011000, ID_53C895A = 0x00121000 };

enum { MAX_CDB = 16, MAX_LUN = 63, MAX_TARGET = 15 };

/* ---- errors ---- */

static void explain(struct initiator *i, const char *fmt, va_list ap)
{
	vsnprintf(i->why, sizeof(i->why), fmt, ap);
}

int init_fail(struct initiator *i, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	explain(i, fmt, ap);
	va_end(ap);
	return ret;
}

int init_break(struct initiator *i, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	explain(i, fmt, ap);
	va_end(ap);
	i->broken = ret;
	return ret;
}

const char *initiator_why(const struct initiator *i, int ret)
{
	if (ret == -EBUSY)
		return "as many commands are in flight as can be";
	if (ret == -EAGAIN)
		return "no command has ended in time";
	return i->why[0] ? i->why : client_why(i->client, ret);
}

/* ---- registers ---- */

int init_read(struct initiator *i, unsigned reg, unsigned size, uint32_t *ret_val)
{
	uint64_t val = 0;
	int ret = client_region_read(i->client, REGISTERS, reg, size, &val);

	if (ret)
		return init_break(i, ret, "%s", client_why(i->client, ret));
	*ret_val = size < 4 ? val & ((1u << (8 * size)) - 1) : val;
	return 0;
}

int init_write(struct initiator *i, unsigned reg, unsigned size, uint32_t val)
{
	int ret = client_region_write(i->client, REGISTERS, reg, size, val);

	return ret ? init_break(i, ret, "%s", client_why(i->client, ret)) : 0;
}

/* What sym53c8xx writes when it starts the chip, as far as it is not about a bus of copper. */
static int set_up(struct initiator *i)
{
	const struct {
		uint8_t reg, size;
		uint32_t val;
	} values[] = {
		{ R_ISTAT0, 1, ISTAT0_SRST },
		{ R_ISTAT0, 1, 0 },
		{ R_SCNTL0, 1, 0xda },	/* full arbitration, parity */
		{ R_SCNTL1, 1, 0 },
		{ R_SCID, 1, 0x40 | OWN_ID },	/* answers to reselection */
		{ R_RESPID0, 2, 1u << OWN_ID },
		{ R_DMODE, 1, 0 },
		{ R_DCNTL, 1, 0x01 },	/* SFBR stays as it is at a reselection */
		{ R_STIME0, 1, 0x0c },	/* selection times out after 250 ms */
		{ R_CCNTL0, 1, 0x80 },	/* a phase mismatch in a data phase jumps to PMJAD */
		{ R_PMJAD1, 4, i->entry.moved },
		{ R_PMJAD2, 4, i->entry.moved },
		{ R_SIEN0, 2, SIST_STO | SIST_MA | SIST_SGE | SIST_UDC | SIST_RST | SIST_PAR },
		{ R_DIEN, 1, DSTAT_MDPE | DSTAT_BF | DSTAT_ABRT | DSTAT_SIR | DSTAT_IID },
		{ R_DSP, 4, i->entry.start },
	};

	queue_init(i);
	for (unsigned n = 0; n < sizeof(values) / sizeof(values[0]); n++) {
		int ret = init_write(i, values[n].reg, values[n].size, values[n].val);

		if (ret)
			return ret;
	}
	return 0;
}

int init_reset(struct initiator *i, int result)
{
	for (unsigned n = 0; n < INITIATOR_MAX_DEPTH; n++)
		if (init_in_flight(i, n))
			init_end(i, n, result, 0);
	return set_up(i);
}

/* ---- commands ---- */

/* How far the chip came with @len bytes at @addr: 0, or -EPROTO for good. */
static int read_moved(struct initiator *i, unsigned slot, uint64_t addr, uint32_t len,
		      uint32_t *ret_moved)
{
	uint32_t moved = ram_load(&slot_ram(i, slot)->data.addr) - (uint32_t)addr;

	if (moved > len)
		return init_break(i, -EPROTO, "the remote moved data outside of the command's "
				  "buffer (0x%llx + 0x%x)", (unsigned long long)addr, moved);
	*ret_moved = moved;
	return 0;
}

/* REQUEST SENSE has ended.  What it brought is copied once. */
static int take_sense(struct initiator *i, unsigned slot)
{
	struct initiator_cmd *cmd = i->slot[slot].cmd;
	uint32_t at = RAM_SENSE + slot * RAM_SLOT_SIZE, moved = 0;
	int ret = read_moved(i, slot, at, INITIATOR_SENSE, &moved);

	if (ret)
		return ret;
	memcpy(cmd->sense, i->client->mem + at, moved);
	/* additional sense length (SPC-4 4.5.3) */
	cmd->sense_len = moved < 8 ? 0 : min_u64(moved, 8u + cmd->sense[7]);
	return 0;
}

static void end(struct initiator *i, unsigned slot, int result)
{
	struct slot *s = &i->slot[slot];

	s->cmd->ret = result;
	s->ended = true;
	queue_forget(i, slot);
	i->busy--;
	i->ready[(i->ready_get + i->ready_count++) % INITIATOR_MAX_DEPTH] = slot;
}

/* The command itself has ended: its status, its data. */
static int take_status(struct initiator *i, unsigned slot, uint8_t status)
{
	struct initiator_cmd *cmd = i->slot[slot].cmd;

	cmd->status = status;
	if (cmd->dir == INITIATOR_NO_DATA || !cmd->len)
		return 0;
	return read_moved(i, slot, cmd->addr, cmd->len, &cmd->moved);
}

int init_end(struct initiator *i, unsigned slot, int result, uint8_t status)
{
	struct slot *s = &i->slot[slot];
	int ret = 0;

	if (!result && s->sensing)
		ret = status == INITIATOR_GOOD ? take_sense(i, slot) : 0;
	else if (!result)
		ret = take_status(i, slot, status);
	if (ret)
		return ret;
	if (!result && !s->sensing && status == INITIATOR_CHECK_CONDITION) {
		s->sensing = true;
		queue_describe_sense(i, slot);
		queue_put_first(i, slot);
		return 0;
	}
	/* the command has its status, whatever became of its sense */
	end(i, slot, s->sensing && result != -ENODEV ? 0 : result);
	return 0;
}

static int check_cmd(struct initiator *i, const struct initiator_cmd *cmd)
{
	const struct client *c = i->client;

	if (!cmd->cdb_len || cmd->cdb_len > MAX_CDB || cmd->lun > MAX_LUN ||
	    cmd->target > MAX_TARGET)
		return init_fail(i, -EINVAL, "there is no such SCSI command");
	if (cmd->dir == INITIATOR_NO_DATA || !cmd->len)
		return 0;
	if (cmd->len >= 1u << 24 || cmd->addr < INITIATOR_RAM ||
	    !range_fits(cmd->addr, cmd->len, min_u64(c->mem_size, 1ULL << 32)))
		return init_fail(i, -EINVAL, "a buffer of %u bytes at 0x%llx cannot be used",
				 cmd->len, (unsigned long long)cmd->addr);
	return 0;
}

int initiator_submit(struct initiator *i, struct initiator_cmd *cmd)
{
	unsigned slot;
	int ret;

	if (i->broken)
		return i->broken;
	ret = check_cmd(i, cmd);
	if (ret)
		return ret;
	if (!i->free_count)
		return -EBUSY;
	slot = i->free[--i->free_count];
	i->slot[slot] = (struct slot){ .cmd = cmd };
	i->busy++;
	cmd->slot = slot;
	cmd->ret = 0;
	cmd->status = cmd->sense_len = 0;
	cmd->moved = 0;
	queue_describe(i, slot, cmd);
	queue_put(i, slot);
	return init_write(i, R_ISTAT0, 1, ISTAT0_SIGP);
}

/* ---- waiting ---- */

/*
 * Until the remote interrupts: 0, or -EAGAIN.  Anything at the socket meanwhile, its end too, is
 * for the client to see, in the register access that follows.
 */
static int wait_irq(struct initiator *i, int64_t deadline)
{
	struct pollfd p[] = {
		{ .fd = i->client->irqfd, .events = POLLIN },
		{ .fd = i->client->fd, .events = POLLIN },
	};
	int64_t left = deadline < 0 ? -1 : deadline - clock_ms();
	eventfd_t count;
	int n;

	if (deadline >= 0 && left < 0)
		left = 0;
	n = poll(p, 2, left > INT32_MAX ? INT32_MAX : (int)left);
	if (n < 0 && errno != EINTR)
		return -errno;
	if (n <= 0)
		return -EAGAIN;
	if (p[0].revents)
		eventfd_read(i->client->irqfd, &count);
	return 0;
}

static struct initiator_cmd *take_ready(struct initiator *i)
{
	unsigned slot = i->ready[i->ready_get];
	struct initiator_cmd *cmd = i->slot[slot].cmd;

	i->ready_get = (i->ready_get + 1) % INITIATOR_MAX_DEPTH;
	i->ready_count--;
	i->slot[slot] = (struct slot){ .cmd = NULL };
	i->free[i->free_count++] = slot;
	return cmd;
}

int initiator_reap(struct initiator *i, int timeout_ms, struct initiator_cmd **ret_cmd)
{
	int64_t deadline = timeout_ms < 0 ? -1 : clock_ms() + timeout_ms;
	bool expired = false;
	int ret;

	while (!i->ready_count) {
		if (i->broken)
			return i->broken;
		if (!i->busy || expired)
			return -EAGAIN;
		ret = wait_irq(i, deadline);
		if (!ret)
			ret = irq_handle(i);
		if (!ret)
			ret = client_eoi(i->client);
		if (ret && ret != -EAGAIN)
			return ret;
		expired = deadline >= 0 && clock_ms() >= deadline;
	}
	*ret_cmd = take_ready(i);
	return 0;
}

int initiator_execute(struct initiator *i, struct initiator_cmd *cmd, int timeout_ms)
{
	struct initiator_cmd *ended = NULL;
	int ret;

	i->why[0] = 0;
	ret = initiator_submit(i, cmd);
	if (ret)
		return ret;
	ret = initiator_reap(i, timeout_ms, &ended);
	if (ret == -EAGAIN) {
		ret = init_reset(i, -ETIMEDOUT);
		if (!ret)
			ret = initiator_reap(i, 0, &ended);
		if (!ret)
			init_fail(i, -ETIMEDOUT, "no answer to a SCSI command within %d ms",
				  timeout_ms);
	}
	return ret ? ret : cmd->ret;
}

/* ---- making one ---- */

static int enable(struct client *client)
{
	uint64_t command = 0;
	int ret = client_cfg_read(client, CFG_COMMAND, 2, &command);

	command = (command & ~(uint64_t)COMMAND_NO_INTX) | COMMAND_SPACES | COMMAND_MASTER;
	return ret ? ret : client_cfg_write(client, CFG_COMMAND, command & 0xffff, 2);
}

int initiator_create(struct client *client, struct initiator **ret_initiator)
{
	struct initiator *i;
	struct client_bar bar = { .present = false };
	uint64_t id = 0;
	int ret = client_cfg_read(client, CFG_ID, 4, &id);

	if (ret)
		return ret;
	if ((id & UINT32_MAX) != ID_53C810 && (id & UINT32_MAX) != ID_53C895A)
		return -ENODEV;
	ret = client_probe_bar(client, REGISTERS, &bar);
	if (ret)
		return ret;
	if (!bar.present || bar.io || bar.size < 0x100)
		return -ENODEV;
	if (client->mem_size <= INITIATOR_RAM)
		return -EINVAL;
	i = calloc(1, sizeof(*i));
	if (!i)
		return -ENOMEM;
	i->client = client;
	for (unsigned n = 0; n < INITIATOR_MAX_DEPTH; n++)
		i->free[i->free_count++] = INITIATOR_MAX_DEPTH - 1 - n;
	script_write(client->mem, &i->entry);
	ret = enable(client);
	if (!ret)
		ret = set_up(i);
	if (ret) {
		free(i);
		return ret;
	}
	*ret_initiator = i;
	return 0;
}

void initiator_destroy(struct initiator *i)
{
	if (!i)
		return;
	if (!i->broken)
		init_write(i, R_ISTAT0, 1, ISTAT0_SRST);
	free(i);
}
