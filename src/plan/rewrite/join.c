/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Command lines written by hand, as in QEMU's multi-process document: "-object x-remote-object,
 * devid=ID,fd=M" on a remote's side and "-device x-pci-proxy-dev,id=ID,fd=N" (or socket=N) on
 * QEMU's name the two ends of one socketpair.  "-object x-vfio-user-server,type=fd,str=M,device=ID"
 * gets a socket at M that listens on the path that QEMU's vfio-user-pci of that id connects to, or,
 * of Cloud Hypervisor, the --user-device whose socket is called ID.sock.
 */

#include <limits.h>
#include <string.h>

#include "plan/rewrite/priv.h"

struct join {
	const struct rewrite_facts *facts;
	struct plan *plan;
	struct qcmd *qemu;
	struct rewrite_uses uses;
	GHashTable *pairs;	/* device id -> index + 1 of the pair: x-remote-object */
	GHashTable *proxies;	/* ids of QEMU's proxies */
	GArray *servers;	/* struct join_server */
};

/* An x-vfio-user-server. */
struct join_server {
	struct plan_process *process;
	char *id;		/* of its device */
	char *path;		/* that it listens on by itself, or NULL */
	int fd;			/* that it gets; -1: none */
	unsigned pair;
	bool joined;
};

static bool read_fd(const struct opt_set *set, const char *key, int *ret, GError **error)
{
	const char *text = opt_get(set, key);
	guint64 fd = 0;

	/* A JSON -device has it as a string, as QEMU wants it. */
	if (!text)
		return true;
	if (!g_ascii_string_to_unsigned(text, 10, 0, INT_MAX, &fd, NULL))
		return opt_fail(set, error, MPQ_ERROR_REFUSED,
				"%s=%s is no number: mpqemu-orchestrate makes the socketpair and "
				"puts its ends at the numbers that stand here", key, text);
	if (fd < 3)
		return opt_fail(set, error, MPQ_ERROR_REFUSED,
				"%s=%s is stdin, stdout or stderr: take 3 or more", key, text);
	*ret = fd;
	return true;
}

/* Takes the number @fd in @process; two ends cannot have the same. */
static bool take_slot(struct plan_process *process, const struct opt_set *set, int fd,
		      unsigned pair, const char *id, GError **error)
{
	for (unsigned i = 0; i < process->slots->len; i++) {
		const struct plan_slot *slot = &g_array_index(process->slots, struct plan_slot, i);

		if (slot->fd == fd && fd >= 0)
			return opt_fail(set, error, MPQ_ERROR_REFUSED,
					"fd %d is the socket of '%s' already", fd, slot->device);
	}
	for (unsigned i = 0; i < process->keep->len; i++)
		if (g_array_index(process->keep, int, i) == fd)
			return opt_fail(set, error, MPQ_ERROR_REFUSED,
					"fd %d is in -add-fd of this command too", fd);
	plan_process_slot(process, fd, pair, id);
	return true;
}

/* ---- The remotes ---- */

static bool is_word(const char *word, const char *name)
{
	return word[0] == '-' && !strcmp(word + (word[1] == '-' ? 2 : 1), name);
}

/* Is there a -device of that id?  QEMU's own remote crashes when there is none. */
static bool has_device(char *const *argv, const char *id, const char **ret_driver)
{
	for (; argv[0] && argv[1]; argv++) {
		struct opt_set *set;
		bool found;

		if (!is_word(argv[0], "device"))
			continue;
		set = opt_set_parse("-device", argv[1], &opt_syntax_device, NULL);
		found = set && !g_strcmp0(opt_get(set, "id"), id);
		if (found)
			*ret_driver = g_intern_string(opt_get(set, "driver") ?: "");
		opt_set_destroy(set);
		if (found)
			return true;
	}
	return false;
}

/* A device that is found in the remote's command line, and that nothing serves yet. */
static bool check_served(struct join *join, struct plan_process *process, const struct opt_set *set,
			 const char *id, const char **ret_driver, GError **error)
{
	bool served = g_hash_table_contains(join->pairs, id);

	if (!has_device(plan_process_argv(process), id, ret_driver))
		return opt_fail(set, error, MPQ_ERROR_REFUSED,
				"no -device of this command has id=%s", id);
	for (unsigned i = 0; i < join->servers->len; i++)
		served = served ||
			 !strcmp(g_array_index(join->servers, struct join_server, i).id, id);
	if (served)
		return opt_fail(set, error, MPQ_ERROR_REFUSED,
				"another %s serves '%s' already", opt_get(set, "qom-type"), id);
	return true;
}

static void say_serves(GString *serves, const char *id, const char *driver)
{
	g_string_append_printf(serves, "%s%s (%s)", serves->len ? ", " : "", id, driver);
}

static bool add_peer(struct join *join, struct plan_process *process, const struct opt_set *set,
		     GString *serves, GError **error)
{
	const char *id = opt_get(set, "devid");
	const char *driver = "";
	unsigned pair = join->plan->pair_count;
	int fd = -1;

	if (!id)
		return opt_fail(set, error, MPQ_ERROR_REFUSED, "devid= is missing: it names the "
				"-device that the object serves");
	if (!check_served(join, process, set, id, &driver, error) ||
	    !read_fd(set, "fd", &fd, error))
		return false;
	if (fd < 0)
		return opt_fail(set, error, MPQ_ERROR_REFUSED, "fd= is missing: it is the number "
				"that the remote's end of the socketpair gets");
	if (process->is_qemu && process->slots->len)
		return opt_fail(set, error, MPQ_ERROR_REFUSED, "QEMU's own x-remote serves one "
				"device a process: a second object is accepted and never served");
	if (!take_slot(process, set, fd, pair, id, error))
		return false;
	g_hash_table_insert(join->pairs, g_strdup(id), GUINT_TO_POINTER(pair + 1));
	say_serves(serves, id, driver);
	join->plan->pair_count++;
	join->uses.mpqemu = true;
	return true;
}

/* A socket's key, in either spelling: "type" or "socket.type". */
static const char *socket_key(const struct opt_set *set, const char *key)
{
	g_autofree char *whole = g_strconcat("socket.", key, NULL);

	return opt_get(set, whole) ?: opt_get(set, key);
}

static bool server_fd(const struct opt_set *set, int *ret, GError **error)
{
	g_autofree char *number = g_strdup(socket_key(set, "str"));
	auto_opt_set plain = opt_set_create(set->where);

	if (!number)
		return opt_fail(set, error, MPQ_ERROR_REFUSED, "str= is missing: it is the number "
				"that the remote's listening socket gets");
	opt_put(plain, "str", number);
	return read_fd(plain, "str", ret, error);
}

static bool add_server(struct join *join, struct plan_process *process, const struct opt_set *set,
		       GString *serves, GError **error)
{
	struct join_server server = { .process = process, .fd = -1 };
	const char *id = opt_get(set, "device"), *type = socket_key(set, "type");
	const char *driver = "";

	if (!id)
		return opt_fail(set, error, MPQ_ERROR_REFUSED, "device= is missing: it names the "
				"-device that the object serves");
	if (!check_served(join, process, set, id, &driver, error))
		return false;
	if (!g_strcmp0(type, "fd") && !server_fd(set, &server.fd, error))
		return false;
	if (server.fd < 0 && (g_strcmp0(type, "unix") || !socket_key(set, "path")))
		return opt_fail(set, error, MPQ_ERROR_REFUSED, "it is served over type=fd,str=N or "
				"type=unix,path=PATH");
	server.pair = join->plan->pair_count;
	if (!take_slot(process, set, server.fd, server.pair, id, error))
		return false;
	server.id = g_strdup(id);
	server.path = server.fd < 0 ? g_strdup(socket_key(set, "path")) : NULL;
	g_array_append_val(join->servers, server);
	say_serves(serves, id, driver);
	join->plan->pair_count++;
	join->uses.vfio_user = true;
	return true;
}

/* "-machine x-remote,auto-shutdown=on": it would be gone after the first question. */
static bool read_machine(struct plan_process *process, const char *arg, GError **error)
{
	auto_opt_set set = opt_set_parse("-machine", arg, &opt_syntax_machine, error);

	return set && opt_get_bool(set, "auto-shutdown", &process->auto_shutdown, error);
}

/* "-add-fd fd=N,set=S": an inherited fd that the remote is to have. */
static bool keep_fd(struct join *join, struct plan_process *process, const char *arg,
		    GError **error)
{
	g_autofree char *where = g_strdup_printf("-add-fd %s", arg);
	auto_opt_set set = opt_set_parse(where, arg, &opt_syntax_plain, error);
	int fd = -1;

	if (!set || !read_fd(set, "fd", &fd, error))
		return false;
	if (fd >= 0 && !rewrite_is_busy(join->facts, fd))
		return opt_fail(set, error, MPQ_ERROR_REFUSED, "fd %d is not open", fd);
	for (unsigned i = 0; i < process->slots->len; i++) {
		const struct plan_slot *slot = &g_array_index(process->slots, struct plan_slot, i);

		if (slot->fd == fd)
			return opt_fail(set, error, MPQ_ERROR_REFUSED,
					"fd %d is the socket of '%s'", fd, slot->device);
	}
	if (fd >= 0)
		g_array_append_val(process->keep, fd);
	return true;
}

/*
 * "--events=fd=N" is an inherited fd; "--qmp=fd=N" may be one, or the end of a socketpair that is
 * made here, which QEMU's command line tells.
 */
static bool read_own_fd(struct join *join, struct plan_process *process, const char *word,
			GError **error)
{
	bool qmp = g_str_has_prefix(word, "--qmp=fd=");
	const char *number = strrchr(word, '=') + 1;
	guint64 value = 0;
	int fd;

	if (!g_ascii_string_to_unsigned(number, 10, 3, INT_MAX, &value, NULL))
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: it takes a number, 3 or more", word);
	fd = value;
	if (qmp) {
		process->qmp_fd = fd;
		return true;
	}
	if (!rewrite_is_busy(join->facts, fd))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: fd %d is not open", word, fd);
	g_array_append_val(process->keep, fd);
	return true;
}

static bool read_remote_option(struct join *join, struct plan_process *process, char *const *argv,
			       GString *serves, GError **error)
{
	g_autofree char *where = NULL;

	if (g_str_has_prefix(argv[0], "--qmp=fd=") || g_str_has_prefix(argv[0], "--events=fd="))
		return read_own_fd(join, process, argv[0], error);
	if (is_word(argv[0], "daemonize"))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "-daemonize: %s would leave the process "
				"that mpqemu-orchestrate waits for",
				(char *)process->argv->pdata[0]);
	if (argv[1] && is_word(argv[0], "add-fd"))
		return keep_fd(join, process, argv[1], error);
	if (argv[1] && (is_word(argv[0], "machine") || is_word(argv[0], "M")))
		return read_machine(process, argv[1], error);
	if (!argv[1] || !is_word(argv[0], "object"))
		return true;
	where = g_strdup_printf("%s %s", argv[0], argv[1]);
	{
		auto_opt_set set = opt_set_parse(where, argv[1], &opt_syntax_object, error);

		if (!set)
			return false;
		if (!g_strcmp0(opt_get(set, "qom-type"), "x-vfio-user-server"))
			return add_server(join, process, set, serves, error);
		if (g_strcmp0(opt_get(set, "qom-type"), "x-remote-object"))
			return true;
		return add_peer(join, process, set, serves, error);
	}
}

static bool read_remote(struct join *join, char *const *argv, GError **error)
{
	struct plan_process *process = plan_process_create();
	g_autoptr(GString) serves = g_string_new(NULL);

	g_ptr_array_add(join->plan->remotes, process);
	for (char *const *word = argv; *word; word++)
		plan_process_arg(process, *word);
	process->is_qemu = rewrite_is_qemu(argv[0]);
	join->uses.qemu_remote = join->uses.qemu_remote || process->is_qemu;
	for (char *const *word = argv; *word; word++)
		if (!read_remote_option(join, process, word, serves, error))
			return false;
	if (!process->slots->len)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: this remote command has no "
				"-object x-remote-object or x-vfio-user-server: no device of it "
				"could be reached",
				argv[0]);
	process->serves = g_strdup(serves->str);
	return true;
}

/* ---- QEMU ---- */

/* "socket=N", as the document writes it, becomes "fd=N", which QEMU understands. */
static bool rename_socket(struct join *join, struct qopt *opt, GError **error)
{
	const char *socket = opt_get(opt->set, "socket");

	if (!socket)
		return true;
	if (opt_get(opt->set, "fd"))
		return qopt_refuse(opt, error, "has both fd= and socket=, which mean the same");
	plan_note(join->plan, "%s: socket=%s became fd=%s, which is how QEMU calls it",
		  qopt_where(opt), socket, socket);
	for (size_t i = 0; i < opt->set->count; i++)
		if (!strcmp(opt->set->opt[i].key, "socket")) {
			g_free(opt->set->opt[i].key);
			opt->set->opt[i].key = g_strdup("fd");
		}
	opt->changed = true;
	return true;
}

/* An inherited fd of that number would have two meanings. */
static bool check_other_uses(struct join *join, const struct qopt *proxy, int fd, GError **error)
{
	static const char *const keys[] = { "fd", "vhostfd", "sock_fd" };

	for_each_qopt(opt, join->qemu) {
		if (opt == proxy || !opt->arg ||
		    (opt->set && !strcmp(qopt_type(opt), "x-pci-proxy-dev")))
			continue;
		for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
			g_autofree char *text = g_strdup_printf("%s=%d", keys[i], fd);
			const char *at = strstr(opt->arg, text);

			if (at && (at == opt->arg || at[-1] == ',') &&
			    !g_ascii_isdigit(at[strlen(text)]))
				return qopt_refuse(proxy, error, "fd %d is used by %s %s too",
						   fd, opt->word, opt->arg);
		}
	}
	return true;
}

/* "fd=9", "fds=8:9", "fd:9", "/dev/fd/9": does the text name the fd? */
static bool names_fd(const char *text, int fd)
{
	g_autofree char *number = g_strdup_printf("%d", fd);
	size_t len = strlen(number);

	for (const char *at = strstr(text, number); at; at = strstr(at + 1, number))
		if (at > text && strchr("=:/", at[-1]) && !g_ascii_isalnum(at[len]))
			return true;
	return false;
}

static bool qemu_mentions_fd(const struct qcmd *cmd, int fd)
{
	for_each_qopt(opt, cmd)
		if (opt->arg && names_fd(opt->arg, fd))
			return true;
	return false;
}

/* An image that a remote got as an inherited fd is not for QEMU too, unless it names the fd. */
static void drop_remote_fds(struct join *join)
{
	for (unsigned i = 0; i < join->plan->remotes->len; i++) {
		const struct plan_process *remote = join->plan->remotes->pdata[i];

		for (unsigned k = 0; k < remote->keep->len; k++) {
			int fd = g_array_index(remote->keep, int, k);

			if (!qemu_mentions_fd(join->qemu, fd))
				g_array_append_val(join->plan->qemu->drop, fd);
		}
	}
}

static bool join_proxy(struct join *join, struct qopt *opt, GError **error)
{
	const char *id = opt_get(opt->set, "id");
	unsigned pair;
	int fd = -1;

	if (!id)
		return qopt_refuse(opt, error, "id= is missing: it says which remote device this "
				   "is");
	if (!rename_socket(join, opt, error) || !read_fd(opt->set, "fd", &fd, error))
		return false;
	if (fd < 0)
		return qopt_refuse(opt, error, "fd= is missing: it is the number that the proxy's "
				   "end of the socketpair gets");
	pair = GPOINTER_TO_UINT(g_hash_table_lookup(join->pairs, id));
	if (!pair)
		return qopt_refuse(opt, error, "no remote command has an x-remote-object with "
				   "devid=%s", id);
	g_hash_table_add(join->proxies, g_strdup(id));
	return check_other_uses(join, opt, fd, error) &&
	       take_slot(join->plan->qemu, opt->set, fd, pair - 1, id, error);
}

/* ---- vfio-user ---- */

/* The client of @server connects to @path; both have to mean the same. */
static bool join_server(struct join_server *server, const char *path, GError **error)
{
	GArray *slots = server->process->slots;

	if (strlen(path) > REWRITE_SOCKET_MAX)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: the path of a socket has %d bytes "
				"at the most", path, REWRITE_SOCKET_MAX);
	if (server->path && strcmp(server->path, path))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "'%s' is served on %s, and its client "
				"connects to %s", server->id, server->path, path);
	for (unsigned i = 0; i < slots->len; i++) {
		struct plan_slot *slot = &g_array_index(slots, struct plan_slot, i);

		if (slot->pair == server->pair)
			slot->path = g_strdup(path);
	}
	server->joined = true;
	return true;
}

/* A device that none of these remotes serves is served by somebody else. */
static struct join_server *find_server(struct join *join, const char *id)
{
	for (unsigned i = 0; id && i < join->servers->len; i++) {
		struct join_server *server = &g_array_index(join->servers, struct join_server, i);

		if (!strcmp(server->id, id))
			return server;
	}
	return NULL;
}

static bool join_vfio_user_pci(struct join *join, struct qopt *opt, GError **error)
{
	const char *path = opt_get(opt->set, "socket.path");
	struct join_server *server = find_server(join, opt_get(opt->set, "id"));

	if (!server)
		return true;
	if (!path)
		return qopt_refuse(opt, error, "it has no socket; it is written in JSON: "
				   "\"socket\":{\"type\":\"unix\",\"path\":\"PATH\"}");
	return join_server(server, path, error);
}

/* The device of a socket that is called "ID.sock"; the caller frees. */
static char *socket_device(const char *path)
{
	char *name = g_path_get_basename(path);

	if (g_str_has_suffix(name, REWRITE_SOCKET_SUFFIX))
		name[strlen(name) - strlen(REWRITE_SOCKET_SUFFIX)] = '\0';
	return name;
}

static bool join_cloud(struct join *join, char *const *vmm, GError **error)
{
	g_autoptr(GPtrArray) paths = rewrite_cloud_sockets(vmm);

	if (join->uses.mpqemu)
		return mpq_fail(error, MPQ_ERROR_REFUSED, "x-remote-object: Cloud Hypervisor "
				"speaks vfio-user only (x-vfio-user-server)");
	for (unsigned i = 0; i < paths->len; i++) {
		g_autofree char *id = socket_device(paths->pdata[i]);
		struct join_server *server = find_server(join, id);

		for (unsigned k = 0; !server && k < join->servers->len; k++) {
			struct join_server *own =
				&g_array_index(join->servers, struct join_server, k);

			if (!g_strcmp0(own->path, paths->pdata[i]))
				server = own;
		}
		if (server && !join_server(server, paths->pdata[i], error))
			return false;
	}
	return true;
}

static bool servers_joined(const struct join *join, const char *client, GError **error)
{
	for (unsigned i = 0; i < join->servers->len; i++) {
		const struct join_server *server =
			&g_array_index(join->servers, struct join_server, i);

		if (!server->joined)
			return mpq_fail(error, MPQ_ERROR_REFUSED, "a remote command serves '%s', "
					"but there is no %s%s for it", server->id, client,
					server->id);
	}
	return true;
}

/* ---- QMP ---- */

/* The fd of the -chardev of that id, a socket; -1: there is none. */
static int chardev_fd(struct join *join, const char *id, const struct qopt **ret_opt)
{
	static const struct opt_syntax syntax = { "backend", OPT_DIALECT_QEMUOPTS, false };
	int fd = -1;

	for_each_qopt(opt, join->qemu) {
		struct opt_set *set = qopt_is(opt, "chardev") ?
				      opt_set_parse(opt->word, opt->arg, &syntax, NULL) : NULL;

		if (set && !g_strcmp0(opt_get(set, "id"), id) &&
		    !g_strcmp0(opt_get(set, "backend"), "socket") &&
		    read_fd(set, "fd", &fd, NULL) && fd >= 0)
			*ret_opt = opt;
		opt_set_destroy(set);
	}
	return fd;
}

/* Joins a remote's --qmp=fd=N to the -chardev that is named after its first device. */
static bool join_qmp(struct join *join, struct plan_process *process, GError **error)
{
	const char *device = g_array_index(process->slots, struct plan_slot, 0).device;
	g_autofree char *id = rewrite_qmp_chardev(device);
	g_autofree char *where = g_strdup_printf("--qmp=fd=%d", process->qmp_fd);
	auto_opt_set set = opt_set_create(where);
	unsigned pair = join->plan->pair_count + join->plan->qmp_count;
	const struct qopt *opt = NULL;
	int fd = chardev_fd(join, id, &opt);

	if (fd < 0 && rewrite_is_busy(join->facts, process->qmp_fd)) {
		g_array_append_val(process->keep, process->qmp_fd);
		return true;
	}
	if (fd < 0)
		return opt_fail(set, error, MPQ_ERROR_REFUSED, "fd %d is not open, and QEMU's "
				"command line has no -chardev socket,id=%s,fd=N to be its other "
				"end", process->qmp_fd, id);
	join->plan->qmp_count++;
	return check_other_uses(join, opt, fd, error) &&
	       take_slot(process, set, process->qmp_fd, pair, device, error) &&
	       take_slot(join->plan->qemu, set, fd, pair, device, error);
}

static bool join_qmps(struct join *join, GError **error)
{
	for (unsigned i = 0; i < join->plan->remotes->len; i++) {
		struct plan_process *process = join->plan->remotes->pdata[i];

		if (process->qmp_fd && !join_qmp(join, process, error))
			return false;
	}
	return true;
}

static bool all_joined(struct join *join, GError **error)
{
	GHashTableIter iter;
	void *id;

	g_hash_table_iter_init(&iter, join->pairs);
	while (g_hash_table_iter_next(&iter, &id, NULL))
		if (!g_hash_table_contains(join->proxies, id))
			return mpq_fail(error, MPQ_ERROR_REFUSED, "a remote command serves '%s', "
					"but QEMU's has no -device x-pci-proxy-dev,id=%s",
					(char *)id, (char *)id);
	return true;
}

static bool read_qemu(struct join *join, GError **error)
{
	struct plan_process *qemu = join->plan->qemu;

	if ((join->uses.mpqemu && !rewrite_can(join->facts, false, "x-remote-object", error)) ||
	    (join->uses.vfio_user && !rewrite_can(join->facts, true, "x-vfio-user-server", error)))
		return false;
	for_each_qopt(opt, join->qemu) {
		if (!qopt_is(opt, "device"))
			continue;
		if (!strcmp(qopt_type(opt), "x-pci-proxy-dev") && !join_proxy(join, opt, error))
			return false;
		if (!strcmp(qopt_type(opt), "vfio-user-pci") &&
		    !join_vfio_user_pci(join, opt, error))
			return false;
	}
	if (!all_joined(join, error) || !join_qmps(join, error) ||
	    !servers_joined(join, "-device vfio-user-pci with id=", error) ||
	    !rewrite_memory(join->qemu, join->plan, &join->uses, false, error) ||
	    !rewrite_check(join->qemu, join->plan, join->facts, &join->uses, error))
		return false;
	drop_remote_fds(join);
	g_ptr_array_add(qemu->argv, g_strdup(join->qemu->prefix->pdata[0]));
	return rewrite_emit(join->qemu, QOPT_QEMU, qemu->argv, error);
}

static bool read_cloud(struct join *join, char *const *vmm, GError **error)
{
	g_autoptr(GPtrArray) none = g_ptr_array_new();

	for (unsigned i = 0; i < join->plan->remotes->len; i++) {
		const struct plan_process *process = join->plan->remotes->pdata[i];

		if (process->qmp_fd && !rewrite_is_busy(join->facts, process->qmp_fd))
			return mpq_fail(error, MPQ_ERROR_REFUSED, "--qmp=fd=%d: fd %d is not open, "
					"and Cloud Hypervisor has no QMP", process->qmp_fd,
					process->qmp_fd);
		if (process->qmp_fd)
			g_array_append_val(process->keep, process->qmp_fd);
	}
	return join_cloud(join, vmm, error) &&
	       servers_joined(join, "--user-device with a socket that is called ", error) &&
	       rewrite_cloud_argv(vmm, none, join->plan, error);
}

static bool join_run(struct join *join, const GPtrArray *remotes, char *const *qemu, GError **error)
{
	bool cloud = rewrite_is_cloud(qemu[0]);

	for (unsigned i = 0; i < remotes->len; i++)
		if (!read_remote(join, remotes->pdata[i], error))
			return false;
	if (cloud)
		return read_cloud(join, qemu, error);
	join->qemu = qcmd_parse(qemu, error);
	return join->qemu && qcmd_check_ids(join->qemu, error) && read_qemu(join, error);
}

static void server_clear(void *p)
{
	struct join_server *server = p;

	g_free(server->id);
	g_free(server->path);
}

struct plan *rewrite_join(const GPtrArray *remotes, char *const *qemu,
			  const struct rewrite_facts *facts, GError **error)
{
	struct join join = { .facts = facts, .plan = plan_create() };
	struct plan *plan = NULL;

	join.pairs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	join.proxies = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	join.servers = g_array_new(false, false, sizeof(struct join_server));
	g_array_set_clear_func(join.servers, server_clear);
	if (join_run(&join, remotes, qemu, error))
		plan = g_steal_pointer(&join.plan);
	plan_destroy(join.plan);
	qcmd_destroy(join.qemu);
	g_hash_table_unref(join.pairs);
	g_hash_table_unref(join.proxies);
	g_array_unref(join.servers);
	return plan;
}
