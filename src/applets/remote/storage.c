/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/storage.h"

#include <string.h>

#include "applets/remote/storage-priv.h"
#include "base/error.h"
#include "base/fd.h"

#define DAEMON "qemu-storage-daemon"
#define DAEMON_EXPORT "disk"

/* Options of an nbd node that connecting needs, or that make no difference. */
static const char *const nbd_keys[] = {
	"driver", "node-name", "read-only", "auto-read-only", "cache.direct", "cache.no-flush",
	"discard", "export", "path", "host", "port", "server.type", "server.path", "server.host",
	"server.port", NULL,
};
static const char *const raw_keys[] = {
	"driver", "node-name", "read-only", "auto-read-only", "cache.direct", "cache.no-flush",
	"discard", "detect-zeroes", NULL,
};

/* Is each option below @prefix one of @keys?  (Those of the level "file." are another's.) */
static bool only_keys(const struct opt_set *set, const char *prefix, const char *const *keys,
		      bool skip_file)
{
	for (size_t i = 0; i < set->count; i++) {
		const char *key = set->opt[i].key;

		if (!g_str_has_prefix(key, prefix))
			continue;
		key += strlen(prefix);
		if (skip_file && g_str_has_prefix(key, "file."))
			continue;
		if (!g_strv_contains(keys, key))
			return false;
	}
	return true;
}

static bool is_driver(const struct opt_set *set, const char *key, const char *driver)
{
	return g_strcmp0(opt_get(set, key), driver) == 0;
}

/*
 * Below which prefix stand the options of the nbd node that can be connected to without a daemon
 * in between?  NULL: it takes one (other formats, filters, TLS, ...).
 */
static const char *nbd_prefix(const struct plan_image *image)
{
	const struct opt_set *set;

	if (!image->graph || image->graph->len != 1 || image->detect_zeroes)
		return NULL;
	set = image->graph->pdata[0];
	if (is_driver(set, "driver", "nbd"))
		return only_keys(set, "", nbd_keys, false) ? "" : NULL;
	if (is_driver(set, "driver", "raw") && is_driver(set, "file.driver", "nbd") &&
	    only_keys(set, "", raw_keys, true) && only_keys(set, "file.", nbd_keys, false))
		return "file.";
	return NULL;
}

/* The nbd node whatever stands above it, for probing. */
static bool probe_below(const struct remote_plan *plan, struct plan_image *image, GError **error)
{
	const struct opt_set *set = image->graph->pdata[image->graph->len - 1];
	g_autofree char *format = NULL;

	if (!opt_has_prefix(set, "file."))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: the format cannot be found out; "
				"give it", image->where);
	format = storage_probe(plan->sandbox, set, "file.", error);
	if (!format) {
		g_prefix_error(error, "%s: ", image->where);
		return false;
	}
	plan_image_set_format(image, format);
	return true;
}

static bool connect_nbd(const struct plan_image *image, const char *prefix, struct spec_image *spec,
			int *ret_fd, int *ret_place, GError **error)
{
	const struct opt_set *set = image->graph->pdata[0];
	g_autofree char *key = g_strconcat(prefix, "export", NULL);
	const char *name = opt_get(set, key) ? opt_get(set, key) : "";

	if (strlen(name) >= sizeof(spec->export_name))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: export name too long", image->where);
	if (!storage_connect(set, prefix, ret_fd, ret_place, error)) {
		g_prefix_error(error, "%s: ", image->where);
		return false;
	}
	g_strlcpy(spec->export_name, name, sizeof(spec->export_name));
	return true;
}

static void add_arg(GPtrArray *argv, const char *option, const char *value)
{
	g_ptr_array_add(argv, g_strdup(option));
	g_ptr_array_add(argv, g_strdup(value));
}

/* fd 3 of the daemon is its listening socket. */
static char **make_command(const struct remote_plan *plan, const struct plan_image *image,
			   const struct storage_graph *graph, GError **error)
{
	GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *export = g_strdup_printf("type=nbd,id=e,node-name=%s,name=" DAEMON_EXPORT
						  ",writable=%s", image->node,
						  image->readonly ? "off" : "on");

	g_ptr_array_add(argv, g_strdup(DAEMON));
	for (guint i = 0; plan->object && i < plan->object->len; i++) {
		g_autofree char *text = opt_set_to_text(plan->object->pdata[i], error);

		if (!text) {
			g_ptr_array_unref(argv);
			return NULL;
		}
		add_arg(argv, "--object", text);
	}
	for (guint i = 0; i < graph->args->len; i++)
		add_arg(argv, "--blockdev", graph->args->pdata[i]);
	add_arg(argv, "--nbd-server", "addr.type=fd,addr.str=3,max-connections=1");
	add_arg(argv, "--export", export);
	if (plan->monitor_count) {
		g_autofree char *qmp = g_strdup_printf("socket,id=qmp,fd=%d", STORAGE_QMP_FD);

		add_arg(argv, "--chardev", qmp);
		add_arg(argv, "--monitor", "chardev=qmp");
	}
	g_ptr_array_add(argv, NULL);
	return (char **)g_ptr_array_free(argv, FALSE);
}

char **storage_command(const struct remote_plan *plan, struct plan_image *image, GError **error)
{
	struct storage_graph graph;
	char **argv;

	if (image->native ||
	    (image->probe && !image->filename && !probe_below(plan, image, error)) ||
	    nbd_prefix(image) ||
	    !storage_graph_make(image, plan->sandbox, &graph, error))
		return NULL;
	argv = make_command(plan, image, &graph, error);
	storage_graph_finish(&graph);
	return argv;
}

/* Starts the daemon for a graph that is complete. */
static bool start_daemon(const struct remote_plan *plan, const struct plan_image *image,
			 const struct storage_graph *graph, int *ret_fd, int *ret_place,
			 struct storage **ret_storage, GError **error)
{
	g_autofree char *program = g_find_program_in_path(DAEMON);
	g_auto(GStrv) argv = make_command(plan, image, graph, error);
	autofd listen_fd = -1;
	autofd client_fd = -1;
	autofd place = -1;
	struct storage_jail jail;
	bool ok;

	if (!argv)
		return false;
	if (!program)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "format '%s' needs " DAEMON
				", which is not installed", image->driver);
	if (!storage_socket_pair(&listen_fd, &client_fd, &place, error))
		return false;
	if (!storage_jail_make(plan->sandbox, graph, plan->object,
			       plan->monitor_count ? plan->storage_folder : NULL, program, &jail,
			       error))
		return false;
	g_free(argv[0]);
	argv[0] = g_steal_pointer(&program);
	ok = storage_spawn(argv, &jail, listen_fd, client_fd, plan->monitor_count, ret_storage,
			   error);
	storage_jail_finish(&jail);
	if (ok) {
		*ret_fd = fd_steal(&client_fd);
		*ret_place = fd_steal(&place);
	}
	return ok;
}

static bool open_by_daemon(const struct remote_plan *plan, const struct plan_image *image,
			   int *ret_fd, int *ret_place, struct storage **ret_storage,
			   GError **error)
{
	struct storage_graph graph;
	bool ok;

	if (!storage_graph_make(image, plan->sandbox, &graph, error)) {
		g_prefix_error(error, "%s: ", image->where);
		return false;
	}
	ok = start_daemon(plan, image, &graph, ret_fd, ret_place, ret_storage, error);
	storage_graph_finish(&graph);
	if (!ok)
		g_prefix_error(error, "%s: ", image->where);
	return ok;
}

bool storage_open(const struct remote_plan *plan, struct plan_image *image, struct spec_image *spec,
		  int *ret_fd, int *ret_place, struct storage **ret_storage, GError **error)
{
	const char *prefix;

	*ret_storage = NULL;
	if (image->probe && !image->filename && !probe_below(plan, image, error))
		return false;
	prefix = nbd_prefix(image);
	if (prefix ? !connect_nbd(image, prefix, spec, ret_fd, ret_place, error) :
	    !open_by_daemon(plan, image, ret_fd, ret_place, ret_storage, error))
		return false;
	if (!prefix)
		g_strlcpy(spec->export_name, DAEMON_EXPORT, sizeof(spec->export_name));
	spec->kind = SPEC_IMAGE_NBD;
	spec->readonly = image->readonly;
	spec->probed_raw = image->probe && !strcmp(image->driver, "raw") && !image->readonly;
	return true;
}
