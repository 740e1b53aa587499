/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Guest RAM.  A remote reaches it by mapping the fds that QEMU sends, so every piece of it must be
 * a memfd that is mapped MAP_SHARED.  QEMU checks none of this: RAM without an fd is left out
 * without a word, or leaves the remote with no RAM at all.
 */

#include <string.h>

#include "base/num.h"
#include "plan/rewrite/priv.h"

#define MIB (1024ULL * 1024)

struct memory {
	struct qcmd *cmd;
	struct plan *plan;
	const struct rewrite_uses *uses;
	bool convert;
};

/* QEMU's own sizes: what a PC gets without -m, and what -m is rounded up to. */
#define DEFAULT_RAM (128 * MIB)
#define RAM_ALIGN 8192

/* Why a backend of this type is no RAM that a remote can share. */
static const struct {
	const char *type;
	const char *why;
} bad_backends[] = {
	{ "memory-backend-file", "it is RAM in a file, not a memfd" },
	{ "memory-backend-shm", "it is POSIX shared memory, not a memfd" },
	{ "memory-backend-epc", "it is enclave memory, not a memfd" },
};

static bool is_off(const char *value)
{
	return value && (!strcmp(value, "off") || !strcmp(value, "no") || !strcmp(value, "false") ||
			 !strcmp(value, "n"));
}

static bool is_on(const char *value)
{
	return value && (!strcmp(value, "on") || !strcmp(value, "yes") || !strcmp(value, "true") ||
			 !strcmp(value, "y"));
}

static bool check_memfd(const struct memory *mem, const struct qopt *backend, GError **error)
{
	uint64_t page = 4096;

	if (is_off(opt_get(backend->set, "share")))
		return qopt_refuse(backend, error, "share=off: the remote would map other pages "
				   "than the guest's; share=on is needed");
	/* The client of vfio-user passes maps on, whatever their pages are. */
	if (!mem->uses->mpqemu)
		return true;
	if (is_on(opt_get(backend->set, "hugetlb")))
		return qopt_refuse(backend, error, "hugetlb=on: RAM in pages of more than 4 KiB "
				   "makes QEMU abort with x-pci-proxy-dev");
	if (!opt_get_size(backend->set, "hugetlbsize", &page, error))
		return false;
	if (page > 4096)
		return qopt_refuse(backend, error, "hugetlbsize=%s: RAM in pages of more than 4 "
				   "KiB makes QEMU abort with x-pci-proxy-dev",
				   opt_get(backend->set, "hugetlbsize"));
	return true;
}

/* vfio-user: a file is as good as a memfd where it is mapped MAP_SHARED. */
static bool is_shared_file(const struct qopt *backend, const char *type)
{
	if (!strcmp(type, "memory-backend-file"))
		return is_on(opt_get(backend->set, "share"));
	return !strcmp(type, "memory-backend-shm") && !is_off(opt_get(backend->set, "share"));
}

static bool check_backend(const struct memory *mem, const struct qopt *backend, GError **error)
{
	const char *type = qopt_type(backend);

	if (!strcmp(type, "memory-backend-memfd"))
		return check_memfd(mem, backend, error);
	if (!mem->uses->mpqemu && is_shared_file(backend, type))
		return true;
	for (unsigned i = 0; i < G_N_ELEMENTS(bad_backends); i++)
		if (!strcmp(type, bad_backends[i].type))
			return qopt_refuse(backend, error, "%s%s; memory-backend-memfd is what a "
					   "remote can share", bad_backends[i].why,
					   mem->uses->mpqemu ? "" : ", or not with share=on");
	return qopt_refuse(backend, error, "a remote cannot share RAM of %s; take "
			   "memory-backend-memfd,share=on", type);
}

/* Anonymous RAM becomes a memfd of the same size and properties. */
static bool convert_backend(struct memory *mem, struct qopt *backend, GError **error)
{
	if (strcmp(qopt_type(backend), "memory-backend-ram"))
		return check_backend(mem, backend, error);
	if (is_off(opt_get(backend->set, "share")))
		return qopt_refuse(backend, error, "share=off is asked for, and a remote needs "
				   "share=on; leave it out");
	opt_put(backend->set, "qom-type", "memory-backend-memfd");
	if (backend->set->json)
		opt_put_typed(backend->set, "share", OPT_BOOL, "on");
	else
		opt_put(backend->set, "share", "on");
	backend->changed = true;
	plan_note(mem->plan, "RAM '%s': memory-backend-ram became memory-backend-memfd,share=on",
		  opt_get(backend->set, "id") ?: "");
	return true;
}

static bool take_backend(struct memory *mem, const struct qopt *user, const char *id, bool convert,
			 GError **error)
{
	struct qopt *backend = qcmd_find_id(mem->cmd, "object", id);

	if (!backend || !g_str_has_prefix(qopt_type(backend), "memory-backend-"))
		return qopt_refuse(user, error, "no -object memory-backend-... has id=%s", id);
	return convert ? convert_backend(mem, backend, error) : check_backend(mem, backend, error);
}

/* ---- Where RAM is named ---- */

/* NUMA nodes with memdev=.  *ret_any: are there any?  Then they are all of the guest's RAM. */
static bool take_nodes(struct memory *mem, bool *ret_any, GError **error)
{
	*ret_any = false;
	for_each_qopt(opt, mem->cmd) {
		const char *memdev = qopt_is(opt, "numa") ? opt_get(opt->set, "memdev") : NULL;

		if (!memdev)
			continue;
		*ret_any = true;
		if (!take_backend(mem, opt, memdev, mem->convert, error))
			return false;
	}
	return true;
}

/* DIMMs and their like are checked and never changed: their RAM may be a file on purpose. */
static bool check_dimms(struct memory *mem, GError **error)
{
	for_each_qopt(opt, mem->cmd) {
		const char *memdev = qopt_is(opt, "device") ? opt_get(opt->set, "memdev") : NULL;

		if (!qopt_is(opt, "device"))
			continue;
		if (g_str_has_prefix(qopt_type(opt), "virtio-mem"))
			return qopt_refuse(opt, error, "RAM of virtio-mem comes and goes block by "
					   "block, which %s", mem->uses->mpqemu ?
					   "a remote is not told" : "no remote was tried with");
		if (memdev && !take_backend(mem, opt, memdev, false, error))
			return false;
	}
	return true;
}

/* ---- RAM without a backend ---- */

/*
 * The size in -m, in bytes: a number without a suffix is MiB, and QEMU rounds up to 8 KiB.
 */
static bool ram_size(const struct qcmd *cmd, uint64_t *ret, GError **error)
{
	struct qopt *opt = NULL;
	const char *text = qcmd_get(cmd, "m", "size", &opt);
	uint64_t size = DEFAULT_RAM;

	if (!text && qcmd_get(cmd, "machine", "memory.size", &opt))
		return qopt_refuse(opt, error, "memory.size= is not understood here: say it with "
				   "-m");
	if (text) {
		if (!opt_get_size(opt->set, "size", &size, error))
			return false;
		if (g_ascii_isdigit(text[strlen(text) - 1])) {
			if (size > UINT64_MAX / MIB)
				return qopt_refuse(opt, error, "the size is too large");
			size *= MIB;
		}
	}
	/* QEMU, too, takes 0 for its default. */
	if (size == 0)
		size = DEFAULT_RAM;
	if (size > INT64_MAX)
		return qopt_refuse(opt, error, "the size is too large");
	*ret = align_up(size, RAM_ALIGN);
	return true;
}

static char *size_text(uint64_t size)
{
	static const char unit[] = { 'K', 'M', 'G' };
	int n = -1;

	while (n < 2 && size % 1024 == 0 && size) {
		size /= 1024;
		n++;
	}
	if (n < 0)
		return g_strdup_printf("%" G_GUINT64_FORMAT, size);
	return g_strdup_printf("%" G_GUINT64_FORMAT "%c", size, unit[n]);
}

static void name_main_ram(struct memory *mem, const char *id)
{
	struct opt_set *set = opt_set_create("-machine");

	opt_put(set, "memory-backend", id);
	qcmd_insert(mem->cmd, 0, "machine", set);
	plan_note(mem->plan, "added -machine memory-backend=%s: without it the guest's RAM is not "
		  "that object, and a remote cannot reach it", id);
}

static bool add_main_ram(struct memory *mem, GError **error)
{
	g_autofree char *id = rewrite_new_id(mem->cmd, "object", "mem");
	g_autofree char *size = NULL;
	struct opt_set *set;
	uint64_t bytes = 0;

	if (!ram_size(mem->cmd, &bytes, error))
		return false;
	size = size_text(bytes);
	name_main_ram(mem, id);
	set = opt_set_create("-object");
	opt_put(set, "qom-type", "memory-backend-memfd");
	opt_put(set, "id", id);
	opt_put(set, "size", size);
	opt_put(set, "share", "on");
	set->opt[0].implied = true;
	qcmd_insert(mem->cmd, 0, "object", set);
	plan_note(mem->plan, "added -object memory-backend-memfd,id=%s,size=%s,share=on: guest RAM "
		  "that a remote can share", id, size);
	return true;
}

/* The only memory backend of a command line that nothing refers to: the document's "mem". */
static const char *lone_backend(const struct qcmd *cmd)
{
	const char *id = NULL;

	for_each_qopt(opt, cmd) {
		if (!qopt_is(opt, "object") || !g_str_has_prefix(qopt_type(opt), "memory-backend-"))
			continue;
		if (id || !opt_get(opt->set, "id"))
			return NULL;
		id = opt_get(opt->set, "id");
	}
	for_each_qopt(opt, cmd)
		if (id && qopt_is(opt, "device") && !g_strcmp0(opt_get(opt->set, "memdev"), id))
			return NULL;
	return id;
}

static bool take_main_ram(struct memory *mem, GError **error)
{
	struct qopt *machine = NULL;
	const char *id = qcmd_get(mem->cmd, "machine", "memory-backend", &machine);
	const char *lone = id || mem->convert ? NULL : lone_backend(mem->cmd);

	if (id)
		return take_backend(mem, machine, id, mem->convert, error);
	if (!lone)
		return add_main_ram(mem, error);
	if (!take_backend(mem, qcmd_find_id(mem->cmd, "object", lone), lone, mem->convert, error))
		return false;
	name_main_ram(mem, lone);
	return true;
}

bool rewrite_memory(struct qcmd *cmd, struct plan *plan, const struct rewrite_uses *uses,
		    bool convert, GError **error)
{
	struct memory mem = { cmd, plan, uses, convert };
	struct qopt *path = qcmd_last(cmd, "mem-path");
	bool nodes;

	if (path && uses->mpqemu)
		return qopt_refuse(path, error, "guest RAM in a file or in huge pages is not a "
				   "memfd of 4 KiB pages, which is what a remote can share");
	if (path)
		return qopt_refuse(path, error, "this RAM is not shared; take -object "
				   "memory-backend-file,share=on and -machine memory-backend=");
	if (!take_nodes(&mem, &nodes, error) || !check_dimms(&mem, error))
		return false;
	return nodes || take_main_ram(&mem, error);
}
