/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accesses as the command line of mpqemu-proxy names them. */

#include <glib.h>

#include "applets/proxy/info/access.h"

static const struct { enum access_kind kind; const char *text; } bad[] = {
	{ ACCESS_READ, "" }, { ACCESS_READ, "0" }, { ACCESS_READ, "0:" }, { ACCESS_READ, ":0" },
	{ ACCESS_READ, "6:0" }, { ACCESS_READ, "-1:0" }, { ACCESS_READ, "+1:0" },
	{ ACCESS_READ, " 0:0" }, { ACCESS_READ, "0: 0" }, { ACCESS_READ, "0:0 " },
	{ ACCESS_READ, "0:0:" }, { ACCESS_READ, "0:0:0" }, { ACCESS_READ, "0:0:3" },
	{ ACCESS_READ, "0:0:16" }, { ACCESS_READ, "0:0:4:4" }, { ACCESS_READ, "0:0=1" },
	{ ACCESS_READ, "0:0:4=" }, { ACCESS_READ, "0=0" }, { ACCESS_READ, "0:0x" },
	{ ACCESS_READ, "0:08" }, { ACCESS_READ, "0:ten" }, { ACCESS_READ, "BAR0:0" },
	{ ACCESS_READ, "0:-4" }, { ACCESS_READ, "0:0x10000000000000000" },
	{ ACCESS_READ, "4294967296:0" },
	{ ACCESS_WRITE, "0:0" }, { ACCESS_WRITE, "0:0:4" }, { ACCESS_WRITE, "0:0=" },
	{ ACCESS_WRITE, "0:0=-1" }, { ACCESS_WRITE, "0:0=1=1" }, { ACCESS_WRITE, "0:0=1:4" },
	{ ACCESS_WRITE, "0:0=0x100000000" }, { ACCESS_WRITE, "0:0:1=256" },
	{ ACCESS_WRITE, "0:0:8=0x10000000000000000" }, { ACCESS_WRITE, "0:0 = 1" },
	{ ACCESS_CONFIG, "" }, { ACCESS_CONFIG, "0:8" }, { ACCESS_CONFIG, "0:0:4" },
	{ ACCESS_CONFIG, "0:3" }, { ACCESS_CONFIG, "0x100000000" }, { ACCESS_CONFIG, "0:2=65536" },
	{ ACCESS_CONFIG, "=1" }, { ACCESS_CONFIG, "4:=1" },
	{ ACCESS_CONFIG, "COMMANDS" }, { ACCESS_CONFIG, "COMMAND=0x10000" },
	{ ACCESS_CONFIG, "COMMAND:0" }, { ACCESS_CONFIG, "COMMAND:3" },
	{ ACCESS_READ, "ISTAT0:" }, { ACCESS_READ, "ISTAT0:0" }, { ACCESS_READ, "ISTAT0:1:1" },
	{ ACCESS_READ, "ISTAT0=1" }, { ACCESS_WRITE, "ISTAT0" }, { ACCESS_WRITE, "ISTAT0=" },
	{ ACCESS_WRITE, "ISTAT0:1=256" }, { ACCESS_READ, "A_NAME_OF_MORE_LETTERS_THAN_ANY" },
};

static void test_bad(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) error = NULL;
		struct access a = { .size = 77 };

		g_test_message("%s", bad[i].text);
		g_assert_false(access_parse(bad[i].kind, bad[i].text, &a, &error));
		g_assert_error(error, MPQ_ERROR, MPQ_ERROR_USAGE);
		g_assert_true(g_str_has_prefix(error->message, bad[i].text));
		g_assert_cmpuint(a.size, ==, 77);
	}
}

static const struct { enum access_kind kind; struct access a; } good[] = {
	{ ACCESS_READ, { "0:0", "", false, false, 0, 0, 4, 0 } },
	{ ACCESS_READ, { "5:0x1c:1", "", false, false, 5, 0x1c, 1, 0 } },
	{ ACCESS_READ, { "1:010:2", "", false, false, 1, 8, 2, 0 } },
	{ ACCESS_READ, { "2:10:8", "", false, false, 2, 10, 8, 0 } },
	{ ACCESS_READ, { "0:0xffffffffffffffff", "", false, false, 0, UINT64_MAX, 4, 0 } },
	{ ACCESS_WRITE, { "0:4=5", "", false, true, 0, 4, 4, 5 } },
	{ ACCESS_WRITE, { "0:4:1=0xff", "", false, true, 0, 4, 1, 255 } },
	{ ACCESS_WRITE, { "0:4:8=0xffffffffffffffff", "", false, true, 0, 4, 8, UINT64_MAX } },
	{ ACCESS_CONFIG, { "4", "", true, false, 0, 4, 4, 0 } },
	{ ACCESS_CONFIG, { "4:2", "", true, false, 0, 4, 2, 0 } },
	{ ACCESS_CONFIG, { "4:2=7", "", true, true, 0, 4, 2, 7 } },
	{ ACCESS_CONFIG, { "Command", "Command", true, false, 0, 4, 2, 0 } },
	{ ACCESS_CONFIG, { "BASE_ADDRESS_5:1=1", "BASE_ADDRESS_5", true, true, 0, 0x24, 1, 1 } },
	{ ACCESS_READ, { "dsp", "dsp", false, false, 0, 0, 0, 0 } },
	{ ACCESS_WRITE, { "DSP:2=0xffff", "DSP", false, true, 0, 0, 2, 0xffff } },
	{ ACCESS_CONFIG, { "0x10=0xffffffff", "", true, true, 0, 16, 4, UINT32_MAX } },
};

static void test_good(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
		const struct access *want = &good[i].a;
		g_autoptr(GError) error = NULL;
		struct access a = { 0 };

		g_test_message("%s", want->text);
		g_assert_true(access_parse(good[i].kind, want->text, &a, &error));
		g_assert_cmpstr(a.text, ==, want->text);
		g_assert_cmpstr(a.name, ==, want->name);
		g_assert_cmpint(a.config, ==, want->config);
		g_assert_cmpint(a.write, ==, want->write);
		g_assert_cmpuint(a.bar, ==, want->bar);
		g_assert_cmphex(a.off, ==, want->off);
		g_assert_cmpuint(a.size, ==, want->size);
		g_assert_cmphex(a.value, ==, want->value);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/access/bad", test_bad);
	g_test_add_func("/access/good", test_good);
	return g_test_run();
}
