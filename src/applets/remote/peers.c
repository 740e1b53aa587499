/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/peers.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/unixaddr.h"
#include "control/launch.h"

#define LISTEN_FDS_START 3	/* sd_listen_fds(3) */

/* Clients that may wait until the one that is served has gone. */
#define BACKLOG 8

static bool peer_fail(const struct plan_peer *peer, GError **error, const char *what, int err)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s: %s", peer->where, what, log_errname(err));
}

/* Is @fd a UNIX stream socket, and does it listen? */
static int socket_kind(int fd, bool *ret_listens)
{
	struct sockaddr_un addr;
	socklen_t addr_len = sizeof(addr), len = sizeof(int);
	int type, listens;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	if (getsockname(fd, (struct sockaddr *)&addr, &addr_len) < 0)
		return -errno;
	if (type != SOCK_STREAM || addr.sun_family != AF_UNIX)
		return -EPROTOTYPE;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0)
		return -errno;
	*ret_listens = listens;
	return 0;
}

/* Where a device's socket goes. */
struct place {
	int *fd, *listener;
	struct peers_path *path;
};

/* A number that the caller passed: becomes ours, at the number where it stands. */
static bool take_fd(const struct plan_peer *peer, int number, const struct place *place,
		    GError **error)
{
	g_autofree char *name = g_strdup_printf("fd %d", number);
	bool listens = false;
	int ret = socket_kind(number, &listens);
	int fd;

	if (ret == -EPROTOTYPE || ret == -ENOTSOCK)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: fd %d is not a UNIX stream socket",
				peer->where, number);
	if (ret)
		return peer_fail(peer, error, name, ret);
	if (!listens || peer->server) {
		fd_set_cloexec(number, true);
		*(listens ? place->listener : place->fd) = number;
		return true;
	}
	/* It may be non-blocking, for its owner: then there is nobody to accept yet. */
	do {
		struct pollfd p = { .fd = number, .events = POLLIN };

		fd = poll(&p, 1, -1) < 0 ? -1 : accept4(number, NULL, NULL, SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	if (fd < 0)
		return peer_fail(peer, error, name, errno);
	close(number);
	*place->fd = fd;
	return true;
}

static bool open_fd(const struct plan_peer *peer, const struct place *place, GError **error)
{
	return take_fd(peer, peer->fd, place, error);
}

static long env_number(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n = text ? strtol(text, &end, 10) : -1;

	return text && *text && !*end ? n : -1;
}

/* sd_listen_fds_with_names(3): LISTEN_PID is us, LISTEN_FDS fds from 3 on, names between colons. */
static bool open_listen(const struct plan_peer *peer, const struct place *place, GError **error)
{
	long count = env_number("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	g_auto(GStrv) name = g_strsplit(names ? names : "", ":", -1);

	if (count <= 0 || env_number("LISTEN_PID") != getpid())
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: no fd named '%s': LISTEN_FDS is not "
				"set for this process", peer->where, peer->name);
	for (long i = 0; i < count && name[i]; i++)
		if (!strcmp(name[i], peer->name))
			return take_fd(peer, LISTEN_FDS_START + i, place, error);
	return mpq_fail(error, MPQ_ERROR_USAGE, "%s: no fd named '%s' in LISTEN_FDNAMES=%s",
			peer->where, peer->name, names ? names : "");
}

/* ---- A path of our own ---- */

/* What an earlier server has left there goes away, as in QEMU; nothing else does. */
static bool make_room(const struct plan_peer *peer, const struct unix_addr *addr, GError **error)
{
	struct stat st;
	int ret;

	if (lstat(peer->name, &st) < 0 || !S_ISSOCK(st.st_mode))
		return true;	/* bind() knows better what is wrong, if anything is */
	ret = unix_addr_ask(addr);
	if (ret != -ECONNREFUSED && ret != -ENOENT)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: Failed to bind socket to '%s': "
				"another process has it", peer->where, peer->name);
	if (unlink(peer->name) < 0 && errno != ENOENT)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: Failed to unlink socket '%s': %s",
				peer->where, peer->name, log_errname(errno));
	return true;
}

/* Connecting takes the right to write: who has that by the umask may read, too. */
static mode_t socket_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0600 | (mask & 0020 ? 0 : 0060) | (mask & 0002 ? 0 : 0006);
}

/* bind(2) gives the name the mode of the socket: nobody can come before it is right. */
static int bind_and_listen(int fd, const struct unix_addr *addr)
{
	if (fchmod(fd, socket_mode()) < 0 ||
	    bind(fd, (const struct sockaddr *)&addr->sun, addr->len) < 0)
		return -errno;
	return 0;
}

static bool is_abstract(const struct plan_peer *peer)
{
	return *peer->name == '@';
}

/* From here on the name is ours to remove. */
static bool keep_name(const struct plan_peer *peer, struct peers_path *path, GError **error)
{
	struct stat st;

	if (is_abstract(peer))
		return true;
	if (lstat(peer->name, &st) < 0)
		return peer_fail(peer, error, peer->name, errno);
	*path = (struct peers_path){ g_strdup(peer->name), st.st_dev, st.st_ino };
	return true;
}

static bool listen_path(const struct plan_peer *peer, const struct unix_addr *addr,
			const struct place *place, GError **error)
{
	/* A client that goes between poll() and accept4() shall leave nobody waiting. */
	autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret;

	if (fd < 0)
		return peer_fail(peer, error, "socket", errno);
	if (!is_abstract(peer) && !make_room(peer, addr, error))
		return false;
	ret = bind_and_listen(fd, addr);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: Failed to bind socket to '%s': %s",
				peer->where, peer->name, log_errname(ret));
	if (!keep_name(peer, place->path, error))
		return false;
	if (listen(fd, BACKLOG) < 0)
		return peer_fail(peer, error, "listen", errno);
	*place->listener = fd_steal(&fd);
	return true;
}

static bool connect_path(const struct plan_peer *peer, const struct unix_addr *addr,
			 const struct place *place, GError **error)
{
	autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ret;

	if (fd < 0)
		return peer_fail(peer, error, "socket", errno);
	ret = unix_addr_connect(fd, addr);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: Failed to connect to '%s': %s",
				peer->where, peer->name, log_errname(ret));
	*place->fd = fd_steal(&fd);
	return true;
}

static bool open_path(const struct plan_peer *peer, const struct place *place, GError **error)
{
	struct unix_addr addr;
	int ret = unix_addr_parse(peer->name, &addr);

	if (ret)
		return peer_fail(peer, error, peer->name, ret);
	return (peer->server ? listen_path : connect_path)(peer, &addr, place, error);
}

/* ---- All of them ---- */

static bool (*const openers[])(const struct plan_peer *, const struct place *, GError **) = {
	[PLAN_PEER_FD] = open_fd,
	[PLAN_PEER_LISTEN] = open_listen,
	[PLAN_PEER_PATH] = open_path,
};

bool peer_open(const struct plan_peer *peer, int *ret_fd, int *ret_listener,
	       struct peers_path *ret_path, GError **error)
{
	struct place place = { ret_fd, ret_listener, ret_path };

	return openers[peer->kind](peer, &place, error);
}

void peers_init(struct peers *peers)
{
	*peers = (struct peers){ 0 };
	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++)
		peers->fd[i] = peers->listener[i] = -1;
}

bool peers_open(const struct remote_plan *plan, struct peers *peers, GError **error)
{
	peers_init(peers);
	for (unsigned i = 0; i < plan->spec->device_count; i++) {
		const struct plan_peer *peer = &plan->peer[i];
		if (peer->kind == PLAN_PEER_NONE)
			continue;
		if (!peer_open(peer, &peers->fd[i], &peers->listener[i], &peers->path[i], error))
			return false;
		plan->spec->device[i].peer_slot = LAUNCH_SLOT_PEER + i;
		plan->spec->device[i].listens = peers->listener[i] >= 0;
	}
	return true;
}

/* Somebody may have taken the name over since. */
void peer_path_remove(struct peers_path *path)
{
	struct stat st;

	if (path->name && lstat(path->name, &st) == 0 && st.st_dev == path->dev &&
	    st.st_ino == path->ino)
		unlink(path->name);
	g_free(path->name);
	path->name = NULL;
}

void peers_finish(struct peers *peers)
{
	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++) {
		peer_path_remove(&peers->path[i]);
		fd_close(&peers->listener[i]);
		fd_close(&peers->fd[i]);
	}
}
