/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/listeners.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "control/channel.h"

void listeners_poll(const struct listeners *listeners, bool open, struct pollfd *p)
{
	for (unsigned i = 0; i < listeners->spec->device_count; i++)
		p[i] = (struct pollfd){
			.fd = open && !listeners->served[i] ? listeners->fd[i] : -1,
			.events = POLLIN,
		};
}

/* For good: who cannot be served would only fill the log. */
static void give_up(struct listeners *listeners, unsigned device, const char *what, int err)
{
	log_error("%s: %s: %s; it gets no more clients", listeners->spec->device[device].id, what,
		  log_errname(err));
	fd_close(&listeners->fd[device]);
}

static void accept_one(struct listeners *listeners, unsigned device, int control)
{
	autofd client = accept4(listeners->fd[device], NULL, NULL, SOCK_CLOEXEC);
	int ret;

	if (client < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			give_up(listeners, device, "accept", errno);
		return;
	}
	ret = ctl_send_fd(control, CTL_PEER, device, client);
	if (ret)
		give_up(listeners, device, "the device process takes no client", ret);
	else
		listeners->served[device] = true;
}

void listeners_polled(struct listeners *listeners, const struct pollfd *p, int control)
{
	for (unsigned i = 0; i < listeners->spec->device_count; i++)
		if (p[i].fd >= 0 && p[i].revents)
			accept_one(listeners, i, control);
}

bool listeners_gone(struct listeners *listeners, uint32_t arg)
{
	bool was_there = arg < listeners->spec->device_count && listeners->served[arg];

	if (was_there)
		listeners->served[arg] = false;
	return was_there;
}
