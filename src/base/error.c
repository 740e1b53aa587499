/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/error.h"

#include <stdarg.h>
#include <stdbool.h>

G_DEFINE_QUARK(mpq-error-quark, mpq_error)

bool mpq_fail(GError **error, enum mpq_error code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (error)
		*error = g_error_new_valist(MPQ_ERROR, code, fmt, ap);
	va_end(ap);
	return false;
}
