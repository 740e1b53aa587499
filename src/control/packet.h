/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CONTROL_PACKET_H
#define CONTROL_PACKET_H

/* One fixed-size message a packet over a seqpacket pair, as all channels of this folder are. */

#include <stddef.h>
#include <sys/types.h>

/* Never waits: 0, -EAGAIN when the channel is full, -EPIPE when nobody is there, or -errno. */
int packet_send(int fd, const void *msg, size_t size);

/*
 * The next packet, cut at @size bytes.  Never waits: its whole length, -EAGAIN, or as
 * packet_nothing().
 */
ssize_t packet_recv(int fd, void *msg, size_t size);

/* No byte came: -ENODATA, the other end is gone; -EPROTO, it was a packet without a byte. */
int packet_nothing(int fd);

#endif
