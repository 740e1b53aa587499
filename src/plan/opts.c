/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan/opts.h"

#include <stdarg.h>
#include <string.h>

#include "plan/opts-priv.h"

/* An error shows this much of an option's text, so that a hostile one still fits a log line. */
#define WHERE_MAX 400

/* QEMU's limit for one name of a dotted key (keyval). */
#define KEY_FRAGMENT_MAX 127

const struct opt_syntax opt_syntax_device = { "driver", OPT_DIALECT_QEMUOPTS, true };
const struct opt_syntax opt_syntax_object = { "qom-type", OPT_DIALECT_QEMUOPTS, true };
const struct opt_syntax opt_syntax_blockdev = { "driver", OPT_DIALECT_KEYVAL, true };
const struct opt_syntax opt_syntax_drive = { NULL, OPT_DIALECT_QEMUOPTS, false };
const struct opt_syntax opt_syntax_machine = { "type", OPT_DIALECT_QEMUOPTS, false };
const struct opt_syntax opt_syntax_name = { "guest", OPT_DIALECT_QEMUOPTS, false };
const struct opt_syntax opt_syntax_plain = { NULL, OPT_DIALECT_QEMUOPTS, false };

/* ---- The words of the command line ---- */

const struct option_def *option_find(const struct option_def *table, const char *name)
{
	for (; table->name; table++)
		if (!(table->flags & OPTION_OWN) && !strcmp(table->name, name))
			return table;
	return NULL;
}

const struct option_def *option_find_own(const struct option_def *table, const char *name)
{
	size_t len = strcspn(name, "=");

	for (; table->name; table++)
		if (table->flags & OPTION_OWN && strlen(table->name) == len &&
		    !strncmp(table->name, name, len))
			return table;
	return NULL;
}

char *option_usage(const struct option_def *def)
{
	bool own = def->flags & OPTION_OWN;

	return g_strconcat(own ? "--" : "-", def->name, !def->args ? "" : own ? "=" : " ",
			   def->args, NULL);
}

static char *where_of(const char *word, const char *arg)
{
	g_autofree char *all = arg ? g_strdup_printf("%s %s", word, arg) : g_strdup(word);

	if (strlen(all) <= WHERE_MAX)
		return g_steal_pointer(&all);
	return g_strdup_printf("%.*s...", WHERE_MAX, all);
}

/* The row of a word that starts with a dash, or NULL. */
static const struct option_def *find_word(const struct option_def *table, const char *word)
{
	bool two = word[1] == '-';
	const char *name = word + (two ? 2 : 1);
	const struct option_def *def = option_find(table, name);

	return !def && two ? option_find_own(table, name) : def;
}

/* "--NAME=VALUE" of an option that takes one, "--NAME" of one that does not. */
static bool take_own_value(struct option_use *use, const char *where, GError **error)
{
	const char *equals = strchr(use->word, '=');
	bool wanted = use->def->flags & OPTION_HAS_ARG;

	if (wanted && !equals) {
		g_autofree char *usage = option_usage(use->def);

		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: requires an argument: %s", where,
				usage);
	}
	if (!wanted && equals)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: takes no argument", where);
	use->arg = wanted ? equals + 1 : NULL;
	return true;
}

bool option_next(const struct option_def *table, int argc, char *const *argv, int *index,
		 struct option_use *ret, GError **error)
{
	struct option_use use = { .word = argv[*index], .index = *index, .count = 1 };
	g_autofree char *where = NULL;

	if (use.word[0] != '-') {
		use.arg = use.word;
		*index += 1;
		*ret = use;
		return true;
	}
	where = where_of(use.word, NULL);
	use.def = find_word(table, use.word);
	if (!use.def)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: invalid option", where);
	if (use.def->flags & OPTION_OWN) {
		if (!take_own_value(&use, where, error))
			return false;
	} else if (use.def->flags & OPTION_HAS_ARG) {
		if (*index + 1 >= argc)
			return mpq_fail(error, MPQ_ERROR_USAGE, "%s: requires an argument", where);
		use.arg = argv[*index + 1];
		use.count = 2;
	}
	*index += use.count;
	*ret = use;
	return true;
}

bool option_run(const struct option_def *table, int argc, char *const *argv, void *opaque,
		bool (*stray)(void *opaque, const struct option_use *use, GError **error),
		GError **error)
{
	struct option_use use;
	int index = 1;

	while (index < argc) {
		if (!option_next(table, argc, argv, &index, &use, error))
			return false;
		if (!(use.def ? use.def->handle : stray)(opaque, &use, error))
			return false;
	}
	return true;
}

char *option_where(const struct option_use *use)
{
	bool two_words = use->def && !(use->def->flags & OPTION_OWN);

	return where_of(use->word, two_words ? use->arg : NULL);
}

static bool fail_at(const char *where, GError **error, enum mpq_error code, const char *fmt,
		    va_list ap) __attribute__((format(printf, 4, 0)));

static bool fail_at(const char *where, GError **error, enum mpq_error code, const char *fmt,
		    va_list ap)
{
	g_autofree char *text = g_strdup_vprintf(fmt, ap);

	if (!where || !*where)
		return mpq_fail(error, code, "%s", text);
	return mpq_fail(error, code, "%s: %s", where, text);
}

bool option_fail(const struct option_use *use, GError **error, enum mpq_error code,
		 const char *fmt, ...)
{
	g_autofree char *where = option_where(use);
	va_list ap;

	va_start(ap, fmt);
	fail_at(where, error, code, fmt, ap);
	va_end(ap);
	return false;
}

bool opt_fail(const struct opt_set *set, GError **error, enum mpq_error code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_at(set->where, error, code, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- The set ---- */

struct opt_set *opt_set_create(const char *where)
{
	struct opt_set *set = g_new0(struct opt_set, 1);

	set->where = where_of(where ? where : "", NULL);
	return set;
}

void opt_set_destroy(struct opt_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->count; i++) {
		g_free(set->opt[i].key);
		g_free(set->opt[i].value);
	}
	g_free(set->opt);
	g_free(set->where);
	g_free(set);
}

void opt_set_cleanup(struct opt_set **set)
{
	opt_set_destroy(*set);
	*set = NULL;
}

/* Takes over @key and @value.  The array's size is the next power of two, so it is not kept. */
struct opt *opt_append(struct opt_set *set, char *key, char *value, enum opt_type type)
{
	struct opt *opt;

	if (!(set->count & (set->count - 1)))
		set->opt = g_renew(struct opt, set->opt, set->count ? set->count * 2 : 1);
	opt = &set->opt[set->count++];
	*opt = (struct opt) { .key = key, .value = value, .type = type };
	return opt;
}

struct opt_set *opt_set_copy(const struct opt_set *set)
{
	struct opt_set *copy = opt_set_create(set->where);

	copy->json = set->json;
	copy->help = set->help;
	for (size_t i = 0; i < set->count; i++) {
		const struct opt *from = &set->opt[i];
		struct opt *opt = opt_append(copy, g_strdup(from->key), g_strdup(from->value),
					     from->type);

		opt->implied = from->implied;
		opt->bare = from->bare;
	}
	return copy;
}

const struct opt *opt_find(const struct opt_set *set, const char *key)
{
	for (size_t i = set->count; i-- > 0;)
		if (!strcmp(set->opt[i].key, key))
			return &set->opt[i];
	return NULL;
}

const char *opt_get(const struct opt_set *set, const char *key)
{
	const struct opt *opt = opt_find(set, key);

	return opt ? opt->value : NULL;
}

bool opt_has_prefix(const struct opt_set *set, const char *prefix)
{
	for (size_t i = 0; i < set->count; i++)
		if (g_str_has_prefix(set->opt[i].key, prefix))
			return true;
	return false;
}

struct opt_set *opt_set_sub(const struct opt_set *set, const char *prefix)
{
	struct opt_set *sub = opt_set_create(set->where);

	sub->json = set->json;
	for (size_t i = 0; i < set->count; i++) {
		const struct opt *opt = &set->opt[i];

		if (g_str_has_prefix(opt->key, prefix))
			opt_append(sub, g_strdup(opt->key + strlen(prefix)), g_strdup(opt->value),
				   opt->type);
	}
	return sub;
}

void opt_put_typed(struct opt_set *set, const char *key, enum opt_type type, const char *value)
{
	struct opt *opt;

	for (size_t i = set->count; i-- > 0;) {
		opt = &set->opt[i];
		if (strcmp(opt->key, key))
			continue;
		value = g_strdup(value);	/* first: it may be the old one */
		g_free(opt->value);
		opt->value = (char *)(uintptr_t)value;
		opt->type = type;
		opt->bare = false;
		return;
	}
	opt_append(set, g_strdup(key), g_strdup(value), type);
}

void opt_put(struct opt_set *set, const char *key, const char *value)
{
	opt_put_typed(set, key, OPT_STRING, value);
}

size_t opt_remove(struct opt_set *set, const char *key)
{
	g_autoptr(GPtrArray) dead = g_ptr_array_new_with_free_func(g_free);
	struct opt *old = set->opt;
	size_t count = set->count, removed = 0;

	set->opt = NULL;
	set->count = 0;
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(old[i].key, key)) {
			g_ptr_array_add(dead, old[i].key);	/* @key may point there */
			g_free(old[i].value);
			removed++;
			continue;
		}
		*opt_append(set, NULL, NULL, OPT_STRING) = old[i];
	}
	g_free(old);
	return removed;
}

/* ---- key=value ---- */

static bool is_help(const char *text)
{
	return !strcmp(text, "help") || !strcmp(text, "?");
}

/* Reads a value up to the next single comma, "doubled" ones becoming one; moves *p to its end. */
static char *take_value(const char **p)
{
	GString *value = g_string_new(NULL);

	for (;;) {
		size_t len = strcspn(*p, ",");

		g_string_append_len(value, *p, len);
		*p += len;
		if ((*p)[0] != ',' || (*p)[1] != ',')
			return g_string_free(value, FALSE);
		g_string_append_c(value, ',');
		*p += 2;
	}
}

/* QemuOpts: "foo" is foo=on and "nofoo" is foo=off. */
static void add_flag(struct opt_set *set, char *name)
{
	bool off = g_str_has_prefix(name, "no");
	struct opt *opt;

	if (is_help(name)) {
		set->help = true;
		g_free(name);
		return;
	}
	if (off)
		memmove(name, name + 2, strlen(name + 2) + 1);
	opt = opt_append(set, name, g_strdup(off ? "off" : "on"), OPT_STRING);
	opt->bare = true;
}

static bool key_char(char c)
{
	return g_ascii_isalnum(c) || c == '-' || c == '_';
}

/* One name of a dotted keyval key: an index, or a name that starts with a letter. */
static bool fragment_wellformed(const char *name, size_t len)
{
	size_t digits = strspn(name, "0123456789");

	if (!len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!key_char(name[i]))
			return false;
	return digits >= len || g_ascii_isalpha(name[0]);
}

static bool check_key(const struct opt_set *set, const char *key, GError **error)
{
	const char *name = key;

	if (g_ascii_isdigit(key[0]))
		goto invalid;
	for (;;) {
		size_t len = strcspn(name, ".");

		if (!fragment_wellformed(name, len))
			goto invalid;
		if (len > KEY_FRAGMENT_MAX)
			return opt_bad(set, error, "Parameter%s '%.*s' is too long",
				       name != key || name[len] ? " fragment" : "",
				       (int)MIN(len, WHERE_MAX), name);
		if (!name[len])
			return true;
		name += len + 1;
	}
invalid:
	return opt_bad(set, error, "Invalid parameter '%.*s'", WHERE_MAX, key);
}

/* A word without '=': the implied key's value, or a flag. */
static bool parse_bare(struct opt_set *set, const char **p, const char *implied,
		       enum opt_dialect dialect, GError **error)
{
	size_t len = strcspn(*p, ",");
	g_autofree char *name = g_strndup(*p, len);

	if (implied && (dialect == OPT_DIALECT_QEMUOPTS || (len && !is_help(name)))) {
		char *value = take_value(p);

		set->help |= is_help(value);
		opt_append(set, g_strdup(implied), value, OPT_STRING)->implied = true;
		return true;
	}
	if (dialect == OPT_DIALECT_KEYVAL && !is_help(name)) {
		if (!check_key(set, name, error))
			return false;
		return opt_bad(set, error, "Expected '=' after parameter '%.*s'", WHERE_MAX, name);
	}
	*p += len;
	add_flag(set, g_steal_pointer(&name));
	return true;
}

static bool parse_pair(struct opt_set *set, const char **p, const char *implied,
		       enum opt_dialect dialect, GError **error)
{
	size_t len = strcspn(*p, "=,");
	g_autofree char *key = NULL;

	if ((*p)[len] != '=')
		return parse_bare(set, p, implied, dialect, error);
	key = g_strndup(*p, len);
	if (dialect == OPT_DIALECT_KEYVAL && !check_key(set, key, error))
		return false;
	*p += len + 1;
	opt_append(set, g_steal_pointer(&key), take_value(p), OPT_STRING);
	return true;
}

struct opt_set *opt_set_parse(const char *where, const char *text, const struct opt_syntax *syntax,
			      GError **error)
{
	auto_opt_set set = opt_set_create(where);
	const char *implied = syntax->implied;
	const char *p = text;

	if (syntax->json && text[0] == '{') {
		set->json = true;
		return opt_json_parse(set, text, error) ? g_steal_pointer(&set) : NULL;
	}
	while (*p) {
		if (!parse_pair(set, &p, implied, syntax->dialect, error))
			return NULL;
		implied = NULL;
		if (*p == ',')
			p++;
	}
	return g_steal_pointer(&set);
}

struct opt_set *opt_set_parse_use(const struct option_use *use, const struct opt_syntax *syntax,
				  GError **error)
{
	g_autofree char *where = option_where(use);

	return opt_set_parse(where, use->arg, syntax, error);
}

static void append_escaped(GString *text, const char *value)
{
	for (; *value; value++) {
		g_string_append_c(text, *value);
		if (*value == ',')
			g_string_append_c(text, ',');
	}
}

char *opt_set_to_keyval(const struct opt_set *set)
{
	GString *text = g_string_new(NULL);

	for (size_t i = 0; i < set->count; i++) {
		const struct opt *opt = &set->opt[i];

		if (i)
			g_string_append_c(text, ',');
		if (!opt->implied || i)
			g_string_append_printf(text, "%s=", opt->key);
		append_escaped(text, opt->value);
	}
	return g_string_free(text, FALSE);
}

char *opt_set_to_text(const struct opt_set *set, GError **error)
{
	return set->json ? opt_set_to_json_text(set, error) : opt_set_to_keyval(set);
}
