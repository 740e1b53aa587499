/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "applets/applet.h"
#include "applets/proxy/access.h"
#include "applets/proxy/args.h"
#include "applets/proxy/info.h"
#include "applets/proxy/launch.h"
#include "base/fd.h"
#include "base/log.h"
#include "client/client.h"
#include "pci/pci.h"

#define GUEST_RAM (1u << 20)		/* enough for a look at the registers */
#define REPLY_TIMEOUT_MS 10000		/* the first reply includes the remote's start */
#define START_PAUSE_MS 20

enum { EXIT_USAGE = 1, EXIT_REMOTE = 2 };

static bool make_accesses(const struct proxy_args *args, struct client *client, const char *devid,
			  GError **error)
{
	bool ok = true;

	for (unsigned i = 0; i < args->accesses->len && ok; i++)
		ok = access_run(client, devid, &g_array_index(args->accesses, struct access, i),
				error);
	return ok;
}

/*
 * QEMU's own remote goes on answering before its power-on reset for as long as it finds the next
 * message at once, and what was written till then is lost (docs/upstream-bugs.md, row 20).  A
 * pause after the first answer, and it is reset before it hears of us again.
 */
static int let_start(struct client *client)
{
	uint64_t id;
	int ret = client_cfg_read(client, PCI_VENDOR_ID, 2, &id);

	if (!ret)
		poll(NULL, 0, START_PAUSE_MS);
	return ret;
}

/* All that is asked of one device. */
static bool do_device(const struct proxy_args *args, struct remote_process *rp, unsigned i,
		      GError **error)
{
	struct remote_device *device = &rp->device[i];
	struct client client;
	bool ok;
	int ret;

	if (!remote_process_connect(rp, i, REPLY_TIMEOUT_MS, error))
		return false;
	ret = client_init(&client, device->protocol, fd_steal(&device->fd), GUEST_RAM,
			  REPLY_TIMEOUT_MS);
	if (!ret && device->protocol == CLIENT_MPQEMU && args->command)
		ret = let_start(&client);
	if (ret)
		ok = info_failed(&client, device->devid, ret, error);
	else if (args->info)
		ok = info_print(&client, device->devid, device->protocol, error);
	else
		ok = make_accesses(args, &client, device->devid, error);
	client_finish(&client);
	return ok;
}

/* @rp's devices in turn, or the one that was chosen. */
static bool do_devices(const struct proxy_args *args, struct remote_process *rp, GError **error)
{
	for (unsigned i = 0; i < rp->count; i++) {
		if (args->device && strcmp(args->device, rp->device[i].devid))
			continue;
		if (!do_device(args, rp, i, error))
			return false;
	}
	if (fflush(stdout))
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "standard output: %s",
				log_errname(errno));
	return true;
}

/* Is it said which device is meant? */
static bool check_device(const struct proxy_args *args, const struct remote_process *rp,
			 GError **error)
{
	unsigned matches = 0;

	for (unsigned i = 0; i < rp->count; i++)
		matches += !args->device || !strcmp(args->device, rp->device[i].devid);
	if (!matches)
		return mpq_fail(error, MPQ_ERROR_USAGE,
				"--device %s: the remote command has no such device",
				args->device);
	if (!args->info && matches > 1)
		return mpq_fail(error, MPQ_ERROR_USAGE, "the remote command has %u devices: choose "
				"one with --device ID", matches);
	return true;
}

/* A wrong command line starts nothing. */
static bool start(const struct proxy_args *args, struct remote_process *rp, GError **error)
{
	if (!args->command)
		return remote_process_attach(rp, args->protocol, args->socket, args->fd, error);
	return remote_process_read(rp, args->command, error) && check_device(args, rp, error) &&
	       remote_process_start(rp, args->command, error);
}

static int run(const struct proxy_args *args)
{
	struct remote_process rp;
	g_autoptr(GError) error = NULL;
	bool ok = start(args, &rp, &error) && do_devices(args, &rp, &error);
	int status = remote_process_finish(&rp);

	if (!ok) {
		log_error("%s", error->message);
		return g_error_matches(error, MPQ_ERROR, MPQ_ERROR_USAGE) ? EXIT_USAGE :
									    EXIT_REMOTE;
	}
	if (status) {
		log_error("the remote ended with status %d", status);
		return EXIT_REMOTE;
	}
	return 0;
}

int proxy_main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	struct proxy_args args;
	int status = 0;

	log_init(2, "mpqemu-proxy");
	if (!proxy_args_parse(&args, argc, argv, &error)) {
		log_error("%s", error->message);
		status = EXIT_USAGE;
	} else if (args.help) {
		proxy_usage(stdout);
	} else if (args.version) {
		printf("mpqemu-proxy version %s\n", MPQEMU_VERSION);
	} else {
		status = run(&args);
	}
	proxy_args_finish(&args);
	return status;
}
