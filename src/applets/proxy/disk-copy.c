/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/proxy/disk.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "client/client.h"

/*
 * disk copy: a unit into a file, or a file into a unit, with several commands in flight.  Runs of
 * zeroes are left out of a file, which becomes sparse.
 */

#define DEPTH 8
#define CHUNK (256u << 10)	/* bytes of one command, at the most */
#define HOLE 4096u		/* bytes: a run of zeroes that long is not written */
#define TRIES 20
#define REAP_TIMEOUT_MS 30000
#define PROGRESS_MS 200

/* A command, and its part of the disk. */
struct chunk {
	struct initiator_cmd cmd;
	uint64_t lba;
	uint32_t blocks;
	unsigned tries;
	bool busy;
};

struct copy {
	struct disk *disk;
	const struct disk_args *args;
	struct scsi_lu lu;
	int fd;				/* the file; owned */
	bool sparse;			/* it reads as zero where nothing is written */
	uint64_t file_size;		/* bytes, of one that is read */
	uint64_t next, end;		/* blocks: not yet begun; where it ends */
	uint64_t done;			/* blocks */
	uint32_t chunk_blocks;
	unsigned busy;
	struct chunk chunk[DEPTH];
	bool tty;
	gint64 begun, shown;		/* microseconds of the monotonic clock */
};

/* ---- errors ---- */

static bool file_failed(const struct copy *c, int err, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %s", c->args->file, log_errname(err));
}

static bool unit_failed(const struct copy *c, const char *text, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: %u:%u: %s", session_name(c->disk->session),
			c->lu.target, c->lu.lun, text);
}

/* ---- progress ---- */

static void show(struct copy *c, bool end)
{
	gint64 now = g_get_monotonic_time();
	uint64_t bytes = c->done * c->lu.block_size, all = c->end * c->lu.block_size;
	double seconds = (now - c->begun) / 1e6;

	if (!c->tty || (!end && now - c->shown < PROGRESS_MS * 1000))
		return;
	c->shown = now;
	fprintf(stderr, "\r%5.1f %%  %" PRIu64 " of %" PRIu64 " MiB  %.0f MiB/s   %s",
		all ? 100.0 * bytes / all : 100.0, bytes >> 20, all >> 20,
		seconds > 0 ? (bytes >> 20) / seconds : 0.0, end ? "\n" : "");
	fflush(stderr);
}

/* ---- the file ---- */

static bool open_source(struct copy *c, GError **error)
{
	uint64_t room = c->lu.blocks * c->lu.block_size;
	off_t size;

	c->fd = open(c->args->file, O_RDONLY | O_CLOEXEC);
	size = c->fd < 0 ? -1 : lseek(c->fd, 0, SEEK_END);
	if (size < 0)
		return file_failed(c, errno, error);
	if ((uint64_t)size > room)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: its %lld bytes are more than the "
				"%" PRIu64 " of unit %u:%u", c->args->file, (long long)size, room,
				c->lu.target, c->lu.lun);
	if (c->lu.read_only)
		return unit_failed(c, "it is write protected", error);
	c->file_size = size;
	c->end = (c->file_size + c->lu.block_size - 1) / c->lu.block_size;
	return true;
}

/* A file that is there already is somebody's, unless it is empty; a device always is. */
static bool check_destination(struct copy *c, GError **error)
{
	struct stat st;

	if (fstat(c->fd, &st) < 0)
		return file_failed(c, errno, error);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: it is no file and no block device",
				c->args->file);
	if (!c->args->force && (S_ISBLK(st.st_mode) || st.st_size))
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: it exists; --force overwrites it",
				c->args->file);
	return true;
}

/* A file is made as large as the unit and empty: what is zero needs not be written. */
static bool open_destination(struct copy *c, GError **error)
{
	uint64_t size = c->lu.blocks * c->lu.block_size;
	struct stat st;

	c->fd = open(c->args->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (c->fd < 0)
		return file_failed(c, errno, error);
	if (!check_destination(c, error))
		return false;
	c->end = c->lu.blocks;
	if (fstat(c->fd, &st) < 0)
		return file_failed(c, errno, error);
	if (S_ISBLK(st.st_mode)) {
		off_t room = lseek(c->fd, 0, SEEK_END);

		if (room < 0 || (uint64_t)room < size)
			return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: it has %lld bytes, fewer "
					"than the %" PRIu64 " of the unit", c->args->file,
					(long long)room, size);
		return true;
	}
	if (ftruncate(c->fd, 0) < 0 || ftruncate(c->fd, size) < 0)
		return file_failed(c, errno, error);
	c->sparse = true;
	return true;
}

static uint8_t *chunk_data(const struct copy *c, const struct chunk *k)
{
	return c->disk->session->client.mem + k->cmd.addr;
}

/* What is behind the file's end in its last block is zero. */
static bool read_file(struct copy *c, struct chunk *k, GError **error)
{
	uint64_t off = k->lba * c->lu.block_size;
	size_t want = min_u64((uint64_t)k->blocks * c->lu.block_size, c->file_size - off);
	uint8_t *data = chunk_data(c, k);
	size_t have = 0;

	memset(data + want, 0, (size_t)k->blocks * c->lu.block_size - want);
	while (have < want) {
		ssize_t n = pread(c->fd, data + have, want - have, off + have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_failed(c, errno, error);
		if (!n)
			return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: it has become shorter",
					c->args->file);
		have += n;
	}
	return true;
}

static bool is_zero(const uint8_t *data, size_t len)
{
	return !data[0] && !memcmp(data, data + 1, len - 1);
}

static bool write_run(struct copy *c, const uint8_t *data, size_t len, uint64_t off,
		      GError **error)
{
	while (len) {
		ssize_t n = pwrite(c->fd, data, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return file_failed(c, n ? errno : ENOSPC, error);
		data += n;
		len -= n;
		off += n;
	}
	return true;
}

/* A sparse file does without its runs of zeroes. */
static bool write_file(struct copy *c, const struct chunk *k, GError **error)
{
	const uint8_t *data = chunk_data(c, k);
	size_t len = (size_t)k->blocks * c->lu.block_size, at = 0;
	uint64_t off = k->lba * c->lu.block_size;

	if (!c->sparse)
		return write_run(c, data, len, off, error);
	while (at < len) {
		size_t begin = at;

		while (at < len && !is_zero(data + at, min_u64(HOLE, len - at)))
			at += min_u64(HOLE, len - at);
		if (at > begin && !write_run(c, data + begin, at - begin, off + begin, error))
			return false;
		at += at < len ? min_u64(HOLE, len - at) : 0;
	}
	return true;
}

/* ---- the unit ---- */

static bool submit(struct copy *c, struct chunk *k, GError **error)
{
	int ret;

	scsi_rw(&k->cmd, &c->lu, !c->args->to_file, k->lba, k->blocks, false);
	ret = initiator_submit(c->disk->initiator, &k->cmd);
	if (ret)
		return unit_failed(c, initiator_why(c->disk->initiator, ret), error);
	k->busy = true;
	c->busy++;
	return true;
}

static bool begin(struct copy *c, GError **error)
{
	for (unsigned i = 0; i < DEPTH && c->next < c->end; i++) {
		struct chunk *k = &c->chunk[i];

		if (k->busy)
			continue;
		k->lba = c->next;
		k->blocks = min_u64(c->chunk_blocks, c->end - c->next);
		k->tries = TRIES;
		if (!c->args->to_file && !read_file(c, k, error))
			return false;
		if (!submit(c, k, error))
			return false;
		c->next += k->blocks;
	}
	return true;
}

static bool finish(struct copy *c, struct chunk *k, GError **error)
{
	char why[192];
	int ret;

	k->busy = false;
	c->busy--;
	if (scsi_retry(&k->cmd) && k->tries--)
		return submit(c, k, error);
	ret = scsi_result(c->disk->initiator, &k->cmd, why, sizeof(why));
	if (ret)
		return unit_failed(c, why, error);
	if (c->args->to_file && !write_file(c, k, error))
		return false;
	c->done += k->blocks;
	show(c, false);
	return true;
}

static bool move_all(struct copy *c, GError **error)
{
	while (c->done < c->end) {
		struct initiator_cmd *cmd;
		int ret;

		if (!begin(c, error))
			return false;
		ret = initiator_reap(c->disk->initiator, REAP_TIMEOUT_MS, &cmd);
		if (ret)
			return unit_failed(c, initiator_why(c->disk->initiator, ret), error);
		if (!finish(c, cmd->opaque, error))
			return false;
	}
	return true;
}

/* Everything has to be where a power cut finds it. */
static bool flush(struct copy *c, GError **error)
{
	if (c->args->to_file)
		return fsync(c->fd) ? file_failed(c, errno, error) : true;
	return scsi_flush(&c->disk->host, &c->lu) ? unit_failed(c, c->disk->host.why, error) : true;
}

static bool run(struct copy *c, GError **error)
{
	bool ok;

	if (!disk_probe(c->disk, c->args, &c->lu, error))
		return false;
	if (!(c->args->to_file ? open_destination(c, error) : open_source(c, error)))
		return false;
	c->chunk_blocks = CHUNK / c->lu.block_size;
	if (c->lu.max_blocks)
		c->chunk_blocks = min_u64(c->chunk_blocks, c->lu.max_blocks);
	for (unsigned i = 0; i < DEPTH; i++) {
		c->chunk[i].cmd.addr = DISK_DATA + (uint64_t)i * CHUNK;
		c->chunk[i].cmd.opaque = &c->chunk[i];
	}
	c->begun = g_get_monotonic_time();
	c->tty = isatty(2);
	ok = move_all(c, error) && flush(c, error);
	show(c, true);
	return ok;
}

bool disk_copy(const struct disk_args *args, struct session *session, GError **error)
{
	struct disk disk;
	struct copy copy = { .disk = &disk, .args = args, .fd = -1 };
	bool ok = disk_open(&disk, session, (uint64_t)DEPTH * CHUNK, error) && run(&copy, error);

	/* commands in flight end with the chip's reset, before the file and the memory go */
	disk_close(&disk);
	fd_close(&copy.fd);
	return ok;
}
