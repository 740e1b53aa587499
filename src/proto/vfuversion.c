/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/vfu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

/* The JSON text of VERSION: what each side can do. */

/* What is meant where nothing is said. */
static const struct vfu_limits defaults = {
	.max_fds = 8, .max_maps = 65535, .max_data = 1 << 20,
};

/* A key that is absent leaves *ret as it is. */
static int get_number(json_t *from, const char *key, uint64_t min, uint64_t max, uint64_t *ret)
{
	json_t *value = json_object_get(from, key);
	json_int_t number = json_integer_value(value);

	if (!value)
		return 0;
	if (!json_is_integer(value) || number < 0 || (uint64_t)number < min ||
	    (uint64_t)number > max)
		return -EINVAL;
	*ret = number;
	return 0;
}

/* Maps are whole pages of 4096 bytes for us: a client of larger ones sends them all the same. */
static int read_capabilities(json_t *from, struct vfu_limits *limits)
{
	uint64_t fds = limits->max_fds, maps = limits->max_maps, pages = 4096;
	json_t *multiple = json_object_get(from, "write_multiple");

	if (!json_is_object(from) || get_number(from, "max_msg_fds", 0, UINT32_MAX, &fds) ||
	    get_number(from, "max_dma_maps", 0, UINT32_MAX, &maps) ||
	    get_number(from, "max_data_xfer_size", 1, INT64_MAX, &limits->max_data) ||
	    get_number(from, "pgsizes", 1, INT64_MAX, &pages) ||
	    (multiple && !json_is_boolean(multiple)))
		return -EINVAL;
	limits->max_fds = fds;
	limits->max_maps = maps;
	limits->write_multiple = json_is_true(multiple);
	return 0;
}

int vfu_version_parse(const void *text, size_t len, struct vfu_limits *ret)
{
	struct vfu_limits limits = defaults;
	json_t *root, *capabilities;
	int err = 0;

	if (!len) {
		*ret = limits;
		return 0;
	}
	if (len > VFU_VERSION_TEXT_MAX || memchr(text, 0, len) != (const char *)text + len - 1)
		return -EINVAL;
	root = json_loadb(text, len - 1, 0, NULL);
	if (!json_is_object(root))
		err = -EINVAL;
	capabilities = json_object_get(root, "capabilities");
	if (!err && capabilities)
		err = read_capabilities(capabilities, &limits);
	json_decref(root);
	if (!err)
		*ret = limits;
	return err;
}

int vfu_version_prepare(void)
{
	void *volatile room;

	/* By itself it would open /dev/urandom when it first needs it. */
	json_object_seed(1);
	room = malloc(VFU_VERSION_HEAP);
	if (!room)
		return -ENOMEM;
	free(room);
	return 0;
}

size_t vfu_version_text(const struct vfu_limits *limits, char *buf, size_t size)
{
	size_t len = snprintf(buf, size, "{\"capabilities\":{\"max_msg_fds\":%u,"
			      "\"max_data_xfer_size\":%llu,\"max_dma_maps\":%u,\"pgsizes\":4096,"
			      "\"write_multiple\":%s}}", limits->max_fds,
			      (unsigned long long)limits->max_data, limits->max_maps,
			      limits->write_multiple ? "true" : "false");

	if (len >= size)
		len = snprintf(buf, size, "{\"capabilities\":{\"max_data_xfer_size\":%llu}}",
			       (unsigned long long)limits->max_data);
	return len < size ? len + 1 : 0;
}
