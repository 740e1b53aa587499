/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "applets/remote/device.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "control/launch.h"
#include "mem/trim.h"
#include "sandbox/landlock.h"
#include "sandbox/trap.h"

/* Beside what stands when the set-up is over: the stack may still grow. */
#define ADDRESS_SPACE_SLACK (8u << 20)

static int refuse(const struct launch_spec *spec, int err, const char *why)
{
	const char *level = sandbox_level_name(spec->sandbox);

	log_error("--sandbox=%s: %s", level, why);
	return err;
}

int confine_early(struct confine *c, const struct launch_spec *spec)
{
	char why[SANDBOX_WHY] = "";
	int ret;

	*c = (struct confine){ .spec = spec, .statm = -1 };
	if (spec->sandbox != SANDBOX_OFF)
		c->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ret = sandbox_enter_root(spec->sandbox, &c->status, why);
	if (!ret)
		ret = sandbox_drop(spec->sandbox, &c->status, why);
	return ret ? refuse(spec, ret, why) : 0;
}

static unsigned features(const struct launch_spec *spec)
{
	unsigned all = spec->manage ? FILTER_MANAGED | FILTER_RAW | FILTER_DEVICE : 0;

	if (spec->on_crash != SPEC_ON_CRASH_FAIL)
		all |= FILTER_RECOVER;

	for (unsigned i = 0; i < spec->device_count; i++)
		if (spec->device[i].listens)
			all |= FILTER_LISTEN;
	for (unsigned i = 0; i < spec->disk_count; i++) {
		const struct spec_image *image = &spec->disk[i].image;

		if (image->kind == SPEC_IMAGE_RAW)
			all |= FILTER_RAW | (image->is_device ? FILTER_DEVICE : 0);
		if (image->kind == SPEC_IMAGE_NBD)
			all |= FILTER_NBD;
	}
	return all;
}

static struct filter_set one(uint64_t value)
{
	return (struct filter_set){ .mask = UINT64_MAX, .base = value };
}

/* @count values from @base on: powers of two, @base a multiple of @count. */
static struct filter_set group(uint64_t base, uint64_t count)
{
	return (struct filter_set){ .mask = ~(count - 1), .base = base };
}

/* With a monitor there are two, whose numbers differ in one bit. */
static struct filter_set channels(const struct launch_spec *spec)
{
	uint64_t bit = spec->manage ? LAUNCH_SLOT_CONTROL ^ LAUNCH_SLOT_MANAGE : 0;

	return (struct filter_set){ .mask = ~bit, .base = LAUNCH_SLOT_CONTROL & ~bit };
}

void confine_env(const struct launch_spec *spec, uint64_t arena_base, uint64_t arena_size,
		 struct filter_env *ret_env)
{
	*ret_env = (struct filter_env){
		.set = {
			[FILTER_LOG] = one(LAUNCH_SLOT_LOG),
			[FILTER_CONTROL] = channels(spec),
			[FILTER_PEER] = group(LAUNCH_SLOT_PEER, LAUNCH_PEERS),
			[FILTER_IMAGE] = group(LAUNCH_SLOT_IMAGE, LAUNCH_IMAGES),
			[FILTER_NBD_SOCKET] = group(LAUNCH_SLOT_NBD, LAUNCH_IMAGES),
			[FILTER_RECEIVED] = group(LAUNCH_SLOT_FREE, LAUNCH_RECEIVED),
			[FILTER_EPOLL] = one(LAUNCH_SLOT_EPOLL),
			[FILTER_POOL] = one(LAUNCH_SLOT_POOL),
			[FILTER_ARENA] = group(arena_base, arena_size),
			[FILTER_JOURNAL] = group(LAUNCH_SLOT_JOURNAL, LAUNCH_JOURNALS),
		},
		.arena_size = arena_size, .features = features(spec),
	};
}

/* Bytes of address space in use; 0 when it cannot be told. */
static uint64_t address_space(struct confine *c)
{
	char text[128];
	ssize_t n = c->statm < 0 ? -1 : pread(c->statm, text, sizeof(text) - 1, 0);

	fd_close(&c->statm);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	return strtoull(text, NULL, 10) * sysconf(_SC_PAGESIZE) + ADDRESS_SPACE_SLACK;
}

/* The largest image of a file: nothing that this process has may grow beyond. */
static uint64_t file_size(const struct launch_spec *spec)
{
	uint64_t size = 0;

	/* Images become larger, and others come. */
	if (spec->manage)
		return RLIM_INFINITY;
	for (unsigned i = 0; i < spec->disk_count; i++)
		if (spec->disk[i].image.kind == SPEC_IMAGE_RAW)
			size = max_u64(size, spec->disk[i].image.size);
	return align_up(size, 4096);
}

/* Strict, it is 0 only where that stands for the caller's own: nobody else is mapped. */
static const char *say_uid(const struct confine *c, char *text, size_t size)
{
	if (c->spec->sandbox == SANDBOX_STRICT && c->status.uid == 0)
		return "the caller's uid";
	snprintf(text, size, "uid %u", c->status.uid);
	return text;
}

static void say_level(const struct confine *c)
{
	const char *no_filter = filter_impossible();
	char calls[64], uid[16];

	if (c->again)
		return;
	if (c->spec->sandbox == SANDBOX_OFF) {
		log_info("sandbox: off");
		return;
	}
	snprintf(calls, sizeof(calls), "%u system calls, %u of them limited", c->status.names,
		 c->status.limited);
	log_info("sandbox: %s; %s root, %s, %s, %s%s%s", sandbox_level_name(c->spec->sandbox),
		 c->status.own_root ? "empty" : "no own", say_uid(c, uid, sizeof(uid)),
		 c->status.landlock ? "Landlock" : "no Landlock here",
		 no_filter ? "no system-call filter (" : calls, no_filter ? no_filter : "",
		 no_filter ? ")" : "");
}

static int compile(struct confine *c, struct filter_program *program)
{
	return filter_impossible() ? 0 : filter_compile(&filter_device, &c->env, program);
}

/*
 * A forbidden call is told, and ends the process.  What made the filter is garbage by now, and
 * what the set-up needed: no later moment has the call to give it back.
 */
static int install(struct confine *c, const struct filter_program *program)
{
	int ret = sandbox_trap_install(DEVICE_EXIT_FORBIDDEN);

	if (!c->trimmed)
		mem_trim();
	c->trimmed = true;
	return ret || filter_impossible() ? ret : filter_install(program);
}

static int tell_filter(const struct confine *c, int ret)
{
	if (ret)
		log_error("--sandbox=%s: system-call filter: %s",
			  sandbox_level_name(c->spec->sandbox), log_errname(ret));
	return ret;
}

/*
 * It stays below the last one: of several filters the strictest answer counts (seccomp(2)).  So it
 * allows all that the last one does; and is left out where no server is spoken to, since each call
 * is looked at by both.
 */
int confine_handshake(struct confine *c, uint64_t arena_base, uint64_t arena_size)
{
	struct filter_program first = { 0 };
	int ret;

	confine_env(c->spec, arena_base, arena_size, &c->env);
	if (c->spec->sandbox == SANDBOX_OFF || !(c->env.features & FILTER_NBD))
		return 0;
	ret = compile(c, &c->last);
	c->env.features |= FILTER_SETUP;
	if (!ret)
		ret = compile(c, &first);
	if (!ret)
		ret = install(c, &first);
	filter_program_finish(&first);
	return tell_filter(c, ret);
}

int confine_late(struct confine *c, uint64_t arena_base, uint64_t arena_size)
{
	struct sandbox_limits limits = { .fds = LAUNCH_SLOT_COUNT };
	char why[SANDBOX_WHY] = "";
	int ret;

	if (c->spec->sandbox == SANDBOX_OFF) {
		say_level(c);
		return 0;
	}
	confine_env(c->spec, arena_base, arena_size, &c->env);
	/* It goes through a file, of which there may be none later. */
	ret = c->last.code ? 0 : compile(c, &c->last);
	if (ret)
		return tell_filter(c, ret);
	limits.file_size = file_size(c->spec);
	limits.address_space = address_space(c);
	ret = sandbox_limit(&limits, why);
	if (ret)
		return refuse(c->spec, ret, why);
	c->status.names = filter_names(&filter_device, &c->env, &c->status.limited);
	say_level(c);
	ret = install(c, &c->last);
	filter_program_finish(&c->last);
	return tell_filter(c, ret);
}

/* A copy of @fd at one of the @count numbers from @first on.  Or -errno. */
static int copy_to(int fd, int first, int count)
{
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, first);

	if (copy >= first + count) {
		close(copy);
		return -EMFILE;
	}
	/* EINVAL: the limit is lower than that. */
	return copy >= 0 ? copy : errno == EINVAL ? -EMFILE : -errno;
}

int confine_pidfd(pid_t child)
{
	autofd low = pidfd_open(child, 0);

	return copy_to(low, CONFINE_PIDFD, CONFINE_PIDFDS);
}

int confine_listener(int *fd)
{
	int copy = copy_to(*fd, CONFINE_LISTENER, CONFINE_LISTENERS);

	if (copy < 0)
		return copy;
	fd_close(fd);
	*fd = copy;
	return 0;
}

/* No new fd can stand where the pidfds do; those that are there stay. */
static int keep_numbers(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	limit.rlim_cur = limit.rlim_max = min_u64(CONFINE_PIDFD, limit.rlim_max);
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

/* The folder of a file, "." of one that names none. */
static const char *folder_of(const char *file, char folder[PATH_MAX])
{
	const char *slash = strrchr(file, '/');

	if (!slash)
		return ".";
	/* It was opened, so that it is not longer than that. */
	snprintf(folder, PATH_MAX, "%.*s", (int)(slash - file + 1), file);
	return folder;
}

/* The keeper's last capabilities. */
static uint64_t keeper_caps(const struct confine_duties *duties)
{
	char path[PATH_MAX];
	uint64_t caps = 0;

	/* A folder of what it removes may be another user's, and closed to us. */
	for (const char *const *file = duties->removes; file && *file; file++)
		if (!sandbox_may_write(folder_of(*file, path)))
			caps |= 1ULL << CAP_DAC_OVERRIDE;
	/*
	 * Root's device process is nobody's.  Whose user namespace it is in may kill it all the
	 * same (capabilities(7)); where it has none, that takes a right, at what the filter allows.
	 */
	if (duties->spec->sandbox != SANDBOX_STRICT && geteuid() == 0)
		caps |= 1ULL << CAP_KILL;
	/* Images of other users, as at the start. */
	if (duties->has_monitor && geteuid() == 0)
		caps |= 1ULL << CAP_DAC_OVERRIDE;
	return caps;
}

/*
 * No file but the name of who sent a signal, in /proc, and no removal but in the folders of what it
 * removes; @images: any file that is there may be opened, and none made.  The monitor's socket has
 * a path that is no matter of Landlock's; signals are the children's.
 */
static int keeper_files(const char *const *removes, bool images)
{
	char path[PATH_MAX];
	autofd ruleset = -1;
	int ret;

	/* What forbids a filter opens files at the end, too: /proc/self/task, counters. */
	if (filter_impossible())
		return 0;
	ruleset = sandbox_landlock_create(false, false);
	if (ruleset < 0)
		return sandbox_landlock_abi() ? ruleset : 0;
	ret = sandbox_landlock_allow(ruleset, "/proc", LANDLOCK_READ_FILE);
	if (images && !ret)
		ret = sandbox_landlock_allow(ruleset, "/", LANDLOCK_READ_FILE |
					     LANDLOCK_WRITE_FILE | LANDLOCK_USE_DEVICE);
	for (; removes && *removes && !ret; removes++)
		ret = sandbox_landlock_allow(ruleset, folder_of(*removes, path),
					     LANDLOCK_REMOVE_FILE);
	return ret ? ret : sandbox_landlock_enter(ruleset);
}

void confine_keeper_env(const struct confine_duties *duties, struct filter_env *ret_env)
{
	*ret_env = (struct filter_env){
		.set = {
			[FILTER_CHILD] = group(CONFINE_PIDFD, CONFINE_PIDFDS),
			[FILTER_LISTENER] = group(CONFINE_LISTENER, CONFINE_LISTENERS),
			[FILTER_CONTROL] = one(duties->control),
		},
		.features = duties->features | (features(duties->spec) &
						 (FILTER_LISTEN | FILTER_RECOVER)),
	};
	if (duties->has_monitor) {
		ret_env->features |= FILTER_MONITOR_CLIENTS;
		ret_env->set[FILTER_MANAGE] = one(duties->manage);
	}
	if (duties->monitor >= 0) {
		ret_env->features |= FILTER_QMP;
		ret_env->set[FILTER_MONITOR] = one(duties->monitor);
	}
}

int confine_keeper(const struct confine_duties *duties)
{
	const struct launch_spec *spec = duties->spec;
	struct filter_program program = { 0 };
	struct filter_env env;
	char why[SANDBOX_WHY] = "";
	int ret;

	if (spec->sandbox == SANDBOX_OFF)
		return 0;
	confine_keeper_env(duties, &env);
	ret = sandbox_drop_keeper(keeper_caps(duties), why);
	if (ret)
		return refuse(spec, ret, why);
	ret = keeper_files(duties->removes, duties->has_monitor);
	if (ret)
		return refuse(spec, ret, "keeper: Landlock");
	ret = keep_numbers();
	if (!ret)
		ret = sandbox_trap_install(DEVICE_EXIT_FORBIDDEN);
	if (!ret && !filter_impossible())
		ret = filter_compile(&filter_keeper, &env, &program);
	mem_trim();
	if (!ret && !filter_impossible())
		ret = filter_install(&program);
	filter_program_finish(&program);
	if (ret)
		log_error("keeper: system-call filter: %s", log_errname(ret));
	return ret;
}
