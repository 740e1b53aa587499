/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_VM_H
#define PLAN_VM_H

/*
 * What a VM's file says: QEMU's command line, as somebody would have written it, and what
 * mpqemu-orchestrate has options for.  Both go to rewrite_move() as they would from a command line.
 */

#include <stdbool.h>

#include <glib.h>

#include "base/error.h"
#include "plan/proclimits.h"
#include "plan/rewrite/rewrite.h"
#include "plan/vm/file.h"

/* [remote NAME] */
struct vm_remote {
	char *device;			/* NULL: for all that have no group of their own */
	unsigned line;
	char *program;			/* of all; an engine is one device's */
	char *engine;			/* "builtin", "qemu", or NULL */
	char *sandbox, *on_error, *on_crash, *watchdog, *events;
	struct plan_limits limits;
};

/* An option of QEMU's command line, and the line of the file that it comes from. */
struct vm_source {
	char *where;			/* "-device lsi53c895a,id=lsi0" */
	char *id;			/* "lsi0", or NULL */
	unsigned line;
};

struct vm {
	struct vmfile *file;
	char *name;
	char *program;			/* QEMU */
	GPtrArray *qemu;		/* char *: its whole argv, NULL-terminated */
	char *protocol, *on_remote_exit;
	char *remote, *local;		/* "ID,ID" */
	int start_timeout;		/* seconds; 0: not said */
	int shutdown_timeout;		/* the same */
	char *control;			/* a path, "off", or NULL */
	char *metrics;			/* a path, or NULL */
	struct plan_limits limits;	/* of QEMU */
	struct plan_group_limits group;	/* of QEMU and the remotes */
	struct vm_remote all;		/* [remote] */
	GArray *remotes;		/* struct vm_remote: [remote NAME] */
	GArray *sources;		/* struct vm_source */
};

/*
 * Reads and checks the file.  NULL with @error, which starts with "PATH:LINE: ".  vm_destroy() the
 * result.
 */
struct vm *vm_read(const char *path, GError **error);
/* The same of a text that ends with NUL. */
struct vm *vm_parse(const char *path, const char *text, GError **error);
void vm_destroy(struct vm *vm);

/*
 * What QEMU answers to "-OPTION TYPE,help"; g_free() it.  NULL with @error: it could not be asked.
 */
typedef char *(*vm_ask)(void *opaque, const char *option, const char *type, GError **error);

/*
 * Refuses keys that QEMU's devices and objects do not have, and types that it does not have: those
 * that no table here knows.
 */
bool vm_check_qemu(const struct vm *vm, vm_ask ask, void *opaque, GError **error);

/*
 * Puts "PATH:LINE: " before an error of the rewriting, which starts with an option of the command
 * line; "PATH: " where no line can be told.  Not before one that has it.
 */
void vm_locate_error(const struct vm *vm, GError **error);

/* What import writes beside QEMU's command line; NULL: not said. */
struct vm_settings {
	const char *protocol, *on_remote_exit;
	const char *remote, *local;	/* "ID,ID" */
	const char *program, *sandbox, *on_error, *on_crash, *watchdog, *events, *numa;
	const char *control, *metrics;
	int start_timeout;		/* seconds; 0: not said */
	int shutdown_timeout;		/* the same */
};

/*
 * The text of a file that says the same as this command line (QEMU first, NULL-terminated).  The
 * caller frees.  NULL with @error: no file can have it.
 */
char *vm_import(char *const *qemu, const struct vm_settings *settings, GError **error);

/* A local VM that is destroyed when it goes out of scope. */
void vm_cleanup(struct vm **vm);
#define auto_vm __attribute__((cleanup(vm_cleanup))) struct vm *

#endif
