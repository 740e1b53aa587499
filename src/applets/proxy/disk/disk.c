/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/disk/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

#define COMMAND_TIMEOUT_MS 30000

/* The verb disk: its command line, and what its parts share. */

static const struct {
	const char *name;
	const char *form;
	enum disk_what what;
	unsigned words;
} whats[] = {
	{ "list", "disk list", DISK_LIST, 0 },
	{ "copy", "disk copy FROM TO", DISK_COPY, 2 },
	{ "export", "disk export TARGET:LUN --listen PATH", DISK_EXPORT, 1 },
};

/* ---- the command line ---- */

static void *disk_create(const struct proxy_verb *verb)
{
	return g_new0(struct disk_args, 1);
}

static struct disk_args *data_of(void *opaque)
{
	return ((struct proxy_args *)opaque)->data;
}

static bool set_json(void *opaque, const struct option_use *use, GError **error)
{
	data_of(opaque)->json = true;
	return true;
}

static bool set_force(void *opaque, const struct option_use *use, GError **error)
{
	data_of(opaque)->force = true;
	return true;
}

static bool set_read_only(void *opaque, const struct option_use *use, GError **error)
{
	data_of(opaque)->read_only = true;
	return true;
}

static bool set_listen(void *opaque, const struct option_use *use, GError **error)
{
	bool is_unix = g_str_has_prefix(use->arg, "unix:");
	const char *path = is_unix ? use->arg + 5 : use->arg;

	if (!*path)
		return option_fail(use, error, MPQ_ERROR_USAGE, "expected the path of a socket");
	/* as in QEMU, what stands before a colon is no folder */
	if (!is_unix && path[strcspn(path, ":/")] == ':')
		return option_fail(use, error, MPQ_ERROR_USAGE, "expected [unix:]PATH, for only a "
				   "UNIX socket can be served on");
	data_of(opaque)->listen = path;
	return true;
}

static const struct option_def options[] = {
	{ "json", 0, set_json, NULL, "list: the same as JSON, an array of units", 0 },
	{ "force", 0, set_force, NULL, "copy: overwrite a file that exists", 0 },
	PROXY_OPTION("listen", set_listen, "[unix:]PATH", "export: the UNIX socket to serve on"),
	{ "read-only", 0, set_read_only, NULL, "export: refuse writes", 0 },
	PROXY_OPTIONS_END,
};

static bool take_word(struct proxy_args *args, const char *word, GError **error)
{
	struct disk_args *d = args->data;

	if (d->what) {
		if (d->word_count == G_N_ELEMENTS(d->words))
			return mpq_fail(error, MPQ_ERROR_USAGE, "disk: %.100s is one word too many",
					word);
		d->words[d->word_count++] = word;
		return true;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(whats); i++) {
		if (strcmp(word, whats[i].name))
			continue;
		d->what = whats[i].what;
		return true;
	}
	return mpq_fail(error, MPQ_ERROR_USAGE, "disk %.100s: expected list, copy or export", word);
}

/* One number up to @end, or up to the end of the text when that is 0. */
static bool take_number(const char **text, char end, unsigned limit, unsigned *ret)
{
	unsigned value = 0;

	if (!g_ascii_isdigit(**text))
		return false;
	for (; g_ascii_isdigit(**text); (*text)++) {
		value = value * 10 + (**text - '0');
		if (value >= limit)
			return false;
	}
	if (**text != end)
		return false;
	*ret = value;
	*text += end != 0;
	return true;
}

/* "TARGET:LUN"; a file of such a name is ./TARGET:LUN. */
static bool parse_unit(const char *word, struct disk_args *d)
{
	unsigned target, lun;

	if (!take_number(&word, ':', 16, &target) || !take_number(&word, 0, SCSI_LUNS, &lun))
		return false;
	d->target = target;
	d->lun = lun;
	return true;
}

static bool parse_copy(struct disk_args *d, GError **error)
{
	bool from = parse_unit(d->words[0], d), to = parse_unit(d->words[1], d);

	if (from == to)
		return mpq_fail(error, MPQ_ERROR_USAGE, "disk copy %s %s: expected one unit "
				"(TARGET:LUN, such as 0:0) and one file", d->words[0], d->words[1]);
	d->to_file = from;
	d->file = d->words[from ? 1 : 0];
	return true;
}

static bool check_options(const struct disk_args *d, GError **error)
{
	const struct {
		bool given;
		enum disk_what of;
		const char *name;
	} uses[] = {
		{ d->json, DISK_LIST, "--json" }, { d->force, DISK_COPY, "--force" },
		{ d->listen, DISK_EXPORT, "--listen" },
		{ d->read_only, DISK_EXPORT, "--read-only" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(uses); i++)
		if (uses[i].given && uses[i].of != d->what)
			return mpq_fail(error, MPQ_ERROR_USAGE, "%s is an option of disk %s",
					uses[i].name, whats[uses[i].of - DISK_LIST].name);
	return true;
}

static bool check(const struct proxy_args *args, GError **error)
{
	struct disk_args *d = args->data;

	if (!d->what)
		return mpq_fail(error, MPQ_ERROR_USAGE, "disk: expected list, copy or export");
	if (!check_options(d, error))
		return false;
	if (d->word_count != whats[d->what - DISK_LIST].words ||
	    (d->what == DISK_EXPORT && !d->listen))
		return mpq_fail(error, MPQ_ERROR_USAGE, "expected: %s",
				whats[d->what - DISK_LIST].form);
	if (d->what == DISK_COPY)
		return parse_copy(d, error);
	if (d->what == DISK_EXPORT && !parse_unit(d->words[0], d))
		return mpq_fail(error, MPQ_ERROR_USAGE, "disk export %s: expected TARGET:LUN, such "
				"as 0:0", d->words[0]);
	return true;
}

/* ---- a device ---- */

static bool create_failed(struct session *session, int ret, GError **error)
{
	if (ret == -ENODEV)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: it is no LSI 53C895A or 53C810",
				session_name(session));
	return session_failed(session, ret, error);
}

bool disk_open(struct disk *disk, struct session *session, uint64_t data_size, GError **error)
{
	uint64_t ram = align_up(DISK_DATA + data_size, 4096);
	int ret;

	*disk = (struct disk){ .session = session };
	if (!session_open(session, session_device(session), ram, error))
		return false;
	ret = initiator_create(&session->client, &disk->initiator);
	if (ret)
		return create_failed(session, ret, error);
	disk->host = (struct scsi_host){
		.initiator = disk->initiator, .client = &session->client,
		.scratch = INITIATOR_RAM, .timeout_ms = COMMAND_TIMEOUT_MS,
	};
	return true;
}

void disk_close(struct disk *disk)
{
	initiator_destroy(disk->initiator);
	disk->initiator = NULL;
	session_close(disk->session);
}

bool disk_probe(struct disk *disk, const struct disk_args *args, struct scsi_lu *ret_lu,
		GError **error)
{
	const char *name = session_name(disk->session);
	int ret = scsi_probe(&disk->host, args->target, args->lun, ret_lu);

	if (ret == -ENODEV || ret == -ENXIO)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: there is no unit %u:%u", name,
				args->target, args->lun);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %u:%u: %s", name, args->target,
				args->lun, disk->host.why);
	if (!ret_lu->block_size)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %u:%u: it has no blocks, or no "
				"medium", name, args->target, args->lun);
	return true;
}

/* ---- the verb ---- */

static int disk_run(const struct proxy_args *args, GError **error)
{
	static bool (*const run[])(const struct disk_args *, struct session *, GError **) = {
		[DISK_LIST] = disk_list, [DISK_COPY] = disk_copy, [DISK_EXPORT] = disk_export,
	};
	const struct disk_args *d = args->data;
	struct session session = { .remote = { .pid = -1 } };
	bool ok;

	/* its number would be that of a socket or a file, which gets what we print */
	if (d->what != DISK_COPY && !fd_is_open(STDOUT_FILENO))
		ok = mpq_fail(error, MPQ_ERROR_SYSTEM, "standard output: %s", log_errname(EBADF));
	else
		ok = session_start(&session, &args->target, true, error) &&
		     run[d->what](d, &session, error);
	session_finish(&session, ok ? error : NULL);
	return PROXY_EXIT_OK;
}

const struct proxy_verb verb_disk = {
	.name = "disk", .form = "list | copy | export", .help = "disks behind a SCSI controller",
	.options = options, .create = disk_create, .destroy = g_free, .word = take_word,
	.check = check, .run = disk_run,
};
