/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/vm/keys.h"

#include <string.h>

#include "plan/vm/nearest.h"
#include "plan/opts.h"
#include "plan/proclimits.h"
#include "plan/props.h"
#include "plan/remote.h"
#include "plan/vm/vm.h"

#define IN_VM(member) offsetof(struct vm, member)
#define IN_REMOTE(member) offsetof(struct vm_remote, member)

const struct vm_key vm_keys[] = {
	{ "vm", "qemu", VM_TEXT, IN_VM(program), "PROGRAM", NULL,
	  "QEMU, looked for in PATH; has to be there" },
	{ "vm", "name", VM_TEXT, IN_VM(name), "NAME", NULL,
	  "the VM's name, for QEMU's *-name*: letters, digits, *-*, *.*, *\\_*" },
	{ "vm", "arguments", VM_WORDS, 0, "WORDS", NULL,
	  "arguments of QEMU, with the shell's quoting, before those of the groups" },
	{ "vm", "protocol", VM_CHOICE, IN_VM(protocol), REWRITE_PROTOCOL_WORDS, "protocol",
	  "what QEMU and the remotes speak" },
	{ "vm", "remote", VM_TEXT, IN_VM(remote), "ID[,ID]", "remote",
	  "move these devices only" },
	{ "vm", "local", VM_TEXT, IN_VM(local), "ID[,ID]", "local",
	  "leave these devices in QEMU" },
	{ "vm", "on-remote-exit", VM_CHOICE, IN_VM(on_remote_exit), PLAN_REMOTE_EXIT_WORDS,
	  "on-remote-exit", "when a remote ends while QEMU uses it" },
	{ "vm", "shutdown-timeout", VM_SECONDS, IN_VM(shutdown_timeout), "SECONDS",
	  "shutdown-timeout", "how long the guest has to shut down when *SIGTERM* comes; without "
	  "it QEMU gets the signal" },
	{ "vm", "control", VM_TEXT, IN_VM(control), "PATH|off", "control",
	  "the control socket, if not by the VM's name" },
	{ "vm", "metrics", VM_TEXT, IN_VM(metrics), "PATH", "metrics",
	  "a UNIX socket on which the counters of the remotes are served over HTTP" },
	{ "vm", "start-timeout", VM_SECONDS, IN_VM(start_timeout), "SECONDS", "start-timeout",
	  "how long a remote has to answer" },
	{ "vm", "cpus", VM_CPUS, IN_VM(limits), "LIST", NULL,
	  "the CPUs on which QEMU may run: _0-3,6_" },
	{ "vm", "oom-score", VM_OOM_SCORE, IN_VM(limits), "-1000...1000", NULL,
	  "QEMU's *oom_score_adj* (*proc*(5)); a lower one than ours needs CAP_SYS_RESOURCE" },
	{ "vm", "memory-max", VM_BYTES, IN_VM(group.memory_max), "BYTES[K|M|G]|max", NULL,
	  "*memory.max* of a control group for QEMU and its remotes; where the host does not "
	  "delegate the controller, that is said and the VM runs" },
	{ "vm", "cpu-max", VM_QUOTA, IN_VM(group.cpu_max), "QUOTA [PERIOD]|max", NULL,
	  "*cpu.max* of that group, in microseconds" },
	{ "vm", "pids-max", VM_COUNT, IN_VM(group.pids_max), "N|max", NULL,
	  "*pids.max* of that group: processes and threads" },
	{ "vm", "io-max", VM_RATES, IN_VM(group.io_max), "MAJ:MIN rbps=N...", NULL,
	  "*io.max* of that group, for one device" },
	{ "remote", "program", VM_TEXT, IN_REMOTE(program), "PROGRAM", "remote-program",
	  "run this in place of *mpqemu-remote*; in *[remote]* only" },
	{ "remote", "engine", VM_CHOICE, IN_REMOTE(engine), "builtin|qemu", NULL,
	  "*builtin* is *mpqemu-remote*; *qemu* is the VM's QEMU as _-machine x-remote_, over "
	  "mpqemu, for _e1000_ and other devices that *mpqemu-remote* has not; in "
	  "*[remote ID]* only" },
	{ "remote", "sandbox", VM_CHOICE, IN_REMOTE(sandbox), PLAN_SANDBOX_WORDS, "sandbox",
	  "how far the remote is shut in" },
	{ "remote", "on-error", VM_CHOICE, IN_REMOTE(on_error), PLAN_ON_ERROR_WORDS, "on-error",
	  "what an error of its disks does" },
	{ "remote", "on-crash", VM_CHOICE, IN_REMOTE(on_crash), PLAN_ON_CRASH_WORDS, "on-crash",
	  "what becomes of it when its device process has died" },
	{ "remote", "watchdog", VM_TEXT, IN_REMOTE(watchdog), "SECONDS", "watchdog",
	  "with *on-crash*: the same when it does not answer for so long" },
	{ "remote", "events", VM_TEXT, IN_REMOTE(events), "PATH|fd=N", "events",
	  "where it writes events" },
	{ "remote", "cpus", VM_CPUS, IN_REMOTE(limits), "LIST", NULL,
	  "the CPUs on which it, its device process and its storage daemon may run" },
	{ "remote", "numa", VM_NUMA, IN_REMOTE(limits), PLAN_NUMA_FORM, "numa",
	  "the host's NUMA nodes that their memory is on (_0-3,6_), and the policy, *bind* if none "
	  "is said; guest RAM has that of QEMU's memory backend" },
	{ "remote", "oom-score", VM_OOM_SCORE, IN_REMOTE(limits), "-1000...1000", NULL,
	  "*oom_score_adj* of these processes" },
	{ NULL },
};

#define DRIVE_KEYS                                                                                 \
	"if id file format driver media cache cache.direct cache.no-flush cache.writeback aio "    \
	"discard detect-zeroes readonly read-only auto-read-only werror rerror snapshot "          \
	"copy-on-read index bus unit node-name stats-account-invalid stats-account-failed"

/* The keys of a [disk] that are its image's. */
#define DISK_KEYS                                                                                  \
	"file format media cache aio discard detect-zeroes readonly read-only auto-read-only "     \
	"snapshot copy-on-read"

const struct vm_option vm_options[] = {
	{ "device", "device", "driver", "id", VM_MAY_NAME, false, NULL, "a device" },
	{ "drive", "drive", NULL, "id", VM_MAY_NAME, false, DRIVE_KEYS,
	  "a disk image; also keys with a dot (*throttling.iops-total*)" },
	{ "blockdev", "blockdev", "driver", "node-name", VM_MAY_NAME, false, NULL,
	  "a node of the block layer" },
	{ "object", "object", "qom-type", "id", VM_MAY_NAME, false, NULL, "an object" },
	{ "netdev", "netdev", "type", "id", VM_MAY_NAME, false, NULL, "a network back end" },
	{ "chardev", "chardev", "backend", "id", VM_MAY_NAME, false, NULL, "a character device" },
	{ "fsdev", "fsdev", "fsdriver", "id", VM_MAY_NAME, false, NULL, "a file system" },
	{ "mon", "mon", "chardev", NULL, VM_NO_NAME, false, "chardev mode pretty", "a monitor" },
	{ "machine", "machine", "type", NULL, VM_NO_NAME, true, NULL, "the machine" },
	{ "accel", "accel", "accel", NULL, VM_NO_NAME, true, NULL, "the accelerator" },
	{ "memory", "m", "size", NULL, VM_NO_NAME, true, "size slots maxmem", "guest RAM" },
	{ "smp", "smp", "cpus", NULL, VM_NO_NAME, true,
	  "cpus maxcpus drawers books sockets dies clusters modules cores threads", "vCPUs" },
	{ "numa", "numa", "type", NULL, VM_NO_NAME, false, NULL, "a NUMA node" },
	{ "boot", "boot", "order", NULL, VM_NO_NAME, true,
	  "order once menu splash splash-time reboot-timeout strict", "what firmware boots" },
	{ "rtc", "rtc", NULL, NULL, VM_NO_NAME, true, "base clock driftfix", "the clock" },
	{ "global", "global", NULL, NULL, VM_NO_NAME, false, "driver property value",
	  "a property of all devices of a driver" },
	{ "add-fd", "add-fd", NULL, NULL, VM_NO_NAME, false, "fd set opaque",
	  "an inherited file descriptor" },
	{ NULL },
};

/* The groups that no row of the tables is for alone. */
static const char *const own_kinds[] = { "vm", "remote", "disk", "qemu", NULL };

const struct vm_option *vm_option_find(const char *kind)
{
	for (const struct vm_option *row = vm_options; row->kind; row++)
		if (!strcmp(row->kind, kind))
			return row;
	return NULL;
}

const struct vm_option *vm_option_by_name(const char *option)
{
	for (const struct vm_option *row = vm_options; row->kind; row++)
		if (!strcmp(row->option, option))
			return row;
	return NULL;
}

const struct vm_key *vm_key_find(const char *kind, const char *key)
{
	for (const struct vm_key *row = vm_keys; row->kind; row++)
		if (!strcmp(row->kind, kind) && !strcmp(row->key, key))
			return row;
	return NULL;
}

const char *vm_get(const struct vmfile_group *group, const char *key)
{
	const struct vmfile_entry *entry = vmfile_find(group, key);

	return entry ? entry->value : NULL;
}

/* ---- Which keys there are ---- */

static void add_words(GPtrArray *list, const char *words)
{
	g_auto(GStrv) parts = g_strsplit(words, " ", -1);

	for (char **part = parts; *part; part++)
		g_ptr_array_add(list, g_strdup(*part));
}

/* False: they are not known here. */
static bool add_device_keys(GPtrArray *list, const char *name)
{
	const struct driver *driver = name ? driver_find(name) : NULL;

	if (!driver)
		return false;
	/* A controller has a bootindex as vfio-user-pci. */
	add_words(list, "driver id bus bootindex");
	for (const struct prop *prop = driver->props; prop->name; prop++)
		g_ptr_array_add(list, g_strdup(prop->name));
	return true;
}

static void add_own_keys(GPtrArray *list, const char *kind)
{
	for (const struct vm_key *row = vm_keys; row->kind; row++)
		if (!strcmp(row->kind, kind))
			g_ptr_array_add(list, g_strdup(row->key));
}

/*
 * The keys of a group (char *, owned, NULL-terminated); NULL: they depend on what QEMU has.  unref.
 */
static GPtrArray *known_keys(const char *kind, const char *driver)
{
	g_autoptr(GPtrArray) list = g_ptr_array_new_null_terminated(16, g_free, true);
	const struct vm_option *option = vm_option_find(kind);
	bool known = true;

	if (!strcmp(kind, "device")) {
		known = add_device_keys(list, driver);
	} else if (!strcmp(kind, "disk")) {
		add_words(list, DISK_KEYS);
		known = add_device_keys(list, driver ?: "scsi-hd");
	} else if (!strcmp(kind, "qemu")) {
		add_words(list, "arguments");
	} else if (option && option->keys) {
		add_words(list, option->keys);
	} else if (option) {
		known = false;
	} else {
		add_own_keys(list, kind);
	}
	return known ? g_steal_pointer(&list) : NULL;
}

/* In the options of drives all of these go on to the block layer. */
static bool is_nested(const char *kind, const char *key)
{
	return (!strcmp(kind, "drive") || !strcmp(kind, "disk")) && strchr(key, '.');
}

static bool has_key(const GPtrArray *keys, const char *kind, const char *key)
{
	return !keys || is_nested(kind, key) ||
	       g_strv_contains((const char *const *)keys->pdata, key);
}

bool vm_has_key(const char *kind, const char *driver, const char *key)
{
	g_autoptr(GPtrArray) keys = known_keys(kind, driver);

	return has_key(keys, kind, key);
}

bool vm_disk_key(const char *key)
{
	g_auto(GStrv) words = g_strsplit(DISK_KEYS, " ", -1);

	return is_nested("disk", key) || g_strv_contains((const char *const *)words, key);
}

/* ---- The checks ---- */

/* "[device lsi0]", for errors.  The caller frees. */
static char *heading(const struct vmfile_group *group)
{
	return g_strdup_printf("[%s%s%s]", group->kind, group->name ? " " : "", group->name ?: "");
}

static bool check_kind(const struct vmfile *file, const struct vmfile_group *group, GError **error)
{
	const char *kinds[G_N_ELEMENTS(own_kinds) + G_N_ELEMENTS(vm_options)] = { NULL };
	g_autofree char *hint = NULL;
	unsigned count = 0;

	for (unsigned i = 0; own_kinds[i]; i++)
		kinds[count++] = own_kinds[i];
	for (const struct vm_option *row = vm_options; row->kind; row++)
		kinds[count++] = row->kind;
	if (g_strv_contains(kinds, group->kind))
		return true;
	hint = nearest_hint(group->kind, kinds);
	return vmfile_fail(file, group->line, error, "[%s]: there is no such group%s", group->kind,
			   hint);
}

static enum vm_naming naming(const char *kind)
{
	const struct vm_option *option = vm_option_find(kind);

	if (option)
		return option->naming;
	if (!strcmp(kind, "disk"))
		return VM_NAME;
	return !strcmp(kind, "remote") ? VM_MAY_NAME : VM_NO_NAME;
}

/* The key that has to say the same as the name of the group, or NULL. */
static const char *id_key(const char *kind)
{
	const struct vm_option *option = vm_option_find(kind);

	return option ? option->id : !strcmp(kind, "disk") ? "id" : NULL;
}

static bool check_name(const struct vmfile *file, const struct vmfile_group *group, GError **error)
{
	enum vm_naming want = naming(group->kind);
	const char *key = id_key(group->kind), *id = key ? vm_get(group, key) : NULL;

	if (group->name && want == VM_NO_NAME)
		return vmfile_fail(file, group->line, error, "[%s %s]: this group has no name",
				   group->kind, group->name);
	if (!group->name && want == VM_NAME)
		return vmfile_fail(file, group->line, error, "[%s]: its name is missing: [%s NAME]",
				   group->kind, group->kind);
	if (group->name && !opt_id_wellformed(group->name))
		return vmfile_fail(file, group->line, error, "[%s %s]: a name has letters, digits, "
				   "'-', '.', '_', and starts with a letter", group->kind,
				   group->name);
	if (group->name && id && strcmp(id, group->name))
		return vmfile_fail(file, group->line, error, "[%s %s]: its %s= says '%s'",
				   group->kind, group->name, key, id);
	return true;
}

/* What no other group of its kind may have: a name, or that it is there. */
static const char *identity(const struct vmfile_group *group)
{
	const struct vm_option *option = vm_option_find(group->kind);
	const char *key = id_key(group->kind);

	if (group->name || (key && vm_get(group, key)))
		return group->name ?: vm_get(group, key);
	if (!strcmp(group->kind, "vm") || !strcmp(group->kind, "remote") ||
	    (option && option->once))
		return "";
	return NULL;
}

/* A disk is a drive and a device of its name. */
static bool same_kind(const char *a, const char *b)
{
	bool disk = !strcmp(a, "disk") || !strcmp(b, "disk");
	const char *other = !strcmp(a, "disk") ? b : a;

	return !strcmp(a, b) || (disk && (!strcmp(other, "drive") || !strcmp(other, "device")));
}

static bool check_twice(const struct vmfile *file, unsigned index, GError **error)
{
	const struct vmfile_group *group = file->groups->pdata[index];
	const char *id = identity(group);

	for (unsigned i = 0; id && i < index; i++) {
		const struct vmfile_group *other = file->groups->pdata[i];
		g_autofree char *name = NULL;

		if (!same_kind(group->kind, other->kind) || g_strcmp0(identity(other), id))
			continue;
		name = heading(other);
		if (*id)
			return vmfile_fail(file, group->line, error, "[%s]: Duplicate ID '%s' for "
					   "%s; line %u has it already: %s", group->kind, id,
					   group->kind, other->line, name);
		return vmfile_fail(file, group->line, error, "[%s]: line %u has this group already",
				   group->kind, other->line);
	}
	return true;
}

static bool is_number(const char *text, int min, int max)
{
	gint64 value;

	return g_ascii_string_to_signed(text, 10, min, max, &value, NULL);
}

/* "max", or a number with or without one of @units behind it. */
static bool is_limit(const char *word, const char *units)
{
	size_t digits = strspn(word, "0123456789");
	const char *rest = word + digits;

	if (!strcmp(word, "max"))
		return true;
	return digits && (!*rest || (strchr(units, *rest) && !rest[1]));
}

/* "MAJ:MIN KEY=LIMIT..." of the kernel's cgroup-v2.rst, io.max. */
static bool is_rates(char *const *words)
{
	static const char *const keys[] = { "rbps", "wbps", "riops", "wiops", NULL };
	g_auto(GStrv) device = g_strsplit(words[0] ?: "", ":", -1);

	if (g_strv_length(device) != 2 || !is_number(device[0], 0, G_MAXINT) ||
	    !is_number(device[1], 0, G_MAXINT) || !words[1])
		return false;
	for (words++; *words; words++) {
		g_auto(GStrv) pair = g_strsplit(*words, "=", -1);

		if (g_strv_length(pair) != 2 || !g_strv_contains(keys, pair[0]) ||
		    !is_limit(pair[1], ""))
			return false;
	}
	return true;
}

static bool is_group_limit(enum vm_type type, const char *value)
{
	g_auto(GStrv) words = g_strsplit(value, " ", -1);

	if (type == VM_RATES)
		return is_rates(words);
	if (!words[0] || !is_limit(words[0], type == VM_BYTES ? "KMGT" : ""))
		return false;
	return !words[1] || (type == VM_QUOTA && !words[2] && is_number(words[1], 1, G_MAXINT));
}

static bool check_choice(const struct vmfile *file, const struct vm_key *row,
			 const struct vmfile_entry *entry, GError **error)
{
	g_auto(GStrv) words = g_strsplit(row->values, "|", -1);
	g_autofree char *hint = NULL;

	if (g_strv_contains((const char *const *)words, entry->value))
		return true;
	hint = nearest_hint(entry->value, (const char *const *)words);
	return vmfile_fail(file, entry->line, error, "%s=%s: it is one of %s%s", entry->key,
			   entry->value, row->values, hint);
}

static bool check_value(const struct vmfile *file, const struct vm_key *row,
			const struct vmfile_entry *entry, GError **error)
{
	const char *value = entry->value;
	struct plan_numa numa;
	cpu_set_t cpus;

	switch (row->type) {
	case VM_CHOICE:
		return check_choice(file, row, entry, error);
	case VM_SECONDS:
		return is_number(value, 1, G_MAXINT) ||
		       vmfile_fail(file, entry->line, error, "%s=%s: it takes a number of seconds, "
				   "1 or more", entry->key, value);
	case VM_CPUS:
		return plan_cpus_parse(value, &cpus) ||
		       vmfile_fail(file, entry->line, error, "%s=%s: it takes a list of CPUs, "
				   "0-3,6", entry->key, value);
	case VM_NUMA:
		return plan_numa_parse(value, &numa) ||
		       vmfile_fail(file, entry->line, error, "%s=%s: it takes " PLAN_NUMA_WANTS,
				   entry->key, value);
	case VM_OOM_SCORE:
		return is_number(value, PLAN_OOM_SCORE_MIN, PLAN_OOM_SCORE_MAX) ||
		       vmfile_fail(file, entry->line, error, "%s=%s: it takes a number from %d to "
				   "%d", entry->key, value, PLAN_OOM_SCORE_MIN, PLAN_OOM_SCORE_MAX);
	case VM_TEXT:
		return *value || vmfile_fail(file, entry->line, error, "%s: its value is missing",
					     entry->key);
	case VM_BYTES:
	case VM_QUOTA:
	case VM_COUNT:
	case VM_RATES:
		return is_group_limit(row->type, value) ||
		       vmfile_fail(file, entry->line, error, "%s=%s: it takes %s", entry->key,
				   value, row->values);
	case VM_WORDS:
		break;
	}
	return true;
}

static bool check_keys(const struct vmfile *file, const struct vmfile_group *group, GError **error)
{
	g_autoptr(GPtrArray) keys = known_keys(group->kind, vm_get(group, "driver"));
	g_autofree char *name = heading(group);

	for_each_entry(entry, group) {
		const struct vm_key *row = vm_key_find(group->kind, entry->key);
		g_autofree char *hint = NULL;

		if (row && !check_value(file, row, entry, error))
			return false;
		if (has_key(keys, group->kind, entry->key))
			continue;
		hint = nearest_hint(entry->key, (const char *const *)keys->pdata);
		return vmfile_fail(file, entry->line, error, "%s: %s has no such key%s", entry->key,
				   name, hint);
	}
	return true;
}

/* Of a group whose option has no sense without it. */
static bool check_driver(const struct vmfile *file, const struct vmfile_group *group,
			 GError **error)
{
	static const char *const kinds[] = {
		"device", "object", "blockdev", "netdev", "chardev", "mon", NULL
	};
	const struct vm_option *option = vm_option_find(group->kind);

	if (!option || !g_strv_contains(kinds, group->kind) || vm_get(group, option->implied))
		return true;
	return vmfile_fail(file, group->line, error, "[%s]: %s= is missing", group->kind,
			   option->implied);
}

static bool check_empty(const struct vmfile *file, const struct vmfile_group *group, GError **error)
{
	return group->entries->len || !strcmp(group->kind, "remote") ||
	       vmfile_fail(file, group->line, error, "[%s]: nothing stands in it", group->kind);
}

bool vm_check_file(const struct vmfile *file, GError **error)
{
	for (unsigned i = 0; i < file->groups->len; i++) {
		const struct vmfile_group *group = file->groups->pdata[i];

		if (!check_kind(file, group, error) || !check_name(file, group, error) ||
		    !check_keys(file, group, error) || !check_twice(file, i, error) ||
		    !check_empty(file, group, error) || !check_driver(file, group, error))
			return false;
	}
	return true;
}

/* ---- The page ---- */

#define PAGE_COLUMNS 96
#define TAB_COLUMNS 8

/* Behind a tab, in lines that an editor shows whole. */
static void add_paragraph(GString *page, const char *text)
{
	g_auto(GStrv) words = g_strsplit(text, " ", -1);
	size_t column = PAGE_COLUMNS;

	for (char **word = words; *word; word++) {
		bool fits = column + 1 + strlen(*word) <= PAGE_COLUMNS;

		g_string_append_printf(page, "%s%s", fits ? " " : "\n\t", *word);
		column = (fits ? column + 1 : TAB_COLUMNS) + strlen(*word);
	}
	g_string_append(page, "\n\n");
}

static void add_own(GString *page, const char *kind)
{
	for (const struct vm_key *row = vm_keys; row->kind; row++) {
		const char *mark = row->type == VM_CHOICE ? "" : "_";
		g_autofree char *option = row->option ? g_strdup_printf(" The option *--%s*.",
									row->option) : NULL;
		g_autofree char *text = g_strconcat(row->help, ".", option, NULL);

		if (strcmp(row->kind, kind))
			continue;
		g_string_append_printf(page, "*%s=*%s%s%s", row->key, mark, row->values, mark);
		add_paragraph(page, text);
	}
}

static void add_option(GString *page, const struct vm_option *row)
{
	g_autoptr(GString) text = g_string_new(NULL);

	g_string_append_printf(text, "*-%s*: %s.", row->option, row->help);
	if (row->id)
		g_string_append_printf(text, " NAME is its *%s*.", row->id);
	if (row->implied)
		g_string_append_printf(text, " *%s* stands first.", row->implied);
	if (row->keys)
		g_string_append_printf(text, " Keys: %s.", row->keys);
	g_string_append_printf(page, "*[%s%s]*", row->kind, row->id ? " NAME" : "");
	add_paragraph(page, text->str);
}

char *vm_keys_page(void)
{
	GString *page = g_string_new("## [vm]\n\n");

	add_own(page, "vm");
	g_string_append(page, "## [remote], [remote ID]\n\n");
	add_own(page, "remote");
	g_string_append(page, "## Options of QEMU\n\n");
	for (const struct vm_option *row = vm_options; row->kind; row++)
		add_option(page, row);
	return g_string_free(page, false);
}
