/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_REMOTEOPTS_H
#define PLAN_REMOTEOPTS_H

/* The options of mpqemu-remote: the table and its handlers; private to src/plan. */

#include <stdbool.h>

#include <glib.h>

#include "plan/opts.h"
#include "plan/remote.h"
#include "plan/topo/topo.h"

/* What the handlers collect: the opaque pointer of each. */
struct remote_parse {
	struct remote_plan *plan;
	struct collection in;
	GPtrArray *nodes, *drives;	/* struct backend, owned here */
	GPtrArray *chardevs;		/* of -chardev; monitor.c's */
	bool help, version, machine_help;
};

extern const struct option_def remote_options[];

/* The text of -help. */
char *remote_help(void);

/* Each takes one use of an option; false with @error set (see struct option_def). */
bool remote_option_device(void *opaque, const struct option_use *use, GError **error);
bool remote_option_object(void *opaque, const struct option_use *use, GError **error);
bool remote_option_blockdev(void *opaque, const struct option_use *use, GError **error);
bool remote_option_drive(void *opaque, const struct option_use *use, GError **error);
bool remote_option_machine(void *opaque, const struct option_use *use, GError **error);
bool remote_option_name(void *opaque, const struct option_use *use, GError **error);
bool remote_option_msg(void *opaque, const struct option_use *use, GError **error);
bool remote_option_watchdog(void *opaque, const struct option_use *use, GError **error);
bool remote_option_folder(void *opaque, const struct option_use *use, GError **error);
bool remote_option_add_fd(void *opaque, const struct option_use *use, GError **error);
bool remote_option_global(void *opaque, const struct option_use *use, GError **error);
bool remote_option_uuid(void *opaque, const struct option_use *use, GError **error);
bool remote_option_debug(void *opaque, const struct option_use *use, GError **error);
bool remote_option_help(void *opaque, const struct option_use *use, GError **error);
bool remote_option_version(void *opaque, const struct option_use *use, GError **error);
bool remote_option_qmp(void *opaque, const struct option_use *use, GError **error);
bool remote_option_mon(void *opaque, const struct option_use *use, GError **error);
bool remote_option_chardev(void *opaque, const struct option_use *use, GError **error);
/* A char * or bool of struct remote_plan, at offset def->data. */
bool remote_option_string(void *opaque, const struct option_use *use, GError **error);
bool remote_option_flag(void *opaque, const struct option_use *use, GError **error);
/* One of the words in def->args, "A|B|C": its index, in a uint8_t there. */
bool remote_option_choice(void *opaque, const struct option_use *use, GError **error);
/* QEMU's -sandbox: "on", whatever follows, asks for what is so anyway. */
bool remote_option_sandbox(void *opaque, const struct option_use *use, GError **error);
/* Accepted without an effect; accepted with the argument "none"; refused, def->help says why. */
bool remote_option_ignore(void *opaque, const struct option_use *use, GError **error);
bool remote_option_none(void *opaque, const struct option_use *use, GError **error);
bool remote_option_refuse(void *opaque, const struct option_use *use, GError **error);

/* monitor.c: each -mon gets its -chardev, once all are read; and how they are freed. */
bool monitors_resolve(struct remote_parse *p, GError **error);
void chardev_destroy(void *opaque);
void plan_monitors_finish(struct remote_plan *plan);

#endif
