/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/hotplug/vm.h"

#include <string.h>

#include <jansson.h>

/*
 * Memory regions: mpqemu carries 8, and while firmware runs there is one more than there are
 * backends.
 */
#define MAX_BACKENDS 7

/* From this version on QEMU crashes by itself when x-pci-proxy-dev is realized without KVM. */
#define FIRST_CRASHING_MAJOR 10

static void bus_clear(void *p)
{
	g_free(((struct hotplug_bus *)p)->name);
}

static void device_clear(void *p)
{
	struct hotplug_device *device = p;

	g_free(device->id);
	g_free(device->type);
}

static void ram_clear(void *p)
{
	struct hotplug_ram *ram = p;

	g_free(ram->id);
	g_free(ram->type);
}

static GArray *array_new(unsigned size, GDestroyNotify clear)
{
	GArray *array = g_array_new(false, true, size);

	g_array_set_clear_func(array, clear);
	return array;
}

void hotplug_vm_init(struct hotplug_vm *vm)
{
	*vm = (struct hotplug_vm){
		.buses = array_new(sizeof(struct hotplug_bus), bus_clear),
		.devices = array_new(sizeof(struct hotplug_device), device_clear),
		.ram = array_new(sizeof(struct hotplug_ram), ram_clear),
	};
}

void hotplug_vm_finish(struct hotplug_vm *vm)
{
	g_free(vm->status);
	g_array_unref(vm->buses);
	g_array_unref(vm->devices);
	g_array_unref(vm->ram);
}

const struct hotplug_device *hotplug_vm_find(const struct hotplug_vm *vm, const char *id)
{
	for (unsigned i = 0; i < vm->devices->len; i++) {
		const struct hotplug_device *device =
			&g_array_index(vm->devices, struct hotplug_device, i);

		if (!strcmp(device->id, id))
			return device;
	}
	return NULL;
}

bool hotplug_is_client(const char *type)
{
	return !strcmp(type, "x-pci-proxy-dev") || !strcmp(type, "vfio-user-pci");
}

static const char *text_of(const json_t *device, const char *key)
{
	return json_string_value(json_object_get(device, key));
}

static bool is_vfio_user(const json_t *device)
{
	return !g_strcmp0(text_of(device, "driver"), "vfio-user-pci");
}

static bool refuse(GError **error, const char *why)
{
	return mpq_fail(error, MPQ_ERROR_REFUSED, "%s", why);
}

/* ---- The VM as a whole ---- */

static bool check_status(const struct hotplug_vm *vm, const json_t *device, GError **error)
{
	static const char *const moving[] = {
		"inmigrate", "finish-migrate", "postmigrate", "colo", NULL
	};

	if (vm->status && g_strv_contains(moving, vm->status))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "the VM is being migrated (%s)",
				vm->status);
	if (!g_strcmp0(vm->status, "shutdown"))
		return refuse(error, "the guest has shut down");
	return true;
}

static bool check_accel(const struct hotplug_vm *vm, const json_t *device, GError **error)
{
	if (is_vfio_user(device) || vm->kvm || vm->major < FIRST_CRASHING_MAJOR)
		return true;
	return mpq_fail(error, MPQ_ERROR_REFUSED, "QEMU %u.%u crashes by itself with "
			"x-pci-proxy-dev without KVM", vm->major, vm->minor);
}

static bool check_guest(const struct hotplug_vm *vm, const json_t *device, GError **error)
{
	if (vm->confidential)
		return refuse(error, "a confidential guest's RAM cannot be shared with a remote");
	if (vm->virtio_mem)
		return refuse(error, "RAM of virtio-mem comes and goes block by block, which a "
			      "remote is not told");
	if (vm->viommu && !is_vfio_user(device))
		return refuse(error, "the VM has a vIOMMU, which a remote device's DMA does not "
			      "pass: it would go to wrong addresses");
	return true;
}

static bool check_id(const struct hotplug_vm *vm, const json_t *device, GError **error)
{
	const char *id = text_of(device, "id");
	const struct hotplug_device *other = hotplug_vm_find(vm, id);

	if (other)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "id=%s: the VM has a device of this id "
				"already (%s)", id, other->type);
	return true;
}

/* ---- RAM ---- */

static bool check_shared(const struct hotplug_ram *ram, GError **error)
{
	if (ram->share)
		return true;
	return mpq_fail(error, MPQ_ERROR_REFUSED, "RAM '%s' (%s) is not shared (query-memdev), and "
			"that cannot be changed while the VM runs; -object memory-backend-memfd,"
			"id=mem,size=...,share=on and -machine memory-backend=mem make RAM that a "
			"remote can reach", ram->id, ram->type ?: "of an unknown kind");
}

static bool check_backend(const struct hotplug_ram *ram, bool vfio_user, GError **error)
{
	static const char *const shared[] = {
		"memory-backend-memfd", "memory-backend-file", "memory-backend-shm", NULL
	};
	const char *type = ram->type ?: "";

	if (!check_shared(ram, error))
		return false;
	if (vfio_user && g_strv_contains(shared, type))
		return true;
	if (strcmp(type, "memory-backend-memfd"))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "RAM '%s' is of %s; "
				"memory-backend-memfd is what a remote can share", ram->id,
				ram->type ?: "an unknown kind");
	/* The client of vfio-user passes maps on, whatever their pages are. */
	if (ram->huge && !vfio_user)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "RAM '%s' has pages of more than 4 KiB "
				"(hugetlb=on), which makes QEMU abort with x-pci-proxy-dev",
				ram->id);
	return true;
}

static bool check_ram(const struct hotplug_vm *vm, const json_t *device, GError **error)
{
	bool vfio_user = is_vfio_user(device);

	if (!vm->ram->len)
		return refuse(error, "QEMU names no RAM (query-memdev)");
	if (vm->ram->len > MAX_BACKENDS && !vfio_user)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "the VM has %u memory backends; a remote "
				"can take %u", vm->ram->len, MAX_BACKENDS);
	for (unsigned i = 0; i < vm->ram->len; i++)
		if (!check_backend(&g_array_index(vm->ram, struct hotplug_ram, i), vfio_user,
				   error))
			return false;
	return true;
}

/* ---- The bus ---- */

#define HOW_TO_HAVE_ONE \
	"QEMU plugs devices into pci.0 of a 'pc' machine, and on q35 into a pcie-root-port or a " \
	"bridge that it was started with (-device pcie-root-port,id=port0,chassis=1), then " \
	"bus=port0"

static bool is_free(const struct hotplug_bus *bus)
{
	return bus->takes && (!bus->port || !bus->devices);
}

/* "pci.0, rp1": the caller frees. */
static char *bus_names(const struct hotplug_vm *vm)
{
	GString *text = g_string_new(NULL);

	for (unsigned i = 0; i < vm->buses->len; i++)
		g_string_append_printf(text, "%s%s", i ? ", " : "",
				       g_array_index(vm->buses, struct hotplug_bus, i).name);
	return g_string_free(text, false);
}

static bool check_named_bus(const struct hotplug_vm *vm, const char *name, GError **error)
{
	g_autofree char *names = bus_names(vm);

	for (unsigned i = 0; i < vm->buses->len; i++) {
		const struct hotplug_bus *bus = &g_array_index(vm->buses, struct hotplug_bus, i);

		if (strcmp(bus->name, name))
			continue;
		if (!bus->takes)
			return mpq_fail(error, MPQ_ERROR_REFUSED, "bus=%s: it takes no device "
					"while the VM runs; " HOW_TO_HAVE_ONE, name);
		if (bus->port && bus->devices)
			return mpq_fail(error, MPQ_ERROR_REFUSED, "bus=%s: this port has its "
					"device already", name);
		return true;
	}
	return mpq_fail(error, MPQ_ERROR_REFUSED, "bus=%s: the VM has no PCI bus of this name; it "
			"has %s", name, *names ? names : "none");
}

static bool check_bus(const struct hotplug_vm *vm, json_t *device, GError **error)
{
	const char *name = text_of(device, "bus");
	g_autofree char *names = bus_names(vm);

	if (name)
		return check_named_bus(vm, name, error);
	for (unsigned i = 0; i < vm->buses->len; i++) {
		const struct hotplug_bus *bus = &g_array_index(vm->buses, struct hotplug_bus, i);

		if (!is_free(bus))
			continue;
		json_object_set_new(device, "bus", json_string(bus->name));
		return true;
	}
	return mpq_fail(error, MPQ_ERROR_REFUSED, "no PCI bus of the VM takes a device while it "
			"runs (it has %s); " HOW_TO_HAVE_ONE, *names ? names : "none");
}

/* ---- The whole ---- */

bool hotplug_vm_check(const struct hotplug_vm *vm, json_t *device, GError **error)
{
	static bool (*const checks[])(const struct hotplug_vm *vm, const json_t *device,
				      GError **error) = {
		check_status, check_accel, check_guest, check_id, check_ram,
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(checks); i++)
		if (!checks[i](vm, device, error))
			return false;
	return check_bus(vm, device, error);
}

void hotplug_vm_warnings(const struct hotplug_vm *vm, const json_t *device,
			 const char *ret_lines[HOTPLUG_WARNINGS])
{
	bool vfio_user = is_vfio_user(device);
	unsigned count = 0;

	if (!vfio_user && !vm->kvm)
		ret_lines[count++] = "under TCG QEMU delivers no interrupts from a remote device: "
			"a Linux guest needs 'irqpoll noapictimer nohz=off' on its kernel command "
			"line; with KVM all is well";
	if (!vfio_user && vm->cpus > 1)
		ret_lines[count++] = "the VM has more than one vCPU: QEMU can deadlock in "
			"x-pci-proxy-dev then, or drop accesses of a second vCPU; one vCPU is "
			"safe, and so is vfio-user (QEMU 10.1 or later)";
	if (vfio_user)
		ret_lines[count++] = "do not migrate the VM, nor save or load snapshots of its "
			"memory, while it has the device: over vfio-user QEMU does not block that, "
			"and the state of the device would be lost";
	ret_lines[count] = NULL;
}
