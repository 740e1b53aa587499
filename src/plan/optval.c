/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plan/opts.h"

/* Values of options, read as QEMU 7.2 reads them, with its messages. */

/* Is the value of the JSON type that QEMU wants?  Text forms have no types. */
static bool type_is(const struct opt_set *set, const struct opt *opt, enum opt_type type)
{
	return !set->json || opt->type == type;
}

bool opt_get_string(const struct opt_set *set, const char *key, const char **ret, GError **error)
{
	const struct opt *opt = opt_find(set, key);

	if (!opt)
		return true;
	if (!type_is(set, opt, OPT_STRING))
		return opt_bad(set, error, "Invalid parameter type for '%s', expected: string",
			       key);
	*ret = opt->value;
	return true;
}

bool opt_get_bool(const struct opt_set *set, const char *key, bool *ret, GError **error)
{
	static const struct {
		const char *text;
		bool value;
	} words[] = {
		{ "on", true }, { "yes", true }, { "true", true }, { "y", true },
		{ "off", false }, { "no", false }, { "false", false }, { "n", false },
	};
	const struct opt *opt = opt_find(set, key);

	if (!opt)
		return true;
	if (!type_is(set, opt, OPT_BOOL))
		return opt_bad(set, error, "Invalid parameter type for '%s', expected: boolean",
			       key);
	for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
		if (!strcmp(opt->value, words[i].text)) {
			*ret = words[i].value;
			return true;
		}
	}
	return opt_bad(set, error, "Parameter '%s' expects 'on' or 'off'", key);
}

/*
 * The whole of @text as a number, strtoull's rules with base 0; a negative one wraps, as in QEMU.
 * Returns 0, -EINVAL or -ERANGE.
 */
static int parse_u64(const char *text, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (end == text || *end)
		return -EINVAL;
	if (errno)
		return -ERANGE;
	*ret = value;
	return 0;
}

static int parse_i64(const char *text, int64_t *ret)
{
	long long value;
	char *end;

	errno = 0;
	value = strtoll(text, &end, 0);
	if (end == text || *end)
		return -EINVAL;
	if (errno)
		return -ERANGE;
	*ret = value;
	return 0;
}

static bool fail_number(const struct opt_set *set, const char *key, const char *sign, unsigned bits,
			int err, GError **error)
{
	if (set->json)
		return opt_bad(set, error, "Parameter '%s' expects %sint64", key, sign);
	if (err)
		return opt_bad(set, error, "Parameter '%s' expects integer", key);
	return opt_bad(set, error, "Parameter '%s' expects %sint%u_t", key, sign, bits);
}

bool opt_get_uint(const struct opt_set *set, const char *key, unsigned bits, uint64_t *ret,
		  GError **error)
{
	const struct opt *opt = opt_find(set, key);
	uint64_t value = 0;
	int err;

	if (!opt)
		return true;
	err = type_is(set, opt, OPT_NUMBER) ? parse_u64(opt->value, &value) : -EINVAL;
	if (err)
		return fail_number(set, key, "u", bits, err, error);
	if (bits < 64 && value >> bits)
		return opt_bad(set, error, "Parameter '%s' expects uint%u_t", key, bits);
	*ret = value;
	return true;
}

bool opt_get_int(const struct opt_set *set, const char *key, unsigned bits, int64_t *ret,
		 GError **error)
{
	const struct opt *opt = opt_find(set, key);
	int64_t value = 0, top = bits < 64 ? INT64_C(1) << (bits - 1) : 0;
	int err;

	if (!opt)
		return true;
	err = type_is(set, opt, OPT_NUMBER) ? parse_i64(opt->value, &value) : -EINVAL;
	if (err)
		return fail_number(set, key, "", bits, err, error);
	if (top && (value < -top || value >= top))
		return opt_bad(set, error, "Parameter '%s' expects int%u_t", key, bits);
	*ret = value;
	return true;
}

/* Sets *shift to the power of two of a size's suffix; false for none that is known. */
static bool suffix_shift(const char *suffix, unsigned *shift)
{
	static const char letters[] = "BKMGTPE";
	const char *at;

	if (!*suffix) {
		*shift = 0;
		return true;
	}
	at = strchr(letters, g_ascii_toupper(suffix[0]));
	if (!at || suffix[1])
		return false;
	*shift = 10 * (at - letters);
	return true;
}

/* Digits, maybe a fraction, maybe a suffix; or a hex number without either. */
static bool parse_size(const char *text, uint64_t *ret)
{
	unsigned long long whole;
	double fraction = 0;
	unsigned shift;
	char *end;

	if (!g_ascii_isdigit(text[0]))
		return false;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return !parse_u64(text, ret);
	errno = 0;
	whole = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end == '.') {
		const char *dot = end;

		if (strspn(dot + 1, "0123456789") > 18)
			return false;
		for (double unit = 0.1; g_ascii_isdigit(*++end); unit /= 10)
			fraction += (*end - '0') * unit;
	}
	if (!suffix_shift(end, &shift) || (fraction > 0 && !shift) ||
	    (shift && whole >> (64 - shift)))
		return false;
	*ret = ((uint64_t)whole << shift) + (uint64_t)(fraction * (double)(UINT64_C(1) << shift));
	return true;
}

bool opt_get_size(const struct opt_set *set, const char *key, uint64_t *ret, GError **error)
{
	const struct opt *opt = opt_find(set, key);
	uint64_t value;

	if (!opt)
		return true;
	if (set->json)
		return opt_get_uint(set, key, 64, ret, error);
	if (!parse_size(opt->value, &value))
		return opt_bad(set, error, "Parameter '%s' expects size", key);
	*ret = value;
	return true;
}

bool opt_get_enum(const struct opt_set *set, const char *key, const char *const *names, int *ret,
		  GError **error)
{
	const char *value = NULL;

	if (!opt_get_string(set, key, &value, error))
		return false;
	if (!value)
		return true;
	for (int i = 0; names[i]; i++) {
		if (!strcmp(names[i], value)) {
			*ret = i;
			return true;
		}
	}
	return opt_bad(set, error, "Parameter '%s' does not accept value '%.200s'", key, value);
}

bool opt_id_wellformed(const char *text)
{
	if (!g_ascii_isalpha(text[0]))
		return false;
	for (; *text; text++)
		if (!g_ascii_isalnum(*text) && !strchr("-._", *text))
			return false;
	return true;
}

bool opt_get_id(const struct opt_set *set, const char **ret, GError **error)
{
	const char *id = NULL;

	if (!opt_get_string(set, "id", &id, error))
		return false;
	if (id && !opt_id_wellformed(id))
		return opt_bad(set, error, "Parameter 'id' expects an identifier");
	*ret = id;
	return true;
}
