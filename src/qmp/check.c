/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/check.h"

#include <string.h>

static const struct {
	const char *name;
	unsigned json;			/* bits: 1 << json_typeof() */
} types[QMP_TYPE_COUNT] = {
	[QMP_NOTHING] = { "null", 0 },
	[QMP_ANY] = { "value", ~0u },
	[QMP_STRING] = { "string", 1 << JSON_STRING },
	[QMP_INT] = { "integer", 1 << JSON_INTEGER },
	[QMP_NUMBER] = { "number", 1 << JSON_INTEGER | 1 << JSON_REAL },
	[QMP_BOOL] = { "boolean", 1 << JSON_TRUE | 1 << JSON_FALSE },
	[QMP_OBJECT] = { "object", 1 << JSON_OBJECT },
	[QMP_ARRAY] = { "array", 1 << JSON_ARRAY },
};

const char *qmp_type_name(enum qmp_type type)
{
	return types[type].name;
}

char *qmp_check_text(const json_t *text)
{
	static const char *const members[] = { "execute", "arguments", "id", "exec-oob", NULL };
	const json_t *execute = json_object_get(text, "execute") ?:
				json_object_get(text, "exec-oob");
	const json_t *args = json_object_get(text, "arguments"), *value;
	const char *key;

	if (!json_is_object(text))
		return g_strdup("QMP input must be a JSON object");
	json_object_foreach((json_t *)(uintptr_t)text, key, value)
		if (!g_strv_contains(members, key))
			return g_strdup_printf("QMP input member '%s' is unexpected", key);
	if (!execute)
		return g_strdup("QMP input lacks member 'execute'");
	if (!json_is_string(execute))
		return g_strdup("QMP input member 'execute' must be a string");
	if (args && !json_is_object(args))
		return g_strdup("QMP input member 'arguments' must be an object");
	return NULL;
}

static char *check_value(const struct qmp_arg *arg, const json_t *value)
{
	if (!value)
		return arg->optional ? NULL : g_strdup_printf("Parameter '%s' is missing",
							      arg->name);
	if (!(types[arg->type].json >> json_typeof(value) & 1))
		return g_strdup_printf("Invalid parameter type for '%s', expected: %s", arg->name,
				       qmp_type_name(arg->type));
	if (arg->values && !g_strv_contains(arg->values, json_string_value(value)))
		return g_strdup_printf("Parameter '%s' does not accept value '%s'", arg->name,
				       json_string_value(value));
	return NULL;
}

static bool is_known(const struct qmp_arg *arg, const char *name)
{
	for (; arg && arg->name; arg++)
		if (!strcmp(arg->name, name))
			return true;
	return false;
}

char *qmp_check_args(const struct qmp_command *command, const json_t *args)
{
	const json_t *value;
	const char *key;

	for (const struct qmp_arg *arg = command->args; arg && arg->name; arg++) {
		char *wrong = check_value(arg, json_object_get(args, arg->name));

		if (wrong)
			return wrong;
	}
	if (command->flags & QMP_MORE_ARGS)
		return NULL;
	json_object_foreach((json_t *)(uintptr_t)args, key, value)
		if (!is_known(command->args, key))
			return g_strdup_printf("Parameter '%s' is unexpected", key);
	return NULL;
}
