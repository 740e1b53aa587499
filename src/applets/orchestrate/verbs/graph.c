/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * graph: a VM's processes, and what joins them, as /proc shows it: sockets by the two processes
 * that have their ends, memfds by those that have them mapped or open.  For Graphviz's dot.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "applets/orchestrate/verbs/proc.h"
#include "applets/orchestrate/verbs/vmlink.h"
#include "applets/orchestrate/verbs/show.h"
#include "applets/orchestrate/verbs/verb.h"

#define DEPTH_MAX 4	/* of children: a remote's keeper, its device process, a storage daemon */

struct graph {
	GArray *pids;		/* int */
	GHashTable *shared;	/* "memfd:NAME (INODE)" -> GArray of int: who has it open */
};

/* @label: the line above its name, or NULL. */
static void add_node(struct graph *graph, int pid, const char *label)
{
	g_autofree char *comm = proc_line(pid, "comm");

	for (unsigned i = 0; i < graph->pids->len; i++)
		if (g_array_index(graph->pids, int, i) == pid)
			return;
	g_array_append_val(graph->pids, pid);
	printf("  p%d [label=\"%s%s%s %d\"];\n", pid, label ?: "", label ? "\\n" : "",
	       show_clean(comm), pid);
}

/* Its children, and theirs: a remote's device process and storage daemon. */
static void add_children(struct graph *graph, int pid, unsigned depth)
{
	g_autoptr(GArray) children = proc_children(pid);

	for (unsigned i = 0; depth && i < children->len; i++) {
		int child = g_array_index(children, pid_t, i);

		add_node(graph, child, proc_role(child));
		printf("  p%d -> p%d [style=dotted];\n", pid, child);
		add_children(graph, child, depth - 1);
	}
}

/* Only what two processes can share by it: a memfd.  The name that tells it, or NULL. */
static char *shared_name(int pid, const char *fd)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/fd/%s", pid, fd);
	char target[256];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	g_autofree char *info = NULL, *text = NULL;
	const char *inode;

	if (n < 0)
		return NULL;
	target[n] = '\0';
	if (!g_str_has_prefix(target, "/memfd:"))
		return NULL;
	info = g_strdup_printf("/proc/%d/fdinfo/%s", pid, fd);
	if (!g_file_get_contents(info, &text, NULL, NULL))
		return NULL;
	inode = strstr(text, "ino:\t");
	return g_strdup_printf("%.*s %d", (int)strcspn(target + 1, " "), target + 1,
			       inode ? atoi(inode + 5) : 0);
}

/* Takes over @name; NULL: nothing. */
static void add_user(struct graph *graph, int pid, char *name)
{
	GArray *users = name ? g_hash_table_lookup(graph->shared, name) : NULL;

	if (!name)
		return;
	if (!users) {
		users = g_array_new(false, false, sizeof(int));
		g_hash_table_insert(graph->shared, name, users);
	} else {
		g_free(name);
	}
	if (!users->len || g_array_index(users, int, users->len - 1) != pid)
		g_array_append_val(users, pid);
}

/*
 * The memfds that it has mapped: a device process closes that of guest RAM.  proc(5), maps:
 * address, rights, offset, device, inode, path.
 */
static void add_mapped(struct graph *graph, int pid)
{
	g_autofree char *text = proc_text(pid, "maps");
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	for (char **line = lines; *line; line++) {
		const char *name = strstr(*line, "/memfd:");
		int inode;

		if (name && sscanf(*line, "%*s %*s %*s %*s %d", &inode) == 1)
			add_user(graph, pid, g_strdup_printf("%.*s %d",
							     (int)strcspn(name + 1, " "), name + 1,
							     inode));
	}
}

static void add_shared(struct graph *graph, int pid)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/fd", pid);
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	const char *fd;

	while (dir && (fd = g_dir_read_name(dir)))
		add_user(graph, pid, shared_name(pid, fd));
	add_mapped(graph, pid);
}

static void print_shared(const struct graph *graph)
{
	GHashTableIter iter;
	void *name, *value;
	unsigned n = 0;

	g_hash_table_iter_init(&iter, graph->shared);
	while (g_hash_table_iter_next(&iter, &name, &value)) {
		const GArray *users = value;

		if (users->len < 2)
			continue;
		printf("  m%u [shape=box, label=\"%s\"];\n", n, show_clean(name));
		for (unsigned i = 0; i < users->len; i++)
			printf("  p%d -> m%u [dir=none];\n", g_array_index(users, int, i), n);
		n++;
	}
}

static void print_remote(struct graph *graph, const json_t *remote, int keeper, int qemu)
{
	int pid = show_number(remote, "pid");
	int holder = show_number(remote, "holder");
	const json_t *devices = json_object_get(remote, "devices");

	if (!pid)
		return;
	if (holder)
		add_node(graph, holder, "attach");
	add_node(graph, pid, show_text(remote, "id"));
	printf("  p%d -> p%d [style=dotted];\n", holder ? holder : keeper, pid);
	for (size_t i = 0; qemu && i < json_array_size(devices); i++)
		printf("  p%d -> p%d [dir=both, label=\"%s\"];\n", qemu, pid,
		       json_string_value(json_array_get(devices, i)));
	add_children(graph, pid, DEPTH_MAX);
}

static void free_users(void *users)
{
	g_array_unref(users);
}

static void print_graph(const json_t *status, const json_t *remotes)
{
	struct graph graph = {
		.pids = g_array_new(false, false, sizeof(int)),
		.shared = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_users),
	};
	int keeper = show_number(status, "pid");
	int qemu = show_number(json_object_get(status, "qemu"), "pid");

	printf("digraph \"%s\" {\n  rankdir=LR;\n  node [shape=ellipse];\n",
	       show_text(status, "name"));
	add_node(&graph, keeper, "keeper");
	if (qemu) {
		add_node(&graph, qemu, "QEMU");
		printf("  p%d -> p%d [style=dotted];\n", keeper, qemu);
	}
	for (size_t i = 0; i < json_array_size(remotes); i++)
		print_remote(&graph, json_array_get(remotes, i), keeper, qemu);
	for (unsigned i = 0; i < graph.pids->len; i++)
		add_shared(&graph, g_array_index(graph.pids, int, i));
	print_shared(&graph);
	printf("}\n");
	g_array_unref(graph.pids);
	g_hash_table_unref(graph.shared);
}

bool verb_graph(struct verb_args *args, GError **error)
{
	auto_vmlink link = vmlink_open(args->words[0], error);
	auto_json status = NULL;
	auto_json remotes = NULL;

	if (!vmlink_report(link, &status, &remotes, error))
		return false;
	print_graph(status, remotes);
	return true;
}
