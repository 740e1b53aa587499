/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_PROPS_H
#define PLAN_PROPS_H

/* The devices that mpqemu-remote emulates and their properties, as QEMU 7.2 has them. */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "plan/opts.h"

enum prop_id {
	PROP_ACCEPTED,		/* read and checked, without an effect here */
	PROP_ADDR,
	PROP_BOOTINDEX,
	PROP_CHANNEL,
	PROP_DEVICE_ID,
	PROP_DISCARD_GRANULARITY,
	PROP_DMA_MASK,
	PROP_DPOFUA,
	PROP_DRIVE,
	PROP_LOGICAL_BLOCK_SIZE,
	PROP_LUN,
	PROP_MAX_IO_SIZE,
	PROP_MAX_UNMAP_SIZE,
	PROP_MIN_IO_SIZE,
	PROP_OPT_IO_SIZE,
	PROP_PHYSICAL_BLOCK_SIZE,
	PROP_PORT_INDEX,
	PROP_PORT_WWN,
	PROP_PRODUCT,
	PROP_REMOVABLE,
	PROP_RERROR,
	PROP_ROMBAR,
	PROP_ROMFILE,
	PROP_ROTATION_RATE,
	PROP_SCSI_ID,
	PROP_SCSI_VERSION,
	PROP_SERIAL,
	PROP_SHARE_RW,
	PROP_VENDOR,
	PROP_VER,
	PROP_WERROR,
	PROP_WRITE_CACHE,
	PROP_WWN,
	PROP_COUNT,
};

/* Values of PROP_WERROR and PROP_RERROR, and of PROP_WRITE_CACHE. */
enum prop_on_error { PROP_ERROR_REPORT, PROP_ERROR_IGNORE, PROP_ERROR_ENOSPC, PROP_ERROR_STOP,
		     PROP_ERROR_AUTO };
enum prop_on_off_auto { PROP_AUTO, PROP_ON, PROP_OFF };

enum prop_type { PROP_TYPE_BOOL, PROP_TYPE_UINT16, PROP_TYPE_UINT32, PROP_TYPE_UINT64,
		 PROP_TYPE_INT32, PROP_TYPE_SIZE, PROP_TYPE_BLOCK_SIZE, PROP_TYPE_STR,
		 PROP_TYPE_ON_OFF_AUTO, PROP_TYPE_ON_ERROR, PROP_TYPE_DEVFN };

struct prop {
	const char *name;
	uint8_t type;			/* enum prop_type */
	uint8_t id;			/* enum prop_id */
	bool fixed;			/* only the default (or an empty string) works here */
	const char *deflt;		/* as QEMU prints it; NULL: none */
	const char *help;		/* NULL: none, "": printed as an empty one */
};

enum driver_kind { DRIVER_PCI, DRIVER_SCSI_BUS_PCI, DRIVER_SCSI_DISK, DRIVER_SCSI_CD };

struct driver {
	const char *name;
	const char *alias;		/* or NULL */
	uint8_t kind;			/* enum driver_kind */
	const char *const *classes;	/* what else -global may call it; NULL-terminated */
	const char *category;		/* "Storage" */
	const char *desc;		/* or NULL */
	const struct prop *props;	/* sorted; ends with a NULL name */
};

extern const struct driver drivers[];	/* ends with a NULL name */

/* Values of one -device.  Strings point into its opt_set. */
struct prop_values {
	bool given[PROP_COUNT];
	uint64_t num[PROP_COUNT];	/* numbers (signed ones as int64_t), bools, enums */
	const char *str[PROP_COUNT];
};

/* By name or alias; NULL: none. */
const struct driver *driver_find(const char *name);

/* The names of all of them: "a|b|c".  The caller frees. */
char *drivers_names(void);

/* The bus that the driver's devices plug into: "PCI" or "SCSI". */
const char *driver_bus_type(const struct driver *driver);

/* Fills *ret with the defaults. */
void props_init(const struct driver *driver, struct prop_values *ret);

/*
 * Takes the options of @set, but for driver, id and bus, which are the caller's.  On failure *ret
 * is as it was.
 */
bool props_parse(const struct driver *driver, const struct opt_set *set, struct prop_values *ret,
		 GError **error);

/* Is it one of the names that -global may use for the driver's devices? */
bool driver_is_class(const struct driver *driver, const char *name);

/* The text of "-device help" and of "-device DRIVER,help". */
char *drivers_help(void);
char *driver_help(const struct driver *driver);

#endif
