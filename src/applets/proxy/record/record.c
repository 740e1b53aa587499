/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/proxy/launch.h"
#include "applets/proxy/record/recfile.h"
#include "applets/proxy/record/recorder.h"
#include "applets/proxy/record/tracing.h"
#include "applets/proxy/verb.h"
#include "base/fd.h"
#include "base/log.h"
#include "proto/relay.h"

/*
 * The verb record: takes the place of a remote, starts the real one, and passes on what the two
 * sides say.  Its life is that of the remote: signals are passed on, and so is the exit status.
 */

/* How long the trace may go unread: the ring has room for more than a device moves meanwhile. */
#define PAUSE_MIN_MS 4
#define PAUSE_MAX_MS 64
#define PIECES_AT_ONCE 16

enum { TO_REMOTE, TO_VM, WAYS };
enum { WATCH_VM, WATCH_REMOTE, WATCH_SIGNAL, WATCH_IRQ, WATCHES };

struct record {
	const char *output;
	FILE *out;
	struct remote_process remote;
	struct tracing tracing;
	struct recorder *recorder;
	int vm_fd, signal_fd;		/* owned */
	int irq_in, irq_out;		/* without a trace: irqfd of the remote, of the VM; owned */
	struct relay way[WAYS];
	bool shut[WAYS];		/* the end has been passed on */
	int pause_ms;
};

/* ---- passing on ---- */

/*
 * Without a trace interrupts are seen on an eventfd of ours, which takes the place of the VM's.  Of
 * a message in pieces this one may be too short to tell its command: its fds do.
 */
static void replace_irqfd(struct record *r, struct relay *way)
{
	if (r->tracing.on || way->from != r->vm_fd || way->fds.count != 2 ||
	    !fd_is_event(way->fds.fd[0]) || !fd_is_event(way->fds.fd[1]))
		return;
	fd_close(&r->irq_in);
	fd_close(&r->irq_out);
	r->irq_in = eventfd(0, EFD_CLOEXEC);
	if (r->irq_in < 0)
		return;
	r->irq_out = way->fds.fd[0];
	way->fds.fd[0] = fcntl(r->irq_in, F_DUPFD_CLOEXEC, 0);
}

/* A count of the remote's; the VM's eventfd is not waited for: a full one has one pending. */
static void pass_irq(struct record *r)
{
	struct pollfd p = { .fd = r->irq_out, .events = POLLOUT };
	eventfd_t count;

	if (eventfd_read(r->irq_in, &count))
		return;
	recorder_irq(r->recorder);
	if (poll(&p, 1, 0) > 0 && p.revents & POLLOUT)
		eventfd_write(r->irq_out, 1);
}

static bool is_closed(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
}

/* All that came has been passed on: so is the end, of one direction or of both. */
static void pass_end(struct record *r, unsigned i)
{
	struct relay *way = &r->way[i];

	if (!way->ended || way->len || r->shut[i])
		return;
	r->shut[i] = true;
	if (!is_closed(way->from)) {
		shutdown(way->to, SHUT_WR);
		return;
	}
	shutdown(way->to, SHUT_RDWR);
	r->way[!i].ended = r->shut[!i] = true;
	r->way[!i].len = 0;
}

/* Nobody takes it any more: who sends it is told. */
static void give_up(struct relay *way)
{
	shutdown(way->from, SHUT_RD);
	way->ended = true;
	way->len = 0;
}

static void pass_on(struct record *r, unsigned i)
{
	struct relay *way = &r->way[i];

	for (unsigned n = 0; n < PIECES_AT_ONCE && !way->ended; n++) {
		int ret = way->len ? relay_give(way) : 0;

		if (!ret && !(ret = relay_take(way))) {
			recorder_saw(r->recorder, i == TO_REMOTE, way->buf, way->len, &way->fds);
			replace_irqfd(r, way);
			ret = relay_give(way);
		}
		if (ret == -EAGAIN)
			break;
		if (ret && ret != -ENODATA && way->len)
			give_up(way);
		else if (ret)
			way->ended = true;
	}
	pass_end(r, i);
}

/* ---- waiting ---- */

/* Signals for us are for the remote; a terminal's have reached it already. */
static void pass_signal(struct record *r)
{
	struct signalfd_siginfo si;

	if (read(r->signal_fd, &si, sizeof(si)) == sizeof(si) && si.ssi_code != SI_KERNEL)
		kill(r->remote.pid, si.ssi_signo);
}

/* What one side has to say and the other has not to be waited for. */
static struct pollfd watch(const struct record *r, unsigned in, unsigned out)
{
	short events = (!r->way[in].ended && !r->way[in].len ? POLLIN : 0) |
		       (r->way[out].len ? POLLOUT : 0);

	return (struct pollfd){ .fd = events ? r->way[in].from : -1, .events = events };
}

static void relay_all(struct record *r)
{
	r->pause_ms = PAUSE_MIN_MS;
	while (!r->shut[TO_REMOTE] || !r->shut[TO_VM]) {
		struct pollfd p[WATCHES] = {
			[WATCH_VM] = watch(r, TO_REMOTE, TO_VM),
			[WATCH_REMOTE] = watch(r, TO_VM, TO_REMOTE),
			[WATCH_SIGNAL] = { .fd = r->signal_fd, .events = POLLIN },
			[WATCH_IRQ] = { .fd = r->irq_in, .events = POLLIN },
		};

		poll(p, WATCHES, r->tracing.on ? r->pause_ms : -1);
		if (p[WATCH_SIGNAL].revents)
			pass_signal(r);
		if (p[WATCH_IRQ].revents)
			pass_irq(r);
		if (p[WATCH_VM].revents | p[WATCH_REMOTE].revents) {
			pass_on(r, TO_REMOTE);
			pass_on(r, TO_VM);
		}
		if (recorder_drain(r->recorder))
			r->pause_ms = PAUSE_MIN_MS;
		else
			r->pause_ms = MIN(2 * r->pause_ms, PAUSE_MAX_MS);
	}
}

/* The remote may have to flush its disks yet: it gets all the time that it would have. */
static int wait_for_remote(struct record *r)
{
	autofd pidfd = syscall(SYS_pidfd_open, r->remote.pid, 0);
	struct pollfd p[] = {
		{ .fd = pidfd, .events = POLLIN }, { .fd = r->signal_fd, .events = POLLIN },
	};
	siginfo_t info = { .si_pid = 0 };
	int status = 0;

	while (!waitid(P_PID, r->remote.pid, &info, WEXITED | WNOHANG | WNOWAIT) && !info.si_pid) {
		/* valgrind knows no pidfds. */
		poll(p, 2, r->tracing.on || pidfd < 0 ? PAUSE_MAX_MS : -1);
		if (p[1].revents)
			pass_signal(r);
		recorder_drain(r->recorder);
	}
	if (waitpid(r->remote.pid, &status, 0) < 0)
		return PROXY_EXIT_REMOTE;
	r->remote.pid = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- beginning and end ---- */

/* One device over mpqemu, with a socket at a number of the command's. */
static bool check_remote(const struct record *r, GError **error)
{
	const struct remote_device *device = &r->remote.device[0];

	if (r->remote.count > 1)
		return mpq_fail(error, MPQ_ERROR_USAGE, "record: the remote command has %u "
				"devices, and one can be recorded", r->remote.count);
	if (device->protocol != CLIENT_MPQEMU)
		return mpq_fail(error, MPQ_ERROR_USAGE, "record: %s speaks vfio-user, and only "
				"mpqemu can be recorded", device->devid);
	if (device->path)
		return mpq_fail(error, MPQ_ERROR_USAGE, "record: %s listens at a path; expected "
				"-object x-remote-object,...,fd=N", device->devid);
	return true;
}

/* The VM's end: at --fd, or at the number where the remote itself would expect it. */
static bool take_vm(struct record *r, const struct proxy_target *target, GError **error)
{
	const struct remote_device *device = &r->remote.device[0];
	int fd = target->fd >= 0 ? target->fd : (int)device->number, type;
	socklen_t len = sizeof(type);

	if (fd == device->fd || fd == device->remote_fd)
		return mpq_fail(error, MPQ_ERROR_USAGE, "record: fd %d of the VM: %s", fd,
				log_errname(EBADF));
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return mpq_fail(error, MPQ_ERROR_USAGE, "record: fd %d of the VM: %s", fd,
				log_errname(errno));
	fd_set_cloexec(fd, true);
	r->vm_fd = fd;
	return true;
}

/* What stands there may be somebody's disk: only a record may go.  0 or -errno. */
static int check_output(int fd)
{
	char head[sizeof(REC_MAGIC) - 1];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	/* A reader that is slow would hold up the VM. */
	if (S_ISFIFO(st.st_mode) || S_ISBLK(st.st_mode))
		return -EINVAL;
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return 0;
	n = pread(fd, head, sizeof(head), 0);
	return n == sizeof(head) && !memcmp(head, REC_MAGIC, sizeof(head)) ? 0 : -EEXIST;
}

/* It stays as it is until the remote has been started. */
static bool open_output(struct record *r, GError **error)
{
	autofd fd = open(r->output, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
	int ret = fd < 0 ? -errno : check_output(fd);

	if (!ret) {
		r->out = fdopen(fd, "w");
		ret = r->out ? 0 : -errno;
	}
	if (ret)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "record: --output %s: %s", r->output,
				ret == -EINVAL ? "expected a file" :
				ret == -EEXIST ? "it is no record: it stays as it is" :
				log_errname(ret));
	fd_steal(&fd);
	return true;
}

/* From here on they are the remote's; it has the mask that we were started with. */
static bool take_signals(struct record *r, GError **error)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signal_fd >= 0 ||
	       mpq_fail(error, MPQ_ERROR_SYSTEM, "signalfd: %s", log_errname(errno));
}

static char *quote(char *const *argv)
{
	GString *s = g_string_new(NULL);

	for (; *argv; argv++) {
		g_autofree char *word = g_shell_quote(*argv);
		bool plain = **argv && !(*argv)[strcspn(*argv, " \t\n'\"\\$`*?[](){}<>|&;#~!")];

		g_string_append_printf(s, "%s%s", s->len ? " " : "", plain ? *argv : word);
	}
	return g_string_free(s, false);
}

static bool start(struct record *r, const struct proxy_args *args, GError **error)
{
	char *const *command = args->target.command;
	g_autofree char *text = quote(command);

	if (!remote_process_read(&r->remote, command, error) || !check_remote(r, error) ||
	    !take_vm(r, &args->target, error) ||
	    !tracing_create(&r->tracing, command, r->remote.device[0].number, error) ||
	    !open_output(r, error) ||
	    !remote_process_start(&r->remote, r->tracing.argv, error) || !take_signals(r, error))
		return false;
	tracing_started(&r->tracing);
	if (ftruncate(fileno(r->out), 0) < 0 && errno != EINVAL)	/* EINVAL: a device */
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "record: --output %s: %s", r->output,
				log_errname(errno));
	r->recorder = recorder_create(r->out, r->tracing.on ? &r->tracing.trace : NULL, text);
	relay_init(&r->way[TO_REMOTE], r->vm_fd, r->remote.device[0].fd);
	relay_init(&r->way[TO_VM], r->remote.device[0].fd, r->vm_fd);
	return true;
}

/* The VM sees the end when the remote has ended the connection, not when it has ended itself. */
static void hang_up(struct record *r)
{
	for (unsigned i = 0; i < WAYS; i++)
		relay_finish(&r->way[i]);
	fd_close(&r->vm_fd);
	fd_close(&r->remote.device[0].fd);
}

static void finish(struct record *r)
{
	recorder_destroy(r->recorder);
	tracing_finish(&r->tracing);
	remote_process_finish(&r->remote);
	fd_close(&r->vm_fd);
	fd_close(&r->signal_fd);
	fd_close(&r->irq_in);
	fd_close(&r->irq_out);
	if (r->out)
		fclose(r->out);
}

static int run(const struct proxy_args *args, GError **error)
{
	struct record r = {
		.output = *(const char **)args->data, .vm_fd = -1, .signal_fd = -1,
		.irq_in = -1, .irq_out = -1, .remote = { .pid = -1 }, .tracing = { .fd = -1 },
	};
	int status = PROXY_EXIT_REMOTE;
	const char *why;

	if (start(&r, args, error)) {
		relay_all(&r);
		hang_up(&r);
		status = wait_for_remote(&r);
		why = recorder_end(r.recorder);
		if (why)
			log_error("record: %s is unusable: %s", r.output, why);
		if (why && !status)
			status = PROXY_EXIT_REMOTE;
	}
	finish(&r);
	return status;
}

/* ---- the command line ---- */

static bool set_output(void *opaque, const struct option_use *use, GError **error)
{
	struct proxy_args *args = opaque;

	*(const char **)args->data = use->arg;
	return true;
}

static const struct option_def options[] = {
	PROXY_OPTION("output", set_output, "FILE", "where the record is written"),
	PROXY_OPTIONS_END,
};

static void *create(const struct proxy_verb *verb)
{
	return g_new0(const char *, 1);
}

static bool check(const struct proxy_args *args, GError **error)
{
	const struct proxy_target *t = &args->target;

	if (!*(const char **)args->data)
		return mpq_fail(error, MPQ_ERROR_USAGE, "record: expected --output FILE");
	if (!t->command || !t->command[0] || t->socket || t->device || args->protocol_named)
		return mpq_fail(error, MPQ_ERROR_USAGE, "record: expected '-- REMOTE-COMMAND "
				"[ARGUMENTS]', and beside it only --output and --fd");
	return true;
}

const struct proxy_verb verb_record = {
	.name = "record", .help = "write what a VM and a remote say to each other",
	.options = options, .create = create, .destroy = g_free, .check = check,
	.own_target = true, .run = run,
};
