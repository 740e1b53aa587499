/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_METRICSFILE_H
#define APPLETS_REMOTE_METRICSFILE_H

/*
 * --metrics: the page where a device process counts (metrics/page.h) as a file that others can
 * read, in place of one that the keeper and the device process alone have.
 */

#include <stdbool.h>

#include "base/error.h"

/*
 * Opens "PATH" or "fd=N", which is a file for this remote alone, empty or an older page; nothing
 * in it changes yet.  The caller owns the fd.
 */
bool metrics_file_open(const char *text, int *ret_fd, GError **error);

/* Makes the file a page of zeroes: after all that may keep this remote from starting. */
bool metrics_file_begin(const char *text, int fd, GError **error);

/* Prints the page at @path to stdout.  What stands in it is another process's. */
bool metrics_file_print(const char *path, bool json, GError **error);

#endif
