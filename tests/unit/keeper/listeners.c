/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who accepts a device's clients, against a device process that says what it likes. */

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "applets/remote/listeners.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/unixaddr.h"
#include "control/channel.h"
#include "../util.h"

#define DEVICES 3

/* Device 1 does not listen. */
struct world {
	struct launch_spec *spec;
	struct unix_addr addr[DEVICES];
	int listener[SPEC_MAX_DEVICES];
	int control[2];			/* keeper's, device's */
	struct listeners listeners;
};

static int listen_at(struct unix_addr *addr, unsigned i)
{
	g_autofree char *name = g_strdup_printf("@mpqemu-listeners-%d-%u", getpid(), i);
	int fd = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

	g_assert_cmpint(unix_addr_parse(name, addr), ==, 0);
	must(bind(fd, (struct sockaddr *)&addr->sun, addr->len));
	must(listen(fd, 8));
	return fd;
}

static void world_make(struct world *w)
{
	*w = (struct world){ .spec = g_new0(struct launch_spec, 1) };
	w->spec->device_count = DEVICES;
	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++)
		w->listener[i] = i < DEVICES && i != 1 ? listen_at(&w->addr[i], i) : -1;
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, w->control));
	w->listeners = (struct listeners){ .spec = w->spec, .fd = w->listener };
}

static void world_finish(struct world *w)
{
	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++)
		fd_close(&w->listener[i]);
	fd_close(&w->control[0]);
	fd_close(&w->control[1]);
	g_free(w->spec);
}

static int client(const struct world *w, unsigned device)
{
	int fd = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	g_assert_cmpint(unix_addr_connect(fd, &w->addr[device]), ==, 0);
	return fd;
}

/* One turn of the keeper's loop. */
static void turn(struct world *w, bool open)
{
	struct pollfd p[SPEC_MAX_DEVICES];

	listeners_poll(&w->listeners, open, p);
	g_assert_cmpint(poll(p, DEVICES, 0), >=, 0);
	listeners_polled(&w->listeners, p, w->control[0]);
}

/* The device process gets the other end of @client, and nothing else. */
static void assert_handed(struct world *w, unsigned device, int client)
{
	struct ctl_msg msg;
	char byte;
	int fd;

	g_assert_cmpint(ctl_recv_fd(w->control[1], CTL_FROM_KEEPER, &msg, &fd), ==, 0);
	g_assert_cmpuint(msg.type, ==, CTL_PEER);
	g_assert_cmpuint(msg.arg, ==, device);
	must(write(client, "x", 1));
	g_assert_cmpint(read(fd, &byte, 1), ==, 1);
	/* No copy is left: the client sees its end. */
	close(fd);
	g_assert_cmpint(read(client, &byte, 1), ==, 0);
}

static void assert_nothing(struct world *w)
{
	struct ctl_msg msg;
	int fd;

	g_assert_cmpint(ctl_recv_fd(w->control[1], CTL_FROM_KEEPER, &msg, &fd), ==, -EAGAIN);
}

static void test_one_at_a_time(void)
{
	unsigned fds = open_fds();
	struct world w;
	int first, second;

	world_make(&w);
	turn(&w, true);
	assert_nothing(&w);
	first = client(&w, 0);
	second = client(&w, 0);
	turn(&w, false);
	assert_nothing(&w);
	turn(&w, true);
	assert_handed(&w, 0, first);
	turn(&w, true);
	assert_nothing(&w);
	listeners_gone(&w.listeners, 0);
	turn(&w, true);
	assert_handed(&w, 0, second);
	turn(&w, true);
	assert_nothing(&w);
	close(first);
	close(second);
	world_finish(&w);
	g_assert_cmpuint(open_fds(), ==, fds);
}

/* An end that is none, of a device that is none, one said too often: nobody else is disturbed. */
static void test_lies(void)
{
	static const uint32_t args[] = { 1, 2, DEVICES, SPEC_MAX_DEVICES, 255, 1u << 31,
					 UINT32_MAX };
	struct world w;
	int first, second;

	world_make(&w);
	first = client(&w, 0);
	second = client(&w, 0);
	turn(&w, true);
	assert_handed(&w, 0, first);
	for (unsigned i = 0; i < G_N_ELEMENTS(args); i++) {
		listeners_gone(&w.listeners, args[i]);
		turn(&w, true);
		assert_nothing(&w);
	}
	for (unsigned i = 0; i < 5; i++)
		listeners_gone(&w.listeners, 0);
	turn(&w, true);
	assert_handed(&w, 0, second);
	close(first);
	close(second);
	world_finish(&w);
}

static void test_each_its_own(void)
{
	struct world w;
	int first, second;

	world_make(&w);
	first = client(&w, 2);
	second = client(&w, 0);
	turn(&w, true);
	assert_handed(&w, 0, second);
	assert_handed(&w, 2, first);
	close(first);
	close(second);
	world_finish(&w);
}

/* A device process that takes nothing from its channel, or is gone: nobody is left waiting. */
static void test_no_channel(void)
{
	struct world w;
	char byte;
	int first, second;

	world_make(&w);
	while (!ctl_send(w.control[0], CTL_RETRY, 0))
		;
	first = client(&w, 0);
	second = client(&w, 2);
	turn(&w, true);
	g_assert_cmpint(read(first, &byte, 1), ==, 0);
	g_assert_cmpint(w.listener[0], ==, -1);
	fd_close(&w.control[1]);
	turn(&w, true);
	g_assert_cmpint(read(second, &byte, 1), ==, 0);
	g_assert_cmpint(w.listener[2], ==, -1);
	turn(&w, true);
	close(first);
	close(second);
	world_finish(&w);
}

/* A socket that others accept from too, and one that does not listen any more. */
static void test_bad_socket(void)
{
	struct pollfd p[SPEC_MAX_DEVICES];
	struct world w;

	world_make(&w);
	listeners_poll(&w.listeners, true, p);
	g_assert_cmpint(p[1].fd, ==, -1);
	for (unsigned i = 0; i < DEVICES; i++)
		p[i].revents = POLLIN;
	listeners_polled(&w.listeners, p, w.control[0]);
	g_assert_cmpint(w.listener[0], >=, 0);
	must(dup3(STDERR_FILENO, w.listener[0], O_CLOEXEC));
	listeners_polled(&w.listeners, p, w.control[0]);
	g_assert_cmpint(w.listener[0], ==, -1);
	g_assert_cmpint(w.listener[2], >=, 0);
	listeners_poll(&w.listeners, true, p);
	g_assert_cmpint(p[0].fd, ==, -1);
	assert_nothing(&w);
	world_finish(&w);
}

int main(int argc, char **argv)
{
	int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	g_test_init(&argc, &argv, NULL);
	log_init(null_fd, "listeners");
	g_test_add_func("/listeners/one-at-a-time", test_one_at_a_time);
	g_test_add_func("/listeners/lies", test_lies);
	g_test_add_func("/listeners/each-its-own", test_each_its_own);
	g_test_add_func("/listeners/no-channel", test_no_channel);
	g_test_add_func("/listeners/bad-socket", test_bad_socket);
	return g_test_run();
}
