/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_RUN_RELAY_H
#define APPLETS_ORCHESTRATE_RUN_RELAY_H

/*
 * QEMU's QMP monitors where disks of it are in remotes: clients come to the keeper, which passes
 * what they say on to QEMU, and back, as it came, fds too.  What asks for all disks gets the
 * remotes' as well; what is about one that moved goes to its remote, or is refused by its name.
 * One client at a time, as in QEMU.
 */

#include <stdbool.h>

#include "base/error.h"

struct qmp_relay;
struct run;
struct child_fd;

/* Makes the sockets of run->plan->relays.  NULL with @error. */
struct qmp_relay *qmp_relay_create(struct run *run, GError **error);
/* NULL-safe. */
void qmp_relay_destroy(struct qmp_relay *relay);

/* Fills in what QEMU gets, one for each of run->plan->relays; returns how many. */
unsigned qmp_relay_qemu_fds(const struct qmp_relay *relay, struct child_fd *fds);

/* In the keeper: the sockets that clients come to are ours, and are not inherited any more. */
void qmp_relay_take_over(struct qmp_relay *relay);
/* The remotes have answered: clients may come. */
void qmp_relay_start(struct qmp_relay *relay);
/* QEMU is gone: so are its monitors. */
void qmp_relay_close(struct qmp_relay *relay);

#endif
