/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

/*
 * Errors of the set-up code (option parsing, planning, launching, opening images), where the text
 * for the user is made where the fault is known.  Code that runs inside a device process after its
 * set-up returns -errno instead.
 */

#include <stdbool.h>

#include <glib.h>

#define MPQ_ERROR (mpq_error_quark())
/* The domain; codes are enum mpq_error. */
GQuark mpq_error_quark(void);

/* What went wrong: the applets' exit codes follow from it (see the EXIT STATUS of each page). */
enum mpq_error {
	MPQ_ERROR_USAGE,	/* an option or a value that cannot be understood */
	MPQ_ERROR_REFUSED,	/* understood, but it cannot work or would be silently wrong */
	MPQ_ERROR_NOTHING,	/* understood, and there is nothing to do */
	MPQ_ERROR_SYSTEM,	/* the system said no: a file, a process, memory */
};

/*
 * Sets @error (which may be NULL) to one line without a newline and without the program's name,
 * in QEMU's wording: "-device foo: 'foo' is not a valid device model name".  Returns false, so that
 * "return mpq_fail(error, ...)" reads well in functions that return bool.
 */
bool mpq_fail(GError **error, enum mpq_error code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
