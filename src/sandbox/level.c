/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sandbox/level.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

static const char *const names[SANDBOX_LEVEL_COUNT] = {
	[SANDBOX_STRICT] = "strict",
	[SANDBOX_CONTAINER] = "container",
	[SANDBOX_SECCOMP_ONLY] = "seccomp-only",
	[SANDBOX_OFF] = "off",
};

const char *sandbox_level_name(enum sandbox_level level)
{
	return names[level];
}

bool sandbox_level_parse(const char *name, enum sandbox_level *ret_level)
{
	for (unsigned i = 0; i < SANDBOX_LEVEL_COUNT; i++)
		if (!strcmp(name, names[i])) {
			*ret_level = i;
			return true;
		}
	return false;
}

/* The number in a setting's file, or -1 when there is none. */
static long read_setting(const char *sysctl, const char *name)
{
	char path[PATH_MAX], text[32], *end;
	ssize_t n;
	long value;

	snprintf(path, sizeof(path), "%s/%s", sysctl, name);
	autofd fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	value = strtol(text, &end, 10);
	return end == text ? -1 : value;
}

/* Settings that forbid user namespaces when they have this value. */
static const struct obstacle {
	const char *name;
	long value;
	const char *what, *remedy;
} obstacles[] = {
	{ "user/max_user_namespaces", 0, "user.max_user_namespaces is 0",
	  "raise it with sysctl" },
	{ "kernel/unprivileged_userns_clone", 0, "kernel.unprivileged_userns_clone is 0",
	  "set it to 1 with sysctl" },
	{ "kernel/apparmor_restrict_unprivileged_userns", 1,
	  "kernel.apparmor_restrict_unprivileged_userns is 1",
	  "load the AppArmor profile that comes with this program, apparmor/mpqemu" },
};

void sandbox_userns_obstacle(const char *sysctl, int err, char *text, size_t size)
{
	for (size_t i = 0; i < sizeof(obstacles) / sizeof(obstacles[0]); i++) {
		if (read_setting(sysctl, obstacles[i].name) != obstacles[i].value)
			continue;
		snprintf(text, size, "%s; %s", obstacles[i].what, obstacles[i].remedy);
		return;
	}
	if (err == -ENOSPC || err == -EUSERS)
		snprintf(text, size, "user.max_user_namespaces is used up; raise it with sysctl");
	else if (err == -EAGAIN)
		snprintf(text, size, "too many processes of this user; raise ulimit -u");
	else if (err == -EINVAL || err == -ENOSYS)
		snprintf(text, size, "this kernel has no user namespaces");
	else
		snprintf(text, size, "%s; a container or a chroot around this program forbids them",
			 log_errname(err ? err : -EPERM));
}

/*
 * The inode numbers that the kernel gives the first namespace of each kind (PROC_*_INIT_INO in
 * linux/proc_ns.h; mnt and net have fixed ones since Linux 6.17, mnt had another before).
 */
static const struct kind {
	const char *name;
	unsigned long host[3];
	bool container;		/* a container has to have its own */
} kinds[] = {
	{ "mnt", { 0xeffffff8, 0xf0000000, 0xf0000001 }, true },
	{ "pid", { 0xeffffffc }, true },
	{ "ipc", { 0xefffffff }, true },
	{ "uts", { 0xeffffffe }, true },
	{ "net", { 0xeffffff9 }, true },
	{ "user", { 0xeffffffd } },
	{ "cgroup", { 0xeffffffb } },
	{ "time", { 0xeffffffa } },
};

/* Some settings of the network exist in the host's namespace only. */
#define HOST_NET_SETTING "net/core/netdev_budget"

static bool is_first(const struct kind *kind, unsigned long inode)
{
	for (size_t i = 0; i < sizeof(kind->host) / sizeof(kind->host[0]); i++)
		if (inode && inode == kind->host[i])
			return true;
	return false;
}

bool sandbox_namespace_is_first(const char *name, unsigned long inode)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, name))
			return is_first(&kinds[i], inode);
	return false;
}

static bool is_host(const char *ns, const char *sysctl, const struct kind *kind)
{
	char path[PATH_MAX], link[64];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", ns, kind->name);
	n = readlink(path, link, sizeof(link) - 1);
	if (n <= 0)
		return true;
	link[n] = '\0';
	if (!strchr(link, '['))
		return true;
	if (is_first(kind, strtoul(strchr(link, '[') + 1, NULL, 10)))
		return true;
	return !strcmp(kind->name, "net") && read_setting(sysctl, HOST_NET_SETTING) >= 0;
}

int sandbox_container_verify(const char *ns, const char *sysctl, char *text, size_t size)
{
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].container && is_host(ns, sysctl, &kinds[i]) && len < size)
			len += snprintf(text + len, size - len, "%s%s", len ? ", " : "",
					kinds[i].name);
	return len ? -EPERM : 0;
}
