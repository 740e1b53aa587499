/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/onerror.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "applets/remote/events.h"
#include "applets/remote/fdoption.h"
#include "applets/remote/qmp.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/unixaddr.h"
#include "control/channel.h"
#include "event/loop.h"

#define SECOND_NS (1000 * LOOP_MS)

/* Lines and events that may come at once, and a second after that. */
#define TELL_BURST 128
#define TELL_RATE 8

/* A VM that is resumed more often than this waits for the timer: it may be its QEMU's own doing. */
#define RETRY_MIN_NS SECOND_NS

struct onerror {
	const struct remote_plan *plan;
	struct qmp *qmp;		/* NULL: no --qmp= */
	int events;			/* or -1; owned */
	int pid;			/* the keeper's */
	int control;			/* while one of the calls below runs */
	bool waiting;			/* the VM is being stopped, or is stopped, for a request */
	int64_t retried;		/* when the last resume let it be tried again */
	int64_t told;			/* when tokens were last given */
	unsigned tokens;		/* lines that may be told now */
};

/* ---- Lines ---- */

/* Against a device process that does nothing but report errors, or does not listen. */
static bool may_tell(struct onerror *o)
{
	int64_t now = loop_now(), due = (now - o->told) / (SECOND_NS / TELL_RATE);

	if (due > 0) {
		o->tokens = MIN(o->tokens + due, TELL_BURST);
		o->told = now;
	}
	if (!o->tokens)
		return false;
	if (!--o->tokens)
		log_warning("too many requests are held back; some will not be told");
	return true;
}

/* ---- What the VM does ---- */

static void retry(struct onerror *o, enum ctl_type how)
{
	int ret = ctl_send(o->control, how, 0);

	if (ret && may_tell(o))
		log_warning("control channel: %s", log_errname(ret));
}

static void on_stopped(void *opaque, const char *status)
{
	if (may_tell(opaque))
		log_info("the VM is stopped (%.32s) until it is resumed", status);
}

static void on_resumed(void *opaque)
{
	struct onerror *o = opaque;
	int64_t now = loop_now();

	if (!o->waiting)
		return;
	o->waiting = false;
	retry(o, now - o->retried < RETRY_MIN_NS ? CTL_RETRY_LATER : CTL_RETRY);
	o->retried = now;
}

/* An ordinary end of QEMU is no news, unless something waits for it. */
static void on_failed(void *opaque, const char *why, bool closed)
{
	struct onerror *o = opaque;

	if (!closed || o->waiting)
		log_error("--qmp=%s: %s; it is not used any more: what an error holds back is "
			  "tried again from time to time", o->plan->qmp, why);
	if (o->waiting)
		retry(o, CTL_RETRY_LATER);
	o->waiting = false;
}

static const struct qmp_ops ops = {
	.stopped = on_stopped, .resumed = on_resumed, .failed = on_failed,
};

/* ---- What the device process says ---- */

static void emit(struct onerror *o, const struct ctl_held *held)
{
	const struct plan_image *image = &o->plan->image[held->disk];
	struct block_io_error what = {
		.device = image->is_node || !image->id ? "" : image->id,
		.node = image->node ? image->node : "", .write = held->write, .err = held->err,
	};
	g_autofree char *line = NULL;
	struct timespec ts;
	int ret;

	clock_gettime(CLOCK_REALTIME, &ts);
	line = event_block_io_error(&what, ts.tv_sec * 1000000LL + ts.tv_nsec / 1000);
	ret = event_write(o->events, line);
	if (ret)
		log_warning("--events=%s: an event is lost: %s", o->plan->events, log_errname(ret));
}

static void tell(const struct onerror *o, const struct ctl_held *held, const char *disk,
		 bool stopping)
{
	const char *what = held->write ? "write" : "read", *why = log_errname(held->err);

	if (stopping)
		log_warning("%s: a %s is held back: %s; stopping the VM; it is tried again when "
			    "the VM runs", disk, what, why);
	else
		log_warning("%s: a %s is held back: %s; it is tried again from time to time, and "
			    "at once on SIGUSR1 to pid %d", disk, what, why, o->pid);
}

/* Returns false when the VM goes on; why was said when it was news. */
static bool stop_vm(struct onerror *o, bool may_say)
{
	int ret = qmp_stop(o->qmp);

	if (!ret) {
		o->waiting = true;
		return true;
	}
	if (may_say && ret != -ENOTCONN)
		log_warning("--qmp=%s: %s: the VM cannot be stopped", o->plan->qmp,
			    log_errname(ret));
	retry(o, CTL_RETRY_LATER);
	return false;
}

void onerror_held(struct onerror *o, uint32_t arg, int control)
{
	const struct launch_spec *spec = o->plan->spec;
	const struct scsi_unit_config *unit;
	struct ctl_held held;
	bool may_say, stopping;

	if (!ctl_held_unpack(arg, spec->disk_count, &held))
		return;
	o->control = control;
	unit = &spec->disk[held.disk].unit;
	may_say = may_tell(o);
	stopping = unit->waits & (held.write ? SCSI_HOLD_WRITE : SCSI_HOLD_READ) &&
		   stop_vm(o, may_say);
	if (!may_say)
		return;
	tell(o, &held, unit->id, stopping);
	if (stopping && o->events >= 0)
		emit(o, &held);
}

/* ---- The keeper's loop ---- */

int onerror_unconnected(const struct onerror *o)
{
	return o->qmp ? qmp_unconnected(o->qmp) : -1;
}

int onerror_poll(const struct onerror *o, struct pollfd *p)
{
	*p = (struct pollfd){ .fd = -1 };
	return o->qmp ? qmp_poll(o->qmp, p) : -1;
}

void onerror_polled(struct onerror *o, const struct pollfd *p, int control)
{
	o->control = control;
	if (o->qmp)
		qmp_polled(o->qmp, p);
}

/* ---- Opening ---- */

static bool read_address(const char *option, const char *path, struct unix_addr *ret,
			 GError **error)
{
	if (!path[0] || unix_addr_parse(path, ret))
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s=%s: a path of a UNIX socket has 1 to "
				"%zu bytes", option, path, sizeof(ret->sun.sun_path) - 1);
	return true;
}

/* The socket is made now: later the keeper may not.  It is connected when it is needed. */
static bool open_qmp(struct onerror *o, GError **error)
{
	const char *text = o->plan->qmp;
	struct unix_addr addr;
	int fd, type = 0;
	socklen_t len = sizeof(type);

	if (fd_option_is(text)) {
		if (!fd_option_take("--qmp", text, &fd, error))
			return false;
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
			return mpq_fail(error, MPQ_ERROR_USAGE, "--qmp=%s: it is no stream socket",
					text);
		o->qmp = qmp_create(fd, NULL, &ops, o);
		return true;
	}
	if (!read_address("--qmp", text, &addr, error))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--qmp=%s: %s", text, log_errname(errno));
	o->qmp = qmp_create(fd, &addr, &ops, o);
	return true;
}

static bool open_events(struct onerror *o, GError **error)
{
	const char *text = o->plan->events;
	struct unix_addr addr;
	int ret;

	if (fd_option_is(text))
		return fd_option_take("--events", text, &o->events, error);
	if (!read_address("--events", text, &addr, error))
		return false;
	o->events = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ret = o->events < 0 ? -errno : unix_addr_connect(o->events, &addr);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "--events=%s: %s", text,
				log_errname(ret));
	return true;
}

bool onerror_create(const struct remote_plan *plan, struct onerror **ret, GError **error)
{
	struct onerror *o = g_new0(struct onerror, 1);

	/* The first object would open /dev/urandom, which the keeper may not later. */
	json_object_seed(0);
	o->plan = plan;
	o->events = -1;
	o->pid = getpid();
	o->tokens = TELL_BURST;
	o->told = loop_now();
	if ((plan->qmp && !open_qmp(o, error)) || (plan->events && !open_events(o, error))) {
		onerror_destroy(o);
		return false;
	}
	*ret = o;
	return true;
}

void onerror_destroy(struct onerror *o)
{
	if (!o)
		return;
	qmp_destroy(o->qmp);
	fd_close(&o->events);
	g_free(o);
}
