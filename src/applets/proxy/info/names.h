/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_NAMES_H
#define APPLETS_PROXY_NAMES_H

/* Names of registers, for people: those of config space as setpci has them, and a model's own. */

#include <stdbool.h>
#include <stdint.h>

/* A place that a name stands for. */
struct name_place {
	uint8_t bar;			/* not of config space */
	uint8_t size;			/* bytes: 1, 2, 4 */
	uint16_t off;
};

/* Upper and lower case are the same. */
bool name_in_config(const char *name, struct name_place *ret_place);

/*
 * A register of the device with these ids.  False: there is none of that name, or the names of such
 * a device are not known; *ret_known tells which.
 */
bool name_of_register(uint16_t vendor, uint16_t device, const char *name,
		      struct name_place *ret_place, bool *ret_known);

/* The other way: what stands at a place, or NULL. */
const char *name_at_config(unsigned off);
const char *name_at_register(uint16_t vendor, uint16_t device, unsigned bar, uint64_t off);

#endif
