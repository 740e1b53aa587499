/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

/*
 * What a service manager is told, by the protocol of sd_notify(3): one datagram a message to the
 * socket in NOTIFY_SOCKET.  Without a manager all of this does nothing.  Nothing here waits: a
 * message that the manager does not take at once is lost.
 */

#include <stdint.h>

struct notify {
	int fd;			/* owned, connected; -1: nobody wants to know */
	int64_t interval;	/* ns between signs of life; 0: none are expected */
	int64_t due;		/* when the next one is, on the caller's clock */
};

/*
 * Reads NOTIFY_SOCKET (a path, or "@NAME": an abstract one), WATCHDOG_USEC and WATCHDOG_PID, and
 * removes them, so that no child speaks for us.  Returns 0; or -errno when there is a socket that
 * cannot be connected to: *n is then as without one, and the manager would wait in vain.
 */
int notify_init(struct notify *n);
void notify_finish(struct notify *n);

/* Sends lines ("READY=1\nSTATUS=..."), cut at 255 bytes. */
void notify_say(const struct notify *n, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * WATCHDOG=1 if it is time.  @now: ns, of any clock that never goes back; @wait_ms: how long the
 * caller would wait otherwise, -1 for ever.  Returns the milliseconds that it may.
 */
int notify_alive(struct notify *n, int64_t now, int wait_ms);

#endif
