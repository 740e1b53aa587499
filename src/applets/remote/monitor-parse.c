/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blockdev-add and device_add are QEMU's options over again: they are read by the same code, as a
 * command line of what is there, with the new option at its end.
 */
#include <stdlib.h>
#include <string.h>

#include "applets/remote/monitor-priv.h"
#include "plan/opts.h"
#include "plan/spec.h"

static void add(GPtrArray *argv, const char *option, char *arg)
{
	g_ptr_array_add(argv, g_strdup(option));
	g_ptr_array_add(argv, arg);
}

/* What an error of the host does, where the new disk does not say it. */
static void add_policy(const struct monitor *m, GPtrArray *argv)
{
	g_auto(GStrv) words = g_strsplit(PLAN_ON_ERROR_WORDS, "|", -1);

	g_ptr_array_add(argv, g_strconcat("--on-error=", words[m->plan->on_error], NULL));
	if (m->plan->qmp)
		g_ptr_array_add(argv, g_strconcat("--qmp=", m->plan->qmp, NULL));
}

/* Somebody has to reach one of the devices. */
static void add_object(GPtrArray *argv, const char *device)
{
	add(argv, "-object", g_strdup_printf("x-remote-object,id=mpqemu,devid=%s,fd=3", device));
}

static void add_controllers(const struct monitor *m, GPtrArray *argv)
{
	for (unsigned i = 0; i < m->plan->spec->device_count; i++)
		add(argv, "-device", g_strdup_printf("%s,id=%s", m->plan->spec->device[i].driver,
						     m->plan->spec->device[i].id));
	add_object(argv, m->plan->spec->device[0].id);
}

/* Their addresses and ids are taken; what is behind them is not looked at. */
static void add_disks(const struct monitor *m, GPtrArray *argv)
{
	for (unsigned i = 0; i < m->plan->spec->disk_count; i++) {
		const struct spec_disk *disk = &m->plan->spec->disk[i];
		bool cd = disk->unit.type == SCSI_UNIT_CDROM;
		g_autofree char *drive = NULL, *id = NULL;

		if (!monitor_has_disk(m, i))
			continue;
		if (!cd)
			add(argv, "-drive", g_strdup_printf("if=none,id=mpqemu.%u,driver=null-co,"
							    "size=1M", i));
		drive = cd ? g_strdup("") : g_strdup_printf(",drive=mpqemu.%u", i);
		/* One without an id is named by its place. */
		if (opt_id_wellformed(disk->unit.id))
			id = g_strconcat(",id=", disk->unit.id, NULL);
		add(argv, "-device", g_strdup_printf("scsi-%s%s,bus=%s.0,scsi-id=%u,lun=%u%s",
			cd ? "cd" : "hd", id ?: "",
			m->plan->spec->device[disk->device].id, disk->unit.target, disk->unit.lun,
			drive));
	}
}

static void add_nodes(const struct monitor *m, GPtrArray *argv)
{
	for (guint i = 0; i < m->nodes->len; i++) {
		const struct monitor_node *node = m->nodes->pdata[i];

		if (!node->foreign)
			add(argv, "-blockdev", g_strdup(node->text));
	}
}

/* The option stands before an error of its own; a client does not know of it. */
static void cut_option(GError *error, const char *option, const char *arg)
{
	const struct option_def def = { .flags = OPTION_HAS_ARG };
	const struct option_use use = { .def = &def, .word = option, .arg = arg };
	g_autofree char *where = option_where(&use);
	size_t len = strlen(where);

	if (!strncmp(error->message, where, len) && g_str_has_prefix(error->message + len, ": "))
		memmove(error->message, error->message + len + 2,
			strlen(error->message + len + 2) + 1);
}

static char *to_text(const json_t *args)
{
	char *text = json_dumps(args, JSON_COMPACT), *copy = g_strdup(text);

	free(text);
	return copy;
}

/* @ret needs remote_plan_finish() in any case. */
static bool parse(GPtrArray *argv, const char *option, const char *arg, struct remote_plan *ret,
		  GError **error)
{
	bool good;

	g_ptr_array_add(argv, NULL);
	good = remote_plan_parse(argv->len - 1, (char **)argv->pdata, ret, error);
	if (!good && error)
		cut_option(*error, option, arg);
	return good;
}

static GPtrArray *begin(void)
{
	GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);

	g_ptr_array_add(argv, g_strdup("mpqemu-remote"));
	return argv;
}

/* A disk of a controller that is not there stands for whoever will use the node. */
bool monitor_parse_node(const struct monitor *m, const char *name, const json_t *args,
			struct remote_plan *ret, char **ret_text, GError **error)
{
	g_autoptr(GPtrArray) argv = begin();
	g_autofree char *text = to_text(args);

	add(argv, "-device", g_strdup("lsi53c895a,id=mpqemu"));
	add_object(argv, "mpqemu");
	add_nodes(m, argv);
	add(argv, "-blockdev", g_strdup(text));
	add(argv, "-device", g_strdup_printf("scsi-cd,bus=mpqemu.0,drive=%s", name));
	if (!parse(argv, "-blockdev", text, ret, error))
		return false;
	*ret_text = g_steal_pointer(&text);
	return true;
}

bool monitor_parse_disk(const struct monitor *m, const json_t *args, struct remote_plan *ret,
			GError **error)
{
	g_autoptr(GPtrArray) argv = begin();
	g_autofree char *text = to_text(args);

	add_policy(m, argv);
	add_controllers(m, argv);
	add_nodes(m, argv);
	add_disks(m, argv);
	add(argv, "-device", g_strdup(text));
	return parse(argv, "-device", text, ret, error);
}
