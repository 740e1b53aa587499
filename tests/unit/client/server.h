/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_UNIT_CLIENT_SERVER_H
#define TESTS_UNIT_CLIENT_SERVER_H

/*
 * A vfio-user server whose every word is written down before the client asks: the numbers of its
 * messages are known, so all answers can stand in the socket beforehand, and what the client has
 * sent is looked at afterwards.  No thread, no chance.
 */

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include "base/fd.h"
#include "base/num.h"
#include "client/client.h"
#include "../util.h"

#define RAM (64u << 10)
#define SHORT_MS 10		/* waits that are meant to end without an answer */
#define LONG_MS 60000

/* One answer. */
struct word {
	struct vfu_header h;		/* size 0: made to fit */
	uint32_t size;			/* bytes of payload */
	uint8_t payload[320];
	bool fd;			/* one comes along */
};

/* The session's, in their order. */
enum {
	SAY_VERSION, SAY_MAP, SAY_INFO, SAY_REGION, SAY_IRQ = SAY_REGION + VFU_REGIONS,
	SAY_INTX = SAY_IRQ + VFU_IRQS, SAY_UNMASK, SAY_COUNT,
};

struct server {
	int fd;				/* the server's end */
	struct client client;
	uint16_t next;			/* number of the client's next command */
	struct word say[SAY_COUNT];
};

static const uint64_t region_sizes[VFU_REGIONS] = {
	[0] = 1 << 20, [2] = 4096, [4] = 256, [VFU_REGION_ROM] = 2048, [VFU_REGION_CONFIG] = 4096,
};
static const uint32_t irq_counts[VFU_IRQS] = { 1, 8, 16, 1, 1 };

static inline struct word word_make(unsigned cmd, const void *payload, size_t size)
{
	struct word w = { .h = { .cmd = cmd, .flags = VFU_REPLY }, .size = size };

	if (size)
		memcpy(w.payload, payload, size);
	return w;
}

static inline struct word word_version(uint16_t major, uint16_t minor, const char *text)
{
	struct word w = word_make(VFU_VERSION, (uint16_t[2]){ major, minor }, 4);

	if (text) {
		strcpy((char *)w.payload + 4, text);
		w.size += strlen(text) + 1;
	}
	return w;
}

static inline struct word word_region(uint32_t index, uint64_t size)
{
	struct vfu_region_info info = {
		.argsz = sizeof(info), .flags = size ? VFU_REGION_MAY_READ : 0, .index = index,
		.size = size,
	};

	return word_make(VFU_GET_REGION_INFO, &info, sizeof(info));
}

static inline struct word word_irq(uint32_t index, uint32_t count)
{
	struct vfu_irq_info info = {
		.argsz = sizeof(info), .index = index, .count = count,
		.flags = VFU_IRQ_EVENTFD | (index ? 0 : VFU_IRQ_MASKABLE | VFU_IRQ_AUTOMASKED),
	};

	return word_make(VFU_GET_IRQ_INFO, &info, sizeof(info));
}

/* What a good server answers. */
static inline void server_init(struct server *s)
{
	struct vfu_info info = {
		.argsz = sizeof(info), .flags = VFU_INFO_RESET | VFU_INFO_PCI,
		.regions = VFU_REGIONS, .irqs = VFU_IRQS,
	};

	memset(s, 0, sizeof(*s));
	s->say[SAY_VERSION] = word_version(0, 0, "{\"capabilities\":{\"max_msg_fds\":8,"
					   "\"max_data_xfer_size\":4096,\"max_dma_maps\":100}}");
	s->say[SAY_MAP] = word_make(VFU_DMA_MAP, NULL, 0);
	s->say[SAY_INFO] = word_make(VFU_GET_INFO, &info, sizeof(info));
	for (unsigned i = 0; i < VFU_REGIONS; i++)
		s->say[SAY_REGION + i] = word_region(i, region_sizes[i]);
	for (unsigned i = 0; i < VFU_IRQS; i++)
		s->say[SAY_IRQ + i] = word_irq(i, irq_counts[i]);
	s->say[SAY_INTX] = s->say[SAY_UNMASK] = word_make(VFU_SET_IRQS, NULL, 0);
}

/* Puts @len bytes of the message into the socket, with its fd. */
static inline void server_put(struct server *s, const struct word *w, size_t len)
{
	struct {
		struct vfu_header h;
		uint8_t payload[sizeof(w->payload)];
	} m = { .h = w->h };
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = { .header = {
		.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	} };
	struct iovec iov = { &m, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (!m.h.size)
		m.h.size = sizeof(m.h) + w->size;
	memcpy(m.payload, w->payload, w->size);
	if (w->fd) {
		memcpy(CMSG_DATA(&control.header), &s->fd, sizeof(int));
		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control);
	}
	if (len)
		g_assert_cmpint(sendmsg(s->fd, &mh, 0), ==, len);
}

/* As the answer to the client's next command but @ahead. */
static inline void server_say(struct server *s, struct word w)
{
	w.h.id += s->next++;
	server_put(s, &w, sizeof(w.h) + w.size);
}

/* As a command of the server's own. */
static inline void server_ask(struct server *s, uint16_t id, unsigned cmd, uint32_t flags,
			      const void *payload, size_t size)
{
	struct word w = word_make(cmd, payload, size);

	w.h.id = id;
	w.h.flags = flags;
	server_put(s, &w, sizeof(w.h) + size);
}

/* Says the session's words from the first to before @end. */
static inline void server_say_session(struct server *s, unsigned end)
{
	for (unsigned i = 0; i < end; i++)
		server_say(s, s->say[i]);
}

static inline void server_pair(struct server *s, int *ret_client)
{
	int pair[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
	s->fd = pair[1];
	*ret_client = pair[0];
}

static inline void server_finish(struct server *s)
{
	client_finish(&s->client);
	fd_close(&s->fd);
}

/* A session that stands; what the client sent for it has been read. */
static inline void server_start(struct server *s, unsigned words, int timeout_ms)
{
	static uint8_t drop[8192];
	int fd;

	server_pair(s, &fd);
	server_say_session(s, words);
	g_assert_cmpint(client_init(&s->client, CLIENT_VFIO_USER, fd, RAM, LONG_MS), ==, 0);
	s->client.timeout_ms = timeout_ms;
	while (recv(s->fd, drop, sizeof(drop), MSG_DONTWAIT) > 0)
		continue;
}

/* The next message that the client has sent: header and up to @size bytes of payload. */
static inline struct vfu_header server_heard(struct server *s, void *payload, size_t size)
{
	struct vfu_header h;

	g_assert_cmpint(recv(s->fd, &h, sizeof(h), MSG_DONTWAIT), ==, sizeof(h));
	g_assert_cmpuint(h.size, <=, sizeof(h) + size);
	if (h.size > sizeof(h))
		g_assert_cmpint(recv(s->fd, payload, h.size - sizeof(h),
				     MSG_DONTWAIT | MSG_WAITALL), ==, h.size - sizeof(h));
	return h;
}

static inline void server_heard_nothing(struct server *s)
{
	char byte;

	g_assert_cmpint(recv(s->fd, &byte, 1, MSG_DONTWAIT), ==, -1);
}

#endif
