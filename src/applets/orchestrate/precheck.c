/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/precheck.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "applets/orchestrate/run/child.h"
#include "applets/orchestrate/twins.h"
#include "applets/remote/storage.h"
#include "base/log.h"
#include "block/image.h"
#include "plan/remote.h"
#include "plan/rewrite/rewrite.h"

/* Opens one image as the remote's keeper does; the fd goes to @fds, which keeps its lock. */
static bool check_image(struct plan_image *in, GArray *fds, GError **error)
{
	struct image_options options = {
		.path = in->filename, .format = in->probe ? NULL : in->driver,
		.direct = in->direct, .readonly = in->readonly, .auto_readonly = in->auto_readonly,
		.share_rw = in->share_rw, .resizable = true, .no_lock = !in->locking,
	};
	struct image image;
	GError *why = NULL;

	/* An image in an inherited fd is open already. */
	if (!in->driver || !in->filename || in->fdset >= 0)
		return true;
	if (!image_open(&options, &image, &why)) {
		g_propagate_prefixed_error(error, why, "%s: ", in->where);
		return false;
	}
	g_array_append_val(fds, image.fd);
	if (image.probed)
		plan_image_set_format(in, image.format);
	return true;
}

/*
 * Notes the storage daemon that the remote will start for this image, if any: its command names the
 * whole backing chain, which is all that it can open.
 */
static bool note_daemon(struct plan *notes, const struct remote_plan *remote,
			struct plan_image *in, GError **error)
{
	g_auto(GStrv) argv = NULL;
	g_autoptr(GString) text = g_string_new(NULL);
	GError *why = NULL;

	if (!in->driver || in->native)
		return true;
	argv = storage_command(remote, in, &why);
	if (why) {
		g_propagate_error(error, why);
		return false;
	}
	for (char **arg = argv; arg && *arg; arg++) {
		g_autofree char *quoted = g_shell_quote(*arg);

		/* Only what a shell would read otherwise stands in quotes. */
		g_string_append_printf(text, " %s", strpbrk(*arg, " '\"{}$`\\*?<>|&;()[]~#") ?
				       quoted : *arg);
	}
	if (argv)
		plan_note(notes, "%s: its remote starts%s", in->id, text->str);
	return true;
}

/* What the remotes' images have to do with each other. */
struct images {
	GArray *fds;		/* int: open, so that the locks of one are there for the next */
	struct twins twins;
};

static bool check_remote(char **argv, struct images *images, struct plan *notes, GError **error)
{
	struct remote_plan plan;
	bool ok = remote_plan_parse(g_strv_length(argv), argv, &plan, error);

	if (ok && plan.action != PLAN_RUN)
		ok = mpq_fail(error, MPQ_ERROR_REFUSED, "%s: this command line asks for help or "
			      "the version and serves nothing", argv[0]);
	else if (ok && plan.daemonize)
		ok = mpq_fail(error, MPQ_ERROR_REFUSED, "-daemonize: %s would leave the process "
			      "that mpqemu-orchestrate waits for", argv[0]);
	for (unsigned i = 0; ok && i < plan.spec->disk_count; i++)
		ok = twins_add(&images->twins, &plan, &plan.image[i], error) &&
		     check_image(&plan.image[i], images->fds, error) &&
		     (!notes || note_daemon(notes, &plan, &plan.image[i], error));
	remote_plan_finish(&plan);
	return ok;
}

bool precheck_remotes(struct plan *plan, bool note_daemons, GError **error)
{
	g_autoptr(GArray) fds = g_array_new(false, false, sizeof(int));
	struct images images = { .fds = fds };
	bool ok = true;

	twins_init(&images.twins);
	/* attach has no QEMU to start; Cloud Hypervisor's disks are no business of ours. */
	if (plan->qemu->argv->len && !rewrite_is_cloud(plan->qemu->argv->pdata[0]))
		ok = twins_add_qemu(&images.twins, plan_process_argv(plan->qemu), error);
	for (unsigned i = 0; ok && i < plan->remotes->len; i++) {
		char **argv = plan_process_remote(plan->remotes->pdata[i]);

		ok = !argv || check_remote(argv, &images, note_daemons ? plan : NULL, error);
	}
	twins_finish(&images.twins);
	for (unsigned i = 0; i < fds->len; i++)
		close(g_array_index(fds, int, i));
	return ok;
}

static bool check_limits(const struct plan_process *process, GError **error)
{
	const struct plan_limits *limits = &process->limits;
	const char *who = process->serves ?: "QEMU", *which = NULL;
	int ret = child_try_limits(limits, &which);

	if (ret && !strcmp(which, "numa"))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: numa=%s: %s", who, limits->numa,
				ret == -ENXIO ? "not all of these nodes are there, or they are not "
				"for us" : ret == -ENOSYS ? "the kernel has no NUMA (CONFIG_NUMA)" :
				log_errname(ret));
	if (ret == -ENXIO)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: cpus=%s: we may not run on all of "
				"these CPUs, or they are not there", who, limits->cpus);
	return !ret || mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s: %s", who, which,
				log_errname(ret));
}

bool precheck_limits(const struct plan *plan, GError **error)
{
	for (unsigned i = 0; i < plan->remotes->len; i++)
		if (!check_limits(plan->remotes->pdata[i], error))
			return false;
	return check_limits(plan->qemu, error);
}
