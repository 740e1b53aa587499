/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "plan/image.h"
#include "plan/props.h"

/*
 * -drive: QEMU's older spelling.  It becomes one -blockdev of nested options, so that a storage
 * daemon can take it too.
 */

/* Options that are read here and do not go into the graph as they stand. */
static const char *const own_keys[] = {
	"if", "id", "file", "format", "driver", "media", "cache", "cache.direct", "cache.no-flush",
	"cache.writeback", "aio", "discard", "detect-zeroes", "readonly", "read-only",
	"auto-read-only", "werror", "rerror", "snapshot", "copy-on-read", "index", "bus", "unit",
	"node-name", "stats-account-invalid", "stats-account-failed", NULL,
};

struct drive {
	struct opt_set *set;
	struct plan_image *image;
	struct level level;
	struct opt_set *graph;
	const char *node;
};

/* ---- Single options ---- */

struct cache_mode {
	const char *name;
	bool writeback, direct, no_flush;
};

static const struct cache_mode cache_modes[] = {
	{ "writeback", true, false, false },
	{ "none", true, true, false },
	{ "off", true, true, false },
	{ "writethrough", false, false, false },
	{ "directsync", false, true, false },
	{ "unsafe", true, false, true },
};

static bool read_cache(struct drive *d, GError **error)
{
	const char *name = opt_get(d->set, "cache");
	size_t i = 0;

	d->image->writeback = true;
	if (name) {
		while (i < G_N_ELEMENTS(cache_modes) && strcmp(cache_modes[i].name, name))
			i++;
		if (i == G_N_ELEMENTS(cache_modes))
			return opt_bad(d->set, error, "invalid cache option");
		d->image->writeback = cache_modes[i].writeback;
		d->level.direct = cache_modes[i].direct;
		d->level.no_flush = cache_modes[i].no_flush;
	}
	return opt_get_bool(d->set, "cache.direct", &d->level.direct, error) &&
	       opt_get_bool(d->set, "cache.no-flush", &d->level.no_flush, error) &&
	       opt_get_bool(d->set, "cache.writeback", &d->image->writeback, error);
}

/* A word of a list of names; several may mean the same. */
struct word {
	const char *name;
	int value;
};

static bool read_word(const char *text, const struct word *words, int *ret)
{
	for (; words->name; words++) {
		if (!strcmp(words->name, text)) {
			*ret = words->value;
			return true;
		}
	}
	return false;
}

static bool read_words(struct drive *d, GError **error)
{
	static const struct word aios[] = {
		{ "threads", PLAN_AIO_THREADS }, { "native", PLAN_AIO_NATIVE },
		{ "io_uring", PLAN_AIO_IO_URING }, { NULL },
	};
	static const struct word discards[] = {
		{ "off", false }, { "ignore", false }, { "on", true }, { "unmap", true }, { NULL },
	};
	static const struct word zeroes[] = { { "off", 0 }, { "on", 1 }, { "unmap", 2 }, { NULL } };
	const char *aio = opt_get(d->set, "aio"), *discard = opt_get(d->set, "discard");
	const char *zero = opt_get(d->set, "detect-zeroes");
	int value = 0;

	if (aio && !read_word(aio, aios, &value))
		return opt_bad(d->set, error, "invalid aio option");
	d->image->aio = value;
	value = false;
	if (discard && !read_word(discard, discards, &value))
		return opt_bad(d->set, error, "Invalid discard option");
	d->level.discard = value;
	value = 0;
	if (zero && !read_word(zero, zeroes, &value))
		return opt_bad(d->set, error, "invalid parameter value: %.100s", zero);
	d->level.detect_zeroes = value;
	return true;
}

static bool read_readonly(struct drive *d, GError **error)
{
	const char *media = opt_get(d->set, "media");
	g_autofree char *alias = g_strdup(opt_get(d->set, "readonly"));

	if (alias) {
		if (opt_find(d->set, "read-only"))
			return opt_bad(d->set, error, "'read-only' and its alias 'readonly' can't "
				       "be used at the same time");
		opt_remove(d->set, "readonly");
		opt_put(d->set, "read-only", alias);
	}
	d->level.auto_readonly = true;
	if (!opt_get_bool(d->set, "read-only", &d->level.readonly, error) ||
	    !opt_get_bool(d->set, "auto-read-only", &d->level.auto_readonly, error))
		return false;
	if (media && !strcmp(media, "cdrom"))
		d->level.readonly = true;
	else if (media && strcmp(media, "disk"))
		return opt_bad(d->set, error, "'%.100s' invalid media", media);
	return true;
}

static bool read_on_error(struct drive *d, struct backend *ret, GError **error)
{
	static const struct word actions[] = {
		{ "ignore", PROP_ERROR_IGNORE }, { "stop", PROP_ERROR_STOP },
		{ "report", PROP_ERROR_REPORT }, { NULL },
	};
	const char *werror = opt_get(d->set, "werror"), *rerror = opt_get(d->set, "rerror");

	ret->werror = ret->rerror = PROP_ERROR_AUTO;
	if (werror && !strcmp(werror, "enospc"))
		ret->werror = PROP_ERROR_ENOSPC;
	else if (werror && !read_word(werror, actions, &ret->werror))
		return opt_bad(d->set, error, "'%.100s' invalid write error action", werror);
	if (rerror && !read_word(rerror, actions, &ret->rerror))
		return opt_bad(d->set, error, "'%.100s' invalid read error action", rerror);
	return true;
}

/* What QEMU does above the block graph, and a storage daemon cannot. */
static bool refuse_some(struct drive *d, GError **error)
{
	static const char *const flags[] = { "snapshot", "copy-on-read" };
	static const char *const throttles[] = { "throttling.", "bps", "iops", "group" };
	const char *bus = opt_get(d->set, "if");

	if (bus && strcmp(bus, "none")) {
		static const char *const buses[] = { "ide", "scsi", "floppy", "pflash", "mtd", "sd",
						     "virtio", "xen", NULL };

		if (!g_strv_contains(buses, bus))
			return opt_bad(d->set, error, "unsupported bus type '%.100s'", bus);
		return opt_bad(d->set, error, "machine type does not support if=%s,bus=0,unit=0",
			       bus);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(flags); i++) {
		bool on = false;

		if (!opt_get_bool(d->set, flags[i], &on, error))
			return false;
		if (on)
			return opt_fail(d->set, error, MPQ_ERROR_REFUSED,
					"%s=on is not supported by mpqemu-remote", flags[i]);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(throttles); i++)
		if (opt_has_prefix(d->set, throttles[i]))
			return opt_fail(d->set, error, MPQ_ERROR_REFUSED,
					"throttling by -drive is not supported by mpqemu-remote; "
					"use -object throttle-group and -blockdev throttle");
	return true;
}

/* ---- Where the data is ---- */

/* "nbd:unix:PATH[:exportname=NAME]" and "nbd:HOST:PORT[:exportname=NAME]". */
static bool nbd_old_name(struct drive *d, const char *text, GError **error)
{
	const char *export = strstr(text, ":exportname=");
	g_autofree char *where = export ? g_strndup(text, export - text) : g_strdup(text);
	char *port;

	if (export)
		opt_put(d->graph, "file.export", export + strlen(":exportname="));
	if (g_str_has_prefix(where, "unix:")) {
		opt_put(d->graph, "file.server.type", "unix");
		opt_put(d->graph, "file.server.path", where + strlen("unix:"));
		return true;
	}
	port = strrchr(where, ':');
	if (!port)
		return opt_bad(d->set, error, "error parsing address '%.100s'", where);
	*port++ = '\0';
	opt_put(d->graph, "file.server.type", "inet");
	opt_put(d->graph, "file.server.host", where);
	opt_put(d->graph, "file.server.port", port);
	return true;
}

/* "nbd://HOST[:PORT]/[EXPORT]" and "nbd+unix:///[EXPORT]?socket=PATH". */
static bool nbd_uri(struct drive *d, const char *text, GError **error)
{
	g_autoptr(GUri) uri = g_uri_parse(text, G_URI_FLAGS_NONE, NULL);
	g_autoptr(GHashTable) query = NULL;
	const char *path;

	if (uri && g_uri_get_query(uri))
		query = g_uri_parse_params(g_uri_get_query(uri), -1, "&;", G_URI_PARAMS_NONE, NULL);
	path = query ? g_hash_table_lookup(query, "socket") : NULL;
	if (uri && !strcmp(g_uri_get_scheme(uri), "nbd+unix") && path) {
		opt_put(d->graph, "file.server.type", "unix");
		opt_put(d->graph, "file.server.path", path);
	} else if (uri && strcmp(g_uri_get_scheme(uri), "nbd+unix") && !query &&
		   g_uri_get_host(uri) && *g_uri_get_host(uri)) {
		g_autofree char *port = g_strdup_printf("%d", g_uri_get_port(uri) > 0 ?
							g_uri_get_port(uri) : 10809);

		opt_put(d->graph, "file.server.type", "inet");
		opt_put(d->graph, "file.server.host", g_uri_get_host(uri));
		opt_put(d->graph, "file.server.port", port);
	} else {
		return opt_bad(d->set, error, "Invalid URI");
	}
	path = g_uri_get_path(uri);
	path += *path == '/';
	if (*path)
		opt_put(d->graph, "file.export", path);
	return true;
}

static bool name_nbd(struct drive *d, const char *text, GError **error)
{
	opt_put(d->graph, "file.driver", "nbd");
	if (g_str_has_prefix(text, "nbd:") && !g_str_has_prefix(text, "nbd://"))
		return nbd_old_name(d, text + strlen("nbd:"), error);
	return nbd_uri(d, text, error);
}

static bool name_null(struct drive *d, const char *text, GError **error)
{
	g_autofree char *protocol = g_strndup(text, strcspn(text, ":"));

	if (strcmp(text + strlen(protocol), "://"))
		return opt_bad(d->set, error,
			       "The only allowed filename for this driver is '%s://'", protocol);
	opt_put(d->graph, "file.driver", protocol);
	return true;
}

static bool name_url(struct drive *d, const char *text, GError **error)
{
	g_autofree char *protocol = g_strndup(text, strcspn(text, ":"));

	opt_put(d->graph, "file.driver", protocol);
	opt_put(d->graph, "file.url", text);
	return true;
}

static bool name_path(struct drive *d, const char *text, GError **error)
{
	if (g_str_has_prefix(text, "file:"))
		text += strlen("file:");
	opt_put(d->graph, "file.driver", "file");
	opt_put(d->graph, "file.filename", text);
	return true;
}

/* The file= of a -drive: a path, or "PROTOCOL:..." with a colon before any slash. */
static bool read_filename(struct drive *d, const char *text, GError **error)
{
	static const struct {
		const char *protocol;
		bool (*read)(struct drive *d, const char *text, GError **error);
	} rows[] = {
		{ "file", name_path }, { "nbd", name_nbd }, { "nbd+tcp", name_nbd },
		{ "nbd+unix", name_nbd }, { "null-co", name_null }, { "null-aio", name_null },
		{ "http", name_url }, { "https", name_url }, { "ftp", name_url },
		{ "ftps", name_url },
	};
	g_autofree char *protocol = g_strndup(text, strcspn(text, ":/"));

	if (text[strlen(protocol)] != ':')
		return name_path(d, text, error);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		if (!strcmp(rows[i].protocol, protocol))
			return rows[i].read(d, text, error);
	if (block_driver_is_protocol(protocol))
		return opt_fail(d->set, error, MPQ_ERROR_REFUSED, "protocol '%s' is not "
				"supported by mpqemu-remote as a file name; use -blockdev",
				protocol);
	return opt_bad(d->set, error, "Unknown protocol '%.100s'", protocol);
}

/* file=json:{...}: the options of the whole graph.  Those written outside count more. */
static bool merge_json(struct drive *d, GError **error)
{
	static const struct opt_syntax json = { .json = true };
	g_autofree char *text = g_strdup(opt_get(d->set, "file"));
	auto_opt_set inner = NULL;

	if (!text || !g_str_has_prefix(text, "json:"))
		return true;
	if (text[strlen("json:")] != '{')
		return opt_bad(d->set, error, "Could not parse the JSON options: JSON parse error");
	inner = opt_set_parse(d->set->where, text + strlen("json:"), &json, error);
	if (!inner)
		return false;
	if (opt_find(inner, "file"))
		return opt_fail(d->set, error, MPQ_ERROR_REFUSED,
				"a node name in file=json: is not supported by mpqemu-remote");
	opt_remove(d->set, "file");
	for (size_t i = 0; i < inner->count; i++)
		if (!opt_find(d->set, inner->opt[i].key))
			opt_put(d->set, inner->opt[i].key, inner->opt[i].value);
	return true;
}

/* ---- The graph ---- */

static void put_bool(struct opt_set *set, const char *key, bool value)
{
	opt_put(set, key, value ? "on" : "off");
}

static bool set_node_name(struct drive *d, const char *id, unsigned index, GError **error)
{
	const char *given = opt_get(d->set, "node-name");

	if (given && !node_name_wellformed(given))
		return opt_bad(d->set, error, "Invalid node-name: '%.100s'", given);
	if (given)
		d->image->node = g_strdup(given);
	else if (id && node_name_wellformed(id))
		d->image->node = g_strdup(id);
	else
		d->image->node = g_strdup_printf("drive%u", index);
	return true;
}

/* -drive reads these as sizes, -blockdev as plain numbers. */
static void put_value(struct drive *d, const struct opt *opt)
{
	static const char *const sizes[] = {
		"size", "offset", "cache-size", "l2-cache-size", "l2-cache-entry-size",
		"refcount-cache-size", "prealloc-size", "prealloc-align", "readahead", NULL,
	};
	const char *dot = strrchr(opt->key, '.');
	g_autofree char *number = NULL;
	uint64_t size = 0;

	if (g_strv_contains(sizes, dot ? dot + 1 : opt->key) &&
	    opt_get_size(d->set, opt->key, &size, NULL))
		number = g_strdup_printf("%" G_GUINT64_FORMAT, size);
	opt_put(d->graph, opt->key, number ? number : opt->value);
}

/* file.host, file.port and file.path: QEMU's older spelling of an nbd server. */
static void put_option(struct drive *d, const struct opt *opt, bool nbd)
{
	static const char *const old[][3] = {
		{ "file.path", "file.server.path", "unix" },
		{ "file.host", "file.server.host", "inet" },
		{ "file.port", "file.server.port", "inet" },
	};

	for (size_t i = 0; nbd && i < G_N_ELEMENTS(old); i++) {
		if (strcmp(opt->key, old[i][0]))
			continue;
		opt_put(d->graph, "file.server.type", old[i][2]);
		opt_put(d->graph, old[i][1], opt->value);
		return;
	}
	put_value(d, opt);
}

/* The options of the format and of what lies below it. */
static bool put_rest(struct drive *d, GError **error)
{
	const char *file = opt_get(d->set, "file"), *protocol = opt_get(d->set, "file.driver");
	bool top = !protocol && block_driver_is_protocol(opt_get(d->graph, "driver"));
	bool nbd;

	if (file && *file && top) {
		opt_put(d->graph, "filename", file);
	} else if (file && *file && protocol) {
		opt_put(d->graph, "file.driver", protocol);
		opt_put(d->graph, "file.filename", file);
	} else if (file && *file && !read_filename(d, file, error)) {
		return false;
	}
	if (block_driver_has_file(opt_get(d->graph, "driver")) &&
	    !opt_find(d->graph, "file.driver")) {
		if (!protocol && !opt_find(d->set, "file.filename"))
			return opt_bad(d->set, error,
				       "A block device must be specified for \"file\"");
		opt_put(d->graph, "file.driver", protocol ? protocol : "file");
	}
	nbd = !g_strcmp0(opt_get(d->graph, "file.driver"), "nbd");
	for (size_t i = 0; i < d->set->count; i++)
		if (!g_strv_contains(own_keys, d->set->opt[i].key))
			put_option(d, &d->set->opt[i], nbd);
	return true;
}

static bool check_drivers(struct drive *d, GError **error)
{
	const char *below = opt_get(d->graph, "file.driver"), *driver = opt_get(d->graph, "driver");
	const char *unknown;

	if (below && !block_driver_known(below))
		return opt_bad(d->set, error, "Unknown driver '%.100s'", below);
	unknown = d->image->probe ? NULL : level_unknown(d->graph, "", driver);
	if (unknown)
		return opt_bad(d->set, error,
			       block_driver_is_protocol(driver) ?
			       "Block protocol '%s' doesn't support the option '%.200s'" :
			       "Block format '%s' does not support the option '%.200s'",
			       driver, unknown);
	unknown = below ? level_unknown(d->graph, "file.", below) : NULL;
	if (unknown)
		return opt_bad(d->set, error,
			       "Block protocol '%s' doesn't support the option '%.200s'", below,
			       unknown);
	return true;
}

static bool read_driver(struct drive *d, GError **error)
{
	const char *format = opt_get(d->set, "format"), *driver = opt_get(d->set, "driver");

	if (format && driver)
		return opt_bad(d->set, error, "Cannot specify both 'driver' and 'format'");
	format = format ? format : driver;
	if (format && !block_driver_known(format))
		return opt_bad(d->set, error, "Unknown driver '%.100s'", format);
	d->image->probe = !format;
	opt_put(d->graph, "driver", format ? format : "raw");
	return true;
}

/* The flags of the graph's top, which the levels below inherit. */
static void put_flags(struct drive *d)
{
	static const char *const zeroes[] = { "off", "on", "unmap" };

	opt_put(d->graph, "node-name", d->image->node);
	put_bool(d->graph, "read-only", d->level.readonly);
	put_bool(d->graph, "auto-read-only", d->level.auto_readonly);
	put_bool(d->graph, "cache.direct", d->level.direct);
	put_bool(d->graph, "cache.no-flush", d->level.no_flush);
	opt_put(d->graph, "discard", d->level.discard ? "unmap" : "ignore");
	opt_put(d->graph, "detect-zeroes", zeroes[d->level.detect_zeroes]);
}

static bool make_graph(struct drive *d, GError **error)
{
	static const char *const aios[] = { "threads", "native", "io_uring" };
	struct plan_image *image = d->image;
	const char *prefix, *protocol, *driver;

	if (!read_driver(d, error))
		return false;
	put_flags(d);
	if (!put_rest(d, error) || !check_drivers(d, error))
		return false;
	protocol = opt_get(d->graph, "file.driver");
	prefix = protocol ? "file." : "";
	driver = opt_get(d->graph, "driver");
	if (!protocol && block_driver_is_protocol(driver)) {
		protocol = driver;
		driver = "raw";
	}
	image->protocol = g_strdup(protocol);
	image->driver = g_strdup(driver);
	if (opt_find(d->set, "aio") && protocol &&
	    (!strcmp(image->protocol, "file") || !strcmp(image->protocol, "host_device"))) {
		g_autofree char *key = g_strconcat(prefix, "aio", NULL);

		opt_put(d->graph, key, aios[image->aio]);
	}
	return protocol_read(image, d->graph, prefix, true, error);
}

/* Is there nothing that says where the data is? */
static bool no_medium(const struct drive *d)
{
	static const char *const place_keys[] = { "driver", "format", "node-name", "cache",
						  "cache.direct", "cache.no-flush",
						  "auto-read-only", NULL };
	const char *file = opt_get(d->set, "file");

	if (file && *file)
		return false;
	for (size_t i = 0; i < d->set->count; i++) {
		const char *key = d->set->opt[i].key;

		if (!g_strv_contains(own_keys, key) || g_strv_contains(place_keys, key))
			return false;
	}
	return true;
}

static bool has_place(const struct drive *d)
{
	return opt_find(d->set, "file") || opt_find(d->set, "driver") ||
	       opt_find(d->set, "format") || opt_has_prefix(d->set, "file.");
}

static bool read_all(struct drive *d, struct backend *ret, unsigned index, GError **error)
{
	const char *id = NULL;

	if (!opt_get_id(d->set, &id, error) || !refuse_some(d, error) || !merge_json(d, error) ||
	    !read_cache(d, error) || !read_words(d, error) || !read_readonly(d, error) ||
	    !read_on_error(d, ret, error))
		return false;
	ret->id = opt_get(d->set, "id");
	d->image->id = g_strdup(id);
	if (d->image->aio == PLAN_AIO_NATIVE && !d->level.direct)
		return opt_bad(d->set, error, "aio=native was specified, but it requires "
			       "cache.direct=on, which was not specified.");
	ret->empty = no_medium(d);
	if (ret->empty)
		return true;
	if (!has_place(d))
		return opt_bad(d->set, error, "Must specify either driver or file");
	return set_node_name(d, id, index, error) && make_graph(d, error);
}

bool drive_parse(struct backend *ret, unsigned index, GError **error)
{
	struct drive d = { .set = ret->set, .image = &ret->image };
	struct plan_image *image = &ret->image;

	*image = (struct plan_image){
		.fdset = -1, .locking = true, .where = g_strdup(ret->set->where),
		.graph = g_ptr_array_new_with_free_func((GDestroyNotify)opt_set_destroy),
	};
	d.graph = opt_set_create(ret->set->where);
	g_ptr_array_add(image->graph, d.graph);
	if (!read_all(&d, ret, index, error))
		return false;
	image->readonly = d.level.readonly;
	image->auto_readonly = d.level.auto_readonly;
	image->direct = d.level.direct;
	image->no_flush = d.level.no_flush;
	image->discard = d.level.discard;
	image->detect_zeroes = d.level.detect_zeroes;
	image_judge(image);
	return true;
}
