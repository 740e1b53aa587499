/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_INHERITED_H
#define BASE_INHERITED_H

#include <glib.h>

/*
 * The numbers above 2 that are open and not CLOEXEC, as int, ascending: what whoever started us has
 * passed on, as all of ours are CLOEXEC.  g_array_unref() it.
 */
GArray *fd_inherited(void);

#endif
