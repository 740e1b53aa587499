/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cell.h"

#include <string.h>
#include <unistd.h>

#include "base/fd.h"

char *dir, *inmate;

bool is_root(void)
{
	return geteuid() == 0;
}

/* The files of each cell: one of each kind, in the test's directory. */
static struct storage_file files[] = {
	{ (char *)(uintptr_t)"image", true }, { (char *)(uintptr_t)"base", false },
	{ (char *)(uintptr_t)"sock", false },
};

void cell_init(struct cell *cell, enum sandbox_level level, unsigned features)
{
	*cell = (struct cell){
		.level = level, .features = features, .files = g_ptr_array_new(),
	};
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
		g_ptr_array_add(cell->files, &files[i]);
}

void cell_finish(struct cell *cell)
{
	g_ptr_array_unref(cell->files);
}

bool start(const struct cell *cell, const char *words, bool preload, struct storage **ret,
	   GError **error)
{
	struct storage_graph graph = { .files = cell->files, .features = cell->features };
	g_autofree char *line = g_strdup_printf("%s %s", inmate, words);
	g_auto(GStrv) argv = g_strsplit(line, " ", -1);
	struct storage_jail jail;
	autofd listen_fd = -1;
	autofd client_fd = -1;
	autofd place = -1;
	bool ok;

	g_assert_true(storage_socket_pair(&listen_fd, &client_fd, &place, error));
	storage_jail_make(cell->level, &graph, NULL, NULL, inmate, &jail, error);
	g_assert_no_error(*error);
	if (cell->no_landlock)
		fd_close(&jail.ruleset);
	if (!preload)
		jail.env = g_environ_unsetenv(jail.env, "LD_PRELOAD");
	ok = storage_spawn(argv, &jail, listen_fd, client_fd, false, ret, error);
	storage_jail_finish(&jail);
	return ok;
}

char *outcome(const struct cell *cell, const char *words)
{
	g_autoptr(GError) error = NULL;
	struct storage *s = NULL;

	g_assert_false(start(cell, words, true, &s, &error));
	g_assert_nonnull(error);
	return g_strdup(error->message);
}

void expect(const struct cell *cell, const char *words, const char *what)
{
	g_autofree char *got = outcome(cell, words);

	if (strcmp(got, what))
		g_error("--sandbox=%s, %s: '%s' instead of '%s'", sandbox_level_name(cell->level),
			words, got, what);
}
