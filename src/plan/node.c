/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "plan/image.h"
#include "plan/props.h"

/* -blockdev: nodes that refer to each other by name, each defined before it is used. */

/* QEMU looks first whether all that the driver needs is there. */
static bool fail_without_name(const struct opt_set *set, const char *driver, GError **error)
{
	if (block_driver_has_file(driver) && !opt_find(set, "file") &&
	    !opt_has_prefix(set, "file."))
		return opt_bad(set, error, "Parameter 'file' is missing");
	if ((!strcmp(driver, "file") || !strcmp(driver, "host_device")) &&
	    !opt_find(set, "filename"))
		return opt_bad(set, error, "Parameter 'filename' is missing");
	return opt_bad(set, error, "'node-name' must be specified for the root node");
}

bool node_parse(struct backend *ret, GError **error)
{
	const char *driver = NULL, *name = NULL;
	const struct opt_set *set = ret->set;

	ret->is_node = true;
	ret->werror = ret->rerror = PROP_ERROR_AUTO;
	ret->image.fdset = -1;
	if (set->help)
		return opt_bad(set, error, "Help is not available for this option");
	if (!opt_get_string(set, "driver", &driver, error) ||
	    !opt_get_string(set, "node-name", &name, error))
		return false;
	if (!driver)
		return opt_bad(set, error, "Parameter 'driver' is missing");
	if (!block_driver_known(driver))
		return opt_bad(set, error, "Parameter 'driver' does not accept value '%.100s'",
			       driver);
	if (!name)
		return fail_without_name(set, driver, error);
	if (strlen(name) > NODE_NAME_MAX)
		return opt_bad(set, error, "Node name too long");
	if (!node_name_wellformed(name))
		return opt_bad(set, error, "Invalid node-name: '%.100s'", name);
	if (opt_find(set, "cache"))
		return opt_bad(set, error, "Invalid parameter type for 'cache', expected: object");
	ret->id = name;
	return true;
}

/* The node of that name before @index, or NULL. */
static struct backend *node_before(struct backend *const *backends, size_t index, const char *name)
{
	while (index-- > 0)
		if (backends[index]->is_node && !strcmp(backends[index]->id, name))
			return backends[index];
	return NULL;
}

static bool fail_reference(const struct opt_set *set, const char *name, GError **error)
{
	return opt_bad(set, error, "Cannot find device='%.100s' nor node-name='%.100s'", name,
		       name);
}

static const char *last_name(const char *key)
{
	const char *dot = strrchr(key, '.');

	return dot ? dot + 1 : key;
}

/*
 * Does the option name another node?  Those keys do in QEMU's schema; others ("data-file",
 * "test", "raw", "children.0") are found by what they name.
 */
static bool must_refer(const struct opt_set *set, const struct opt *opt)
{
	g_autofree char *nested = g_strconcat(opt->key, ".", NULL);
	const char *name = last_name(opt->key);

	return opt->type == OPT_STRING && *opt->value && !opt_has_prefix(set, nested) &&
	       (!strcmp(name, "file") || !strcmp(name, "backing"));
}

static bool may_refer(const struct opt *opt)
{
	static const char *const never[] = { "driver", "node-name", "filename", "id", "path",
					     NULL };

	return opt->type == OPT_STRING && !g_strv_contains(never, last_name(opt->key));
}

static bool in_graph(const GPtrArray *graph, const char *name)
{
	for (guint i = 0; i < graph->len; i++)
		if (!strcmp(opt_get(graph->pdata[i], "node-name"), name))
			return true;
	return false;
}

/*
 * Appends copies of the options of @backends[index] and of all that it refers to, those first.  A
 * node refers only to earlier ones, so the depth is bounded by a chain that the user wrote out.
 */
static bool collect(struct backend *const *backends, size_t index, GPtrArray *graph, int depth,
		    GError **error)
{
	const struct opt_set *set = backends[index]->set;

	if (depth > 256)
		return opt_bad(set, error, "the graph is nested too deeply");
	for (size_t i = 0; i < set->count; i++) {
		const struct opt *opt = &set->opt[i];
		size_t at = index;

		if (!may_refer(opt))
			continue;
		while (at-- > 0)
			if (backends[at]->is_node && !strcmp(backends[at]->id, opt->value))
				break;
		if (at < index && !in_graph(graph, opt->value) &&
		    !collect(backends, at, graph, depth + 1, error))
			return false;
		if (at >= index && must_refer(set, opt))
			return fail_reference(set, opt->value, error);
	}
	g_ptr_array_add(graph, opt_set_copy(set));
	return true;
}

static bool check_keys(const struct opt_set *set, const char *prefix, const char *driver,
		       GError **error)
{
	const char *unknown = level_unknown(set, prefix, driver);

	if (!unknown)
		return true;
	return opt_bad(set, error, "Parameter '%s%.200s' is unexpected", prefix, unknown);
}

/* The node below, written as nested options or by name. */
struct child {
	const struct opt_set *set;
	const char *prefix;
	const char *driver;
};

static bool find_child(struct backend *const *backends, size_t index, struct child *ret,
		       GError **error)
{
	const struct opt_set *set = backends[index]->set;
	const char *name = NULL;
	const struct backend *node;

	if (opt_has_prefix(set, "file.")) {
		*ret = (struct child){ set, "file.", NULL };
		if (!opt_get_string(set, "file.driver", &ret->driver, error))
			return false;
		if (!ret->driver)
			return opt_bad(set, error, "Parameter 'file.driver' is missing");
		if (!block_driver_known(ret->driver))
			return opt_bad(set, error,
				       "Parameter 'file.driver' does not accept value '%.100s'",
				       ret->driver);
		return true;
	}
	if (!opt_get_string(set, "file", &name, error))
		return false;
	if (!name)
		return opt_bad(set, error, "Parameter 'file' is missing");
	node = node_before(backends, index, name);
	if (!node)
		return fail_reference(set, name, error);
	*ret = (struct child){ node->set, "", opt_get(node->set, "driver") };
	return true;
}

static void set_flags(struct plan_image *image, const struct level *top, const struct level *below)
{
	image->readonly = top->readonly || below->readonly;
	image->auto_readonly = top->auto_readonly || below->auto_readonly;
	image->direct = below->direct;
	image->no_flush = top->no_flush || below->no_flush;
	image->discard = top->discard && below->discard;
	image->detect_zeroes = top->detect_zeroes;
}

/* An image whose top is a format (raw counts as one). */
static bool read_format(struct backend *const *backends, size_t index, struct plan_image *image,
			GError **error)
{
	const struct opt_set *set = backends[index]->set;
	struct level top = { 0 }, below;
	struct child child;

	if (!level_read(set, "", &top, error) || !check_keys(set, "", image->driver, error) ||
	    !find_child(backends, index, &child, error))
		return false;
	/* a nested node inherits, one of its own does not; formats let discards through to it */
	below = (struct level){ .direct = top.direct && *child.prefix,
				.discard = *child.prefix != '\0' };
	if (!level_read(child.set, child.prefix, &below, error) ||
	    !check_keys(child.set, child.prefix, child.driver, error))
		return false;
	image->protocol = g_strdup(child.driver);
	set_flags(image, &top, &below);
	return protocol_read(image, child.set, child.prefix, false, error);
}

static bool read_protocol(struct backend *const *backends, size_t index, struct plan_image *image,
			  GError **error)
{
	const struct opt_set *set = backends[index]->set;
	struct level level = { 0 };

	image->protocol = g_strdup(image->driver);
	g_free(image->driver);
	image->driver = g_strdup("raw");
	if (!level_read(set, "", &level, error) || !check_keys(set, "", image->protocol, error))
		return false;
	set_flags(image, &level, &level);
	return protocol_read(image, set, "", false, error);
}

bool node_image(struct backend *const *backends, size_t index, struct plan_image *ret,
		GError **error)
{
	const struct backend *node = backends[index];
	const char *driver = opt_get(node->set, "driver");
	struct level level = { 0 };
	bool good;

	*ret = (struct plan_image){
		.id = g_strdup(node->id), .where = g_strdup(node->set->where),
		.driver = g_strdup(driver), .node = g_strdup(node->id), .fdset = -1,
		.is_node = true,
		.writeback = true, .locking = true,
		.graph = g_ptr_array_new_with_free_func((GDestroyNotify)opt_set_destroy),
	};
	good = collect(backends, index, ret->graph, 0, error);
	if (good && block_driver_is_protocol(driver))
		good = read_protocol(backends, index, ret, error);
	else if (good && block_driver_has_file(driver))
		good = read_format(backends, index, ret, error);
	else if (good && level_read(node->set, "", &level, error))
		set_flags(ret, &level, &level);
	else
		good = false;
	if (good && ret->aio == PLAN_AIO_NATIVE && !ret->direct)
		good = opt_bad(node->set, error, "aio=native was specified, but it requires "
			       "cache.direct=on, which was not specified.");
	if (good)
		image_judge(ret);
	else
		image_finish(ret);
	return good;
}
