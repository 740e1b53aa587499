/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/image.h"

#include <stdlib.h>
#include <string.h>

/* QEMU's null-co: 1 GiB when no size is given. */
#define NULL_SIZE (1ull << 30)

/* Block drivers of QEMU 7.2; those of the second list stand at the bottom of a graph. */
static const char *const formats[] = {
	"blkdebug", "blklogwrites", "blkreplay", "blkverify", "bochs", "cloop", "compress",
	"copy-before-write", "copy-on-read", "dmg", "luks", "parallels", "preallocate", "qcow",
	"qcow2", "qed", "quorum", "raw", "replication", "snapshot-access", "throttle", "vdi",
	"vhdx", "vmdk", "vpc", NULL,
};
static const char *const protocols[] = {
	"file", "ftp", "ftps", "gluster", "host_cdrom", "host_device", "http", "https", "iscsi",
	"nbd", "nfs", "null-aio", "null-co", "nvme", "rbd", "ssh", "vvfat", NULL,
};

bool block_driver_is_protocol(const char *name)
{
	return g_strv_contains(protocols, name);
}

bool block_driver_has_file(const char *name)
{
	static const char *const others[] = { "quorum", "blkverify", NULL };

	return !block_driver_is_protocol(name) && !g_strv_contains(others, name);
}

bool block_driver_known(const char *name)
{
	return g_strv_contains(formats, name) || block_driver_is_protocol(name);
}

bool node_name_wellformed(const char *name)
{
	return opt_id_wellformed(name) && strlen(name) <= NODE_NAME_MAX;
}

void image_finish(struct plan_image *image)
{
	g_free(image->id);
	g_free(image->where);
	g_free(image->driver);
	g_free(image->protocol);
	g_free(image->filename);
	g_free(image->node);
	if (image->graph)
		g_ptr_array_unref(image->graph);
	*image = (struct plan_image){ .fdset = -1 };
}

void plan_image_clear(struct plan_image *image)
{
	image_finish(image);
}

/* ---- The options that this program knows itself ---- */

/* A name and whether the device process can do what it says. */
struct known_key {
	const char *name;
	bool native;
};

static const struct known_key common_keys[] = {
	{ "driver", true }, { "node-name", true }, { "read-only", true },
	{ "auto-read-only", true }, { "cache.direct", true }, { "cache.no-flush", true },
	{ "discard", true }, { "detect-zeroes", true }, { "force-share", false }, { NULL },
};
static const struct known_key raw_keys[] = {
	{ "file", true }, { "offset", false }, { "size", false }, { NULL },
};
static const struct known_key file_keys[] = {
	{ "filename", true }, { "aio", true }, { "aio-max-batch", true }, { "locking", true },
	{ "drop-cache", true }, { "x-check-cache-dropped", true }, { "pr-manager", false },
	{ NULL },
};
static const struct known_key null_keys[] = {
	{ "size", true }, { "latency-ns", true }, { "read-zeroes", true }, { NULL },
};

static const struct {
	const char *driver;
	const struct known_key *keys;
} known_drivers[] = {
	{ "raw", raw_keys }, { "file", file_keys }, { "host_device", file_keys },
	{ "null-co", null_keys },
};

static const struct known_key *keys_of(const char *driver)
{
	for (size_t i = 0; i < G_N_ELEMENTS(known_drivers); i++)
		if (!strcmp(known_drivers[i].driver, driver))
			return known_drivers[i].keys;
	return NULL;
}

static const struct known_key *key_find(const struct known_key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (!strcmp(keys->name, name))
			return keys;
	return NULL;
}

/* The row of option @name of @driver; a nested "file." level is not this level's. */
static const struct known_key *level_key(const struct known_key *keys, const char *name)
{
	static const struct known_key nested = { "file.", true };
	const struct known_key *key = key_find(common_keys, name);

	if (!key)
		key = key_find(keys, name);
	if (!key && keys == raw_keys && g_str_has_prefix(name, "file."))
		key = &nested;
	return key;
}

const char *level_unknown(const struct opt_set *set, const char *prefix, const char *driver)
{
	const struct known_key *keys = keys_of(driver);

	if (!keys)
		return NULL;
	for (size_t i = 0; i < set->count; i++) {
		const char *key = set->opt[i].key;

		if (g_str_has_prefix(key, prefix) && !level_key(keys, key + strlen(prefix)))
			return key + strlen(prefix);
	}
	return NULL;
}

/* Can the device process do all that stands below @prefix? */
static bool level_native(const struct opt_set *set, const char *prefix, const char *driver)
{
	const struct known_key *keys = keys_of(driver);

	if (!keys)
		return false;
	for (size_t i = 0; i < set->count; i++) {
		const struct known_key *key;

		if (!g_str_has_prefix(set->opt[i].key, prefix))
			continue;
		key = level_key(keys, set->opt[i].key + strlen(prefix));
		if (!key || !key->native)
			return false;
	}
	return true;
}

void image_judge(struct plan_image *image)
{
	image->native = image->driver && !strcmp(image->driver, "raw") && image->protocol &&
			keys_of(image->protocol) && strcmp(image->protocol, "raw");
	if (!image->native)
		return;
	for (guint i = 0; i < image->graph->len; i++) {
		const struct opt_set *set = image->graph->pdata[i];
		const char *driver = opt_get(set, "driver"), *below = opt_get(set, "file.driver");

		image->native &= driver && level_native(set, "", driver);
		if (opt_has_prefix(set, "file."))
			image->native &= below && level_native(set, "file.", below);
	}
}

/* ---- Values ---- */

/* Calls @get for the key of that name below @prefix. */
#define GET(get, name, ...)                                                                        \
	({                                                                                         \
		g_autofree char *key_ = g_strconcat(prefix, name, NULL);                           \
		get(set, key_, __VA_ARGS__, error);                                                \
	})

bool level_read(const struct opt_set *set, const char *prefix, struct level *ret, GError **error)
{
	static const char *const discards[] = { "ignore", "unmap", NULL };
	static const char *const zeroes[] = { "off", "on", "unmap", NULL };
	struct level level = *ret;
	int discard = level.discard, zero = level.detect_zeroes;

	if (!GET(opt_get_bool, "read-only", &level.readonly) ||
	    !GET(opt_get_bool, "auto-read-only", &level.auto_readonly) ||
	    !GET(opt_get_bool, "cache.direct", &level.direct) ||
	    !GET(opt_get_bool, "cache.no-flush", &level.no_flush) ||
	    !GET(opt_get_enum, "discard", discards, &discard) ||
	    !GET(opt_get_enum, "detect-zeroes", zeroes, &zero))
		return false;
	level.discard = discard;
	level.detect_zeroes = zero;
	*ret = level;
	return true;
}

static bool read_file_keys(struct plan_image *image, const struct opt_set *set, const char *prefix,
			   GError **error)
{
	static const char *const aios[] = { "threads", "native", "io_uring", NULL };
	static const char *const lockings[] = { "auto", "on", "off", NULL };
	static const char fdset[] = "/dev/fdset/";
	const char *filename = NULL;
	int aio = image->aio, locking = 0;

	if (!GET(opt_get_string, "filename", &filename) || !GET(opt_get_enum, "aio", aios, &aio) ||
	    !GET(opt_get_enum, "locking", lockings, &locking))
		return false;
	if (!filename)
		return opt_bad(set, error, "Parameter '%sfilename' is missing", prefix);
	image->aio = aio;
	image->locking = locking != 2;
	image->filename = g_strdup(filename);
	if (g_str_has_prefix(filename, fdset)) {
		const char *number = filename + strlen(fdset);

		if (!*number || number[strspn(number, "0123456789")] || strlen(number) > 9)
			return opt_bad(set, error, "Could not parse fdset %.100s", filename);
		image->fdset = atoi(number);
	}
	return true;
}

/* A number as -blockdev has it: without a suffix; -drive's are sizes. */
static bool get_number(const struct opt_set *set, const char *key, bool drive, uint64_t *ret,
		       GError **error)
{
	const struct opt *opt = opt_find(set, key);
	int64_t value = *ret;

	if (drive)
		return opt_get_size(set, key, ret, error);
	if (opt && set->json && opt->type != OPT_NUMBER)
		return opt_bad(set, error, "Invalid parameter type for '%s', expected: integer",
			       key);
	if (!opt_get_int(set, key, 64, &value, error))
		return false;
	if (value < 0)
		return opt_bad(set, error, "Parameter '%s' expects a non-negative number", key);
	*ret = value;
	return true;
}

static bool read_null_keys(struct plan_image *image, const struct opt_set *set, const char *prefix,
			   bool drive, GError **error)
{
	image->null_size = NULL_SIZE;
	return GET(get_number, "size", drive, &image->null_size) &&
	       GET(get_number, "latency-ns", drive, &image->null_latency_ns) &&
	       GET(opt_get_bool, "read-zeroes", &image->null_read_zeroes);
}

bool protocol_read(struct plan_image *image, const struct opt_set *set, const char *prefix,
		   bool drive, GError **error)
{
	const struct known_key *keys = image->protocol ? keys_of(image->protocol) : NULL;

	if (keys == file_keys)
		return read_file_keys(image, set, prefix, error);
	if (keys == null_keys)
		return read_null_keys(image, set, prefix, drive, error);
	return true;
}

/* ---- After the image was looked at ---- */

void plan_image_set_format(struct plan_image *image, const char *format)
{
	char *old = image->driver;

	image->driver = g_strdup(format);
	g_free(old);
	opt_put(image->graph->pdata[image->graph->len - 1], "driver", format);
	image_judge(image);
}

void plan_image_set_protocol(struct plan_image *image, const char *protocol)
{
	struct opt_set *top = image->graph->pdata[image->graph->len - 1];
	char *old = image->protocol;

	image->protocol = g_strdup(protocol);
	g_free(old);
	opt_put(top, opt_find(top, "file.driver") ? "file.driver" : "driver", protocol);
	image_judge(image);
}
