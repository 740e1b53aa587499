/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scsi/sense.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"

#define FLAG_INFO 1u	/* .info says something */
#define FLAG_SKS 2u	/* .sks does */

struct scsi_sense sense_make(uint32_t code)
{
	return (struct scsi_sense){ .key = code >> 16, .asc = code >> 8, .ascq = code };
}

struct scsi_sense sense_field(uint32_t code, unsigned byte, int bit)
{
	struct scsi_sense sense = sense_make(code);
	/* asc 26h speaks of the parameter list, all others of the CDB (bit C/D). */
	uint8_t in_cdb = sense.asc == 0x26 ? 0 : 0x40;

	sense.flags = FLAG_SKS;
	sense.sks[0] = 0x80 | in_cdb | (bit >= 0 ? 0x08 | bit : 0);
	put_be16(&sense.sks[1], byte);
	return sense;
}

struct scsi_sense sense_info(uint32_t code, uint64_t info)
{
	struct scsi_sense sense = sense_make(code);

	sense.flags = FLAG_INFO;
	sense.info = info;
	return sense;
}

/* The same answers as QEMU's, so that a guest sees no difference. */
static const struct {
	int err;
	uint32_t code;
} errno_sense[] = {
	{ ENOMEDIUM, SENSE_NO_MEDIUM },
	{ ENOMEM, SENSE_TARGET_FAILURE },
	{ EREMOTEIO, SENSE_TARGET_FAILURE },
	{ EINVAL, SENSE_INVALID_FIELD },
	{ EROFS, SENSE_WRITE_PROTECTED },
	{ ENOSPC, SENSE_SPACE_ALLOC },
	{ ENODATA, SENSE_READ_ERROR },
};

struct scsi_sense sense_from_errno(int err)
{
	for (size_t i = 0; i < sizeof(errno_sense) / sizeof(errno_sense[0]); i++)
		if (errno_sense[i].err == err)
			return sense_make(errno_sense[i].code);
	return sense_make(SENSE_IO_ERROR);
}

/* SPC-3 4.5.3: response code 70h. */
static size_t build_fixed(const struct scsi_sense *sense, uint8_t *buf)
{
	memset(buf, 0, 18);
	buf[0] = 0x70;
	if (sense->flags & FLAG_INFO && sense->info <= UINT32_MAX) {
		buf[0] |= 0x80;
		put_be32(&buf[3], sense->info);
	}
	buf[2] = sense->key;
	buf[7] = 18 - 8;
	buf[12] = sense->asc;
	buf[13] = sense->ascq;
	if (sense->flags & FLAG_SKS)
		memcpy(&buf[15], sense->sks, 3);
	return 18;
}

/* SPC-3 4.5.2: response code 72h, an information and a sense key specific descriptor. */
static size_t build_descriptor(const struct scsi_sense *sense, uint8_t *buf)
{
	size_t len = 8;

	memset(buf, 0, SENSE_MAX_LEN);
	buf[0] = 0x72;
	buf[1] = sense->key;
	buf[2] = sense->asc;
	buf[3] = sense->ascq;
	if (sense->flags & FLAG_INFO) {
		buf[len + 1] = 0x0a;
		buf[len + 2] = 0x80;
		put_be64(&buf[len + 4], sense->info);
		len += 12;
	}
	if (sense->flags & FLAG_SKS) {
		buf[len] = 0x02;
		buf[len + 1] = 0x06;
		memcpy(&buf[len + 4], sense->sks, 3);
		len += 8;
	}
	buf[7] = len - 8;
	return len;
}

size_t sense_build(const struct scsi_sense *sense, bool descriptor, uint8_t *buf)
{
	return descriptor ? build_descriptor(sense, buf) : build_fixed(sense, buf);
}
