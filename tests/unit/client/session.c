/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Setting a vfio-user session up, with each answer of the server wrong in each way. */

#include <errno.h>

#include "server.h"

/* ---- each answer, spoiled ---- */

struct spoil {
	const char *name;
	void (*fn)(struct word *w);
	int len;		/* bytes of the message that come; -1: all */
	bool eof;		/* and then the stream ends */
	int ret;
	const char *why;
};

static void wrong_id(struct word *w)
{
	w->h.id++;
}

static void wrong_command(struct word *w)
{
	w->h.cmd = w->h.cmd == VFU_RESET ? VFU_GET_INFO : VFU_RESET;
}

static void no_reply_flag(struct word *w)
{
	w->h.flags = 0;
}

static void unknown_type(struct word *w)
{
	w->h.flags = 2;
}

static void unknown_flag(struct word *w)
{
	w->h.flags |= 0x40;
}

static void no_reply_bit(struct word *w)
{
	w->h.flags |= VFU_NO_REPLY;
}

static void header_of_15(struct word *w)
{
	w->h.size = 15;
}

static void too_long_by_far(struct word *w)
{
	w->h.size = UINT32_MAX;
}

static void one_byte_short(struct word *w)
{
	if (w->size)
		w->size = w->h.cmd == VFU_VERSION ? 3 : w->size - 1;
	else
		w->h.size = 15;
}

static void too_long(struct word *w)
{
	/* Those that may be longer are wrong in another way. */
	if (w->h.cmd == VFU_DMA_MAP || w->h.cmd == VFU_SET_IRQS)
		w->size = 33;
	else
		w->size = 0;
}

static void error_without_number(struct word *w)
{
	w->h.flags |= VFU_ERROR;
	w->size = 0;
}

static void error_number_too_large(struct word *w)
{
	error_without_number(w);
	w->h.error = 4096;
}

static void unchanged(struct word *w)
{
}

static const struct spoil spoils[] = {
	{ "wrong id", wrong_id, -1, false, -EPROTO, "the answer to message" },
	{ "wrong command", wrong_command, -1, false, -EPROTO, "the answer to message" },
	{ "no reply flag", no_reply_flag, -1, false, -EPROTO, "instead of an answer" },
	{ "unknown type", unknown_type, -1, false, -EPROTO, "instead of an answer" },
	{ "unknown flag", unknown_flag, -1, false, -EPROTO, "flags 0x41" },
	{ "no_reply", no_reply_bit, -1, false, -EPROTO, "flags 0x11" },
	{ "header says 15", header_of_15, -1, false, -EPROTO, "a message of 15 bytes" },
	{ "larger than room", too_long_by_far, -1, false, -EPROTO, "a message of 4294967295" },
	{ "short", one_byte_short, -1, false, -EPROTO, "bytes, expected" },
	{ "wrong length", too_long, -1, false, -EPROTO, "bytes, expected" },
	{ "error 0", error_without_number, -1, false, -EPROTO, "refused with error 0" },
	{ "error 4096", error_number_too_large, -1, false, -EPROTO, "refused with error 4096" },
	{ "end of stream", unchanged, 0, true, -ENODATA, "closed the connection" },
	{ "end in the header", unchanged, 7, true, -EPIPE, "closed the connection" },
	{ "no answer", unchanged, 0, false, -ETIMEDOUT, "does not answer" },
	{ "half a header", unchanged, 15, false, -ETIMEDOUT, "does not answer" },
};

static void spoil_one(unsigned step, const struct spoil *spoil)
{
	bool waits = spoil->ret == -ETIMEDOUT;
	unsigned before = open_fds();
	struct server s;
	struct word w;
	int fd, ret;

	server_init(&s);
	server_pair(&s, &fd);
	server_say_session(&s, step);
	w = s.say[step];
	w.h.id = s.next;
	spoil->fn(&w);
	server_put(&s, &w, spoil->len < 0 ? sizeof(w.h) + w.size : (size_t)spoil->len);
	if (spoil->eof)
		g_assert_cmpint(shutdown(s.fd, SHUT_WR), ==, 0);
	ret = client_init(&s.client, CLIENT_VFIO_USER, fd, RAM, waits ? SHORT_MS : LONG_MS);
	g_test_message("step %u, %s: %s", step, spoil->name, client_why(&s.client, ret));
	g_assert_cmpint(ret, ==, spoil->ret);
	g_assert_nonnull(strstr(client_why(&s.client, ret), spoil->why));
	server_finish(&s);
	g_assert_cmpuint(open_fds(), ==, before);
}

static void test_spoiled(const void *data)
{
	for (unsigned step = 0; step < SAY_COUNT; step++)
		spoil_one(step, data);
}

/* An error is the server's last word, but on what it need not have. */
static void test_refused(void)
{
	for (unsigned step = 0; step < SAY_COUNT; step++) {
		bool may = step == SAY_REGION + VFU_REGION_ROM ||
			   step == SAY_REGION + VFU_REGION_VGA || step == SAY_UNMASK ||
			   (step > SAY_IRQ && step < SAY_INTX);
		struct server s;
		int fd, ret;

		/* Of INTx, its answers would not be asked for. */
		if (step == SAY_IRQ)
			continue;
		server_init(&s);
		server_pair(&s, &fd);
		s.say[step].h.flags |= VFU_ERROR;
		s.say[step].h.error = ENOTTY;
		s.say[step].size = 0;
		server_say_session(&s, SAY_COUNT);
		ret = client_init(&s.client, CLIENT_VFIO_USER, fd, RAM, LONG_MS);
		g_test_message("step %u: %d", step, ret);
		g_assert_cmpint(ret, ==, may ? 0 : -ENOTTY);
		if (!may)
			g_assert_nonnull(strstr(client_why(&s.client, ret),
						": the remote answers: Inappropriate ioctl"));
		server_finish(&s);
	}
}

/* ---- answers of the right form that say what cannot be ---- */

static int init_with(unsigned step, struct word w, char *why, size_t why_size)
{
	struct server s;
	int fd, ret;

	server_init(&s);
	server_pair(&s, &fd);
	s.say[step] = w;
	server_say_session(&s, SAY_COUNT);
	ret = client_init(&s.client, CLIENT_VFIO_USER, fd, RAM, LONG_MS);
	g_strlcpy(why, ret ? client_why(&s.client, ret) : "", why_size);
	server_finish(&s);
	return ret;
}

static struct word with_info(uint32_t flags, uint32_t regions)
{
	struct vfu_info info = { .argsz = 16, .flags = flags, .regions = regions, .irqs = 5 };

	return word_make(VFU_GET_INFO, &info, sizeof(info));
}

static struct word small_argsz(struct word w)
{
	memcpy(w.payload, (uint32_t[]){ 8 }, 4);
	return w;
}

static struct word open_text(void)
{
	struct word w = word_version(0, 0, "{}");

	w.size--;
	return w;
}

static void test_impossible(void)
{
	const struct {
		unsigned step;
		struct word w;
		const char *why;
	} rows[] = {
		{ SAY_VERSION, word_version(1, 0, "{}"), "version 1.0, expected 0.0" },
		{ SAY_VERSION, word_version(0, 0, "nothing"), "no JSON text" },
		{ SAY_VERSION, word_version(0, 0, "[]"), "no JSON text" },
		{ SAY_VERSION, open_text(), "no JSON text" },
		{ SAY_VERSION, word_version(0, 0, "{\"capabilities\":{\"max_msg_fds\":-1}}"),
		  "no JSON text" },
		{ SAY_VERSION, word_version(0, 0, "{\"capabilities\":{\"max_data_xfer_size\":4}}"),
		  "more than 4 bytes" },
		{ SAY_INFO, with_info(VFU_INFO_RESET, 9), "not a PCI device" },
		{ SAY_INFO, with_info(VFU_INFO_PCI, 7), "not a PCI device" },
		{ SAY_REGION + 2, word_region(3, 64), "of 2: an answer of 32 bytes on region 3" },
		{ SAY_REGION, small_argsz(word_region(0, 64)), "an answer of 8 bytes" },
		{ SAY_REGION + VFU_REGION_CONFIG, word_region(VFU_REGION_CONFIG, 255),
		  "a config space of 255 bytes" },
		{ SAY_IRQ + 1, word_irq(0, 1), "of 1: an answer of 16 bytes on interrupt 0" },
		{ SAY_IRQ, small_argsz(word_irq(0, 1)), "an answer of 8 bytes" },
	};
	char why[128];

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_assert_cmpint(init_with(rows[i].step, rows[i].w, why, sizeof(why)), ==, -EPROTO);
		g_test_message("%s", why);
		g_assert_nonnull(strstr(why, rows[i].why));
	}
}

/* ---- servers that are other than ours ---- */

static void test_no_text(void)
{
	struct server s;

	server_init(&s);
	s.say[SAY_VERSION] = word_version(0, 0, NULL);
	server_start(&s, SAY_COUNT, LONG_MS);
	g_assert_cmpuint(s.client.limits.max_fds, ==, 8);
	g_assert_cmpuint(s.client.limits.max_data, ==, 1 << 20);
	server_finish(&s);
}

/* A later minor, long texts, infos of a later version, capabilities with an fd. */
static void test_longer(void)
{
	g_autofree char *text = g_strdup_printf("{\"more\":\"%0290d\"}", 0);
	unsigned before = open_fds();
	struct server s;

	server_init(&s);
	s.say[SAY_VERSION] = word_version(0, 3, text);
	s.say[SAY_INFO].size += 24;
	for (unsigned i = 0; i < VFU_REGIONS; i++) {
		s.say[SAY_REGION + i].size += 32;
		s.say[SAY_REGION + i].payload[0] = 64;
		s.say[SAY_REGION + i].fd = true;
	}
	s.say[SAY_MAP].fd = true;
	for (unsigned i = 0; i < VFU_IRQS; i++)
		s.say[SAY_IRQ + i].size += 8;
	s.say[SAY_INTX].size = 20;
	server_start(&s, SAY_COUNT, LONG_MS);
	g_assert_cmpuint(s.client.minor, ==, 3);
	/* both ends, RAM, two eventfds */
	g_assert_cmpuint(open_fds(), ==, before + 5);
	server_finish(&s);
	g_assert_cmpuint(open_fds(), ==, before);
}

/* A long answer that stops in the middle, with an fd that has come already. */
static void test_half_with_fd(void)
{
	unsigned before = open_fds();
	struct word w;
	struct server s;
	int fd;

	server_init(&s);
	server_pair(&s, &fd);
	server_say_session(&s, SAY_REGION);
	w = s.say[SAY_REGION];
	w.h.id = s.next;
	w.size = sizeof(w.payload);
	w.fd = true;
	server_put(&s, &w, sizeof(w.h) + w.size - 1);
	g_assert_cmpint(client_init(&s.client, CLIENT_VFIO_USER, fd, RAM, 100), ==, -ETIMEDOUT);
	server_finish(&s);
	g_assert_cmpuint(open_fds(), ==, before);
}

/* Eight regions and three interrupts are as few as there may be. */
static void test_fewer(void)
{
	struct vfu_info info = { 16, VFU_INFO_PCI, VFU_REGION_VGA, VFU_IRQ_MSIX + 1 };
	unsigned count = 0;
	struct server s;
	int fd;

	server_init(&s);
	s.say[SAY_INFO] = word_make(VFU_GET_INFO, &info, sizeof(info));
	server_pair(&s, &fd);
	for (unsigned i = 0; i < SAY_COUNT; i++)
		if (i != SAY_REGION + VFU_REGION_VGA && i != SAY_IRQ + VFU_IRQ_ERR &&
		    i != SAY_IRQ + VFU_IRQ_REQ)
			server_say(&s, s.say[i]);
	g_assert_cmpint(client_init(&s.client, CLIENT_VFIO_USER, fd, RAM, LONG_MS), ==, 0);
	g_assert_cmpint(client_vectors(&s.client, VFU_IRQ_MSIX, &count), ==, 0);
	g_assert_cmpuint(count, ==, 16);
	g_assert_cmpint(client_reset(&s.client), ==, -EOPNOTSUPP);
	server_finish(&s);
}

/* Where no fd may be sent, memory is reached by message, and no interrupt is listened to. */
static void test_no_fds(void)
{
	struct server s;
	int fd;

	server_init(&s);
	s.say[SAY_VERSION] = word_version(0, 0, "{\"capabilities\":{\"max_msg_fds\":0}}");
	server_pair(&s, &fd);
	server_say_session(&s, SAY_INTX);
	g_assert_cmpint(client_init(&s.client, CLIENT_VFIO_USER, fd, RAM, LONG_MS), ==, 0);
	for (;;) {
		char control[CMSG_SPACE(4 * sizeof(int))], data[1024];
		struct iovec iov = { data, sizeof(data) };
		struct msghdr mh = {
			.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			.msg_controllen = sizeof(control),
		};

		if (recvmsg(s.fd, &mh, MSG_DONTWAIT) < 0)
			break;
		g_assert_cmpuint(mh.msg_controllen, ==, 0);
	}
	server_finish(&s);
}

/* ---- what the client says ---- */

/* With one fd; returns it. */
static int heard_fd(struct server *s, struct vfu_header *h, void *payload, size_t size)
{
	char control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov[2] = { { h, sizeof(*h) }, { payload, size } };
	struct msghdr mh = {
		.msg_iov = iov, .msg_iovlen = 2, .msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int fd;

	g_assert_cmpint(recvmsg(s->fd, &mh, MSG_DONTWAIT), ==, sizeof(*h) + size);
	c = CMSG_FIRSTHDR(&mh);
	g_assert_nonnull(c);
	g_assert_cmpuint(c->cmsg_len, ==, CMSG_LEN(sizeof(int)));
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static void heard_version(struct server *s)
{
	struct {
		struct vfu_version v;
		char text[1024];
	} got;
	struct vfu_header h = server_heard(s, &got, sizeof(got));
	size_t len = h.size - sizeof(h) - sizeof(got.v);
	struct vfu_limits limits;

	g_assert_cmpuint(h.id, ==, 0);
	g_assert_cmpuint(h.cmd, ==, VFU_VERSION);
	g_assert_cmpuint(h.flags | h.error, ==, 0);
	g_assert_cmpuint(got.v.major | got.v.minor, ==, 0);
	g_assert_cmpint(vfu_version_parse(got.text, len, &limits), ==, 0);
	g_assert_cmpuint(limits.max_data, ==, 64 << 10);
	g_assert_cmpuint(limits.max_fds, ==, 16);
	g_assert_false(limits.write_multiple);
}

static void heard_map(struct server *s)
{
	struct vfu_dma_map map;
	struct stat ours, theirs;
	struct vfu_header h;
	int fd = heard_fd(s, &h, &map, sizeof(map));

	g_assert_cmpuint(h.cmd, ==, VFU_DMA_MAP);
	g_assert_cmpuint(map.argsz, ==, 32);
	g_assert_cmpuint(map.flags, ==, VFU_MAP_READ | VFU_MAP_WRITE);
	g_assert_cmpuint(map.addr | map.offset, ==, 0);
	g_assert_cmpuint(map.size, ==, RAM);
	g_assert_cmpint(fstat(fd, &theirs) | fstat(s->client.mem_fd, &ours), ==, 0);
	g_assert_cmpuint(ours.st_ino, ==, theirs.st_ino);
	close(fd);
}

static void heard_intx(struct server *s, uint32_t flags)
{
	struct vfu_set_irqs set;
	struct vfu_header h;

	close(heard_fd(s, &h, &set, sizeof(set)));
	g_assert_cmpuint(h.cmd, ==, VFU_SET_IRQS);
	g_assert_cmpuint(set.argsz, ==, 20);
	g_assert_cmpuint(set.flags, ==, flags);
	g_assert_cmpuint(set.index | set.start, ==, 0);
	g_assert_cmpuint(set.count, ==, 1);
}

static void test_said(void)
{
	uint32_t payload[8];
	struct server s;
	struct vfu_header h;
	int fd;

	server_init(&s);
	server_pair(&s, &fd);
	server_say_session(&s, SAY_COUNT);
	g_assert_cmpint(client_init(&s.client, CLIENT_VFIO_USER, fd, RAM, LONG_MS), ==, 0);
	heard_version(&s);
	heard_map(&s);
	h = server_heard(&s, payload, 16);
	g_assert_cmpuint(h.id, ==, SAY_INFO);
	g_assert_cmpuint(h.cmd, ==, VFU_GET_INFO);
	for (unsigned i = 0; i < VFU_REGIONS + VFU_IRQS; i++) {
		bool region = i < VFU_REGIONS;

		h = server_heard(&s, payload, 32);
		g_assert_cmpuint(h.id, ==, SAY_REGION + i);
		g_assert_cmpuint(h.cmd, ==, region ? VFU_GET_REGION_INFO : VFU_GET_IRQ_INFO);
		g_assert_cmpuint(payload[0], ==, h.size - sizeof(h));
		g_assert_cmpuint(payload[2], ==, region ? i : i - VFU_REGIONS);
	}
	heard_intx(&s, VFU_DATA_EVENTFD | VFU_ACTION_TRIGGER);
	heard_intx(&s, VFU_DATA_EVENTFD | VFU_ACTION_UNMASK);
	server_heard_nothing(&s);
	server_finish(&s);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(spoils); i++) {
		g_autofree char *path = g_strdup_printf("/session/spoiled/%s", spoils[i].name);

		g_test_add_data_func(path, &spoils[i], test_spoiled);
	}
	g_test_add_func("/session/refused", test_refused);
	g_test_add_func("/session/impossible", test_impossible);
	g_test_add_func("/session/no-text", test_no_text);
	g_test_add_func("/session/longer", test_longer);
	g_test_add_func("/session/half-with-fd", test_half_with_fd);
	g_test_add_func("/session/fewer", test_fewer);
	g_test_add_func("/session/no-fds", test_no_fds);
	g_test_add_func("/session/said", test_said);
	return g_test_run();
}
