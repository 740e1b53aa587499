/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include <jansson.h>

#include "plan/opts-priv.h"

/*
 * Limits that no real option comes near.  They bound what a hostile argument costs: a key is
 * written out in full for each leaf below it.
 */
#define DEPTH_MAX 32
#define KEY_MAX 255

static bool all_digits(const char *text)
{
	return *text && !text[strspn(text, "0123456789")];
}

static void json_error_cleanup(json_t **json)
{
	json_decref(*json);
	*json = NULL;
}

#define auto_json __attribute__((cleanup(json_error_cleanup))) json_t *

/* ---- JSON to a list of keys ---- */

static bool flatten(struct opt_set *set, const char *key, json_t *json, int depth, GError **error);

static bool flatten_object(struct opt_set *set, const char *key, json_t *json, int depth,
			   GError **error)
{
	const char *name;
	json_t *value;

	json_object_foreach(json, name, value) {
		g_autofree char *path = *key ? g_strconcat(key, ".", name, NULL) : g_strdup(name);

		/* such a name could not be told from a path or an index when it is written back */
		if (!*name || all_digits(name) || strchr(name, '.') || strlen(path) > KEY_MAX)
			return opt_bad(set, error, "Parameter '%.*s' is unexpected", KEY_MAX, path);
		if (!flatten(set, path, value, depth + 1, error))
			return false;
	}
	if (!json_object_size(json) && *key)
		opt_append(set, g_strdup(key), g_strdup(""), OPT_EMPTY_OBJECT);
	return true;
}

static bool flatten_array(struct opt_set *set, const char *key, json_t *json, int depth,
			  GError **error)
{
	json_t *value;
	size_t i;

	json_array_foreach(json, i, value) {
		g_autofree char *path = g_strdup_printf("%s.%zu", key, i);

		if (!flatten(set, path, value, depth + 1, error))
			return false;
	}
	if (!json_array_size(json))
		opt_append(set, g_strdup(key), g_strdup(""), OPT_EMPTY_ARRAY);
	return true;
}

static char *number_text(const json_t *json)
{
	char buf[G_ASCII_DTOSTR_BUF_SIZE];

	if (json_is_integer(json))
		return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(json));
	/* like an integer it would come back as one: keep it a fraction */
	g_ascii_dtostr(buf, sizeof(buf), json_real_value(json));
	return strpbrk(buf, ".eE") ? g_strdup(buf) : g_strconcat(buf, ".0", NULL);
}

static bool flatten(struct opt_set *set, const char *key, json_t *json, int depth, GError **error)
{
	if (depth > DEPTH_MAX)
		return opt_bad(set, error, "Parameter '%s' is nested too deeply", key);
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return flatten_object(set, key, json, depth, error);
	case JSON_ARRAY:
		return flatten_array(set, key, json, depth, error);
	case JSON_STRING:
		opt_append(set, g_strdup(key), g_strdup(json_string_value(json)), OPT_STRING);
		return true;
	case JSON_INTEGER:
	case JSON_REAL:
		opt_append(set, g_strdup(key), number_text(json), OPT_NUMBER);
		return true;
	case JSON_TRUE:
	case JSON_FALSE:
		opt_append(set, g_strdup(key), g_strdup(json_is_true(json) ? "on" : "off"),
			   OPT_BOOL);
		return true;
	case JSON_NULL:
	default:
		opt_append(set, g_strdup(key), g_strdup(""), OPT_NULL);
		return true;
	}
}

bool opt_json_parse(struct opt_set *set, const char *text, GError **error)
{
	json_error_t fault;
	auto_json json = json_loads(text, JSON_REJECT_DUPLICATES, &fault);

	if (json)
		return flatten(set, "", json, 0, error);
	switch (json_error_code(&fault)) {
	case json_error_premature_end_of_input:
		return opt_bad(set, error, "JSON parse error, premature EOI");
	case json_error_duplicate_key:
		return opt_bad(set, error, "JSON parse error, duplicate key");
	case json_error_end_of_input_expected:
		return opt_bad(set, error, "Expecting at most one JSON value");
	default:
		return opt_bad(set, error, "JSON parse error, %s", fault.text);
	}
}

/* ---- A list of keys to JSON ---- */

static json_t *leaf(const struct opt *opt)
{
	switch ((enum opt_type)opt->type) {
	case OPT_NUMBER:
		return json_loads(opt->value, JSON_DECODE_ANY, NULL);
	case OPT_BOOL:
		return json_boolean(!strcmp(opt->value, "on"));
	case OPT_NULL:
		return json_null();
	case OPT_EMPTY_OBJECT:
		return json_object();
	case OPT_EMPTY_ARRAY:
		return json_array();
	case OPT_STRING:
	default:
		return json_string(opt->value);
	}
}

/* Finds or makes the object that holds the last name of the path; sets *ret_name to that name. */
static json_t *descend(json_t *root, char **name, char **ret_name)
{
	json_t *at = root;

	for (; name[1]; name++) {
		json_t *next = json_object_get(at, name[0]);

		if (!next) {
			next = json_object();
			if (json_object_set_new(at, name[0], next))
				return NULL;
		}
		if (!json_is_object(next))
			return NULL;
		at = next;
	}
	*ret_name = name[0];
	return at;
}

static bool insert(const struct opt_set *set, json_t *root, const struct opt *opt, GError **error)
{
	g_auto(GStrv) names = g_strsplit(opt->key, ".", DEPTH_MAX + 2);
	json_t *at, *old;
	char *name;

	if (!names[0])
		return opt_bad(set, error, "Invalid parameter ''");
	if (g_strv_length(names) > DEPTH_MAX)
		return opt_bad(set, error, "Parameter '%.*s' is nested too deeply", KEY_MAX,
			       opt->key);
	at = descend(root, names, &name);
	old = at ? json_object_get(at, name) : NULL;
	if (!at || (json_is_object(old) && json_object_size(old)))
		return opt_bad(set, error, "Parameters '%.*s.*' used inconsistently", KEY_MAX,
			       opt->key);
	if (json_object_set_new(at, name, leaf(opt)))
		return opt_bad(set, error, "Parameter '%.*s' cannot be JSON", KEY_MAX, opt->key);
	return true;
}

/* *ret_list: every name is a number.  Fails when only some are. */
static bool is_list(const struct opt_set *set, json_t *json, bool *ret_list, GError **error)
{
	size_t numbers = 0;
	const char *name;
	json_t *value;

	json_object_foreach(json, name, value)
		numbers += all_digits(name);
	*ret_list = numbers && numbers == json_object_size(json);
	if (numbers && !*ret_list)
		return opt_bad(set, error, "Parameters used inconsistently");
	return true;
}

/* Returns a new reference: @json with every object of numbers turned into an array, or NULL. */
static json_t *listify(const struct opt_set *set, json_t *json, GError **error)
{
	auto_json out = NULL;
	const char *name;
	json_t *value;
	bool list;

	if (!json_is_object(json))
		return json_incref(json);
	if (!is_list(set, json, &list, error))
		return NULL;
	out = list ? json_array() : json_object();
	json_object_foreach(json, name, value) {
		char index[32];
		json_t *done;

		if (list) {
			g_snprintf(index, sizeof(index), "%zu", json_array_size(out));
			value = json_object_get(json, index);
			if (!value) {
				opt_bad(set, error, "Parameter '%s' missing", index);
				return NULL;
			}
		}
		done = listify(set, value, error);
		if (!done)
			return NULL;
		if (list ? json_array_append_new(out, done) :
			   json_object_set_new(out, name, done)) {
			opt_bad(set, error, "Parameter '%s' cannot be JSON", name);
			return NULL;
		}
	}
	return g_steal_pointer(&out);
}

json_t *opt_set_to_json(const struct opt_set *set, GError **error)
{
	auto_json root = json_object();

	for (size_t i = 0; i < set->count; i++)
		if (!insert(set, root, &set->opt[i], error))
			return NULL;
	return listify(set, root, error);
}

char *opt_set_to_json_text(const struct opt_set *set, GError **error)
{
	auto_json json = opt_set_to_json(set, error);
	g_autofree char *text = NULL;

	if (!json)
		return NULL;
	text = json_dumps(json, JSON_COMPACT);
	if (!text)
		opt_bad(set, error, "cannot be written as JSON");
	return g_steal_pointer(&text);
}
