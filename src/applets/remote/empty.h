/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_EMPTY_H
#define APPLETS_REMOTE_EMPTY_H

/*
 * The floor that bench/bench-remote holds the message path against (--empty-server): in place of
 * the devices of a device process, with its threads, fds, namespaces and filter, a server that
 * waits, takes what is there, and answers it with zeroes.  No message is looked at.
 */

struct loop;

/* Serves the first peer until it is gone.  @loop: made, and of no use from here on. */
void empty_serve(struct loop *loop);

#endif
