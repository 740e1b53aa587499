/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "applets/proxy/info/info.h"
#include "applets/proxy/session.h"
#include "applets/proxy/verb.h"

/* The verb info: what each device is. */

#define GUEST_RAM (1u << 20)

enum info_form { INFO_TEXT, INFO_JSON, INFO_LSPCI };

struct info {
	enum info_form form;
	json_t *devices;		/* of INFO_JSON */
};

static void *info_create(const struct proxy_verb *verb)
{
	return g_new0(struct info, 1);
}

static void info_destroy(void *data)
{
	struct info *info = data;

	if (info)
		json_decref(info->devices);
	g_free(info);
}

static bool set_form(void *opaque, const struct option_use *use, GError **error)
{
	struct info *info = ((struct proxy_args *)opaque)->data;

	if (info->form != INFO_TEXT && (long)info->form != use->def->data)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--json cannot be used with --lspci");
	info->form = use->def->data;
	return true;
}

static const struct option_def options[] = {
	{ "json", 0, set_form, NULL, "the same as JSON, an array of devices", INFO_JSON },
	{ "lspci", 0, set_form, NULL, "config space in hex, for lspci -F", INFO_LSPCI },
	PROXY_OPTIONS_END,
};

static bool print_device(struct info *info, struct session *session, unsigned slot,
			 GError **error)
{
	struct facts facts;
	int ret = facts_ask(&session->client, &facts);

	if (!ret && info->form == INFO_LSPCI)
		ret = info_lspci(session, &facts, slot);
	if (ret)
		return session_failed(session, ret, error);
	if (info->form == INFO_JSON)
		json_array_append_new(info->devices, info_json(session, &facts));
	else if (info->form == INFO_TEXT)
		info_text(session, &facts);
	return true;
}

static bool print_devices(struct info *info, struct session *session, GError **error)
{
	bool ok = true;

	for (unsigned i = 0; i < session->remote.count && ok; i++) {
		if (!session_wants(session, i))
			continue;
		ok = session_open(session, i, GUEST_RAM, error) &&
		     print_device(info, session, i, error);
		session_close(session);
	}
	return ok;
}

static int info_run(const struct proxy_args *args, GError **error)
{
	struct info *info = args->data;
	struct session session;
	bool ok;

	if (info->form == INFO_JSON)
		info->devices = json_array();
	ok = session_start(&session, &args->target, false, error) &&
	     print_devices(info, &session, error);
	if (ok && info->form == INFO_JSON) {
		json_dumpf(info->devices, stdout, JSON_INDENT(2));
		printf("\n");
	}
	session_finish(&session, ok ? error : NULL);
	return PROXY_EXIT_OK;
}

const struct proxy_verb verb_info = {
	.name = "info", .help = "what each device is", .options = options,
	.create = info_create, .destroy = info_destroy, .run = info_run,
};
