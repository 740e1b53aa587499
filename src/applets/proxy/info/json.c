/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib.h>
#include <jansson.h>

#include "applets/proxy/info/info.h"

/* A name of the command line may be any bytes; JSON takes UTF-8 only. */
static json_t *text_of(const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);

	return json_string(valid);
}

static json_t *hex(unsigned digits, uint32_t value)
{
	return json_sprintf("0x%0*x", (int)digits, value);
}

static json_t *bars(const struct facts *f)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
		const struct client_bar *bar = &f->bar[i];

		if (bar->present)
			json_array_append_new(list, json_pack(
				"{s:i, s:s, s:I, s:b, s:b}", "bar", (int)i,
				"space", bar->io ? "io" : "memory", "size", (json_int_t)bar->size,
				"64-bit", bar->is_64bit, "prefetchable", bar->prefetchable));
	}
	return list;
}

static json_t *capabilities(const struct facts *f)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < f->cap_count; i++)
		json_array_append_new(list, json_pack(
			"{s:i, s:o, s:s?}", "offset", f->cap[i].at, "id", hex(2, f->cap[i].id),
			"name", f->cap[i].name));
	return list;
}

static json_t *protocol(const struct session *session)
{
	enum client_protocol which = session->remote.device[session->index].protocol;
	const struct client *client = &session->client;

	if (which != CLIENT_VFIO_USER)
		return json_pack("{s:s}", "name", client_protocol_name(which));
	return json_pack("{s:s, s:i, s:i, s:I, s:i, s:i, s:b}",
			 "name", client_protocol_name(which), "major", 0, "minor", client->minor,
			 "max-data", (json_int_t)client->limits.max_data,
			 "max-fds", client->limits.max_fds, "max-dma-maps", client->limits.max_maps,
			 "write-multiple", client->limits.write_multiple);
}

json_t *info_json(const struct session *session, const struct facts *f)
{
	g_autofree char *modalias = facts_modalias(f);
	json_t *object = json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o}", "id", text_of(session_name(session)),
		"vendor", hex(4, f->vendor), "device", hex(4, f->device),
		"subsystem-vendor", hex(4, f->subsystem_vendor), "subsystem", hex(4, f->subsystem),
		"class", hex(6, f->class_code), "class-name", facts_class_name(f),
		"revision", hex(2, f->revision));
	json_t *rest = json_pack(
		"{s:o, s:o, s:I, s:{s:i, s:i, s:i}, s:o, s:I, s:s, s:s?, s:o}",
		"interrupt-pin", f->pin ? json_sprintf("INT%c", 'A' + f->pin - 1) : json_null(),
		"bars", bars(f), "rom-size", (json_int_t)f->rom, "vectors",
		"intx", f->vectors[VFU_IRQ_INTX], "msi", f->vectors[VFU_IRQ_MSI],
		"msi-x", f->vectors[VFU_IRQ_MSIX], "capabilities", capabilities(f),
		"config-size", (json_int_t)f->config, "modalias", modalias,
		"linux-driver", facts_linux_driver(f), "protocol", protocol(session));

	json_object_update(object, rest);
	json_decref(rest);
	return object;
}
