/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_VMKEYS_H
#define PLAN_VMKEYS_H

/*
 * The groups and keys of a VM's file: two tables, from which the checks, the conversion, import and
 * the page mpqemu.conf(5) come.
 */

#include <stdbool.h>
#include <stddef.h>

#include "plan/vm/file.h"

enum vm_type {
	VM_TEXT,	/* char * */
	VM_BYTES,	/* char *, as memory.max takes it */
	VM_QUOTA,	/* as cpu.max */
	VM_COUNT,	/* as pids.max */
	VM_RATES,	/* as io.max */
	VM_WORDS,	/* words of a shell, which are QEMU's; kept by the caller */
	VM_CHOICE,	/* char *, one of "A|B|C" in vm_key.values */
	VM_SECONDS,	/* int, 1 or more */
	VM_CPUS,	/* struct plan_limits: its cpus */
	VM_NUMA,	/* struct plan_limits: its numa */
	VM_OOM_SCORE,	/* struct plan_limits: its oom_score */
};

/* One key of a group of ours. */
struct vm_key {
	const char *kind;	/* of the group */
	const char *key;
	enum vm_type type;
	size_t offset;		/* in struct vm, or struct vm_remote for [remote] */
	const char *values;	/* VM_CHOICE: the words; else what to write, for people */
	const char *option;	/* mpqemu-orchestrate's own of the same meaning, or NULL */
	const char *help;
};

extern const struct vm_key vm_keys[];	/* ends with a NULL kind */

enum vm_naming { VM_NO_NAME, VM_MAY_NAME, VM_NAME };

/* One kind of group that is an option of QEMU's. */
struct vm_option {
	const char *kind;
	const char *option;	/* without its dash */
	const char *implied;	/* the key whose value stands first, without the key; or NULL */
	const char *id;		/* the key that the group's name is, or NULL */
	enum vm_naming naming;
	bool once;		/* QEMU has one; the group may stand once */
	/* The keys, a space between them; NULL: they depend on the driver, and QEMU checks them */
	const char *keys;
	const char *help;
};

extern const struct vm_option vm_options[];	/* ends with a NULL kind */

/* The row of that kind, or NULL. */
const struct vm_option *vm_option_find(const char *kind);
/* The row of the option of that name (no dash), or NULL. */
const struct vm_option *vm_option_by_name(const char *option);
const struct vm_key *vm_key_find(const char *kind, const char *key);	/* or NULL */

/*
 * Refuses groups and keys that the tables do not have, with the nearest that they have, groups that
 * stand twice, names that are none, and values of ours that are none.
 */
bool vm_check_file(const struct vmfile *file, GError **error);

/*
 * Has a group of this kind such a key, as far as that can be known here?  @driver: what its driver=
 * says, or NULL.
 */
bool vm_has_key(const char *kind, const char *driver, const char *key);

/* Is this key of a [disk] one of its image, not of its device? */
bool vm_disk_key(const char *key);

/* The value of @key, or NULL. */
const char *vm_get(const struct vmfile_group *group, const char *key);

/* The tables as a page of scdoc(5) has them.  The caller frees. */
char *vm_keys_page(void);

#endif
