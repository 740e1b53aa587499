/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/hotplug/adopt.h"

#include <unistd.h>

#include <jansson.h>

#include "applets/orchestrate/hotplug/link.h"
#include "base/fd.h"
#include "base/log.h"
#include "plan/procs.h"
#include "qmp/client.h"

enum step { STEP_ADOPT, STEP_METRICS, STEP_LOG, STEP_DONE };

struct hotplug_adopt {
	struct hotplug_link *link;
	struct hotplug_remote *remote;
	char *id;
	int log;		/* owned; -1: it is the keeper's */
	int limit_ms;
	hotplug_done_fn *done;
	void *opaque;
	enum step step;		/* that is under way */
};

struct hotplug_adopt *hotplug_adopt_create(struct hotplug_link *link,
					   struct hotplug_remote *remote, const char *id, int log,
					   int limit_ms, hotplug_done_fn *done, void *opaque)
{
	struct hotplug_adopt *adopt = g_new0(struct hotplug_adopt, 1);

	adopt->link = link;
	adopt->remote = remote;
	adopt->id = g_strdup(id);
	adopt->log = log;
	adopt->limit_ms = limit_ms;
	adopt->done = done;
	adopt->opaque = opaque;
	return adopt;
}

void hotplug_adopt_destroy(struct hotplug_adopt *adopt)
{
	if (!adopt)
		return;
	fd_close(&adopt->log);
	g_free(adopt->id);
	g_free(adopt);
}

static void fail(struct hotplug_adopt *adopt, const char *why)
{
	g_autoptr(GError) error = NULL;

	mpq_fail(&error, MPQ_ERROR_REFUSED, "the VM's keeper does not take it in: %s", why);
	adopt->done(adopt->opaque, error);
}

static json_t *make_facts(const struct hotplug_adopt *adopt)
{
	const struct hotplug_remote *remote = adopt->remote;
	json_t *facts = json_pack("{s:s, s:s, s:s, s:i, s:i}", "id", adopt->id, "serves",
				  remote->process->serves, "program",
				  (char *)remote->process->argv->pdata[0], "pid",
				  (int)remote->child.pid, "holder", (int)getpid());

	if (!remote->path)
		json_object_set_new(facts, "socket", json_integer(remote->proxy_inode));
	return facts;
}

/* What the step sends; *ret_fd goes with it, -1: there is nothing to send. */
static json_t *make_args(struct hotplug_adopt *adopt, int *ret_fd)
{
	bool metrics = adopt->step == STEP_METRICS;

	if (adopt->step == STEP_ADOPT) {
		*ret_fd = hotplug_remote_take_keeper(adopt->remote);
		return make_facts(adopt);
	}
	*ret_fd = fd_steal(metrics ? &adopt->remote->metrics : &adopt->log);
	return json_pack("{s:s, s:s}", "id", adopt->id, "name", metrics ? "metrics" : "log");
}

static void answered(void *opaque, const json_t *value, const struct qmp_failure *failure);

static void next_step(struct hotplug_adopt *adopt)
{
	const char *command = adopt->step == STEP_ADOPT ? "adopt" : "adopt-fd";
	int fd, ret;
	json_t *args;

	if (adopt->step == STEP_METRICS && adopt->remote->metrics < 0)
		adopt->step++;
	args = make_args(adopt, &fd);
	ret = qmp_client_execute(adopt->link->client, command, args, fd, adopt->limit_ms, answered,
				 adopt);
	if (ret)
		fail(adopt, log_errname(ret));
}

static void answered(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct hotplug_adopt *adopt = opaque;

	if (failure)
		fail(adopt, failure->desc);
	else if (++adopt->step == STEP_DONE)
		adopt->done(adopt->opaque, NULL);
	else
		next_step(adopt);
}

void hotplug_adopt_start(struct hotplug_adopt *adopt)
{
	next_step(adopt);
}
