/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lines.h"

#include <string.h>

#include <glib.h>

#include "plan/remote.h"
#include "plan/rewrite/rewrite.h"

static const char *const prefix[] = { "mpqemu-remote", NULL };

/* Writes out what a storage daemon would get. */
static void write_graphs(struct remote_plan *plan)
{
	for (unsigned i = 0; plan->action == PLAN_RUN && i < plan->spec->disk_count; i++) {
		struct plan_image *image = &plan->image[i];

		if (!image->driver)
			continue;
		if (image->probe)
			plan_image_set_format(image, "qcow2");
		for (guint k = 0; k < image->graph->len; k++) {
			g_autofree char *text = opt_set_to_text(image->graph->pdata[k], NULL);

			g_assert_nonnull(text);
		}
	}
}

bool line_try_remote(char **argv)
{
	g_autoptr(GError) error = NULL;
	struct remote_plan plan;
	bool good = remote_plan_parse(g_strv_length(argv), argv, &plan, &error);

	g_assert_cmpint(good, ==, error == NULL);
	if (good)
		write_graphs(&plan);
	remote_plan_finish(&plan);
	return good;
}

static bool finish(struct plan *plan, const GError *error)
{
	bool good = plan != NULL;

	g_assert_cmpint(good, ==, error == NULL);
	if (good) {
		g_autofree char *text = plan_to_shell(plan, "mpqemu-orchestrate");

		g_assert_nonnull(text);
	}
	plan_destroy(plan);
	return good;
}

/* Fds that the caller has open. */
static const int busy[] = { 3, 9 };

static const struct rewrite_facts facts = {
	.qemu_major = 7, .qemu_minor = 2, .has_proxy = true, .has_vfio_user = true,
	.socket_dir = "/run/" PLAN_SOCKET_DIR, .remote_prefix = prefix, .busy_fds = busy,
	.busy_count = G_N_ELEMENTS(busy),
};

static bool try_protocol(char **argv, const struct rewrite_choice *some, uint8_t protocol)
{
	struct rewrite_choice choice = *some;
	g_autoptr(GError) error = NULL;
	struct plan *plan;

	choice.protocol = protocol;
	plan = rewrite_move(argv, &choice, &facts, &error);
	return finish(plan, error);
}

/* As Cloud Hypervisor's devices, and as its own command line. */
static void try_cloud(char **argv)
{
	char *vmm[] = { (char[]){ "cloud-hypervisor" }, (char[]){ "--kernel=k" }, NULL };
	char *devices[] = { (char[]){ "" }, (char[]){ "-device" }, (char[]){ "edu,id=e" }, NULL };
	const struct rewrite_choice choice = { 0 };
	g_autoptr(GPtrArray) words = g_ptr_array_new();
	g_autoptr(GError) error = NULL;
	struct plan *plan = rewrite_cloud(vmm, argv, &choice, &facts, &error);

	finish(plan, error);
	g_clear_error(&error);
	g_ptr_array_add(words, vmm[0]);
	g_ptr_array_add(words, vmm[1]);
	for (argv++; *argv; argv++)
		g_ptr_array_add(words, *argv);
	g_ptr_array_add(words, NULL);
	plan = rewrite_cloud((char **)words->pdata, devices, &choice, &facts, &error);
	finish(plan, error);
}

bool line_try_move(char **argv, char *remote, char *local)
{
	char *remotes[] = { remote, NULL }, *locals[] = { local, NULL };
	const struct rewrite_choice choice = {
		.remote = remote ? remotes : NULL, .local = local ? locals : NULL,
	};
	bool vfio_user = try_protocol(argv, &choice, REWRITE_PROTOCOL_VFIO_USER);

	try_cloud(argv);
	return try_protocol(argv, &choice, REWRITE_PROTOCOL_MPQEMU) && vfio_user;
}

/* @argv up to a "---", as a vector of its own, or NULL when there is no such word. */
static char **cut_remote(char ***argv)
{
	char **word = *argv, **copy;

	while (*word && strcmp(*word, "---"))
		word++;
	if (!*word)
		return NULL;
	copy = g_new0(char *, word - *argv + 1);
	memcpy(copy, *argv, (word - *argv) * sizeof(*copy));
	*argv = word + 1;
	return copy;
}

bool line_try_join(char **argv)
{
	g_autoptr(GPtrArray) remotes = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GError) error = NULL;
	struct plan *plan;
	char **remote;

	while ((remote = cut_remote(&argv)))
		g_ptr_array_add(remotes, remote);
	for (guint i = 0; i < remotes->len; i++)
		if (!*(char **)remotes->pdata[i])
			return false;	/* the applet refuses it before */
	if (!*argv)
		return false;
	plan = rewrite_join(remotes, argv, &facts, &error);
	return finish(plan, error);
}

bool line_parse(const char *line, struct remote_plan *plan, GError **error)
{
	g_autofree char *text = g_strconcat("mpqemu-remote ", line, NULL);
	g_auto(GStrv) argv = NULL;
	int argc;

	g_assert_true(g_shell_parse_argv(text, &argc, &argv, NULL));
	return remote_plan_parse(argc, argv, plan, error);
}

void line_assert_refused(const struct line_refused *row)
{
	g_autoptr(GError) error = NULL;
	struct remote_plan plan;
	bool good = line_parse(row->line, &plan, &error);

	remote_plan_finish(&plan);
	g_test_message("%s: %s", row->line, error ? error->message : "no error");
	g_assert_false(good);
	g_assert_error(error, MPQ_ERROR, (int)row->code);
	g_assert_null(strchr(error->message, '\n'));
	if (row->error)
		g_assert_cmpstr(error->message, ==, row->error);
}
