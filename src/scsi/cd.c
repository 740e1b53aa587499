/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "scsi/disk.h"

/* The commands of a CD/DVD-ROM drive (MMC-6): what kind of disc, drive state, events. */

#define CD_MAX_BLOCKS 405000u	/* 90 minutes; what is longer is a DVD, as in QEMU */
#define PROFILE_NONE 0x0000
#define PROFILE_CD_ROM 0x0008
#define PROFILE_DVD_ROM 0x0010

static uint16_t cd_profile(const struct unit *unit)
{
	uint64_t bytes = unit_has_medium(unit) ? unit->block->size : 0;

	if (!bytes)
		return PROFILE_NONE;
	return bytes / 2048 > CD_MAX_BLOCKS ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
}

/* MMC-6 READ DISC INFORMATION: one closed session with one track. */
void cmd_read_disc_information(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);

	if (cdb[1] & 7) {		/* track resources and POW: other media */
		task_bad_cdb(t, 1, 2);
		return;
	}
	memset(t->buf, 0, 34);
	t->buf[1] = 32;
	t->buf[2] = 0x0e;		/* complete, not erasable */
	t->buf[3] = 1;			/* first track */
	t->buf[4] = 1;			/* sessions */
	t->buf[5] = 1;			/* first and last track of the last session */
	t->buf[6] = 1;
	t->buf[7] = 0x20;		/* unrestricted use */
	task_reply(t, 34, cdb_list_len(cdb));
}

static uint8_t *put_feature(uint8_t *p, uint16_t code, uint8_t flags, uint8_t len)
{
	memset(p, 0, 4 + len);
	put_be16(p, code);
	p[2] = flags;
	p[3] = len;
	return p + 4;
}

/* A feature as RT and STARTING FEATURE NUMBER ask for it (MMC-6 GET CONFIGURATION). */
static bool feature_wanted(const uint8_t *cdb, uint16_t code, bool current)
{
	uint16_t start = get_be16(&cdb[2]);
	unsigned rt = cdb[1] & 3;

	if (rt == 2)
		return code == start;
	return code >= start && (rt == 0 || current);
}

static uint8_t *put_profiles(uint8_t *p, uint16_t current)
{
	uint8_t *body = put_feature(p, 0x0000, 0x03, 8);

	put_be16(&body[0], PROFILE_DVD_ROM);
	body[2] = current == PROFILE_DVD_ROM;
	put_be16(&body[4], PROFILE_CD_ROM);
	body[6] = current == PROFILE_CD_ROM;
	return body + 8;
}

static uint8_t *put_core(uint8_t *p, uint16_t current)
{
	uint8_t *body = put_feature(p, 0x0001, 0x0b, 8);

	put_be32(&body[0], 1);		/* SCSI */
	body[4] = 1;			/* DBE */
	return body + 8;
}

/* Tray, eject and load, unlocked at power-on, lock. */
static uint8_t *put_removable(uint8_t *p, uint16_t current)
{
	uint8_t *body = put_feature(p, 0x0003, 0x0b, 4);

	body[0] = 0x39;
	return body + 4;
}

static uint8_t *put_random_read(uint8_t *p, uint16_t current)
{
	uint8_t *body = put_feature(p, 0x0010, current ? 0x01 : 0x00, 8);

	put_be32(&body[0], 2048);
	put_be16(&body[4], 1);		/* blocking */
	return body + 8;
}

static uint8_t *put_cd_read(uint8_t *p, uint16_t current)
{
	return put_feature(p, 0x001e, current == PROFILE_CD_ROM ? 0x09 : 0x08, 4) + 4;
}

static uint8_t *put_dvd_read(uint8_t *p, uint16_t current)
{
	return put_feature(p, 0x001f, current == PROFILE_DVD_ROM ? 0x01 : 0x00, 0);
}

/* MMC-6 features: one is current with any disc (0), with one disc, or always (1). */
static const struct {
	uint16_t code;
	uint16_t needs;
	uint8_t *(*put)(uint8_t *p, uint16_t current);
} cd_features[] = {
	{ 0x0000, 1, put_profiles },
	{ 0x0001, 1, put_core },
	{ 0x0003, 1, put_removable },
	{ 0x0010, 0, put_random_read },
	{ 0x001e, PROFILE_CD_ROM, put_cd_read },
	{ 0x001f, PROFILE_DVD_ROM, put_dvd_read },
};

/* MMC-6 GET CONFIGURATION */
void cmd_get_configuration(struct task *t)
{
	const uint8_t *cdb = task_cdb(t);
	uint16_t profile = cd_profile(t->unit);
	uint8_t *p = t->buf + 8;

	if ((cdb[1] & 3) == 3) {
		task_bad_cdb(t, 1, 1);
		return;
	}
	memset(t->buf, 0, 8);
	put_be16(&t->buf[6], profile);
	for (size_t i = 0; i < sizeof(cd_features) / sizeof(cd_features[0]); i++) {
		uint16_t needs = cd_features[i].needs;
		bool current = needs == 1 || (needs ? needs == profile : profile != 0);

		if (feature_wanted(cdb, cd_features[i].code, current))
			p = cd_features[i].put(p, profile);
	}
	put_be32(t->buf, p - t->buf - 4);
	task_reply(t, p - t->buf, get_be16(&cdb[7]));
}

/* MMC-6 GET EVENT STATUS NOTIFICATION: polled only; class 4, media. */
void cmd_get_event_status(struct task *t)
{
	struct scsi_unit_state *u = t->unit->state;
	const uint8_t *cdb = task_cdb(t);
	bool media = cdb[4] & 1u << 4;

	if (!(cdb[1] & 1)) {
		task_bad_cdb(t, 1, 0);
		return;
	}
	memset(t->buf, 0, 8);
	t->buf[1] = media ? 4 : 0;
	t->buf[2] = media ? 4 : 0x80;		/* NEA: no such class */
	t->buf[3] = 1u << 4;
	if (media) {
		t->buf[4] = !u->tray_open && u->medium_event ? 2 : 0;	/* new media */
		t->buf[5] = u->tray_open ? 1 : t->unit->block ? 2 : 0;
		if (!u->tray_open && get_be16(&cdb[7]) > 4)
			u->medium_event = 0;
	}
	task_reply(t, media ? 8 : 4, get_be16(&cdb[7]));
}

/* MMC-6 MECHANISM STATUS: no changer. */
void cmd_mechanism_status(struct task *t)
{
	memset(t->buf, 0, 8);
	t->buf[1] = t->unit->state->tray_open ? 0x10 : 0;
	t->buf[5] = 1;
	task_reply(t, 8, get_be16(&task_cdb(t)[8]));
}

/* MMC-6 SET CD SPEED: any speed is the right one. */
void cmd_set_cd_speed(struct task *t)
{
	task_good(t);
}

/* MMC-6: physical format of a DVD-ROM, one layer. */
static uint32_t dvd_physical(const struct unit *unit, uint8_t *p)
{
	uint32_t end = 0x30000 + unit->block->size / 2048 - 1;

	memset(p, 0, 2048);
	p[0] = 1;			/* DVD-ROM, part version 1 */
	p[1] = 0x0f;			/* 120 mm, no rate given */
	p[2] = 1;			/* embossed */
	put_be32(&p[4], 0x30000);	/* start of the data area */
	put_be32(&p[8], end);
	return 2048;
}

static uint32_t dvd_zeroes(uint8_t *p, uint32_t len)
{
	memset(p, 0, len);
	return len;
}

/* MMC-6 READ DISC STRUCTURE: 00h physical, 01h copyright (none), 04h manufacturing, FFh all. */
void cmd_read_dvd_structure(struct task *t)
{
	static const uint8_t list[] = { 0x00, 0x40, 0x08, 0x04, 0x01, 0x40, 0x00, 0x08,
					0x04, 0x40, 0x08, 0x04 };
	const uint8_t *cdb = task_cdb(t);
	uint8_t format = cdb[7], *body = t->buf + 4;
	uint32_t len;

	if ((cdb[1] & 0x0f) || (format != 0xff && format != 0 && format != 1 && format != 4) ||
	    (format == 0 && cdb[6])) {
		task_bad_cdb(t, cdb[1] & 0x0f ? 1 : 7, -1);
		return;
	}
	if (cd_profile(t->unit) != PROFILE_DVD_ROM) {
		task_check(t, SENSE_INCOMPATIBLE_FORMAT);
		return;
	}
	if (format == 0xff) {
		memcpy(body, list, sizeof(list));
		len = sizeof(list);
	} else {
		len = format == 0 ? dvd_physical(t->unit, body) :
		      dvd_zeroes(body, format == 1 ? 4 : 2048);
	}
	memset(t->buf, 0, 4);
	put_be16(t->buf, len + 2);
	task_reply(t, 4 + len, get_be16(&cdb[8]));
}
