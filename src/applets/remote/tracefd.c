/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/tracefd.h"

#include <errno.h>
#include <fcntl.h>

#include "applets/remote/fdoption.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "control/trace.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/* Messages are told of one protocol only. */
static bool check_devices(const struct remote_plan *plan, GError **error)
{
	for (unsigned i = 0; i < plan->spec->device_count; i++)
		if (plan->peer[i].kind != PLAN_PEER_NONE &&
		    plan->spec->device[i].protocol != SPEC_PROTOCOL_MPQEMU)
			return mpq_fail(error, MPQ_ERROR_REFUSED, "--trace: %s speaks vfio-user, "
					"and only mpqemu is traced", plan->spec->device[i].id);
	return true;
}

/* A size that cannot change: the device process writes there without looking again. */
static int ring_size(int fd, uint32_t *ret_size)
{
	struct stat st;
	int ret = fd_stat(fd, &st), seals;

	if (ret)
		return ret;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS || st.st_size < TRACE_HEADER + TRACE_SIZE_MIN ||
	    st.st_size > TRACE_HEADER + (off_t)TRACE_SIZE_MAX ||
	    !is_power_of_2(st.st_size - TRACE_HEADER))
		return -EINVAL;
	*ret_size = st.st_size - TRACE_HEADER;
	return 0;
}

bool trace_take(const struct remote_plan *plan, int *ret_fd, GError **error)
{
	const char *text = plan->trace;
	int fd, ret;

	if (!fd_option_is(text))
		return mpq_fail(error, MPQ_ERROR_USAGE, "--trace=%s: expected fd=N, 3 or more",
				text);
	if (!fd_option_take("--trace", text, &fd, error) || !check_devices(plan, error))
		return false;
	ret = ring_size(fd, &plan->spec->trace_size);
	if (ret == -EINVAL)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--trace=%s: it is no ring as "
				"mpqemu-proxy record makes one", text);
	if (ret)
		return mpq_fail(error, MPQ_ERROR_USAGE, "--trace=%s: %s", text, log_errname(ret));
	*ret_fd = fd;
	return true;
}
