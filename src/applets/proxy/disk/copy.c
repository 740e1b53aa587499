/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/proxy/disk/disk.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "block/image.h"
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
#define STOP_MS 200		/* until a signal is seen at the latest */

#define NO_FILE "%s: it is no file and no block device"

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
	bool made;			/* it was not there before */
	bool touched;			/* what was in it, or in the unit, is not any more */
	bool sparse;			/* it reads as zero where nothing is written */
	uint64_t file_size;		/* bytes, of one that is read */
	uint64_t next, end;		/* blocks: not yet begun; where it ends */
	uint64_t done;			/* blocks */
	uint32_t chunk_blocks;
	unsigned busy;
	struct chunk chunk[DEPTH];
	int signals;			/* a signalfd; owned; -1 */
	int stopped;			/* by that signal; 0 */
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

/* ---- signals ---- */

/* What is ignored stays so, as under nohup. */
static bool catch_signals(struct copy *c, sigset_t *ret_old, GError **error)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction now;
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
		if (!sigaction(signals[i], NULL, &now) && now.sa_handler != SIG_IGN)
			sigaddset(&mask, signals[i]);
	sigprocmask(SIG_BLOCK, &mask, ret_old);
	c->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (c->signals < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "signalfd: %s", log_errname(errno));
	return true;
}

static bool stopped(struct copy *c)
{
	struct signalfd_siginfo info;

	if (!c->stopped && read(c->signals, &info, sizeof(info)) == sizeof(info))
		c->stopped = info.ssi_signo;
	return c->stopped;
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

/* Never waits, as for the other end of a FIFO. */
static bool open_file(struct copy *c, int flags, GError **error)
{
	c->fd = open(c->args->file, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
	if (c->fd >= 0)
		return true;
	/* a FIFO that nobody reads, a socket */
	if (errno == ENXIO)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, NO_FILE, c->args->file);
	return file_failed(c, errno, error);
}

static bool check_kind(const struct copy *c, struct stat *ret_st, GError **error)
{
	int ret = fd_stat(c->fd, ret_st);

	if (!ret && S_ISDIR(ret_st->st_mode))
		ret = -EISDIR;
	if (ret)
		return file_failed(c, ret, error);
	if (!S_ISREG(ret_st->st_mode) && !S_ISBLK(ret_st->st_mode))
		return mpq_fail(error, MPQ_ERROR_SYSTEM, NO_FILE, c->args->file);
	return true;
}

/* @ret: of image_lock_...().  Where there are no such locks others have none. */
static bool check_lock(const struct copy *c, int ret, GError **error)
{
	if (ret != -EAGAIN && ret != -EACCES)
		return true;
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: it is in use as a disk, of the remote or of "
			"another process", c->args->file);
}

static bool open_source(struct copy *c, GError **error)
{
	uint64_t room = c->lu.blocks * c->lu.block_size;
	struct stat st;
	off_t size;

	if (!open_file(c, O_RDONLY, error) || !check_kind(c, &st, error) ||
	    !check_lock(c, image_lock_reader(c->fd), error))
		return false;
	size = lseek(c->fd, 0, SEEK_END);
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
static bool check_destination(struct copy *c, struct stat *ret_st, GError **error)
{
	if (!check_kind(c, ret_st, error))
		return false;
	if (!c->args->force && (S_ISBLK(ret_st->st_mode) || ret_st->st_size))
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: it exists; --force overwrites it",
				c->args->file);
	return check_lock(c, image_lock_owner(c->fd), error);
}

static bool check_room(struct copy *c, uint64_t size, GError **error)
{
	off_t room = lseek(c->fd, 0, SEEK_END);

	if (room < 0)
		return file_failed(c, errno, error);
	if ((uint64_t)room < size)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: it has %lld bytes, fewer than the "
				"%" PRIu64 " of the unit", c->args->file, (long long)room, size);
	return true;
}

/*
 * A file is emptied: what is zero needs not be written.  It gets its size at the end, so that one
 * that we could not finish or remove does not look complete; a size that cannot be is known now.
 */
static bool open_destination(struct copy *c, GError **error)
{
	uint64_t size = c->lu.blocks * c->lu.block_size;
	struct stat st;

	c->fd = open(c->args->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	c->made = c->fd >= 0;
	if (!c->made && !open_file(c, O_WRONLY | O_CREAT, error))
		return false;
	if (!check_destination(c, &st, error))
		return false;
	c->end = c->lu.blocks;
	if (S_ISBLK(st.st_mode))
		return check_room(c, size, error);
	c->touched = true;
	if (ftruncate(c->fd, 0) < 0 || ftruncate(c->fd, size) < 0 || ftruncate(c->fd, 0) < 0)
		return file_failed(c, errno, error);
	c->sparse = true;
	return true;
}

/* ---- a copy that is not finished ---- */

static void add_text(GError **error, const char *fmt, const char *name)
{
	g_autofree char *more = g_strdup_printf(fmt, name);
	g_autoptr(GError) old = g_steal_pointer(error);

	mpq_fail(error, MPQ_ERROR_SYSTEM, "%s; %s", old->message, more);
}

/* Is the name still that of the file that we have made? */
static bool is_ours(const struct copy *c)
{
	struct stat st, named;

	return !fd_stat(c->fd, &st) && !lstat(c->args->file, &named) &&
	       st.st_dev == named.st_dev && st.st_ino == named.st_ino;
}

/* Nothing is left that looks like a whole copy, and the line says what is. */
static void give_up(struct copy *c, GError **error)
{
	if (stopped(c)) {
		g_clear_error(error);
		mpq_fail(error, MPQ_ERROR_SYSTEM, "interrupted by SIG%s",
			 c->stopped == SIGINT ? "INT" : c->stopped == SIGTERM ? "TERM" : "HUP");
	}
	if (!c->args->to_file && c->touched)
		add_text(error, "unit %s is written in part", c->args->words[1]);
	else if (c->made && is_ours(c) && !unlink(c->args->file))
		add_text(error, "%s is removed", c->args->file);
	else if (c->sparse && !ftruncate(c->fd, 0))
		add_text(error, "%s is empty", c->args->file);
	else if (c->touched)
		add_text(error, "%s is written in part", c->args->file);
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
	c->touched = true;
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
	c->touched |= !c->args->to_file;
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

/* The next command that has ended; a signal ends the wait. */
static bool reap(struct copy *c, struct initiator_cmd **ret_cmd, GError **error)
{
	gint64 deadline = g_get_monotonic_time() + REAP_TIMEOUT_MS * 1000LL;
	int ret;

	do {
		ret = initiator_reap(c->disk->initiator, STOP_MS, ret_cmd);
	} while (ret == -EAGAIN && !stopped(c) && g_get_monotonic_time() < deadline);
	return ret ? unit_failed(c, initiator_why(c->disk->initiator, ret), error) : true;
}

static bool move_all(struct copy *c, GError **error)
{
	while (c->done < c->end) {
		struct initiator_cmd *cmd;

		if (stopped(c))
			return mpq_fail(error, MPQ_ERROR_SYSTEM, "interrupted");
		if (!begin(c, error) || !reap(c, &cmd, error) || !finish(c, cmd->opaque, error))
			return false;
	}
	return true;
}

/* Everything has to be where a power cut finds it. */
static bool flush(struct copy *c, GError **error)
{
	if (c->sparse && ftruncate(c->fd, c->lu.blocks * c->lu.block_size) < 0)
		return file_failed(c, errno, error);
	if (c->args->to_file)
		return fsync(c->fd) ? file_failed(c, errno, error) : true;
	return scsi_flush(&c->disk->host, &c->lu) ? unit_failed(c, c->disk->host.why, error) : true;
}

/* ---- all of it ---- */

static bool copy_all(struct copy *c, GError **error)
{
	bool ok;

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

/* Until there is something to clear away a signal ends us as it always does. */
static bool run(struct copy *c, GError **error)
{
	sigset_t old;
	bool ok;

	if (!disk_probe(c->disk, c->args, &c->lu, error))
		return false;
	ok = catch_signals(c, &old, error) && copy_all(c, error);
	if (!ok)
		give_up(c, error);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return ok;
}

bool disk_copy(const struct disk_args *args, struct session *session, GError **error)
{
	struct disk disk;
	struct copy copy = { .disk = &disk, .args = args, .fd = -1, .signals = -1 };
	bool ok = disk_open(&disk, session, (uint64_t)DEPTH * CHUNK, error) && run(&copy, error);

	/* commands in flight end with the chip's reset, before the memory goes */
	disk_close(&disk);
	fd_close(&copy.fd);
	fd_close(&copy.signals);
	return ok;
}
