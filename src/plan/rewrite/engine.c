/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Devices that QEMU's own x-remote emulates: any of its own for which mpqemu is enough.  That shows
 * the guest 32-bit BARs and INTA alone (mpqemu-protocol(7)), so those that live of more are
 * refused; each that is here was read through the proxy and compared with plain QEMU's.
 */

#include <string.h>

#include "plan/rewrite/move.h"

static const char *const qemu_devices[] = {
	"am53c974", "dc390", "e1000", "i82551", "i82557b", "lsi53c810", "lsi53c895a", "mptsas1068",
	"ne2k_pci", "pcnet", "rtl8139", "tulip", NULL
};

/* Inherited files of a back end, which another process has not. */
static const char *const fd_keys[] = { "fd", "fds", "vhostfd", "vhostfds", "h", NULL };

bool move_by_qemu(const struct move *move, const char *id)
{
	for (unsigned i = 0; id && i < move->choice->each_count; i++)
		if (move->choice->each[i].qemu && !strcmp(move->choice->each[i].device, id))
			return true;
	return false;
}

bool rewrite_has_qemu_remote(const struct rewrite_choice *choice, const struct rewrite_facts *facts)
{
	for (unsigned i = 0; i < choice->each_count; i++)
		if (choice->each[i].qemu)
			return true;
	return rewrite_is_qemu(facts->remote_prefix[0]);
}

bool move_check_engine(const struct qopt *opt, const char *id, GError **error)
{
	g_autoptr(GString) all = g_string_new(NULL);

	if (g_strv_contains(qemu_devices, qopt_type(opt))) {
		if (!opt_get(opt->set, "bootindex"))
			return true;
		return qopt_refuse(opt, error, "bootindex=: QEMU's proxy has none");
	}
	for (unsigned i = 0; qemu_devices[i]; i++)
		g_string_append_printf(all, "%s%s", i ? ", " : "", qemu_devices[i]);
	return mpq_fail(error, MPQ_ERROR_REFUSED, "[remote %s]: engine=qemu: %s is none of the "
			"devices for which 32-bit BARs and INTx are enough (%s)", id,
			qopt_type(opt), all->str);
}

/* ---- Network back ends ---- */

/* Is it a -netdev of that id?  *ret_set: what it says; opt_set_destroy() it. */
static bool is_netdev(const struct qopt *opt, const char *id, struct opt_set **ret_set)
{
	const struct opt_syntax syntax = { "type", OPT_DIALECT_QEMUOPTS, true };
	struct opt_set *set;

	if (!opt->name || strcmp(opt->name, "netdev") || !opt->arg)
		return false;
	set = opt_set_parse(opt->word, opt->arg, &syntax, NULL);
	if (set && !g_strcmp0(opt_get(set, "id"), id)) {
		*ret_set = set;
		return true;
	}
	opt_set_destroy(set);
	return false;
}

static bool check_netdev(const struct qopt *opt, const struct opt_set *set, GError **error)
{
	for (const char *const *key = fd_keys; *key; key++)
		if (opt_get(set, *key))
			return qopt_refuse(opt, error, "%s=: QEMU's own remote does not get this "
					   "file", *key);
	return true;
}

/* Who else uses the back end?  It has one port. */
static bool check_users(const struct move *move, const struct qopt *device, const char *id,
			GError **error)
{
	for_each_qopt(opt, move->cmd) {
		bool uses = opt->name && (!strcmp(opt->name, "object") ||
					  !strcmp(opt->name, "netdev"));
		const char *own = opt->set ? opt_get(opt->set, "netdev") : NULL;

		/* One that moves too is refused in its turn. */
		if (opt->set && move_by_qemu(move, opt_get(opt->set, "id")))
			continue;
		if (opt != device && opt->owner == QOPT_QEMU && opt->set &&
		    ((uses && qopt_mentions(opt, id)) || !g_strcmp0(own, id)))
			return qopt_refuse(opt, error, "it stays in QEMU, and '%s', which it uses, "
					   "moves", id);
	}
	return true;
}

bool move_take_netdev(struct move *move, struct qopt *device, unsigned index, GError **error)
{
	const char *id = opt_get(device->set, "netdev");

	for_each_qopt(opt, move->cmd) {
		auto_opt_set set = NULL;

		if (!id || !is_netdev(opt, id, &set))
			continue;
		if (opt->owner >= 0)
			return qopt_refuse(device, error, "netdev '%s' has moved with another "
					   "device", id);
		opt->owner = index;
		return check_netdev(opt, set, error) && check_users(move, device, id, error);
	}
	return !id || qopt_refuse(device, error, "no -netdev is called '%s'", id);
}
