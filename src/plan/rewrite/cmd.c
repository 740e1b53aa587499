/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/rewrite/cmd.h"

#include <stdarg.h>
#include <string.h>

/*
 * QEMU's options without an argument, 7.2 to 10.1 (every other option takes one).  A name that is
 * in neither table is a newer QEMU's: it gets the next word unless that looks like an option.
 */
static const char *const flag_options[] = {
	"S", "alt-grab", "audio-help", "async-teardown", "ctrl-grab", "daemonize", "enable-fips",
	"enable-kvm",
	"enable-sync-profile", "full-screen", "h", "help", "jitdump", "mem-prealloc",
	"no-acpi", "no-fd-bootchk", "no-frame", "no-hpet", "no-quit", "no-reboot", "no-shutdown",
	"no-user-config", "nodefaults", "nographic", "old-param", "one-insn-per-tb",
	"only-migratable", "perfmap", "portrait", "preconfig", "s", "sdl", "semihosting",
	"singlestep", "snapshot", "usb", "version", "win2k-hack", "xen-attach",
	"xen-domid-restrict", NULL
};

static const char *const arg_options[] = {
	"L", "accel", "acpitable", "action", "add-fd", "append", "audio", "audiodev", "bios",
	"blockdev", "boot", "bt", "cdrom", "chardev", "chroot", "compat", "cpu", "D", "d",
	"debugcon", "device", "dfilter", "display", "drive", "dtb", "dump-vmstate", "echr", "fda",
	"fdb", "fsdev", "fw_cfg", "g", "gdb", "global", "hda", "hdb", "hdc", "hdd", "icount",
	"incoming", "initrd", "iscsi", "k", "kernel", "loadvm", "m", "machine", "mem-path", "mon",
	"monitor", "msg", "mtdblock", "name", "net", "netdev", "nic", "numa", "object",
	"option-rom", "overcommit", "parallel", "pflash", "pidfile", "plugin", "prom-env", "qmp",
	"qmp-pretty", "qtest", "qtest-log", "readconfig", "rotate", "rtc", "run-with", "runas",
	"sandbox", "sd", "seed", "semihosting-config", "serial", "set", "shim", "smbios", "smp",
	"soundhw", "spice", "tb-size", "tpmdev", "trace", "usbdevice", "uuid", "vga", "virtfs",
	"vnc", "watchdog", "watchdog-action", "writeconfig", "xen-domid", NULL
};

/* The options that the rewriting reads, and how their first value is called without a key. */
static const struct {
	const char *name;
	struct opt_syntax syntax;
} read_options[] = {
	{ "device", { "driver", OPT_DIALECT_QEMUOPTS, true } },
	{ "object", { "qom-type", OPT_DIALECT_QEMUOPTS, true } },
	{ "blockdev", { "driver", OPT_DIALECT_KEYVAL, true } },
	{ "drive", { NULL, OPT_DIALECT_QEMUOPTS, false } },
	{ "machine", { "type", OPT_DIALECT_QEMUOPTS, false } },
	{ "accel", { "accel", OPT_DIALECT_QEMUOPTS, false } },
	{ "m", { "size", OPT_DIALECT_QEMUOPTS, false } },
	{ "smp", { "cpus", OPT_DIALECT_QEMUOPTS, false } },
	{ "numa", { "type", OPT_DIALECT_QEMUOPTS, true } },
	{ "boot", { "order", OPT_DIALECT_QEMUOPTS, false } },
	{ "add-fd", { NULL, OPT_DIALECT_QEMUOPTS, false } },
};

/* Options that print something and exit; options that do when their argument is "help". */
static const char *const help_options[] = { "h", "help", "version", "audio-help", NULL };
static const char *const help_args[] = {
	"audio", "audiodev", "chardev", "cpu", "d", "display", "netdev", "nic", "soundhw", "tpmdev",
	"trace", "vga", "watchdog", NULL
};

static bool is_in(const char *const *names, const char *name)
{
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

static void qopt_destroy(void *p)
{
	struct qopt *opt = p;

	if (!opt)
		return;
	g_free(opt->word);
	g_free(opt->arg);
	opt_set_destroy(opt->set);
	g_free(opt);
}

void qcmd_destroy(struct qcmd *cmd)
{
	if (!cmd)
		return;
	g_ptr_array_unref(cmd->prefix);
	g_ptr_array_unref(cmd->opts);
	g_free(cmd);
}

void qcmd_cleanup(struct qcmd **cmd)
{
	qcmd_destroy(*cmd);
}

static bool takes_arg(const char *name, const char *next)
{
	if (is_in(flag_options, name))
		return false;
	return is_in(arg_options, name) || (next && next[0] != '-');
}

static const char *canonical(const char *word)
{
	const char *name = word + (word[1] == '-' ? 2 : 1);

	return !strcmp(name, "M") ? "machine" : name;
}

/* "-machine kernel_irqchip=off" and "kernel-irqchip=off" are the same to QEMU. */
static void dashify(struct opt_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		g_strdelimit(set->opt[i].key, "_", '-');
}

static bool read_set(struct qcmd *cmd, struct qopt *opt, GError **error)
{
	g_autofree char *where = g_strdup_printf("%s %s", opt->word, opt->arg);

	for (unsigned i = 0; i < G_N_ELEMENTS(read_options); i++) {
		if (strcmp(read_options[i].name, opt->name))
			continue;
		opt->set = opt_set_parse(where, opt->arg, &read_options[i].syntax, error);
		if (!opt->set)
			return false;
		if (!strcmp(opt->name, "machine"))
			dashify(opt->set);
		cmd->wants_help = cmd->wants_help || opt->set->help;
		return true;
	}
	if (is_in(help_args, opt->name) && (!strcmp(opt->arg, "help") || !strcmp(opt->arg, "?")))
		cmd->wants_help = true;
	return true;
}

static bool parse_word(struct qcmd *cmd, char *const **argv, GError **error)
{
	const char *word = *(*argv)++;
	struct qopt *opt = g_new0(struct qopt, 1);

	opt->owner = QOPT_QEMU;
	opt->word = g_strdup(word);
	g_ptr_array_add(cmd->opts, opt);
	if (word[0] != '-')
		return true;
	opt->name = canonical(opt->word);
	cmd->wants_help = cmd->wants_help || is_in(help_options, opt->name);
	if (!takes_arg(opt->name, **argv))
		return true;
	if (!**argv)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: requires an argument", word);
	opt->arg = g_strdup(*(*argv)++);
	return read_set(cmd, opt, error);
}

struct qcmd *qcmd_parse(char *const *argv, GError **error)
{
	auto_qcmd cmd = g_new0(struct qcmd, 1);

	cmd->prefix = g_ptr_array_new_with_free_func(g_free);
	cmd->opts = g_ptr_array_new_with_free_func(qopt_destroy);
	g_ptr_array_add(cmd->prefix, g_strdup(*argv++));
	while (*argv)
		if (!parse_word(cmd, &argv, error))
			return NULL;
	return g_steal_pointer(&cmd);
}

bool qopt_is(const struct qopt *opt, const char *name)
{
	return opt->owner == QOPT_QEMU && opt->name && !strcmp(opt->name, name);
}

struct qopt *qcmd_last(const struct qcmd *cmd, const char *name)
{
	for (unsigned i = cmd->opts->len; i-- > 0;)
		if (qopt_is(cmd->opts->pdata[i], name))
			return cmd->opts->pdata[i];
	return NULL;
}

const char *qcmd_get(const struct qcmd *cmd, const char *name, const char *key,
		     struct qopt **ret_opt)
{
	for (unsigned i = cmd->opts->len; i-- > 0;) {
		struct qopt *opt = cmd->opts->pdata[i];
		const char *value = qopt_is(opt, name) && opt->set ? opt_get(opt->set, key) : NULL;

		if (!value)
			continue;
		if (ret_opt)
			*ret_opt = opt;
		return value;
	}
	return NULL;
}

struct qopt *qcmd_find_id(const struct qcmd *cmd, const char *name, const char *id)
{
	const char *key = !strcmp(name, "blockdev") ? "node-name" : "id";

	for_each_qopt(opt, cmd)
		if (opt->owner != QOPT_DROPPED && opt->set && !g_strcmp0(opt->name, name) &&
		    !g_strcmp0(opt_get(opt->set, key), id))
			return opt;
	return NULL;
}

struct qopt *qcmd_insert(struct qcmd *cmd, unsigned at, const char *name, struct opt_set *set)
{
	struct qopt *opt = g_new0(struct qopt, 1);

	opt->word = g_strconcat("-", name, NULL);
	opt->name = opt->word + 1;
	opt->set = set;
	opt->changed = true;
	opt->owner = QOPT_QEMU;
	g_ptr_array_insert(cmd->opts, at, opt);
	return opt;
}

const char *qopt_type(const struct qopt *opt)
{
	const char *key = !strcmp(opt->name, "object") ? "qom-type" : "driver";
	const char *type = opt->set ? opt_get(opt->set, key) : NULL;

	return type ? type : "";
}

const char *qopt_where(const struct qopt *opt)
{
	return opt->set && opt->set->where ? opt->set->where : opt->word;
}

bool qopt_emit(const struct qopt *opt, GPtrArray *argv, GError **error)
{
	char *text = opt->arg ? g_strdup(opt->arg) : NULL;

	if (opt->changed) {
		g_free(text);
		text = opt_set_to_text(opt->set, error);
		if (!text)
			return false;
	}
	g_ptr_array_add(argv, g_strdup(opt->word));
	if (text)
		g_ptr_array_add(argv, text);
	return true;
}

bool qopt_mentions(const struct qopt *opt, const char *id)
{
	size_t len = strlen(id);
	const char *p;

	if (opt->set) {
		for (size_t i = 0; i < opt->set->count; i++)
			if (!strcmp(opt->set->opt[i].value, id))
				return true;
		return false;
	}
	/* the empty id of a line that is refused later would be found behind the end too */
	for (p = *id ? opt->arg : NULL; p && (p = strstr(p, id)); p++)
		if (p > opt->arg && p[-1] == '=' && (p[len] == '\0' || p[len] == ','))
			return true;
	return false;
}

bool qopt_refuse(const struct qopt *opt, GError **error, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	if (opt->arg && !opt->set)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s %s: %s", opt->word, opt->arg, text);
	return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: %s", qopt_where(opt), text);
}
