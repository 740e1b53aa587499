/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "scsi/disk.h"

/* INQUIRY (SPC-3 6.4) and the vital product data pages (SPC-3 7.6; SBC-3 for B0h to B2h). */

#define VERSION_LEN 96	/* standard data, with version descriptors */

/* Pads with spaces, as ASCII fields are (SPC-3 4.4.1). */
static void put_ascii(uint8_t *field, const char *text, size_t len)
{
	size_t n = strnlen(text, len);

	memset(field, ' ', len);
	memcpy(field, text, n);
}

static void inquiry_standard(struct task *t)
{
	/* SPC-3 6.4.2: SAM-3, SPC-3, SBC-3 or MMC-4, SPI-3, each without a version claimed. */
	static const uint16_t disk_versions[] = { 0x0060, 0x0300, 0x04c0, 0x0a9b };
	static const uint16_t cd_versions[] = { 0x0060, 0x0300, 0x03a0, 0x0a9b };
	const struct scsi_unit_config *c = t->unit->config;
	const uint16_t *versions = unit_is_cd(t->unit) ? cd_versions : disk_versions;
	uint8_t *p = t->buf;

	memset(p, 0, VERSION_LEN);
	p[0] = unit_is_cd(t->unit) ? 0x05 : 0x00;
	p[1] = c->removable ? 0x80 : 0;
	p[2] = c->scsi_version;
	p[3] = 0x12;		/* HISUP, response data format 2 */
	p[4] = VERSION_LEN - 5;
	p[7] = 0x12;		/* SYNC, CMDQUE */
	put_ascii(&p[8], c->vendor, 8);
	put_ascii(&p[16], c->product, 16);
	/* Like QEMU's, the revision is padded with zeroes. */
	memcpy(&p[32], c->version, strnlen(c->version, 4));
	for (unsigned i = 0; i < 4; i++)
		put_be16(&p[58 + 2 * i], versions[i]);
	task_reply(t, VERSION_LEN, get_be16(&task_cdb(t)[3]));
}

/* Supported VPD pages: filled from the table below. */
static uint32_t vpd_00(struct unit *unit, uint8_t *p);

/* Unit serial number. */
static uint32_t vpd_80(struct unit *unit, uint8_t *p)
{
	size_t len = strnlen(unit->config->serial, sizeof(unit->config->serial));

	memcpy(p, unit->config->serial, len);
	return len;
}

static uint8_t *put_designator(uint8_t *p, uint8_t code, uint8_t type, const void *id, uint8_t len)
{
	p[0] = code;
	p[1] = type;
	p[2] = 0;
	p[3] = len;
	memcpy(&p[4], id, len);
	return p + 4 + len;
}

/* Device identification (SPC-3 7.6.3): T10 vendor id, NAA names, relative target port. */
static uint32_t vpd_83(struct unit *unit, uint8_t *p)
{
	const struct scsi_unit_config *c = unit->config;
	size_t len = strnlen(c->device_id, sizeof(c->device_id));
	uint8_t *start = p, naa[8], port[4] = { 0 };

	if (len)
		p = put_designator(p, 0x02, 0x00, c->device_id, len);
	if (c->wwn) {
		put_be64(naa, c->wwn);
		p = put_designator(p, 0x01, 0x03, naa, 8);
	}
	if (c->port_wwn) {
		put_be64(naa, c->port_wwn);
		p = put_designator(p, 0x61, 0x93, naa, 8);
	}
	if (c->port_index) {
		put_be16(&port[2], c->port_index);
		p = put_designator(p, 0x61, 0x94, port, 4);
	}
	return p - start;
}

static uint32_t discard_granularity(const struct unit *unit)
{
	const struct scsi_unit_config *c = unit->config;

	if (c->discard_granularity != UINT32_MAX)
		return c->discard_granularity;
	return c->logical_block_size > 4096 ? c->logical_block_size : 4096;
}

/* Block limits, SBC-3. */
static uint32_t vpd_b0(struct unit *unit, uint8_t *p)
{
	const struct scsi_unit_config *c = unit->config;
	uint32_t bs = unit->state->block_size;

	memset(p, 0, 60);
	p[0] = 0x01;		/* WSNZ */
	p[1] = unit_caw_max(unit);
	put_be16(&p[2], min_u64(c->min_io_size / bs, UINT16_MAX));
	put_be32(&p[4], unit_max_blocks(unit));
	put_be32(&p[8], min_u64(c->opt_io_size / bs, unit_max_blocks(unit)));
	put_be32(&p[16], min_u64(c->max_unmap_size / bs, UINT32_MAX));
	put_be32(&p[20], UNMAP_MAX_DESCRIPTORS);
	put_be32(&p[24], discard_granularity(unit) / bs);
	return 60;
}

/* Block device characteristics, SBC-3. */
static uint32_t vpd_b1(struct unit *unit, uint8_t *p)
{
	memset(p, 0, 60);
	put_be16(p, unit->config->rotation_rate);
	return 60;
}

bool unit_reads_zeroes(const struct unit *unit)
{
	return unit_is_thin(unit) && unit->config->discard && unit->block &&
	       unit->block->can_discard && unit->block->zero_after_discard;
}

/* Logical block provisioning, SBC-3: UNMAP and WRITE SAME with UNMAP work. */
static uint32_t vpd_b2(struct unit *unit, uint8_t *p)
{
	memset(p, 0, 4);
	p[1] = 0xe0 | (unit_reads_zeroes(unit) ? 0x04 : 0);	/* LBPU LBPWS LBPWS10, LBPRZ */
	p[2] = unit_is_thin(unit) ? 2 : 1;
	return 4;
}

bool unit_is_thin(const struct unit *unit)
{
	return discard_granularity(unit) != 0;
}

static const struct vpd_page {
	uint8_t code;
	uint8_t types;
	uint32_t (*fill)(struct unit *unit, uint8_t *p);
} vpd_pages[] = {
	{ 0x00, CDB_DISK | CDB_CD, vpd_00 },
	{ 0x80, CDB_DISK | CDB_CD, vpd_80 },
	{ 0x83, CDB_DISK | CDB_CD, vpd_83 },
	{ 0xb0, CDB_DISK, vpd_b0 },
	{ 0xb1, CDB_DISK, vpd_b1 },
	{ 0xb2, CDB_DISK, vpd_b2 },
};

/* A page that has nothing to say is not there (QEMU: no serial, no page 80h). */
static bool vpd_present(const struct unit *unit, const struct vpd_page *page)
{
	if (!(page->types & (unit_is_cd(unit) ? CDB_CD : CDB_DISK)))
		return false;
	return page->code != 0x80 || unit->config->serial[0];
}

#define VPD_COUNT (sizeof(vpd_pages) / sizeof(vpd_pages[0]))

static uint32_t vpd_00(struct unit *unit, uint8_t *p)
{
	uint32_t len = 0;

	for (size_t i = 0; i < VPD_COUNT; i++)
		if (vpd_present(unit, &vpd_pages[i]))
			p[len++] = vpd_pages[i].code;
	return len;
}

static void inquiry_vpd(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);
	uint32_t len;

	for (size_t i = 0; i < VPD_COUNT; i++) {
		if (vpd_pages[i].code != cdb[2] || !vpd_present(t->unit, &vpd_pages[i]))
			continue;
		t->buf[0] = unit_is_cd(t->unit) ? 0x05 : 0x00;
		t->buf[1] = cdb[2];
		len = vpd_pages[i].fill(t->unit, t->buf + 4);
		put_be16(&t->buf[2], len);
		task_reply(t, 4 + len, get_be16(&cdb[3]));
		return;
	}
	task_bad_cdb(t, 2, 7);
}

/*
 * SPC-3 6.4.1: peripheral qualifier 011b, unknown type: nothing can be here.  The only VPD page is
 * 00h, which names itself.
 */
static void inquiry_no_lun(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);

	memset(t->buf, 0, 36);
	t->buf[0] = 0x7f;
	if (cdb[1] & 1) {
		t->buf[3] = 1;
		if (cdb[2])
			task_bad_cdb(t, 2, 7);
		else
			task_reply(t, 5, get_be16(&cdb[3]));
		return;
	}
	t->buf[2] = 5;
	t->buf[3] = 0x02;
	t->buf[4] = 36 - 5;
	put_ascii(&t->buf[8], "QEMU", 8);
	put_ascii(&t->buf[16], "QEMU TARGET", 16);
	task_reply(t, 36, get_be16(&cdb[3]));
}

void cmd_inquiry(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);

	if (cdb[1] & 0x02)		/* CMDDT, obsolete since SPC-3 */
		task_bad_cdb(t, 1, 1);
	else if (!(cdb[1] & 1) && cdb[2])
		task_bad_cdb(t, 2, 7);
	else if (!t->unit)
		inquiry_no_lun(t);
	else if (cdb[1] & 1)
		inquiry_vpd(t);
	else
		inquiry_standard(t);
}
