/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "initiator/scsi.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "client/client.h"
#include "initiator/opcodes.h"

/* What a logical unit is: SPC-4 clause 6, SBC-3 clause 5. */

#define TRIES 20		/* of a command that is to be sent again */
#define TRY_PAUSE_MS 20		/* when it is because of BUSY */
#define MIN_BLOCK 256u
#define MAX_BLOCK 65536u

enum { ACTION_READ_CAPACITY_16 = 0x10 };
enum { VPD_PAGES = 0x00, VPD_SERIAL = 0x80, VPD_LIMITS = 0xb0, VPD_PROVISIONING = 0xb2 };

const char *scsi_type_name(unsigned type, char *text, size_t size)
{
	static const char *const names[] = {
		[0x00] = "disk", [0x01] = "tape", [0x02] = "printer", [0x03] = "processor",
		[0x04] = "WORM", [0x05] = "CD-ROM", [0x07] = "optical disk",
		[0x08] = "medium changer", [0x0c] = "RAID controller", [0x0d] = "enclosure",
		[0x0e] = "simplified disk",
	};

	if (type < sizeof(names) / sizeof(names[0]) && names[type])
		snprintf(text, size, "%s", names[type]);
	else
		snprintf(text, size, "type 0x%02x", type);
	return text;
}

/* ---- one command ---- */

/* Until it is not one to be sent again.  0, or -errno with host->why. */
static int run(struct scsi_host *h, struct initiator_cmd *cmd)
{
	for (unsigned tries = TRIES; ; tries--) {
		int ret = initiator_execute(h->initiator, cmd, h->timeout_ms);

		h->broken = ret && !cmd->ret;
		if (h->broken) {
			snprintf(h->why, sizeof(h->why), "%s", initiator_why(h->initiator, ret));
			return ret;
		}
		if (ret || tries <= 1 || !scsi_retry(cmd))
			return scsi_result(h->initiator, cmd, h->why, sizeof(h->why));
		if (cmd->status != INITIATOR_CHECK_CONDITION)
			poll(NULL, 0, TRY_PAUSE_MS);
	}
}

/*
 * The same with data that comes in: up to @size bytes are copied to @buf, whose rest is zero, for
 * what stands in guest RAM may change at any time.
 */
static int ask(struct scsi_host *h, struct initiator_cmd *cmd, void *buf, uint32_t size)
{
	int ret;

	cmd->dir = INITIATOR_IN;
	cmd->addr = h->scratch;
	cmd->len = size;
	memset(h->client->mem + h->scratch, 0, size);
	ret = run(h, cmd);
	memset(buf, 0, size);
	if (!ret)
		memcpy(buf, h->client->mem + h->scratch, min_u64(cmd->moved, size));
	return ret;
}

static struct initiator_cmd command(unsigned target, unsigned lun, uint8_t op, uint8_t len)
{
	return (struct initiator_cmd){
		.target = target, .lun = lun, .cdb = { op }, .cdb_len = len,
	};
}

/* ---- text ---- */

/* @len bytes of ASCII, as a string without blanks around it. */
static void copy_text(char *to, size_t size, const uint8_t *from, size_t len)
{
	size_t n = 0;

	while (len && (*from == ' ' || !*from)) {
		from++;
		len--;
	}
	for (; n < len && n + 1 < size && from[n]; n++)
		to[n] = from[n] >= 0x20 && from[n] < 0x7f ? from[n] : '?';
	while (n && to[n - 1] == ' ')
		n--;
	to[n] = 0;
}

/* ---- INQUIRY ---- */

static int inquiry(struct scsi_host *h, struct scsi_lu *lu)
{
	struct initiator_cmd cmd = command(lu->target, lu->lun, OP_INQUIRY, 6);
	uint8_t data[96];
	int ret;

	cmd.cdb[4] = sizeof(data);
	ret = ask(h, &cmd, data, sizeof(data));
	if (ret)
		return ret;
	/* the peripheral qualifier: is there such a unit? */
	if (data[0] >> 5 || (data[0] & 0x1f) == SCSI_NO_UNIT)
		return -ENXIO;
	lu->type = data[0] & 0x1f;
	lu->removable = data[1] & 0x80;
	lu->read_only = lu->type == SCSI_CDROM;
	copy_text(lu->vendor, sizeof(lu->vendor), data + 8, 8);
	copy_text(lu->product, sizeof(lu->product), data + 16, 16);
	copy_text(lu->revision, sizeof(lu->revision), data + 32, 4);
	return 0;
}

/* A page of vital product data: 0 with its length, the header included. */
static int vital(struct scsi_host *h, const struct scsi_lu *lu, uint8_t page, uint8_t *data,
		 uint8_t size, unsigned *ret_len)
{
	struct initiator_cmd cmd = command(lu->target, lu->lun, OP_INQUIRY, 6);
	int ret;

	cmd.cdb[1] = 1;
	cmd.cdb[2] = page;
	cmd.cdb[4] = size;
	ret = ask(h, &cmd, data, size);
	if (ret)
		return ret;
	if (data[1] != page)
		return -EOPNOTSUPP;
	*ret_len = min_u64(4u + get_be16(data + 2), size);
	return 0;
}

static void take_limits(struct scsi_lu *lu, const uint8_t *data)
{
	lu->max_blocks = get_be32(data + 8);
	lu->max_unmap = get_be32(data + 20);
	lu->max_write_same = get_be64(data + 36);
}

static void take_provisioning(struct scsi_lu *lu, const uint8_t *data)
{
	lu->can_unmap = data[5] & 0x80;
	lu->can_write_same = data[5] & 0x40;
}

/* What is optional: a unit that does not know a page leaves things as they are. */
static void vital_pages(struct scsi_host *h, struct scsi_lu *lu)
{
	uint8_t pages[255], data[255];
	unsigned count = 0, len = 0;

	if (vital(h, lu, VPD_PAGES, pages, sizeof(pages), &count))
		return;
	for (unsigned i = 4; i < count; i++) {
		uint8_t page = pages[i];

		if (page != VPD_SERIAL && page != VPD_LIMITS && page != VPD_PROVISIONING)
			continue;
		if (vital(h, lu, page, data, sizeof(data), &len))
			continue;
		if (page == VPD_SERIAL)
			copy_text(lu->serial, sizeof(lu->serial), data + 4, len - 4);
		else if (page == VPD_LIMITS)
			take_limits(lu, data);
		else
			take_provisioning(lu, data);
	}
}

/* ---- capacity ---- */

static int check_capacity(struct scsi_host *h, struct scsi_lu *lu, uint64_t last, uint32_t size)
{
	if (!is_power_of_2(size) || size < MIN_BLOCK || size > MAX_BLOCK ||
	    last >= INT64_MAX / MAX_BLOCK) {
		snprintf(h->why, sizeof(h->why), "READ CAPACITY: %llu blocks of %u bytes cannot "
			 "be", (unsigned long long)last + 1, size);
		return -EPROTO;
	}
	lu->blocks = last + 1;
	lu->block_size = size;
	return 0;
}

static int capacity_16(struct scsi_host *h, struct scsi_lu *lu)
{
	struct initiator_cmd cmd = command(lu->target, lu->lun, OP_SERVICE_ACTION_IN_16, 16);
	uint8_t data[32];
	int ret;

	cmd.cdb[1] = ACTION_READ_CAPACITY_16;
	cmd.cdb[13] = sizeof(data);
	ret = ask(h, &cmd, data, sizeof(data));
	if (ret)
		return ret;
	lu->unmapped_zero = data[14] & 0x40;
	return check_capacity(h, lu, get_be64(data), get_be32(data + 8));
}

static int capacity(struct scsi_host *h, struct scsi_lu *lu)
{
	struct initiator_cmd cmd = command(lu->target, lu->lun, OP_READ_CAPACITY_10, 10);
	uint8_t data[8];
	int ret = ask(h, &cmd, data, sizeof(data));

	if (ret)
		return ret;
	if (lu->type == SCSI_DISK && capacity_16(h, lu) == 0)
		return 0;
	return check_capacity(h, lu, get_be32(data), get_be32(data + 4));
}

/*
 * WP and DPOFUA of the mode parameter header (SBC-3 6.4.1).  A unit without mode pages can be
 * written.
 */
static void mode_header(struct scsi_host *h, struct scsi_lu *lu)
{
	struct initiator_cmd cmd = command(lu->target, lu->lun, OP_MODE_SENSE_6, 6);
	uint8_t data[192];

	cmd.cdb[2] = 0x3f;
	cmd.cdb[4] = sizeof(data);
	if (lu->type != SCSI_DISK || ask(h, &cmd, data, sizeof(data)))
		return;
	lu->read_only = data[2] & 0x80;
	lu->can_fua = data[2] & 0x10;
}

int scsi_probe(struct scsi_host *h, unsigned target, unsigned lun, struct scsi_lu *ret_lu)
{
	struct initiator_cmd ready = command(target, lun, OP_TEST_UNIT_READY, 6);
	struct scsi_lu lu = { .target = target, .lun = lun };
	int ret = inquiry(h, &lu);

	if (ret)
		return ret;
	*ret_lu = lu;
	ret = run(h, &ready);
	if (ret && ret != -ENOMEDIUM)
		return ret;
	vital_pages(h, &lu);
	if (!ret && (lu.type == SCSI_DISK || lu.type == SCSI_CDROM)) {
		ret = capacity(h, &lu);
		if (!ret)
			mode_header(h, &lu);
	}
	*ret_lu = lu;
	return ret == -ENOMEDIUM ? 0 : ret;
}

/* ---- others ---- */

int scsi_report_luns(struct scsi_host *h, unsigned target, uint8_t *ret_luns, unsigned *ret_count)
{
	struct initiator_cmd cmd = command(target, 0, OP_REPORT_LUNS, 12);
	uint8_t data[8 + 8 * SCSI_LUNS];
	unsigned count, n = 0;
	bool has[SCSI_LUNS] = { false };
	int ret;

	put_be32(cmd.cdb + 6, sizeof(data));
	ret = ask(h, &cmd, data, sizeof(data));
	if (ret)
		return ret;
	count = min_u64(get_be32(data) / 8, SCSI_LUNS);
	/* peripheral device addressing, bus 0: the LUN is in the second byte (SAM-5 4.7.7.2) */
	for (unsigned i = 0; i < count; i++)
		if (!data[8 + 8 * i] && data[9 + 8 * i] < SCSI_LUNS)
			has[data[9 + 8 * i]] = true;
	for (unsigned lun = 0; lun < SCSI_LUNS; lun++)
		if (has[lun])
			ret_luns[n++] = lun;
	*ret_count = n;
	return 0;
}

int scsi_flush(struct scsi_host *h, const struct scsi_lu *lu)
{
	struct initiator_cmd cmd = { .opaque = NULL };

	scsi_sync_cache(&cmd, lu);
	return run(h, &cmd);
}
