/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The options of mpqemu-orchestrate that stand before QEMU's command line. */

#include <string.h>

#include "applets/orchestrate/control/place.h"
#include "applets/orchestrate/orchestrate.h"
#include "plan/remote.h"

static const char summary[] =
	"Starts QEMU with its SCSI controllers and disks in processes of their own.\n"
	"\n"
	"  " NAME " [OPTION...] -- QEMU QEMU-ARGS...\n"
	"      moves each -device that mpqemu-remote emulates, and the disks on it\n"
	"  " NAME " [OPTION...] -- REMOTE ARGS... --- ... --- QEMU QEMU-ARGS...\n"
	"      joins command lines that name x-remote-object and x-pci-proxy-dev, or\n"
	"      x-vfio-user-server and vfio-user-pci, themselves\n"
	"  " NAME " [OPTION...] --device DEV... -- cloud-hypervisor ARGS...\n"
	"      gives Cloud Hypervisor these devices, each in a process of its own\n"
	"  " NAME " start FILE\n"
	"      runs the VM that the file describes\n"
	"  " NAME " check FILE\n"
	"      makes all checks and prints the commands, as --dry-run does\n"
	"  " NAME " import [OPTION...] -- QEMU QEMU-ARGS...\n"
	"      prints a file that says the same as this command line\n"
	"  " NAME " list | status VM | top VM | metrics VM | logs VM | graph VM | stop VM\n"
	"      ask running VMs, or end one (VERB --help says more)\n"
	"  " NAME " restart VM DEVICE\n"
	"      another device process for a device\n"
	"  " NAME " doctor\n"
	"      says what this host offers, and what helps where something is missing\n"
	"  " NAME " attach VM|--qmp=PATH -device DEV... | detach VM|--qmp=PATH ID | migrate ...\n"
	"      plugs a device into a VM that runs, and out; migrates without it\n"
	"  " NAME " inspect PID|VM:DEVICE --security [--json]\n"
	"      says how far a remote's process is shut in, seen from outside";

static const char epilogue[] =
	"Exit status: QEMU's own (128+N when signal N killed it); 123 a remote failed; 125 an\n"
	"error of " NAME "; 126 a program cannot be run; 127 a program is not there.";

/* GLib's own ellipsis is no ASCII, which a C locale cannot show. */
char *options_help(GOptionContext *context)
{
	g_autofree char *text = g_option_context_get_help(context, true, NULL);
	g_auto(GStrv) parts = g_strsplit(text, "\xe2\x80\xa6", -1);

	return g_strjoinv("...", parts);
}

/* The words of @text from column 28 on, none beyond 79. */
static void add_wrapped(GString *out, const char *text)
{
	g_auto(GStrv) words = g_strsplit(text, " ", -1);
	size_t column = 28;

	for (char **word = words; *word; word++) {
		if (column > 28 && column + 1 + strlen(*word) > 79) {
			g_string_append_printf(out, "\n%28s", "");
			column = 28;
		}
		g_string_append_printf(out, "%s%s", column > 28 ? " " : "", *word);
		column += strlen(*word) + (column > 28);
	}
	g_string_append_c(out, '\n');
}

char *options_table(const GOptionEntry *entries)
{
	GString *out = g_string_new("Options:\n");

	for (const GOptionEntry *e = entries; e->long_name; e++) {
		g_autofree char *letter = g_strdup_printf("-%c, ", e->short_name);
		g_autofree char *left = g_strdup_printf("  %s--%s%s%s",
							e->short_name ? letter : "", e->long_name,
							e->arg_description ? "=" : "",
							e->arg_description ?: "");

		g_string_append_printf(out, strlen(left) < 28 ? "%-28s" : "%s\n%28s", left, "");
		add_wrapped(out, e->description);
	}
	return g_string_free(out, false);
}

GOptionEntry *options_new(struct orchestrate *self, gboolean *help)
{
	/* A file's name need not be text: FILENAME takes the bytes. */
	const GOptionEntry entries[] = {
		{ "remote", 0, 0, G_OPTION_ARG_STRING_ARRAY, &self->remote,
		  "move these devices only", "ID[,ID]" },
		{ "local", 0, 0, G_OPTION_ARG_STRING_ARRAY, &self->local,
		  "leave these devices in QEMU", "ID[,ID]" },
		{ "protocol", 0, 0, G_OPTION_ARG_STRING, &self->protocol_word,
		  "what QEMU and the remotes speak (default auto)", REWRITE_PROTOCOL_WORDS },
		{ "device", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &self->device,
		  "a device for Cloud Hypervisor, as QEMU's -device", "DRIVER,..." },
		{ "drive", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &self->drive,
		  "a disk image of it, as QEMU's -drive", "if=none,..." },
		{ "blockdev", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &self->blockdev,
		  "the same, as QEMU's -blockdev", "DRIVER,..." },
		{ "object", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &self->object,
		  "what they name, as QEMU's -object", "TYPE,..." },
		{ "add-fd", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &self->add_fd,
		  "an inherited image, as QEMU's -add-fd", "fd=N,set=S" },
		{ "remote-program", 0, 0, G_OPTION_ARG_FILENAME, &self->remote_program,
		  "run this in place of mpqemu-remote (also QEMU itself)", "PROGRAM" },
		{ "remote-command", 0, 0, G_OPTION_ARG_STRING_ARRAY, &self->remote_commands,
		  "a remote's whole command line (explicit form)", "'COMMAND ARGS'" },
		{ "on-remote-exit", 0, 0, G_OPTION_ARG_STRING, &self->on_remote_exit,
		  "when a remote ends early (default report)",
		  PLAN_REMOTE_EXIT_WORDS },
		{ "name", 0, 0, G_OPTION_ARG_FILENAME, &self->name,
		  "what the verbs call this VM by (default: QEMU's -name)", "NAME" },
		{ "control", 0, 0, G_OPTION_ARG_FILENAME, &self->control,
		  "its control socket (default: by its name)", "PATH|off" },
		{ "metrics", 0, 0, G_OPTION_ARG_FILENAME, &self->metrics,
		  "a socket that serves the counters over HTTP", "PATH" },
		{ "shutdown-timeout", 0, 0, G_OPTION_ARG_INT, &self->shutdown_timeout,
		  "on SIGTERM the guest is asked to shut down, and has as long", "SECONDS" },
		{ "daemonize", 0, 0, G_OPTION_ARG_NONE, &self->daemonize,
		  "go on in the background once QEMU runs", NULL },
		{ "pidfile", 0, 0, G_OPTION_ARG_FILENAME, &self->pidfile,
		  "a file for our pid", "FILE" },
		{ "log-file", 0, 0, G_OPTION_ARG_FILENAME, &self->log_file,
		  "where our lines and the remotes' go, in place of stderr", "FILE" },
		{ "log-json", 0, 0, G_OPTION_ARG_NONE, &self->log_json,
		  "a JSON object a line", NULL },
		{ "on-error", 0, 0, G_OPTION_ARG_STRING, &self->on_error,
		  "what a disk's error does (see mpqemu-remote)", PLAN_ON_ERROR_WORDS },
		{ "on-crash", 0, 0, G_OPTION_ARG_STRING, &self->on_crash,
		  "when a device process has died (see mpqemu-remote)", PLAN_ON_CRASH_WORDS },
		{ "watchdog", 0, 0, G_OPTION_ARG_STRING, &self->watchdog,
		  "with it: also when it does not answer", "SECONDS" },
		{ "sandbox", 0, 0, G_OPTION_ARG_STRING, &self->sandbox,
		  "how far the remotes are shut in (see mpqemu-remote)", PLAN_SANDBOX_WORDS },
		{ "events", 0, 0, G_OPTION_ARG_STRING, &self->events,
		  "where the remotes write events (see mpqemu-remote)", "PATH|fd=N" },
		{ "numa", 0, 0, G_OPTION_ARG_STRING, &self->numa,
		  "the NUMA nodes of the remotes' memory (bind:0-1)", "[POLICY:]NODES" },
		{ "start-timeout", 0, 0, G_OPTION_ARG_INT, &self->start_timeout,
		  "how long a remote has to answer (default 30)", "SECONDS" },
		{ "dry-run", 0, 0, G_OPTION_ARG_NONE, &self->dry_run,
		  "print the commands and fd slots, start nothing", NULL },
		{ "version", 0, 0, G_OPTION_ARG_NONE, &self->version, "print the version", NULL },
		{ "help", 'h', 0, G_OPTION_ARG_NONE, help, "print this", NULL },
		{ NULL }
	};

	return g_memdup2(entries, sizeof(entries));
}

bool options_parse_verb(const char *verb, const GOptionEntry *entries, char ***words,
			GError **error)
{
	GOptionContext *context = g_option_context_new(NULL);
	g_autoptr(GError) local = NULL;
	bool ok;

	g_option_context_set_help_enabled(context, false);
	g_option_context_add_main_entries(context, entries, NULL);
	ok = g_option_context_parse_strv(context, words, &local);
	g_option_context_free(context);
	return ok || mpq_fail(error, MPQ_ERROR_USAGE, "%s: %s", verb, local->message);
}

void options_complete(const char *verb, const GOptionEntry *entries, completion_fn *row,
		      void *opaque)
{
	for (const GOptionEntry *e = entries; e->long_name; e++)
		row(opaque, &(struct completion_row){
			.verb = verb, .word = e->long_name, .args = e->arg_description,
			.help = e->description,
			.kind = e->arg == G_OPTION_ARG_NONE ? COMPLETION_OWN : COMPLETION_BOTH,
		});
}

bool options_parse(struct orchestrate *self, char ***argv, GError **error)
{
	gboolean help = false;
	g_autofree GOptionEntry *entries = options_new(self, &help);
	GOptionContext *context = g_option_context_new("-- QEMU QEMU-ARGS...");
	g_autoptr(GError) local = NULL;
	bool ok;

	g_option_context_set_help_enabled(context, false);
	g_option_context_set_summary(context, summary);
	g_option_context_set_description(context, epilogue);
	g_option_context_add_main_entries(context, entries, NULL);
	ok = g_option_context_parse_strv(context, argv, &local);
	self->help = help ? options_help(context) : NULL;
	g_option_context_free(context);
	if (!ok)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s", local->message);
	if ((*argv)[0] && (*argv)[1])
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: QEMU's command line stands after a "
				"\"--\"", (*argv)[1]);
	return true;
}

/* "a,b" and "c" as one list; NULL stays NULL.  The list is replaced. */
static void flatten(char ***list)
{
	GPtrArray *ids = g_ptr_array_new();

	if (!*list) {
		g_ptr_array_free(ids, true);
		return;
	}
	for (char **entry = *list; *entry; entry++) {
		g_auto(GStrv) parts = g_strsplit(*entry, ",", -1);

		for (char **part = parts; *part; part++)
			if (**part)
				g_ptr_array_add(ids, g_strdup(*part));
	}
	g_ptr_array_add(ids, NULL);
	g_strfreev(*list);
	*list = (char **)g_ptr_array_free(ids, false);
}

int options_word(const char *word, const char *list)
{
	g_auto(GStrv) words = g_strsplit(list, "|", -1);

	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], word))
			return i;
	return -1;
}

bool options_check_word(const char *option, const char *word, const char *list, GError **error)
{
	if (!word || options_word(word, list) >= 0)
		return true;
	return mpq_fail(error, MPQ_ERROR_USAGE, "--%s=%s: it is one of %s", option, word, list);
}

bool orchestrate_check(struct orchestrate *self, GError **error)
{
	struct plan_numa numa;

	flatten(&self->remote);
	flatten(&self->local);
	if (self->start_timeout < 1)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--start-timeout: it takes a number of "
				"seconds, 1 or more");
	if (self->shutdown_timeout < 0)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--shutdown-timeout: it takes a number of "
				"seconds, 0 for none");
	self->run.start_timeout = self->start_timeout;
	self->run.shutdown_timeout = self->shutdown_timeout;
	if (!options_check_word("on-remote-exit", self->on_remote_exit, PLAN_REMOTE_EXIT_WORDS,
				error) ||
	    !options_check_word("on-error", self->on_error, PLAN_ON_ERROR_WORDS, error) ||
	    !options_check_word("on-crash", self->on_crash, PLAN_ON_CRASH_WORDS, error) ||
	    !options_check_word("sandbox", self->sandbox, PLAN_SANDBOX_WORDS, error) ||
	    !options_check_word("protocol", self->protocol_word, REWRITE_PROTOCOL_WORDS, error))
		return false;
	if (self->numa && !plan_numa_parse(self->numa, &numa))
		return mpq_fail(error, MPQ_ERROR_USAGE, "--numa=%s: it takes " PLAN_NUMA_WANTS,
				self->numa);
	if (self->protocol_word)
		self->protocol = options_word(self->protocol_word, REWRITE_PROTOCOL_WORDS);
	if (self->on_remote_exit)
		self->run.on_remote_exit = options_word(self->on_remote_exit,
							PLAN_REMOTE_EXIT_WORDS);
	return !self->name || place_is_name(self->name) ||
	       mpq_fail(error, MPQ_ERROR_USAGE, "--name=%s: a VM's name has letters, digits, '-', "
			"'_' and '.', at most %d of them", self->name, PLACE_NAME_MAX);
}
