/* SPDX-License-Identifier: GPL-2.0-or-later */

/* stop: a VM's end in order, which is waited for; restart: a device process's. */

#include <glib.h>

#include "applets/orchestrate/verbs/vmlink.h"
#include "applets/orchestrate/verbs/verb.h"

/*
 * Beyond the guest's time: QEMU's after SIGTERM, then the remotes', whose storage daemons write
 * back.
 */
#define MARGIN_S 60

bool verb_stop(struct verb_args *args, GError **error)
{
	auto_vmlink link = vmlink_open(args->words[0], error);
	int seconds = args->now ? 0 : args->timeout;
	auto_json done = link ?
			 vmlink_call(link, "shutdown", json_pack("{s:i}", "timeout", seconds),
				      -1, error) : NULL;

	if (!done)
		return false;
	if (vmlink_wait(link, (seconds + MARGIN_S) * 1000))
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: it has not ended after %d s",
				args->words[0], seconds + MARGIN_S);
	return true;
}

bool verb_restart(struct verb_args *args, GError **error)
{
	auto_vmlink link = vmlink_open(args->words[0], error);
	auto_json done = link ?
			 vmlink_call(link, "restart", json_pack("{s:s}", "device", args->words[1]),
				     -1, error) : NULL;

	return done;
}
