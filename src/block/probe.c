/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/probe.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/num.h"

struct head {
	const uint8_t *data;
	size_t len;
};

/* A magic number, and what must hold besides it. */
struct format {
	const char *name;
	size_t off;
	const char *magic;
	size_t magic_len;
	bool (*check)(const struct head *head);		/* NULL: nothing */
};

/* The version after "QFI\xfb", big-endian: 1 is the first qcow, all above are qcow2's. */
static bool is_qcow1(const struct head *h)
{
	return h->len >= 8 && get_be32(h->data + 4) == 1;
}

static bool is_qcow2(const struct head *h)
{
	return h->len >= 8 && get_be32(h->data + 4) >= 2;
}

/* The version after "LUKS\xba\xbe", big-endian. */
static bool is_luks1(const struct head *h)
{
	return h->len >= 8 && get_be16(h->data + 6) == 1;
}

/* A little-endian version follows the 16 bytes of the magic: 2 is the only one. */
static bool is_parallels(const struct head *h)
{
	return h->len >= 20 && get_le32(h->data + 16) == 2;
}

/* Sub-type at 32, version at 64 (0x10000 or 0x20000), in a little-endian header. */
static bool is_bochs(const struct head *h)
{
	uint32_t version;

	if (h->len < 72 || strncmp((const char *)h->data + 32, "Redolog", 16) ||
	    strncmp((const char *)h->data + 48, "Growing", 16))
		return false;
	version = get_le32(h->data + 64);
	return version == 0x00010000 || version == 0x00020000;
}

#define MAGIC(text) text, sizeof(text) - 1

static const struct format formats[] = {
	{ "qcow2",	0,  MAGIC("QFI\xfb"), is_qcow2 },
	{ "qcow",	0,  MAGIC("QFI\xfb"), is_qcow1 },
	{ "qed",	0,  MAGIC("QED\0"), NULL },
	{ "luks",	0,  MAGIC("LUKS\xba\xbe"), is_luks1 },
	{ "vmdk",	0,  MAGIC("KDMV"), NULL },
	{ "vmdk",	0,  MAGIC("COWD"), NULL },
	{ "vdi",	64, MAGIC("\x7f\x10\xda\xbe"), NULL },	/* 0xbeda107f */
	{ "vhdx",	0,  MAGIC("vhdxfile"), NULL },
	{ "vpc",	0,  MAGIC("conectix"), NULL },
	{ "parallels",	0,  MAGIC("WithoutFreeSpace"), is_parallels },
	{ "parallels",	0,  MAGIC("WithouFreSpacExt"), is_parallels },
	{ "bochs",	0,  MAGIC("Bochs Virtual HD Image"), is_bochs },
	{ "cloop",	0,  MAGIC("#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r "
				  "-t iso9660 /dev/cloop $1\n"), NULL },
};

static bool format_matches(const struct format *format, const struct head *head)
{
	if (!range_fits(format->off, format->magic_len, head->len))
		return false;
	if (memcmp(head->data + format->off, format->magic, format->magic_len))
		return false;
	return !format->check || format->check(head);
}

/* Is @want next?  Then *text goes behind it. */
static bool text_is(const uint8_t **text, const uint8_t *end, const char *want)
{
	size_t len = strlen(want);
	bool same = (size_t)(end - *text) >= len && !memcmp(*text, want, len);

	if (same)
		*text += len;
	return same;
}

/* A VMDK descriptor is a text: comments and blank lines, then "version=1", 2 or 3. */
static bool is_vmdk_text(const struct head *head)
{
	const uint8_t *p = head->data, *end = p + head->len;

	while (p < end) {
		if (*p == '#') {
			p = memchr(p, '\n', end - p);
			if (!p)
				return false;
			p++;
		} else if (*p == ' ') {
			while (p < end && *p == ' ')
				p++;
			if (text_is(&p, end, "\r\n") || text_is(&p, end, "\n"))
				continue;
			return false;
		} else {
			break;
		}
	}
	if (end - p < 10 || memcmp(p, "version=", 8) || p[8] < '1' || p[8] > '3')
		return false;
	p += 9;
	return text_is(&p, end, "\n") || text_is(&p, end, "\r\n");
}

const char *probe_format(const void *head, size_t len)
{
	const struct head h = { head, len < PROBE_SIZE ? len : PROBE_SIZE };

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (format_matches(&formats[i], &h))
			return formats[i].name;
	return is_vmdk_text(&h) ? "vmdk" : "raw";
}
