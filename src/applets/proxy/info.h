/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_PROXY_INFO_H
#define APPLETS_PROXY_INFO_H

#include "base/error.h"

struct client;

/* Prints identity, interrupt pin and BARs of the device behind @client under the name @devid. */
bool info_print(struct client *client, const char *devid, GError **error);

#endif
