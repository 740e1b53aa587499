/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The sockets of the relay: where clients come, where QEMU listens, the remotes' monitors. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib-unix.h>

#include "applets/orchestrate/run/relay-priv.h"
#include "applets/orchestrate/run/sockets.h"
#include "base/fd.h"
#include "base/log.h"
#include "qmp/source.h"

/* How long a remote has to greet. */
#define GREET_MS 30000

/* ---- The sockets ---- */

/*
 * A socket of QEMU's own.  Its name is gone as soon as there is another way to it: nobody else can
 * connect, and nothing is left behind.  Returns 0 or -errno.
 */
static int listen_for_qemu(struct relay_door *door)
{
	g_autofree char *dir = sockets_dir(), *path = NULL;
	int ret = 0;

	if (!mkdtemp(dir))
		return -errno;
	path = g_build_filename(dir, "qmp", NULL);
	door->qemu = sockets_listen(path, SOCKETS_BACKLOG);
	if (door->qemu < 0) {
		ret = door->qemu;
	} else {
		door->place = open(path, O_PATH | O_CLOEXEC);
		ret = door->place < 0 ? -errno : 0;
		unlink(path);
	}
	rmdir(dir);
	return ret;
}

static bool listens(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

/* Where clients come: as QEMU does, over what was left behind there. */
static bool open_clients(struct relay_door *door, GError **error)
{
	const struct plan_relay *plan = door->plan;

	if (!plan->path) {
		if (!listens(plan->fd))
			return mpq_fail(error, MPQ_ERROR_REFUSED, "fd %d of QEMU's monitor: it is "
					"no socket that listens", plan->fd);
		door->clients = fcntl(plan->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		return door->clients >= 0 ||
		       mpq_fail(error, MPQ_ERROR_SYSTEM, "fd %d: %s", plan->fd,
				log_errname(errno));
	}
	unlink(plan->path);
	door->clients = sockets_listen(plan->path, SOCKETS_BACKLOG);
	if (door->clients < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", plan->path,
				log_errname(door->clients));
	door->bound = true;
	return true;
}

static bool door_init(struct relay_door *door, GError **error)
{
	int ret;

	if (!open_clients(door, error))
		return false;
	ret = listen_for_qemu(door);
	return !ret || mpq_fail(error, MPQ_ERROR_SYSTEM, "a socket for QEMU's monitor: %s",
				log_errname(ret));
}

static void node_free(void *p)
{
	struct relay_node *node = p;

	g_free(node->name);
	json_decref(node->args);
	g_free(node);
}

struct qmp_relay *qmp_relay_create(struct run *run, GError **error)
{
	struct qmp_relay *relay = g_new0(struct qmp_relay, 1);
	bool ok = true;

	relay->run = run;
	relay->nodes = g_ptr_array_new_with_free_func(node_free);
	relay->door_count = run->plan->relays->len;
	relay->doors = g_new0(struct relay_door, relay->door_count);
	relay->remotes = g_new0(struct relay_remote, run->plan->remotes->len);
	for (unsigned i = 0; i < relay->door_count; i++) {
		relay->doors[i] = (struct relay_door){
			.relay = relay, .clients = -1, .qemu = -1, .place = -1,
			.plan = &g_array_index(run->plan->relays, struct plan_relay, i),
		};
		ok = ok && door_init(&relay->doors[i], error);
	}
	if (ok)
		return relay;
	qmp_relay_destroy(relay);
	return NULL;
}

unsigned qmp_relay_qemu_fds(const struct qmp_relay *relay, struct child_fd *fds)
{
	for (unsigned i = 0; i < relay->door_count; i++)
		fds[i] = (struct child_fd){ relay->doors[i].qemu, relay->doors[i].plan->fd };
	return relay->door_count;
}

void qmp_relay_take_over(struct qmp_relay *relay)
{
	/* QEMU's own process alone is to listen there: its end is the end of it. */
	for (unsigned i = 0; i < relay->door_count; i++)
		fd_close(&relay->doors[i].qemu);
}

/* ---- Clients ---- */

static gboolean client_comes(int fd, GIOCondition condition, void *opaque)
{
	struct relay_door *door = opaque;
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", door->place);
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	int qemu;

	if (client < 0)
		return G_SOURCE_CONTINUE;
	qemu = sockets_connect(path);
	if (qemu < 0) {
		log_warning("QEMU's monitor: %s", log_errname(qemu));
		close(client);
		return G_SOURCE_CONTINUE;
	}
	door->session = session_create(door, client, qemu);
	door->watch = 0;
	return G_SOURCE_REMOVE;
}

void qmp_relay_door_open(struct relay_door *door)
{
	session_destroy(door->session);
	door->session = NULL;
	if (door->clients >= 0 && !door->watch)
		door->watch = g_unix_fd_add(door->clients, G_IO_IN, client_comes, door);
}

/* ---- The remotes' monitors ---- */

static void remote_event(void *opaque, const char *name, const json_t *event)
{
	struct relay_remote *remote = opaque;
	json_t *data = json_object_get(event, "data");

	if (!strcmp(name, "DEVICE_DELETED"))
		route_forget(remote->relay, json_string_value(json_object_get(data, "device")));
	/* Its end is not the VM's. */
	for (unsigned i = 0; strcmp(name, "SHUTDOWN") && i < remote->relay->door_count; i++)
		if (remote->relay->doors[i].session)
			session_event(remote->relay->doors[i].session, event);
}

static const struct qmp_client_ops remote_ops = { .event = remote_event };

static void connect_remote(struct qmp_relay *relay, unsigned i)
{
	struct relay_remote *remote = &relay->remotes[i];
	struct run *run = relay->run;

	remote->relay = relay;
	remote->process = run->plan->remotes->pdata[i];
	if (remote->process->monitor < 0)
		return;
	remote->client = qmp_client_create(
		fd_steal(&run->pairs[remote->process->monitor].proxy_end), &qmp_client_bounds,
		GREET_MS, &remote_ops, remote);
	remote->source = qmp_client_source(remote->client);
	g_source_attach(remote->source, NULL);
}

void qmp_relay_start(struct qmp_relay *relay)
{
	for (unsigned i = 0; i < relay->run->plan->remotes->len; i++)
		connect_remote(relay, i);
	for (unsigned i = 0; i < relay->door_count; i++)
		qmp_relay_door_open(&relay->doors[i]);
}

static void remote_finish(struct relay_remote *remote)
{
	if (remote->source) {
		g_source_destroy(remote->source);
		g_source_unref(remote->source);
	}
	remote->source = NULL;
	qmp_client_destroy(remote->client);
	remote->client = NULL;
}

void qmp_relay_close(struct qmp_relay *relay)
{
	for (unsigned i = 0; i < relay->door_count; i++) {
		struct relay_door *door = &relay->doors[i];

		if (door->watch)
			g_source_remove(door->watch);
		door->watch = 0;
		fd_close(&door->clients);
		if (door->session)
			session_drain(door->session);
		session_destroy(door->session);
		door->session = NULL;
		fd_close(&door->place);
		if (door->bound)
			unlink(door->plan->path);
		door->bound = false;
	}
	for (unsigned i = 0; i < relay->run->plan->remotes->len; i++)
		remote_finish(&relay->remotes[i]);
}

void qmp_relay_destroy(struct qmp_relay *relay)
{
	if (!relay)
		return;
	qmp_relay_close(relay);
	for (unsigned i = 0; i < relay->door_count; i++)
		fd_close(&relay->doors[i].qemu);
	g_ptr_array_unref(relay->nodes);
	g_free(relay->doors);
	g_free(relay->remotes);
	g_free(relay);
}
