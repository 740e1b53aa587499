/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "applets/remote/storage-priv.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"

#define NBD_PORT "10809"	/* IANA */

static const char *get(const struct opt_set *set, const char *prefix, const char *key)
{
	g_autofree char *full = g_strconcat(prefix, key, NULL);

	return opt_get(set, full);
}

static bool connect_unix(const char *path, int *ret_fd, int *ret_place, GError **error)
{
	/* Before: who takes its place later is another server. */
	autofd place = open(path, O_PATH | O_CLOEXEC);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ret;

	if (strlen(path) >= sizeof(addr.sun_path))
		return mpq_fail(error, MPQ_ERROR_USAGE, "UNIX socket path '%s' is too long", path);
	strcpy(addr.sun_path, path);
	do
		ret = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "Failed to connect to '%s': %s", path,
				log_errname(errno));
	*ret_fd = fd_steal(&fd);
	*ret_place = fd_steal(&place);
	return true;
}

/* Tries each address of the host.  Returns an fd or -errno. */
static int connect_any(const struct addrinfo *list)
{
	int ret = -EHOSTUNREACH;

	for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
		int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC, ai->ai_protocol);

		if (fd >= 0 && connect(fd, ai->ai_addr, ai->ai_addrlen) == 0)
			return fd;
		ret = -errno;
		fd_close(&fd);
	}
	return ret;
}

static bool connect_inet(const char *host, const char *port, int *ret_fd, GError **error)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	int ret = getaddrinfo(host, port, &hints, &list);

	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "address resolution failed for %s:%s: %s",
				host, port, gai_strerror(ret));
	ret = connect_any(list);
	freeaddrinfo(list);
	if (ret < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "Failed to connect to '%s:%s': %s", host,
				port, log_errname(ret));
	*ret_fd = ret;
	return true;
}

bool storage_connect(const struct opt_set *set, const char *prefix, int *ret_fd, int *ret_place,
		     GError **error)
{
	const char *type = get(set, prefix, "server.type");
	const char *path = get(set, prefix, type ? "server.path" : "path");
	const char *host = get(set, prefix, type ? "server.host" : "host");
	const char *port = get(set, prefix, type ? "server.port" : "port");

	if (type && strcmp(type, "unix") && strcmp(type, "inet"))
		return mpq_fail(error, MPQ_ERROR_REFUSED, "server.type=%s is not supported", type);
	if (path && (!type || !strcmp(type, "unix")))
		return connect_unix(path, ret_fd, ret_place, error);
	if (host && (!type || !strcmp(type, "inet")))
		return connect_inet(host, port ? port : NBD_PORT, ret_fd, error);
	return mpq_fail(error, MPQ_ERROR_USAGE, "NBD server address missing");
}
