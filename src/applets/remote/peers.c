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

/* A number that the caller passed: becomes ours, at the number where it stands. */
static bool take_fd(const struct plan_peer *peer, int number, int *ret_fd, GError **error)
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
	if (!listens) {
		fd_set_cloexec(number, true);
		*ret_fd = number;
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
	*ret_fd = fd;
	return true;
}

static bool open_fd(const struct plan_peer *peer, int *ret_fd, GError **error)
{
	return take_fd(peer, peer->fd, ret_fd, error);
}

static long env_number(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n = text ? strtol(text, &end, 10) : -1;

	return text && *text && !*end ? n : -1;
}

/* sd_listen_fds_with_names(3): LISTEN_PID is us, LISTEN_FDS fds from 3 on, names between colons. */
static bool open_listen(const struct plan_peer *peer, int *ret_fd, GError **error)
{
	long count = env_number("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	g_auto(GStrv) name = g_strsplit(names ? names : "", ":", -1);

	if (count <= 0 || env_number("LISTEN_PID") != getpid())
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: no fd named '%s': LISTEN_FDS is not "
				"set for this process", peer->where, peer->name);
	for (long i = 0; i < count && name[i]; i++)
		if (!strcmp(name[i], peer->name))
			return take_fd(peer, LISTEN_FDS_START + i, ret_fd, error);
	return mpq_fail(error, MPQ_ERROR_USAGE, "%s: no fd named '%s' in LISTEN_FDNAMES=%s",
			peer->where, peer->name, names ? names : "");
}

static bool open_path(const struct plan_peer *peer, int *ret_fd, GError **error)
{
	autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct unix_addr addr;
	int ret;

	if (fd < 0)
		return peer_fail(peer, error, "socket", errno);
	ret = unix_addr_parse(peer->name, &addr);
	if (ret)
		return peer_fail(peer, error, peer->name, ret);
	ret = unix_addr_connect(fd, &addr);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: Failed to connect to '%s': %s",
				peer->where, peer->name, log_errname(ret));
	*ret_fd = fd_steal(&fd);
	return true;
}

static bool (*const openers[])(const struct plan_peer *, int *, GError **) = {
	[PLAN_PEER_FD] = open_fd,
	[PLAN_PEER_LISTEN] = open_listen,
	[PLAN_PEER_PATH] = open_path,
};

bool peers_open(const struct remote_plan *plan, int ret_fd[SPEC_MAX_DEVICES], GError **error)
{
	bool ok = true;

	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++)
		ret_fd[i] = -1;
	for (unsigned i = 0; i < plan->spec->device_count && ok; i++) {
		if (plan->peer[i].kind == PLAN_PEER_NONE)
			continue;
		ok = openers[plan->peer[i].kind](&plan->peer[i], &ret_fd[i], error);
		plan->spec->device[i].peer_slot = LAUNCH_SLOT_PEER + i;
	}
	for (unsigned i = 0; i < SPEC_MAX_DEVICES && !ok; i++)
		fd_close(&ret_fd[i]);
	return ok;
}
