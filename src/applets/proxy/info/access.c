/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/info/access.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets/proxy/info/names.h"
#include "base/num.h"
#include "client/client.h"
#include "pci/pci.h"

#define DEFAULT_SIZE 4

static const char *const forms[] = {
	[ACCESS_READ] = "BAR:OFFSET[:SIZE] or NAME[:SIZE]",
	[ACCESS_WRITE] = "BAR:OFFSET[:SIZE]=VALUE or NAME[:SIZE]=VALUE",
	[ACCESS_CONFIG] = "OFFSET[:SIZE][=VALUE] or NAME[:SIZE][=VALUE]",
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

/* "BAR:OFFSET" or, of config space, "OFFSET" */
static bool take_place(struct access *a, const char **at, char *ret_end)
{
	uint64_t bar = 0;

	if (!a->config && (!take_number(at, ":", &bar, ret_end) || *ret_end != ':'))
		return false;
	if (bar >= CLIENT_BARS || !take_number(at, ":=", &a->off, ret_end))
		return false;
	a->bar = bar;
	a->size = DEFAULT_SIZE;
	return true;
}

/* "NAME"; of config space it is known what that is. */
static bool take_name(struct access *a, const char **at, char *ret_end)
{
	size_t len = strcspn(*at, ":=");
	struct name_place place;

	if (len >= sizeof(a->name))
		return false;
	memcpy(a->name, *at, len);
	*ret_end = (*at)[len];
	*at += *ret_end ? len + 1 : len;
	if (!a->config)
		return true;
	if (!name_in_config(a->name, &place))
		return false;
	a->off = place.off;
	a->size = place.size;
	return true;
}

/* "[BAR:]OFFSET[:SIZE][=VALUE]" */
static bool take_all(struct access *a)
{
	const char *at = a->text;
	bool named = g_ascii_isalpha(*at);
	uint64_t size;
	char end = ':';

	if (named ? !take_name(a, &at, &end) : !take_place(a, &at, &end))
		return false;
	size = a->size;
	if (end == ':' && (!take_number(&at, "=", &size, &end) || !size))
		return false;
	a->write = end == '=';
	if (a->write && (!take_number(&at, "", &a->value, &end) || end))
		return false;
	if ((size && !is_power_of_2(size)) || size > (a->config ? 4 : 8))
		return false;
	a->size = size;
	return true;
}

static bool fits(const struct access *a)
{
	return !a->write || !a->size || a->size == 8 || !(a->value >> (8 * a->size));
}

bool access_parse(enum access_kind kind, const char *text, struct access *ret, GError **error)
{
	struct access a = { .text = text, .config = kind == ACCESS_CONFIG };

	if (!take_all(&a) || (!a.config && a.write != (kind == ACCESS_WRITE)))
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: expected %s, a SIZE of 1, 2%s", text,
				forms[kind], a.config ? " or 4" : ", 4 or 8");
	if (a.config && a.off > UINT32_MAX)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: no config space is that large", text);
	if (!fits(&a))
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: the value has more than %u byte%s",
				text, a.size, a.size > 1 ? "s" : "");
	*ret = a;
	return true;
}

/* Finds the register that is named.  The remote runs by now: no error is one of usage. */
static bool resolve(struct client *client, const char *devid, struct access *a, GError **error)
{
	struct name_place place;
	uint64_t id = 0;
	bool known;
	int ret;

	if (!a->name[0] || a->config)
		return true;
	ret = client_cfg_read(client, PCI_VENDOR_ID, 4, &id);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s: %s", devid, a->text,
				client_why(client, ret));
	if (!name_of_register(id & 0xffff, id >> 16 & 0xffff, a->name, &place, &known))
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s: %s; expected BAR:OFFSET", devid,
				a->text, known ? "the device has no such register" :
				"the names of its registers are not known");
	a->bar = place.bar;
	a->off = place.off;
	if (!a->size)
		a->size = place.size;
	return fits(a) || mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s: the value has more than %u "
				   "byte%s", devid, a->text, a->size, a->size > 1 ? "s" : "");
}

static void print(const struct access *a, uint64_t value)
{
	if (a->size < 8)
		value &= (1ULL << (8 * a->size)) - 1;
	if (a->name[0]) {
		printf("%s", a->name);
	} else {
		if (!a->config)
			printf("%u:", a->bar);
		printf("0x%" PRIx64, a->off);
	}
	printf(":%u=0x%0*" PRIx64 "\n", a->size, (int)(2 * a->size), value);
}

static int make(struct client *client, const struct access *a, uint64_t *value)
{
	if (a->write && a->config)
		return client_cfg_write(client, a->off, a->value, a->size);
	if (a->write)
		return client_region_write(client, a->bar, a->off, a->size, a->value);
	if (a->config)
		return client_cfg_read(client, a->off, a->size, value);
	return client_region_read(client, a->bar, a->off, a->size, value);
}

bool access_run(struct client *client, const char *devid, const struct access *access,
		GError **error)
{
	struct access a = *access;
	uint64_t value = 0;
	int ret;

	if (!resolve(client, devid, &a, error))
		return false;
	ret = make(client, &a, &value);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s: %s", devid, a.text,
				client_why(client, ret));
	if (!a.write)
		print(&a, value);
	return true;
}
