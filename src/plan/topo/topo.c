/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/topo/priv.h"

#include <string.h>

#include "plan/props.h"

/* ---- What every -device has ---- */

static bool check_duplicate(const struct topo *t, const struct opt_set *set, const char *id,
			    GError **error)
{
	for (guint i = 0; i < t->in->devices->len && t->in->devices->pdata[i] != set; i++) {
		const char *other = opt_get(t->in->devices->pdata[i], "id");

		if (other && !strcmp(other, id))
			return opt_bad(set, error, "Duplicate ID '%.100s' for device", id);
	}
	return true;
}

bool topo_read_id(const struct topo *t, const struct opt_set *set, char *ret, size_t size,
		  GError **error)
{
	const char *id = NULL;

	if (!opt_get_id(set, &id, error) || (id && !check_duplicate(t, set, id, error)))
		return false;
	if (id && strlen(id) >= size)
		return opt_bad(set, error, "Parameter 'id' is longer than %zu characters",
			       size - 1);
	g_strlcpy(ret, id ? id : "", size);
	return true;
}

static const struct driver *read_driver(const struct opt_set *set, GError **error)
{
	const struct opt *opt = opt_find(set, "driver");
	const struct driver *driver;

	if (!opt || opt->type != OPT_STRING) {
		opt_bad(set, error, "Parameter 'driver' is missing");
		return NULL;
	}
	driver = driver_find(opt->value);
	if (!driver)
		opt_bad(set, error, "'%.100s' is not a valid device model name", opt->value);
	return driver;
}

/* ---- PCI devices ---- */

static bool check_pci_bus(const struct topo *t, const struct opt_set *set,
			  const struct driver *driver, GError **error)
{
	const char *bus = NULL;

	if (!opt_get_string(set, "bus", &bus, error))
		return false;
	if (!bus || !strcmp(bus, "pcie.0"))
		return true;
	for (unsigned i = 0; i < t->bus_count; i++)
		if (!strcmp(t->bus[i].name, bus))
			return opt_bad(set, error, "Device '%s' can't go on SCSI bus",
				       driver->name);
	return opt_bad(set, error, "Bus '%.100s' not found", bus);
}

static bool check_slot(const struct topo *t, const struct opt_set *set, const struct driver *driver,
		       int devfn, GError **error)
{
	for (unsigned i = 0; devfn >= 0 && i < t->spec->device_count; i++)
		if (t->devfn[i] == devfn)
			return opt_bad(set, error, "PCI: slot %d function %d not available for %s, "
				       "in use by %s,id=%s", devfn >> 3, devfn & 7, driver->name,
				       t->spec->device[i].driver,
				       *t->spec->device[i].id ? t->spec->device[i].id : "(null)");
	return true;
}

/* QEMU names a bus after the device's id, or counts the buses of devices without one. */
static void add_bus(struct topo *t, unsigned device)
{
	const char *id = t->spec->device[device].id;
	struct bus *bus = &t->bus[t->bus_count++];

	bus->device = device;
	if (*id)
		g_snprintf(bus->name, sizeof(bus->name), "%s.0", id);
	else
		g_snprintf(bus->name, sizeof(bus->name), "scsi.%u", t->anonymous_buses++);
}

/* "": none, as in QEMU, where devices have one by default. */
static void add_rom(struct topo *t, const struct opt_set *set, const struct prop_values *values,
		    unsigned index)
{
	struct plan_rom *rom = &t->plan->rom[index];
	const char *path = values->str[PROP_ROMFILE];

	t->rom_bar[index] = values->num[PROP_ROMBAR];
	if (!path || !*path)
		return;
	rom->path = g_strdup(path);
	rom->where = g_strdup(set->where);
}

static bool add_pci(struct topo *t, const struct opt_set *set, const struct driver *driver,
		    const struct prop_values *values, GError **error)
{
	unsigned index = t->spec->device_count;
	struct spec_device *device = &t->spec->device[index];
	int devfn = (int64_t)values->num[PROP_ADDR];

	if (!check_pci_bus(t, set, driver, error) || !check_slot(t, set, driver, devfn, error))
		return false;
	if (index == SPEC_MAX_DEVICES)
		return opt_fail(set, error, MPQ_ERROR_REFUSED,
				"mpqemu-remote serves %u devices in one process at the most",
				SPEC_MAX_DEVICES);
	/* QEMU's default: the device reaches 28 bits of addresses */
	if (values->given[PROP_DMA_MASK] && values->num[PROP_DMA_MASK] != (1u << 28) - 1)
		return opt_fail(set, error, MPQ_ERROR_REFUSED, "Property '%s.dma_mask' has one "
				"value in mpqemu-remote: 0xfffffff", driver->name);
	if (!topo_read_id(t, set, device->id, sizeof(device->id), error))
		return false;
	g_strlcpy(device->driver, driver->name, sizeof(device->driver));
	device->peer_slot = device->rom_slot = -1;
	add_rom(t, set, values, index);
	t->devfn[index] = devfn;
	t->spec->device_count++;
	if (driver->kind == DRIVER_SCSI_BUS_PCI)
		add_bus(t, index);
	return true;
}

static bool apply_globals(const struct topo *t, const struct opt_set *set,
			  const struct driver *driver, struct prop_values *values, GError **error)
{
	for (guint i = 0; i < t->in->globals->len; i++) {
		const struct global *global = t->in->globals->pdata[i];

		if (!driver_is_class(driver, global->class_name) ||
		    props_parse(driver, global->set, values, error))
			continue;
		g_prefix_error(error, "%s: ", set->where);
		return false;
	}
	return true;
}

static bool add_device(struct topo *t, const struct opt_set *set, GError **error)
{
	const struct driver *driver = read_driver(set, error);
	struct prop_values values;

	if (!driver)
		return false;
	props_init(driver, &values);
	if (!apply_globals(t, set, driver, &values, error) ||
	    !props_parse(driver, set, &values, error))
		return false;
	if (driver->kind == DRIVER_SCSI_DISK || driver->kind == DRIVER_SCSI_CD)
		return topo_add_disk(t, set, driver, &values, error);
	return add_pci(t, set, driver, &values, error);
}

static void rom_clear(struct plan_rom *rom)
{
	g_free(rom->path);
	g_free(rom->where);
	*rom = (struct plan_rom){ 0 };
}

/* A ROM is shown in its BAR, and by vfio-user alone. */
static void check_roms(const struct topo *t)
{
	for (unsigned i = 0; i < t->spec->device_count; i++) {
		struct plan_rom *rom = &t->plan->rom[i];
		const char *why = NULL;

		if (t->spec->device[i].protocol != SPEC_PROTOCOL_VFIO_USER)
			why = "only x-vfio-user-server shows a device's ROM";
		else if (!t->rom_bar[i])
			why = "rombar=0";
		if (!rom->path || !why)
			continue;
		g_ptr_array_add(t->plan->warnings,
				g_strdup_printf("%s: the guest will not see the romfile: %s",
						rom->where, why));
		rom_clear(rom);
	}
}

static bool check_served(const struct topo *t, GError **error)
{
	unsigned served = 0;

	if (!t->spec->device_count)
		return mpq_fail(error, MPQ_ERROR_USAGE,
				"no device to serve: -device is missing (see -device help)");
	if (t->plan->sandbox_report)	/* nobody has to reach it */
		return true;
	for (unsigned i = 0; i < t->spec->device_count; i++) {
		const struct spec_device *device = &t->spec->device[i];

		if (t->plan->peer[i].kind != PLAN_PEER_NONE)
			served++;
		else
			g_ptr_array_add(t->plan->warnings,
					g_strdup_printf("device '%s' (%s) has no %s: "
							"nobody can reach it", device->id,
							device->driver, t->plan->vfio_user ?
							"x-vfio-user-server" : "x-remote-object"));
	}
	if (!served)
		return mpq_fail(error, MPQ_ERROR_USAGE, "no device can be reached: -object %s is "
				"missing", t->plan->vfio_user ?
				"x-vfio-user-server,id=ID,type=unix,path=SOCK,device=DEVICE" :
				"x-remote-object,id=ID,devid=DEVICE,fd=N");
	return true;
}

bool topo_build(const struct collection *in, struct remote_plan *plan, GError **error)
{
	struct topo t = { .in = in, .plan = plan, .spec = plan->spec };

	for (guint i = 0; i < in->devices->len; i++)
		if (!add_device(&t, in->devices->pdata[i], error))
			return false;
	for (guint i = 0; i < in->objects->len; i++)
		if (!topo_add_object(&t, in->objects->pdata[i], error))
			return false;
	check_roms(&t);
	return check_served(&t, error);
}
