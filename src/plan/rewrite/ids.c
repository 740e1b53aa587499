/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Ids that are given twice.  QEMU refuses them, but what moves to a remote has no such check left:
 * one of two drives would move and the other stay, or each go to a process of its own.
 */

#include <string.h>

#include "plan/rewrite/cmd.h"

/* A key that names something, and what else is named out of the same space. */
static const struct {
	const char *option;
	const char *key;
	const char *space;
} names[] = {
	{ "device", "id", "device" },	   { "object", "id", "object" },
	{ "netdev", "id", "netdev" },	   { "chardev", "id", "chardev" },
	{ "fsdev", "id", "fsdev" },	   { "drive", "id", "block" },
	{ "drive", "node-name", "block" }, { "blockdev", "node-name", "block" },
};

/* QEMU's words; the caller frees. */
static char *say_twice(unsigned row, const char *name)
{
	if (strcmp(names[row].key, "id"))
		return g_strdup_printf("Duplicate nodes with node-name='%s'", name);
	return g_strdup_printf("Duplicate ID '%s' for %s", name, names[row].option);
}

/* The value of the row's key in the option, or NULL; g_free() it. */
static char *name_in(const struct qopt *opt, unsigned row)
{
	static const struct opt_syntax syntax = { "type", OPT_DIALECT_QEMUOPTS, true };
	auto_opt_set own = NULL;

	if (!opt->name || strcmp(opt->name, names[row].option) || !opt->arg)
		return NULL;
	/* What cannot be read is QEMU's to refuse. */
	own = opt->set ? opt_set_copy(opt->set) : opt_set_parse(opt->word, opt->arg, &syntax, NULL);
	return own ? g_strdup(opt_get(own, names[row].key)) : NULL;
}

char *qcmd_find_twice(const struct qcmd *cmd, unsigned *ret_first, unsigned *ret_again)
{
	g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	for (unsigned i = 0; i < cmd->opts->len; i++) {
		for (unsigned row = 0; row < G_N_ELEMENTS(names); row++) {
			g_autofree char *name = name_in(cmd->opts->pdata[i], row);
			char *key = name ? g_strdup_printf("%s %s", names[row].space, name) : NULL;
			unsigned first = key ? GPOINTER_TO_UINT(g_hash_table_lookup(seen, key)) : 0;

			if (first && first != i + 1) {
				g_free(key);
				*ret_first = first - 1;
				*ret_again = i;
				return say_twice(row, name);
			}
			if (key)
				g_hash_table_insert(seen, key, GUINT_TO_POINTER(i + 1));
		}
	}
	return NULL;
}

bool qcmd_check_ids(const struct qcmd *cmd, GError **error)
{
	unsigned first, again;
	g_autofree char *text = qcmd_find_twice(cmd, &first, &again);
	const struct qopt *other = text ? cmd->opts->pdata[first] : NULL;

	if (!text)
		return true;
	return qopt_refuse(cmd->opts->pdata[again], error, "%s; %s %s has it already", text,
			   other->word, other->arg);
}
