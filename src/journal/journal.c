/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "journal/journal.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define MAGIC 0x4a51504dU	/* "MPQJ" */
#define VERSION 1

/*
 * Where replies are, behind the page.  A reply stays as it is until its peer has read it: the
 * kernel may hand out these very bytes.  No socket buffer of usual size holds so many that the ring
 * comes around.
 */
#define RING 4096u

/* Two, of which the word's sequence number tells the one that counts. */
struct entry {
	uint32_t at, len;		/* the reply's bytes in the file */
	uint32_t request;		/* bytes */
	uint32_t pad;
};

struct journal_page {
	uint32_t magic, version;
	uint64_t word;			/* sequence << 16 | body << 8 | phase */
	struct entry entry[2];
	uint8_t body[2][JOURNAL_BODY];
};

_Static_assert(sizeof(struct journal_page) <= RING, "the ring is behind the page");

static void put_word(struct journal *j, enum journal_phase phase)
{
	/* Release: what it commits is there for whoever sees it. */
	__atomic_store_n(&j->page->word, j->sequence << 16 | (uint64_t)j->body << 8 | phase,
			 __ATOMIC_RELEASE);
}

uint64_t journal_sequence(const struct journal_page *page)
{
	return __atomic_load_n(&page->word, __ATOMIC_ACQUIRE) >> 16;
}

int journal_open(struct journal *j, void *map, int fd)
{
	*j = (struct journal){ .fd = fd, .page = map, .at = RING };
	j->taken_over = j->page->magic;
	if (j->taken_over)
		return 0;
	j->page->version = VERSION;
	put_word(j, JOURNAL_IDLE);
	/* Before it there is nothing to go on from; the offset is where a first reply will be. */
	if (lseek(fd, RING, SEEK_SET) < 0)
		return -errno;
	j->page->magic = MAGIC;
	return 0;
}

static bool entry_ok(const struct entry *e)
{
	return e->at >= RING && e->at <= JOURNAL_SIZE - JOURNAL_REPLY && e->len <= JOURNAL_REPLY &&
	       e->request <= JOURNAL_REQUEST;
}

/* What is left of the reply, of which the offset knows. */
static int find_offset(struct journal *j)
{
	off_t off = lseek(j->fd, 0, SEEK_CUR);

	if (off < 0)
		return -errno;
	j->left = 0;
	j->seek = false;
	if (off == j->at + j->len)
		return 0;
	j->seek = off < j->at || off > j->at + j->len;
	j->left = j->seek ? j->len : j->at + j->len - off;
	return 0;
}

int journal_take_over(struct journal *j, enum journal_phase *ret_phase, uint32_t *ret_request,
		      void *body, size_t size)
{
	/* Nobody else writes there any more; a copy all the same: it is looked at twice. */
	uint64_t word = __atomic_load_n(&j->page->word, __ATOMIC_ACQUIRE);
	unsigned phase = word & 0xff, copy = word >> 8 & 0xff;
	struct entry e = j->page->entry[word >> 16 & 1];
	int ret;

	if (j->page->magic != MAGIC || j->page->version != VERSION || phase > JOURNAL_DONE ||
	    copy > 1)
		return -EINVAL;
	j->sequence = word >> 16;
	j->body = copy;
	/* Before the first commit there is no entry. */
	if (!j->sequence && phase == JOURNAL_IDLE)
		e = (struct entry){ .at = RING };
	if (!entry_ok(&e))
		return -EINVAL;
	j->at = e.at;
	j->len = e.len;
	ret = find_offset(j);
	if (ret)
		return ret;
	if (phase == JOURNAL_IDLE)
		j->left = 0;
	memcpy(body, j->page->body[copy], size);
	*ret_phase = phase;
	*ret_request = phase == JOURNAL_DONE ? e.request : 0;
	return 0;
}

static void put_body(struct journal *j, const void *body, size_t size)
{
	j->body ^= 1;
	memcpy(j->page->body[j->body], body, size);
}

void journal_update(struct journal *j, const void *body, size_t size)
{
	put_body(j, body, size);
	put_word(j, j->page->word & 0xff);
}

void journal_commit(struct journal *j, uint32_t request, const void *reply, uint32_t len,
		    const void *body, size_t size)
{
	uint32_t at = j->at + j->len;

	if (at > JOURNAL_SIZE - JOURNAL_REPLY) {
		at = RING;
		j->seek = true;
	}
	j->at = at;
	j->len = j->left = len;
	j->sequence++;
	j->page->entry[j->sequence & 1] = (struct entry){
		.at = at, .len = len, .request = request,
	};
	if (len)
		memcpy((uint8_t *)j->page + at, reply, len);
	if (body)
		put_body(j, body, size);
	put_word(j, JOURNAL_DONE);
}

int journal_send(struct journal *j, int sock)
{
	if (j->left && j->seek && lseek(j->fd, j->at, SEEK_SET) < 0)
		return -errno;
	if (j->left)
		j->seek = false;
	while (j->left) {
		ssize_t n = sendfile(sock, j->fd, NULL, j->left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
		if (n == 0)
			return -EIO;	/* the file is shorter than it was made */
		j->left -= n;
	}
	return 0;
}

void journal_idle(struct journal *j)
{
	put_word(j, JOURNAL_IDLE);
}
