/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../util.h"
#include "base/fd.h"
#include "base/log.h"

int64_t fake_now = 1000 * SECOND_NS;

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (clock != CLOCK_MONOTONIC)
		return syscall(SYS_clock_gettime, clock, ret);
	ret->tv_sec = fake_now / SECOND_NS;
	ret->tv_nsec = fake_now % SECOND_NS;
	return 0;
}

static void parse(struct rig *rig, const char *extra, int qmp_fd, int events_fd)
{
	g_autofree char *line = g_strdup_printf("mpqemu-remote -device lsi53c895a,id=l "
		"-object x-remote-object,id=o,devid=l,fd=3 -drive if=none,id=d,file=/x,format=raw "
		"-device scsi-hd,drive=d --qmp=fd=%d --events=fd=%d --on-error=stop %s", qmp_fd,
		events_fd, extra);
	g_auto(GStrv) argv = NULL;
	g_autoptr(GError) error = NULL;
	int argc;

	g_assert_true(g_shell_parse_argv(line, &argc, &argv, NULL));
	remote_plan_parse(argc, argv, &rig->plan, &error);
	g_assert_no_error(error);
}

void rig_up(struct rig *rig, const char *extra)
{
	g_autoptr(GError) error = NULL;
	int qmp[2], events[2];

	rig->fds = open_fds();
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qmp));
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, rig->control));
	must(pipe2(events, O_CLOEXEC));
	must(pipe2(rig->log, O_CLOEXEC | O_NONBLOCK));
	rig->qemu = qmp[0];
	rig->events = events[0];
	rig->events_full = must(fcntl(events[1], F_DUPFD_CLOEXEC, 3));
	must(fcntl(rig->events, F_SETFL, O_NONBLOCK));
	log_init(rig->log[1], "keeper");
	parse(rig, extra, qmp[1], events[1]);
	onerror_create(&rig->plan, &rig->o, &error);
	g_assert_no_error(error);
}

void rig_down(struct rig *rig)
{
	onerror_destroy(rig->o);
	remote_plan_finish(&rig->plan);
	log_init(STDERR_FILENO, "keeper");
	fd_close(&rig->log[0]);
	fd_close(&rig->log[1]);
	fd_close(&rig->qemu);
	fd_close(&rig->events);
	fd_close(&rig->events_full);
	fd_close(&rig->control[0]);
	fd_close(&rig->control[1]);
	g_assert_cmpuint(open_fds(), ==, rig->fds);
}

void rig_pump(struct rig *rig)
{
	struct pollfd p;

	for (unsigned i = 0; i < 8; i++) {
		onerror_poll(rig->o, &p);
		must(poll(&p, 1, 0));
		onerror_polled(rig->o, &p, rig->control[0]);
	}
}

bool qemu_says(struct rig *rig, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(rig->qemu, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return false;
		text += n > 0 ? n : 0;
		len -= n > 0 ? n : 0;
		rig_pump(rig);
	}
	return true;
}

/* What is in @fd now, as text. */
static const char *drain(int fd)
{
	static char *text;
	GString *all = g_string_new(NULL);
	char buf[4096];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		g_string_append_len(all, buf, n);
	g_free(text);
	text = g_string_free(all, FALSE);
	return text;
}

const char *qemu_got(struct rig *rig)
{
	must(fcntl(rig->qemu, F_SETFL, O_NONBLOCK));
	return drain(rig->qemu);
}

void device_holds(struct rig *rig, bool write, int err)
{
	onerror_held(rig->o, ctl_held_pack(&(struct ctl_held){ 0, write, err }), rig->control[0]);
	rig_pump(rig);
}

int device_got(struct rig *rig)
{
	struct ctl_msg msg;

	return ctl_recv(rig->control[1], CTL_FROM_KEEPER, &msg) ? -1 : (int)msg.type;
}

const char *logged(struct rig *rig)
{
	return drain(rig->log[0]);
}

const char *emitted(struct rig *rig)
{
	return drain(rig->events);
}
