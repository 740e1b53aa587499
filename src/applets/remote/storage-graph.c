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

#define MAX_CHAIN 200		/* images; QEMU itself gives up on much less */

static const char *const with_backing[] = { "qcow2", "qcow", "qed", "vmdk", NULL };
static const char *const networked[] = { "ftp", "ftps", "gluster", "http", "https", "iscsi", "nfs",
					 "rbd", "ssh", NULL };

static void free_file(void *opaque)
{
	struct storage_file *file = opaque;

	g_free(file->path);
	g_free(file);
}

static void add_file(struct storage_graph *graph, const char *path, bool writable)
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

/* ---- qemu-img ---- */

/* Runs `qemu-img info` (without regard to locks: the daemon is who takes them). */
static json_t *run_info(const char *format, bool chain, const char *image, GError **error)
{
	const char *const fixed[] = { "qemu-img", "info", "-U", "--output=json" };
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	g_autofree char *out = NULL, *err = NULL;
	json_error_t why;
	json_t *json = NULL;
	int status;

	for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++)
		g_ptr_array_add(argv, (void *)(uintptr_t)fixed[i]);
	if (chain)
		g_ptr_array_add(argv, (void *)(uintptr_t)"--backing-chain");
	if (format) {
		g_ptr_array_add(argv, (void *)(uintptr_t)"-f");
		g_ptr_array_add(argv, (void *)(uintptr_t)format);
	}
	g_ptr_array_add(argv, (void *)(uintptr_t)"--");
	g_ptr_array_add(argv, (void *)(uintptr_t)image);
	g_ptr_array_add(argv, NULL);
	if (!g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out,
			  &err, &status, error))
		return NULL;
	if (status == 0)
		json = json_loads(out, 0, &why);
	if (!json) {
		g_strdelimit(g_strstrip(err), "\n", ' ');
		mpq_fail(error, MPQ_ERROR_REFUSED, "%s", g_str_has_prefix(err, "qemu-img: ") ?
			 err + strlen("qemu-img: ") : err[0] ? err : "qemu-img info failed");
	}
	return json;
}

static const char *json_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/*
 * The options below @prefix as the "json:{...}" that stands for the name of an image on that file,
 * of a format that is still open.
 */
static char *as_filename(const struct opt_set *set, const char *prefix, GError **error)
{
	auto_opt_set sub = opt_set_sub(set, prefix);
	g_autofree char *json = opt_set_to_json_text(sub, error);

	return json ? g_strconcat("json:{\"file\":", json, "}", NULL) : NULL;
}

char *storage_probe(const struct opt_set *set, const char *prefix, GError **error)
{
	g_autofree char *name = as_filename(set, prefix, error);
	json_t *info = name ? run_info(NULL, false, name, error) : NULL;
	char *format = info ? g_strdup(json_text(info, "format")) : NULL;

	if (info && !format)
		mpq_fail(error, MPQ_ERROR_REFUSED, "the format cannot be found out; give it");
	json_decref(info);
	return format;
}

/* ---- What headers name ---- */

struct work {
	const struct plan_image *image;
	GPtrArray *sets;		/* struct opt_set: copies of image->graph */
	struct storage_graph *graph;
	unsigned nodes;			/* named so far */
	bool sandboxed;
};

static const struct opt_set *find_node(const struct work *w, const char *name)
{
	for (guint i = 0; i < w->sets->len; i++)
		if (!g_strcmp0(opt_get(w->sets->pdata[i], "node-name"), name))
			return w->sets->pdata[i];
	return NULL;
}

/* The file below a format node: its name, or "json:{...}".  The caller frees. */
static char *image_name(const struct work *w, const struct opt_set *set, const char *prefix,
			GError **error)
{
	const char *reference = get(set, prefix, "file");
	const char *name = get(set, prefix, "file.filename");
	g_autofree char *below = g_strconcat(prefix, "file.", NULL);

	if (name)
		return g_strdup(name);
	if (!reference)
		return as_filename(set, below, error);
	set = find_node(w, reference);
	name = set ? opt_get(set, "filename") : NULL;
	if (name)
		return g_strdup(name);
	if (set && !opt_has_prefix(set, "file.") && !opt_get(set, "file"))
		return as_filename(set, "", error);
	mpq_fail(error, MPQ_ERROR_REFUSED, "the backing file of node '%s' cannot be found out; "
		 "name it with backing=", get(set, prefix, "node-name"));
	return NULL;
}

/* A name in a header that is no local file would send the daemon elsewhere. */
static bool is_local_name(const char *name, GError **error)
{
	const char *colon = strchr(name, ':'), *slash = strchr(name, '/');

	if (colon && (!slash || colon < slash))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "'%s', which the image names, is not a "
				"local file; describe it with -blockdev", name);
	return true;
}

/* VMDK: the files that hold the data stand in the descriptor. */
static void add_extents(struct work *w, const json_t *info, bool writable)
{
	const json_t *data = json_object_get(json_object_get(info, "format-specific"), "data");
	const json_t *extents = json_object_get(data, "extents");
	const json_t *extent;
	size_t i;

	json_array_foreach(extents, i, extent)
		if (json_text(extent, "filename"))
			add_file(w->graph, json_text(extent, "filename"), writable);
}

/* qcow2's data-file=: a raw file beside the image; relative names are relative to the image. */
static char *data_file(const json_t *info)
{
	const json_t *data = json_object_get(json_object_get(info, "format-specific"), "data");
	const char *name = json_text(data, "data-file");
	g_autofree char *dir = NULL;

	if (!name)
		return NULL;
	if (g_path_is_absolute(name))
		return g_strdup(name);
	dir = g_path_get_dirname(json_text(info, "filename"));
	return g_build_filename(dir, name, NULL);
}

static const char *node_kind(const char *path)
{
	return g_str_has_prefix(path, "/dev/") ? "host_device" : "file";
}

/* The node of one backing file, on top of the node @below (NULL: none), as JSON text. */
static char *backing_node(struct work *w, const json_t *info, const char *node, const char *below,
			  GError **error)
{
	const char *format = json_text(info, "format"), *path = json_text(info, "filename");
	g_autofree char *data = data_file(info);
	json_t *root;
	char *dump, *text;

	if (!format || !path)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "unreadable backing chain"), NULL;
	if (!is_local_name(path, error) || (data && !is_local_name(data, error)))
		return NULL;
	root = json_pack("{s:s, s:s, s:b, s:{s:b, s:b}, s:{s:s, s:s}}", "driver", format,
			 "node-name", node, "read-only", 1, "cache", "direct", w->image->direct,
			 "no-flush", w->image->no_flush, "file", "driver", node_kind(path),
			 "filename", path);
	if (g_strv_contains(with_backing, format))
		json_object_set_new(root, "backing", below ? json_string(below) : json_null());
	if (data)
		json_object_set_new(root, "data-file", json_pack("{s:s, s:s}", "driver",
				    node_kind(data), "filename", data));
	add_file(w->graph, path, false);
	add_extents(w, info, false);
	if (data)
		add_file(w->graph, data, false);
	dump = json_dumps(root, JSON_COMPACT);
	text = g_strdup(dump);
	free(dump);
	json_decref(root);
	return text;
}

/* Nodes for all but the first image of @chain, the lowest first; the topmost one's name. */
static bool add_chain(struct work *w, const json_t *chain, char **ret_top, GError **error)
{
	g_autofree char *below = NULL;

	for (size_t i = json_array_size(chain) - 1; i > 0; i--) {
		g_autofree char *node = g_strdup_printf("backing-%u", w->nodes++);
		char *text = backing_node(w, json_array_get(chain, i), node, below, error);

		if (!text)
			return false;
		g_ptr_array_add(w->graph->args, text);
		g_free(below);
		below = g_steal_pointer(&node);
	}
	*ret_top = g_steal_pointer(&below);
	return true;
}

/* Completes the node at @prefix of @set, whose driver may have files beside its own. */
static bool complete_node(struct work *w, struct opt_set *set, const char *prefix, GError **error)
{
	g_autofree char *name = image_name(w, set, prefix, error), *top = NULL, *data = NULL;
	json_t *chain = NULL;
	size_t length;
	bool ok = true;

	if (name)
		chain = run_info(get(set, prefix, "driver"), true, name, error);
	if (!chain)
		return false;
	length = json_array_size(chain);
	if (length < 1 || length > MAX_CHAIN)
		ok = mpq_fail(error, MPQ_ERROR_REFUSED, "unreadable backing chain of '%s'", name);
	if (ok) {
		add_extents(w, json_array_get(chain, 0), !w->image->readonly);
		data = data_file(json_array_get(chain, 0));
		ok = !data || is_local_name(data, error);
	}
	if (ok && data && !has(set, prefix, "data-file")) {
		put(set, prefix, "data-file.driver", node_kind(data));
		put(set, prefix, "data-file.filename", data);
	}
	if (ok && !has(set, prefix, "backing"))
		ok = add_chain(w, chain, &top, error);
	if (top)
		put(set, prefix, "backing", top);
	json_decref(chain);
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
	add_file(w->graph, path, false);
	return FILTER_UNIX;
}

static bool note_file(struct work *w, const char *path, GError **error)
{
	if (g_str_has_prefix(path, "/dev/fdset/"))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: a storage daemon cannot have a "
				"descriptor of ours", path);
	add_file(w->graph, path, !w->image->readonly);
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
		if (w->sandboxed && !strcmp(key, "aio") && !strcmp(opt->value, "io_uring"))
			put(set, prefix, "aio", "threads");
	}
	return true;
}

/* The farthest counts: who has a network has sockets of all kinds. */
static unsigned farthest(unsigned features)
{
	const unsigned network = features & (FILTER_INET | FILTER_VSOCK);

	if (network)
		return network;
	return features & FILTER_UNIX ? FILTER_UNIX : FILTER_OFFLINE;
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

bool storage_graph_make(const struct plan_image *image, bool sandboxed, struct storage_graph *ret,
			GError **error)
{
	g_autoptr(GPtrArray) sets = g_ptr_array_new_with_free_func(destroy_set);
	struct storage_graph graph = {
		.args = g_ptr_array_new_with_free_func(g_free),
		.files = g_ptr_array_new_with_free_func(free_file),
	};
	struct work w = { .image = image, .sets = sets, .graph = &graph, .sandboxed = sandboxed };
	bool ok = true;

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
