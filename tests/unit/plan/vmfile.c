/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The text of a VM's file: src/plan/vmfile.h.  Hostile rows first; GKeyFile is the oracle. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "plan/vm/nearest.h"
#include "plan/proclimits.h"
#include "plan/vm/file.h"

/* A literal that may hold NUL. */
#define TEXT(text) text, sizeof(text) - 1

/* ---- Refused ---- */

static const struct {
	const char *name;
	const char *text;
	size_t len;
	const char *expect;
} refused[] = {
	{ "binary", TEXT("\177ELF\2\1\1"), "f:1: byte 0x7f: this is no text" },
	{ "NUL", TEXT("[vm]\nqemu=a\0b\n"), "f:2: byte 0x00: this is no text" },
	{ "NUL at the start", TEXT("\0[vm]\n"), "f:1: byte 0x00: this is no text" },
	{ "NUL in a comment", TEXT("# \0\n"), "f:1: byte 0x00: this is no text" },
	{ "escape sequence", TEXT("[vm]\nqemu=\033[2J\n"), "f:2: byte 0x1b: this is no text" },
	{ "a carriage return within", TEXT("[vm]\nqemu=a\rb\n"),
	  "f:2: byte 0x0d: this is no text" },
	{ "two of them at the end", TEXT("[vm]\r\r\n"), "f:1: byte 0x0d: this is no text" },
	{ "byte-order mark", TEXT("\xef\xbb\xbf[vm]\n"), "f:1: it starts with a byte-order mark" },
	{ "UTF-16", TEXT("\xff\xfe[\0v\0"), "f:1: byte 0x00: this is no text" },
	{ "Latin-1", TEXT("[vm]\nqemu=\xe9\n"), "f:2: it is not UTF-8" },
	{ "half a character", TEXT("[vm]\nqemu=\xc3"), "f:2: it is not UTF-8" },
	{ "a surrogate", TEXT("[vm]\nqemu=\xed\xa0\x80\n"), "f:2: it is not UTF-8" },
	{ "key before any group", TEXT("\n# c\nqemu=a\n[vm]\n"),
	  "f:3: a [GROUP] has to stand before the first key" },
	{ "a word alone", TEXT("[vm]\nqemu\n"),
	  "f:2: this is no group, no KEY=VALUE and no comment" },
	{ "no key", TEXT("[vm]\n = a\n"), "f:2: this is no group, no KEY=VALUE and no comment" },
	{ "a continued line", TEXT("[vm]\narguments = a \\\n  b\n"),
	  "f:2: a backslash stands before s, n, t, r or another backslash only" },
	{ "an escape that is none", TEXT("[vm]\nqemu=a\\x41\n"),
	  "f:2: a backslash stands before s, n, t, r or another backslash only" },
	{ "a backslash in quotes at the end", TEXT("[vm]\nqemu=\"a\\\"\n"),
	  "f:2: a backslash stands before s, n, t, r or another backslash only" },
	{ "a key of another language", TEXT("[vm]\nname[de]=a\n"),
	  "f:2: name[de]: a key has no brackets" },
	{ "key twice", TEXT("[vm]\nqemu=a\n\n qemu =a\n"),
	  "f:4: qemu: line 2 has this key already" },
	{ "group not closed", TEXT("[vm\nqemu=a\n"), "f:1: a group is one [NAME] on its line" },
	{ "text behind a group", TEXT("[vm] # c\n"), "f:1: a group is one [NAME] on its line" },
	{ "two groups on a line", TEXT("[vm][remote]\n"),
	  "f:1: a group is one [NAME] on its line" },
	{ "brackets in brackets", TEXT("[[vm]\n"), "f:1: [[vm] is no name of a group" },
	{ "no name", TEXT("[]\n"), "f:1: [] is no name of a group" },
	{ "space for a name", TEXT("[  ]\n"), "f:1: [] is no name of a group" },
	{ "a name in quotes alone", TEXT("[\"vm\"]\n"), "f:1: [\"vm\"] is no name of a group" },
	{ "one quote", TEXT("[device \"a]\n"), "f:1: [device \"a]: a quote is alone" },
	{ "a quote within", TEXT("[device a\"b]\n"), "f:1: [device a\"b]: a quote is alone" },
	{ "text behind a quote", TEXT("[device \"a\" b]\n"),
	  "f:1: [device \"a\" b]: a quote is alone" },
};

static void test_refused(const void *data)
{
	unsigned i = GPOINTER_TO_UINT(data);
	/* Of exactly that size: a reader that goes on is seen by the sanitizer. */
	g_autofree char *text = g_memdup2(refused[i].text, refused[i].len);
	g_autoptr(GError) error = NULL;
	struct vmfile *file = vmfile_parse("f", text, refused[i].len, &error);

	g_assert_null(file);
	g_assert_error(error, MPQ_ERROR, MPQ_ERROR_USAGE);
	g_assert_cmpstr(error->message, ==, refused[i].expect);
}

/* ---- Read ---- */

/* One line a group and a key: "[kind name]", "key=value". */
static char *dump(const struct vmfile *file)
{
	GString *text = g_string_new(NULL);

	for (unsigned i = 0; i < file->groups->len; i++) {
		const struct vmfile_group *group = file->groups->pdata[i];

		g_string_append_printf(text, "%u[%s|%s]\n", group->line, group->kind,
				       group->name ?: "-");
		for (unsigned k = 0; k < group->entries->len; k++) {
			const struct vmfile_entry *entry =
				&g_array_index(group->entries, struct vmfile_entry, k);

			g_string_append_printf(text, "%u<%s>=<%s>\n", entry->line, entry->key,
					       entry->value);
		}
	}
	return g_string_free(text, false);
}

static const struct {
	const char *name;
	const char *text;
	const char *expect;
} accepted[] = {
	{ "nothing", "", "" },
	{ "comments alone", "# a\n\n  \t# b=c\n", "" },
	{ "a group without keys", "[vm]", "1[vm|-]\n" },
	{ "no newline at the end", "[vm]\nqemu=a", "1[vm|-]\n2<qemu>=<a>\n" },
	{ "CR LF", "[vm]\r\nqemu=a\r\n\r\n", "1[vm|-]\n2<qemu>=<a>\n" },
	{ "space around", "\t[vm] \n  qemu\t= \ta\n", "1[vm|-]\n2<qemu>=<a>\n" },
	{ "space at the end", "[vm]\nqemu = a \n", "1[vm|-]\n2<qemu>=<a >\n" },
	{ "no value", "[vm]\nqemu=\n", "1[vm|-]\n2<qemu>=<>\n" },
	{ "an equals sign within", "[vm]\narguments=-m a=b\n", "1[vm|-]\n2<arguments>=<-m a=b>\n" },
	{ "no comment within", "[vm]\nname=a # b\n", "1[vm|-]\n2<name>=<a # b>\n" },
	{ "escapes", "[vm]\nname=\\sa\\\\b\\n\\t\\r\\s\n", "1[vm|-]\n2<name>=< a\\b\n\t\r >\n" },
	{ "quotes", "[vm]\nname=\" a\\\\ \"\n", "1[vm|-]\n2<name>=< a\\ >\n" },
	{ "quotes of words stay", "[vm]\na=\"b\" c\nd=e \"f\"\ng=\"\n",
	  "1[vm|-]\n2<a>=<\"b\" c>\n3<d>=<e \"f\">\n4<g>=<\">\n" },
	{ "quotes around quotes", "[vm]\na=\"\"b\"\"\n", "1[vm|-]\n2<a>=<\"b\">\n" },
	{ "names", "[device a]\n[device \"b\"]\n[device\"c\"]\n[device  d ]\n[device]\n",
	  "1[device|a]\n2[device|b]\n3[device|c]\n4[device|d]\n5[device|-]\n" },
	{ "groups that are equal stay apart", "[drive]\nfile=a\n[drive]\nfile=b\n",
	  "1[drive|-]\n2<file>=<a>\n3[drive|-]\n4<file>=<b>\n" },
	{ "the order stays", "[vm]\nz=1\na=2\n", "1[vm|-]\n2<z>=<1>\n3<a>=<2>\n" },
	{ "UTF-8", "[vm]\nname=\xc3\xa9\xf0\x9f\x90\xa7\n",
	  "1[vm|-]\n2<name>=<\xc3\xa9\xf0\x9f\x90\xa7>\n" },
	{ "dots in keys", "[drive]\nfile.driver=x\n", "1[drive|-]\n2<file.driver>=<x>\n" },
};

static void test_accepted(const void *data)
{
	unsigned i = GPOINTER_TO_UINT(data);
	g_autofree char *copy = g_memdup2(accepted[i].text, strlen(accepted[i].text) + 1);
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;
	auto_vmfile file = vmfile_parse("f", copy, strlen(copy), &error);

	g_assert_no_error(error);
	text = dump(file);
	g_assert_cmpstr(text, ==, accepted[i].expect);
}

/* GKeyFile reads the same: but for quotes, which it leaves, and the names of groups. */
static void test_oracle(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(accepted); i++) {
		g_autoptr(GKeyFile) theirs = g_key_file_new();
		g_autoptr(GError) error = NULL;
		auto_vmfile file = vmfile_parse("f", accepted[i].text, strlen(accepted[i].text),
						NULL);

		if (strchr(accepted[i].text, '"') || strstr(accepted[i].text, "[drive]\nfile=a"))
			continue;
		g_test_message("%s", accepted[i].name);
		g_assert_true(g_key_file_load_from_data(theirs, accepted[i].text, -1,
							G_KEY_FILE_NONE, &error) ||
			      !file->groups->len);
		for (unsigned g = 0; g < file->groups->len; g++) {
			const struct vmfile_group *group = file->groups->pdata[g];

			for (unsigned k = 0; k < group->entries->len; k++) {
				const struct vmfile_entry *entry =
					&g_array_index(group->entries, struct vmfile_entry, k);
				g_autofree char *value = g_key_file_get_string(theirs, group->kind,
									       entry->key, NULL);

				g_assert_cmpstr(value, ==, entry->value);
			}
		}
	}
}

/* Whatever GKeyFile refuses is refused. */
static void test_oracle_refuses(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
		g_autoptr(GKeyFile) theirs = g_key_file_new();

		count += !g_key_file_load_from_data(theirs, refused[i].text, refused[i].len,
						    G_KEY_FILE_NONE, NULL);
	}
	/* ... and it takes some that are not clear. */
	g_assert_cmpuint(count, >, 8);
	g_assert_cmpuint(count, <, G_N_ELEMENTS(refused));
}

static void test_long(void)
{
	g_autoptr(GString) text = g_string_new("[vm]\nname=");
	auto_vmfile file = NULL;
	const struct vmfile_group *group;

	for (unsigned i = 0; i < 100000; i++)
		g_string_append(text, "0123456789");
	file = vmfile_parse("f", text->str, text->len, NULL);
	group = file->groups->pdata[0];
	g_assert_cmpuint(strlen(g_array_index(group->entries, struct vmfile_entry, 0).value), ==,
			 1000000);
}

/* Any bytes: refused or read, within what was given. */
static void test_any(void)
{
	static const char alphabet[] = "[]=\"\\#\n\r\t snva\xc3\xa9";
	g_autoptr(GRand) random = g_rand_new_with_seed(6);
	unsigned read = 0;

	for (unsigned i = 0; i < 20000; i++) {
		static const char start[] = "[a]\nk=";
		size_t len = g_rand_int_range(random, 1, 20), k = 0;
		g_autofree char *text = g_malloc(len);
		auto_vmfile file = NULL;

		for (; i % 2 && k < len && start[k]; k++)
			text[k] = start[k];
		for (; k < len; k++)
			text[k] = alphabet[g_rand_int_range(random, 0, sizeof(alphabet) - 1)];
		file = vmfile_parse("f", text, len, NULL);
		read += file && file->groups->len;
	}
	g_assert_cmpuint(read, >, 1000);
}

/* ---- Written ---- */

static void test_escape(void)
{
	static const char *const values[] = {
		"", " ", "a", " a ", "a b", "\t", "a\tb", "\n", "\r", "\\", "a\\b", "\"", "\"\"",
		"\"a\"", "\"\"a\"\"", "\" a\"", "# a", "[a]", "a=b", "'a b'", "\xc3\xa9", "\\s",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
		g_autofree char *escaped = vmfile_escape(values[i]);
		g_autofree char *text = g_strconcat("[vm]\nk = ", escaped, "\n", NULL);
		auto_vmfile file = vmfile_parse("f", text, strlen(text), NULL);
		const struct vmfile_group *group = file->groups->pdata[0];

		g_test_message("%s", text);
		g_assert_cmpstr(g_array_index(group->entries, struct vmfile_entry, 0).value, ==,
				values[i]);
	}
	g_assert_null(vmfile_escape("\xff"));
	g_assert_null(vmfile_escape("a\033b"));
	g_assert_null(vmfile_escape("\177"));
}

/* ---- Files ---- */

static void check_file(const char *path, const char *expect)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *whole = expect ? g_strdup_printf("%s: %s", path, expect) : NULL;
	auto_vmfile file = vmfile_read(path, &error);

	if (!expect) {
		g_assert_no_error(error);
		return;
	}
	g_assert_null(file);
	g_assert_cmpstr(error->message, ==, whole);
}

static void test_files(void)
{
	g_autofree char *dir = g_dir_make_tmp("vmfile-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(dir, "vm", NULL);
	g_autofree char *fifo = g_build_filename(dir, "fifo", NULL);
	int fd;

	check_file(path, "No such file or directory");
	check_file(dir, "it is not a regular file");
	check_file("/dev/null", "it is not a regular file");
	g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
	check_file(fifo, "it is not a regular file");
	g_assert_true(g_file_set_contents(path, "[vm]\nqemu=a\n", -1, NULL));
	check_file(path, NULL);
	g_assert_cmpint(truncate(path, 0), ==, 0);
	check_file(path, NULL);
	fd = open(path, O_RDWR | O_CLOEXEC);
	g_assert_cmpint(ftruncate(fd, VMFILE_MAX + 1), ==, 0);
	close(fd);
	check_file(path, "it has over 1048576 bytes, which no file of a VM has");
	g_unlink(path);
	g_unlink(fifo);
	g_rmdir(dir);
}

/* ---- Words that are near ---- */

static void test_nearest(void)
{
	static const char *const words[] = { "sandbox", "on-error", "events", "cpus", "if", NULL };
	static const struct {
		const char *word, *expect;
	} rows[] = {
		{ "", NULL }, { "x", NULL }, { "zzz", NULL }, { "sandwiches", NULL },
		{ "sandbx", "sandbox" }, { "sadnbox", "sandbox" }, { "sandboxx", "sandbox" },
		{ "SandBox", "sandbox" }, { "on_error", "on-error" }, { "onerror", "on-error" },
		{ "event", "events" }, { "cpu", "cpus" }, { "scpu", "cpus" }, { "cpuset", "cpus" },
		{ "fi", "if" }, { "a", NULL }, { "memory", NULL },
	};
	g_autofree char *long_word = g_strnfill(5000, 'a');
	g_autofree char *hint = nearest_hint("evnets", words);
	g_autofree char *none = nearest_hint("qqqqqq", words);

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		g_assert_cmpstr(nearest_word(rows[i].word, words), ==, rows[i].expect);
	g_assert_null(nearest_word(long_word, words));
	g_assert_cmpstr(hint, ==, "; did you mean 'events'?");
	g_assert_cmpstr(none, ==, "");
}

/* ---- Lists of CPUs ---- */

static void test_cpus(void)
{
	static const char *const bad[] = {
		"", ",", "a", "-1", "1-", "3-1", "1,,2", "1,", "1 ", "0x1", "1024", "0-1024",
		"99999999999999999999", "1--2", "1:2",
	};
	cpu_set_t set;

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
		g_assert_false(plan_cpus_parse(bad[i], &set));
	g_assert_true(plan_cpus_parse("0", &set));
	g_assert_cmpint(CPU_COUNT(&set), ==, 1);
	g_assert_true(plan_cpus_parse("0-3,6,5-7,1023", &set));
	g_assert_cmpint(CPU_COUNT(&set), ==, 8);
	g_assert_true(CPU_ISSET(1023, &set) && CPU_ISSET(3, &set) && !CPU_ISSET(4, &set));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
		g_autofree char *path = g_strdup_printf("/refused: %s", refused[i].name);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_refused);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(accepted); i++) {
		g_autofree char *path = g_strdup_printf("/accepted: %s", accepted[i].name);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_accepted);
	}
	g_test_add_func("/as GKeyFile", test_oracle);
	g_test_add_func("/stricter than GKeyFile", test_oracle_refuses);
	g_test_add_func("/a long line", test_long);
	g_test_add_func("/any bytes", test_any);
	g_test_add_func("/escape", test_escape);
	g_test_add_func("/files", test_files);
	g_test_add_func("/nearest", test_nearest);
	g_test_add_func("/CPUs", test_cpus);
	return g_test_run();
}
