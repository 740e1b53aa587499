/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/vm/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"

#define BOM "\xef\xbb\xbf"

/* The escapes of a value (Desktop Entry Specification, "Possible value types"). */
static const struct {
	char letter, means;
} escapes[] = { { 's', ' ' }, { 'n', '\n' }, { 't', '\t' }, { 'r', '\r' }, { '\\', '\\' } };

/* ---- Its objects ---- */

static void entry_clear(void *p)
{
	struct vmfile_entry *entry = p;

	g_free(entry->key);
	g_free(entry->value);
}

static void group_free(void *p)
{
	struct vmfile_group *group = p;

	g_free(group->kind);
	g_free(group->name);
	g_array_unref(group->entries);
	g_free(group);
}

void vmfile_destroy(struct vmfile *file)
{
	if (!file)
		return;
	g_free(file->path);
	g_ptr_array_unref(file->groups);
	g_free(file);
}

void vmfile_cleanup(struct vmfile **file)
{
	vmfile_destroy(*file);
}

bool vmfile_fail(const struct vmfile *file, unsigned line, GError **error, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	return mpq_fail(error, MPQ_ERROR_USAGE, "%s:%u: %s", file->path, line, text);
}

/* ---- Lines ---- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Is it text, which a terminal can be shown?  A tab is. */
static bool check_text(const struct vmfile *file, unsigned number, const char *line, size_t len,
		       GError **error)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = line[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return vmfile_fail(file, number, error, "byte 0x%02x: this is no text", c);
	}
	if (!g_utf8_validate_len(line, len, NULL))
		return vmfile_fail(file, number, error, "it is not UTF-8");
	return true;
}

/* A group's name, without the quotes.  NULL: there is one quote alone. */
static char *unquote_name(const char *name)
{
	size_t len = strlen(name);

	if (name[0] != '"')
		return strchr(name, '"') ? NULL : g_strdup(name);
	if (len < 2 || strchr(name + 1, '"') != name + len - 1)
		return NULL;
	return g_strndup(name + 1, len - 2);
}

/* "[kind]", "[kind name]" or "[kind "name"]"; space is all that may follow. */
static bool parse_heading(struct vmfile *file, unsigned number, char *line, GError **error)
{
	struct vmfile_group *group;
	char *end = strchr(line, ']');
	char *rest;

	if (!end || end[1 + strspn(end + 1, " \t")])
		return vmfile_fail(file, number, error, "a group is one [NAME] on its line");
	*end = '\0';
	g_strstrip(++line);
	rest = line + strcspn(line, " \t\"");
	if (rest == line || strchr(line, '['))
		return vmfile_fail(file, number, error, "[%s] is no name of a group", line);
	group = g_new0(struct vmfile_group, 1);
	group->line = number;
	group->entries = g_array_new(false, false, sizeof(struct vmfile_entry));
	g_array_set_clear_func(group->entries, entry_clear);
	group->kind = g_strndup(line, rest - line);
	g_ptr_array_add(file->groups, group);
	rest += strspn(rest, " \t");
	group->name = *rest ? unquote_name(rest) : NULL;
	if (*rest && !group->name)
		return vmfile_fail(file, number, error, "[%s]: a quote is alone", line);
	return true;
}

/* The character that \@letter stands for; '\0': none. */
static char unescape(char letter)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(escapes); i++)
		if (escapes[i].letter == letter)
			return escapes[i].means;
	return '\0';
}

/* Undoes quotes, then escapes.  NULL with @error. */
static char *parse_value(const struct vmfile *file, unsigned number, const char *text,
			 GError **error)
{
	g_autoptr(GString) value = g_string_new(NULL);
	size_t len = strlen(text);
	bool quoted = len >= 2 && text[0] == '"' && text[len - 1] == '"';

	for (size_t i = quoted; i < len - quoted; i++) {
		char c = text[i];

		if (c == '\\') {
			c = i + 1 < len - quoted ? unescape(text[++i]) : '\0';
			if (!c) {
				vmfile_fail(file, number, error, "a backslash stands before s, n, "
					    "t, r or another backslash only");
				return NULL;
			}
		}
		g_string_append_c(value, c);
	}
	return g_strdup(value->str);
}

const struct vmfile_entry *vmfile_find(const struct vmfile_group *group, const char *key)
{
	for_each_entry(entry, group)
		if (!strcmp(entry->key, key))
			return entry;
	return NULL;
}

static bool parse_entry(struct vmfile *file, unsigned number, char *line, GError **error)
{
	struct vmfile_group *group;
	struct vmfile_entry entry = { .line = number };
	const struct vmfile_entry *other;
	char *eq = strchr(line, '=');

	if (!eq || eq == line)
		return vmfile_fail(file, number, error, "this is no group, no KEY=VALUE and no "
				   "comment");
	if (!file->groups->len)
		return vmfile_fail(file, number, error, "a [GROUP] has to stand before the first "
				   "key");
	group = file->groups->pdata[file->groups->len - 1];
	*eq = '\0';
	g_strchomp(line);
	if (strpbrk(line, "[]"))
		return vmfile_fail(file, number, error, "%s: a key has no brackets", line);
	other = vmfile_find(group, line);
	if (other)
		return vmfile_fail(file, number, error, "%s: line %u has this key already", line,
				   other->line);
	entry.value = parse_value(file, number, eq + 1 + strspn(eq + 1, " \t"), error);
	if (!entry.value)
		return false;
	entry.key = g_strdup(line);
	g_array_append_val(group->entries, entry);
	return true;
}

static bool parse_line(struct vmfile *file, unsigned number, const char *start, size_t len,
		       GError **error)
{
	g_autofree char *copy = NULL;
	char *line;

	/* GKeyFile takes CR LF for the end of a line. */
	if (len && start[len - 1] == '\r')
		len--;
	if (!check_text(file, number, start, len, error))
		return false;
	line = copy = g_strndup(start, len);
	while (is_space(*line))
		line++;
	if (*line == '\0' || *line == '#')
		return true;
	return *line == '[' ? parse_heading(file, number, line, error) :
			      parse_entry(file, number, line, error);
}

struct vmfile *vmfile_parse(const char *path, const char *text, size_t len, GError **error)
{
	auto_vmfile file = g_new0(struct vmfile, 1);
	const char *end = text + len;

	file->path = g_strdup(path);
	file->groups = g_ptr_array_new_with_free_func(group_free);
	if (len >= strlen(BOM) && !memcmp(text, BOM, strlen(BOM))) {
		vmfile_fail(file, 1, error, "it starts with a byte-order mark");
		return NULL;
	}
	for (unsigned number = 1; text < end; number++) {
		const char *newline = memchr(text, '\n', end - text) ?: end;

		if (!parse_line(file, number, text, newline - text, error))
			return NULL;
		text = newline < end ? newline + 1 : end;
	}
	return g_steal_pointer(&file);
}

/* ---- Files ---- */

/* Never waits: not for the writer of a FIFO either.  The fd, or -1 with @error. */
static int open_file(const char *path, struct stat *ret, GError **error)
{
	autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fstat(fd, ret) < 0)
		mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", path, log_errname(errno));
	else if (!S_ISREG(ret->st_mode))
		mpq_fail(error, MPQ_ERROR_USAGE, "%s: it is not a regular file", path);
	else if (ret->st_size > VMFILE_MAX)
		mpq_fail(error, MPQ_ERROR_USAGE, "%s: it has over %u bytes, which no file of a VM "
			 "has", path, VMFILE_MAX);
	else
		return fd_steal(&fd);
	return -1;
}

struct vmfile *vmfile_read(const char *path, GError **error)
{
	g_autofree char *text = NULL;
	struct stat st;
	autofd fd = open_file(path, &st, error);
	int ret;

	if (fd < 0)
		return NULL;
	text = g_malloc(st.st_size + 1);
	ret = fd_read_all(fd, text, st.st_size);
	if (ret) {
		mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", path, ret == -ENODATA ?
			 "it became shorter while it was read" : log_errname(ret));
		return NULL;
	}
	return vmfile_parse(path, text, st.st_size, error);
}

char *vmfile_escape(const char *value)
{
	size_t len = strlen(value);
	bool quoted = len >= 2 && value[0] == '"' && value[len - 1] == '"';
	g_autoptr(GString) text = g_string_new(quoted ? "\"" : NULL);

	if (!g_utf8_validate(value, -1, NULL))
		return NULL;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = value[i];
		/* Within a value they are seen well enough as they are. */
		bool inner = (c == ' ' && i && i + 1 < len) || (c == '\t' && i && i + 1 < len);
		unsigned row = 0;

		while (row < G_N_ELEMENTS(escapes) && escapes[row].means != value[i])
			row++;
		if (row < G_N_ELEMENTS(escapes) && !inner)
			g_string_append_printf(text, "\\%c", escapes[row].letter);
		else if ((c < ' ' && c != '\t') || c == 0x7f)
			return NULL;
		else
			g_string_append_c(text, c);
	}
	if (quoted)
		g_string_append_c(text, '"');
	return g_strdup(text->str);
}
