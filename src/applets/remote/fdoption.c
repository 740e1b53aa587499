/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/fdoption.h"

#include <limits.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"

#define PREFIX "fd="

bool fd_option_is(const char *text)
{
	return g_str_has_prefix(text, PREFIX);
}

bool fd_option_take(const char *option, const char *text, int *ret_fd, GError **error)
{
	const char *number = text + sizeof(PREFIX) - 1;
	guint64 fd;
	int ret;

	if (!g_ascii_string_to_unsigned(number, 10, 3, INT_MAX, &fd, NULL))
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s=%s: it takes a number, 3 or more",
				option, text);
	ret = fd_set_cloexec(fd, true);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s=%s: %s", option, text,
				log_errname(ret));
	*ret_fd = fd;
	return true;
}
