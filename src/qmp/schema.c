/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/schema.h"

#include <string.h>

#include "qmp/check.h"

/*
 * A type's name means nothing to clients but that it leads to its entry: builtin types have their
 * own, those of a command are named after it.
 */
#define EMPTY "empty"		/* an object without members */
#define ANY_OBJECT "any-object"	/* its members are not told */
#define ANY_ARRAY "[any]"

static const char *const builtin[QMP_TYPE_COUNT] = {
	[QMP_NOTHING] = EMPTY,
	[QMP_ANY] = "any",
	[QMP_STRING] = "str",
	[QMP_INT] = "int",
	[QMP_NUMBER] = "number",
	[QMP_BOOL] = "bool",
	[QMP_OBJECT] = ANY_OBJECT,
	[QMP_ARRAY] = ANY_ARRAY,
};

static json_t *entry(json_t *list, const char *name, const char *meta_type)
{
	json_t *info = json_object();

	json_object_set_new(info, "name", json_string(name));
	json_object_set_new(info, "meta-type", json_string(meta_type));
	json_array_append_new(list, info);
	return info;
}

static void set(json_t *info, const char *key, const char *value)
{
	json_object_set_new(info, key, json_string(value));
}

void qmp_schema_add_types(json_t *list)
{
	json_t *info;

	for (enum qmp_type type = QMP_ANY; type <= QMP_BOOL; type++) {
		info = entry(list, builtin[type], "builtin");
		set(info, "json-type", type == QMP_INT ? "int" : qmp_type_name(type));
	}
	info = entry(list, ANY_ARRAY, "array");
	set(info, "element-type", builtin[QMP_ANY]);
	json_object_set_new(entry(list, EMPTY, "object"), "members", json_array());
	json_object_set_new(entry(list, ANY_OBJECT, "object"), "members", json_array());
}

/* The type of an argument that takes only some words. */
static void add_enum(json_t *list, const char *name, const struct qmp_arg *arg)
{
	json_t *info = entry(list, name, "enum"), *values = json_array(), *members = json_array();

	for (const char *const *value = arg->values; *value; value++) {
		json_t *member = json_object();

		set(member, "name", *value);
		json_array_append_new(members, member);
		json_array_append_new(values, json_string(*value));
	}
	json_object_set_new(info, "members", members);
	json_object_set_new(info, "values", values);
}

static void add_member(json_t *list, json_t *members, const char *owner, const struct qmp_arg *arg)
{
	g_autofree char *own = arg->values ? g_strdup_printf("%s:%s", owner, arg->name) : NULL;
	json_t *member = json_object();

	if (own)
		add_enum(list, own, arg);
	set(member, "name", arg->name);
	set(member, "type", own ?: builtin[arg->type]);
	if (arg->optional)
		json_object_set_new(member, "default", json_null());
	json_array_append_new(members, member);
}

static void add_command(json_t *list, const struct qmp_command *command)
{
	g_autofree char *type = g_strdup_printf("%s:arguments", command->name);
	json_t *info = entry(list, command->name, "command"), *members;

	set(info, "arg-type", command->args ? type : EMPTY);
	set(info, "ret-type", builtin[command->returns]);
	json_object_set_new(info, "allow-oob", json_false());
	if (!command->args)
		return;
	members = json_array();
	json_object_set_new(entry(list, type, "object"), "members", members);
	for (const struct qmp_arg *arg = command->args; arg->name; arg++)
		add_member(list, members, command->name, arg);
}

void qmp_schema_add(json_t *list, const struct qmp_command *commands, const char *const *events)
{
	for (; commands->name; commands++)
		if (!(commands->flags & QMP_UNLISTED))
			add_command(list, commands);
	for (; events && *events; events++)
		set(entry(list, *events, "event"), "arg-type", ANY_OBJECT);
}
