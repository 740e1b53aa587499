/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "applets/proxy/info/access.h"
#include "applets/proxy/session.h"
#include "applets/proxy/verb.h"

/* The verbs read, write and cfg, which can follow each other in one command line. */

#define GUEST_RAM (1u << 20)

struct accesses {
	const struct proxy_verb *verb;	/* that the next word belongs to */
	enum access_kind kind;
	GArray *list;			/* of struct access, in their order */
};

static const struct {
	const struct proxy_verb *verb;
	enum access_kind kind;
} kinds[] = {
	{ &verb_read, ACCESS_READ }, { &verb_write, ACCESS_WRITE }, { &verb_cfg, ACCESS_CONFIG },
};

/* Is the word one of these verbs?  Then what follows belongs to it. */
static bool take_verb(struct accesses *a, const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
		if (strcmp(kinds[i].verb->name, name))
			continue;
		a->verb = kinds[i].verb;
		a->kind = kinds[i].kind;
		return true;
	}
	return false;
}

static void *accesses_create(const struct proxy_verb *verb)
{
	struct accesses *a = g_new0(struct accesses, 1);

	a->list = g_array_new(false, false, sizeof(struct access));
	take_verb(a, verb->name);
	return a;
}

static void accesses_destroy(void *data)
{
	struct accesses *a = data;

	if (!a)
		return;
	g_array_unref(a->list);
	g_free(a);
}

static bool accesses_word(struct proxy_args *args, const char *word, GError **error)
{
	struct accesses *a = args->data;
	struct access access;

	if (take_verb(a, word))
		return true;
	if (!strcmp(word, verb_info.name))
		return mpq_fail(error, MPQ_ERROR_USAGE, "info cannot be used with other verbs");
	if (!access_parse(a->kind, word, &access, error)) {
		g_prefix_error(error, "%s ", a->verb->name);
		return false;
	}
	g_array_append_val(a->list, access);
	return true;
}

static bool accesses_check(const struct proxy_args *args, GError **error)
{
	const struct accesses *a = args->data;

	return a->list->len ||
	       mpq_fail(error, MPQ_ERROR_USAGE, "%s: nothing to access", a->verb->name);
}

static int accesses_run(const struct proxy_args *args, GError **error)
{
	const struct accesses *a = args->data;
	struct session session;
	bool ok = session_start(&session, &args->target, true, error) &&
		  session_open(&session, session_device(&session), GUEST_RAM, error);

	for (unsigned i = 0; i < a->list->len && ok; i++)
		ok = access_run(&session.client, session_name(&session),
				&g_array_index(a->list, struct access, i), error);
	session_finish(&session, ok ? error : NULL);
	return PROXY_EXIT_OK;
}

#define VERB(verb, what, text)                                                                 \
	{                                                                                      \
		.name = verb, .form = what, .help = text,                                      \
		.create = accesses_create, .destroy = accesses_destroy,                        \
		.word = accesses_word, .check = accesses_check, .run = accesses_run,           \
	}

const struct proxy_verb verb_read =
	VERB("read", "BAR:OFFSET[:SIZE]...", "registers; NAME[:SIZE] of known devices");
const struct proxy_verb verb_write =
	VERB("write", "BAR:OFFSET[:SIZE]=VALUE...", "registers");
const struct proxy_verb verb_cfg =
	VERB("cfg", "OFFSET[:SIZE][=VALUE]...", "config space; names are setpci's");
