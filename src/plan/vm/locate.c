/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which line of a VM's file an error is about that came later: of the plan, of QEMU, of the limits.
 * It starts with what it is about, as a command line has it.
 */

#include <string.h>

#include "plan/vm/keys.h"
#include "plan/vm/vm.h"

/* ---- QEMU's options ---- */

/* Is it the whole option that stands before the error's text? */
static bool starts_with(const char *message, const struct vm_source *source)
{
	size_t len = strlen(source->where);

	return !strncmp(message, source->where, len) && strchr(": ", message[len]);
}

/* Or one of that kind and id, as the remote got it? */
static bool names_id(const char *message, const struct vm_source *source)
{
	size_t word = strcspn(source->where, " ");
	g_autofree char *option = g_strndup(message, (strstr(message, ": ") ?: message) - message);
	bool node = g_str_has_prefix(source->where, "-blockdev ");
	g_autofree char *id = source->id ? g_strdup_printf("%s=%s", node ? "node-name" : "id",
							   source->id) : NULL;
	const char *at = id ? strstr(option, id) : NULL;

	/* strchr() finds the end, too. */
	return at && !strncmp(option, source->where, word + 1) && strchr(", ", at[-1]) &&
	       strchr(",", at[strlen(id)]);
}

static const struct vm_source *find_source(const struct vm *vm, const char *message,
					   bool (*is_about)(const char *message,
							    const struct vm_source *source))
{
	for (unsigned i = 0; i < vm->sources->len; i++) {
		const struct vm_source *source = &g_array_index(vm->sources, struct vm_source, i);

		if (is_about(message, source))
			return source;
	}
	return NULL;
}

static const struct vm_source *source_of(const struct vm *vm, const char *message)
{
	return find_source(vm, message, starts_with) ?: find_source(vm, message, names_id);
}

/* ---- Keys of ours ---- */

/* The group's key that @text starts with: "KEY=VALUE: ", or "KEY: ".  NULL: none. */
static const struct vmfile_entry *entry_of(const struct vmfile_group *group, const char *text)
{
	for_each_entry(entry, group) {
		g_autofree char *pair = g_strdup_printf("%s=%s: ", entry->key, entry->value);
		g_autofree char *key = g_strdup_printf("%s: ", entry->key);

		if (g_str_has_prefix(text, pair) || g_str_has_prefix(text, key))
			return entry;
	}
	return NULL;
}

/* The group [KIND NAME], or NULL; @name may be NULL. */
static const struct vmfile_group *group_of(const struct vm *vm, const char *kind, const char *name)
{
	for (unsigned i = 0; i < vm->file->groups->len; i++) {
		const struct vmfile_group *group = vm->file->groups->pdata[i];

		if (!strcmp(group->kind, kind) && !g_strcmp0(group->name, name))
			return group;
	}
	return NULL;
}

/* "[remote lsi0]: ...": the line of the key that it is about, or of the group.  0: it is none. */
static unsigned remote_line(const struct vm *vm, const char *message)
{
	const char *end = strstr(message, "]: ");
	g_autofree char *name = NULL;
	const struct vmfile_group *group;
	const struct vmfile_entry *entry;

	if (!end || !g_str_has_prefix(message, "[remote "))
		return 0;
	name = g_strndup(message + strlen("[remote "), end - message - strlen("[remote "));
	group = group_of(vm, "remote", name);
	entry = group ? entry_of(group, end + strlen("]: ")) : NULL;
	return entry ? entry->line : group ? group->line : 0;
}

/* "QEMU: cpus=9: ..." is of [vm], "lsi0 (lsi53c895a): cpus=9: ..." of a remote.  0: it is none. */
static unsigned limit_line(const struct vm *vm, const char *message)
{
	const char *colon = strstr(message, ": ");
	size_t len = strcspn(message, " :");
	g_autofree char *name = g_strndup(message, len);
	bool is_vm = !strcmp(name, "QEMU");
	const struct vmfile_group *groups[] = {
		is_vm ? group_of(vm, "vm", NULL) : group_of(vm, "remote", name),
		is_vm ? NULL : group_of(vm, "remote", NULL),
	};

	for (unsigned i = 0; colon && i < G_N_ELEMENTS(groups); i++) {
		const struct vmfile_entry *entry =
			groups[i] ? entry_of(groups[i], colon + strlen(": ")) : NULL;

		if (entry)
			return entry->line;
	}
	return 0;
}

/*
 * The key that stands for our own option "--OPTION VALUE" or "--OPTION=VALUE" at the start; where
 * several groups have it, the one with that value.  *ret_rest: from the value on.
 */
static const struct vmfile_entry *option_entry(const struct vm *vm, const char *message,
					       const char **ret_rest)
{
	size_t len = strcspn(message, " =:");
	g_autofree char *option = g_str_has_prefix(message, "--") ?
				  g_strndup(message + 2, len - 2) : NULL;
	const struct vmfile_entry *found = NULL;

	if (!option || !message[len] || message[len] == ':')
		return NULL;
	*ret_rest = message + len + 1;
	for (unsigned i = 0; i < vm->file->groups->len; i++) {
		const struct vmfile_group *group = vm->file->groups->pdata[i];

		for_each_entry(entry, group) {
			const struct vm_key *row = vm_key_find(group->kind, entry->key);
			bool same = g_str_has_prefix(*ret_rest, entry->value);

			if (row && !g_strcmp0(row->option, option) && (!found || same))
				found = entry;
		}
	}
	return found;
}

/* "PROGRAM: ...": the key that says which QEMU. */
static const struct vmfile_entry *program_entry(const struct vm *vm, const char *message)
{
	g_autofree char *start = g_strconcat(vm->program, ": ", NULL);

	return g_str_has_prefix(message, start) ? vmfile_find(group_of(vm, "vm", NULL), "qemu") :
						  NULL;
}

/* ---- The whole ---- */

/* "PATH:LINE: KEY=REST" in the place of the error's text. */
static void say_entry(const struct vm *vm, GError **error, const struct vmfile_entry *entry,
		      const char *rest)
{
	char *old = (*error)->message;

	(*error)->message = g_strdup_printf("%s:%u: %s=%s", vm->file->path, entry->line, entry->key,
					    rest);
	g_free(old);
}

void vm_locate_error(const struct vm *vm, GError **error)
{
	const char *message = error && *error ? (*error)->message : NULL;
	const struct vmfile_entry *entry;
	const struct vm_source *source;
	const char *rest = message;
	unsigned line;

	if (!message || (g_str_has_prefix(message, vm->file->path) &&
			 message[strlen(vm->file->path)] == ':'))
		return;
	entry = option_entry(vm, message, &rest) ?: program_entry(vm, message);
	if (entry) {
		say_entry(vm, error, entry, rest);
		return;
	}
	source = source_of(vm, message);
	line = source ? source->line : remote_line(vm, message) ?: limit_line(vm, message);
	if (line)
		g_prefix_error(error, "%s:%u: ", vm->file->path, line);
	else
		g_prefix_error(error, "%s: ", vm->file->path);
}
