/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/access.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "client/client.h"

#define DEFAULT_SIZE 4

static const char *const forms[] = {
	[ACCESS_READ] = "BAR:OFFSET[:SIZE]",
	[ACCESS_WRITE] = "BAR:OFFSET[:SIZE]=VALUE",
	[ACCESS_CONFIG] = "OFFSET[:SIZE][=VALUE]",
};

/* One number up to one of @ends, which *text then stands behind; the end of text is one too. */
static bool take_number(const char **text, const char *ends, uint64_t *ret, char *ret_end)
{
	char *end;

	/* strtoull() takes blanks and signs as well. */
	if (!g_ascii_isdigit(**text))
		return false;
	errno = 0;
	*ret = strtoull(*text, &end, 0);
	if (errno || (*end && !strchr(ends, *end)))
		return false;
	*ret_end = *end;
	*text = *end ? end + 1 : end;
	return true;
}

/* "[BAR:]OFFSET[:SIZE][=VALUE]" */
static bool take_all(struct access *a)
{
	const char *at = a->text;
	uint64_t bar = 0, size = DEFAULT_SIZE;
	char end = ':';

	if (!a->config && (!take_number(&at, ":", &bar, &end) || end != ':'))
		return false;
	if (!take_number(&at, ":=", &a->off, &end))
		return false;
	if (end == ':' && !take_number(&at, "=", &size, &end))
		return false;
	a->write = end == '=';
	if (a->write && (!take_number(&at, "", &a->value, &end) || end))
		return false;
	if (bar >= CLIENT_BARS || !is_power_of_2(size) || size > (a->config ? 4 : 8))
		return false;
	a->bar = bar;
	a->size = size;
	return true;
}

bool access_parse(enum access_kind kind, const char *text, struct access *ret, GError **error)
{
	struct access a = { .text = text, .config = kind == ACCESS_CONFIG };

	if (!take_all(&a) || (!a.config && a.write != (kind == ACCESS_WRITE)))
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: expected %s, a SIZE of 1, 2%s", text,
				forms[kind], a.config ? " or 4" : ", 4 or 8");
	if (a.config && a.off > UINT32_MAX)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: no config space is that large", text);
	if (a.write && a.size < 8 && a.value >> (8 * a.size))
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: the value has more than %u bytes",
				text, a.size);
	*ret = a;
	return true;
}

static void print(const struct access *a, uint64_t value)
{
	if (!a->config)
		printf("%u:", a->bar);
	if (a->size < 8)
		value &= (1ULL << (8 * a->size)) - 1;
	printf("0x%" PRIx64 ":%u=0x%0*" PRIx64 "\n", a->off, a->size, (int)(2 * a->size), value);
}

bool access_run(struct client *client, const char *devid, const struct access *a, GError **error)
{
	uint64_t value = 0;
	int ret;

	if (a->write && a->config)
		ret = client_cfg_write(client, a->off, a->value, a->size);
	else if (a->write)
		ret = client_region_write(client, a->bar, a->off, a->size, a->value);
	else if (a->config)
		ret = client_cfg_read(client, a->off, a->size, &value);
	else
		ret = client_region_read(client, a->bar, a->off, a->size, &value);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s: %s", devid, a->text,
				client_why(client, ret));
	if (!a->write)
		print(a, value);
	return true;
}
