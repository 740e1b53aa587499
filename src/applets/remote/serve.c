/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/serve.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "mem/guestmem.h"

/*
 * While the line is up irqfd is written again this often: when the guest re-routes the interrupt,
 * the new one is raised only by a new write, and resamplefd stays silent until then.
 */
#define RERAISE_INTERVAL (100 * LOOP_MS)

/* At most one line a second of each kind that a guest or a peer may cause again and again. */
#define TELL_INTERVAL (1000 * LOOP_MS)

static void on_resample(void *opaque, uint32_t events);

static void irq_close(struct serve *serve)
{
	if (serve->resamplefd >= 0)
		loop_fd_del(serve->loop, serve->resamplefd);
	fd_close(&serve->resamplefd);
	fd_close(&serve->irqfd);
}

/*
 * The peer sees the end now, though other sessions of the process go on, and nothing of the device
 * lands in the VM's RAM any more.
 */
void serve_stop(struct serve *serve)
{
	int ret;

	if (!serve->open)
		return;
	loop_fd_del(serve->loop, serve->conn.fd);
	loop_timer_cancel(serve->loop, &serve->reraise);
	irq_close(serve);
	ret = conn_hang_up(&serve->conn);
	if (ret)
		log_error("%s: cannot close the connection: %s", serve->dev.id, log_errname(ret));
	guestmem_set(serve->mem, NULL, 0);
	serve->open = false;
}

static void session_close(struct serve *serve, enum serve_end end)
{
	if (!serve->open)
		return;
	serve_stop(serve);
	serve->ops->closed(serve->ops->opaque, serve, end);
}

static void protocol_error(struct serve *serve, const char *what)
{
	log_error("%s: peer: %s; closing the session", serve->dev.id, what);
	session_close(serve, SERVE_END_PROTOCOL);
}

/* Interrupts */

/*
 * One count on irqfd.  A counter that is full blocks a writer, and the file's flags are not ours to
 * change: not writable means that one is pending already.  Returns 0 or -errno: it is no eventfd.
 */
static int irqfd_write(struct serve *serve)
{
	struct pollfd p = { .fd = serve->irqfd, .events = POLLOUT };
	uint64_t one = 1;

	if (serve->irqfd < 0 || poll(&p, 1, 0) <= 0 || !(p.revents & POLLOUT))
		return 0;
	if (write(serve->irqfd, &one, sizeof(one)) < 0 && errno != EINTR && errno != EAGAIN)
		return -errno;
	return 0;
}

static void on_reraise(void *opaque)
{
	struct serve *serve = opaque;

	if (!pci_intx_pin(&serve->dev))
		return;
	serve->raise = true;
	loop_timer_set(serve->loop, &serve->reraise, loop_now() + RERAISE_INTERVAL);
}

static void on_intx(void *opaque, bool level)
{
	struct serve *serve = opaque;

	serve->raise = level;
	if (level && serve->open)
		loop_timer_set(serve->loop, &serve->reraise, loop_now() + RERAISE_INTERVAL);
	else
		loop_timer_cancel(serve->loop, &serve->reraise);
}

/* The guest has acknowledged the interrupt: KVM lowered the line; is ours still up? */
static void on_resample(void *opaque, uint32_t events)
{
	struct serve *serve = opaque;
	uint64_t count;
	struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };

	/* Never waits, though the peer may have read it first and the file may block. */
	if (preadv2(serve->resamplefd, &iov, 1, -1, RWF_NOWAIT) < 0 && errno != EAGAIN) {
		protocol_error(serve, "resamplefd cannot be read");
		return;
	}
	if (pci_intx_pin(&serve->dev))
		serve->raise = true;
}

static bool may_tell(int64_t *after)
{
	int64_t now = loop_now();

	if (now < *after)
		return false;
	*after = now + TELL_INTERVAL;
	return true;
}

static void on_guest_error(void *opaque, const char *what)
{
	struct serve *serve = opaque;

	serve->guest_errors++;
	if (may_tell(&serve->guest_error_after))
		log_warning("%s: guest: %s (%lu so far)", serve->dev.id, what,
			    serve->guest_errors);
}

static void tell_lost_ram(struct serve *serve)
{
	uint64_t gpa;

	if (guestmem_lost(serve->mem, &gpa) && may_tell(&serve->lost_ram_after))
		log_warning("%s: guest RAM at 0x%llx is gone (file cut short, or no huge page "
			    "left); DMA to it fails until the memory map changes", serve->dev.id,
			    (unsigned long long)gpa);
}

/* Messages.  A handler returns 0, or says with -errno that the peer has made a mistake. */

static void reply_value(struct serve *serve, uint64_t value)
{
	serve->reply = true;
	serve->reply_size = sizeof(value);
	serve->reply_value = value;
}

static int handle_sync_sysmem(struct serve *serve, struct mpq_msg *msg)
{
	struct guestmem_region region[MPQ_MAX_REGIONS];

	for (unsigned i = 0; i < msg->fd_count; i++) {
		/* A negative offset becomes one beyond any file. */
		region[i] = (struct guestmem_region){
			.gpa = msg->u.sync.gpa[i], .size = msg->u.sync.size[i],
			.offset = (uint64_t)msg->u.sync.offset[i], .fd = msg->fd[i],
		};
	}
	return guestmem_set(serve->mem, region, msg->fd_count);
}

/* eventfds and their like are anonymous inodes: no file type at all. */
static bool is_anon_inode(int fd)
{
	struct stat st;

	return fd_stat(fd, &st) == 0 && (st.st_mode & S_IFMT) == 0;
}

static int handle_set_irqfd(struct serve *serve, struct mpq_msg *msg)
{
	int ret;

	if (!is_anon_inode(msg->fd[0]) || !is_anon_inode(msg->fd[1]))
		return -EBADF;
	irq_close(serve);
	ret = loop_fd_add(serve->loop, msg->fd[1], EPOLLIN, on_resample, serve);
	if (ret)
		return ret;
	serve->irqfd = fd_steal(&msg->fd[0]);
	serve->resamplefd = fd_steal(&msg->fd[1]);
	if (pci_intx_pin(&serve->dev))
		serve->raise = true;
	return 0;
}

static int handle_cfgread(struct serve *serve, struct mpq_msg *msg)
{
	const struct mpq_cfg *cfg = &msg->u.cfg;
	bool ok = (cfg->len == 1 || cfg->len == 2 || cfg->len == 4) &&
		  cfg->addr <= PCI_CONFIG_SIZE - (uint32_t)cfg->len;

	reply_value(serve, ok ? pci_config_read(&serve->dev, cfg->addr, cfg->len) : UINT64_MAX);
	return 0;
}

static int handle_cfgwrite(struct serve *serve, struct mpq_msg *msg)
{
	const struct mpq_cfg *cfg = &msg->u.cfg;

	pci_config_write(&serve->dev, cfg->addr, cfg->val, cfg->len);
	reply_value(serve, 0);
	return 0;
}

static int handle_bar_read(struct serve *serve, struct mpq_msg *msg)
{
	const struct mpq_bar *bar = &msg->u.bar;
	uint64_t val;

	pci_bus_read(&serve->dev, bar->memory, bar->addr, bar->size, &val);
	reply_value(serve, val);
	return 0;
}

static int handle_bar_write(struct serve *serve, struct mpq_msg *msg)
{
	const struct mpq_bar *bar = &msg->u.bar;
	bool ok = pci_bus_write(&serve->dev, bar->memory, bar->addr, bar->size, bar->val);

	reply_value(serve, ok ? 0 : UINT64_MAX);
	return 0;
}

static int handle_reset(struct serve *serve, struct mpq_msg *msg)
{
	pci_dev_reset(&serve->dev);
	serve->reply = true;
	serve->reply_size = 0;
	return 0;
}

static int (*const handlers[MPQ_CMD_COUNT])(struct serve *, struct mpq_msg *) = {
	[MPQ_SYNC_SYSMEM] = handle_sync_sysmem,
	[MPQ_SET_IRQFD] = handle_set_irqfd,
	[MPQ_PCI_CFGREAD] = handle_cfgread,
	[MPQ_PCI_CFGWRITE] = handle_cfgwrite,
	[MPQ_BAR_READ] = handle_bar_read,
	[MPQ_BAR_WRITE] = handle_bar_write,
	[MPQ_DEVICE_RESET] = handle_reset,
};

static void dispatch(struct serve *serve, struct mpq_msg *msg)
{
	int ret = handlers[msg->cmd](serve, msg);

	mpq_msg_close(msg);
	if (!ret)
		return;
	log_error("%s: peer: %s cannot be carried out: %s; closing the session", serve->dev.id,
		  mpq_rule(msg->cmd)->name, log_errname(ret));
	session_close(serve, SERVE_END_PROTOCOL);
}

/* The socket */

static void watch(struct serve *serve, uint32_t events)
{
	if (serve->watching == events || !serve->open)
		return;
	if (loop_fd_mod(serve->loop, serve->conn.fd, events) == 0)
		serve->watching = events;
}

static void end_of_stream(struct serve *serve, int ret)
{
	if (ret == -ENODATA) {
		session_close(serve, SERVE_END_CLEAN);
	} else if (ret == -EPIPE) {
		log_error("%s: peer died in the middle of a message", serve->dev.id);
		session_close(serve, SERVE_END_MID_MESSAGE);
	} else if (ret == -EPROTO) {
		protocol_error(serve, serve->conn.why);
	} else {
		protocol_error(serve, log_errname(ret));
	}
}

static void on_message(struct serve *serve)
{
	struct mpq_msg msg;
	int ret = conn_peek(&serve->conn, &msg);

	if (ret == -EAGAIN)
		return;
	if (ret == -EINPROGRESS) {
		watch(serve, EPOLLIN | EPOLLRDHUP | EPOLLET);
		return;
	}
	if (!ret)
		ret = conn_consume(&serve->conn, &msg);
	if (ret) {
		end_of_stream(serve, ret);
		return;
	}
	watch(serve, EPOLLIN);
	dispatch(serve, &msg);
}

static void on_peer(void *opaque, uint32_t events)
{
	struct serve *serve = opaque;

	if (!serve->conn.out_len) {
		on_message(serve);
		return;
	}
	/* The last reply is not out yet; serve_flush() goes on with it. */
	if (events & (EPOLLHUP | EPOLLERR))
		session_close(serve, SERVE_END_CLEAN);
}

static void after_send(struct serve *serve, int ret)
{
	if (ret == -EAGAIN)
		watch(serve, EPOLLOUT);
	else if (ret == -EPIPE || ret == -ECONNRESET)
		session_close(serve, SERVE_END_CLEAN);
	else if (ret)
		protocol_error(serve, log_errname(ret));
	else if (serve->watching == EPOLLOUT)
		watch(serve, EPOLLIN);
}

void serve_flush(struct serve *serve)
{
	if (!serve->open)
		return;
	tell_lost_ram(serve);
	if (serve->raise) {
		serve->raise = false;
		if (irqfd_write(serve)) {
			protocol_error(serve, "irqfd cannot be written");
			return;
		}
	}
	if (serve->reply) {
		serve->reply = false;
		after_send(serve, conn_send(&serve->conn, MPQ_RET, &serve->reply_value,
					    serve->reply_size));
	} else if (serve->conn.out_len) {
		after_send(serve, conn_flush(&serve->conn));
	}
}

int serve_init(struct serve *serve, struct loop *loop, struct guestmem_arena *arena, int fd,
	       const struct pci_class *cls, struct pci_state *state, const char *id,
	       void *scsi_config, const struct serve_ops *ops)
{
	struct pci_host host = {
		.loop = loop, .intx = on_intx, .guest_error = on_guest_error, .opaque = serve,
	};

	*serve = (struct serve){
		.loop = loop, .ops = ops, .irqfd = -1, .resamplefd = -1,
		.reraise = { .fn = on_reraise, .opaque = serve },
	};
	serve->mem = guestmem_create(arena);
	if (!serve->mem)
		return -errno;
	host.mem = serve->mem;
	conn_init(&serve->conn, fd, MPQ_FROM_PROXY);
	return pci_dev_init(&serve->dev, cls, state, &host, id, scsi_config);
}

int serve_start(struct serve *serve)
{
	int ret = loop_fd_add(serve->loop, serve->conn.fd, EPOLLIN, on_peer, serve);

	if (ret)
		return ret;
	serve->watching = EPOLLIN;
	serve->open = true;
	return 0;
}

/* What the client before has staged, or left half received, is not this one's. */
int serve_attach(struct serve *serve)
{
	conn_init(&serve->conn, serve->conn.fd, MPQ_FROM_PROXY);
	serve->raise = false;
	serve->reply = false;
	return serve_start(serve);
}

void serve_finish(struct serve *serve)
{
	serve_stop(serve);
	pci_dev_finish(&serve->dev);
	guestmem_destroy(serve->mem);
	serve->mem = NULL;
}
