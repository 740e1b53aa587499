/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romfile=: what is refused, and what the device process gets. */

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include "applets/remote/roms.h"
#include "control/launch.h"
#include "../util.h"

struct world {
	char *folder, *path;
	struct launch_spec *spec;
	struct remote_plan *plan;
};

/* Device 1 of two has a ROM. */
static void world_make(struct world *w)
{
	*w = (struct world){ .folder = g_dir_make_tmp("roms-XXXXXX", NULL) };
	g_assert_nonnull(w->folder);
	w->path = g_build_filename(w->folder, "rom", NULL);
	w->spec = g_new0(struct launch_spec, 1);
	w->spec->device_count = 2;
	w->spec->device[0].rom_slot = w->spec->device[1].rom_slot = -1;
	w->plan = g_new0(struct remote_plan, 1);
	w->plan->spec = w->spec;
	w->plan->rom[1] = (struct plan_rom){ w->path, (char *)(uintptr_t)"-device x" };
}

static void world_finish(struct world *w)
{
	unlink(w->path);
	rmdir(w->path);
	must(rmdir(w->folder));
	g_free(w->plan);
	g_free(w->spec);
	g_free(w->path);
	g_free(w->folder);
}

/* Of byte values 1..255 in turn. */
static void write_file(const struct world *w, size_t len)
{
	g_autofree char *data = g_malloc(len + 1);

	for (size_t i = 0; i < len; i++)
		data[i] = i % 255 + 1;
	g_assert_true(g_file_set_contents(w->path, data, len, NULL));
}

static void make_absent(const struct world *w)
{
}

static void make_folder(const struct world *w)
{
	must(mkdir(w->path, 0700));
}

static void make_fifo(const struct world *w)
{
	must(mkfifo(w->path, 0600));
}

static void make_empty(const struct world *w)
{
	write_file(w, 0);
}

static void make_large(const struct world *w)
{
	write_file(w, SPEC_ROM_MAX + 1);
}

static void make_loop(const struct world *w)
{
	must(symlink("rom", w->path));
}

static void test_bad(void)
{
	static const struct {
		void (*make)(const struct world *w);
		const char *words;
	} rows[] = {
		{ make_absent, "failed to find romfile \"%s\": No such file or directory" },
		{ make_folder, "romfile \"%s\" is not a regular file" },
		{ make_fifo, "romfile \"%s\" is not a regular file" },
		{ make_empty, "romfile \"%s\" is empty" },
		{ make_large, "romfile \"%s\" too large (size cannot exceed 1 MiB)" },
		{ make_loop, "failed to find romfile \"%s\": Too many levels of symbolic links" },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		unsigned fds = open_fds();
		int fd[SPEC_MAX_DEVICES];
		g_auto(GStrv) words = g_strsplit(rows[i].words, "%s", 2);
		g_autofree char *want = NULL;
		struct world w;

		world_make(&w);
		want = g_strconcat("-device x: ", words[0], w.path, words[1], NULL);
		rows[i].make(&w);
		g_assert_false(roms_open(w.plan, fd, &error));
		g_assert_cmpstr(error->message, ==, want);
		g_assert_cmpint(w.spec->device[1].rom_slot, ==, -1);
		g_assert_cmpuint(open_fds(), ==, fds);
		world_finish(&w);
	}
}

/* The whole of it, read only for ever. */
static void check_rom(int fd, size_t len, size_t size)
{
	const int all = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	uint8_t *data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	struct stat st;

	must(fstat(fd, &st));
	g_assert_cmpuint(st.st_size, ==, size);
	g_assert_cmpint(fcntl(fd, F_GET_SEALS) & all, ==, all);
	g_assert_cmpint(fcntl(fd, F_GETFD), ==, FD_CLOEXEC);
	g_assert_true(data != MAP_FAILED);
	for (size_t i = 0; i < size; i++)
		if (data[i] != (i < len ? i % 255 + 1 : 0))
			g_error("byte %zu of %zu is %u", i, size, data[i]);
	munmap(data, size);
	g_assert_true(mmap(NULL, size, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
}

static void test_sizes(void)
{
	static const struct {
		size_t file, rom;
	} rows[] = {
		{ 1, 2048 }, { 2047, 2048 }, { 2048, 2048 }, { 2049, 4096 }, { 65536, 65536 },
		{ 65537, 131072 }, { SPEC_ROM_MAX - 1, SPEC_ROM_MAX },
		{ SPEC_ROM_MAX, SPEC_ROM_MAX },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GError) error = NULL;
		int fd[SPEC_MAX_DEVICES];
		struct world w;

		world_make(&w);
		write_file(&w, rows[i].file);
		g_assert_true(roms_open(w.plan, fd, &error));
		g_assert_cmpint(fd[0], ==, -1);
		g_assert_cmpint(w.spec->device[0].rom_slot, ==, -1);
		g_assert_cmpint(w.spec->device[1].rom_slot, ==, LAUNCH_SLOT_ROM + 1);
		g_assert_cmpuint(w.spec->device[1].rom_size, ==, rows[i].rom);
		check_rom(fd[1], rows[i].file, rows[i].rom);
		close(fd[1]);
		world_finish(&w);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/roms/bad", test_bad);
	g_test_add_func("/roms/sizes", test_sizes);
	return g_test_run();
}
