/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/nursery.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/remote/confine.h"
#include "applets/remote/keeper.h"
#include "applets/remote/reconnect.h"
#include "applets/remote/spawn.h"
#include "base/fd.h"
#include "base/log.h"
#include "proto/fdpass.h"
#include "sandbox/isolate.h"

/* ms: to clone a process takes a few of them; one that cannot answer is stuck. */
#define PATIENCE 20000

enum order { ORDER_LAUNCH, ORDER_KILL };

/* ---- The process ---- */

static bool is_needed(const struct keeper *k, const struct spawn *s, int fd, int sock)
{
	const int own[] = { STDERR_FILENO, sock, s->exe_fd, s->spec_fd, s->state_fd,
			    s->metrics_fd, s->log[1], k->trace };

	for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (own[i] == fd)
			return true;
	for (unsigned i = 0; i < k->spec->device_count; i++)
		if (k->peer[i] == fd || k->rom[i] == fd || s->journal[i] == fd)
			return true;
	for (unsigned i = 0; i < k->spec->disk_count; i++)
		if (k->image[i] == fd || k->place[i] == fd)
			return true;
	return false;
}

/* The keeper's own: who waits for their end shall not wait for us, too. */
static void close_others(const struct keeper *k, const struct spawn *s, int sock)
{
	for (int fd = STDERR_FILENO; fd < CONFINE_FDS; fd++)
		if (!is_needed(k, s, fd, sock))
			close(fd);
}

static void launch(const struct keeper *k, struct spawn *s, int sock, int *pidfd)
{
	/* There was one before. */
	int32_t ret = *pidfd >= 0 ? reconnect_disks(k) : 0;

	if (!ret) {
		fd_close(pidfd);
		ret = spawn_one(k, s, SANDBOX_SHARE_PARENT);
	}
	if (!ret) {
		*pidfd = pidfd_open(s->pid, 0);
		ret = s->pid;
	}
	if (ret > 0)
		ret = fdpass_give(sock, &ret, sizeof(ret), &s->control[0], 1);
	else
		ret = send(sock, &ret, sizeof(ret), MSG_NOSIGNAL) < 0 ? -errno : 0;
	fd_close(&s->control[0]);
	/* The keeper is gone. */
	if (ret)
		_exit(0);
}

static void __attribute__((noreturn))
nursery_main(const struct keeper *k, struct spawn *s, int sock)
{
	int pidfd = -1;
	uint8_t order;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "mpqemu-nursery");
	/* by the device processes' pipe, which the keeper copies */
	log_init(s->log[1], log_prog());
	close_others(k, s, sock);
	while (recv(sock, &order, sizeof(order), 0) == sizeof(order)) {
		if (order == ORDER_LAUNCH)
			launch(k, s, sock, &pidfd);
		else if (pidfd >= 0)
			pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	}
	_exit(0);
}

/* ---- The keeper's end ---- */

int nursery_start(const struct keeper *keeper, struct spawn *s, struct nursery *nursery)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int err = errno;

		close(pair[0]);
		close(pair[1]);
		return -err;
	}
	if (pid == 0)
		nursery_main(keeper, s, pair[1]);
	close(pair[1]);
	*nursery = (struct nursery){ .sock = pair[0], .pid = pid };
	return 0;
}

void nursery_finish(struct nursery *nursery)
{
	if (nursery->sock < 0)
		return;
	fd_close(&nursery->sock);
	if (nursery->pid)
		waitpid(nursery->pid, NULL, 0);
}

static int give_order(const struct nursery *nursery, enum order what)
{
	uint8_t order = what;

	if (send(nursery->sock, &order, sizeof(order), MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

static int await_answer(const struct nursery *nursery, int32_t *ret_answer, int *ret_fd)
{
	struct pollfd p = { .fd = nursery->sock, .events = POLLIN };
	ssize_t n;
	int ready;

	do
		ready = poll(&p, 1, PATIENCE);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return ready < 0 ? -errno : -ETIMEDOUT;
	n = fdpass_recv(nursery->sock, ret_answer, sizeof(*ret_answer), ret_fd);
	if (n < 0)
		return n;
	return n == sizeof(*ret_answer) ? 0 : -EPIPE;
}

int nursery_launch(struct nursery *nursery, pid_t *ret_pid, int *ret_control)
{
	int32_t answer = 0;
	int fd = FDPASS_NONE, ret = give_order(nursery, ORDER_LAUNCH);

	if (!ret)
		ret = await_answer(nursery, &answer, &fd);
	if (ret) {
		log_error("cannot launch a device process: %s",
			  ret == -EPIPE ? "who does that is gone" : log_errname(ret));
		return ret;
	}
	/* It has logged why. */
	if (answer <= 0 || fd < 0) {
		fd_close(&fd);
		return answer < 0 ? answer : -EIO;
	}
	*ret_pid = answer;
	*ret_control = fd;
	return 0;
}

void nursery_kill(const struct nursery *nursery)
{
	give_order(nursery, ORDER_KILL);
}
