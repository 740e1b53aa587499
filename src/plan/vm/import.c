/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * From a QEMU command line to the file that says the same.  The order of QEMU's options stays: it
 * decides PCI slots and bus names.  An option becomes a group where the reader gives it back byte
 * for byte; whatever else there is stands in arguments=.
 */

#include <string.h>

#include "plan/opts.h"
#include "plan/rewrite/cmd.h"
#include "plan/vm/vm.h"
#include "plan/vm/keys.h"

struct writing {
	const struct qcmd *cmd;
	GString *text;
	GPtrArray *words;	/* char *: QEMU's, since the last group */
	GString *remote;	/* [remote], which stands behind [vm] */
	bool in_vm;		/* no group but [vm] stands there yet */
};

/* ---- Words ---- */

static bool is_plain(const char *word)
{
	const char *safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			   "-_=,.:/+@%^";

	return *word && strspn(word, safe) == strlen(word);
}

static bool add_line(GString *text, const char *key, const char *value, GError **error)
{
	g_autofree char *escaped = vmfile_escape(value);

	if (!escaped)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "'%s': a file has UTF-8 without control "
				"characters", value);
	g_string_append_printf(text, "%s = %s\n", key, escaped);
	return true;
}

static bool flush_words(struct writing *writing, GError **error)
{
	g_autoptr(GString) line = g_string_new(NULL);

	if (!writing->words->len)
		return true;
	for (unsigned i = 0; i < writing->words->len; i++) {
		const char *word = writing->words->pdata[i];
		g_autofree char *quoted = is_plain(word) ? g_strdup(word) : g_shell_quote(word);

		g_string_append_printf(line, "%s%s", i ? " " : "", quoted);
	}
	g_ptr_array_set_size(writing->words, 0);
	if (!writing->in_vm)
		g_string_append(writing->text, "\n[qemu]\n");
	return add_line(writing->text, "arguments", line->str, error);
}

/* What follows is no longer [vm]'s. */
static void end_vm(struct writing *writing)
{
	if (writing->in_vm && writing->remote->len)
		g_string_append_printf(writing->text, "\n[remote]\n%s", writing->remote->str);
	writing->in_vm = false;
}

static void keep_words(struct writing *writing, const struct qopt *opt)
{
	g_ptr_array_add(writing->words, g_strdup(opt->word));
	if (opt->arg)
		g_ptr_array_add(writing->words, g_strdup(opt->arg));
}

/* ---- Groups ---- */

/* Does the reader make this option of that group? */
static bool gives_back(const char *group, const struct qopt *opt)
{
	g_autofree char *text = g_strconcat("[vm]\nqemu=q\n", group, NULL);
	auto_vm vm = vm_parse("", text, NULL);

	return vm && vm->qemu->len == 3 && !strcmp(vm->qemu->pdata[1], opt->word) &&
	       !strcmp(vm->qemu->pdata[2], opt->arg);
}

/* @id: its name, or NULL; @own_line: the name stands as a key, too.  NULL: it cannot be written. */
static char *group_text(const struct vm_option *row, const struct opt_set *set, const char *id,
			bool own_line)
{
	g_autoptr(GString) text = g_string_new(NULL);

	g_string_append_printf(text, "[%s%s%s]\n", row->kind, id ? " " : "", id ?: "");
	for (size_t i = 0; i < set->count; i++) {
		bool is_id = row->id && id && !strcmp(set->opt[i].key, row->id);

		if ((!is_id || own_line) &&
		    !add_line(text, set->opt[i].key, set->opt[i].value, NULL))
			return NULL;
	}
	return g_strdup(text->str);
}

static bool is_alone(const struct qcmd *cmd, const struct vm_option *row)
{
	unsigned count = 0;

	for_each_qopt(opt, cmd)
		count += qopt_is(opt, row->option);
	return count == 1;
}

/* The group that gives the option back; NULL: none does. */
static char *find_group(const struct writing *writing, const struct qopt *opt)
{
	const struct vm_option *row = opt->name && opt->arg ? vm_option_by_name(opt->name) : NULL;
	const struct opt_syntax syntax = { row ? row->implied : NULL, OPT_DIALECT_QEMUOPTS, false };
	auto_opt_set set = NULL;
	const char *id;

	if (!row || opt->arg[0] == '{' || (row->once && !is_alone(writing->cmd, row)))
		return NULL;
	set = opt_set_parse("", opt->arg, &syntax, NULL);
	id = set && row->id ? opt_get(set, row->id) : NULL;
	for (int own_line = 0; set && own_line < 2; own_line++) {
		g_autofree char *text = group_text(row, set, id, own_line);

		if (text && gives_back(text, opt))
			return g_steal_pointer(&text);
	}
	return NULL;
}

static bool write_option(struct writing *writing, const struct qopt *opt, GError **error)
{
	g_autofree char *group = find_group(writing, opt);

	if (!group) {
		keep_words(writing, opt);
		return true;
	}
	if (!flush_words(writing, error))
		return false;
	end_vm(writing);
	g_string_append_printf(writing->text, "\n%s", group);
	return true;
}

/* ---- The whole ---- */

static bool write_settings(GString *text, const char *kind, const struct vm_settings *settings,
			   GError **error)
{
	const struct {
		const char *kind, *key, *value;
	} rows[] = {
		{ "vm", "protocol", settings->protocol },
		{ "vm", "remote", settings->remote },
		{ "vm", "local", settings->local },
		{ "vm", "on-remote-exit", settings->on_remote_exit },
		{ "vm", "control", settings->control },
		{ "vm", "metrics", settings->metrics },
		{ "remote", "program", settings->program },
		{ "remote", "sandbox", settings->sandbox },
		{ "remote", "on-error", settings->on_error },
		{ "remote", "on-crash", settings->on_crash },
		{ "remote", "watchdog", settings->watchdog },
		{ "remote", "events", settings->events },
		{ "remote", "numa", settings->numa },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		if (rows[i].value && !strcmp(rows[i].kind, kind) &&
		    !add_line(text, rows[i].key, rows[i].value, error))
			return false;
	if (!strcmp(kind, "vm") && settings->start_timeout)
		g_string_append_printf(text, "start-timeout = %d\n", settings->start_timeout);
	if (!strcmp(kind, "vm") && settings->shutdown_timeout)
		g_string_append_printf(text, "shutdown-timeout = %d\n",
				       settings->shutdown_timeout);
	return true;
}

static bool write_file(struct writing *writing, const struct vm_settings *settings, GError **error)
{
	g_string_append(writing->text, "[vm]\n");
	if (!add_line(writing->text, "qemu", writing->cmd->prefix->pdata[0], error) ||
	    !write_settings(writing->text, "vm", settings, error) ||
	    !write_settings(writing->remote, "remote", settings, error))
		return false;
	for_each_qopt(opt, writing->cmd)
		if (!write_option(writing, opt, error))
			return false;
	if (!flush_words(writing, error))
		return false;
	end_vm(writing);
	return true;
}

/* Is the file read as the command line that it was made of? */
static bool check_file(const char *text, char *const *qemu, GError **error)
{
	auto_vm vm = vm_parse("import", text, error);

	if (!vm)
		return false;
	for (unsigned i = 0; i <= vm->qemu->len; i++)
		if (g_strcmp0(i < vm->qemu->len ? vm->qemu->pdata[i] : NULL, qemu[i]))
			return mpq_fail(error, MPQ_ERROR_REFUSED, "'%s': no file can have this "
					"where it stands", qemu[i] ?: "the end");
	return true;
}

char *vm_import(char *const *qemu, const struct vm_settings *settings, GError **error)
{
	auto_qcmd cmd = qcmd_parse(qemu, error);
	g_autoptr(GString) text = g_string_new(NULL), remote = g_string_new(NULL);
	g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
	struct writing writing = { cmd, text, words, remote, true };

	if (!cmd || !qcmd_check_ids(cmd, error) || !write_file(&writing, settings, error) ||
	    !check_file(text->str, qemu, error))
		return NULL;
	return g_strdup(text->str);
}
