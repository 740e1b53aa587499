/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/remote/confine.h"
#include "applets/remote/device.h"
#include "applets/remote/keeper.h"
#include "base/fd.h"
#include "base/log.h"
#include "control/launch.h"
#include "journal/journal.h"
#include "mem/memfd.h"
#include "metrics/page.h"
#include "pci/pci.h"
#include "sandbox/isolate.h"

/*
 * The environment of a device process: what its loader needs, and a sanitizer's, a profiler's or
 * valgrind's options.  Nothing else: there may be secrets in it.
 */
static const char *const env_prefixes[] = {
	"LD_", "ASAN_", "UBSAN_", "LSAN_", "LLVM_PROFILE_FILE=", "GCOV_",
	"VALGRIND_",
};

#define MAX_ENV 32

/* While they move into their slots; and the keeper's own. */
#define FDS_NEEDED (CONFINE_FDS > LAUNCH_SLOT_COUNT * 2 ? CONFINE_FDS : LAUNCH_SLOT_COUNT * 2)

#define PERSONALITY_ASK 0xffffffff	/* personality(2): changes nothing */

static bool env_wanted(const char *text)
{
	for (size_t i = 0; i < sizeof(env_prefixes) / sizeof(env_prefixes[0]); i++)
		if (!strncmp(text, env_prefixes[i], strlen(env_prefixes[i])))
			return true;
	return false;
}

static void device_env(char *ret_env[MAX_ENV + 1])
{
	unsigned n = 0;

	for (char **var = environ; *var && n < MAX_ENV; var++)
		if (env_wanted(*var))
			ret_env[n++] = *var;
	ret_env[n] = NULL;
}

static int make_journals(const struct keeper *k, struct spawn *s)
{
	if (k->spec->on_crash == SPEC_ON_CRASH_FAIL)
		return 0;
	for (unsigned i = 0; i < k->spec->device_count; i++) {
		s->journal[i] = memfd_make("mpqemu-journal", JOURNAL_SIZE);
		if (s->journal[i] < 0)
			return s->journal[i];
	}
	return 0;
}

/* What each device process of the keeper's has. */
static int make_fds(const struct keeper *k, struct spawn *s)
{
	/* The program as it runs, though its file may have been replaced since. */
	s->exe_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (s->exe_fd < 0)
		return -errno;
	s->spec_fd = memfd_make_sealed("mpqemu-spec", k->spec, sizeof(*k->spec));
	if (s->spec_fd < 0)
		return s->spec_fd;
	s->state_fd = memfd_make("mpqemu-state", (uint64_t)k->spec->device_count * PCI_STATE_MAX);
	if (s->state_fd < 0)
		return s->state_fd;
	s->metrics_fd = k->metrics >= 0 ? fcntl(k->metrics, F_DUPFD_CLOEXEC, 0) :
			memfd_make("mpqemu-metrics", METRICS_SIZE);
	if (s->metrics_fd < 0)
		return s->metrics_fd;
	if (pipe2(s->log, O_CLOEXEC) < 0 || fcntl(s->log[1], F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return make_journals(k, s);
}

static unsigned list_fds(const struct keeper *k, const struct spawn *s, struct launch_fd *fds)
{
	unsigned n = 0;

	fds[n++] = (struct launch_fd){ s->log[1], LAUNCH_SLOT_STDERR };
	fds[n++] = (struct launch_fd){ s->log[1], LAUNCH_SLOT_LOG };
	fds[n++] = (struct launch_fd){ s->control[1], LAUNCH_SLOT_CONTROL };
	fds[n++] = (struct launch_fd){ s->spec_fd, LAUNCH_SLOT_SPEC };
	fds[n++] = (struct launch_fd){ s->state_fd, LAUNCH_SLOT_STATE };
	fds[n++] = (struct launch_fd){ s->metrics_fd, LAUNCH_SLOT_METRICS };
	if (k->spec->trace_size)
		fds[n++] = (struct launch_fd){ k->trace, LAUNCH_SLOT_TRACE };
	if (k->spec->manage)
		fds[n++] = (struct launch_fd){ s->manage[1], LAUNCH_SLOT_MANAGE };
	if (k->disks >= 0)
		fds[n++] = (struct launch_fd){ k->disks, LAUNCH_SLOT_DISKS };
	for (unsigned i = 0; i < k->spec->device_count; i++)
		if (k->spec->device[i].peer_slot >= 0 && !k->spec->device[i].listens)
			fds[n++] = (struct launch_fd){ k->peer[i], k->spec->device[i].peer_slot };
	for (unsigned i = 0; i < k->spec->device_count; i++)
		if (s->journal[i] >= 0)
			fds[n++] = (struct launch_fd){ s->journal[i], LAUNCH_SLOT_JOURNAL + i };
	for (unsigned i = 0; i < k->spec->device_count; i++)
		if (k->spec->device[i].rom_slot >= 0)
			fds[n++] = (struct launch_fd){ k->rom[i], k->spec->device[i].rom_slot };
	for (unsigned i = 0; i < k->spec->disk_count; i++)
		if (k->spec->disk[i].image.slot >= 0)
			fds[n++] = (struct launch_fd){ k->image[i], k->spec->disk[i].image.slot };
	return n;
}

/* The child: puts everything into its slot and becomes the device process. */
static void child_main(const struct keeper *k, const struct spawn *s, int go[2])
{
	/* The applet by argument: valgrind gives its children names of its own. */
	char program[] = "mpqemu", applet[] = DEVICE_APPLET, *argv[] = { program, applet, NULL };
	char *env[MAX_ENV + 1];
	struct launch_fd fds[LAUNCH_SLOT_COUNT];
	sigset_t none;
	int ret;

	if (sandbox_clone_wait(go))
		_exit(DEVICE_EXIT_START);
	/*
	 * A process group of its own: the terminal's signals go to the keeper, which ends it in
	 * order.  Not a session: Linux would schedule it apart from its VMM (autogroup), which then
	 * waits longer for a busy CPU after each answer.
	 */
	setpgid(0, 0);
	device_env(env);
	ret = launch_arrange(fds, list_fds(k, s, fds), s->exe_fd);
	if (ret) {
		log_error("cannot give the device process its fds (ulimit -n %d is enough): %s",
			  FDS_NEEDED, log_errname(ret));
		_exit(DEVICE_EXIT_START);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Whatever our caller wanted of its addresses (setarch -R). */
	personality(personality(PERSONALITY_ASK) & ~ADDR_NO_RANDOMIZE);
	execveat(LAUNCH_SLOT_FREE, "", argv, env, AT_EMPTY_PATH);
	log_init(LAUNCH_SLOT_LOG, k->prog);
	log_error("cannot execute the device process: %s", log_errname(errno));
	_exit(DEVICE_EXIT_START);
}

static int refuse_clone(const struct keeper *k, int err)
{
	char why[SANDBOX_WHY];

	if (k->spec->sandbox == SANDBOX_STRICT) {
		sandbox_clone_obstacle(err, why);
		log_error("--sandbox=strict: %s", why);
	} else {
		log_error("cannot launch the device process: %s", log_errname(err));
	}
	return err;
}

static int clone_device(const struct keeper *k, struct spawn *s, unsigned share)
{
	autofd go_read = -1, go_write = -1;
	char why[SANDBOX_WHY];
	int go[2], ret;

	if (pipe2(go, O_CLOEXEC) < 0)
		return refuse_clone(k, -errno);
	go_read = go[0];
	go_write = go[1];
	s->pid = sandbox_clone(k->spec->sandbox, share);
	if (s->pid < 0)
		return refuse_clone(k, s->pid);
	if (s->pid == 0)
		child_main(k, s, go);
	ret = sandbox_clone_map(k->spec->sandbox, share, s->pid, go, why);
	if (ret) {
		log_error("--sandbox=%s: %s", sandbox_level_name(k->spec->sandbox), why);
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
	}
	return ret;
}

static int verify_container(const struct keeper *k)
{
	char text[SANDBOX_WHY];
	int ret = 0;

	if (k->spec->sandbox == SANDBOX_CONTAINER)
		ret = sandbox_container_verify("/proc/self/ns", "/proc/sys", text, sizeof(text));
	if (ret)
		log_error("--sandbox=container: not in a container's namespaces, these are the "
			  "host's: %s; give the container its own, or use --sandbox=strict", text);
	return ret;
}

/* The soft limit is the caller's to set and ours to raise, as far as the hard one goes. */
static void allow_fds(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= FDS_NEEDED)
		return;
	limit.rlim_cur = limit.rlim_max < FDS_NEEDED ? limit.rlim_max : FDS_NEEDED;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int refuse_launch(const struct spawn *s, int err)
{
	log_error("cannot launch the device process: %s%s",
		  s->exe_fd < 0 ? "/proc/self/exe (/proc has to be mounted): " : "",
		  err == -EFBIG ? "files may not be as large as needed (ulimit -f)" :
		  log_errname(err));
	return err;
}

int spawn_prepare(const struct keeper *keeper, struct spawn *s)
{
	int ret;

	*s = (struct spawn){
		.exe_fd = -1, .spec_fd = -1, .state_fd = -1, .metrics_fd = -1,
		.control = { -1, -1 }, .manage = { -1, -1 }, .log = { -1, -1 },
	};
	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++)
		s->journal[i] = -1;
	ret = verify_container(keeper);
	if (ret)
		return ret;
	allow_fds();
	ret = make_fds(keeper, s);
	return ret ? refuse_launch(s, ret) : 0;
}

int spawn_one(const struct keeper *keeper, struct spawn *s, unsigned share)
{
	int ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->control) < 0 ||
	    (keeper->spec->manage &&
	     socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->manage) < 0))
		return refuse_launch(s, -errno);
	ret = clone_device(keeper, s, share);
	fd_close(&s->control[1]);
	fd_close(&s->manage[1]);
	return ret;
}

int spawn_device(const struct keeper *keeper, struct spawn *s)
{
	int ret = spawn_prepare(keeper, s);

	if (!ret)
		ret = spawn_one(keeper, s, SANDBOX_SHARE_NOTHING);
	fd_close(&s->exe_fd);
	fd_close(&s->log[1]);
	return ret;
}

void spawn_finish(struct spawn *s)
{
	int *all[] = { &s->exe_fd, &s->spec_fd, &s->state_fd, &s->metrics_fd, &s->control[0],
		       &s->control[1], &s->manage[0], &s->manage[1], &s->log[0], &s->log[1] };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		fd_close(all[i]);
	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++)
		fd_close(&s->journal[i]);
}
