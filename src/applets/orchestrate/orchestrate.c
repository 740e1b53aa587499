/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * mpqemu-orchestrate: plans the processes of one VM, checks the plan, starts them and sees them
 * through to their end.  Options and verbs here; the plan in src/plan/rewrite, a VM's file in
 * src/plan/vm.h, the processes in run.h.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "applets/applet.h"
#include "applets/completion.h"
#include "applets/orchestrate/doctor.h"
#include "applets/orchestrate/help.h"
#include "applets/orchestrate/inspect/inspect.h"
#include "applets/orchestrate/hotplug/hotplug.h"
#include "applets/orchestrate/orchestrate.h"
#include "applets/orchestrate/precheck.h"
#include "applets/orchestrate/probe.h"
#include "applets/orchestrate/service.h"
#include "applets/orchestrate/verbs/verb.h"
#include "base/log.h"
#include "plan/remote.h"
#include "plan/vm/nearest.h"

/* Between the commands of the explicit form. */
#define SEPARATOR "---"

/* ---- The commands after "--" ---- */

static bool add_remote_commands(struct orchestrate *self, GError **error)
{
	for (char **text = self->remote_commands; text && *text; text++) {
		g_autoptr(GError) local = NULL;
		char **argv = NULL;

		if (!g_shell_parse_argv(*text, NULL, &argv, &local))
			return mpq_fail(error, MPQ_ERROR_USAGE, "--remote-command '%s': %s", *text,
					local->message);
		g_ptr_array_add(self->remotes, argv);
	}
	return true;
}

/* A copy of the words up to the separator or the end; *words moves behind it. */
static char **take_command(char ***words, bool *ret_last)
{
	GPtrArray *argv = g_ptr_array_new();

	while (**words && strcmp(**words, SEPARATOR))
		g_ptr_array_add(argv, g_strdup(*(*words)++));
	*ret_last = !**words;
	if (**words)
		(*words)++;
	g_ptr_array_add(argv, NULL);
	return (char **)g_ptr_array_free(argv, false);
}

static bool has_devices(const struct orchestrate *self)
{
	return self->device || self->drive || self->blockdev || self->object || self->add_fd;
}

/* Which options go with which of the three forms? */
static bool check_form(const struct orchestrate *self, GError **error)
{
	bool cloud = rewrite_is_cloud(self->qemu[0]);

	if (has_devices(self) && (!cloud || self->remotes->len))
		return mpq_fail(error, MPQ_ERROR_USAGE, "--device, --drive, --blockdev, --object "
				"and --add-fd are Cloud Hypervisor's; QEMU's and a remote's own "
				"stand in their command lines");
	if (cloud && !self->remotes->len && !self->device)
		return mpq_fail(error, MPQ_ERROR_USAGE, "nothing to move: --device says which "
				"devices Cloud Hypervisor gets");
	if (cloud && (self->remote || self->local))
		return mpq_fail(error, MPQ_ERROR_USAGE, "--remote and --local choose among QEMU's "
				"devices; Cloud Hypervisor has none of these");
	if (!self->remotes->len)
		return true;
	if (self->remote || self->local || self->remote_program || self->protocol)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--remote, --local, --protocol and "
				"--remote-program choose what moves and how; with explicit remote "
				"commands nothing does");
	if (self->on_error || self->on_crash || self->watchdog || self->events ||
	    self->sandbox)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--on-error, --on-crash, --watchdog, "
				"--events and --sandbox are for remotes that are made here; write "
				"them into the remote commands");
	if (self->numa)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--numa is for remotes that are made here");
	return true;
}

static bool split_commands(struct orchestrate *self, char **words, GError **error)
{
	bool last = false;

	if (!add_remote_commands(self, error))
		return false;
	while (!last) {
		char **argv = take_command(&words, &last);

		if (!argv[0]) {
			g_strfreev(argv);
			return mpq_fail(error, MPQ_ERROR_USAGE, self->remotes->len || !last ?
					"a command is missing at a \"" SEPARATOR "\"" :
					"QEMU's command line is missing after \"--\"");
		}
		if (last)
			self->qemu = argv;
		else
			g_ptr_array_add(self->remotes, argv);
	}
	return true;
}

/* ---- Plan and run ---- */

/* The options that are Cloud Hypervisor's devices, as a QEMU would have them; g_strfreev(). */
static char **device_line(const struct orchestrate *self)
{
	const struct {
		const char *option;
		char **values;
	} options[] = {
		{ "-object", self->object }, { "-add-fd", self->add_fd },
		{ "-blockdev", self->blockdev }, { "-drive", self->drive },
		{ "-device", self->device },
	};
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

	g_strv_builder_add(builder, self->qemu[0]);
	for (unsigned i = 0; i < G_N_ELEMENTS(options); i++)
		for (char **value = options[i].values; value && *value; value++) {
			g_strv_builder_add(builder, options[i].option);
			g_strv_builder_add(builder, *value);
		}
	return g_strv_builder_end(builder);
}

/* What the file says of single remotes; its texts are the file's.  unref. */
static GArray *each_remote(const struct vm *vm)
{
	GArray *each = g_array_new(false, false, sizeof(struct rewrite_remote));

	for (unsigned i = 0; i < vm->remotes->len; i++) {
		const struct vm_remote *remote = &g_array_index(vm->remotes, struct vm_remote, i);
		const struct rewrite_remote own = {
			.device = remote->device,
			.qemu = !g_strcmp0(remote->engine, "qemu"), .on_error = remote->on_error,
			.on_crash = remote->on_crash, .watchdog = remote->watchdog,
			.sandbox = remote->sandbox, .events = remote->events,
			.limits = remote->limits,
		};

		g_array_append_val(each, own);
	}
	return each;
}

static char *ask_qemu(void *opaque, const char *option, const char *type, GError **error)
{
	struct probe *probe = opaque;

	return probe_help(probe, probe->qemu, option, type, error);
}

static struct plan *make_plan(struct orchestrate *self, struct probe *probe, GError **error)
{
	const bool cloud = rewrite_is_cloud(self->qemu[0]);
	g_auto(GStrv) devices = device_line(self);
	g_autoptr(GArray) each = self->vm ? each_remote(self->vm) : NULL;
	struct rewrite_choice choice = {
		.in_place = self->run.in_place, .protocol = self->protocol,
		.remote = self->remote, .local = self->local, .on_error = self->on_error,
		.on_crash = self->on_crash, .watchdog = self->watchdog,
		.events = self->events, .sandbox = self->sandbox,
		.limits.numa = self->numa,
	};

	if (self->vm) {
		choice.limits = self->vm->all.limits;
		choice.qemu_limits = self->vm->limits;
		choice.each = (const struct rewrite_remote *)each->data;
		choice.each_count = each->len;
	}

	probe_init(probe, self->remote_program);
	if (!cloud && !probe_qemu(probe, self->qemu[0], error)) {
		if (probe->exec_errno)
			self->status = probe->exec_errno == ENOENT ? RUN_STATUS_NOT_FOUND :
								     RUN_STATUS_NO_EXEC;
		return NULL;
	}
	if (self->vm && !vm_check_qemu(self->vm, ask_qemu, probe, error))
		return NULL;
	if (self->remotes->len)
		return rewrite_join(self->remotes, self->qemu, &probe->facts, error);
	if (cloud)
		return rewrite_cloud(self->qemu, devices, &choice, &probe->facts, error);
	return rewrite_move(self->qemu, &choice, &probe->facts, error);
}

static void log_lines(const GPtrArray *lines, enum log_level level)
{
	for (unsigned i = 0; i < lines->len; i++)
		log_line(level, "%s", (char *)lines->pdata[i]);
}

bool orchestrate_run(struct orchestrate *self, GError **error)
{
	struct probe probe;
	auto_plan plan = make_plan(self, &probe, error);
	bool ok = plan && (self->dry_run || rewrite_watch(plan, &probe.facts, error));
	g_autofree char *text = NULL;

	probe_finish(&probe);
	if (!ok || !precheck_remotes(plan, self->dry_run, error) ||
	    !precheck_limits(plan, error)) {
		if (self->vm)
			vm_locate_error(self->vm, error);
		return false;
	}
	if (self->dry_run) {
		text = plan_to_shell(plan, NAME);
		fputs(text, stdout);
		if (fflush(stdout) == EOF)
			return mpq_fail(error, MPQ_ERROR_SYSTEM, "stdout: %s", log_errname(errno));
		return true;
	}
	log_lines(plan->warnings, LOG_LEVEL_WARNING);
	/* Whoever calls QEMU shows what it wrote when it fails: no more than is needed. */
	if (!self->run.in_place)
		log_lines(plan->notes, LOG_LEVEL_INFO);
	if (!service_begin(self, error))
		return false;
	self->status = run_plan(plan, &self->run);
	return true;
}

/* A question to QEMU needs no remote: QEMU answers it in our place. */
static bool pass_question(struct orchestrate *self, GError **error)
{
	sigaction(SIGPIPE, &self->run.sigpipe, NULL);
	execvp(self->qemu[0], self->qemu);
	self->status = errno == ENOENT ? RUN_STATUS_NOT_FOUND : RUN_STATUS_NO_EXEC;
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: cannot run it: %s", self->qemu[0],
			log_errname(errno));
}

/* ---- Verbs ---- */

/* "FILE" alone behind the verb. */
static bool take_file(struct orchestrate *self, char **words, const char *verb, GError **error)
{
	if (!words[0] || words[1])
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: it takes one FILE", verb);
	if (!orchestrate_read_vm(self, words[0], error) || !orchestrate_check(self, error))
		return false;
	if (rewrite_is_question(self->qemu, error))
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: its QEMU is only asked something",
				words[0]);
	if (error && *error) {
		vm_locate_error(self->vm, error);
		return false;
	}
	return orchestrate_run(self, error);
}

static bool run_start(struct orchestrate *self, char **words, GError **error)
{
	return take_file(self, words, "start", error);
}

static bool run_check(struct orchestrate *self, char **words, GError **error)
{
	self->dry_run = true;
	return take_file(self, words, "check", error);
}

static bool run_doctor(struct orchestrate *self, char **words, GError **error)
{
	if (words[0])
		return mpq_fail(error, MPQ_ERROR_USAGE, "doctor: it takes no arguments");
	self->status = doctor_run();
	return true;
}

static bool run_inspect(struct orchestrate *self, char **words, GError **error)
{
	return inspect_run(words, &self->status, error);
}

static bool run_import(struct orchestrate *self, char **words, GError **error)
{
	if (!split_commands(self, words, error) || !check_form(self, error))
		return false;
	if (rewrite_is_question(self->qemu, error))
		return mpq_fail(error, MPQ_ERROR_USAGE, "import: this only asks QEMU something");
	return !(error && *error) && orchestrate_import(self, error);
}

/* The command line without a verb. */
static bool run_line(struct orchestrate *self, char **words, GError **error)
{
	GError *question = NULL;

	if (!split_commands(self, words, error))
		return false;
	if (!self->remotes->len && rewrite_is_question(self->qemu, &question))
		return pass_question(self, error);
	if (question) {
		g_propagate_error(error, question);
		return false;
	}
	return check_form(self, error) && orchestrate_run(self, error);
}

static const struct verb {
	const char *name;	/* NULL: none is given */
	bool options;		/* ours stand behind it, and QEMU's command line behind "--" */
	bool (*run)(struct orchestrate *self, char **words, GError **error);
	bool all;		/* whatever stands behind it is the verb's own */
} verbs[] = {
	{ "start", false, run_start },
	{ "check", false, run_check },
	{ "import", true, run_import },
	{ "doctor", false, run_doctor },
	{ "inspect", false, run_inspect, true },
	{ NULL, true, run_line },
};

static void complete_ask(const struct ask_verb *verb, completion_fn *row, void *opaque)
{
	struct verb_args none = { 0 };
	g_autofree GOptionEntry *entries = ask_options(verb, &none);

	row(opaque, &(struct completion_row){ .word = verb->name, .help = verb->help });
	options_complete(verb->name, entries, row, opaque);
}

void orchestrate_complete(completion_fn *row, void *opaque)
{
	struct orchestrate none = { 0 };
	gboolean help;
	g_autofree GOptionEntry *entries = options_new(&none, &help);

	for (const struct verb *verb = verbs; verb->name; verb++)
		row(opaque, &(struct completion_row){ .word = verb->name });
	for (const struct ask_verb *verb = ask_verbs; verb->name; verb++)
		complete_ask(verb, row, opaque);
	inspect_complete(row, opaque);
	hotplug_complete(row, opaque);
	options_complete(NULL, entries, row, opaque);
}

static const struct verb *find_verb(const char *word)
{
	const struct verb *verb = verbs;

	while (verb->name && g_strcmp0(verb->name, word))
		verb++;
	return verb;
}

/* What the options would say stands in the file: one place, for every start. */
static bool check_own(const struct verb *verb, char *const *own, GError **error)
{
	static const char *const allowed[] = {
		"--help", "-h", "--version", "--daemonize", "--log-json", NULL
	};

	for (own++; !verb->options && *own; own++)
		if (!g_strv_contains(allowed, *own) && !g_str_has_prefix(*own, "--pidfile=") &&
		    !g_str_has_prefix(*own, "--log-file=") && !g_str_has_prefix(*own, "--control="))
			return mpq_fail(error, MPQ_ERROR_USAGE, "%s: what %s and the like say "
					"stands in the file", verb->name, *own);
	return true;
}

static void add_verb(void *opaque, const struct completion_row *row)
{
	if (row->kind == COMPLETION_VERB)
		g_ptr_array_add(opaque, g_strdup(row->word));
}

/* The first word is no option: it is a verb, or stands where QEMU's would. */
static bool check_verb(const char *word, GError **error)
{
	g_autoptr(GPtrArray) words = g_ptr_array_new_null_terminated(32, g_free, true);
	const char *hint;

	if (!word || word[0] == '-')
		return true;
	if (strchr(word, '/') || rewrite_is_qemu(word) || rewrite_is_cloud(word))
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: QEMU's command line stands after a "
				"\"--\"", word);
	orchestrate_complete(add_verb, words);
	g_ptr_array_add(words, g_strdup("--help"));
	g_ptr_array_add(words, g_strdup("--version"));
	hint = nearest_word(word, (const char *const *)words->pdata);
	if (hint)
		return mpq_fail(error, MPQ_ERROR_USAGE, "unknown verb '%s'; did you mean '%s'?",
				word, hint);
	return mpq_fail(error, MPQ_ERROR_USAGE, "unknown verb '%s': --help lists them, and QEMU's "
			"command line stands after a \"--\"", word);
}

/* @own: our name and options; @words: what stands behind "--", or the verb without options. */
static bool orchestrate(struct orchestrate *self, const struct verb *verb, char ***own,
			char **words, GError **error)
{
	if ((!verb->name && !check_verb((*own)[1], error)) || !check_own(verb, *own, error) ||
	    !options_parse(self, own, error) || !orchestrate_check(self, error))
		return false;
	if (self->help) {
		if (!help_print(verb->name))
			printf("%s", self->help);
		return true;
	}
	if (self->version) {
		printf(NAME " version %s\n", MPQEMU_VERSION);
		return true;
	}
	if (!words)
		return mpq_fail(error, MPQ_ERROR_USAGE, "QEMU's command line is missing: " NAME
				" [OPTION...] -- QEMU QEMU-ARGS... (--help says more)");
	return service_open_log(self, error) && verb->run(self, words, error);
}

/* Sockets must not end up as stdin, stdout or stderr of anybody. */
static bool fill_stdio(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* QEMU spells long options with one dash: these are as there. */
static char *own_word(const char *word)
{
	static const char *const names[] = { "version", "help", "daemonize", "pidfile", NULL };

	return g_strconcat(word[0] == '-' && g_strv_contains(names, word + 1) ? "-" : "", word,
			   NULL);
}

void orchestrate_finish(struct orchestrate *self)
{
	g_strfreev(self->remote);
	g_strfreev(self->local);
	g_strfreev(self->remote_commands);
	g_free(self->remote_program);
	g_free(self->on_remote_exit);
	g_free(self->on_error);
	g_free(self->on_crash);
	g_free(self->watchdog);
	g_free(self->sandbox);
	g_free(self->events);
	g_free(self->numa);
	g_free(self->help);
	g_free(self->protocol_word);
	g_free(self->name);
	g_free(self->control);
	g_free(self->metrics);
	g_free(self->pidfile);
	g_free(self->log_file);
	g_free(self->run.name);
	g_free(self->run.control);
	g_strfreev(self->device);
	g_strfreev(self->drive);
	g_strfreev(self->blockdev);
	g_strfreev(self->object);
	g_strfreev(self->add_fd);
	g_ptr_array_unref(self->remotes);
	g_strfreev(self->qemu);
	vm_destroy(self->vm);
}

static void free_argv(void *argv)
{
	g_strfreev(argv);
}

/*
 * Our own words of the command line, which end at "--", or where a verb without options has only
 * --help or --version; *ret_words: what is behind them, or NULL.  g_strfreev() them.
 */
static char **split_own(const struct verb *verb, int argc, char **argv, char ***ret_words)
{
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
	int i = verb->name ? 2 : 1;

	g_strv_builder_add(builder, NAME);
	while (!verb->all && i < argc && strcmp(argv[i], "--") &&
	       (verb->options || argv[i][0] == '-')) {
		g_autofree char *word = own_word(argv[i++]);

		g_strv_builder_add(builder, word);
	}
	*ret_words = i < argc || !verb->options ? argv + i : NULL;
	if (i < argc && !verb->all && !strcmp(argv[i], "--"))
		(*ret_words)++;
	return g_strv_builder_end(builder);
}

/* A verb that asks a VM: its words are its own. */
static int run_ask(const struct ask_verb *verb, char **words)
{
	g_autoptr(GError) error = NULL;
	int status = 0;

	if (ask_run(verb, words, &status, &error) && fflush(stdout) != EOF)
		return status;
	log_error("%s", error ? error->message : "stdout cannot be written");
	return RUN_STATUS_FAILED;
}

bool orchestrate_init(struct orchestrate *self, const char *prog)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };

	*self = (struct orchestrate){
		.start_timeout = RUN_START_TIMEOUT, .log_fd = -1, .pid_fd = -1, .run.ready_fd = -1,
	};
	log_init(STDERR_FILENO, prog);
	/* Where it was ignored, children would vanish without a status. */
	signal(SIGCHLD, SIG_DFL);
	/* A line that nobody reads is lost, and nothing else is. */
	sigaction(SIGPIPE, &ignore, &self->run.sigpipe);
	if (!fill_stdio()) {
		log_error("/dev/null: %s", log_errname(errno));
		return false;
	}
	self->remotes = g_ptr_array_new_with_free_func(free_argv);
	return true;
}

int orchestrate_main(int argc, char **argv)
{
	struct orchestrate self;
	const struct ask_verb *ask = argc > 1 ? ask_find(argv[1]) : NULL;
	const struct verb *verb = find_verb(argc > 1 ? argv[1] : NULL);
	g_autoptr(GError) error = NULL;
	char **words;
	g_auto(GStrv) own = split_own(verb, argc, argv, &words);

	if (!orchestrate_init(&self, NAME))
		return RUN_STATUS_FAILED;
	if (ask)
		return run_ask(ask, argv + 2);
	if (argc > 1 && hotplug_is_verb(argv[1]))
		return hotplug_main(argc - 1, argv + 1, &self.run.sigpipe);
	self.remotes = g_ptr_array_new_with_free_func(free_argv);
	if (!orchestrate(&self, verb, &own, words, &error)) {
		log_error("%s", error->message);
		if (!self.status)
			self.status = RUN_STATUS_FAILED;
	}
	service_end(&self);
	orchestrate_finish(&self);
	return self.status;
}
