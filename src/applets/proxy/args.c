/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/args.h"

#include <string.h>

#include "applets/proxy/access.h"
#include "plan/opts.h"

/* While the command line is read. */
struct reader {
	struct proxy_args *args;
	const struct verb *verb;	/* that the next access belongs to */
	bool protocol;			/* was named */
};

static const struct verb {
	const char *name;
	bool info;
	enum access_kind kind;
} verbs[] = {
	{ .name = "info", .info = true },
	{ .name = "read", .kind = ACCESS_READ },
	{ .name = "write", .kind = ACCESS_WRITE },
	{ .name = "cfg", .kind = ACCESS_CONFIG },
};

/* ---- options ---- */

static bool set_device(void *opaque, const struct option_use *use, GError **error)
{
	struct reader *r = opaque;

	r->args->device = use->arg;
	return true;
}

static bool set_socket(void *opaque, const struct option_use *use, GError **error)
{
	struct reader *r = opaque;

	r->args->socket = use->arg;
	return true;
}

static bool set_fd(void *opaque, const struct option_use *use, GError **error)
{
	struct reader *r = opaque;
	guint64 fd;

	if (!g_ascii_string_to_unsigned(use->arg, 10, 0, G_MAXINT, &fd, NULL))
		return option_fail(use, error, MPQ_ERROR_USAGE,
				   "expected the number of a file descriptor");
	r->args->fd = fd;
	return true;
}

static bool set_protocol(void *opaque, const struct option_use *use, GError **error)
{
	struct reader *r = opaque;

	if (!client_protocol_find(use->arg, &r->args->protocol))
		return option_fail(use, error, MPQ_ERROR_USAGE, "expected mpqemu or vfio-user");
	r->protocol = true;
	return true;
}

static bool set_help(void *opaque, const struct option_use *use, GError **error)
{
	struct reader *r = opaque;

	r->args->help = true;
	return true;
}

static bool set_version(void *opaque, const struct option_use *use, GError **error)
{
	struct reader *r = opaque;

	r->args->version = true;
	return true;
}

/* Each with its value in a word of its own, or behind "=". */
#define OPTION(name, handler, args, help)                                                      \
	{ name, OPTION_HAS_ARG, handler, args, help, 0 },                                      \
	{ name, OPTION_HAS_ARG | OPTION_OWN, handler, NULL, NULL, 0 }

static const struct option_def options[] = {
	OPTION("device", set_device, "ID", "this one of the remote's devices"),
	OPTION("socket", set_socket, "PATH", "connect to a remote that listens; @NAME: abstract"),
	OPTION("fd", set_fd, "N", "use the socket that was inherited as number N"),
	OPTION("protocol", set_protocol, "mpqemu|vfio-user",
	       "of --socket and --fd; default: vfio-user"),
	{ "help", 0, set_help, NULL, "print this and exit", 0 },
	{ "h", OPTION_HIDDEN, set_help, NULL, NULL, 0 },
	{ "version", 0, set_version, NULL, "print the version and exit", 0 },
	{ NULL, 0, NULL, NULL, NULL, 0 },
};

void proxy_usage(FILE *out)
{
	fprintf(out, "usage: mpqemu-proxy VERB... [OPTIONS] -- REMOTE-COMMAND [ARGUMENTS]\n"
		"       mpqemu-proxy VERB... [OPTIONS] --socket PATH | --fd N\n\n"
		"Verbs:\n"
		"  info                            what each device is\n"
		"  read BAR:OFFSET[:SIZE]...       registers; SIZE is in bytes, 4 when not said\n"
		"  write BAR:OFFSET[:SIZE]=VALUE...\n"
		"  cfg OFFSET[:SIZE][=VALUE]...    config space\n\n"
		"Options:\n");
	for (const struct option_def *o = options; o->name; o++) {
		g_autofree char *word = g_strdup_printf("--%s%s%s", o->name, o->args ? " " : "",
							o->args ? o->args : "");

		if (o->help)
			fprintf(out, "  %-31s %s\n", word, o->help);
	}
	fprintf(out, "\nThe remote command is started with a socket at each fd that its -object\n"
		"x-remote-object,fd=N or x-vfio-user-server,type=fd,str=N names, and connected\n"
		"to where an x-vfio-user-server or x-remote-object,server=on listens.\n");
}

/* ---- words ---- */

/* A verb, or an access of the verb before it. */
static bool take_word(void *opaque, const struct option_use *use, GError **error)
{
	struct reader *r = opaque;
	struct access access;

	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
		if (!strcmp(use->word, verbs[i].name)) {
			r->verb = &verbs[i];
			r->args->info |= verbs[i].info;
			return true;
		}
	}
	if (!r->verb)
		return mpq_fail(error, MPQ_ERROR_USAGE,
				"%.100s: expected a verb: info, read, write or cfg", use->word);
	if (r->verb->info)
		return mpq_fail(error, MPQ_ERROR_USAGE, "info %.100s: info takes no arguments",
				use->word);
	if (!access_parse(r->verb->kind, use->word, &access, error)) {
		g_prefix_error(error, "%s ", r->verb->name);
		return false;
	}
	g_array_append_val(r->args->accesses, access);
	return true;
}

static bool check_verbs(const struct reader *r, GError **error)
{
	const struct proxy_args *args = r->args;

	if (!r->verb)
		return mpq_fail(error, MPQ_ERROR_USAGE, "no verb: expected info, read, write or "
				"cfg");
	if (args->info && args->accesses->len)
		return mpq_fail(error, MPQ_ERROR_USAGE, "info cannot be used with other verbs");
	if (!args->info && !args->accesses->len)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: nothing to access", r->verb->name);
	return true;
}

/* One way to one remote. */
static bool check_target(const struct reader *r, GError **error)
{
	const struct proxy_args *args = r->args;
	bool command = args->command && args->command[0];
	bool connected = args->socket || args->fd >= 0;

	if (command + (args->socket != NULL) + (args->fd >= 0) != 1)
		return mpq_fail(error, MPQ_ERROR_USAGE, "expected one of '-- REMOTE-COMMAND "
				"[ARGUMENTS]', '--socket PATH' and '--fd N'");
	if (!connected && r->protocol)
		return mpq_fail(error, MPQ_ERROR_USAGE,
				"--protocol: the remote command's own options say it");
	if (connected && args->device)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--device: a socket has one device");
	return true;
}

bool proxy_args_parse(struct proxy_args *args, int argc, char *const *argv, GError **error)
{
	struct reader r = { .args = args };
	int end = 1;

	*args = (struct proxy_args){
		.accesses = g_array_new(false, false, sizeof(struct access)), .fd = -1,
		.protocol = CLIENT_VFIO_USER,
	};
	while (end < argc && strcmp(argv[end], "--"))
		end++;
	if (end < argc)
		args->command = argv + end + 1;
	if (!option_run(options, end, argv, &r, take_word, error))
		return false;
	if (args->help || args->version)
		return true;
	return check_verbs(&r, error) && check_target(&r, error);
}

void proxy_args_finish(struct proxy_args *args)
{
	g_array_unref(args->accesses);
	args->accesses = NULL;
}
