/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/session.h"

#include <poll.h>
#include <string.h>

#include "base/fd.h"
#include "pci/pci.h"

#define REPLY_TIMEOUT_MS 10000		/* the first reply includes the remote's start */

bool session_wants(const struct session *s, unsigned i)
{
	const char *device = s->target->device;

	return i < s->remote.count && (!device || !strcmp(device, s->remote.device[i].devid));
}

unsigned session_device(const struct session *s)
{
	unsigned i = 0;

	while (i < s->remote.count && !session_wants(s, i))
		i++;
	return i;
}

/* Is it said which device is meant? */
static bool check_device(const struct session *s, bool one, GError **error)
{
	unsigned matches = 0;

	for (unsigned i = 0; i < s->remote.count; i++)
		matches += session_wants(s, i);
	if (!matches)
		return mpq_fail(error, MPQ_ERROR_USAGE,
				"--device %s: the remote command has no such device",
				s->target->device);
	if (one && matches > 1)
		return mpq_fail(error, MPQ_ERROR_USAGE, "the remote command has %u devices: choose "
				"one with --device ID", matches);
	return true;
}

bool session_start(struct session *s, const struct proxy_target *target, bool one, GError **error)
{
	*s = (struct session){ .target = target, .remote = { .pid = -1 } };
	if (!target->command)
		return remote_process_attach(&s->remote, target->protocol, target->socket,
					     target->fd, error);
	return remote_process_read(&s->remote, target->command, error) &&
	       check_device(s, one, error) &&
	       remote_process_start(&s->remote, target->command, error);
}

bool session_connect(struct session *s, unsigned i, GError **error)
{
	s->index = i;
	return remote_process_connect(&s->remote, i, REPLY_TIMEOUT_MS, error);
}

int session_start_pause(const struct session *s)
{
	bool mpqemu = s->remote.device[s->index].protocol == CLIENT_MPQEMU;

	return mpqemu && s->target->command ? REMOTE_START_PAUSE_MS : 0;
}

static int let_start(struct session *s)
{
	uint64_t id;
	int ret = client_cfg_read(&s->client, PCI_VENDOR_ID, 2, &id);

	if (!ret)
		poll(NULL, 0, session_start_pause(s));
	return ret;
}

bool session_open(struct session *s, unsigned i, uint64_t ram_size, GError **error)
{
	struct remote_device *device = &s->remote.device[i];
	int ret;

	if (!session_connect(s, i, error))
		return false;
	ret = client_init(&s->client, device->protocol, fd_steal(&device->fd), ram_size,
			  REPLY_TIMEOUT_MS);
	s->client.metrics = s->target->metrics;
	s->open = true;
	if (!ret && session_start_pause(s))
		ret = let_start(s);
	return ret ? session_failed(s, ret, error) : true;
}

void session_close(struct session *s)
{
	if (s->open)
		client_finish(&s->client);
	s->open = false;
}

const char *session_name(const struct session *s)
{
	return s->remote.device[s->index].devid;
}

bool session_failed(struct session *s, int ret, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", session_name(s),
			client_why(&s->client, ret));
}

bool session_finish(struct session *s, GError **error)
{
	int status;

	session_close(s);
	status = remote_process_finish(&s->remote);
	if (status && error)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "the remote ended with status %d", status);
	return true;
}
