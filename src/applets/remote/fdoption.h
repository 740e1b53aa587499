/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_FDOPTION_H
#define APPLETS_REMOTE_FDOPTION_H

#include <stdbool.h>

#include <glib.h>

/* Does the value of an option name an inherited fd: "fd=N"? */
bool fd_option_is(const char *text);

/*
 * Such a value of @option ("--qmp"): the fd, which is ours from now on (O_CLOEXEC).  False with
 * @error: it is no number, 3 or more, or no open fd.
 */
bool fd_option_take(const char *option, const char *text, int *ret_fd, GError **error);

#endif
