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

static void hand_over(struct listeners *listeners, unsigned device, int client, int control)
{
	int ret = ctl_send_fd(control, CTL_PEER, device, client);

	if (ret)
		log_error("%s: a client cannot be handed to the device process: %s",
			  listeners->spec->device[device].id, log_errname(ret));
	else
		listeners->served[device] = true;
}

static void accept_one(struct listeners *listeners, unsigned device, int control)
{
	autofd client = accept4(listeners->fd[device], NULL, NULL, SOCK_CLOEXEC);

	if (client >= 0) {
		hand_over(listeners, device, client, control);
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		log_error("%s: accept: %s; it gets no more clients",
			  listeners->spec->device[device].id, log_errname(errno));
		fd_close(&listeners->fd[device]);
	}
}

void listeners_polled(struct listeners *listeners, const struct pollfd *p, int control)
{
	for (unsigned i = 0; i < listeners->spec->device_count; i++)
		if (p[i].fd >= 0 && p[i].revents)
			accept_one(listeners, i, control);
}

void listeners_gone(struct listeners *listeners, uint32_t arg)
{
	if (arg < listeners->spec->device_count)
		listeners->served[arg] = false;
}
