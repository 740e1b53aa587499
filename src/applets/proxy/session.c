/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/session.h"

#include <poll.h>
#include <string.h>

#include "base/fd.h"
#include "pci/pci.h"

#define REPLY_TIMEOUT_MS 10000		/* the first reply includes the remote's start */
#define START_PAUSE_MS 20

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

/*
 * QEMU's own remote goes on answering before its power-on reset for as long as it finds the next
 * message at once, and what was written till then is lost (docs/upstream-bugs.md, row 20).  A
 * pause after the first answer, and it is reset before it hears of us again.
 */
static int let_start(struct client *client)
{
	uint64_t id;
	int ret = client_cfg_read(client, PCI_VENDOR_ID, 2, &id);

	if (!ret)
		poll(NULL, 0, START_PAUSE_MS);
	return ret;
}

bool session_open(struct session *s, unsigned i, uint64_t ram_size, GError **error)
{
	struct remote_device *device = &s->remote.device[i];
	int ret;

	if (!remote_process_connect(&s->remote, i, REPLY_TIMEOUT_MS, error))
		return false;
	ret = client_init(&s->client, device->protocol, fd_steal(&device->fd), ram_size,
			  REPLY_TIMEOUT_MS);
	s->client.metrics = s->target->metrics;
	s->open = true;
	s->index = i;
	if (!ret && device->protocol == CLIENT_MPQEMU && s->target->command)
		ret = let_start(&s->client);
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
