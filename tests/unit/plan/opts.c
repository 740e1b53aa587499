/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The option language: what comes out of a text, what goes back, and each refusal's words. */

#include <string.h>

#include <glib.h>
#include <jansson.h>

#include "plan/opts.h"

enum syntax { DEVICE, BLOCKDEV, DRIVE };

static const struct opt_syntax *const syntaxes[] = {
	[DEVICE] = &opt_syntax_device, [BLOCKDEV] = &opt_syntax_blockdev,
	[DRIVE] = &opt_syntax_drive,
};

/* ---- Texts that are refused ---- */

static const struct {
	uint8_t syntax;
	const char *text;
	const char *error;
} bad_texts[] = {
	{ BLOCKDEV, ",", "Invalid parameter ''" },
	{ BLOCKDEV, "=1", "Invalid parameter ''" },
	{ BLOCKDEV, "file,=1", "Invalid parameter ''" },
	{ BLOCKDEV, "file,foo", "Expected '=' after parameter 'foo'" },
	{ BLOCKDEV, "driver=file,raw", "Expected '=' after parameter 'raw'" },
	{ BLOCKDEV, "file,a..b=1", "Invalid parameter 'a..b'" },
	{ BLOCKDEV, "file,.a=1", "Invalid parameter '.a'" },
	{ BLOCKDEV, "file,a.=1", "Invalid parameter 'a.'" },
	{ BLOCKDEV, "file,a/b=1", "Invalid parameter 'a/b'" },
	{ BLOCKDEV, "file,1a=1", "Invalid parameter '1a'" },
	{ BLOCKDEV, "file,0=1", "Invalid parameter '0'" },
	{ BLOCKDEV, "file,a.1b=1", "Invalid parameter 'a.1b'" },
	{ BLOCKDEV, "file,a\tb=1", "Invalid parameter 'a\tb'" },
	{ DEVICE, "{", "JSON parse error, premature EOI" },
	{ DEVICE, "{\"a\":", "JSON parse error, premature EOI" },
	{ DEVICE, "{\"a\":1,\"a\":2}", "JSON parse error, duplicate key" },
	{ DEVICE, "{} x", "Expecting at most one JSON value" },
	{ DEVICE, "{\"a\":1}}", "Expecting at most one JSON value" },
	{ DEVICE, "{\"\":1}", "Parameter '' is unexpected" },
	{ DEVICE, "{\"a.b\":1}", "Parameter 'a.b' is unexpected" },
	{ DEVICE, "{\"a\":{\"0\":1}}", "Parameter 'a.0' is unexpected" },
};

static void test_bad_texts(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(bad_texts); i++) {
		g_autofree char *want = g_strconcat("-x y: ", bad_texts[i].error, NULL);
		g_autoptr(GError) error = NULL;

		g_assert_null(opt_set_parse("-x y", bad_texts[i].text,
					    syntaxes[bad_texts[i].syntax], &error));
		g_assert_error(error, MPQ_ERROR, MPQ_ERROR_USAGE);
		g_assert_cmpstr(error->message, ==, want);
	}
}

/* JSON that is wrong in ways for which QEMU and the library have different words. */
static void test_bad_json(void)
{
	static const char *const texts[] = {
		"{a:1}", "{'a':1}", "{\"a\" 1}", "{\"a\":}", "{\"a\":[1,]}", "{\"a\":01}",
		"{\"a\":\"\\u0000\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\xff\"}",
		"{\"a\":99999999999999999999}", "{\"a\":1e999}", "{\"a\":nul}", "{\"a\x01\":1}",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(opt_set_parse("-x", texts[i], &opt_syntax_device, &error));
		g_assert_true(g_str_has_prefix(error->message, "-x: JSON parse error, "));
	}
}

/* ---- Hostile sizes ---- */

#define MEGABYTE (1u << 20)

static char *repeat(const char *head, const char *what, size_t size, const char *tail)
{
	GString *text = g_string_new(head);

	while (text->len < size)
		g_string_append(text, what);
	g_string_append(text, tail);
	return g_string_free(text, FALSE);
}

static void test_long_value(void)
{
	g_autofree char *text = repeat("lsi53c895a,romfile=", ",,", MEGABYTE, "");
	auto_opt_set set = opt_set_parse("-device", text, &opt_syntax_device, NULL);
	g_autofree char *back = opt_set_to_keyval(set);

	g_assert_cmpuint(set->count, ==, 2);
	g_assert_cmpuint(strlen(opt_get(set, "romfile")), >, MEGABYTE / 2 - 20);
	g_assert_cmpstr(back, ==, text);
}

static void test_many_options(void)
{
	g_autofree char *text = repeat("", "a,", MEGABYTE, "b=2");
	auto_opt_set set = opt_set_parse("-device", text, &opt_syntax_drive, NULL);

	g_assert_cmpuint(set->count, ==, MEGABYTE / 2 + 1);
	g_assert_cmpstr(opt_get(set, "a"), ==, "on");
	g_assert_cmpstr(opt_get(set, "b"), ==, "2");
	g_assert_cmpuint(opt_remove(set, "a"), ==, MEGABYTE / 2);
	g_assert_cmpuint(set->count, ==, 1);
}

static void test_long_where(void)
{
	g_autofree char *text = repeat("", "x", MEGABYTE, "");
	g_autofree char *where = g_strconcat("-device ", text, NULL);
	auto_opt_set set = opt_set_parse(where, text, &opt_syntax_device, NULL);
	g_autoptr(GError) error = NULL;

	opt_bad(set, &error, "text");
	g_assert_cmpuint(strlen(error->message), <, 500);
	g_assert_true(g_str_has_suffix(error->message, "xx...: text"));
}

static void test_long_keyval_key(void)
{
	g_autofree char *fits = repeat("file,", "a", 5 + 127, "=1");
	g_autofree char *over = repeat("file,", "a", 5 + 128, "=1");
	g_autofree char *nested = repeat("file,x.", "a", 7 + 128, "=1");
	auto_opt_set set = opt_set_parse("-x", fits, &opt_syntax_blockdev, NULL);
	g_autoptr(GError) error = NULL;

	g_assert_nonnull(set);
	g_assert_null(opt_set_parse("-x", over, &opt_syntax_blockdev, &error));
	g_assert_true(g_str_has_prefix(error->message, "-x: Parameter 'aaa"));
	g_assert_true(g_str_has_suffix(error->message, "' is too long"));
	g_clear_error(&error);
	g_assert_null(opt_set_parse("-x", nested, &opt_syntax_blockdev, &error));
	g_assert_true(g_str_has_prefix(error->message, "-x: Parameter fragment 'aaa"));
}

/* Neither nesting nor long names make the work more than linear in the text. */
static void test_deep_json(void)
{
	static const struct {
		const char *open, *inner, *close;
		size_t depth;
		bool good;
	} rows[] = {
		{ "{\"a\":", "1", "}", 30, true },
		{ "{\"a\":", "1", "}", 40, false },
		{ "{\"a\":", "1", "}", 100000, false },
		{ "[", "", "]", 100000, false },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *head = repeat("{\"k\":", rows[i].open,
					       5 + strlen(rows[i].open) * rows[i].depth,
					       rows[i].inner);
		g_autofree char *text = repeat(head, rows[i].close,
					       strlen(head) + rows[i].depth, "}");
		g_autoptr(GError) error = NULL;
		auto_opt_set set = opt_set_parse("-x", text, &opt_syntax_device, &error);

		g_assert_cmpint(set != NULL, ==, rows[i].good);
		g_assert_cmpint(error == NULL, ==, rows[i].good);
	}
}

static void test_long_json_key(void)
{
	g_autofree char *text = repeat("{\"", "a", MEGABYTE, "\":{\"b\":1,\"c\":2}}");
	g_autoptr(GError) error = NULL;

	g_assert_null(opt_set_parse("-x", text, &opt_syntax_device, &error));
	g_assert_cmpuint(strlen(error->message), <, 400);
}

/* Keys that a hostile key=value text nests as deep as it likes. */
static void test_deep_keyval_to_json(void)
{
	g_autofree char *text = repeat("x", ".x", MEGABYTE, "=1");
	auto_opt_set set = opt_set_parse("-x", text, &opt_syntax_drive, NULL);
	g_autoptr(GError) error = NULL;

	g_assert_nonnull(set);
	g_assert_null(opt_set_to_json(set, &error));
	g_assert_true(g_str_has_suffix(error->message, "' is nested too deeply"));
}

/* ---- Texts that are understood: as key "key=value|..." and back ---- */

static const struct {
	uint8_t syntax;
	const char *text;
	const char *list;	/* key=value, "|" between */
	const char *back;	/* NULL: as it was */
	bool help;
} good_texts[] = {
	{ DEVICE, "", "", NULL, false },
	{ DEVICE, ",", "driver=", "", false },
	{ DEVICE, "lsi53c895a", "driver=lsi53c895a", NULL, false },
	{ DEVICE, "lsi53c895a,", "driver=lsi53c895a", "lsi53c895a", false },
	{ DEVICE, "a,,b,id=c", "driver=a,b|id=c", NULL, false },
	{ DEVICE, "driver=a,id=c", "driver=a|id=c", NULL, false },
	{ DEVICE, "id=c,driver=a", "id=c|driver=a", NULL, false },
	{ DEVICE, "a,id=1,id=2", "driver=a|id=1|id=2", NULL, false },
	{ DEVICE, "a,removable", "driver=a|removable=on", "a,removable=on", false },
	{ DEVICE, "a,noremovable", "driver=a|removable=off", "a,removable=off", false },
	{ DEVICE, "a,no", "driver=a|=off", "a,=off", false },
	{ DEVICE, "a,b=c=d", "driver=a|b=c=d", NULL, false },
	{ DEVICE, "a,b=,,,,", "driver=a|b=,,", NULL, false },
	{ DEVICE, "a,b=,,,c=1", "driver=a|b=,|c=1", NULL, false },
	{ DEVICE, "a,=x", "driver=a|=x", NULL, false },
	{ DEVICE, "help", "driver=help", NULL, true },
	{ DEVICE, "?", "driver=?", NULL, true },
	{ DEVICE, "a,help", "driver=a", "a", true },
	{ DEVICE, "a,?", "driver=a", "a", true },
	{ DEVICE, "a,serial=help", "driver=a|serial=help", NULL, false },
	{ DEVICE, "x-remote-object,id=robj1,fd=4,", "driver=x-remote-object|id=robj1|fd=4",
	  "x-remote-object,id=robj1,fd=4", false },
	{ DRIVE, "{\"if\":\"none\"}", "{\"if\":\"none\"}=on", "{\"if\":\"none\"}=on", false },
	{ DRIVE, "file=/a b\t,id=d", "file=/a b\t|id=d", NULL, false },
	{ BLOCKDEV, "file,a.b.0=1", "driver=file|a.b.0=1", NULL, false },
	{ BLOCKDEV, "help", "", "", true },
	{ BLOCKDEV, "raw,help", "driver=raw", "raw", true },
	{ DEVICE, "{}", "", NULL, false },
	{ DEVICE, "{\"driver\":\"a\",\"lun\":3,\"on\":true,\"off\":false,\"n\":null}",
	  "driver=a|lun=3|on=on|off=off|n=", NULL, false },
	{ BLOCKDEV, "{\"f\":{\"d\":[1,{\"e\":\"x,y\"}],\"o\":{},\"l\":[]},\"g\":-5}",
	  "f.d.0=1|f.d.1.e=x,y|f.o=|f.l=|g=-5", NULL, false },
	{ DEVICE, "{\"a\":1.5,\"b\":2.0,\"c\":9223372036854775807}",
	  "a=1.5|b=2.0|c=9223372036854775807", NULL, false },
	{ DEVICE, "{ \"a\" : \"\\u00e9\\n\" } ", "a=\u00e9\n", "{\"a\":\"\u00e9\\n\"}", false },
};

static char *list_of(const struct opt_set *set)
{
	GString *list = g_string_new(NULL);

	for (size_t i = 0; i < set->count; i++)
		g_string_append_printf(list, "%s%s=%s", i ? "|" : "", set->opt[i].key,
				       set->opt[i].value);
	return g_string_free(list, FALSE);
}

static void test_good_texts(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(good_texts); i++) {
		const char *want = good_texts[i].back ? good_texts[i].back : good_texts[i].text;
		g_autoptr(GError) error = NULL;
		auto_opt_set set = opt_set_parse("-x", good_texts[i].text,
						 syntaxes[good_texts[i].syntax], &error);
		auto_opt_set copy = NULL;
		g_autofree char *list = NULL, *back = NULL;

		g_assert_no_error(error);
		list = list_of(set);
		g_assert_cmpstr(list, ==, good_texts[i].list);
		g_assert_cmpint(set->help, ==, good_texts[i].help);
		copy = opt_set_copy(set);
		back = opt_set_to_text(copy, &error);
		g_assert_no_error(error);
		g_assert_cmpstr(back, ==, want);
	}
}

/* What was written back is understood as the same. */
static void test_stable(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(good_texts); i++) {
		const struct opt_syntax *syntax = syntaxes[good_texts[i].syntax];
		auto_opt_set set = opt_set_parse("-x", good_texts[i].text, syntax, NULL);
		g_autofree char *text = opt_set_to_text(set, NULL);
		auto_opt_set again = opt_set_parse("-x", text, syntax, NULL);
		g_autofree char *first = list_of(set), *second = NULL;

		/* an empty value that had no key, and "help", leave nothing to read back */
		if (!*text || set->help)
			continue;
		second = list_of(again);
		g_assert_cmpstr(first, ==, second);
	}
}

static const struct {
	const char *text;
	const char *json;	/* NULL: refused */
	const char *error;
} to_json[] = {
	{ "a.b=1,a.b.c=2", NULL, "-x: Parameters 'a.b.c.*' used inconsistently" },
	{ "a=1,a.b=2", NULL, "-x: Parameters 'a.b.*' used inconsistently" },
	{ "a.b=1,a=2", NULL, "-x: Parameters 'a.*' used inconsistently" },
	{ "a.0=1,a.2=2", NULL, "-x: Parameter '1' missing" },
	{ "a.0=1,a.b=2", NULL, "-x: Parameters used inconsistently" },
	{ "a=1,a=2", "{\"a\":\"2\"}", NULL },
	{ "a.1=y,a.0=x", "{\"a\":[\"x\",\"y\"]}", NULL },
	{ "driver=raw,file.driver=file,file.filename=/x",
	  "{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"/x\"}}", NULL },
};

static void test_to_json(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(to_json); i++) {
		auto_opt_set set = opt_set_parse("-x", to_json[i].text, &opt_syntax_drive, NULL);
		g_autoptr(GError) error = NULL;
		g_autofree char *text = opt_set_to_json_text(set, &error);

		g_assert_cmpstr(text, ==, to_json[i].json);
		g_assert_cmpstr(error ? error->message : NULL, ==, to_json[i].error);
	}
}

/* ---- Values ---- */

enum getter { GET_BOOL, GET_U16, GET_U32, GET_U64, GET_I32, GET_SIZE, GET_STRING, GET_ENUM };

static bool get(enum getter getter, const struct opt_set *set, uint64_t *ret, GError **error)
{
	static const char *const names[] = { "zero", "one", NULL };
	int64_t number = 0;
	const char *string = "";
	bool flag = false;
	int index = 0;
	bool good = false;

	switch (getter) {
	case GET_BOOL:
		good = opt_get_bool(set, "k", &flag, error);
		*ret = flag;
		break;
	case GET_U16:
		good = opt_get_uint(set, "k", 16, ret, error);
		break;
	case GET_U32:
		good = opt_get_uint(set, "k", 32, ret, error);
		break;
	case GET_U64:
		good = opt_get_uint(set, "k", 64, ret, error);
		break;
	case GET_I32:
		good = opt_get_int(set, "k", 32, &number, error);
		*ret = number;
		break;
	case GET_SIZE:
		good = opt_get_size(set, "k", ret, error);
		break;
	case GET_STRING:
		good = opt_get_string(set, "k", &string, error);
		*ret = strlen(string);
		break;
	case GET_ENUM:
		good = opt_get_enum(set, "k", names, &index, error);
		*ret = index;
		break;
	}
	return good;
}

static const struct {
	uint8_t getter;
	const char *text;
	uint64_t value;
	const char *error;
} values[] = {
	{ GET_U32, "k=", 0, "Parameter 'k' expects integer" },
	{ GET_U32, "k=x", 0, "Parameter 'k' expects integer" },
	{ GET_U32, "k=1x", 0, "Parameter 'k' expects integer" },
	{ GET_U32, "k=1 ", 0, "Parameter 'k' expects integer" },
	{ GET_U32, "k=0x", 0, "Parameter 'k' expects integer" },
	{ GET_U32, "k=1.0", 0, "Parameter 'k' expects integer" },
	{ GET_U32, "k=-1", 0, "Parameter 'k' expects uint32_t" },
	{ GET_U32, "k=4294967296", 0, "Parameter 'k' expects uint32_t" },
	{ GET_U32, "k=18446744073709551616", 0, "Parameter 'k' expects integer" },
	{ GET_U16, "k=65536", 0, "Parameter 'k' expects uint16_t" },
	{ GET_I32, "k=2147483648", 0, "Parameter 'k' expects int32_t" },
	{ GET_I32, "k=-2147483649", 0, "Parameter 'k' expects int32_t" },
	{ GET_I32, "k=9223372036854775808", 0, "Parameter 'k' expects integer" },
	{ GET_BOOL, "k=", 0, "Parameter 'k' expects 'on' or 'off'" },
	{ GET_BOOL, "k=1", 0, "Parameter 'k' expects 'on' or 'off'" },
	{ GET_BOOL, "k=ON", 0, "Parameter 'k' expects 'on' or 'off'" },
	{ GET_BOOL, "k=on ", 0, "Parameter 'k' expects 'on' or 'off'" },
	{ GET_SIZE, "k=", 0, "Parameter 'k' expects size" },
	{ GET_SIZE, "k=-1", 0, "Parameter 'k' expects size" },
	{ GET_SIZE, "k= 1", 0, "Parameter 'k' expects size" },
	{ GET_SIZE, "k=1kk", 0, "Parameter 'k' expects size" },
	{ GET_SIZE, "k=1kB", 0, "Parameter 'k' expects size" },
	{ GET_SIZE, "k=1e3", 0, "Parameter 'k' expects size" },
	{ GET_SIZE, "k=1.5", 0, "Parameter 'k' expects size" },
	{ GET_SIZE, "k=.5k", 0, "Parameter 'k' expects size" },
	{ GET_SIZE, "k=0x10k", 0, "Parameter 'k' expects size" },
	{ GET_SIZE, "k=16E", 0, "Parameter 'k' expects size" },
	{ GET_SIZE, "k=18446744073709551616", 0, "Parameter 'k' expects size" },
	{ GET_ENUM, "k=", 0, "Parameter 'k' does not accept value ''" },
	{ GET_ENUM, "k=On", 0, "Parameter 'k' does not accept value 'On'" },
	{ GET_U32, "{\"k\":\"1\"}", 0, "Parameter 'k' expects uint64" },
	{ GET_U32, "{\"k\":1.5}", 0, "Parameter 'k' expects uint64" },
	{ GET_U32, "{\"k\":true}", 0, "Parameter 'k' expects uint64" },
	{ GET_U32, "{\"k\":null}", 0, "Parameter 'k' expects uint64" },
	{ GET_U32, "{\"k\":4294967296}", 0, "Parameter 'k' expects uint32_t" },
	{ GET_I32, "{\"k\":\"1\"}", 0, "Parameter 'k' expects int64" },
	{ GET_BOOL, "{\"k\":\"on\"}", 0, "Invalid parameter type for 'k', expected: boolean" },
	{ GET_BOOL, "{\"k\":1}", 0, "Invalid parameter type for 'k', expected: boolean" },
	{ GET_STRING, "{\"k\":1}", 0, "Invalid parameter type for 'k', expected: string" },
	{ GET_STRING, "{\"k\":{}}", 0, "Invalid parameter type for 'k', expected: string" },
	{ GET_ENUM, "{\"k\":0}", 0, "Invalid parameter type for 'k', expected: string" },
	{ GET_U32, "j=1", 0, NULL },
	{ GET_U32, "k=0", 0, NULL },
	{ GET_U32, "k=010", 8, NULL },
	{ GET_U32, "k=0xfF", 255, NULL },
	{ GET_U32, "k=+8", 8, NULL },
	{ GET_U32, "k= 8", 8, NULL },
	{ GET_U32, "k=4294967295", UINT32_MAX, NULL },
	{ GET_U32, "k=1,k=2", 2, NULL },
	{ GET_U64, "k=-1", UINT64_MAX, NULL },
	{ GET_U64, "k=18446744073709551615", UINT64_MAX, NULL },
	{ GET_I32, "k=-2147483648", (uint64_t)INT32_MIN, NULL },
	{ GET_BOOL, "k", 1, NULL },
	{ GET_BOOL, "nok", 0, NULL },
	{ GET_BOOL, "k=yes", 1, NULL },
	{ GET_BOOL, "k=y", 1, NULL },
	{ GET_BOOL, "k=true", 1, NULL },
	{ GET_BOOL, "k=on,k=off", 0, NULL },
	{ GET_SIZE, "k=512", 512, NULL },
	{ GET_SIZE, "k=512B", 512, NULL },
	{ GET_SIZE, "k=1k", 1024, NULL },
	{ GET_SIZE, "k=1.5K", 1536, NULL },
	{ GET_SIZE, "k=1.", 1, NULL },
	{ GET_SIZE, "k=0.5M", 512 << 10, NULL },
	{ GET_SIZE, "k=010", 10, NULL },
	{ GET_SIZE, "k=0x10", 16, NULL },
	{ GET_SIZE, "k=2T", 2ull << 40, NULL },
	{ GET_SIZE, "k=15e", 15ull << 60, NULL },
	{ GET_SIZE, "{\"k\":4096}", 4096, NULL },
	{ GET_ENUM, "k=one", 1, NULL },
	{ GET_STRING, "k=abc", 3, NULL },
	{ GET_BOOL, "{\"k\":true}", 1, NULL },
};

static void test_values(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
		const char *text = values[i].text;
		const struct opt_syntax *syntax = *text == '{' ? &opt_syntax_device :
						  &opt_syntax_drive;
		auto_opt_set set = opt_set_parse("", text, syntax, NULL);
		g_autoptr(GError) error = NULL;
		uint64_t value = 0;
		bool good = get(values[i].getter, set, &value, &error);

		g_test_message("%s", text);
		g_assert_cmpstr(error ? error->message : NULL, ==, values[i].error);
		g_assert_cmpint(good, ==, values[i].error == NULL);
		g_assert_cmpuint(value, ==, values[i].value);
	}
}

static void test_ids(void)
{
	static const struct {
		const char *id;
		bool good;
	} rows[] = {
		{ "", false }, { "1", false }, { "-a", false }, { "_a", false }, { ".a", false },
		{ "a b", false }, { "a/b", false }, { "a,b", false }, { "\xc3\xa4", false },
		{ "a\n", false }, { "a", true }, { "a.b-c_9", true }, { "Z", true },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_cmpint(opt_id_wellformed(rows[i].id), ==, rows[i].good);
}

/* ---- Rewriting ---- */

static void test_rewrite(void)
{
	auto_opt_set set = opt_set_parse("-device", "scsi-hd,bus=a,id=x,bus=b", &opt_syntax_device,
					 NULL);
	g_autofree char *first = NULL, *second = NULL, *third = NULL;

	opt_put(set, "bus", "c,d");
	opt_put(set, "new", "1");
	first = opt_set_to_keyval(set);
	g_assert_cmpstr(first, ==, "scsi-hd,bus=a,id=x,bus=c,,d,new=1");
	g_assert_cmpuint(opt_remove(set, "bus"), ==, 2);
	g_assert_cmpuint(opt_remove(set, "bus"), ==, 0);
	opt_put(set, "id", opt_get(set, "id"));		/* its own value */
	second = opt_set_to_keyval(set);
	g_assert_cmpstr(second, ==, "scsi-hd,id=x,new=1");
	g_assert_cmpuint(opt_remove(set, set->opt[0].key), ==, 1);
	third = opt_set_to_keyval(set);
	g_assert_cmpstr(third, ==, "id=x,new=1");
}

static void test_rewrite_json(void)
{
	auto_opt_set set = opt_set_parse("-device", "{\"driver\":\"d\",\"lun\":1}",
					 &opt_syntax_device, NULL);
	g_autofree char *text = NULL;

	opt_put_typed(set, "lun", OPT_NUMBER, "2");
	opt_put_typed(set, "flag", OPT_BOOL, "on");
	opt_put(set, "a.b", "c");
	text = opt_set_to_text(set, NULL);
	g_assert_cmpstr(text, ==, "{\"driver\":\"d\",\"lun\":2,\"flag\":true,\"a\":{\"b\":\"c\"}}");
}

static void test_sub(void)
{
	auto_opt_set set = opt_set_parse("-drive", "file.a=1,files=2,file.b.c=3",
					 &opt_syntax_drive, NULL);
	auto_opt_set sub = opt_set_sub(set, "file.");
	g_autofree char *text = opt_set_to_keyval(sub);

	g_assert_true(opt_has_prefix(set, "file."));
	g_assert_false(opt_has_prefix(set, "fil."));
	g_assert_cmpstr(text, ==, "a=1,b.c=3");
}

/* ---- Words ---- */

static bool take(void *opaque, const struct option_use *use, GError **error)
{
	g_string_append_printf(opaque, "%s:%s:%d ", use->def->name, use->arg ? use->arg : "",
			       use->count);
	return true;
}

static bool take_stray(void *opaque, const struct option_use *use, GError **error)
{
	g_string_append_printf(opaque, "<%s> ", use->arg);
	return true;
}

static const struct option_def table[] = {
	{ "device", OPTION_HAS_ARG, take }, { "d", OPTION_HAS_ARG, take }, { "S", 0, take },
	{ "level", OPTION_HAS_ARG | OPTION_OWN, take, "A|B" }, { "quiet", OPTION_OWN, take },
	{ "d", OPTION_HAS_ARG | OPTION_OWN, take }, { NULL },
};

static const struct {
	const char *argv[6];
	const char *taken;
	const char *error;
} words[] = {
	{ { "x", "-" }, NULL, "-: invalid option" },
	{ { "x", "--" }, NULL, "--: invalid option" },
	{ { "x", "---S" }, NULL, "---S: invalid option" },
	{ { "x", "-blah" }, NULL, "-blah: invalid option" },
	{ { "x", "-dev", "y" }, NULL, "-dev: invalid option" },
	{ { "x", "-device=y" }, NULL, "-device=y: invalid option" },
	{ { "x", "-s" }, NULL, "-s: invalid option" },
	{ { "x", "-device" }, NULL, "-device: requires an argument" },
	{ { "x", "-S", "--device" }, NULL, "--device: requires an argument" },
	{ { "x" }, "", NULL },
	{ { "x", "" }, "<> ", NULL },
	{ { "x", "-S", "--S" }, "S::1 S::1 ", NULL },
	{ { "x", "-d", "-S", "disk" }, "d:-S:2 <disk> ", NULL },
	{ { "x", "--device", "", "-d", "e" }, "device::2 d:e:2 ", NULL },
	/* our own: two dashes, the value in the same word */
	{ { "x", "--level=a=b", "--level=" }, "level:a=b:1 level::1 ", NULL },
	{ { "x", "--level", "a" }, NULL, "--level: requires an argument: --level=A|B" },
	{ { "x", "-level=a" }, NULL, "-level=a: invalid option" },
	{ { "x", "-level" }, NULL, "-level: invalid option" },
	{ { "x", "--leve=a" }, NULL, "--leve=a: invalid option" },
	{ { "x", "--levels=a" }, NULL, "--levels=a: invalid option" },
	{ { "x", "--=a" }, NULL, "--=a: invalid option" },
	{ { "x", "--quiet", "disk" }, "quiet::1 <disk> ", NULL },
	{ { "x", "--quiet=1" }, NULL, "--quiet=1: takes no argument" },
	{ { "x", "-quiet" }, NULL, "-quiet: invalid option" },
	/* QEMU's option of the same name stays what it is */
	{ { "x", "--d=a", "--d", "a" }, "d:a:1 d:a:2 ", NULL },
	{ { "x", "--d" }, NULL, "--d: requires an argument" },
};

static void test_words(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
		char **argv = g_strdupv((char **)(uintptr_t)words[i].argv);
		g_autoptr(GString) taken = g_string_new(NULL);
		g_autoptr(GError) error = NULL;
		bool good = option_run(table, g_strv_length(argv), argv, taken, take_stray, &error);

		g_assert_cmpint(good, ==, words[i].error == NULL);
		g_assert_cmpstr(error ? error->message : NULL, ==, words[i].error);
		if (good)
			g_assert_cmpstr(taken->str, ==, words[i].taken);
		g_strfreev(argv);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/opts/bad-texts", test_bad_texts);
	g_test_add_func("/opts/bad-json", test_bad_json);
	g_test_add_func("/opts/long-value", test_long_value);
	g_test_add_func("/opts/many-options", test_many_options);
	g_test_add_func("/opts/long-where", test_long_where);
	g_test_add_func("/opts/long-keyval-key", test_long_keyval_key);
	g_test_add_func("/opts/deep-json", test_deep_json);
	g_test_add_func("/opts/long-json-key", test_long_json_key);
	g_test_add_func("/opts/deep-keyval-to-json", test_deep_keyval_to_json);
	g_test_add_func("/opts/good-texts", test_good_texts);
	g_test_add_func("/opts/stable", test_stable);
	g_test_add_func("/opts/to-json", test_to_json);
	g_test_add_func("/opts/values", test_values);
	g_test_add_func("/opts/ids", test_ids);
	g_test_add_func("/opts/rewrite", test_rewrite);
	g_test_add_func("/opts/rewrite-json", test_rewrite_json);
	g_test_add_func("/opts/sub", test_sub);
	g_test_add_func("/opts/words", test_words);
	return g_test_run();
}
