/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_ORCHESTRATE_HOTPLUG_VM_H
#define APPLETS_ORCHESTRATE_HOTPLUG_VM_H

/*
 * What a running QEMU says of itself over QMP, and what of it keeps a remote device from being
 * plugged in.  Plain data; look.h asks for it.
 */

#include <stdbool.h>

#include "base/error.h"

struct json_t;

struct hotplug_bus {
	char *name;		/* "pci.0": what bus= names */
	bool takes;		/* devices while the VM runs */
	bool port;		/* one device, of slot 0 */
	unsigned devices;
};

struct hotplug_device {
	char *id;
	char *type;		/* "x-pci-proxy-dev" */
};

struct hotplug_ram {
	char *id;
	char *type;		/* "memory-backend-memfd"; NULL: it was not said */
	bool share;
	bool huge;		/* its pages have more than 4 KiB */
};

struct hotplug_vm {
	unsigned major, minor;	/* of QEMU */
	char *status;		/* "running" */
	bool kvm;
	unsigned cpus;
	bool has_proxy, has_vfio_user;
	bool confidential, virtio_mem, viommu;
	GArray *buses;		/* struct hotplug_bus */
	GArray *devices;	/* struct hotplug_device: those with an id */
	GArray *ram;		/* struct hotplug_ram */
};

/* Makes it empty. */
void hotplug_vm_init(struct hotplug_vm *vm);
/* Frees what was put into it. */
void hotplug_vm_finish(struct hotplug_vm *vm);

/* The device of this id, or NULL. */
const struct hotplug_device *hotplug_vm_find(const struct hotplug_vm *vm, const char *id);

/* Is it the client of a remote? */
bool hotplug_is_client(const char *type);

/*
 * Can @device, what device_add is to get, be plugged in?  Gives it a bus= if it has none.
 * MPQ_ERROR_REFUSED with the reason if not.
 */
bool hotplug_vm_check(const struct hotplug_vm *vm, struct json_t *device, GError **error);

#define HOTPLUG_WARNINGS 4
/* Warnings that go with it, up to a NULL; static texts. */
void hotplug_vm_warnings(const struct hotplug_vm *vm, const struct json_t *device,
			 const char *ret_lines[HOTPLUG_WARNINGS]);

#endif
