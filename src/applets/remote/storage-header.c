/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Headers of images, which a guest that took over a storage daemon can have written.  So they are
 * read in a jail, and what they name is a file of the daemon's only if it lies beside the image.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "applets/remote/storage-priv.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"

#define QEMU_IMG "qemu-img"
#define DESCRIPTOR_MAX 65536	/* bytes of a VMDK descriptor that are looked at */
#define NAME_IT "name the chain with backing= (backing.driver=, backing.file.filename=)"

/* ---- Names ---- */

/* A name in a header that is no local file would send the daemon elsewhere. */
static bool is_local_name(const char *name, GError **error)
{
	const char *colon = strchr(name, ':'), *slash = strchr(name, '/');

	if (colon && (!slash || colon < slash))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "'%s', which the image names, is not a "
				"local file; describe it with -blockdev", name);
	return true;
}

/* A regular file with no symbolic link on the way; NULL with errno. */
static char *resolve(const char *path)
{
	char *real = realpath(path, NULL);
	struct stat st;

	if (!real || (stat(real, &st) == 0 && S_ISREG(st.st_mode)))
		return real;
	free(real);
	errno = EINVAL;
	return NULL;
}

/* Both without links: below "/" everything would lie. */
static bool is_beside(const char *image, const char *name)
{
	size_t len = strrchr(image, '/') - image;

	return len > 0 && !strncmp(image, name, len) && name[len] == '/';
}

/* As lies beside it, or at SANDBOX_OFF a warning. */
static bool check_place(enum sandbox_level level, const char *path, const char *name,
			GError **error)
{
	char *image = resolve(path), *real = resolve(name);
	int err = errno;
	bool missing = !real && err != EINVAL;
	bool ok = image && real && is_beside(image, real);

	free(image);
	free(real);
	if (ok || (missing && level == SANDBOX_OFF))
		return true;
	if (level == SANDBOX_OFF) {
		log_warning("'%s', which the header of '%s' names, does not lie beside that image",
			    name, path);
		return true;
	}
	if (missing)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "'%s', which the header of '%s' names: "
				"%s", name, path, g_strerror(err));
	return mpq_fail(error, MPQ_ERROR_REFUSED, "'%s', which the header of '%s' names, is not a "
			"file in the folder of that image; " NAME_IT, name, path);
}

char *storage_header_path(enum sandbox_level level, const char *path, const char *name,
			  GError **error)
{
	g_autofree char *dir = path ? g_path_get_dirname(path) : NULL, *full = NULL;

	if (!is_local_name(name, error))
		return NULL;
	if (!path && (level != SANDBOX_OFF || name[0] != '/')) {
		mpq_fail(error, MPQ_ERROR_REFUSED, "the image names '%s' and is no local file; "
			 NAME_IT, name);
		return NULL;
	}
	full = name[0] == '/' || !strcmp(dir, ".") ? g_strdup(name) :
	       g_build_filename(dir, name, NULL);
	if (path && !check_place(level, path, full, error))
		return NULL;
	return g_steal_pointer(&full);
}

/* ---- Extents of VMDK ---- */

/* The name in "RW 8192 FLAT "disk-flat.vmdk" 0"; or NULL.  The caller frees. */
static char *extent_name(const char *line)
{
	static const char *const starts[] = { "RW ", "RDONLY ", "NOACCESS " };
	g_auto(GStrv) part = g_strsplit(line, "\"", 3);

	for (size_t i = 0; i < G_N_ELEMENTS(starts); i++)
		if (g_str_has_prefix(line, starts[i]) && g_strv_length(part) == 3)
			return g_strdup(part[1]);
	return NULL;
}

static bool add_extent(struct storage_source *source, struct storage_header *header,
		       const char *name, GError **error)
{
	g_autofree char *path = NULL;

	/* the image itself, in which a sparse extent lies */
	if (!g_strcmp0(name, source->path) || !strcmp(name, source->name))
		return true;
	path = storage_header_path(source->level, source->path, name, error);
	if (!path)
		return false;
	storage_graph_add_file(&source->graph, path, false);
	g_ptr_array_add(header->extents, g_steal_pointer(&path));
	return true;
}

/* qemu-img opens the extents of a descriptor, so they have to be in its jail. */
static bool add_extents(struct storage_source *source, struct storage_header *header,
			GError **error)
{
	static const char start[] = "# Disk DescriptorFile";
	g_autofree char *text = g_malloc0(DESCRIPTOR_MAX + 1);
	g_auto(GStrv) lines = NULL;
	autofd fd = source->path ? open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;

	/* who cannot be read is the daemon's to complain about */
	if (fd < 0 || pread(fd, text, DESCRIPTOR_MAX, 0) < 0 || !g_str_has_prefix(text, start))
		return true;
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line; line++) {
		g_autofree char *name = extent_name(*line);

		if (name && !add_extent(source, header, name, error))
			return false;
	}
	return true;
}

/* Has the jail told of others?  Those may not be believed either. */
static bool check_extents(const struct storage_source *source, const struct storage_header *header,
			  const json_t *data, GError **error)
{
	const json_t *extent;
	size_t i;

	json_array_foreach(json_object_get(data, "extents"), i, extent) {
		const char *name = json_string_value(json_object_get(extent, "filename"));

		if (!name || !g_strcmp0(name, source->path) || !strcmp(name, source->name) ||
		    source->level == SANDBOX_OFF ||
		    g_ptr_array_find_with_equal_func(header->extents, name, g_str_equal, NULL))
			continue;
		return mpq_fail(error, MPQ_ERROR_REFUSED, "extent '%s' of '%s' cannot be used",
				name, source->name);
	}
	return true;
}

/* ---- qemu-img ---- */

/* Runs `qemu-img info` (without regard to locks: the daemon is who takes them). */
static char *run_info(const struct storage_source *source, const char *format, GError **error)
{
	g_autofree char *program = g_find_program_in_path(QEMU_IMG), *out = NULL;
	const char *const argv[] = {
		program, "info", "-U", "--output=json", format ? "-f" : "--",
		format ? format : source->name, format ? "--" : NULL,
		format ? source->name : NULL, NULL,
	};
	struct storage_jail jail;

	if (!program) {
		mpq_fail(error, MPQ_ERROR_REFUSED, QEMU_IMG " is not installed");
		return NULL;
	}
	if (!storage_jail_make(source->level, &source->graph, NULL, NULL, program, &jail, error))
		return NULL;
	if (!storage_run((char **)(uintptr_t)argv, &jail, &out, error) && error && *error &&
	    g_str_has_prefix((*error)->message, QEMU_IMG ": ")) {
		g_autofree char *text = g_strdup((*error)->message + strlen(QEMU_IMG ": "));

		g_clear_error(error);
		mpq_fail(error, MPQ_ERROR_REFUSED, "%s", text);
	}
	storage_jail_finish(&jail);
	return g_steal_pointer(&out);
}

static char *copy(const json_t *object, const char *key)
{
	return g_strdup(json_string_value(json_object_get(object, key)));
}

bool storage_header_read(struct storage_source *source, const char *format,
			 struct storage_header *ret, GError **error)
{
	struct storage_header header = {
		.extents = g_ptr_array_new_with_free_func(g_free),
	};
	bool ok = (format && strcmp(format, "vmdk")) || add_extents(source, &header, error);
	g_autofree char *text = ok ? run_info(source, format, error) : NULL;
	json_t *info = text ? json_loads(text, 0, NULL) : NULL;
	const json_t *data = json_object_get(json_object_get(info, "format-specific"), "data");

	header.format = copy(info, "format");
	header.backing = copy(info, "backing-filename");
	header.backing_format = copy(info, "backing-filename-format");
	header.data_file = copy(data, "data-file");
	ok = ok && text;
	if (ok && !header.format)
		ok = mpq_fail(error, MPQ_ERROR_REFUSED, "'%s': unreadable header", source->name);
	ok = ok && check_extents(source, &header, data, error);
	json_decref(info);
	if (ok)
		*ret = header;
	else
		storage_header_finish(&header);
	return ok;
}

void storage_header_finish(struct storage_header *header)
{
	g_free(header->format);
	g_free(header->backing);
	g_free(header->backing_format);
	g_free(header->data_file);
	g_ptr_array_unref(header->extents);
}

void storage_source_finish(struct storage_source *source)
{
	g_free(source->name);
	g_free(source->path);
	storage_graph_finish(&source->graph);
}
