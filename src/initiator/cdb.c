/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "initiator/opcodes.h"
#include "initiator/scsi.h"

/* Command blocks of disks (SBC-3 clause 5), and what became of commands. */

enum { CDB1_FUA = 0x08, CDB1_UNMAP = 0x08 };

enum {
	KEY_RECOVERED = 1, KEY_NOT_READY = 2, KEY_ILLEGAL = 5, KEY_ATTENTION = 6, KEY_PROTECT = 7,
};

/* ---- command blocks ---- */

static void begin(struct initiator_cmd *cmd, const struct scsi_lu *lu, uint8_t op, uint8_t len)
{
	*cmd = (struct initiator_cmd){
		.target = lu->target, .lun = lu->lun, .cdb = { op }, .cdb_len = len,
		.addr = cmd->addr, .opaque = cmd->opaque,
	};
}

void scsi_rw(struct initiator_cmd *cmd, const struct scsi_lu *lu, bool write, uint64_t lba,
	     uint32_t blocks, bool fua)
{
	bool big = blocks > UINT16_MAX || lba + blocks > UINT32_MAX;

	if (big) {
		begin(cmd, lu, write ? OP_WRITE_16 : OP_READ_16, 16);
		put_be64(cmd->cdb + 2, lba);
		put_be32(cmd->cdb + 10, blocks);
	} else {
		begin(cmd, lu, write ? OP_WRITE_10 : OP_READ_10, 10);
		put_be32(cmd->cdb + 2, lba);
		put_be16(cmd->cdb + 7, blocks);
	}
	cmd->cdb[1] = fua ? CDB1_FUA : 0;
	cmd->dir = write ? INITIATOR_OUT : INITIATOR_IN;
	cmd->len = blocks * lu->block_size;
}

void scsi_sync_cache(struct initiator_cmd *cmd, const struct scsi_lu *lu)
{
	begin(cmd, lu, OP_SYNC_CACHE_10, 10);
}

void scsi_write_same(struct initiator_cmd *cmd, const struct scsi_lu *lu, uint64_t lba,
		     uint32_t blocks, bool unmap)
{
	begin(cmd, lu, OP_WRITE_SAME_16, 16);
	cmd->cdb[1] = unmap ? CDB1_UNMAP : 0;
	put_be64(cmd->cdb + 2, lba);
	put_be32(cmd->cdb + 10, blocks);
	cmd->dir = INITIATOR_OUT;
	cmd->len = lu->block_size;
}

void scsi_unmap(struct initiator_cmd *cmd, const struct scsi_lu *lu, uint64_t lba,
		uint32_t blocks, uint8_t *list)
{
	begin(cmd, lu, OP_UNMAP, 10);
	put_be16(cmd->cdb + 7, SCSI_UNMAP_LIST);
	memset(list, 0, SCSI_UNMAP_LIST);
	put_be16(list, SCSI_UNMAP_LIST - 2);
	put_be16(list + 2, SCSI_UNMAP_LIST - 8);
	put_be64(list + 8, lba);
	put_be32(list + 16, blocks);
	cmd->dir = INITIATOR_OUT;
	cmd->len = SCSI_UNMAP_LIST;
}

/* ---- results ---- */

static const struct {
	uint8_t op;
	uint8_t lba, lba_len;	/* where its LBA is, in bytes; 0: it has none */
	const char *name;
} names[] = {
	{ OP_TEST_UNIT_READY, 0, 0, "TEST UNIT READY" },
	{ OP_INQUIRY, 0, 0, "INQUIRY" },
	{ OP_MODE_SENSE_6, 0, 0, "MODE SENSE" },
	{ OP_READ_CAPACITY_10, 0, 0, "READ CAPACITY" },
	{ OP_READ_10, 2, 4, "READ" },
	{ OP_WRITE_10, 2, 4, "WRITE" },
	{ OP_SYNC_CACHE_10, 0, 0, "SYNCHRONIZE CACHE" },
	{ OP_UNMAP, 0, 0, "UNMAP" },
	{ OP_READ_16, 2, 8, "READ" },
	{ OP_WRITE_16, 2, 8, "WRITE" },
	{ OP_WRITE_SAME_16, 2, 8, "WRITE SAME" },
	{ OP_SERVICE_ACTION_IN_16, 0, 0, "READ CAPACITY(16)" },
	{ OP_REPORT_LUNS, 0, 0, "REPORT LUNS" },
};

/* Statuses that are not GOOD and not CHECK CONDITION (SAM-5 5.3.1). */
static const struct {
	uint8_t status;
	const char *name;
} statuses[] = {
	{ 0x04, "CONDITION MET" }, { INITIATOR_BUSY, "BUSY" }, { 0x18, "RESERVATION CONFLICT" },
	{ INITIATOR_TASK_SET_FULL, "TASK SET FULL" }, { 0x30, "ACA ACTIVE" },
	{ 0x40, "TASK ABORTED" },
};

/* "READ at LBA 5".  Has it an LBA, in *ret_lba? */
static bool command_name(const struct initiator_cmd *cmd, char *text, size_t size,
			 uint64_t *ret_lba)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const uint8_t *at = cmd->cdb + names[i].lba;

		if (names[i].op != cmd->cdb[0])
			continue;
		if (!names[i].lba) {
			snprintf(text, size, "%s", names[i].name);
			return false;
		}
		*ret_lba = names[i].lba_len == 8 ? get_be64(at) : get_be32(at);
		snprintf(text, size, "%s at LBA %llu", names[i].name, (unsigned long long)*ret_lba);
		return true;
	}
	snprintf(text, size, "command 0x%02x", cmd->cdb[0]);
	return false;
}

bool scsi_retry(const struct initiator_cmd *cmd)
{
	struct scsi_sense_info info;

	if (cmd->ret)
		return false;
	if (cmd->status == INITIATOR_BUSY || cmd->status == INITIATOR_TASK_SET_FULL)
		return true;
	return cmd->status == INITIATOR_CHECK_CONDITION &&
	       scsi_sense_read(cmd->sense, cmd->sense_len, &info) && info.key == KEY_ATTENTION;
}

static int errno_of(const struct scsi_sense_info *info)
{
	if (info->key == KEY_NOT_READY && info->asc == 0x3a)
		return -ENOMEDIUM;
	if (info->key == KEY_PROTECT)
		return info->ascq == 0x07 ? -ENOSPC : -EPERM;
	if (info->key == KEY_ILLEGAL && (info->asc == 0x20 || info->asc == 0x24))
		return -EOPNOTSUPP;
	return -EIO;
}

/* The LBA in the sense data is told when it is not the command's own. */
static int check_condition(const struct initiator_cmd *cmd, const char *what, const uint64_t *lba,
			   char *text, size_t size)
{
	struct scsi_sense_info info;
	char sense[128];

	if (!scsi_sense_read(cmd->sense, cmd->sense_len, &info)) {
		snprintf(text, size, "%s: CHECK CONDITION without sense data", what);
		return -EIO;
	}
	if (info.key == KEY_RECOVERED)
		return 0;
	if (lba && info.lba == *lba)
		info.has_lba = false;
	scsi_sense_text(&info, sense, sizeof(sense));
	snprintf(text, size, "%s: %s", what, sense);
	return errno_of(&info);
}

static int other_status(const struct initiator_cmd *cmd, const char *what, char *text,
			size_t size)
{
	const char *name = NULL;

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].status == cmd->status)
			name = statuses[i].name;
	if (name)
		snprintf(text, size, "%s: status %s", what, name);
	else
		snprintf(text, size, "%s: status 0x%02x", what, cmd->status);
	return -EIO;
}

/* Is it one whose every byte counts? */
static bool moves_blocks(const struct initiator_cmd *cmd)
{
	uint8_t op = cmd->cdb[0];

	return op == OP_READ_10 || op == OP_READ_16 || op == OP_WRITE_10 || op == OP_WRITE_16;
}

int scsi_result(const struct initiator *initiator, const struct initiator_cmd *cmd, char *text,
		size_t size)
{
	char what[64];
	uint64_t lba = 0;
	bool has_lba = command_name(cmd, what, sizeof(what), &lba);
	int ret = 0;

	if (cmd->ret) {
		snprintf(text, size, "%s: %s", what, initiator_why(initiator, cmd->ret));
		return cmd->ret;
	}
	if (cmd->status == INITIATOR_CHECK_CONDITION)
		ret = check_condition(cmd, what, has_lba ? &lba : NULL, text, size);
	else if (cmd->status != INITIATOR_GOOD)
		ret = other_status(cmd, what, text, size);
	if (!ret && moves_blocks(cmd) && cmd->moved != cmd->len) {
		snprintf(text, size, "%s: %u bytes instead of %u", what, cmd->moved, cmd->len);
		ret = -ENODATA;
	}
	return ret;
}
