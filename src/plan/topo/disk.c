/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "plan/props.h"
#include "plan/topo/priv.h"

/* The controllers' own SCSI id; eight ids a bus, as in QEMU, and eight LUNs (SCSI-2, 7.2.2). */
#define HOST_ID 7
#define TARGETS 8
#define LUNS 8

/* ---- Disks: where ---- */

static bool find_bus(const struct topo *t, const struct opt_set *set, const struct driver *driver,
		     unsigned *ret_device, GError **error)
{
	const char *name = NULL;

	if (!opt_get_string(set, "bus", &name, error))
		return false;
	if (!name && !t->bus_count)
		return opt_bad(set, error, "No 'SCSI' bus found for device '%s'", driver->name);
	if (name && !strcmp(name, "pcie.0"))
		return opt_bad(set, error, "Device '%s' can't go on PCIE bus", driver->name);
	for (unsigned i = 0; i < t->bus_count; i++) {
		if (!name || !strcmp(name, t->bus[i].name)) {
			*ret_device = t->bus[i].device;
			return true;
		}
	}
	return opt_bad(set, error, "Bus '%.100s' not found", name);
}

static const struct spec_disk *disk_at(const struct topo *t, unsigned device, unsigned target,
				       unsigned lun)
{
	for (unsigned i = 0; i < t->spec->disk_count; i++) {
		const struct spec_disk *disk = &t->spec->disk[i];

		if (disk->device == device && disk->unit.target == target && disk->unit.lun == lun)
			return disk;
	}
	return NULL;
}

static bool check_address(const struct opt_set *set, const struct prop_values *values,
			  GError **error)
{
	uint32_t target = values->num[PROP_SCSI_ID], lun = values->num[PROP_LUN];

	if (values->num[PROP_CHANNEL])
		return opt_bad(set, error, "bad scsi channel id: %d",
			       (int)values->num[PROP_CHANNEL]);
	if (target != UINT32_MAX && target >= TARGETS)
		return opt_bad(set, error, "bad scsi device id: %d", (int)target);
	if (target == HOST_ID)
		return opt_bad(set, error, "bad scsi device id: %d (it is the controller's own)",
			       HOST_ID);
	if (lun != UINT32_MAX && lun >= LUNS)
		return opt_bad(set, error, "bad scsi device lun: %d", (int)lun);
	return true;
}

/* QEMU's order: without scsi-id= the first target that has the LUN free, else the first LUN. */
static bool place(const struct topo *t, const struct opt_set *set, const struct prop_values *values,
		  struct spec_disk *disk, GError **error)
{
	uint32_t target = values->num[PROP_SCSI_ID], lun = values->num[PROP_LUN];
	const struct spec_disk *other;

	if (!check_address(set, values, error))
		return false;
	if (target == UINT32_MAX) {
		lun = lun == UINT32_MAX ? 0 : lun;
		for (target = 0; target < HOST_ID; target++)
			if (!disk_at(t, disk->device, target, lun))
				break;
		if (target == HOST_ID)
			return opt_bad(set, error, "no free target");
	} else if (lun == UINT32_MAX) {
		for (lun = 0; lun < LUNS; lun++)
			if (!disk_at(t, disk->device, target, lun))
				break;
		if (lun == LUNS)
			return opt_bad(set, error, "no free lun");
	}
	other = disk_at(t, disk->device, target, lun);
	if (other)
		return opt_bad(set, error, "lun already used by '%s'", other->unit.id);
	disk->unit.target = target;
	disk->unit.lun = lun;
	return true;
}

/* ---- Disks: what is behind them ---- */

static bool fail_in_use(const struct opt_set *set, const struct backend *backend, GError **error)
{
	if (!backend->is_node)
		return opt_bad(set, error, "Drive '%s' is already in use by another device",
			       backend->id);
	return opt_bad(set, error,
		       "Permission conflict on node '%s': it is already in use by another device",
		       backend->id);
}

/* The drive's node can be named as well as its id. */
static bool backend_is(const struct backend *backend, const char *name)
{
	const char *node = backend->is_node ? NULL : opt_get(backend->set, "node-name");

	return (backend->id && !strcmp(backend->id, name)) || (node && !strcmp(node, name));
}

static struct backend *find_backend(const struct topo *t, const struct opt_set *set,
				    const struct driver *driver, const char *name,
				    size_t *ret_index, GError **error)
{
	for (guint i = 0; i < t->in->backends->len; i++) {
		struct backend *backend = t->in->backends->pdata[i];

		if (!backend_is(backend, name))
			continue;
		if (backend->used) {
			fail_in_use(set, backend, error);
			return NULL;
		}
		*ret_index = i;
		return backend;
	}
	opt_bad(set, error, "Property '%s.drive' can't find value '%.100s'", driver->name, name);
	return NULL;
}

static bool graph_has(const struct plan_image *image, const char *node)
{
	for (guint i = 0; image->graph && i < image->graph->len; i++)
		if (!strcmp(opt_get(image->graph->pdata[i], "node-name"), node))
			return true;
	return false;
}

/*
 * A disk's own node cannot stand in the graph of another one.  Nodes below several disks can: the
 * image locks tell whether one of them would write.
 */
static bool check_shared(const struct topo *t, const struct opt_set *set,
			 const struct plan_image *image, GError **error)
{
	for (unsigned i = 0; image->node && i < t->spec->disk_count; i++) {
		const struct plan_image *other = &t->plan->image[i];
		const char *node = image->node;

		if (!other->node)
			continue;
		if (graph_has(image, other->node))
			node = other->node;
		else if (!graph_has(other, node))
			continue;
		return opt_bad(set, error, "Permission conflict on node '%s': it is already in use "
			       "by another device", node);
	}
	return true;
}

/* Fills the image of the next disk; *ret_backend is NULL for an empty CD-ROM drive. */
static bool attach(struct topo *t, const struct opt_set *set, const struct driver *driver,
		   const struct prop_values *values, struct backend **ret_backend, GError **error)
{
	struct plan_image *image = &t->plan->image[t->spec->disk_count];
	const char *name = values->str[PROP_DRIVE];
	struct backend *backend;
	size_t index;

	*ret_backend = NULL;
	if (!name || !*name) {
		if (driver->kind == DRIVER_SCSI_CD)
			return true;
		return opt_bad(set, error, "drive property not set");
	}
	backend = find_backend(t, set, driver, name, &index, error);
	if (!backend)
		return false;
	if (backend->empty && driver->kind != DRIVER_SCSI_CD)
		return opt_bad(set, error, "Device needs media, but drive is empty");
	if (backend->is_node) {
		if (!node_image((struct backend *const *)t->in->backends->pdata, index, image,
				error))
			return false;
	} else if (!backend->empty) {
		*image = backend->image;
		backend->image = (struct plan_image){ .fdset = -1 };
	}
	backend->used = true;
	*ret_backend = backend;
	return check_shared(t, set, image, error);
}

/* ---- Disks: what they are ---- */

static uint8_t on_error(uint64_t action, uint8_t deflt)
{
	static const uint8_t actions[] = {
		[PROP_ERROR_REPORT] = SCSI_ON_ERROR_REPORT,
		[PROP_ERROR_IGNORE] = SCSI_ON_ERROR_IGNORE,
		[PROP_ERROR_ENOSPC] = SCSI_ON_ERROR_ENOSPC,
		[PROP_ERROR_STOP] = SCSI_ON_ERROR_STOP,
	};

	return action == PROP_ERROR_AUTO ? deflt : actions[action];
}

/* --on-error, as the SCSI target has it; @stops: a held request stops the VM. */
static const struct {
	uint8_t write, read;		/* enum scsi_on_error */
	bool stops;
} defaults[] = {
	[PLAN_ON_ERROR_REPORT] = { SCSI_ON_ERROR_REPORT, SCSI_ON_ERROR_REPORT },
	[PLAN_ON_ERROR_HOLD] = { SCSI_ON_ERROR_STOP, SCSI_ON_ERROR_STOP },
	[PLAN_ON_ERROR_ENOSPC_HOLD] = { SCSI_ON_ERROR_ENOSPC, SCSI_ON_ERROR_REPORT },
	[PLAN_ON_ERROR_IGNORE] = { SCSI_ON_ERROR_IGNORE, SCSI_ON_ERROR_IGNORE },
	[PLAN_ON_ERROR_STOP] = { SCSI_ON_ERROR_STOP, SCSI_ON_ERROR_STOP, true },
};

/*
 * What the -device says, else the -drive, else --on-error.  QEMU's own words mean what they do in
 * QEMU where that is possible: stop and enospc stop the VM.
 */
static void set_on_error(const struct topo *t, struct scsi_unit_config *unit,
			 const struct prop_values *values, const struct backend *backend)
{
	uint8_t policy = t->plan->on_error;
	uint64_t write = values->num[PROP_WERROR], read = values->num[PROP_RERROR];
	bool known = t->plan->qmp;

	if (write == PROP_ERROR_AUTO && backend)
		write = backend->werror;
	if (read == PROP_ERROR_AUTO && backend)
		read = backend->rerror;
	unit->werror = on_error(write, defaults[policy].write);
	unit->rerror = on_error(read, defaults[policy].read);
	if (known && (write != PROP_ERROR_AUTO || defaults[policy].stops))
		unit->waits |= SCSI_HOLD_WRITE;
	if (known && (read != PROP_ERROR_AUTO || defaults[policy].stops))
		unit->waits |= SCSI_HOLD_READ;
}

static void copy_string(char *to, size_t size, const char *given, const char *deflt)
{
	g_strlcpy(to, given ? given : deflt, size);
}

/* The names as QEMU 7.2 gives them where the options are silent. */
static void set_names(struct scsi_unit_config *unit, const struct driver *driver,
		      const struct prop_values *values, const struct backend *backend)
{
	bool cd = driver->kind == DRIVER_SCSI_CD;
	const char *serial = values->str[PROP_SERIAL];
	const char *drive = backend && !backend->is_node && backend->id ? backend->id : "";

	copy_string(unit->vendor, sizeof(unit->vendor), values->str[PROP_VENDOR], "QEMU");
	copy_string(unit->product, sizeof(unit->product), values->str[PROP_PRODUCT],
		    cd ? "QEMU CD-ROM" : "QEMU HARDDISK");
	copy_string(unit->version, sizeof(unit->version), values->str[PROP_VER], "2.5+");
	copy_string(unit->serial, sizeof(unit->serial), serial, "");
	/* QEMU cuts a serial that stands in for the device id at 20 characters */
	if (!values->str[PROP_DEVICE_ID] && serial)
		g_strlcpy(unit->device_id, serial, MIN(sizeof(unit->device_id), 20 + 1));
	else
		copy_string(unit->device_id, sizeof(unit->device_id), values->str[PROP_DEVICE_ID],
			    drive);
}

static void set_numbers(struct scsi_unit_config *unit, const struct prop_values *values)
{
	unit->dpofua = values->num[PROP_DPOFUA];
	unit->scsi_version = values->num[PROP_SCSI_VERSION];
	unit->rotation_rate = values->num[PROP_ROTATION_RATE];
	unit->min_io_size = values->num[PROP_MIN_IO_SIZE];
	unit->opt_io_size = values->num[PROP_OPT_IO_SIZE];
	unit->discard_granularity = values->num[PROP_DISCARD_GRANULARITY];
	unit->max_unmap_size = values->num[PROP_MAX_UNMAP_SIZE];
	unit->max_io_size = values->num[PROP_MAX_IO_SIZE];
	unit->wwn = values->num[PROP_WWN];
	unit->port_wwn = values->num[PROP_PORT_WWN];
	unit->port_index = values->num[PROP_PORT_INDEX];
}

/* QEMU's checks of hw/block: in units of logical blocks. */
static bool set_blocks(const struct opt_set *set, struct scsi_unit_config *unit,
		       const struct prop_values *values, uint32_t deflt, GError **error)
{
	uint64_t logical = values->num[PROP_LOGICAL_BLOCK_SIZE];
	uint64_t physical = values->num[PROP_PHYSICAL_BLOCK_SIZE];
	uint64_t granularity = values->num[PROP_DISCARD_GRANULARITY];

	logical = logical ? logical : deflt;
	physical = physical ? physical : deflt;
	if (logical > physical)
		return opt_bad(set, error,
			       "logical_block_size > physical_block_size not supported");
	if (values->num[PROP_MIN_IO_SIZE] % logical)
		return opt_bad(set, error, "min_io_size must be a multiple of logical_block_size");
	/* the field of VPD page b0h is 16 bits wide */
	if (values->num[PROP_MIN_IO_SIZE] / logical > UINT16_MAX)
		return opt_bad(set, error, "min_io_size must not exceed %u logical blocks",
			       UINT16_MAX);
	if (values->num[PROP_OPT_IO_SIZE] % logical)
		return opt_bad(set, error, "opt_io_size must be a multiple of logical_block_size");
	if (granularity != UINT32_MAX && granularity % logical)
		return opt_bad(set, error,
			       "discard_granularity must be a multiple of logical_block_size");
	unit->logical_block_size = logical;
	unit->physical_block_size = physical;
	return true;
}

static void set_image(struct spec_disk *disk, const struct plan_image *image)
{
	disk->image.slot = -1;
	disk->image.kind = SPEC_IMAGE_NONE;
	if (!image->driver)
		return;
	disk->image.readonly = image->readonly;
	disk->image.direct = image->direct;
	disk->image.no_flush = image->no_flush;
	disk->image.discard = image->discard;
	disk->image.detect_zeroes = image->detect_zeroes;
	disk->image.kind = SPEC_IMAGE_RAW;
	if (image->native && !strcmp(image->protocol, "null-co")) {
		disk->image.kind = SPEC_IMAGE_NULL;
		disk->image.size = image->null_size;
		disk->image.latency_us = MIN(image->null_latency_ns / 1000 +
					     !!(image->null_latency_ns % 1000), UINT32_MAX);
		disk->image.read_zeroes = image->null_read_zeroes;
	}
}

static bool set_unit(const struct opt_set *set, struct spec_disk *disk, const struct driver *driver,
		     const struct prop_values *values, const struct backend *backend,
		     struct plan_image *image, GError **error)
{
	struct scsi_unit_config *unit = &disk->unit;
	bool cd = driver->kind == DRIVER_SCSI_CD;

	if (values->num[PROP_SCSI_VERSION] > UINT8_MAX)
		return opt_bad(set, error, "Parameter 'scsi_version' expects a value from 0 to %u",
			       UINT8_MAX);
	unit->type = cd ? SCSI_UNIT_CDROM : SCSI_UNIT_DISK;
	unit->removable = cd || values->num[PROP_REMOVABLE];
	unit->readonly = cd || image->readonly;
	set_names(unit, driver, values, backend);
	set_numbers(unit, values);
	unit->write_cache = values->num[PROP_WRITE_CACHE] == PROP_AUTO ?
			    !image->driver || image->writeback :
			    values->num[PROP_WRITE_CACHE] == PROP_ON;
	unit->discard = image->discard;
	image->share_rw = values->num[PROP_SHARE_RW];
	if (cd)
		image->readonly = true;
	set_image(disk, image);
	return set_blocks(set, unit, values, cd ? 2048 : 512, error);
}

/* For messages: the id, else the drive's, else the address. */
static void name_unit(const struct topo *t, struct spec_disk *disk, const struct backend *backend)
{
	if (!*disk->unit.id && backend && backend->id)
		g_strlcpy(disk->unit.id, backend->id, sizeof(disk->unit.id));
	if (!*disk->unit.id)
		g_snprintf(disk->unit.id, sizeof(disk->unit.id), "%s.0:%u:%u",
			   *t->spec->device[disk->device].id ? t->spec->device[disk->device].id :
			   "scsi", disk->unit.target, disk->unit.lun);
}

bool topo_add_disk(struct topo *t, const struct opt_set *set, const struct driver *driver,
		   const struct prop_values *values, GError **error)
{
	struct spec_disk disk = { 0 };
	struct backend *backend;
	unsigned device = 0;

	if (t->spec->disk_count == SPEC_MAX_DISKS)
		return opt_fail(set, error, MPQ_ERROR_REFUSED,
				"mpqemu-remote serves %u disks in one process at the most",
				SPEC_MAX_DISKS);
	if (!find_bus(t, set, driver, &device, error))
		return false;
	disk.device = device;
	if (!topo_read_id(t, set, disk.unit.id, sizeof(disk.unit.id), error) ||
	    !place(t, set, values, &disk, error) ||
	    !attach(t, set, driver, values, &backend, error) ||
	    !set_unit(set, &disk, driver, values, backend, &t->plan->image[t->spec->disk_count],
		      error))
		return false;
	set_on_error(t, &disk.unit, values, backend);
	name_unit(t, &disk, backend);
	t->spec->disk[t->spec->disk_count++] = disk;
	return true;
}
