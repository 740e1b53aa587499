/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/proxy/bench/bench.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "pci/pci.h"

/* Round trips: of accesses to config space and registers, and of bytes to a process that echoes. */

#define ECHO_FD 3
#define MAX_MESSAGE 64

/* ---- the floor ---- */

struct sizes {
	size_t request, reply;
};

/* Bytes of a round trip on the wire: mpqemu-protocol(7), vfio-user-protocol(7). */
static struct sizes sizes_of(const struct bench *b, enum bench_op op)
{
	const struct bench_side *a = &b->side[SIDE_A];
	enum client_protocol protocol = a->session.remote.device[a->session.index].protocol;
	size_t head = sizeof(struct vfu_header) + sizeof(struct vfu_region_access);
	size_t data = op == BENCH_CFG_READ ? 4 : b->reg_size;

	if (protocol == CLIENT_VFIO_USER)
		return op == BENCH_BAR_WRITE ? (struct sizes){ head + data, head } :
					       (struct sizes){ head, head + data };
	return (struct sizes){
		.request = sizeof(struct mpq_header) + (op == BENCH_CFG_READ ?
			   sizeof(struct mpq_cfg) : sizeof(struct mpq_bar)),
		.reply = sizeof(struct mpq_header) + sizeof(uint64_t),
	};
}

/* The child: nothing of ours may stay open in it, or a remote would miss our end. */
static void echo(int fd, struct sizes sizes)
{
	uint8_t buf[MAX_MESSAGE] = { 0 };

	if (dup2(fd, ECHO_FD) < 0 || fd_close_from(ECHO_FD + 1))
		_exit(1);
	while (recv(ECHO_FD, buf, sizes.request, MSG_WAITALL) == (ssize_t)sizes.request)
		if (send(ECHO_FD, buf, sizes.reply, MSG_NOSIGNAL) < 0)
			break;
	_exit(0);
}

bool bench_floor_start(struct bench *b, struct bench_side *s, enum bench_op op, GError **error)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "socketpair: %s", log_errname(errno));
	s->pid = fork();
	if (s->pid == 0)
		echo(pair[1], sizes_of(b, op));
	close(pair[1]);
	s->echo_fd = pair[0];
	if (s->pid < 0) {
		s->pid = 0;
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "fork: %s", log_errname(errno));
	}
	return true;
}

void bench_floor_stop(struct bench_side *s)
{
	fd_close(&s->echo_fd);
	if (s->floor && s->pid > 0)
		waitpid(s->pid, NULL, 0);
	s->pid = s->floor ? 0 : s->pid;
}

static bool floor_run(struct bench_side *s, struct sizes sizes, struct bench_meter *m,
		      GError **error)
{
	uint8_t buf[MAX_MESSAGE] = { 0 };
	uint64_t from = m->begin;

	while (!bench_meter_over(m, from, m->done)) {
		uint64_t to;

		if (send(s->echo_fd, buf, sizes.request, MSG_NOSIGNAL) < 0 ||
		    recv(s->echo_fd, buf, sizes.reply, MSG_WAITALL) != (ssize_t)sizes.reply)
			return mpq_fail(error, MPQ_ERROR_SYSTEM, "the process that echoes: %s",
					log_errname(errno));
		to = clock_ns();
		bench_meter_add(m, from, to);
		from = to;
	}
	return true;
}

/* ---- a remote ---- */

/* SCRATCHA of the LSI53C895A (manual, chapter 4, register 0x34) keeps what is written. */
enum { LSI_ID = 0x00121000, LSI_MEMORY_BAR = 1, LSI_ISTAT0 = 0x14, LSI_SCRATCHA = 0x34 };

/*
 * Over mpqemu a register has an address alone.  A server without BARs, which answers whatever comes
 * (mpqemu-remote --empty-server), is asked at that of A's.
 */
static bool find_address(struct bench *b, struct bench_side *s, GError **error)
{
	const struct bench_side *a = &b->side[SIDE_A];
	struct client *client = &s->session.client;
	struct client_bar bar = { .present = false };
	uint64_t val;
	int ret = client_probe_bar(client, b->reg_bar, &bar);

	s->reg_addressed = client->mpq != NULL;
	if (!ret && !bar.present && s != a && s->reg_addressed && a->reg_addressed) {
		s->reg_memory = a->reg_memory;
		s->reg_addr = a->reg_addr;
		return true;
	}
	if (!ret)
		ret = client_region_read(client, b->reg_bar, b->reg_off, b->reg_size, &val);
	if (!ret)
		ret = client_probe_bar(client, b->reg_bar, &bar);
	s->reg_memory = !bar.io;
	s->reg_addr = bar.addr + b->reg_off;
	return ret ? session_failed(&s->session, ret, error) : true;
}

static bool has_op(const struct bench_opts *o, enum bench_op op)
{
	for (unsigned i = 0; i < o->op_count; i++)
		if (o->op[i] == op)
			return true;
	return false;
}

/* Which register it is, by what @s is. */
static int choose_register(struct bench *b, struct bench_side *s, uint64_t id)
{
	struct client_bar bar = { .present = false };
	int ret = 0;

	b->reg_bar = 0;
	b->reg_off = 0;
	b->reg_size = 4;
	if (id == LSI_ID) {
		b->reg_bar = LSI_MEMORY_BAR;
		b->reg_off = LSI_SCRATCHA;
		return 0;
	}
	for (unsigned i = 0; i < PCI_NUM_BARS && !ret && !bar.present; i++) {
		ret = client_probe_bar(&s->session.client, i, &bar);
		b->reg_bar = i;
	}
	return ret;
}

bool bench_trip_prepare(struct bench *b, struct bench_side *s, GError **error)
{
	const struct bench_opts *o = &b->opts;
	bool reads = has_op(o, BENCH_BAR_READ), writes = has_op(o, BENCH_BAR_WRITE);
	uint64_t id = 0;
	int ret = client_cfg_read(&s->session.client, PCI_VENDOR_ID, 4, &id);

	if (!ret && o->reg_named) {
		b->reg_bar = o->reg_bar;
		b->reg_off = o->reg_off;
		b->reg_size = o->reg_size;
	} else if (!ret && s == &b->side[SIDE_A]) {
		ret = choose_register(b, s, id);
		if (!ret && writes && id != LSI_ID)
			return mpq_fail(error, MPQ_ERROR_USAGE, "bench barwrite: it is not known "
					"which register of this device may be written: say "
					"--register BAR:OFFSET[:SIZE]");
	}
	if (ret)
		return session_failed(&s->session, ret, error);
	return reads || writes ? find_address(b, s, error) : true;
}

static int trip(const struct bench *b, struct bench_side *s, enum bench_op op)
{
	struct client *client = &s->session.client;
	uint64_t val;

	if (op == BENCH_CFG_READ)
		return client_cfg_read(client, PCI_VENDOR_ID, 4, &val);
	if (s->reg_addressed)
		return op == BENCH_BAR_READ ?
			client_bar_read(client, s->reg_memory, s->reg_addr, b->reg_size, &val) :
			client_bar_write(client, s->reg_memory, s->reg_addr, b->reg_size, 0);
	return op == BENCH_BAR_READ ?
		client_region_read(client, b->reg_bar, b->reg_off, b->reg_size, &val) :
		client_region_write(client, b->reg_bar, b->reg_off, b->reg_size, 0);
}

bool bench_trip_run(struct bench *b, struct bench_side *s, enum bench_op op,
		    struct bench_meter *m, GError **error)
{
	uint64_t from = m->begin;

	if (s->floor)
		return floor_run(s, sizes_of(b, op), m, error);
	while (!bench_meter_over(m, from, m->done)) {
		int ret = trip(b, s, op);
		uint64_t to;

		if (ret)
			return session_failed(&s->session, ret, error);
		to = clock_ns();
		bench_meter_add(m, from, to);
		from = to;
	}
	return true;
}
