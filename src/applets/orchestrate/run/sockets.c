/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/run/sockets.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/unixaddr.h"

/*
 * Fits a directory's name into every command line, unquoted?  Cloud Hypervisor splits at commas,
 * and the whole path of a socket has 107 bytes.
 */
static bool is_usable(const char *dir)
{
	static const char safe[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./+@%";

	return dir && dir[0] == '/' && strlen(dir) <= 48 && strspn(dir, safe) == strlen(dir) &&
	       !strstr(dir, PLAN_SOCKET_DIR) && access(dir, W_OK | X_OK) == 0;
}

char *sockets_dir(void)
{
	g_autofree char *run = g_strdup_printf("/run/user/%u", (unsigned)getuid());
	const char *const bases[] = { g_getenv("XDG_RUNTIME_DIR"), run, g_getenv("TMPDIR") };

	for (unsigned i = 0; i < G_N_ELEMENTS(bases); i++)
		if (is_usable(bases[i]))
			return g_build_filename(bases[i], PLAN_SOCKET_DIR, NULL);
	return g_strdup("/tmp/" PLAN_SOCKET_DIR);
}

bool sockets_make_dir(struct plan *plan, char **ret_made, GError **error)
{
	g_autofree char *dir = plan_socket_dir(plan);
	g_autofree char *made = g_strdup(dir);

	*ret_made = NULL;
	if (!dir)
		return true;
	/* mode 0700 */
	if (!mkdtemp(made))
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: cannot make the directory of the "
				"sockets: %s", dir, log_errname(errno));
	plan_place_sockets(plan, dir, made);
	*ret_made = g_steal_pointer(&made);
	return true;
}

void sockets_remove_dir(char *made)
{
	if (made && rmdir(made) < 0)
		log_warning("%s: %s", made, log_errname(errno));
	g_free(made);
}

int sockets_listen(const char *path, int backlog)
{
	autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct unix_addr addr;
	mode_t mask;
	int ret;

	if (fd < 0)
		return -errno;
	ret = unix_addr_parse(path, &addr);
	if (ret)
		return ret;
	mask = umask(0177);
	ret = bind(fd, (const struct sockaddr *)&addr.sun, addr.len) < 0 ? -errno : 0;
	umask(mask);
	if (ret)
		return ret;
	if (listen(fd, backlog) < 0) {
		ret = -errno;
		unlink(path);
		return ret;
	}
	return fd_steal(&fd);
}

int sockets_connect(const char *path)
{
	autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct unix_addr addr;
	int ret = fd < 0 ? -errno : unix_addr_parse(path, &addr);

	if (!ret)
		ret = unix_addr_connect(fd, &addr);
	return ret ? ret : fd_steal(&fd);
}
