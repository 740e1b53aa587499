/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/twins.h"

#include <string.h>
#include <sys/stat.h>

#include "block/image.h"
#include "plan/rewrite/cmd.h"

struct twin {
	char *where;
	dev_t dev;		/* of the file, or what a block device is, whatever its node */
	ino_t ino;
	bool writes;
	bool shares;		/* others may write */
	bool used;		/* QEMU's: a device has it; without one it takes no locks */
};

static void twin_clear(void *p)
{
	g_free(((struct twin *)p)->where);
}

void twins_init(struct twins *twins)
{
	twins->images = g_array_new(false, false, sizeof(struct twin));
	g_array_set_clear_func(twins->images, twin_clear);
}

void twins_finish(struct twins *twins)
{
	g_array_unref(twins->images);
}

/* What is not there is refused by who opens it. */
static bool look_at(const char *path, int fd, struct twin *ret)
{
	struct stat st;

	if ((fd >= 0 ? fstat(fd, &st) : stat(image_path(path), &st)) < 0)
		return false;
	ret->dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	ret->ino = S_ISBLK(st.st_mode) ? 0 : st.st_ino;
	return true;
}

/* As the locks have it: nobody writes beside one who does not expect it. */
static bool are_rivals(const struct twin *a, const struct twin *b)
{
	return a->dev == b->dev && a->ino == b->ino &&
	       ((a->writes && !b->shares) || (b->writes && !a->shares));
}

bool twins_add(struct twins *twins, const struct remote_plan *plan, const struct plan_image *image,
	       GError **error)
{
	struct twin twin = { .writes = !image->readonly, .shares = image->share_rw };
	int fd = image->fdset < 0 ? -1 : remote_plan_fdset(plan, image->fdset, twin.writes);

	/* locking=off says that somebody else sees to it. */
	if (!image->driver || !image->filename || !image->locking ||
	    !look_at(image->filename, fd, &twin))
		return true;
	for (unsigned i = 0; i < twins->images->len; i++) {
		const struct twin *other = &g_array_index(twins->images, struct twin, i);

		if (are_rivals(&twin, other))
			return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: it is the same image as "
					"that of %s, and they are not both read-only",
					image->where, other->where);
	}
	twin.where = g_strdup(image->where);
	g_array_append_val(twins->images, twin);
	return true;
}

/* ---- QEMU's own ---- */

static bool is_on(const struct opt_set *set, const char *key)
{
	bool on = false;

	return opt_get_bool(set, key, &on, NULL) && on;
}

/* Does the device write, and may others?  It has the image by the name of a drive or node. */
static void look_at_device(const struct qcmd *cmd, const char *name, struct twin *ret)
{
	for_each_qopt(opt, cmd) {
		if (!qopt_is(opt, "device") || !name ||
		    g_strcmp0(opt_get(opt->set, "drive"), name))
			continue;
		ret->used = true;
		ret->writes = !g_str_has_suffix(qopt_type(opt), "-cd");
		ret->shares = is_on(opt->set, "share-rw");
	}
}

/* A -drive, which its id or if= gives to a device. */
static const char *look_at_drive(const struct qcmd *cmd, const struct opt_set *set,
				 struct twin *ret)
{
	if (!g_strcmp0(opt_get(set, "file.locking"), "off"))
		return NULL;
	ret->used = ret->writes = g_strcmp0(opt_get(set, "if"), "none");
	look_at_device(cmd, opt_get(set, "id"), ret);
	if (is_on(set, "readonly") || is_on(set, "read-only") || is_on(set, "snapshot") ||
	    !g_strcmp0(opt_get(set, "media"), "cdrom"))
		ret->writes = false;
	return opt_get(set, "file.filename") ?: opt_get(set, "file");
}

/* A -blockdev with the file, which a device has, or a node that stands on it and that one has. */
static const char *look_at_node(const struct qcmd *cmd, const struct opt_set *set,
				struct twin *ret)
{
	const char *name = opt_get(set, "node-name");
	bool readonly = is_on(set, "read-only");

	if (!g_strcmp0(opt_get(set, "locking") ?: opt_get(set, "file.locking"), "off"))
		return NULL;
	look_at_device(cmd, name, ret);
	for_each_qopt(opt, cmd) {
		if (!qopt_is(opt, "blockdev") || !name ||
		    g_strcmp0(opt_get(opt->set, "file"), name))
			continue;
		readonly |= is_on(opt->set, "read-only");
		look_at_device(cmd, opt_get(opt->set, "node-name"), ret);
	}
	ret->writes &= !readonly;
	return opt_get(set, "file.filename") ?: opt_get(set, "filename");
}

/* "-hda FILE" and the file alone are a disk; -cdrom is read only. */
static const char *look_at_word(const struct qopt *opt, struct twin *ret)
{
	static const char *const disks[] = {
		"hda", "hdb", "hdc", "hdd", "mtdblock", "pflash", "sd", NULL
	};

	ret->used = true;
	ret->writes = !opt->name || strcmp(opt->name, "cdrom");
	if (!opt->name)
		return opt->word;
	return !ret->writes || g_strv_contains(disks, opt->name) ? opt->arg : NULL;
}

bool twins_add_qemu(struct twins *twins, char *const *argv, GError **error)
{
	auto_qcmd cmd = qcmd_parse(argv, error);

	for (unsigned i = 0; cmd && i < cmd->opts->len; i++) {
		const struct qopt *opt = cmd->opts->pdata[i];
		struct twin twin = { 0 };
		const char *path = qopt_is(opt, "drive")    ? look_at_drive(cmd, opt->set, &twin) :
				   qopt_is(opt, "blockdev") ? look_at_node(cmd, opt->set, &twin) :
							      look_at_word(opt, &twin);

		if (!path || !twin.used || !look_at(path, -1, &twin))
			continue;
		twin.where = opt->arg ? g_strdup_printf("%s %s", opt->word, opt->arg) :
					g_strdup(opt->word);
		g_array_append_val(twins->images, twin);
	}
	return cmd;
}
