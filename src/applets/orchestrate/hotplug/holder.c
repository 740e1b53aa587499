/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/hotplug/holder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "applets/orchestrate/control/door.h"
#include "applets/orchestrate/control/place.h"
#include "base/log.h"

#define PLACE "attached"	/* in the directory of the control sockets */
#define SUFFIX ".sock"
#define HASH_LEN 16		/* characters of the name of QEMU's socket */

struct holder {
	const struct holder_ops *ops;
	void *opaque;
	struct qmp_server_config config;
	struct door *door;
};

static char *make_dir(bool make, GError **error)
{
	g_autofree char *place = place_dir(make, error);
	g_autofree char *dir = place ? g_build_filename(place, PLACE, NULL) : NULL;

	if (dir && make && mkdir(dir, 0700) < 0 && errno != EEXIST) {
		mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", dir, log_errname(errno));
		return NULL;
	}
	return g_steal_pointer(&dir);
}

/* "HASH-", which the names of all sockets of that QEMU begin with; the caller frees. */
static char *make_prefix(const char *qmp)
{
	char *real = qmp[0] == '@' ? NULL : realpath(qmp, NULL);
	g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, real ?: qmp, -1);

	free(real);
	return g_strdup_printf("%.*s-", HASH_LEN, hash);
}

char *holder_path(const char *qmp, const char *id, bool make, GError **error)
{
	g_autofree char *dir = make_dir(make, error);
	g_autofree char *prefix = make_prefix(qmp);
	g_autofree char *name = g_strconcat(prefix, id, SUFFIX, NULL);

	return dir ? g_build_filename(dir, name, NULL) : NULL;
}

void holder_sweep(void)
{
	g_autofree char *dir = make_dir(false, NULL);

	if (dir)
		place_sweep(dir);
}

static void run_query(void *opaque, struct qmp_call *call, const json_t *args)
{
	struct holder *holder = opaque;

	qmp_reply(call, holder->ops->report(holder->opaque));
}

static void run_release(void *opaque, struct qmp_call *call, const json_t *args)
{
	struct holder *holder = opaque;

	qmp_reply(call, NULL);
	holder->ops->release(holder->opaque);
}

static const struct qmp_command commands[] = {
	{ "query-attached", NULL, QMP_OBJECT, 0, run_query },
	{ "release", NULL, QMP_NOTHING, 0, run_release },
	{ NULL }
};

static const char *const events[] = { NULL };

struct holder *holder_create(const char *qmp, const char *id, const struct holder_ops *ops,
			     void *opaque, GError **error)
{
	g_autofree char *path = holder_path(qmp, id, true, error);
	struct holder *holder;

	if (!path)
		return NULL;
	holder = g_new0(struct holder, 1);
	holder->ops = ops;
	holder->opaque = opaque;
	holder->config = (struct qmp_server_config){
		.commands = commands, .events = events, .max_clients = 4,
		.bounds = { .in = 64 << 10, .out = 1 << 20 },
	};
	holder->door = door_open(path, &holder->config, holder, error);
	if (holder->door)
		return holder;
	g_free(holder);
	return NULL;
}

void holder_destroy(struct holder *holder)
{
	if (!holder)
		return;
	door_close(holder->door);
	g_free(holder);
}
