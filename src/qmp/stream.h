/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_STREAM_H
#define QMP_STREAM_H

/*
 * JSON texts over a UNIX stream socket, as QEMU's monitor has them: several on a line, or one over
 * several lines.  A text is whole when its brackets are closed; one that is no object or array, or
 * has a control character in a string, ends with its line.
 *
 * Nothing here waits: each call says MSG_DONTWAIT by itself, and the socket's status flags are
 * never changed.  Lengths, depth, the queue of what is to be sent and the fds on their way have
 * bounds.
 *
 * A confined process calls json_object_seed() before it is: jansson opens a file for its seed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>
#include <jansson.h>

#define QMP_DEPTH 128		/* of brackets in each other */
#define QMP_PASSED 4		/* fds that wait to be sent, or to be taken */

struct qmp_bounds {
	size_t in;		/* bytes of a text that comes */
	size_t out;		/* bytes that wait to be sent */
};

struct qmp_stream {
	int fd;			/* owned; -1: closed */
	struct qmp_bounds bounds;
	bool takes_fds;		/* else the kernel closes what comes with a text */
	bool pretty;		/* what is sent has a line for each member */
	GByteArray *in, *out;	/* owned */
	size_t start;		/* of the text in hand, in @in */
	size_t looked;		/* bytes of @in that were looked at */
	unsigned depth;
	bool inside;		/* something of a text has come, @start is its first byte */
	bool bare;		/* which ends with its line */
	bool in_string, escaped;
	uint64_t queued, sent;	/* bytes, in all */
	unsigned unwanted;	/* fds that came and were closed */
	struct qmp_passed {
		size_t at;	/* a byte that it goes (came) with: of @out (@in) */
		int fd;		/* owned */
	} passed[QMP_PASSED], came[QMP_PASSED];
	unsigned passed_count, came_count;
	char why[200];		/* after an error: what was wrong, without control characters */
};

/* Takes @fd over. */
void qmp_stream_init(struct qmp_stream *s, int fd, const struct qmp_bounds *bounds);
/* Closes all that it has.  May be called twice. */
void qmp_stream_finish(struct qmp_stream *s);

/*
 * Takes in what is there, some KiB at most.  Returns 0; -EAGAIN (nothing, or no room before
 * qmp_stream_next() was called); -ENODATA at the end between two texts; -EPIPE at the end within
 * one; -EBADMSG when more than one fd came at once; or -errno.
 */
int qmp_stream_receive(struct qmp_stream *s);

/*
 * The next whole text, of any JSON type, in *ret, which the caller owns.  Returns 0; -EAGAIN: none
 * is whole; -EBADMSG: one was no JSON (duplicate keys and NUL in strings are none either), and has
 * been passed over; -EMSGSIZE: it is too long or too deep, and the stream is of no more use.
 * s->why says more.
 */
int qmp_stream_next(struct qmp_stream *s, json_t **ret);

/*
 * The same without a look into it: its bytes, as they came, which stay until qmp_stream_receive()
 * is called.  Never -EBADMSG.
 */
int qmp_stream_next_text(struct qmp_stream *s, const char **ret, size_t *ret_len);

/* Could qmp_stream_next() return something else than -EAGAIN without more bytes? */
bool qmp_stream_holds(const struct qmp_stream *s);

/*
 * The fd that came with the text that qmp_stream_next() gave, or last before it, which the caller
 * owns; -1: none.  Those before that one are closed.
 */
int qmp_stream_take_fd(struct qmp_stream *s);

/*
 * Queues @msg (which stays the caller's) and, unless -1, @passed, which is taken over in any case;
 * then qmp_stream_flush().  Returns 0, also while something is left to be sent; -ENOBUFS: the peer
 * does not read; -EBUSY: too many fds wait; -EINVAL: @msg is no JSON; or -errno.
 */
int qmp_stream_send(struct qmp_stream *s, const json_t *msg, int passed);

/* The same of a text as it came. */
int qmp_stream_send_text(struct qmp_stream *s, const char *text, size_t len, int passed);

/* Sends what can be sent.  Returns 0, -EAGAIN when something is left, or -errno. */
int qmp_stream_flush(struct qmp_stream *s);

/* Bytes that are left to be sent. */
static inline size_t qmp_stream_pending(const struct qmp_stream *s)
{
	return s->fd < 0 ? 0 : s->out->len;
}

#endif
