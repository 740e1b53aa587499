/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Cloud Hypervisor's command line: an option has its values in the words behind it, up to the next
 * option, or one behind a '='; a value is a list "key=value,...".  What is not needed for a remote
 * stays byte for byte.
 */

#include <string.h>

#include "plan/rewrite/priv.h"

/* Without --memory it takes this much. */
#define DEFAULT_MEMORY "size=512M"

/* One value of one option. */
struct cloud_value {
	const char *option;	/* "--memory" */
	const char *text;
};

bool rewrite_is_cloud(const char *prog)
{
	g_autofree char *name = g_path_get_basename(prog);

	return !strcmp(name, "cloud-hypervisor");
}

/* Is @word the option, alone ("--memory") or with its value (*ret_value)? */
static bool is_option(const char *word, const char *option, const char **ret_value)
{
	size_t len = strlen(option);

	*ret_value = NULL;
	if (strncmp(word, option, len))
		return false;
	if (word[len] == '=')
		*ret_value = word + len + 1;
	return word[len] == '=' || word[len] == '\0';
}

static bool has_option(char *const *argv, const char *option)
{
	const char *value;

	for (; *argv; argv++)
		if (is_option(*argv, option, &value))
			return true;
	return false;
}

/* The value of @key in "key=value,...", commas in quotes are none; NULL: there is none. */
static char *find_key(const char *text, const char *key)
{
	size_t len = strlen(key);
	bool quoted = false;
	const char *start = text;

	for (const char *p = text;; p++) {
		quoted ^= *p == '"';
		if (*p && (*p != ',' || quoted))
			continue;
		if (!strncmp(start, key, len) && start[len] == '=')
			return g_strndup(start + len + 1, p - start - len - 1);
		if (!*p)
			return NULL;
		start = p + 1;
	}
}

/* ---- What is refused ---- */

static bool refuse(const struct cloud_value *at, GError **error, const char *why)
{
	return mpq_fail(error, MPQ_ERROR_REFUSED, "%s %s: %s", at->option, at->text, why);
}

static bool is_value(const char *text, const char *key, const char *const *values)
{
	g_autofree char *value = find_key(text, key);

	return value && g_strv_contains(values, value);
}

static bool check_vm(char *const *argv, GError **error)
{
	if (has_option(argv, "--restore"))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "--restore: the VM comes from a "
				"snapshot, which has no state of a remote device");
	if (!has_option(argv, "--kernel") && !has_option(argv, "--firmware") &&
	    !has_option(argv, "--igvm"))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "there is no --kernel and no --firmware: "
				"a VM that is made over the API has nothing of what stands here");
	return true;
}

static bool check_value(const struct cloud_value *at, GError **error)
{
	static const char *const on[] = { "on", "true", NULL };
	static const char *const virtio_mem[] = { "virtio-mem", "VirtioMem", NULL };

	if (!strcmp(at->option, "--platform") &&
	    (is_value(at->text, "tdx", on) || is_value(at->text, "sev_snp", on)))
		return refuse(at, error, "a confidential guest's RAM cannot be shared with a "
			      "remote");
	if (!strcmp(at->option, "--memory") && is_value(at->text, "hotplug_method", virtio_mem))
		return refuse(at, error, "Cloud Hypervisor does not tell a remote of virtio-mem's "
			      "RAM");
	return true;
}

/* ---- Shared memory ---- */

/* The value with shared=on; the caller frees.  NULL with @error: it is off on purpose. */
static char *share(const struct cloud_value *at, struct plan *plan, GError **error)
{
	g_autofree char *shared = find_key(at->text, "shared");

	if (!shared) {
		plan_note(plan, "%s %s: shared=on added, without which a remote cannot reach the "
			  "guest's RAM", at->option, at->text);
		return g_strconcat(at->text, ",shared=on", NULL);
	}
	if (!strcmp(shared, "on") || !strcmp(shared, "true"))
		return g_strdup(at->text);
	refuse(at, error, "a remote cannot reach RAM that is not shared; shared=on is needed");
	return NULL;
}

/* One value of @option, as it goes to Cloud Hypervisor; the caller frees. */
static char *take_value(const char *option, const char *text, struct plan *plan, GError **error)
{
	const struct cloud_value at = { option, text };

	if (!check_value(&at, error))
		return NULL;
	if (!strcmp(option, "--memory") || !strcmp(option, "--memory-zone"))
		return share(&at, plan, error);
	return g_strdup(text);
}

/* ---- Its words ---- */

static const char *const read_options[] = {
	"--memory", "--memory-zone", "--platform", "--user-device"
};

struct cloud {
	struct plan *plan;
	const GPtrArray *paths;	/* of the remotes' sockets */
	const char *option;	/* whose values the words are, or NULL: none that is read here */
	bool has_memory, has_devices;
};

/* Which of those that are read @word is, or NULL. */
static const char *read_option(const char *word, const char **ret_value)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(read_options); i++)
		if (is_option(word, read_options[i], ret_value))
			return read_options[i];
	return NULL;
}

static bool is_open(const struct cloud *cloud, const char *option)
{
	return cloud->option && !strcmp(cloud->option, option);
}

static void add_sockets(struct cloud *cloud)
{
	for (unsigned i = 0; i < cloud->paths->len; i++) {
		g_autofree char *value = g_strconcat("socket=", cloud->paths->pdata[i], NULL);

		plan_process_arg(cloud->plan->qemu, value);
	}
	cloud->has_devices = true;
}

/* The sockets stand behind the user's own: the option may be given once. */
static void close_option(struct cloud *cloud)
{
	if (is_open(cloud, "--user-device") && !cloud->has_devices)
		add_sockets(cloud);
	cloud->option = NULL;
}

/* Begins an option.  "--memory=X" becomes "--memory X", so that values can follow. */
static void open_option(struct cloud *cloud, const char **word)
{
	const char *value;

	close_option(cloud);
	cloud->option = read_option(*word, &value);
	cloud->has_memory = cloud->has_memory || is_open(cloud, "--memory");
	plan_process_arg(cloud->plan->qemu, cloud->option ?: *word);
	*word = cloud->option ? value : NULL;
}

static bool take_word(struct cloud *cloud, const char *word, GError **error)
{
	g_autofree char *value = NULL;

	if (word[0] == '-')
		open_option(cloud, &word);
	if (!word)
		return true;
	value = cloud->option ? take_value(cloud->option, word, cloud->plan, error) :
				g_strdup(word);
	if (value)
		plan_process_arg(cloud->plan->qemu, value);
	return value;
}

bool rewrite_cloud_argv(char *const *vmm, const GPtrArray *paths, struct plan *plan, GError **error)
{
	struct cloud cloud = { .plan = plan, .paths = paths };

	plan_process_arg(plan->qemu, *vmm++);
	if (!check_vm(vmm, error))
		return false;
	for (; *vmm; vmm++)
		if (!take_word(&cloud, *vmm, error))
			return false;
	close_option(&cloud);
	if (!cloud.has_devices && paths->len) {
		plan_process_arg(plan->qemu, "--user-device");
		add_sockets(&cloud);
	}
	if (!cloud.has_memory) {
		plan_note(plan, "added --memory " DEFAULT_MEMORY ",shared=on: the size without the "
			  "option, and RAM that a remote can reach");
		plan_process_arg(plan->qemu, "--memory");
		plan_process_arg(plan->qemu, DEFAULT_MEMORY ",shared=on");
	}
	return true;
}

GPtrArray *rewrite_cloud_sockets(char *const *vmm)
{
	GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
	const char *option = NULL, *value;

	for (char *const *word = vmm + 1; *word; word++) {
		char *path;

		value = *word;
		if (value[0] == '-')
			option = read_option(*word, &value);
		path = value && option && !strcmp(option, "--user-device") ?
		       find_key(value, "socket") : NULL;
		if (path)
			g_ptr_array_add(paths, path);
	}
	return paths;
}
