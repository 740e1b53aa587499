/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_ARGS_H
#define APPLETS_PROXY_ARGS_H

/* The command line of mpqemu-proxy. */

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "client/client.h"

struct proxy_args {
	bool help, version;
	bool info;			/* or accesses */
	GArray *accesses;		/* of struct access, in their order */
	const char *device;		/* --device: the only one; or NULL */
	const char *socket;		/* --socket; or NULL */
	int fd;				/* --fd; or -1 */
	enum client_protocol protocol;	/* of --socket or --fd */
	char *const *command;		/* what stands behind "--"; or NULL */
};

/* All strings stay argv's.  proxy_args_finish() also after a failure, which is MPQ_ERROR_USAGE. */
bool proxy_args_parse(struct proxy_args *args, int argc, char *const *argv, GError **error);
void proxy_args_finish(struct proxy_args *args);

/* What -help prints. */
void proxy_usage(FILE *out);

#endif
