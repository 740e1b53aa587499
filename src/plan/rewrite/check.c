/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What cannot work with a remote device, or would be silently wrong, refused before anything
 * starts.  Each fact was measured; mpqemu-protocol(7), "QEMU's two ends", has them.  Most are about
 * x-pci-proxy-dev and hold for mpqemu alone.
 */

#include <string.h>

#include "plan/rewrite/priv.h"

/*
 * Memory regions: the protocol carries 8, and while firmware runs there is one more than there are
 * backends.  QEMU's own remote takes one less.
 */
#define MAX_BACKENDS 7
#define MAX_BACKENDS_QEMU_REMOTE 6

/* From this version on QEMU crashes by itself when x-pci-proxy-dev is realized without KVM. */
#define FIRST_CRASHING_MAJOR 10

struct check {
	const struct qcmd *cmd;
	struct plan *plan;
	const struct rewrite_facts *facts;
	const struct rewrite_uses *uses;
};

/* ---- Options that are refused whatever their value ---- */

static const struct {
	const char *name;
	const char *why;
	bool in_place;		/* it is well where QEMU takes our process over */
} refused_options[] = {
	{ "incoming", "a VM with a remote device cannot be migrated: the device's state is in "
	  "another process" },
	{ "only-migratable", "a VM with a remote device cannot be migrated" },
	{ "loadvm", "a snapshot has no state of a remote device" },
	{ "snapshot", "it would not reach the remote's disks, which would really be written; put "
		      "the disk on an overlay image instead" },
	{ "daemonize", "QEMU would leave the process that mpqemu-orchestrate waits for",
	  true },
	{ "readconfig", "options that come from a file are not seen here; write them on the "
	  "command line" },
	{ "preconfig", "options that come later over QMP are not seen here" },
	{ "xen-attach", "a remote does not reach a Xen guest's RAM" },
};

static bool check_options(struct check *check, GError **error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(refused_options); i++) {
		struct qopt *opt = qcmd_last(check->cmd, refused_options[i].name);

		if (opt && !(check->uses->in_place && refused_options[i].in_place))
			return qopt_refuse(opt, error, "%s", refused_options[i].why);
	}
	return true;
}

/* ---- Memory backends ---- */

static bool check_backend_count(struct check *check, GError **error)
{
	unsigned max = check->uses->qemu_remote ? MAX_BACKENDS_QEMU_REMOTE : MAX_BACKENDS;
	unsigned count = 0;

	for_each_qopt(opt, check->cmd) {
		if (!qopt_is(opt, "object") || !g_str_has_prefix(qopt_type(opt), "memory-backend-"))
			continue;
		if (++count > max)
			return qopt_refuse(opt, error, "this is memory backend number %u; %s can "
					   "take %u", count, check->uses->qemu_remote ?
					   "QEMU's own x-remote" : "a remote", max);
	}
	return true;
}

/* ---- vIOMMUs and confidential guests ---- */

static const char *const viommus[] = {
	"intel-iommu", "amd-iommu", "virtio-iommu", "virtio-iommu-pci", "arm-smmuv3", NULL
};

static const char *const confidential_objects[] = {
	"sev-guest", "sev-snp-guest", "tdx-guest", "pef-guest", "s390-pv-guest", NULL
};

static const char *const confidential_machine[] = {
	"confidential-guest-support", "memory-encryption", NULL
};

static bool check_viommu(struct check *check, GError **error)
{
	for_each_qopt(opt, check->cmd)
		if (qopt_is(opt, "device") && g_strv_contains(viommus, qopt_type(opt)))
			return qopt_refuse(opt, error, "a remote device's DMA does not pass a "
					   "vIOMMU: it would go to wrong addresses");
	return true;
}

static bool check_objects(struct check *check, GError **error)
{
	for_each_qopt(opt, check->cmd)
		if (qopt_is(opt, "object") && g_strv_contains(confidential_objects, qopt_type(opt)))
			return qopt_refuse(opt, error, "a confidential guest's RAM cannot be "
					   "shared with a remote");
	return true;
}

static bool check_machine(struct check *check, GError **error)
{
	struct qopt *opt;

	for (const char *const *key = confidential_machine; *key; key++)
		if (qcmd_get(check->cmd, "machine", *key, &opt))
			return qopt_refuse(opt, error, "a confidential guest's RAM cannot be "
					   "shared with a remote");
	if (!g_strcmp0(qcmd_get(check->cmd, "machine", "type", &opt), "none"))
		return qopt_refuse(opt, error, "the machine has no PCI bus for the device");
	if (!g_strcmp0(qcmd_get(check->cmd, "machine", "type", &opt), "x-remote"))
		return qopt_refuse(opt, error, "this is a remote's command line; QEMU's own has to "
				   "stand last");
	return true;
}

/* ---- Interrupts: the accelerator and its interrupt controller ---- */

static bool check_irqchip(struct check *check, GError **error)
{
	static const char *const options[] = { "machine", "accel" };

	for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
		struct qopt *opt;
		const char *value = qcmd_get(check->cmd, options[i], "kernel-irqchip", &opt);

		if (value && (!strcmp(value, "off") || !strcmp(value, "no")))
			return qopt_refuse(opt, error, "kernel-irqchip=off: the guest would get no "
					   "interrupts from a remote device");
	}
	return true;
}

/*
 * The accelerators that QEMU would try, in order, as a list "kvm:tcg"; *ret_opt: where that is
 * said, or NULL.  The caller frees.
 */
static char *accel_list(const struct qcmd *cmd, struct qopt **ret_opt)
{
	g_autoptr(GString) list = g_string_new(NULL);
	const char *machine = qcmd_get(cmd, "machine", "accel", ret_opt);
	g_autofree char *prog = NULL;

	for_each_qopt(opt, cmd) {
		if (qopt_is(opt, "enable-kvm"))
			g_string_append(list, list->len ? ":kvm" : "kvm");
		else if (qopt_is(opt, "accel"))
			g_string_append_printf(list, "%s%s", list->len ? ":" : "",
					       opt_get(opt->set, "accel") ?: "");
		else
			continue;
		*ret_opt = opt;
	}
	if (list->len)
		return g_strdup(list->str);
	if (machine)
		return g_strdup(machine);
	*ret_opt = NULL;
	/* Without a word QEMU takes TCG, unless its name ends in "kvm". */
	prog = g_path_get_basename(cmd->prefix->pdata[0]);
	return g_strdup(g_str_has_suffix(prog, "kvm") ? "kvm" : "tcg");
}

static bool refuse_accel(const struct qopt *opt, GError **error, const char *text)
{
	if (opt)
		return qopt_refuse(opt, error, "%s", text);
	return mpq_fail(error, MPQ_ERROR_REFUSED, "no -accel is given: %s", text);
}

static bool check_tcg(struct check *check, const struct qopt *opt, GError **error)
{
	g_autofree char *text = NULL;

	if (check->facts->qemu_major < FIRST_CRASHING_MAJOR) {
		plan_warn(check->plan, "under TCG QEMU delivers no interrupts from a remote "
			  "device: firmware works, a Linux guest needs 'irqpoll noapictimer "
			  "nohz=off' on its kernel command line; with KVM (-accel kvm) all is "
			  "well");
		return true;
	}
	text = g_strdup_printf("QEMU %u.%u crashes by itself with x-pci-proxy-dev under TCG; take "
			       "-accel kvm%s", check->facts->qemu_major, check->facts->qemu_minor,
			       check->facts->has_vfio_user ? " or vfio-user" : "");
	return refuse_accel(opt, error, text);
}

static bool check_kvm(struct check *check, const struct qopt *opt, GError **error)
{
	g_autofree char *text = NULL;

	if (!check->facts->kvm_error)
		return true;
	text = g_strdup_printf("/dev/kvm cannot be used: %s", check->facts->kvm_error);
	return refuse_accel(opt, error, text);
}

/* "kvm:kvm" is one accelerator. */
static bool is_fallback(char *const *names)
{
	for (unsigned i = 1; names[0] && names[i]; i++)
		if (strcmp(names[0], names[i]))
			return true;
	return false;
}

static bool check_accel(struct check *check, GError **error)
{
	struct qopt *opt = NULL;
	g_autofree char *list = accel_list(check->cmd, &opt);
	g_auto(GStrv) names = g_strsplit(list, ":", -1);

	/* The client of vfio-user asserts the interrupts itself, whatever the accelerator. */
	if (!check->uses->mpqemu)
		return g_strcmp0(list, "kvm") || check_kvm(check, opt, error);
	if (is_fallback(names))
		return refuse_accel(opt, error, "a list of accelerators would silently change "
				    "whether the device can interrupt the guest; name one of them");
	if (!strcmp(names[0] ?: "", "kvm"))
		return check_kvm(check, opt, error);
	if (!strcmp(names[0] ?: "", "tcg") || !strcmp(names[0] ?: "", "qtest"))
		return check_tcg(check, opt, error);
	return refuse_accel(opt, error, "only KVM delivers a remote device's interrupts");
}

/* ---- vCPUs ---- */

static bool smp_value(const struct qcmd *cmd, const char *key, uint64_t *ret, GError **error)
{
	struct qopt *opt;

	if (!qcmd_get(cmd, "smp", key, &opt))
		return true;
	return opt_get_uint(opt->set, key, 32, ret, error);
}

static bool check_smp(struct check *check, GError **error)
{
	static const char *const levels[] = {
		"drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads"
	};
	uint64_t cpus = 0, maxcpus = 0, product = 1;

	if (!smp_value(check->cmd, "cpus", &cpus, error) ||
	    !smp_value(check->cmd, "maxcpus", &maxcpus, error))
		return false;
	for (unsigned i = 0; i < G_N_ELEMENTS(levels); i++) {
		uint64_t n = 1;

		if (!smp_value(check->cmd, levels[i], &n, error))
			return false;
		product *= n && n < 65536 ? n : 1;
	}
	if (cpus > 1 || maxcpus > 1 || (!cpus && product > 1))
		plan_warn(check->plan, "more than one vCPU: two bugs of QEMU hit x-pci-proxy-dev "
			  "then. It deadlocks when two threads reach the device at once (its "
			  "io_mutex is taken under the global lock), and drops accesses of a "
			  "second vCPU (\"Blocked re-entrant IO on MemoryRegion\"); -smp 1 is "
			  "safe, and so is vfio-user (QEMU 10.1 or later)");
	return true;
}

/* x-pci-proxy-dev has QEMU block both; of vfio-user-pci nothing says that it has a state. */
static bool check_migration(struct check *check, GError **error)
{
	if (!check->uses->mpqemu)
		plan_warn(check->plan, "do not migrate this VM, nor save or load snapshots of its "
			  "memory: over vfio-user QEMU does not block that, and the state of the "
			  "devices would be lost");
	return true;
}

bool rewrite_check(const struct qcmd *cmd, struct plan *plan, const struct rewrite_facts *facts,
		   const struct rewrite_uses *uses, GError **error)
{
	static const struct {
		bool (*fn)(struct check *check, GError **error);
		bool mpqemu_only;
	} checks[] = {
		{ check_options, false },
		{ check_machine, false },
		{ check_viommu, true },
		{ check_objects, false },
		{ check_backend_count, true },
		{ check_irqchip, true },
		{ check_accel, false },
		{ check_smp, true },
		{ check_migration, false },
	};
	struct check check = { cmd, plan, facts, uses };

	for (unsigned i = 0; i < G_N_ELEMENTS(checks); i++)
		if ((uses->mpqemu || !checks[i].mpqemu_only) && !checks[i].fn(&check, error))
			return false;
	return true;
}
