/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/vm/vm.h"

#include <stdlib.h>
#include <string.h>

#include "plan/opts.h"
#include "plan/rewrite/cmd.h"
#include "plan/vm/keys.h"

/* While a file is read. */
struct reading {
	const struct vmfile *file;
	struct vm *vm;
};

/* ---- Its objects ---- */

static void source_clear(void *p)
{
	struct vm_source *source = p;

	g_free(source->where);
	g_free(source->id);
}

static void remote_clear(void *p)
{
	struct vm_remote *remote = p;

	g_free(remote->device);
	g_free(remote->program);
	g_free(remote->engine);
	g_free(remote->sandbox);
	g_free(remote->on_error);
	g_free(remote->on_crash);
	g_free(remote->watchdog);
	g_free(remote->events);
	plan_limits_clear(&remote->limits);
}

/* Takes over @file. */
static struct vm *vm_create(struct vmfile *file)
{
	struct vm *vm = g_new0(struct vm, 1);

	vm->file = file;
	vm->qemu = g_ptr_array_new_null_terminated(16, g_free, true);
	vm->remotes = g_array_new(false, false, sizeof(struct vm_remote));
	g_array_set_clear_func(vm->remotes, remote_clear);
	vm->sources = g_array_new(false, false, sizeof(struct vm_source));
	g_array_set_clear_func(vm->sources, source_clear);
	return vm;
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	vmfile_destroy(vm->file);
	g_free(vm->name);
	g_free(vm->program);
	g_free(vm->protocol);
	g_free(vm->on_remote_exit);
	g_free(vm->control);
	g_free(vm->metrics);
	g_free(vm->group.memory_max);
	g_free(vm->group.cpu_max);
	g_free(vm->group.pids_max);
	g_free(vm->group.io_max);
	g_free(vm->remote);
	g_free(vm->local);
	plan_limits_clear(&vm->limits);
	remote_clear(&vm->all);
	g_ptr_array_unref(vm->qemu);
	g_array_unref(vm->remotes);
	g_array_unref(vm->sources);
	g_free(vm);
}

void vm_cleanup(struct vm **vm)
{
	vm_destroy(*vm);
}

/* ---- Our own groups ---- */

/* The group's values into @object, a struct vm or vm_remote, as the table says. */
static void take_values(const struct vmfile_group *group, void *object)
{
	for_each_entry(entry, group) {
		const struct vm_key *row = vm_key_find(group->kind, entry->key);
		char *at = (char *)object + row->offset;

		switch (row->type) {
		case VM_TEXT:
		case VM_BYTES:
		case VM_QUOTA:
		case VM_COUNT:
		case VM_RATES:
		case VM_CHOICE:
			*(char **)at = g_strdup(entry->value);
			break;
		case VM_SECONDS:
			*(int *)at = atoi(entry->value);
			break;
		case VM_CPUS:
			((struct plan_limits *)at)->cpus = g_strdup(entry->value);
			break;
		case VM_NUMA:
			((struct plan_limits *)at)->numa = g_strdup(entry->value);
			break;
		case VM_OOM_SCORE:
			((struct plan_limits *)at)->has_oom_score = true;
			((struct plan_limits *)at)->oom_score = atoi(entry->value);
			break;
		case VM_WORDS:
			break;
		}
	}
}

static bool take_remote(struct reading *reading, const struct vmfile_group *group, GError **error)
{
	struct vm_remote remote = { .device = g_strdup(group->name), .line = group->line };

	if (!group->name) {
		take_values(group, &reading->vm->all);
		reading->vm->all.line = group->line;
		return !reading->vm->all.engine ||
		       vmfile_fail(reading->file, group->line, error, "[remote]: engine= is for "
				   "one device: it stands in [remote ID]");
	}
	take_values(group, &remote);
	g_array_append_val(reading->vm->remotes, remote);
	return !remote.program || vmfile_fail(reading->file, group->line, error, "[remote %s]: "
					      "program= is for all remotes: it stands in [remote]",
					      group->name);
}

/* ---- QEMU's words ---- */

static void add_source(struct vm *vm, const char *where, const char *id, unsigned line)
{
	struct vm_source source = { g_strdup(where), g_strdup(id), line };

	g_array_append_val(vm->sources, source);
}

static void add_word(struct vm *vm, const char *word)
{
	g_ptr_array_add(vm->qemu, g_strdup(word));
}

/* An option that has a group of its own, which stands in the file too? */
static const struct vmfile_group *other_place(const struct vmfile *file, const struct qopt *opt)
{
	const struct vm_option *row = opt->name ? vm_option_by_name(opt->name) : NULL;

	for (unsigned i = 0; row && row->once && i < file->groups->len; i++) {
		const struct vmfile_group *group = file->groups->pdata[i];

		if (!strcmp(group->kind, row->kind))
			return group;
	}
	return NULL;
}

static bool check_words(struct reading *reading, const struct vmfile_entry *entry,
			const struct qcmd *cmd, GError **error)
{
	for_each_qopt(opt, cmd) {
		const struct vmfile_group *group = other_place(reading->file, opt);

		if (group)
			return vmfile_fail(reading->file, entry->line, error, "%s: %s, and line %u "
					   "has a group [%s]", entry->key, opt->word, group->line,
					   group->kind);
		if (opt->name && !strcmp(opt->name, "name") && reading->vm->name)
			return vmfile_fail(reading->file, entry->line, error, "%s: %s, and [vm] "
					   "has a name=", entry->key, opt->word);
		add_source(reading->vm, opt->set ? qopt_where(opt) : opt->word, NULL, entry->line);
	}
	return true;
}

/* "arguments = ..." */
static bool take_words(struct reading *reading, const struct vmfile_group *group, GError **error)
{
	const struct vmfile_entry *entry = vmfile_find(group, "arguments");
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
	g_auto(GStrv) words = NULL, argv = NULL;
	g_autoptr(GError) why = NULL;
	auto_qcmd cmd = NULL;

	if (!entry || !entry->value[strspn(entry->value, " \t\n")])
		return true;
	if (!g_shell_parse_argv(entry->value, NULL, &words, &why))
		return vmfile_fail(reading->file, entry->line, error, "arguments: %s",
				   why->message);
	g_strv_builder_add(builder, "qemu");
	for (char **word = words; *word; word++)
		g_strv_builder_add(builder, *word);
	argv = g_strv_builder_end(builder);
	cmd = qcmd_parse(argv, &why);
	if (!cmd)
		return vmfile_fail(reading->file, entry->line, error, "%s", why->message);
	for (char **word = words; *word; word++)
		add_word(reading->vm, *word);
	return check_words(reading, entry, cmd, error);
}

/* An option of QEMU's that a group becomes. */
static void add_option(struct vm *vm, const char *name, const struct opt_set *set, const char *id,
		       unsigned line)
{
	g_autofree char *text = opt_set_to_keyval(set);
	g_autofree char *whole = g_strdup_printf("-%s %s", name, text);
	auto_opt_set cut = opt_set_create(whole);
	g_autofree char *word = g_strconcat("-", name, NULL);

	add_word(vm, word);
	add_word(vm, text);
	add_source(vm, cut->where, id, line);
}

/* The implied key first, the group's name next, where it has no line of its own. */
static void take_option(struct reading *reading, const struct vmfile_group *group,
			const struct vm_option *row)
{
	auto_opt_set set = opt_set_create("");
	const char *first = row->implied ? vm_get(group, row->implied) : NULL;
	const char *id = row->id ? group->name ?: vm_get(group, row->id) : NULL;

	if (first) {
		opt_put(set, row->implied, first);
		set->opt[0].implied = true;
	}
	if (group->name && !vm_get(group, row->id))
		opt_put(set, row->id, group->name);
	for_each_entry(entry, group) {
		if (!first || strcmp(entry->key, row->implied))
			opt_put(set, entry->key, entry->value);
	}
	add_option(reading->vm, row->option, set, id, group->line);
}

/* A drive and a device, both of the group's name. */
static void take_disk(struct reading *reading, const struct vmfile_group *group)
{
	auto_opt_set drive = opt_set_create("");
	auto_opt_set device = opt_set_create("");

	opt_put(drive, "if", "none");
	opt_put(drive, "id", group->name);
	opt_put(device, "driver", vm_get(group, "driver") ?: "scsi-hd");
	device->opt[0].implied = true;
	opt_put(device, "id", group->name);
	opt_put(device, "drive", group->name);
	for_each_entry(entry, group) {
		opt_put(vm_disk_key(entry->key) ? drive : device, entry->key, entry->value);
	}
	add_option(reading->vm, "drive", drive, group->name, group->line);
	add_option(reading->vm, "device", device, group->name, group->line);
}

/* ---- The whole ---- */

static const struct vmfile_group *find_vm(const struct vmfile *file)
{
	for (unsigned i = 0; i < file->groups->len; i++) {
		const struct vmfile_group *group = file->groups->pdata[i];

		if (!strcmp(group->kind, "vm"))
			return group;
	}
	return NULL;
}

static bool take_vm(struct reading *reading, const struct vmfile_group *group, GError **error)
{
	struct vm *vm = reading->vm;

	if (!group)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: it has no group [vm], which says "
				"qemu=", vm->file->path);
	take_values(group, vm);
	if (!vm->program)
		return vmfile_fail(reading->file, group->line, error, "[vm]: qemu= is missing: it "
				   "names the QEMU to run");
	if (rewrite_is_cloud(vm->program))
		return vmfile_fail(reading->file, group->line, error, "[vm]: qemu=%s: a file is "
				   "for QEMU; Cloud Hypervisor has the command line alone",
				   vm->program);
	if (vm->name && !opt_id_wellformed(vm->name))
		return vmfile_fail(reading->file, group->line, error, "[vm]: name=%s: a name has "
				   "letters, digits, '-', '.', '_', and starts with a letter",
				   vm->name);
	add_word(vm, vm->program);
	if (vm->name) {
		add_word(vm, "-name");
		add_word(vm, vm->name);
		add_source(vm, "-name", NULL, vmfile_find(group, "name")->line);
	}
	return take_words(reading, group, error);
}

static bool take_group(struct reading *reading, const struct vmfile_group *group, GError **error)
{
	const struct vm_option *row = vm_option_find(group->kind);

	if (!strcmp(group->kind, "vm"))
		return true;
	if (!strcmp(group->kind, "remote"))
		return take_remote(reading, group, error);
	if (!strcmp(group->kind, "qemu"))
		return take_words(reading, group, error);
	if (row)
		take_option(reading, group, row);
	else
		take_disk(reading, group);
	return true;
}

/* Ids among words and groups: each option of the command line has its source. */
static bool check_ids(const struct vm *vm, GError **error)
{
	auto_qcmd cmd = qcmd_parse((char *const *)vm->qemu->pdata, error);
	const struct vm_source *sources = (const struct vm_source *)vm->sources->data;
	unsigned first, again;
	g_autofree char *text = cmd ? qcmd_find_twice(cmd, &first, &again) : NULL;

	/* Not so where a newer QEMU's option took a word of the next group: the plan refuses. */
	if (!text || cmd->opts->len != vm->sources->len)
		return cmd;
	return vmfile_fail(vm->file, sources[again].line, error, "%s: %s; line %u has it already: "
			   "%s", sources[again].where, text, sources[first].line,
			   sources[first].where);
}

/* Takes over @file, which may be NULL with @error set. */
static struct vm *convert(struct vmfile *file, GError **error)
{
	auto_vm vm = file ? vm_create(file) : NULL;
	struct reading reading = { file, vm };

	if (!vm || !vm_check_file(file, error) || !take_vm(&reading, find_vm(file), error))
		return NULL;
	for (unsigned i = 0; i < file->groups->len; i++)
		if (!take_group(&reading, file->groups->pdata[i], error))
			return NULL;
	return check_ids(vm, error) ? g_steal_pointer(&vm) : NULL;
}

struct vm *vm_read(const char *path, GError **error)
{
	return convert(vmfile_read(path, error), error);
}

struct vm *vm_parse(const char *path, const char *text, GError **error)
{
	return convert(vmfile_parse(path, text, strlen(text), error), error);
}
