/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>

#include "applets/applet.h"
#include "applets/proxy/args.h"
#include "applets/proxy/metrics.h"
#include "base/log.h"

static int status_of(const GError *error)
{
	return g_error_matches(error, MPQ_ERROR, MPQ_ERROR_USAGE) ? PROXY_EXIT_USAGE :
								    PROXY_EXIT_REMOTE;
}

static int run(struct proxy_args *args)
{
	g_autofree struct client_metrics *metrics = args->metrics ?
		g_new(struct client_metrics, 1) : NULL;
	g_autoptr(GError) error = NULL;
	int status;

	if (metrics)
		client_metrics_init(metrics);
	args->target.metrics = metrics;
	status = args->verb->run(args, &error);
	if (metrics)
		proxy_metrics_print(metrics, args->metrics_json);
	/* What was found out before an error is wanted too. */
	if (fflush(stdout) && !error)
		mpq_fail(&error, MPQ_ERROR_SYSTEM, "standard output: %s", log_errname(errno));
	if (!error)
		return status;
	log_error("%s", error->message);
	return status_of(error);
}

int proxy_main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	struct proxy_args args;
	int status = PROXY_EXIT_OK;

	log_init(2, "mpqemu-proxy");
	if (!proxy_args_parse(&args, argc, argv, &error)) {
		log_error("%s", error->message);
		status = PROXY_EXIT_USAGE;
	} else if (args.help) {
		proxy_usage(stdout, args.verb);
	} else if (args.version) {
		printf("mpqemu-proxy version %s\n", MPQEMU_VERSION);
	} else {
		status = run(&args);
	}
	proxy_args_finish(&args);
	return status;
}
