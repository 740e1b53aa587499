/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_INFO_H
#define APPLETS_PROXY_INFO_H

#include "base/error.h"

struct client;

/* Prints identity, interrupt pin and BARs of the device behind @client under the name @devid. */
bool info_print(struct client *client, const char *devid, GError **error);

/* Sets @error to what -errno @ret of a call on @client means to the user; returns false. */
bool info_failed(struct client *client, const char *devid, int ret, GError **error);

#endif
