/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/supervised.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "applets/remote/device.h"
#include "applets/remote/fdoption.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "control/channel.h"
#include "control/supervise.h"

bool supervised_take(struct supervised *s, const char *option, bool successors, GError **error)
{
	int ret;

	*s = (struct supervised){ .fd = -1, .successors = successors };
	if (!option)
		return true;
	if (!fd_option_is(option))
		return mpq_fail(error, MPQ_ERROR_USAGE, "--control=%s: it takes fd=N", option);
	if (!fd_option_take("--control", option, &s->fd, error))
		return false;
	ret = sup_check(s->fd);
	if (!ret)
		return true;
	return mpq_fail(error, MPQ_ERROR_USAGE, "--control=%s: %s", option,
			ret == -EPROTOTYPE ? "it is no seqpacket socket" : log_errname(ret));
}

void supervised_finish(struct supervised *s)
{
	fd_close(&s->fd);
}

static void resume(struct supervised *s)
{
	int ret;

	if (s->state == SUPERVISED_RUNS)
		return;
	ret = ctl_send(s->control, CTL_RESUME, 0);
	if (ret)
		log_error("control channel: %s; the devices stay as they are", log_errname(ret));
	else
		s->state = SUPERVISED_RUNS;
}

/*
 * Nobody else could let the devices go on: a guest whose disks stand still for ever is worse off
 * than one that was resumed a little early.
 */
static void lose(struct supervised *s, const char *why)
{
	bool held = s->state != SUPERVISED_RUNS;

	fd_close(&s->fd);
	log_warning("--control: %s; %s", why,
		    held ? "the devices, which were paused, go on" : "it is not used any more");
	resume(s);
}

/* One that does not read is not waited for, and an answer that is lost is one that never comes. */
static void say(struct supervised *s, enum sup_type type, uint32_t id, uint32_t arg,
		uint32_t value)
{
	const struct sup_msg msg = { .type = type, .id = id, .arg = arg, .value = value };
	int ret = s->fd < 0 ? 0 : sup_send(s->fd, &msg);

	/* What is gone is seen when it is read from. */
	if (ret && ret != -EPIPE && ret != -ECONNRESET)
		lose(s, ret == -EAGAIN ? "what is told is not read" : log_errname(ret));
}

static void refuse(struct supervised *s, uint32_t id, int err)
{
	say(s, SUP_REFUSED, id, 0, err);
}

static void on_pause(struct supervised *s, uint32_t id)
{
	int ret;

	if (s->state != SUPERVISED_RUNS) {
		refuse(s, id, EALREADY);
		return;
	}
	s->number = (s->number + 1) % CTL_PAUSE_NUMBERS;
	ret = ctl_send(s->control, CTL_PAUSE, s->number);
	if (ret) {
		refuse(s, id, -ret);
		return;
	}
	s->state = SUPERVISED_PAUSING;
	s->id = id;
}

static void on_resume(struct supervised *s, uint32_t id)
{
	bool pausing = s->state == SUPERVISED_PAUSING;

	resume(s);
	if (s->state != SUPERVISED_RUNS) {
		refuse(s, id, EAGAIN);
		return;
	}
	if (pausing)
		refuse(s, s->id, ECANCELED);
	say(s, SUP_RESUMED, id, 0, 0);
}

static void on_restart(struct supervised *s, uint32_t id)
{
	if (!s->successors || s->restarting) {
		refuse(s, id, s->successors ? EALREADY : ENOTSUP);
		return;
	}
	s->restarting = s->restart = true;
	s->restart_id = id;
}

static void (*const requests[SUP_TYPE_COUNT])(struct supervised *, uint32_t id) = {
	[SUP_PAUSE] = on_pause,
	[SUP_RESUME] = on_resume,
	[SUP_RESTART] = on_restart,
};

void supervised_poll(const struct supervised *s, struct pollfd *p)
{
	*p = (struct pollfd){ .fd = s->ready ? s->fd : -1, .events = POLLIN };
}

static void take_request(struct supervised *s)
{
	struct sup_msg msg;
	int ret;

	ret = sup_recv(s->fd, SUP_FROM_SUPERVISOR, &msg);
	if (ret == -EAGAIN)
		return;
	if (ret)
		lose(s, ret == -ENODATA ? "the other end is gone" :
		     ret == -EPROTO ? "it is no request" : log_errname(ret));
	else
		requests[msg.type](s, msg.id);
}

bool supervised_polled(struct supervised *s, const struct pollfd *p)
{
	bool restart;

	if (s->fd >= 0 && p->fd == s->fd && p->revents)
		take_request(s);
	restart = s->restart;
	s->restart = false;
	return restart;
}

void supervised_ready(struct supervised *s, pid_t device, int control)
{
	s->control = control;
	s->ready = true;
	say(s, SUP_READY, 0, device, SUPERVISE_VERSION);
}

void supervised_adopting(struct supervised *s)
{
	int ret = s->state == SUPERVISED_RUNS ? 0 : ctl_send(s->control, CTL_PAUSE, s->number);

	if (ret)
		log_error("control channel: %s; a pause ends early", log_errname(ret));
}

void supervised_restarted(struct supervised *s, pid_t device, uint32_t outage)
{
	say(s, SUP_RESTARTED, s->restarting ? s->restart_id : 0, device, outage);
	s->restarting = false;
}

void supervised_barren(struct supervised *s)
{
	s->successors = false;
	s->restart = false;
	if (s->restarting)
		refuse(s, s->restart_id, ECHILD);
	s->restarting = false;
}

void supervised_paused(struct supervised *s, uint32_t arg)
{
	struct ctl_paused paused = ctl_paused_unpack(arg);

	if (s->state != SUPERVISED_PAUSING || paused.number != s->number)
		return;
	s->state = SUPERVISED_PAUSED;
	say(s, SUP_PAUSED, s->id, 0, paused.err);
}

void supervised_client_gone(struct supervised *s, uint32_t device)
{
	say(s, SUP_CLIENT_GONE, 0, device, 0);
}

static void say_end(struct supervised *s, enum sup_type type, int wait_status)
{
	bool exited = WIFEXITED(wait_status);
	int value = exited ? WEXITSTATUS(wait_status) : WTERMSIG(wait_status);

	say(s, type, 0, exited ? SUP_CAUSE_EXIT : SUP_CAUSE_SIGNAL, value);
}

void supervised_crashed(struct supervised *s, int wait_status)
{
	/* That was our doing. */
	if (s->restarting && WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL)
		return;
	if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == DEVICE_EXIT_FORBIDDEN)
		say(s, SUP_CRASHED, 0, SUP_CAUSE_FORBIDDEN, 0);
	else
		say_end(s, SUP_CRASHED, wait_status);
}

void supervised_storage_gone(struct supervised *s, int wait_status)
{
	/* A successor of the device process would find no disk. */
	supervised_barren(s);
	say_end(s, SUP_STORAGE_GONE, wait_status);
}

void supervised_gone(struct supervised *s, int exit_status)
{
	bool pausing = s->state == SUPERVISED_PAUSING;

	s->state = SUPERVISED_RUNS;
	if (pausing)
		refuse(s, s->id, ECANCELED);
	if (s->restarting)
		refuse(s, s->restart_id, ECANCELED);
	say(s, SUP_GONE, 0, 0, exit_status);
}
