/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_DOCTOR_H
#define APPLETS_ORCHESTRATE_DOCTOR_H

/*
 * mpqemu-orchestrate doctor: what this host offers, a line each on stdout, with what helps where
 * something is missing.  Changes nothing.  Returns the exit status: 0, or 1 when a remote cannot be
 * run as it is by default.
 */
int doctor_run(void);

#endif
