/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "devices/edu/edu.h"
#include "mem/arena.h"
#include "mem/memfd.h"

static void on_closed(void *opaque, struct serve *serve, enum serve_end end)
{
	struct world *w = opaque;

	w->closed++;
	w->end = end;
}

static void after_event(void *opaque)
{
	struct world *w = opaque;

	w->events++;
	serve_flush(&w->serve);
}

static void peer_init(struct world *w, int fd)
{
	w->peer = fd;
	mpq_conn_init(&w->mpq, fd, MPQ_FROM_REMOTE);
	vfu_conn_init(&w->vfu, fd);
}

void world_init(struct world *w, const struct serve_protocol *protocol,
		const struct pci_class *cls)
{
	unsigned fds = open_fds();
	int s[2];

	*w = (struct world){
		.ops = { .closed = on_closed, .opaque = w }, .fds = fds,
		.state = g_malloc0(cls->state_size), .loop = loop_create(-1),
		.arena = guestmem_arena_create(),
	};
	g_assert_nonnull(w->arena);
	g_assert_nonnull(w->loop);
	g_assert_cmpint(vfu_conn_create(&w->vfu, vfu_message_size(8192)), ==, 0);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	peer_init(w, s[0]);
	loop_set_hooks(w->loop, NULL, after_event, w);
	const struct serve_setup setup = {
		.protocol = protocol, .loop = w->loop, .arena = w->arena, .fd = s[1],
		.cls = cls, .state = w->state, .id = "edu0", .ops = &w->ops,
	};

	g_assert_cmpint(serve_init(&w->serve, &setup), ==, 0);
	g_assert_cmpint(serve_start(&w->serve), ==, 0);
}

void world_finish(struct world *w)
{
	int fd = w->serve.conn->fd;

	serve_finish(&w->serve);
	fd_close(&fd);
	fd_close(&w->peer);
	vfu_conn_finish(&w->vfu);
	guestmem_arena_destroy(w->arena);
	loop_destroy(w->loop);
	g_free(w->state);
	g_assert_cmpuint(open_fds(), ==, w->fds);
}

void world_reconnect(struct world *w)
{
	int s[2];

	fd_close(&w->peer);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
	must(dup3(s[1], w->serve.conn->fd, O_CLOEXEC));
	must(close(s[1]));
	peer_init(w, s[0]);
	g_assert_cmpint(serve_start(&w->serve), ==, 0);
}

unsigned world_settle(struct world *w)
{
	unsigned before = w->events, last;

	do {
		last = w->events;
		g_assert_cmpint(loop_step(w->loop, 0), ==, 0);
	} while (w->events != last);
	return w->events - before;
}

void world_assert_hung_up(struct world *w)
{
	char byte;
	ssize_t n = recv(w->peer, &byte, 1, MSG_DONTWAIT);

	g_assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

int fd_of(enum fd_kind kind)
{
	int p[2];

	if (kind == EVENT)
		return must(eventfd(0, EFD_CLOEXEC));
	if (kind == MEMFD)
		return must(memfd_make("ram", 8192));
	must(pipe2(p, O_CLOEXEC));
	must(close(p[1]));
	return p[0];
}

uint64_t event_take(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t count = 0;

	if (poll(&p, 1, 0) > 0)
		must(read(fd, &count, sizeof(count)));
	return count;
}

/* ---- vfio-user ---- */

uint16_t vfu_tell(struct world *w, unsigned cmd, uint32_t flags, const void *payload, size_t size,
		  const int *fds, unsigned fd_count)
{
	struct {
		struct vfu_header h;
		uint8_t payload[8192];
	} m = { { ++w->id, cmd, sizeof(m.h) + size, flags, 0 } };

	g_assert_cmpuint(size, <=, sizeof(m.payload));
	if (size)
		memcpy(m.payload, payload, size);
	must(sock_send(w->peer, &m, m.h.size, fds, fd_count, 0));
	return w->id;
}

bool vfu_next(struct world *w, struct vfu_msg *ret_msg)
{
	if (vfu_peek(&w->vfu, ret_msg))
		return false;
	g_assert_cmpint(vfu_consume(&w->vfu, ret_msg), ==, 0);
	g_assert_cmpuint(ret_msg->fds.count, ==, 0);
	return true;
}

/* The answer to the last command, which must be in one of the two forms. */
static int take_answer(struct world *w, unsigned cmd, struct vfu_msg *msg)
{
	g_assert_true(vfu_next(w, msg));
	g_assert_cmpuint(msg->h.id, ==, w->id);
	g_assert_cmpuint(msg->h.cmd, ==, cmd);
	if (msg->h.flags == VFU_REPLY) {
		g_assert_cmpuint(msg->h.error, ==, 0);
		return 0;
	}
	g_assert_cmphex(msg->h.flags, ==, VFU_REPLY | VFU_ERROR);
	g_assert_cmpuint(msg->size, ==, 0);
	g_assert_cmpuint(msg->h.error, >, 0);
	return msg->h.error;
}

int vfu_ask_fds(struct world *w, unsigned cmd, const void *payload, size_t size, const int *fds,
		unsigned fd_count, void *ret_data, size_t max, uint32_t *ret_size)
{
	struct vfu_msg msg;
	int err;

	vfu_tell(w, cmd, 0, payload, size, fds, fd_count);
	world_settle(w);
	err = take_answer(w, cmd, &msg);
	if (ret_size)
		*ret_size = msg.size;
	if (ret_data)
		memcpy(ret_data, msg.payload, MIN(max, msg.size));
	g_assert_false(vfu_next(w, &msg));
	return err;
}

int vfu_ask(struct world *w, unsigned cmd, const void *payload, size_t size)
{
	return vfu_ask_fds(w, cmd, payload, size, NULL, 0, NULL, 0, NULL);
}

void vfu_negotiate(struct world *w)
{
	static const char version[] =
		"\0\0\0\0{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, "
		"\"max_dma_maps\": 65535, \"max_data_xfer_size\": 1048576, \"migration\": "
		"{\"max_bitmap_size\": 268435456, \"pgsize\": 4096}, \"write_multiple\": true}}";

	g_assert_cmpint(vfu_ask(w, VFU_VERSION, version, sizeof(version)), ==, 0);
}

void vfu_start(struct world *w)
{
	world_init(w, &serve_vfio_user, &edu_pcie_class);
	vfu_negotiate(w);
}

void vfu_assert_alive(struct world *w)
{
	g_assert_cmpuint(w->closed, ==, 0);
	g_assert_cmphex(vfu_read(w, VFU_REGION_CONFIG, 0, 4), ==, 0x11e81234);
}

int vfu_map(struct world *w, uint64_t addr, uint64_t size, uint64_t offset, int fd)
{
	const struct vfu_dma_map map = {
		.argsz = sizeof(map), .flags = VFU_MAP_READ | VFU_MAP_WRITE, .offset = offset,
		.addr = addr, .size = size,
	};

	return vfu_ask_fds(w, VFU_DMA_MAP, &map, sizeof(map), &fd, fd >= 0, NULL, 0, NULL);
}

int vfu_unmap(struct world *w, uint64_t addr, uint64_t size)
{
	const struct vfu_dma_unmap unmap = { .argsz = sizeof(unmap), .addr = addr, .size = size };

	return vfu_ask(w, VFU_DMA_UNMAP, &unmap, sizeof(unmap));
}

int vfu_irqs(struct world *w, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
	     const int *fds, unsigned fd_count)
{
	struct {
		struct vfu_set_irqs set;
		uint8_t chosen[128];
	} m = { { sizeof(m.set), flags, index, start, count } };
	size_t data = flags & VFU_DATA_BOOL ? MIN(count, sizeof(m.chosen)) : 0;

	memset(m.chosen, 1, data);
	return vfu_ask_fds(w, VFU_SET_IRQS, &m, sizeof(m.set) + data, fds, fd_count, NULL, 0,
			   NULL);
}

uint64_t vfu_read(struct world *w, unsigned region, uint64_t off, unsigned size)
{
	const struct vfu_region_access a = { off, region, size };
	struct {
		struct vfu_region_access a;
		uint64_t val;
	} got = { .val = 0 };
	uint32_t len;

	g_assert_cmpint(vfu_ask_fds(w, VFU_REGION_READ, &a, sizeof(a), NULL, 0, &got, sizeof(got),
				    &len), ==, 0);
	g_assert_cmpuint(len, ==, sizeof(a) + size);
	g_assert_cmpmem(&got.a, sizeof(a), &a, sizeof(a));
	return got.val;
}

void vfu_write(struct world *w, unsigned region, uint64_t off, unsigned size, uint64_t val)
{
	const struct {
		struct vfu_region_access a;
		uint64_t val;
	} m = { { off, region, size }, val };

	g_assert_cmpint(vfu_ask(w, VFU_REGION_WRITE, &m, sizeof(m.a) + size), ==, 0);
}
