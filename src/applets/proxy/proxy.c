/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "applets/applet.h"
#include "applets/proxy/info.h"
#include "applets/proxy/launch.h"
#include "base/fd.h"
#include "base/log.h"
#include "client/client.h"

#define GUEST_RAM (1u << 20)		/* enough for a look at the registers */
#define REPLY_TIMEOUT_MS 10000		/* the first reply includes the remote's start */

enum { EXIT_USAGE = 1, EXIT_REMOTE = 2 };

static void usage(FILE *out)
{
	fprintf(out, "usage: mpqemu-proxy info -- REMOTE-COMMAND [ARGUMENTS]\n\n"
		"Starts the remote with a socket at each fd that its -object\n"
		"x-remote-object,fd=N names, and prints identity, interrupt pin and BARs of\n"
		"each device. It works with mpqemu-remote and with QEMU's -machine x-remote.\n");
}

/* Asks each device in turn. */
static bool info_devices(struct remote_process *rp, GError **error)
{
	bool ok = true;

	for (unsigned i = 0; i < rp->count && ok; i++) {
		struct client client;
		int ret = client_init(&client, CLIENT_MPQEMU, fd_steal(&rp->device[i].fd),
				      GUEST_RAM, REPLY_TIMEOUT_MS);

		if (ret)
			ok = info_failed(&client, rp->device[i].devid, ret, error);
		else
			ok = info_print(&client, rp->device[i].devid, error);
		client_finish(&client);
	}
	return ok;
}

static int info_main(char **command)
{
	struct remote_process rp;
	g_autoptr(GError) error = NULL;
	bool ok = remote_process_start(&rp, command, &error);
	int status;

	if (ok)
		ok = info_devices(&rp, &error);
	status = remote_process_finish(&rp);
	if (!ok) {
		log_error("%s", error->message);
		if (g_error_matches(error, MPQ_ERROR, MPQ_ERROR_USAGE))
			return EXIT_USAGE;
		return EXIT_REMOTE;
	}
	if (status) {
		log_error("the remote ended with status %d", status);
		return EXIT_REMOTE;
	}
	return 0;
}

int proxy_main(int argc, char **argv)
{
	log_init(2, "mpqemu-proxy");
	if (argc >= 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "-help") ||
			  !strcmp(argv[1], "--help"))) {
		usage(stdout);
		return 0;
	}
	if (argc >= 2 && (!strcmp(argv[1], "-version") || !strcmp(argv[1], "--version"))) {
		printf("mpqemu-proxy version %s\n", MPQEMU_VERSION);
		return 0;
	}
	if (argc < 2 || strcmp(argv[1], "info")) {
		log_error("%s: expected the verb 'info'", argc < 2 ? "no verb" : argv[1]);
		return EXIT_USAGE;
	}
	if (argc < 4 || strcmp(argv[2], "--")) {
		log_error("info: expected '-- REMOTE-COMMAND [ARGUMENTS]'");
		return EXIT_USAGE;
	}
	return info_main(argv + 3);
}
