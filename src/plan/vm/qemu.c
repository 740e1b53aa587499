/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The keys of devices and objects that QEMU alone knows: QEMU prints them when it is asked
 * ("-device e1000,help"), a line each: "  mac=<str>   - Ethernet 6-byte MAC Address ...".
 */

#include <string.h>

#include "plan/vm/nearest.h"
#include "plan/vm/vm.h"
#include "plan/vm/keys.h"

/* The names in QEMU's answer (char *, owned); unref.  NULL: it has no such type. */
static GPtrArray *read_answer(const char *text)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_null_terminated(32, g_free, true);
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	if (!strstr(text, " options:"))
		return NULL;
	for (char **line = lines; *line; line++) {
		const char *name = *line + strspn(*line, " ");
		const char *eq = strstr(name, "=<");

		if (name != *line && eq)
			g_ptr_array_add(names, g_strndup(name, eq - name));
	}
	return g_steal_pointer(&names);
}

/* What every -device or -object has beside its own; what is nested is not in the answer. */
static bool is_common(const struct vm_option *row, const char *key)
{
	return !strcmp(key, row->implied) || !strcmp(key, row->id) || !strcmp(key, "bus") ||
	       strchr(key, '.');
}

static bool check_keys(const struct vm *vm, const struct vmfile_group *group,
		       const struct vm_option *row, const char *type, const GPtrArray *names,
		       GError **error)
{
	const char *const *words = (const char *const *)names->pdata;

	for_each_entry(entry, group) {
		g_autofree char *hint = NULL;

		if (is_common(row, entry->key) || g_strv_contains(words, entry->key) ||
		    (!strcmp(group->kind, "disk") && vm_disk_key(entry->key)))
			continue;
		hint = nearest_hint(entry->key, words);
		return vmfile_fail(vm->file, entry->line, error, "%s: QEMU's %s has no such key%s",
				   entry->key, type, hint);
	}
	return true;
}

/* The row of -device or -object if the group's keys are QEMU's to know; *ret_type: of what. */
static const struct vm_option *asks_qemu(const struct vmfile_group *group, const char **ret_type)
{
	bool object = !strcmp(group->kind, "object");
	const struct vm_option *row = vm_option_find(object ? "object" : "device");

	if (!object && strcmp(group->kind, "device") && strcmp(group->kind, "disk"))
		return NULL;
	*ret_type = vm_get(group, row->implied);
	/* One that is known here takes no key of this name. */
	return *ret_type && (object || vm_has_key("device", *ret_type, "=")) ? row : NULL;
}

/* QEMU is started for an answer: each is asked for once.  The text is @answers'. */
static const char *ask_once(GHashTable *answers, vm_ask ask, void *opaque, const char *option,
			    const char *type, GError **error)
{
	g_autofree char *question = g_strdup_printf("-%s %s", option, type);
	char *text = g_hash_table_lookup(answers, question);

	if (!text) {
		text = ask(opaque, option, type, error);
		if (text)
			g_hash_table_insert(answers, g_steal_pointer(&question), text);
	}
	return text;
}

bool vm_check_qemu(const struct vm *vm, vm_ask ask, void *opaque, GError **error)
{
	g_autoptr(GHashTable) answers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
							      g_free);

	for (unsigned i = 0; i < vm->file->groups->len; i++) {
		const struct vmfile_group *group = vm->file->groups->pdata[i];
		const char *type = NULL, *text = NULL;
		const struct vm_option *row = asks_qemu(group, &type);
		g_autoptr(GPtrArray) names = NULL;

		if (!row)
			continue;
		text = ask_once(answers, ask, opaque, row->option, type, error);
		if (!text)
			return false;
		names = read_answer(text);
		if (!names)
			return vmfile_fail(vm->file, group->line, error, "[%s]: this QEMU has no "
					   "%s '%s'", group->kind, row->kind, type);
		if (!check_keys(vm, group, row, type, names, error))
			return false;
	}
	return true;
}
