/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_MODULE_H
#define BASE_MODULE_H

#include <stddef.h>

/*
 * Shared objects of ours: next to the program, where the build puts them, or where they were
 * installed.
 */

/*
 * The first of @places that can be read; those that are not absolute begin at the program's folder.
 * Returns 0, or -ENOENT with the last place in @path (@size bytes): its name is the one to tell.
 */
int module_find(const char *const *places, size_t count, char *path, size_t size);

#endif
