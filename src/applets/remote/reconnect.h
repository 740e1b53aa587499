/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef APPLETS_REMOTE_RECONNECT_H
#define APPLETS_REMOTE_RECONNECT_H

/*
 * Disks behind NBD when a device process has crashed: a successor gets a connection of its own,
 * once the server is done with the last one.  A request that is still carried out would overwrite
 * what the successor writes.
 *
 *     shutdown(2) of our end --> the server reads its end of file, ends what it has, closes
 *
 * QEMU's server shuts its end down at once, so that the end of file which we see says nothing, and
 * closes it when the last request of the connection is done.  The kernel says whether anybody has
 * the other end: sock_diag(7), for UNIX sockets only.
 */

struct keeper;

/*
 * Has anybody the other end of the connected UNIX socket @fd?  1, 0, or -errno: this kernel does
 * not tell (sock_diag(7)), or it is not such a socket.
 */
int reconnect_is_held(int fd);

/*
 * Ends the connections of all disks behind NBD, and makes new ones at the same numbers when that is
 * done.  Waits for nobody.  0; -EBUSY: a server is not done yet, and this is to be called again;
 * or -errno, after logging why.
 */
int reconnect_disks(const struct keeper *keeper);

#endif
