/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/args.h"

#include <string.h>

#include "applets/completion.h"

static const struct proxy_verb *const verbs[] = {
	&verb_info, &verb_read, &verb_write, &verb_cfg, &verb_disk,
	&verb_bench, &verb_record, &verb_replay,
};

/* ---- options ---- */

static bool set_device(void *opaque, const struct option_use *use, GError **error)
{
	struct proxy_args *args = opaque;

	args->target.device = use->arg;
	return true;
}

static bool set_socket(void *opaque, const struct option_use *use, GError **error)
{
	struct proxy_args *args = opaque;

	args->target.socket = use->arg;
	return true;
}

static bool set_fd(void *opaque, const struct option_use *use, GError **error)
{
	struct proxy_args *args = opaque;
	guint64 fd;

	if (!g_ascii_string_to_unsigned(use->arg, 10, 0, G_MAXINT, &fd, NULL))
		return option_fail(use, error, MPQ_ERROR_USAGE,
				   "expected the number of a file descriptor");
	args->target.fd = fd;
	return true;
}

static bool set_protocol(void *opaque, const struct option_use *use, GError **error)
{
	struct proxy_args *args = opaque;

	if (!client_protocol_find(use->arg, &args->target.protocol))
		return option_fail(use, error, MPQ_ERROR_USAGE, "expected mpqemu or vfio-user");
	args->protocol_named = true;
	return true;
}

static bool set_metrics(void *opaque, const struct option_use *use, GError **error)
{
	struct proxy_args *args = opaque;

	args->metrics = true;
	args->metrics_json = !strcmp(use->arg, "json");
	return args->metrics_json || !strcmp(use->arg, "text") ||
	       option_fail(use, error, MPQ_ERROR_USAGE, "expected text or json");
}

static bool set_help(void *opaque, const struct option_use *use, GError **error)
{
	struct proxy_args *args = opaque;

	args->help = true;
	return true;
}

static bool set_version(void *opaque, const struct option_use *use, GError **error)
{
	struct proxy_args *args = opaque;

	args->version = true;
	return true;
}

#define OPTION PROXY_OPTION

static const struct option_def common[] = {
	OPTION("device", set_device, "ID", "this one of the remote's devices"),
	OPTION("socket", set_socket, "PATH", "where a remote listens; @NAME: abstract"),
	OPTION("fd", set_fd, "N", "use the socket that was inherited as number N"),
	OPTION("protocol", set_protocol, "mpqemu|vfio-user",
	       "of --socket and --fd; default: vfio-user"),
	OPTION("metrics", set_metrics, "text|json",
	       "counts and times of messages, on stderr"),
	{ "help", 0, set_help, NULL, "print this and exit", 0 },
	{ "h", OPTION_HIDDEN, set_help, NULL, NULL, 0 },
	{ "version", 0, set_version, NULL, "print the version and exit", 0 },
	PROXY_OPTIONS_END,
};

/* The common options and the verb's own. */
static struct option_def *options_of(const struct proxy_verb *verb)
{
	GArray *all = g_array_new(true, false, sizeof(struct option_def));

	for (const struct option_def *o = verb ? verb->options : NULL; o && o->name; o++)
		g_array_append_val(all, *o);
	for (const struct option_def *o = common; o->name; o++)
		g_array_append_val(all, *o);
	return (void *)g_array_free(all, false);
}

/* ---- usage ---- */

static void print_options(FILE *out, const struct option_def *options)
{
	for (const struct option_def *o = options; o && o->name; o++) {
		g_autofree char *word = g_strdup_printf("--%s%s%s", o->name, o->args ? " " : "",
							o->args ? o->args : "");

		if (o->help)
			fprintf(out, "  %-31s %s\n", word, o->help);
	}
}

/* How many rows of options leave the rest of a verb's page on a screen of 24 lines. */
#define USAGE_OPTIONS 15

static unsigned count_options(const struct option_def *options)
{
	unsigned count = 0;

	for (const struct option_def *o = options; o && o->name; o++)
		count += o->help != NULL;
	return count;
}

/* What a verb can be told; the common options by their names alone where they would not fit. */
static void verb_usage(FILE *out, const struct proxy_verb *v)
{
	fprintf(out, "usage: mpqemu-proxy %s%s%s [OPTIONS] -- COMMAND...\n", v->name,
		v->form ? " " : "", v->form ? v->form : "");
	if (!v->own_target)
		fprintf(out, "       (or --socket PATH, or --fd N, in place of the remote's "
			"command)\n");
	fprintf(out, "\n%s\n\nOptions:\n", v->help);
	print_options(out, v->options);
	if (count_options(v->options) + count_options(common) <= USAGE_OPTIONS) {
		print_options(out, common);
		return;
	}
	fprintf(out, "  and those of all verbs:");
	for (const struct option_def *o = common; o->name; o++)
		if (o->help && o->args)
			fprintf(out, " --%s", o->name);
	fprintf(out, "\n");
}

static void all_usage(FILE *out)
{
	fprintf(out, "usage: mpqemu-proxy VERB... [OPTIONS] -- REMOTE-COMMAND [ARGUMENTS]\n"
		"       mpqemu-proxy VERB... [OPTIONS] --socket PATH | --fd N\n\n");
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
		const struct proxy_verb *v = verbs[i];
		g_autofree char *word = g_strdup_printf("%s%s%s", v->name, v->form ? " " : "",
							v->form ? v->form : "");

		fprintf(out, "  %-31s %s\n", word, v->help);
	}
	fprintf(out, "\nOptions (mpqemu-proxy VERB --help: the verb's own):\n");
	print_options(out, common);
	fprintf(out, "\nThe remote command is started with a socket at each fd that its -object\n"
		"x-remote-object,fd=N or x-vfio-user-server,type=fd,str=N names, and connected\n"
		"to where an x-vfio-user-server or x-remote-object,server=on listens.\n");
}

void proxy_usage(FILE *out, const struct proxy_verb *verb)
{
	if (verb)
		verb_usage(out, verb);
	else
		all_usage(out);
}

/* ---- completion ---- */

static void complete_options(completion_fn *row, void *opaque, const char *verb,
			     const struct option_def *options)
{
	for (const struct option_def *o = options; o && o->name; o++) {
		const struct completion_row r = {
			.verb = verb, .word = o->name, .args = o->args, .help = o->help,
			.kind = o->flags & OPTION_HAS_ARG ? COMPLETION_BOTH : COMPLETION_OWN,
		};

		if (o->help)
			row(opaque, &r);
	}
}

void proxy_complete(completion_fn *row, void *opaque)
{
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
		const struct completion_row r = {
			.word = verbs[i]->name, .help = verbs[i]->help, .kind = COMPLETION_VERB,
		};

		row(opaque, &r);
		complete_options(row, opaque, verbs[i]->name, verbs[i]->options);
	}
	complete_options(row, opaque, NULL, common);
}

/* ---- words ---- */

/* "info, read, write or cfg" */
static char *verb_names(void)
{
	GString *text = g_string_new(NULL);

	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
		g_string_append_printf(text, "%s%s", !i ? "" :
				       i + 1 < G_N_ELEMENTS(verbs) ? ", " : " or ",
				       verbs[i]->name);
	return g_string_free(text, false);
}

static const struct proxy_verb *verb_find(const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
		if (!strcmp(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

/*
 * The first word that is no option is the verb; before it stand common options only, for the others
 * are not known yet.  *ret_index is its place.
 */
static bool find_verb(struct proxy_args *args, int argc, char *const *argv, int *ret_index,
		      GError **error)
{
	g_autofree char *names = verb_names();
	struct option_use use;
	int index = 1;

	while (index < argc) {
		if (!option_next(common, argc, argv, &index, &use, error))
			return false;
		if (use.def)
			continue;
		*ret_index = use.index;
		args->verb = verb_find(use.word);
		return args->verb || mpq_fail(error, MPQ_ERROR_USAGE, "%.100s: expected a verb: %s",
					      use.word, names);
	}
	*ret_index = argc;
	return true;
}

static bool take_word(void *opaque, const struct option_use *use, GError **error)
{
	struct proxy_args *args = opaque;

	if (use->index == args->verb_index)
		return true;
	if (!args->verb->word)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s %.100s: %s takes no arguments",
				args->verb->name, use->word, args->verb->name);
	return args->verb->word(args, use->word, error);
}

/* One way to one remote. */
static bool check_target(const struct proxy_args *args, GError **error)
{
	const struct proxy_target *t = &args->target;
	bool command = t->command && t->command[0];
	bool connected = t->socket || t->fd >= 0;

	if (command + (t->socket != NULL) + (t->fd >= 0) != 1)
		return mpq_fail(error, MPQ_ERROR_USAGE, "expected one of '-- REMOTE-COMMAND "
				"[ARGUMENTS]', '--socket PATH' and '--fd N'");
	if (!connected && args->protocol_named)
		return mpq_fail(error, MPQ_ERROR_USAGE,
				"--protocol: the remote command's own options say it");
	if (connected && t->device)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--device: a socket has one device");
	return true;
}

static bool check(const struct proxy_args *args, GError **error)
{
	g_autofree char *names = verb_names();

	if (!args->verb)
		return mpq_fail(error, MPQ_ERROR_USAGE, "no verb: expected %s", names);
	if (args->verb->check && !args->verb->check(args, error))
		return false;
	return args->verb->own_target || check_target(args, error);
}

bool proxy_args_parse(struct proxy_args *args, int argc, char *const *argv, GError **error)
{
	g_autofree struct option_def *options = NULL;
	int end = 1;

	*args = (struct proxy_args){ .target = { .fd = -1, .protocol = CLIENT_VFIO_USER } };
	while (end < argc && strcmp(argv[end], "--"))
		end++;
	if (end < argc)
		args->target.command = argv + end + 1;
	if (!find_verb(args, end, argv, &args->verb_index, error))
		return false;
	if (args->verb && args->verb->create)
		args->data = args->verb->create(args->verb);
	options = options_of(args->verb);
	if (!option_run(options, end, argv, args, take_word, error))
		return false;
	return args->help || args->version || check(args, error);
}

void proxy_args_finish(struct proxy_args *args)
{
	if (args->verb && args->verb->destroy)
		args->verb->destroy(args->data);
	args->data = NULL;
}
