/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_INFO_H
#define APPLETS_PROXY_INFO_H

#include "base/error.h"
#include "client/client.h"

/*
 * Prints what the device behind @client is, under the name @devid: identity, interrupts, BARs, ROM,
 * capabilities, and the protocol with the server's limits.
 */
bool info_print(struct client *client, const char *devid, enum client_protocol protocol,
		GError **error);

/* Sets @error to what -errno @ret of a call on @client means to the user; returns false. */
bool info_failed(struct client *client, const char *devid, int ret, GError **error);

#endif
