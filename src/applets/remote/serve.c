/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "applets/remote/serve-priv.h"
#include "base/fd.h"
#include "base/log.h"
#include "mem/guestmem.h"
#include "metrics/page.h"

/* What a session is in either protocol: the socket's life, what the guest does odd, the end. */

/* At most one line a second of each kind that a guest or a peer may cause again and again. */
#define TELL_INTERVAL (1000 * LOOP_MS)

/*
 * The peer sees the end now, though other sessions of the process go on, and nothing of the device
 * lands in the VM's RAM any more.
 */
void serve_stop(struct serve *serve)
{
	int ret;

	if (!serve->open)
		return;
	loop_fd_del(serve->loop, serve->conn->fd);
	serve->protocol->stop(serve);
	ret = conn_hang_up(serve->conn);
	if (ret)
		log_error("%s: cannot close the connection: %s", serve->dev.id, log_errname(ret));
	guestmem_clear(serve->mem);
	serve->open = false;
}

static void session_close(struct serve *serve, enum serve_end end)
{
	if (!serve->open)
		return;
	serve_stop(serve);
	serve->ops->closed(serve->ops->opaque, serve, end);
}

void serve_protocol_error(struct serve *serve, const char *what)
{
	if (!serve->open)
		return;
	metrics_count(METRIC_PEER_ERRORS);
	/* Where clients come one after the other each may do so. */
	if (serve_may_tell(&serve->end_after))
		log_error("%s: peer: %s; closing the session", serve->dev.id, what);
	session_close(serve, SERVE_END_PROTOCOL);
}

bool serve_may_tell(int64_t *after)
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
	if (serve_may_tell(&serve->guest_error_after))
		log_warning("%s: guest: %s (%lu so far)", serve->dev.id, what,
			    serve->guest_errors);
}

static void on_dma(void *opaque, enum guestmem_dir dir, uint64_t gpa, const void *data, size_t len)
{
	struct serve *serve = opaque;

	trace_put(serve->trace, dir == GUESTMEM_READ ? TRACE_DMA_READ : TRACE_DMA_WRITE,
		  serve->index, gpa, data, len);
}

static void tell_lost_ram(struct serve *serve)
{
	uint64_t gpa;

	if (guestmem_lost(serve->mem, &gpa) && serve_may_tell(&serve->lost_ram_after))
		log_warning("%s: guest RAM at 0x%llx is gone (file cut short, or no huge page "
			    "left); DMA to it fails until the memory map changes", serve->dev.id,
			    (unsigned long long)gpa);
}

/* ---- eventfds ---- */

int serve_event_write(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	uint64_t one = 1;

	if (fd < 0 || poll(&p, 1, 0) <= 0 || !(p.revents & POLLOUT))
		return 0;
	if (write(fd, &one, sizeof(one)) < 0 && errno != EINTR && errno != EAGAIN)
		return -errno;
	return 0;
}

int serve_event_take(int fd)
{
	uint64_t count;
	struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };

	return preadv2(fd, &iov, 1, -1, RWF_NOWAIT) < 0 && errno != EAGAIN ? -errno : 0;
}

/* ---- the socket ---- */

static void watch(struct serve *serve, uint32_t events)
{
	if (serve->watching == events || !serve->open)
		return;
	if (loop_fd_mod(serve->loop, serve->conn->fd, events) == 0)
		serve->watching = events;
}

/* Not a message of which a part is there, and none while a reply does not go out. */
bool serve_has_message(const struct serve *serve)
{
	return serve->watching == EPOLLIN && conn_waiting(serve->conn);
}

static void end_of_stream(struct serve *serve, int ret)
{
	if (ret == -ENODATA) {
		session_close(serve, SERVE_END_CLEAN);
	} else if (ret == -EPIPE) {
		if (serve_may_tell(&serve->end_after))
			log_error("%s: peer died in the middle of a message", serve->dev.id);
		session_close(serve, SERVE_END_MID_MESSAGE);
	} else if (ret == -EPROTO) {
		serve_protocol_error(serve, serve->conn->why);
	} else {
		serve_protocol_error(serve, log_errname(ret));
	}
}

static void on_peer(void *opaque, uint32_t events)
{
	struct serve *serve = opaque;
	int ret;

	/* The last reply is not out yet; serve_flush() goes on with it. */
	if (serve->conn->out_len) {
		if (events & (EPOLLHUP | EPOLLERR))
			session_close(serve, SERVE_END_CLEAN);
		return;
	}
	ret = serve->protocol->message(serve);
	if (ret == -EINPROGRESS)
		watch(serve, EPOLLIN | EPOLLRDHUP | EPOLLET);
	else if (ret && ret != -EAGAIN)
		end_of_stream(serve, ret);
	else if (!ret)
		watch(serve, EPOLLIN);
}

void serve_flush(struct serve *serve)
{
	int ret;

	if (!serve->open)
		return;
	tell_lost_ram(serve);
	ret = serve->protocol->flush(serve);
	if (ret == -EAGAIN)
		watch(serve, EPOLLOUT);
	else if (ret == -EPIPE || ret == -ECONNRESET)
		session_close(serve, SERVE_END_CLEAN);
	else if (ret)
		serve_protocol_error(serve, log_errname(ret));
	else if (serve->watching == EPOLLOUT)
		watch(serve, EPOLLIN);
}

/* ---- making one ---- */

int serve_init(struct serve *serve, const struct serve_setup *setup)
{
	struct pci_host host = {
		.loop = setup->loop, .guest_error = on_guest_error, .opaque = serve,
		.show = setup->protocol->show, .rom = setup->rom, .rom_size = setup->rom_size,
	};
	int ret;

	*serve = (struct serve){
		.protocol = setup->protocol, .loop = setup->loop, .ops = setup->ops,
		.trace = setup->trace, .index = setup->index,
		.journal.journal = setup->journal,
	};
	serve->mem = guestmem_create_for(setup->arena, setup->protocol->regions);
	if (!serve->mem)
		return -errno;
	if (serve->trace)
		guestmem_set_hook(serve->mem, on_dma, serve);
	host.mem = serve->mem;
	ret = serve->protocol->init(serve, setup, &host);
	if (ret)
		return ret;
	serve->conn->fd = setup->fd;
	ret = pci_dev_init(&serve->dev, setup->cls, setup->state, &host, setup->id,
			   setup->scsi_config);
	if (!ret)
		serve_journal_init(serve);
	return ret;
}

int serve_start(struct serve *serve)
{
	int ret;

	serve->protocol->start(serve, serve->conn->fd);
	ret = loop_fd_add(serve->loop, serve->conn->fd, EPOLLIN, on_peer, serve);
	if (ret)
		return ret;
	serve->watching = EPOLLIN;
	serve->open = true;
	metrics_count(METRIC_SESSIONS);
	return 0;
}

int serve_adopt(struct serve *serve, struct serve_vault *vault)
{
	int ret = serve_journal_adopt(serve, vault);

	if (!ret)
		ret = serve_start(serve);
	if (!ret)
		serve_flush(serve);
	return ret;
}

void serve_finish(struct serve *serve)
{
	serve_stop(serve);
	pci_dev_finish(&serve->dev);
	serve->protocol->finish(serve);
	guestmem_destroy(serve->mem);
	serve->mem = NULL;
}
