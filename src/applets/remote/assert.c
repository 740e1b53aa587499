/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "applets/remote/device.h"
#include "base/log.h"
#include "sandbox/filter.h"

/*
 * In place of libc's, whose abort() needs calls that a device process's filter forbids: a bug of
 * our own would look like an attack.  One line, and a status that says whose fault it is.  A build
 * with a sanitizer aborts, so that the sanitizer shows where.
 */
void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function)
{
	log_error("%s:%u: %s: assertion '%s' failed; this is a bug of mpqemu", file, line, function,
		  assertion);
	if (filter_impossible())
		abort();
	_exit(DEVICE_EXIT_BROKEN);
}
