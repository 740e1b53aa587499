/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/remote/confine.h"
#include "applets/remote/device.h"
#include "applets/remote/spawn.h"
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/probe.h"

/* Stand for the addresses that only a device process knows. */
#define SOME_ARENA (1ULL << 45)
#define SOME_ARENA_SIZE (1ULL << 40)

struct report {
	const struct keeper *keeper;
	struct launch_spec spec;		/* the keeper's, with a probe in it */
	struct filter_env env;
	int end;				/* a socket at its end; owned */
	int peer[SPEC_MAX_DEVICES];		/* end */
	int image[SPEC_MAX_DISKS];		/* the keeper's; in place of NBD's: end */
	unsigned count[PROBE_HOSTILE + 1];	/* by kind: as expected */
	unsigned total[PROBE_HOSTILE + 1];
};

/* How one device process ended. */
struct outcome {
	int status;		/* as waitpid() gives it */
	char said[1024];	/* what it logged */
};

/* All that it logs, until it has ended. */
static void collect(struct spawn *s, struct outcome *ret)
{
	size_t len = 0;
	ssize_t n;

	do {
		n = read(s->log[0], ret->said + len, sizeof(ret->said) - 1 - len);
		if (n > 0)
			len += n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	ret->said[len] = '\0';
	while (waitpid(s->pid, &ret->status, 0) < 0 && errno == EINTR)
		;
}

/* One device process with probe @number in place of a device.  Returns 0 or -errno. */
static int run_one(struct report *r, unsigned number, struct outcome *ret)
{
	struct keeper k = *r->keeper;
	struct spawn s;
	int err;

	r->spec.probe = number;
	k.spec = &r->spec;
	k.peer = r->peer;
	k.image = r->image;
	err = spawn_device(&k, &s);
	if (!err)
		collect(&s, ret);
	spawn_finish(&s);
	return err;
}

static void say_end(const struct probe *probe, const struct outcome *o)
{
	if (WIFSIGNALED(o->status))
		printf("killed by signal %d", WTERMSIG(o->status));
	else if (WEXITSTATUS(o->status) == DEVICE_EXIT_FORBIDDEN)
		printf("died at system call %d", probe->nr);
	else if (WEXITSTATUS(o->status) == PROBE_RETURNED)
		printf("RETURNED");
	else
		printf("ended with status %d", WEXITSTATUS(o->status));
}

static void say_probe(const struct probe *probe, const struct outcome *o, bool good)
{
	if (probe->kind == PROBE_HOSTILE) {
		printf("  %-36s ", probe->name);
		say_end(probe, o);
		printf("%s\n", good ? "" : "   NOT AS IT SHOULD BE");
	} else if (!good) {
		printf("  %s", probe->name);
		if (probe->changed)
			printf(" with %s = %#" PRIx64, probe->changed->name,
			       probe->arg[probe->changed->index]);
		printf(": ");
		say_end(probe, o);
		printf("   NOT AS IT SHOULD BE\n");
	}
}

/* ---- What is allowed ---- */

static const char *const set_names[FILTER_SET_COUNT] = {
	[FILTER_LOG] = "the log's", [FILTER_CONTROL] = "the control channel's",
	[FILTER_PEER] = "a peer's", [FILTER_IMAGE] = "an image's",
	[FILTER_NBD_SOCKET] = "an NBD connection's",
	[FILTER_RECEIVED] = "a received one", [FILTER_EPOLL] = "the event loop's",
	[FILTER_POOL] = "the block pool's", [FILTER_ARENA] = "in the guest-memory range",
	[FILTER_CHILD] = "a child's", [FILTER_MONITOR] = "the monitor's",
	[FILTER_LISTENER] = "a listening one",
};

static void say_arg(const struct filter_arg *arg)
{
	if (arg->op == FILTER_IN)
		printf("%s %s", arg->name, set_names[arg->value]);
	else if (arg->op == FILTER_LENGTH)
		printf("%s at most that range's", arg->name);
	else
		printf("%s %s%#" PRIx64, arg->name, arg->op == FILTER_BITS ? "within " : "",
		       arg->value);
}

/* The filter below the last one; the probes run under both. */
static void say_setup(const struct report *r)
{
	struct filter_env env = r->env;
	unsigned limited, names;

	if (!(env.features & FILTER_NBD))
		return;
	env.features |= FILTER_SETUP;
	names = filter_names(&filter_device, &env, &limited);
	printf("allowed in the handshake with NBD servers: %u system calls, %u of them limited\n",
	       names, limited);
}

static void say_rules(const struct report *r)
{
	unsigned limited, names = filter_names(&filter_device, &r->env, &limited);

	printf("allowed: %u system calls, %u of them with limited arguments only\n", names,
	       limited);
	for (size_t i = 0; i < filter_device.count; i++) {
		const struct filter_rule *rule = &filter_device.rule[i];

		if (!filter_rule_active(rule, &r->env))
			continue;
		printf("  %-14s %s", rule->call, rule->why);
		for (unsigned k = 0; k < FILTER_MAX_ARGS && rule->arg[k].op; k++) {
			printf("%s", k ? ", " : " (");
			say_arg(&rule->arg[k]);
		}
		printf("%s\n", rule->arg[0].op ? ")" : "");
	}
	say_setup(r);
}

/* ---- The whole ---- */

static int run_probes(struct report *r, enum probe_kind kind)
{
	struct outcome o;
	struct probe probe;

	for (unsigned i = 0; probe_get(&filter_device, &r->env, i, &probe); i++) {
		bool good;
		int ret;

		if (probe.kind != kind)
			continue;
		ret = run_one(r, PROBE_FIRST + i, &o);
		if (ret)
			return ret;
		good = probe_as_expected(&probe, o.status, o.said, DEVICE_EXIT_FORBIDDEN);
		r->total[kind]++;
		r->count[kind] += good;
		say_probe(&probe, &o, good);
	}
	return 0;
}

static int run_kinds(struct report *r)
{
	static const char *const what[] = {
		[PROBE_ALLOWED] = "allowed calls returned",
		[PROBE_CHANGED] = "calls with one argument changed died",
		[PROBE_HOSTILE] = "attacks died",
	};

	printf("tried, each in a device process of its own, under the filter that it loaded:\n");
	for (unsigned kind = 0; kind <= PROBE_HOSTILE; kind++) {
		int ret = run_probes(r, kind);

		if (ret)
			return ret;
		printf("  %u of %u %s\n", r->count[kind], r->total[kind], what[kind]);
		fflush(stdout);
	}
	return 0;
}

/*
 * Nobody is at the other end of a peer, and many device processes, one after the other, cannot
 * shake hands with an NBD server on one connection: these are sockets at their end, where no
 * allowed call waits.
 */
static int sockets_stand_in(struct report *r)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		log_error("--sandbox-report: %s", log_errname(errno));
		return -errno;
	}
	close(pair[1]);
	r->end = pair[0];
	for (unsigned i = 0; i < r->spec.device_count; i++)
		r->peer[i] = r->end;
	for (unsigned i = 0; i < r->spec.disk_count; i++)
		r->image[i] = r->spec.disk[i].image.kind == SPEC_IMAGE_NBD ? r->end :
			      r->keeper->image[i];
	return 0;
}

int report_run(const struct keeper *keeper)
{
	struct report *r = calloc(1, sizeof(*r));
	struct outcome o;
	bool good = true;
	int ret;

	if (!r)
		return DEVICE_EXIT_START;
	r->keeper = keeper;
	r->end = -1;
	r->spec = *keeper->spec;
	confine_env(keeper->spec, SOME_ARENA, SOME_ARENA_SIZE, &r->env);
	ret = sockets_stand_in(r);
	if (!ret)
		ret = run_one(r, PROBE_NOTHING, &o);
	if (!ret) {
		fputs(o.said, stdout);
		if (!WIFEXITED(o.status) || WEXITSTATUS(o.status))
			ret = -ECHILD;
	}
	if (!ret && (keeper->spec->sandbox == SANDBOX_OFF || filter_impossible())) {
		printf("nothing was tried: there is no filter\n");
		ret = -ENOTSUP;
	} else if (!ret) {
		say_rules(r);
		ret = run_kinds(r);
	}
	/* A report that nobody got shows nothing. */
	if (fflush(stdout) || ferror(stdout)) {
		log_error("--sandbox-report: stdout: %s", log_errname(errno));
		good = false;
	}
	for (unsigned i = 0; i <= PROBE_HOSTILE; i++)
		good &= r->count[i] == r->total[i];
	fd_close(&r->end);
	free(r);
	return ret || !good ? DEVICE_EXIT_START : DEVICE_EXIT_OK;
}
