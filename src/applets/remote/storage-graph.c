/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block graphs for a storage daemon: the user's, with all that image headers name made explicit.
 * A node without "backing" would have the daemon follow whatever name the header has, in whatever
 * format it looks like.
 */
#include <string.h>

#include <jansson.h>

#include "applets/remote/storage-priv.h"
#include "base/error.h"
#include "base/log.h"
#include "plan/image.h"

#define MAX_CHAIN 200		/* images; QEMU itself gives up on much less */

/* What an image below another one may be: formats, nothing that goes elsewhere. */
static const char *const formats[] = { "bochs", "cloop", "dmg", "parallels", "qcow", "qcow2", "qed",
				       "raw", "vdi", "vhdx", "vmdk", "vpc", NULL };
static const char *const with_backing[] = { "qcow2", "qcow", "qed", "vmdk", NULL };
static const char *const networked[] = { "ftp", "ftps", "gluster", "http", "https", "iscsi", "nfs",
					 "rbd", "ssh", NULL };

static void free_file(void *opaque)
{
	struct storage_file *file = opaque;

	g_free(file->path);
	g_free(file);
}

void storage_graph_add_file(struct storage_graph *graph, const char *path, bool writable)
{
	struct storage_file *file = g_new0(struct storage_file, 1);

	file->path = g_strdup(path);
	file->writable = writable;
	g_ptr_array_add(graph->files, file);
}

static const char *get(const struct opt_set *set, const char *prefix, const char *key)
{
	g_autofree char *full = g_strconcat(prefix, key, NULL);

	return opt_get(set, full);
}

static bool has(const struct opt_set *set, const char *prefix, const char *key)
{
	g_autofree char *nested = g_strconcat(prefix, key, ".", NULL);

	return get(set, prefix, key) || opt_has_prefix(set, nested);
}

static void put(struct opt_set *set, const char *prefix, const char *key, const char *value)
{
	g_autofree char *full = g_strconcat(prefix, key, NULL);

	opt_put(set, full, value);
}

/* ---- Nodes ---- */

struct work {
	const struct plan_image *image;
	GPtrArray *sets;		/* struct opt_set: copies of image->graph */
	struct storage_graph *graph;
	unsigned nodes;			/* named so far */
	enum sandbox_level level;
};

static const struct opt_set *find_node(const struct work *w, const char *name)
{
	for (guint i = 0; i < w->sets->len; i++)
		if (!g_strcmp0(opt_get(w->sets->pdata[i], "node-name"), name))
			return w->sets->pdata[i];
	return NULL;
}

/* ---- Files, and how far it reaches ---- */

/* How far the node at @prefix reaches; the socket of its server is a file, too. */
static unsigned node_reach(struct work *w, const struct opt_set *set, const char *prefix)
{
	const char *driver = get(set, prefix, "driver"), *type = get(set, prefix, "server.type");
	const char *path = get(set, prefix, type ? "server.path" : "path");

	if (g_strv_contains(networked, driver))
		return FILTER_INET;
	if (strcmp(driver, "nbd"))
		return FILTER_OFFLINE;
	if (!g_strcmp0(type, "vsock"))
		return FILTER_VSOCK;
	if (!path)
		return FILTER_INET;
	storage_graph_add_file(w->graph, path, false);
	return FILTER_UNIX;
}

static bool note_file(struct work *w, const char *path, GError **error)
{
	if (g_str_has_prefix(path, "/dev/fdset/"))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: a storage daemon cannot have a "
				"descriptor of ours", path);
	storage_graph_add_file(w->graph, path, !w->image->readonly);
	return true;
}

/* Notes every file and whether something goes over the network. */
static bool note_files(struct work *w, struct opt_set *set, GError **error)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct opt *opt = &set->opt[i];
		const char *key = strrchr(opt->key, '.') ? strrchr(opt->key, '.') + 1 : opt->key;
		g_autofree char *prefix = g_strndup(opt->key, key - opt->key);

		if (!strcmp(key, "filename") && !note_file(w, opt->value, error))
			return false;
		if (!strcmp(key, "driver"))
			w->graph->features |= node_reach(w, set, prefix);
		/* io_uring goes round a system-call filter: no daemon in a sandbox has it. */
		if (w->level != SANDBOX_OFF && !strcmp(key, "aio") &&
		    !strcmp(opt->value, "io_uring"))
			put(set, prefix, "aio", "threads");
	}
	return true;
}

/* The farthest counts, and whether there is a UNIX socket besides. */
static unsigned farthest(unsigned features)
{
	const unsigned network = features & (FILTER_INET | FILTER_VSOCK);

	if (network)
		return network | (features & FILTER_UNIX ? FILTER_UNIX_TOO : 0);
	return features & FILTER_UNIX ? FILTER_UNIX : FILTER_OFFLINE;
}

/* ---- Sources: the files whose headers are read ---- */

/*
 * The options below @prefix as the "json:{...}" that stands for the name of an image on that file,
 * of a format that is still open.
 */
static char *as_filename(const struct opt_set *set, GError **error)
{
	g_autofree char *json = opt_set_to_json_text(set, error);

	return json ? g_strconcat("json:{\"file\":", json, "}", NULL) : NULL;
}

/* A local file.  Its name is a name and no address, whatever it looks like. */
static void source_path(struct storage_source *source, const char *path)
{
	const char *colon = strchr(path, ':'), *slash = strchr(path, '/');

	source->path = g_strdup(path);
	source->name = g_strconcat(colon && (!slash || colon < slash) ? "./" : "", path, NULL);
	storage_graph_add_file(&source->graph, path, false);
}

/* What the options @set of a protocol node and those below it name.  Read-only. */
static bool source_node(struct work *w, struct storage_source *source, struct opt_set *set,
			GError **error)
{
	struct storage_graph *graph = w->graph;
	bool ok;

	w->graph = &source->graph;
	ok = note_files(w, set, error);
	w->graph = graph;
	source->graph.features = farthest(source->graph.features);
	for (guint i = 0; i < source->graph.files->len; i++)
		((struct storage_file *)source->graph.files->pdata[i])->writable = false;
	source->name = ok ? as_filename(set, error) : NULL;
	return source->name;
}

static void source_init(struct storage_source *source, enum sandbox_level level)
{
	*source = (struct storage_source){ .level = level };
	storage_graph_init(&source->graph);
	source->graph.features = FILTER_OFFLINE;
}

/* The file below the format node at @prefix. */
static bool source_below(struct work *w, const struct opt_set *set, const char *prefix,
			 struct storage_source *source, GError **error)
{
	const char *reference = get(set, prefix, "file");
	g_autofree char *below = g_strconcat(prefix, "file.", NULL);
	const struct opt_set *node = reference ? find_node(w, reference) : NULL;
	auto_opt_set sub = node ? opt_set_copy(node) : opt_set_sub(set, below);
	const char *path = opt_get(sub, "filename"), *driver = opt_get(sub, "driver");

	if (reference && (!node || (!path && (opt_has_prefix(sub, "file.") ||
					      opt_get(sub, "file")))))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "the backing file of node '%s' cannot "
				"be found out; name it with backing=",
				get(set, prefix, "node-name"));
	if (path && (!driver || !strcmp(driver, "file") || !strcmp(driver, "host_device"))) {
		source_path(source, path);
		return true;
	}
	return source_node(w, source, sub, error);
}

char *storage_probe(enum sandbox_level level, const struct opt_set *set, const char *prefix,
		    GError **error)
{
	static const struct plan_image image = { .readonly = true };
	auto_opt_set sub = opt_set_sub(set, prefix);
	struct work w = { .image = &image, .level = level };
	struct storage_source source;
	struct storage_header header;
	char *format = NULL;

	source_init(&source, level);
	if (source_node(&w, &source, sub, error) &&
	    storage_header_read(&source, NULL, &header, error)) {
		format = g_steal_pointer(&header.format);
		storage_header_finish(&header);
	}
	storage_source_finish(&source);
	if (format && !g_strv_contains(formats, format) && strcmp(format, "luks")) {
		mpq_fail(error, MPQ_ERROR_REFUSED, "the format cannot be found out; give it");
		g_clear_pointer(&format, g_free);
	}
	return format;
}

/* ---- What headers name ---- */

/* VMDK: the files that hold the data stand in the descriptor. */
static void add_extents(struct work *w, const struct storage_header *header, bool writable)
{
	for (guint i = 0; i < header->extents->len; i++)
		storage_graph_add_file(w->graph, header->extents->pdata[i], writable);
}

static const char *node_kind(const char *path)
{
	return g_str_has_prefix(path, "/dev/") ? "host_device" : "file";
}

/*
 * qcow2's data-file=, a raw file that is written to: the user has to name it, or at SANDBOX_OFF it
 * is warned of.
 */
static bool data_path(struct work *w, const struct storage_source *source,
		      const struct storage_header *header, char **ret, GError **error)
{
	if (!header->data_file)
		return true;
	if (w->level != SANDBOX_OFF)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "'%s' has its data in '%s', as only its "
				"header says; name that with data-file= (data-file.driver=file, "
				"data-file.filename=)", source->name, header->data_file);
	log_warning("'%s' has its data in '%s', as only its header says", source->name,
		    header->data_file);
	*ret = storage_header_path(w->level, source->path, header->data_file, error);
	return *ret;
}

/* The node of one backing file, on top of the node @below (NULL: none), as JSON text. */
static char *backing_node(struct work *w, const char *path, const char *format, const char *data,
			  const char *node, const char *below)
{
	json_t *root = json_pack("{s:s, s:s, s:b, s:{s:b, s:b}, s:{s:s, s:s}}", "driver", format,
				 "node-name", node, "read-only", 1, "cache", "direct",
				 w->image->direct, "no-flush", w->image->no_flush, "file", "driver",
				 node_kind(path), "filename", path);
	char *dump, *text;

	if (g_strv_contains(with_backing, format))
		json_object_set_new(root, "backing", below ? json_string(below) : json_null());
	if (data)
		json_object_set_new(root, "data-file", json_pack("{s:s, s:s}", "driver",
				    node_kind(data), "filename", data));
	dump = json_dumps(root, JSON_COMPACT);
	text = g_strdup(dump);
	free(dump);
	json_decref(root);
	return text;
}

static bool add_backing(struct work *w, const struct storage_source *above,
			const struct storage_header *header, unsigned depth, char **ret_node,
			GError **error);

/* With the disk's own: clients of the monitor see the nodes of all daemons in one list. */
static char *backing_name(struct work *w)
{
	g_autofree char *name = g_strdup_printf("backing-%u.%s", w->nodes++, w->image->node);

	return g_strndup(name, NODE_NAME_MAX);
}

/* The image that @source is, and what is below it: the name of its node. */
static bool add_image(struct work *w, struct storage_source *source, const char *format,
		      unsigned depth, char **ret_node, GError **error)
{
	struct storage_header header = { .extents = NULL };
	g_autofree char *below = NULL, *data = NULL, *node = NULL;
	bool ok = true, read = !format || g_strv_contains(with_backing, format);

	if (format && !g_strv_contains(formats, format))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "'%s' is of format '%s', as the image "
				"above it says; describe it with -blockdev", source->path, format);
	if (read && !storage_header_read(source, format, &header, error))
		return false;
	if (!format)
		format = header.format;
	if (!g_strv_contains(formats, format))
		ok = mpq_fail(error, MPQ_ERROR_REFUSED, "'%s' is of format '%s'; describe it with "
			      "-blockdev", source->path, format);
	ok = ok && (!read || (data_path(w, source, &header, &data, error) &&
			      add_backing(w, source, &header, depth + 1, &below, error)));
	if (ok) {
		storage_graph_add_file(w->graph, source->path, false);
		if (read)
			add_extents(w, &header, false);
		if (data)
			storage_graph_add_file(w->graph, data, false);
		node = backing_name(w);
		g_ptr_array_add(w->graph->args,
				backing_node(w, source->path, format, data, node, below));
		*ret_node = g_steal_pointer(&node);
	}
	if (read)
		storage_header_finish(&header);
	return ok;
}

/* Nodes for what the header of @above names, the lowest first; the topmost one's name or NULL. */
static bool add_backing(struct work *w, const struct storage_source *above,
			const struct storage_header *header, unsigned depth, char **ret_node,
			GError **error)
{
	g_autofree char *path = NULL;
	struct storage_source source;
	bool ok;

	if (!header->backing)
		return true;
	if (depth > MAX_CHAIN)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "the backing chain at '%s' has no end",
				above->name);
	path = storage_header_path(w->level, above->path, header->backing, error);
	if (!path)
		return false;
	source_init(&source, w->level);
	source_path(&source, path);
	ok = add_image(w, &source, header->backing_format, depth, ret_node, error);
	storage_source_finish(&source);
	return ok;
}

/* What the header of the user's node at @prefix says and its options do not. */
static bool complete_from(struct work *w, struct opt_set *set, const char *prefix,
			  const struct storage_source *source, const struct storage_header *header,
			  GError **error)
{
	g_autofree char *top = NULL, *data = NULL;

	add_extents(w, header, !w->image->readonly);
	if (!has(set, prefix, "data-file") && !data_path(w, source, header, &data, error))
		return false;
	if (data) {
		put(set, prefix, "data-file.driver", node_kind(data));
		put(set, prefix, "data-file.filename", data);
	}
	if (!has(set, prefix, "backing") && !add_backing(w, source, header, 1, &top, error))
		return false;
	if (top)
		put(set, prefix, "backing", top);
	return true;
}

/* Completes the node at @prefix of @set, whose driver may have files beside its own. */
static bool complete_node(struct work *w, struct opt_set *set, const char *prefix, GError **error)
{
	struct storage_source source;
	struct storage_header header;
	bool ok;

	source_init(&source, w->level);
	ok = source_below(w, set, prefix, &source, error) &&
	     storage_header_read(&source, get(set, prefix, "driver"), &header, error);
	if (ok) {
		ok = complete_from(w, set, prefix, &source, &header, error);
		storage_header_finish(&header);
	}
	storage_source_finish(&source);
	return ok;
}

/* The node at @prefix and those nested in it. */
static bool complete_level(struct work *w, struct opt_set *set, const char *prefix, GError **error)
{
	static const char *const below[] = { "file.", "backing." };
	const char *driver = get(set, prefix, "driver");

	if (!driver)
		return true;
	if (g_strv_contains(with_backing, driver) && !complete_node(w, set, prefix, error))
		return false;
	for (size_t i = 0; i < G_N_ELEMENTS(below); i++) {
		g_autofree char *nested = g_strconcat(prefix, below[i], NULL);

		if (!complete_level(w, set, nested, error))
			return false;
	}
	return true;
}

static bool add_set(struct work *w, struct opt_set *set, GError **error)
{
	char *text;

	if (!complete_level(w, set, "", error) || !note_files(w, set, error))
		return false;
	text = opt_set_to_text(set, error);
	if (text)
		g_ptr_array_add(w->graph->args, text);
	return text;
}

static void destroy_set(void *set)
{
	opt_set_destroy(set);
}

void storage_graph_init(struct storage_graph *graph)
{
	*graph = (struct storage_graph){
		.args = g_ptr_array_new_with_free_func(g_free),
		.files = g_ptr_array_new_with_free_func(free_file),
	};
}

bool storage_graph_make(const struct plan_image *image, enum sandbox_level level,
			struct storage_graph *ret, GError **error)
{
	g_autoptr(GPtrArray) sets = g_ptr_array_new_with_free_func(destroy_set);
	struct storage_graph graph;
	struct work w = { .image = image, .sets = sets, .graph = &graph, .level = level };
	bool ok = true;

	storage_graph_init(&graph);
	for (guint i = 0; i < image->graph->len; i++)
		g_ptr_array_add(sets, opt_set_copy(image->graph->pdata[i]));
	/* A CD-ROM's node may say nothing of it. */
	if (image->readonly)
		opt_put_typed(sets->pdata[sets->len - 1], "read-only", OPT_BOOL, "on");
	for (guint i = 0; i < sets->len && ok; i++)
		ok = add_set(&w, sets->pdata[i], error);
	graph.features = farthest(graph.features);
	if (ok)
		*ret = graph;
	else
		storage_graph_finish(&graph);
	return ok;
}

void storage_graph_finish(struct storage_graph *graph)
{
	g_ptr_array_unref(graph->args);
	g_ptr_array_unref(graph->files);
}
