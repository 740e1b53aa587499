/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_CONTROL_PROM_H
#define APPLETS_ORCHESTRATE_CONTROL_PROM_H

/*
 * Several texts of Prometheus's format as one: each family once, with its HELP and TYPE, and the
 * samples of all, told apart by labels.
 */

#include <glib.h>

struct prom;

/* Empty. */
struct prom *prom_create(void);
/* Frees it, and no text that it gave. */
void prom_destroy(struct prom *prom);

/*
 * Adds @text, which the remote @id of the VM has counted: its samples get the labels vm and remote
 * before their own.
 */
void prom_add_remote(struct prom *prom, const char *vm, const char *id, const char *text);

/* The whole; the caller frees. */
char *prom_text(const struct prom *prom);

#endif
