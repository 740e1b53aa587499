/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

/*
 * What a process writes down of its dialogue with a peer, so that a successor on the same socket
 * answers each request exactly once, whenever its predecessor was killed.  It lies in a memfd, of
 * which somebody else holds a dup.
 *
 *     IDLE --a request is carried out: journal_commit()--> DONE
 *     DONE --reply sent, request taken off the socket: journal_idle()--> IDLE
 *
 * One 64-bit store commits the reply and the body, which is the user's: what it needs to know again
 * of its peer.  A successor in phase DONE does not carry the request out again; it sends what is
 * left of the reply, takes what is left of the request, and is idle.
 *
 * What has been sent is not written down by the process, which may die between the two, but by the
 * kernel: replies are laid out one behind the other in the same file and sent by sendfile(), which
 * advances the file's offset within the same call.  The offset belongs to the open file, and
 * outlives the process.  How much of a request has been taken off is told by SO_PEEK_OFF
 * (proto/conn.h).
 *
 * What a predecessor left may be anything: it may have been taken over.  journal_take_over() checks
 * all of it; the body is the user's to check.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_SIZE (64u << 10)	/* bytes of the file */
#define JOURNAL_BODY 1024		/* bytes, at most */
#define JOURNAL_REPLY 64		/* bytes of a reply, at most */
#define JOURNAL_REQUEST 4096		/* of a request */

enum journal_phase { JOURNAL_IDLE, JOURNAL_DONE };

struct journal_page;

struct journal {
	int fd;				/* not owned */
	struct journal_page *page;
	bool taken_over;		/* a predecessor has used it */
	uint64_t sequence;		/* of the last commit */
	uint8_t body;			/* which copy counts */
	uint32_t at;			/* of the last reply in the file */
	uint32_t len;			/* of it */
	uint32_t left;			/* bytes of it that are not sent */
	bool seek;			/* the file's offset is not there yet */
};

/*
 * @map: the JOURNAL_SIZE bytes of @fd, mapped shared and writable as long as the journal is used.
 * Looks whether somebody has used them, and at nothing else.  A fresh one is made ready.  Returns 0
 * or -errno.
 */
int journal_open(struct journal *journal, void *map, int fd);

/*
 * Goes on from what the predecessor left.  *ret_request: bytes of the request that journal_commit()
 * was told of, 0 in phase IDLE.  @body: the @size bytes that were committed last.  Returns 0, or
 * -EINVAL: no process of ours leaves that.
 */
int journal_take_over(struct journal *journal, enum journal_phase *ret_phase,
		      uint32_t *ret_request, void *body, size_t size);

/*
 * The request of @request bytes is carried out, and this is its reply: @len bytes, or none.  With
 * @body (@size bytes) that is the new one.
 */
void journal_commit(struct journal *journal, uint32_t request, const void *reply, uint32_t len,
		    const void *body, size_t size);
/* A new body, in either phase. */
void journal_update(struct journal *journal, const void *body, size_t size);

/*
 * Sends what is left of the reply by @sock, which never waits (O_NONBLOCK), in a process that
 * ignores SIGPIPE.  0: all of it is out; -EAGAIN: the socket is full; or -errno.
 */
int journal_send(struct journal *journal, int sock);

/* The request is off the socket and the reply is out. */
void journal_idle(struct journal *journal);

/* For who watches, and believes nothing of it: how many commits there were. */
uint64_t journal_sequence(const struct journal_page *page);

#endif
