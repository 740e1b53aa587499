/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/hotplug/look.h"

#include <string.h>

#include <jansson.h>

#include "applets/orchestrate/hotplug/link.h"
#include "base/log.h"
#include "qmp/client.h"

/* QEMU has a few devices, and each is a question or two: whoever has more is no QEMU. */
#define MAX_QUESTIONS 4096

struct question;

/* One kind of question; QEMU's docs/interop: qapi/qom.json, qapi/machine.json and their like. */
struct kind {
	const char *command;
	void (*took)(struct hotplug_look *look, const struct question *question,
		     const json_t *value);
	bool optional;			/* an error says that there is no such thing */
};

struct question {
	const struct kind *kind;
	char *path, *property;		/* of QOM, or a type; owned; NULL: none */
	unsigned index;			/* of the bus or RAM that it is about */
};

struct hotplug_look {
	struct hotplug_link *link;
	int limit_ms;
	hotplug_done_fn *done;
	void *opaque;
	struct hotplug_vm vm;
	GQueue questions;		/* struct question * */
	struct question *open;		/* that waits for its answer */
	unsigned asked;
};

static void question_free(void *p)
{
	struct question *question = p;

	if (!question)
		return;
	g_free(question->path);
	g_free(question->property);
	g_free(question);
}

static void add(struct hotplug_look *look, const struct kind *kind, char *path,
		const char *property, unsigned index)
{
	struct question *question = g_new0(struct question, 1);

	question->kind = kind;
	question->path = path;
	question->property = g_strdup(property);
	question->index = index;
	g_queue_push_tail(&look->questions, question);
}

static const char *text_of(const json_t *value, const char *key)
{
	return json_string_value(json_object_get(value, key)) ?: "";
}

/* "child<TYPE>": TYPE; the caller frees.  NULL: it is something else. */
static char *child_type(const json_t *property)
{
	const char *type = text_of(property, "type");
	size_t len = strlen(type);

	if (!g_str_has_prefix(type, "child<") || type[len - 1] != '>')
		return NULL;
	return g_strndup(type + 6, len - 7);
}

/* ---- The VM ---- */

static void took_version(struct hotplug_look *look, const struct question *question,
			 const json_t *value)
{
	const json_t *qemu = json_object_get(value, "qemu");

	look->vm.major = json_integer_value(json_object_get(qemu, "major"));
	look->vm.minor = json_integer_value(json_object_get(qemu, "minor"));
}

static void took_status(struct hotplug_look *look, const struct question *question,
			const json_t *value)
{
	look->vm.status = g_strdup(text_of(value, "status"));
}

static void took_kvm(struct hotplug_look *look, const struct question *question,
		     const json_t *value)
{
	look->vm.kvm = json_is_true(json_object_get(value, "enabled"));
}

static void took_cpus(struct hotplug_look *look, const struct question *question,
		      const json_t *value)
{
	look->vm.cpus = json_array_size(value);
}

/*
 * Whether QEMU has the client of a protocol.  Not by qom-list-types, for which QEMU loads all its
 * modules: when its package was upgraded under it, it aborts at the first that is another build's.
 */
static void took_proxy(struct hotplug_look *look, const struct question *question,
		       const json_t *value)
{
	look->vm.has_proxy = true;
}

static void took_vfio_user(struct hotplug_look *look, const struct question *question,
			   const json_t *value)
{
	look->vm.has_vfio_user = true;
}

/* ---- RAM ---- */

static void took_memdevs(struct hotplug_look *look, const struct question *question,
			 const json_t *value)
{
	const json_t *memdev;
	size_t i;

	json_array_foreach(value, i, memdev) {
		const struct hotplug_ram ram = {
			.id = g_strdup(text_of(memdev, "id")),
			.share = json_is_true(json_object_get(memdev, "share")),
		};

		g_array_append_val(look->vm.ram, ram);
	}
}

static void took_hugetlb(struct hotplug_look *look, const struct question *question,
			 const json_t *value)
{
	g_array_index(look->vm.ram, struct hotplug_ram, question->index).huge =
		json_is_true(value);
}

static const struct kind hugetlb = { "qom-get", took_hugetlb, true };

static void take_ram_type(struct hotplug_look *look, const char *id, const char *type)
{
	for (unsigned i = 0; i < look->vm.ram->len; i++) {
		struct hotplug_ram *ram = &g_array_index(look->vm.ram, struct hotplug_ram, i);

		if (strcmp(ram->id, id) || ram->type)
			continue;
		ram->type = g_strdup(type);
		if (!strcmp(type, "memory-backend-memfd"))
			add(look, &hugetlb, g_strconcat("/objects/", id, NULL), "hugetlb", i);
	}
}

static void took_objects(struct hotplug_look *look, const struct question *question,
			 const json_t *value)
{
	static const char *const confidential[] = {
		"sev-guest", "sev-snp-guest", "tdx-guest", "pef-guest", "s390-pv-guest", NULL
	};
	const json_t *object;
	size_t i;

	json_array_foreach(value, i, object) {
		g_autofree char *type = child_type(object);

		if (!type)
			continue;
		look->vm.confidential |= g_strv_contains(confidential, type);
		take_ram_type(look, text_of(object, "name"), type);
	}
}

static void took_memory_devices(struct hotplug_look *look, const struct question *question,
				const json_t *value)
{
	const json_t *device;
	size_t i;

	json_array_foreach(value, i, device)
		look->vm.virtio_mem |= !strcmp(text_of(device, "type"), "virtio-mem");
}

/* ---- Buses ---- */

static void took_handler(struct hotplug_look *look, const struct question *question,
			 const json_t *value)
{
	const char *handler = json_string_value(value);

	g_array_index(look->vm.buses, struct hotplug_bus, question->index).takes =
		handler && *handler;
}

/* A bus names its devices "child[N]". */
static void took_bus(struct hotplug_look *look, const struct question *question,
		     const json_t *value)
{
	const json_t *property;
	size_t i;

	json_array_foreach(value, i, property)
		if (g_str_has_prefix(text_of(property, "name"), "child["))
			g_array_index(look->vm.buses, struct hotplug_bus,
				      question->index).devices++;
}

static const struct kind bus_handler = { "qom-get", took_handler, true };
static const struct kind bus_devices = { "qom-list", took_bus, true };

static bool has_property(const json_t *properties, const char *name)
{
	const json_t *property;
	size_t i;

	json_array_foreach(properties, i, property)
		if (!strcmp(text_of(property, "name"), name))
			return true;
	return false;
}

static void add_bus(struct hotplug_look *look, const char *owner, const char *name, bool port)
{
	const struct hotplug_bus bus = { .name = g_strdup(name), .port = port };
	unsigned index = look->vm.buses->len;

	g_array_append_val(look->vm.buses, bus);
	add(look, &bus_handler, g_strdup_printf("%s/%s", owner, name), "hotplug-handler", index);
	add(look, &bus_devices, g_strdup_printf("%s/%s", owner, name), NULL, index);
}

/* What is in the device of that path: is a PCI bus among it? */
static void took_device(struct hotplug_look *look, const struct question *question,
			const json_t *value)
{
	static const char *const buses[] = {
		"PCI", "PCIE", "CXL", "pxb-bus", "pxb-pcie-bus", "pxb-cxl-bus", NULL
	};
	/* Slots of PCI Express have both. */
	bool port = has_property(value, "slot") && has_property(value, "chassis");
	const json_t *property;
	size_t i;

	json_array_foreach(value, i, property) {
		g_autofree char *type = child_type(property);

		if (type && g_strv_contains(buses, type))
			add_bus(look, question->path, text_of(property, "name"), port);
	}
}

static const struct kind device_parts = { "qom-list", took_device, true };

static void look_into(struct hotplug_look *look, const char *place, const char *name)
{
	add(look, &device_parts, g_strdup_printf("%s/%s", place, name), NULL, 0);
}

static void took_devices(struct hotplug_look *look, const struct question *question,
			 const json_t *value)
{
	static const char *const viommus[] = {
		"intel-iommu", "amd-iommu", "virtio-iommu-pci", "virtio-iommu", NULL
	};
	bool named = !strcmp(question->path, "/machine/peripheral");
	const json_t *property;
	size_t i;

	json_array_foreach(value, i, property) {
		g_autofree char *type = child_type(property);
		const char *name = text_of(property, "name");
		struct hotplug_device device;

		if (!type)
			continue;
		look->vm.viommu |= g_strv_contains(viommus, type);
		if (!hotplug_is_client(type))
			look_into(look, question->path, name);
		if (!named)
			continue;
		device = (struct hotplug_device){ g_strdup(name), g_steal_pointer(&type) };
		g_array_append_val(look->vm.devices, device);
	}
}

/* The machine's own: host bridges are here, beside parts that have no bus. */
static void took_machine(struct hotplug_look *look, const struct question *question,
			 const json_t *value)
{
	static const char *const none[] = { "container", "memory-region", "irq", NULL };
	const json_t *property;
	size_t i;

	json_array_foreach(value, i, property) {
		g_autofree char *type = child_type(property);

		if (type && !g_strv_contains(none, type))
			look_into(look, question->path, text_of(property, "name"));
	}
}

/* ---- One after the other ---- */

/* What each look begins with. */
static const struct {
	struct kind kind;
	const char *path;
} first[] = {
	{ { "query-version", took_version, false }, NULL },
	{ { "query-status", took_status, false }, NULL },
	{ { "query-kvm", took_kvm, true }, NULL },
	{ { "query-cpus-fast", took_cpus, true }, NULL },
	{ { "device-list-properties", took_proxy, true }, "x-pci-proxy-dev" },
	{ { "device-list-properties", took_vfio_user, true }, "vfio-user-pci" },
	{ { "query-memdev", took_memdevs, false }, NULL },
	{ { "qom-list", took_objects, false }, "/objects" },
	{ { "query-memory-devices", took_memory_devices, true }, NULL },
	{ { "qom-list", took_machine, false }, "/machine" },
	{ { "qom-list", took_devices, false }, "/machine/peripheral" },
	{ { "qom-list", took_devices, false }, "/machine/peripheral-anon" },
};

static json_t *question_args(const struct question *question)
{
	if (!question->path)
		return NULL;
	if (!strcmp(question->kind->command, "device-list-properties"))
		return json_pack("{s:s}", "typename", question->path);
	if (!question->property)
		return json_pack("{s:s}", "path", question->path);
	return json_pack("{s:s, s:s}", "path", question->path, "property", question->property);
}

static void ask_next(struct hotplug_look *look);

static void finish(struct hotplug_look *look, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void finish(struct hotplug_look *look, const char *fmt, ...)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	mpq_fail(&error, MPQ_ERROR_SYSTEM, "%s", text);
	look->done(look->opaque, error);
}

static void answered(void *opaque, const json_t *value, const struct qmp_failure *failure)
{
	struct hotplug_look *look = opaque;
	struct question *question = g_steal_pointer(&look->open);

	if (failure && (!failure->class || !question->kind->optional)) {
		finish(look, "%s%s%s", failure->class ? question->kind->command : "",
		       failure->class ? ": " : "", failure->desc);
		question_free(question);
		return;
	}
	if (!failure)
		question->kind->took(look, question, value);
	question_free(question);
	ask_next(look);
}

static void ask_next(struct hotplug_look *look)
{
	int ret;

	look->open = g_queue_pop_head(&look->questions);
	if (!look->open) {
		look->done(look->opaque, NULL);
		return;
	}
	if (++look->asked > MAX_QUESTIONS) {
		finish(look, "there is no end of its devices: it is no QEMU");
		return;
	}
	ret = hotplug_link_execute(look->link, look->open->kind->command,
				 question_args(look->open), -1, look->limit_ms, answered, look);
	if (ret)
		finish(look, "%s: %s", look->open->kind->command, log_errname(ret));
}

struct hotplug_look *hotplug_look_create(struct hotplug_link *link, int limit_ms,
					 hotplug_done_fn *done, void *opaque)
{
	struct hotplug_look *look = g_new0(struct hotplug_look, 1);

	look->link = link;
	look->limit_ms = limit_ms;
	look->done = done;
	look->opaque = opaque;
	hotplug_vm_init(&look->vm);
	g_queue_init(&look->questions);
	for (unsigned i = 0; i < G_N_ELEMENTS(first); i++)
		add(look, &first[i].kind, g_strdup(first[i].path), NULL, 0);
	return look;
}

void hotplug_look_start(struct hotplug_look *look)
{
	ask_next(look);
}

void hotplug_look_destroy(struct hotplug_look *look)
{
	if (!look)
		return;
	question_free(look->open);
	g_queue_clear_full(&look->questions, question_free);
	hotplug_vm_finish(&look->vm);
	g_free(look);
}

const struct hotplug_vm *hotplug_look_vm(const struct hotplug_look *look)
{
	return &look->vm;
}
