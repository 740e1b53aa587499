/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/hotplug/hotplug.h"

#include <stdio.h>
#include <string.h>

#include "applets/orchestrate/control/place.h"
#include "applets/orchestrate/orchestrate.h"
#include "applets/orchestrate/run/run.h"
#include "base/log.h"
#include "plan/remote.h"

#define GUEST_TIMEOUT 30	/* s */

enum verb_bit { ATTACH = 1, DETACH = 2, MIGRATE = 4, ALL = 7 };

static const struct verb {
	const char *name;
	unsigned bit;
	const char *usage;	/* what stands behind the options */
	const char *word;	/* of which there is one behind the VM, or NULL */
	const char *summary;
	int (*run)(const struct hotplug_args *args);
} verbs[] = {
	{ "attach", ATTACH, "VM|--qmp=PATH [--]\n"
	  "    -device CONTROLLER,id=ID -drive if=none,... -device scsi-hd,...", NULL,
	  "Plugs a SCSI controller with its disks, in a process of its own, into a VM.",
	  hotplug_attach },
	{ "detach", DETACH, "VM|--qmp=PATH ID", "ID",
	  "Takes such a device out of the VM: the guest is asked to let go "
	  "of it.", hotplug_detach },
	{ "migrate", MIGRATE, "VM|--qmp=PATH URI", "URI",
	  "Migrates the VM to URI, without the devices that attach plugged in: they are\n"
	  "taken out before, and plugged in again if the VM stays here.",
	  hotplug_migrate },
};

static const struct verb *find_verb(const char *word)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(verbs); i++)
		if (!g_strcmp0(verbs[i].name, word))
			return &verbs[i];
	return NULL;
}

bool hotplug_is_verb(const char *word)
{
	return find_verb(word);
}

/* ---- Options ---- */

struct option {
	GOptionEntry entry;
	unsigned verbs;		/* of enum verb_bit */
};

/* What is set is @args' and @help; ends with an entry without a name; the caller frees. */
static struct option *plug_options_new(struct hotplug_args *args, gboolean *help)
{
	const struct option options[] = {
		{ { "qmp", 0, 0, G_OPTION_ARG_FILENAME, &args->qmp,
		    "any QEMU, by its QMP socket, in the place of a VM of ours", "PATH" }, ALL },
		{ { "foreground", 0, 0, G_OPTION_ARG_NONE, &args->foreground,
		    "stay the remote's parent here, not in the background", NULL }, ATTACH },
		{ { "log", 0, 0, G_OPTION_ARG_FILENAME, &args->log,
		    "where the background writes what it and the remote say", "FILE" }, ATTACH },
		{ { "timeout", 0, 0, G_OPTION_ARG_INT, &args->timeout,
		    "how long QEMU and the remote have to answer (default 30)", "SECONDS" }, ALL },
		{ { "guest-timeout", 0, 0, G_OPTION_ARG_INT, &args->guest_timeout,
		    "how long the guest has to let go (default 30)", "SECONDS" }, ALL },
		{ { "protocol", 0, 0, G_OPTION_ARG_STRING, &args->protocol_word,
		    "what QEMU and the remote speak (default auto)", REWRITE_PROTOCOL_WORDS },
		  ATTACH },
		{ { "on-error", 0, 0, G_OPTION_ARG_STRING, &args->on_error,
		    "what a disk's error does (see mpqemu-remote)", PLAN_ON_ERROR_WORDS }, ATTACH },
		{ { "sandbox", 0, 0, G_OPTION_ARG_STRING, &args->sandbox,
		    "how far the remote is shut in (see mpqemu-remote)", PLAN_SANDBOX_WORDS },
		  ATTACH },
		{ { "events", 0, 0, G_OPTION_ARG_STRING, &args->events,
		    "where the remote writes events (see mpqemu-remote)", "PATH|fd=N" }, ATTACH },
		{ { "remote-program", 0, 0, G_OPTION_ARG_FILENAME, &args->remote_program,
		    "run this in place of mpqemu-remote", "PROGRAM" }, ATTACH },
		{ { "help", 'h', 0, G_OPTION_ARG_NONE, help, "print this", NULL }, ALL },
		{ { NULL }, 0 },
	};

	return g_memdup2(options, sizeof(options));
}

/* Those of the verb alone; the caller frees. */
static GOptionEntry *entries_of(const struct option *options, const struct verb *verb)
{
	GArray *entries = g_array_new(true, true, sizeof(GOptionEntry));

	for (; options->entry.long_name; options++)
		if (options->verbs & verb->bit)
			g_array_append_val(entries, options->entry);
	return (GOptionEntry *)g_array_free(entries, false);
}

static void print_help(const GOptionEntry *entries, const struct verb *verb)
{
	g_autofree char *table = options_table(entries);

	printf("usage: " NAME " %s [OPTION...] %s\n\n%s\n\n%s", verb->name, verb->usage,
	       verb->summary, table);
}

static bool parse_options(struct hotplug_args *args, const struct verb *verb, char ***own,
			  gboolean *ret_help, GError **error)
{
	g_autofree struct option *options = plug_options_new(args, ret_help);
	g_autofree GOptionEntry *entries = entries_of(options, verb);

	if (!options_parse_verb(verb->name, entries, own, error))
		return false;
	if (*ret_help)
		print_help(entries, verb);
	return true;
}

/* ---- What the words mean ---- */

static bool check_seconds(const char *option, int seconds, GError **error)
{
	if (seconds >= 1 && seconds <= 86400)
		return true;
	return mpq_fail(error, MPQ_ERROR_USAGE, "--%s: it takes a number of seconds, 1 to 86400",
			option);
}

static bool check_options(struct hotplug_args *args, GError **error)
{
	if (!options_check_word("on-error", args->on_error, PLAN_ON_ERROR_WORDS, error) ||
	    !options_check_word("sandbox", args->sandbox, PLAN_SANDBOX_WORDS, error) ||
	    !options_check_word("protocol", args->protocol_word, REWRITE_PROTOCOL_WORDS, error) ||
	    !check_seconds("timeout", args->timeout, error) ||
	    !check_seconds("guest-timeout", args->guest_timeout, error))
		return false;
	if (args->foreground && args->log)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--log=%s: it is for the background, and "
				"--foreground has stderr", args->log);
	if (args->protocol_word)
		args->protocol = options_word(args->protocol_word, REWRITE_PROTOCOL_WORDS);
	return true;
}

static void add_words(GStrvBuilder *builder, char *const *words)
{
	for (; *words; words++)
		g_strv_builder_add(builder, *words);
}

/* Where the VM is: --qmp, or the first of @own, behind which *ret_own is. */
static bool take_target(struct hotplug_args *args, const struct verb *verb, char **own,
			char ***ret_own, GError **error)
{
	*ret_own = own + 1;
	if (args->qmp) {
		args->target.path = g_strdup(args->qmp);
		return true;
	}
	if (!own[1])
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: the VM is missing: its name, if it is "
				"one of ours, or --qmp=PATH, the QMP socket of its QEMU",
				verb->name);
	*ret_own = own + 2;
	args->target.vm = g_strdup(own[1]);
	return true;
}

static bool find_target(struct hotplug_args *args, GError **error)
{
	if (!args->target.path)
		args->target.path = place_socket(args->target.vm, false, error);
	return args->target.path;
}

/* What stands behind the options and the VM goes to args->words. */
static bool take_words(struct hotplug_args *args, const struct verb *verb, char **own, char **words,
		       GError **error)
{
	bool attach = verb->bit == ATTACH;
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

	if (!take_target(args, verb, own, &own, error))
		return false;
	if (attach && *own)
		return mpq_fail(error, MPQ_ERROR_USAGE, "attach: '%s' is no option; what the "
				"remote gets begins with -device", *own);
	if (attach)
		g_strv_builder_add(builder, verb->name);
	else
		add_words(builder, own);
	add_words(builder, words);
	args->words = g_strv_builder_end(builder);
	if (attach && !*words)
		return mpq_fail(error, MPQ_ERROR_USAGE, "attach: -device is missing, the "
				"controller that the VM gets");
	if (!attach && g_strv_length(args->words) != 1)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: it takes one %s", verb->name,
				verb->word);
	return find_target(args, error);
}

/* "-device": a word of QEMU's, and what follows is QEMU's too. */
static bool is_qemu_word(const char *word)
{
	return word[0] == '-' && word[1] != '-' && word[1] && word[2];
}

/* Our own words, the verb first; *ret_words: the others.  g_strfreev(). */
static char **split_own(int argc, char **argv, char ***ret_words)
{
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
	int i = 0;

	do {
		g_strv_builder_add(builder, argv[i++]);
	} while (i < argc && strcmp(argv[i], "--") && !is_qemu_word(argv[i]));
	if (i < argc && !strcmp(argv[i], "--"))
		i++;
	*ret_words = argv + i;
	return g_strv_builder_end(builder);
}

static void args_finish(struct hotplug_args *args)
{
	g_free(args->qmp);
	g_free(args->target.path);
	g_free(args->target.vm);
	g_free(args->protocol_word);
	g_free(args->on_error);
	g_free(args->sandbox);
	g_free(args->events);
	g_free(args->remote_program);
	g_free(args->log);
	g_strfreev(args->words);
}

int hotplug_main(int argc, char **argv, const struct sigaction *sigpipe)
{
	struct hotplug_args args = {
		.timeout = RUN_START_TIMEOUT, .guest_timeout = GUEST_TIMEOUT, .sigpipe = *sigpipe,
	};
	const struct verb *verb = find_verb(argv[0]);
	g_autoptr(GError) error = NULL;
	gboolean help = false;
	int status = RUN_STATUS_FAILED;
	char **words;
	g_auto(GStrv) own = split_own(argc, argv, &words);

	if (!parse_options(&args, verb, &own, &help, &error) ||
	    (!help && (!check_options(&args, &error) ||
		       !take_words(&args, verb, own, words, &error))))
		log_error("%s", error->message);
	else
		status = help ? 0 : verb->run(&args);
	args_finish(&args);
	return status;
}

void hotplug_complete(completion_fn *row, void *opaque)
{
	struct hotplug_args none = { 0 };
	gboolean help;
	g_autofree struct option *options = plug_options_new(&none, &help);

	for (unsigned i = 0; i < G_N_ELEMENTS(verbs); i++) {
		g_autofree GOptionEntry *entries = entries_of(options, &verbs[i]);

		row(opaque, &(struct completion_row){ .word = verbs[i].name });
		options_complete(verbs[i].name, entries, row, opaque);
	}
}
