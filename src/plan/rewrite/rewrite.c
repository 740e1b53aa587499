/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/rewrite/rewrite.h"

#include <string.h>

#include "plan/rewrite/priv.h"

bool rewrite_is_qemu(const char *prog)
{
	g_autofree char *name = g_path_get_basename(prog);

	return g_str_has_prefix(name, "qemu-system-") || !strcmp(name, "qemu-kvm") ||
	       !strcmp(name, "kvm");
}

/* Cloud Hypervisor's words are other ones. */
static bool is_cloud_question(char *const *argv)
{
	static const char *const words[] = { "-h", "--help", "-V", "--version", NULL };

	for (argv++; *argv; argv++)
		if (g_strv_contains(words, *argv))
			return true;
	return false;
}

bool rewrite_is_question(char *const *qemu, GError **error)
{
	auto_qcmd cmd = rewrite_is_cloud(qemu[0]) ? NULL : qcmd_parse(qemu, error);

	if (rewrite_is_cloud(qemu[0]))
		return is_cloud_question(qemu);
	return cmd && cmd->wants_help;
}

bool rewrite_emit(const struct qcmd *cmd, int owner, GPtrArray *argv, GError **error)
{
	for_each_qopt(opt, cmd) {
		bool copy = owner >= 0 && qopt_copied_to(opt, owner);

		if ((opt->owner == owner || copy) && !qopt_emit(opt, argv, error))
			return false;
	}
	return true;
}

bool rewrite_is_busy(const struct rewrite_facts *facts, int fd)
{
	for (unsigned i = 0; i < facts->busy_count; i++)
		if (facts->busy_fds[i] == fd)
			return true;
	return false;
}

char *rewrite_new_id(const struct qcmd *cmd, const char *name, const char *stem)
{
	char *id = g_strdup(stem);

	for (unsigned n = 1; qcmd_find_id(cmd, name, id); n++) {
		g_free(id);
		id = g_strdup_printf("%s%u", stem, n);
	}
	return id;
}
