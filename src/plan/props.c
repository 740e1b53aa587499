/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/props.h"

#include <stdlib.h>
#include <string.h>

#define ON_OFF "on/off"
#define ON_OFF_AUTO "on/off/auto"
#define ON_ERROR "Error handling policy, report/ignore/enospc/stop/auto"
#define BLOCK_SIZE "A power of two between 512 B and 2 MiB"

/* Bytes: QEMU's limits of a logical or physical block. */
#define BLOCK_SIZE_MIN 512
#define BLOCK_SIZE_MAX (2u << 20)

#define UINT32_ALL "4294967295"

#define PROPS_PCI_A_D                                                                              \
	{ "acpi-index", PROP_TYPE_UINT32, PROP_ACCEPTED, true, "0", "" },                          \
	{ "addr", PROP_TYPE_DEVFN, PROP_ADDR, false, "-1",                                         \
	  "Slot and optional function number, example: 06.0 or 06" }

#define PROPS_PCI_F_X                                                                              \
	{ "failover_pair_id", PROP_TYPE_STR, PROP_ACCEPTED, true, NULL, NULL },                    \
	{ "multifunction", PROP_TYPE_BOOL, PROP_ACCEPTED, true, "false", ON_OFF },                 \
	{ "rombar", PROP_TYPE_UINT32, PROP_ROMBAR, false, "1", "" },                               \
	{ "romfile", PROP_TYPE_STR, PROP_ROMFILE, false, NULL, NULL },                             \
	{ "romsize", PROP_TYPE_UINT32, PROP_ACCEPTED, true, UINT32_ALL, "" },                      \
	{ "x-pcie-extcap-init", PROP_TYPE_BOOL, PROP_ACCEPTED, false, "true", ON_OFF },            \
	{ "x-pcie-lnksta-dllla", PROP_TYPE_BOOL, PROP_ACCEPTED, false, "true", ON_OFF }

static const struct prop pci_props[] = {
	PROPS_PCI_A_D,
	PROPS_PCI_F_X,
	{ NULL },
};

static const struct prop edu_props[] = {
	PROPS_PCI_A_D,
	{ "dma_mask", PROP_TYPE_UINT64, PROP_DMA_MASK, false, NULL, NULL },
	PROPS_PCI_F_X,
	{ NULL },
};

static const struct prop scsi_hd_props[] = {
	{ "account-failed", PROP_TYPE_ON_OFF_AUTO, PROP_ACCEPTED, false, "\"auto\"", ON_OFF_AUTO },
	{ "account-invalid", PROP_TYPE_ON_OFF_AUTO, PROP_ACCEPTED, false, "\"auto\"", ON_OFF_AUTO },
	{ "backend_defaults", PROP_TYPE_ON_OFF_AUTO, PROP_ACCEPTED, false, "\"auto\"",
	  ON_OFF_AUTO },
	{ "bootindex", PROP_TYPE_INT32, PROP_BOOTINDEX, false, NULL, NULL },
	{ "channel", PROP_TYPE_UINT32, PROP_CHANNEL, false, "0", "" },
	{ "cyls", PROP_TYPE_UINT32, PROP_ACCEPTED, true, "0", "" },
	{ "device_id", PROP_TYPE_STR, PROP_DEVICE_ID, false, NULL, NULL },
	{ "discard_granularity", PROP_TYPE_SIZE, PROP_DISCARD_GRANULARITY, false, UINT32_ALL, "" },
	{ "dpofua", PROP_TYPE_BOOL, PROP_DPOFUA, false, "false", ON_OFF },
	{ "drive", PROP_TYPE_STR, PROP_DRIVE, false, NULL,
	  "Node name or ID of a block device to use as a backend" },
	{ "heads", PROP_TYPE_UINT32, PROP_ACCEPTED, true, "0", "" },
	{ "lcyls", PROP_TYPE_UINT32, PROP_ACCEPTED, true, "0", "" },
	{ "lheads", PROP_TYPE_UINT32, PROP_ACCEPTED, true, "0", "" },
	{ "logical_block_size", PROP_TYPE_BLOCK_SIZE, PROP_LOGICAL_BLOCK_SIZE, false, "0",
	  BLOCK_SIZE },
	{ "lsecs", PROP_TYPE_UINT32, PROP_ACCEPTED, true, "0", "" },
	{ "lun", PROP_TYPE_UINT32, PROP_LUN, false, UINT32_ALL, "" },
	{ "max_io_size", PROP_TYPE_UINT64, PROP_MAX_IO_SIZE, false, "2147483647", "" },
	{ "max_unmap_size", PROP_TYPE_UINT64, PROP_MAX_UNMAP_SIZE, false, "1073741824", "" },
	{ "min_io_size", PROP_TYPE_SIZE, PROP_MIN_IO_SIZE, false, "0", "" },
	{ "opt_io_size", PROP_TYPE_SIZE, PROP_OPT_IO_SIZE, false, "0", "" },
	{ "physical_block_size", PROP_TYPE_BLOCK_SIZE, PROP_PHYSICAL_BLOCK_SIZE, false, "0",
	  BLOCK_SIZE },
	{ "port_index", PROP_TYPE_UINT16, PROP_PORT_INDEX, false, "0", "" },
	{ "port_wwn", PROP_TYPE_UINT64, PROP_PORT_WWN, false, "0", "" },
	{ "product", PROP_TYPE_STR, PROP_PRODUCT, false, NULL, NULL },
	{ "quirk_mode_page_vendor_specific_apple", PROP_TYPE_BOOL, PROP_ACCEPTED, true, "false",
	  ON_OFF },
	{ "removable", PROP_TYPE_BOOL, PROP_REMOVABLE, false, "false", ON_OFF },
	{ "rerror", PROP_TYPE_ON_ERROR, PROP_RERROR, false, "\"auto\"", ON_ERROR },
	{ "rotation_rate", PROP_TYPE_UINT16, PROP_ROTATION_RATE, false, "0", "" },
	{ "scsi-id", PROP_TYPE_UINT32, PROP_SCSI_ID, false, UINT32_ALL, "" },
	{ "scsi_version", PROP_TYPE_INT32, PROP_SCSI_VERSION, false, "5", "" },
	{ "secs", PROP_TYPE_UINT32, PROP_ACCEPTED, true, "0", "" },
	{ "serial", PROP_TYPE_STR, PROP_SERIAL, false, NULL, NULL },
	{ "share-rw", PROP_TYPE_BOOL, PROP_SHARE_RW, false, "false", "" },
	{ "vendor", PROP_TYPE_STR, PROP_VENDOR, false, NULL, NULL },
	{ "ver", PROP_TYPE_STR, PROP_VER, false, NULL, NULL },
	{ "werror", PROP_TYPE_ON_ERROR, PROP_WERROR, false, "\"auto\"", ON_ERROR },
	{ "write-cache", PROP_TYPE_ON_OFF_AUTO, PROP_WRITE_CACHE, false, "\"auto\"", ON_OFF_AUTO },
	{ "wwn", PROP_TYPE_UINT64, PROP_WWN, false, "0", "" },
	{ NULL },
};

static const struct prop scsi_cd_props[] = {
	{ "account-failed", PROP_TYPE_ON_OFF_AUTO, PROP_ACCEPTED, false, "\"auto\"", ON_OFF_AUTO },
	{ "account-invalid", PROP_TYPE_ON_OFF_AUTO, PROP_ACCEPTED, false, "\"auto\"", ON_OFF_AUTO },
	{ "backend_defaults", PROP_TYPE_ON_OFF_AUTO, PROP_ACCEPTED, false, "\"auto\"",
	  ON_OFF_AUTO },
	{ "bootindex", PROP_TYPE_INT32, PROP_BOOTINDEX, false, NULL, NULL },
	{ "channel", PROP_TYPE_UINT32, PROP_CHANNEL, false, "0", "" },
	{ "device_id", PROP_TYPE_STR, PROP_DEVICE_ID, false, NULL, NULL },
	{ "discard_granularity", PROP_TYPE_SIZE, PROP_DISCARD_GRANULARITY, false, UINT32_ALL, "" },
	{ "drive", PROP_TYPE_STR, PROP_DRIVE, false, NULL,
	  "Node name or ID of a block device to use as a backend" },
	{ "logical_block_size", PROP_TYPE_BLOCK_SIZE, PROP_LOGICAL_BLOCK_SIZE, false, "0",
	  BLOCK_SIZE },
	{ "lun", PROP_TYPE_UINT32, PROP_LUN, false, UINT32_ALL, "" },
	{ "max_io_size", PROP_TYPE_UINT64, PROP_MAX_IO_SIZE, false, "2147483647", "" },
	{ "min_io_size", PROP_TYPE_SIZE, PROP_MIN_IO_SIZE, false, "0", "" },
	{ "opt_io_size", PROP_TYPE_SIZE, PROP_OPT_IO_SIZE, false, "0", "" },
	{ "physical_block_size", PROP_TYPE_BLOCK_SIZE, PROP_PHYSICAL_BLOCK_SIZE, false, "0",
	  BLOCK_SIZE },
	{ "port_index", PROP_TYPE_UINT16, PROP_PORT_INDEX, false, "0", "" },
	{ "port_wwn", PROP_TYPE_UINT64, PROP_PORT_WWN, false, "0", "" },
	{ "product", PROP_TYPE_STR, PROP_PRODUCT, false, NULL, NULL },
	{ "quirk_mode_page_apple_vendor", PROP_TYPE_BOOL, PROP_ACCEPTED, true, "false", ON_OFF },
	{ "quirk_mode_page_truncated", PROP_TYPE_BOOL, PROP_ACCEPTED, true, "false", ON_OFF },
	{ "quirk_mode_page_vendor_specific_apple", PROP_TYPE_BOOL, PROP_ACCEPTED, true, "false",
	  ON_OFF },
	{ "quirk_mode_sense_rom_use_dbd", PROP_TYPE_BOOL, PROP_ACCEPTED, true, "false", ON_OFF },
	{ "rerror", PROP_TYPE_ON_ERROR, PROP_RERROR, false, "\"auto\"", ON_ERROR },
	{ "scsi-id", PROP_TYPE_UINT32, PROP_SCSI_ID, false, UINT32_ALL, "" },
	{ "scsi_version", PROP_TYPE_INT32, PROP_SCSI_VERSION, false, "5", "" },
	{ "serial", PROP_TYPE_STR, PROP_SERIAL, false, NULL, NULL },
	{ "share-rw", PROP_TYPE_BOOL, PROP_SHARE_RW, false, "false", "" },
	{ "vendor", PROP_TYPE_STR, PROP_VENDOR, false, NULL, NULL },
	{ "ver", PROP_TYPE_STR, PROP_VER, false, NULL, NULL },
	{ "werror", PROP_TYPE_ON_ERROR, PROP_WERROR, false, "\"auto\"", ON_ERROR },
	{ "write-cache", PROP_TYPE_ON_OFF_AUTO, PROP_WRITE_CACHE, false, "\"auto\"", ON_OFF_AUTO },
	{ "wwn", PROP_TYPE_UINT64, PROP_WWN, false, "0", "" },
	{ NULL },
};

/* QEMU's class tree, as far as -global reaches it. */
static const char *const pci_classes[] = { "pci-device", "device", NULL };
static const char *const lsi810_classes[] = { "lsi53c895a", "pci-device", "device", NULL };
static const char *const scsi_classes[] = { "scsi-disk-base", "scsi-device", "device", NULL };

/* By category, then by name: the order of "-device help". */
const struct driver drivers[] = {
	{ "lsi53c810", NULL, DRIVER_SCSI_BUS_PCI, lsi810_classes, "Storage", NULL, pci_props },
	{ "lsi53c895a", "lsi", DRIVER_SCSI_BUS_PCI, pci_classes, "Storage", NULL, pci_props },
	{ "scsi-cd", NULL, DRIVER_SCSI_CD, scsi_classes, "Storage", "virtual SCSI CD-ROM",
	  scsi_cd_props },
	{ "scsi-hd", NULL, DRIVER_SCSI_DISK, scsi_classes, "Storage", "virtual SCSI disk",
	  scsi_hd_props },
	{ "edu", NULL, DRIVER_PCI, pci_classes, "Misc", NULL, edu_props },
	{ "edu-pcie", NULL, DRIVER_PCI, pci_classes, "Misc",
	  "edu as a PCI Express function with MSI-X; mpqemu's own", edu_props },
	{ NULL },
};

bool driver_is_class(const struct driver *driver, const char *name)
{
	return !strcmp(driver->name, name) || g_strv_contains(driver->classes, name);
}

char *drivers_names(void)
{
	GString *text = g_string_new(NULL);

	for (const struct driver *driver = drivers; driver->name; driver++)
		g_string_append_printf(text, "%s%s", text->len ? "|" : "", driver->name);
	return g_string_free(text, false);
}

const struct driver *driver_find(const char *name)
{
	for (const struct driver *driver = drivers; driver->name; driver++)
		if (!strcmp(driver->name, name) ||
		    (driver->alias && !strcmp(driver->alias, name)))
			return driver;
	return NULL;
}

const char *driver_bus_type(const struct driver *driver)
{
	return driver->kind == DRIVER_SCSI_DISK || driver->kind == DRIVER_SCSI_CD ? "SCSI" : "PCI";
}

/* ---- Values ---- */

static const char *const on_error_names[] = { "report", "ignore", "enospc", "stop", "auto", NULL };
static const char *const on_off_auto_names[] = { "auto", "on", "off", NULL };

static bool parse_bool(const struct opt_set *set, const struct prop *prop, uint64_t *ret,
		       GError **error)
{
	bool value = false;

	if (!opt_get_bool(set, prop->name, &value, error))
		return false;
	*ret = value;
	return true;
}

static bool parse_uint(const struct opt_set *set, const struct prop *prop, uint64_t *ret,
		       GError **error)
{
	static const uint8_t bits[] = {
		[PROP_TYPE_UINT16] = 16, [PROP_TYPE_UINT32] = 32, [PROP_TYPE_UINT64] = 64,
	};

	return opt_get_uint(set, prop->name, bits[prop->type], ret, error);
}

static bool parse_int32(const struct opt_set *set, const struct prop *prop, uint64_t *ret,
			GError **error)
{
	int64_t value = 0;

	if (!opt_get_int(set, prop->name, 32, &value, error))
		return false;
	*ret = value;
	return true;
}

/* A property of 32 bits in QEMU, whatever a size may be. */
static bool parse_size(const struct opt_set *set, const struct prop *prop, uint64_t *ret,
		       GError **error)
{
	if (!opt_get_size(set, prop->name, ret, error))
		return false;
	if (*ret <= UINT32_MAX)
		return true;
	return opt_bad(set, error,
		       "Property .%s doesn't take value %" G_GUINT64_FORMAT " (maximum: %u)",
		       prop->name, *ret, UINT32_MAX);
}

static bool parse_block_size(const struct opt_set *set, const struct prop *prop, uint64_t *ret,
			     GError **error)
{
	if (!opt_get_size(set, prop->name, ret, error))
		return false;
	/* 0 means the default */
	if (*ret && (*ret < BLOCK_SIZE_MIN || *ret > BLOCK_SIZE_MAX))
		return opt_bad(set, error,
			       "Property .%s doesn't take value %" G_GUINT64_FORMAT
			       " (minimum: %u, maximum: %u)",
			       prop->name, *ret, BLOCK_SIZE_MIN, BLOCK_SIZE_MAX);
	if (*ret & (*ret - 1))
		return opt_bad(set, error,
			       "Property .%s doesn't take value '%" G_GUINT64_FORMAT
			       "', it's not a power of 2",
			       prop->name, *ret);
	return true;
}

static bool parse_on_off_auto(const struct opt_set *set, const struct prop *prop, uint64_t *ret,
			      GError **error)
{
	int value = 0;

	if (!opt_get_enum(set, prop->name, on_off_auto_names, &value, error))
		return false;
	*ret = value;
	return true;
}

static bool parse_on_error(const struct opt_set *set, const struct prop *prop, uint64_t *ret,
			   GError **error)
{
	int value = 0;

	if (!opt_get_enum(set, prop->name, on_error_names, &value, error))
		return false;
	*ret = value;
	return true;
}

/* "SLOT" or "SLOT.FUNCTION", both hex; a bare number in JSON is a devfn. */
static bool parse_devfn(const struct opt_set *set, const struct prop *prop, uint64_t *ret,
			GError **error)
{
	const struct opt *opt = opt_find(set, prop->name);
	unsigned long slot, function = 0;
	char *end;

	if (opt->type == OPT_NUMBER) {
		int64_t devfn = -1;

		if (!opt_get_int(set, prop->name, 32, &devfn, error))
			return false;
		*ret = devfn;
		if (devfn >= -1 && devfn <= 255)
			return true;
		goto bad;
	}
	if (!g_ascii_isxdigit(opt->value[0]))
		goto bad;
	slot = strtoul(opt->value, &end, 16);
	if (*end == '.' && g_ascii_isxdigit(end[1]))
		function = strtoul(end + 1, &end, 16);
	if (*end || slot > 31 || function > 7)
		goto bad;
	*ret = slot << 3 | function;
	return true;
bad:
	return opt_bad(set, error, "Property '%s.%s' doesn't take value '%.100s'",
		       opt_get(set, "driver"), prop->name, opt->value);
}

static bool (*const parsers[])(const struct opt_set *, const struct prop *, uint64_t *,
			       GError **) = {
	[PROP_TYPE_BOOL] = parse_bool,
	[PROP_TYPE_UINT16] = parse_uint,
	[PROP_TYPE_UINT32] = parse_uint,
	[PROP_TYPE_UINT64] = parse_uint,
	[PROP_TYPE_INT32] = parse_int32,
	[PROP_TYPE_SIZE] = parse_size,
	[PROP_TYPE_BLOCK_SIZE] = parse_block_size,
	[PROP_TYPE_ON_OFF_AUTO] = parse_on_off_auto,
	[PROP_TYPE_ON_ERROR] = parse_on_error,
	[PROP_TYPE_DEVFN] = parse_devfn,
};

/* The default of a number, from the text that QEMU prints. */
static uint64_t default_num(const struct prop *prop)
{
	if (!prop->deflt)
		return 0;
	if (prop->type == PROP_TYPE_BOOL)
		return !strcmp(prop->deflt, "true");
	if (prop->type == PROP_TYPE_ON_OFF_AUTO)
		return PROP_AUTO;
	if (prop->type == PROP_TYPE_ON_ERROR)
		return PROP_ERROR_AUTO;
	return strtoll(prop->deflt, NULL, 10);
}

static bool check_fixed(const struct driver *driver, const struct opt_set *set,
			const struct prop *prop, uint64_t num, const char *str, GError **error)
{
	if (!prop->fixed || (str ? !*str : num == default_num(prop)))
		return true;
	return opt_fail(set, error, MPQ_ERROR_REFUSED,
			"Property '%s.%s' is not supported by mpqemu-remote", driver->name,
			prop->name);
}

static bool parse_one(const struct driver *driver, const struct opt_set *set,
		      const struct prop *prop, struct prop_values *values, GError **error)
{
	const char *str = NULL;
	uint64_t num = 0;

	if (prop->type == PROP_TYPE_STR) {
		if (!opt_get_string(set, prop->name, &str, error))
			return false;
	} else if (!parsers[prop->type](set, prop, &num, error)) {
		return false;
	}
	if (!check_fixed(driver, set, prop, num, str, error))
		return false;
	if (prop->id != PROP_ACCEPTED) {
		values->given[prop->id] = true;
		values->num[prop->id] = num;
		values->str[prop->id] = str;
	}
	return true;
}

static const struct prop *prop_find(const struct driver *driver, const char *name)
{
	for (const struct prop *prop = driver->props; prop->name; prop++)
		if (!strcmp(prop->name, name))
			return prop;
	return NULL;
}

void props_init(const struct driver *driver, struct prop_values *ret)
{
	*ret = (struct prop_values){ 0 };
	for (const struct prop *prop = driver->props; prop->name; prop++)
		ret->num[prop->id] = default_num(prop);
}

bool props_parse(const struct driver *driver, const struct opt_set *set, struct prop_values *ret,
		 GError **error)
{
	static const char *const own[] = { "driver", "id", "bus", NULL };
	struct prop_values values = *ret;

	for (size_t i = 0; i < set->count; i++) {
		const struct prop *prop;

		if (g_strv_contains(own, set->opt[i].key))
			continue;
		prop = prop_find(driver, set->opt[i].key);
		if (!prop)
			return opt_bad(set, error, "Property '%s.%.200s' not found", driver->name,
				       set->opt[i].key);
		if (!parse_one(driver, set, prop, &values, error))
			return false;
	}
	*ret = values;
	return true;
}

/* ---- Help ---- */

char *drivers_help(void)
{
	GString *text = g_string_new(NULL);
	const char *category = NULL;

	for (const struct driver *driver = drivers; driver->name; driver++) {
		if (!category || strcmp(category, driver->category))
			g_string_append_printf(text, "%s%s devices:\n", category ? "\n" : "",
					       driver->category);
		category = driver->category;
		g_string_append_printf(text, "name \"%s\", bus %s", driver->name,
				       driver_bus_type(driver));
		if (driver->alias)
			g_string_append_printf(text, ", alias \"%s\"", driver->alias);
		if (driver->desc)
			g_string_append_printf(text, ", desc \"%s\"", driver->desc);
		g_string_append_c(text, '\n');
	}
	return g_string_free(text, FALSE);
}

static void prop_help(GString *text, const struct prop *prop)
{
	static const char *const names[] = {
		[PROP_TYPE_BOOL] = "bool", [PROP_TYPE_UINT16] = "uint16",
		[PROP_TYPE_UINT32] = "uint32", [PROP_TYPE_UINT64] = "uint64",
		[PROP_TYPE_INT32] = "int32", [PROP_TYPE_SIZE] = "size",
		[PROP_TYPE_BLOCK_SIZE] = "size", [PROP_TYPE_STR] = "str",
		[PROP_TYPE_ON_OFF_AUTO] = "OnOffAuto", [PROP_TYPE_ON_ERROR] = "BlockdevOnError",
		[PROP_TYPE_DEVFN] = "int32",
	};
	g_autofree char *head = g_strdup_printf("%s=<%s>", prop->name, names[prop->type]);

	if (!prop->help) {
		g_string_append_printf(text, "  %s\n", head);
		return;
	}
	g_string_append_printf(text, "  %-22s - %s", head, prop->help);
	if (prop->deflt)
		g_string_append_printf(text, " (default: %s)", prop->deflt);
	g_string_append_c(text, '\n');
}

char *driver_help(const struct driver *driver)
{
	GString *text = g_string_new(NULL);

	g_string_append_printf(text, "%s options:\n", driver->name);
	for (const struct prop *prop = driver->props; prop->name; prop++)
		if (!prop->fixed)
			prop_help(text, prop);
	return g_string_free(text, FALSE);
}
