/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "block/rawio.h"

#define MAX_MEM_ALIGN 4096	/* what buffers and scratch memory have */
#define MAX_ALIGN (POOL_SCRATCH_SIZE / 2)

static void raw_done(struct pool_job *job, int ret)
{
	struct block_req *req = (struct block_req *)(void *)
		((char *)job - offsetof(struct block_req, u.job));

	block_complete(req, ret);
}

static void raw_submit(struct block *block, struct block_req *req)
{
	struct raw_block *raw = (struct raw_block *)block;

	req->u.job.run = rawio_run;
	req->u.job.done = raw_done;
	pool_submit(raw->pool, &req->u.job);
}

/*
 * Of a file that is not cached each try is a call for nothing (and one that may begin to read
 * ahead): after misses in a row only every so many reads try, at the most one in MAX_SKIP + 1.
 */
#define MAX_SKIP 31

static void note_miss(struct raw_block *raw)
{
	raw->skip = raw->misses ? raw->misses * 2 - 1 : 0;
	if (raw->skip > MAX_SKIP)
		raw->skip = MAX_SKIP;
	raw->misses += raw->misses <= MAX_SKIP;
}

static ssize_t raw_read_now(struct block *block, uint64_t off, const struct iovec *iov, int count)
{
	struct raw_block *raw = (struct raw_block *)block;
	ssize_t n;

	if (raw->no_read_now)
		return -EAGAIN;
	if (raw->skip) {
		raw->skip--;
		return -EAGAIN;
	}
	n = raw->io.sys->read_now(raw->io.fd, iov, count, off);
	if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
		raw->no_read_now = true;
	if (n > 0)
		raw->misses = 0;
	else
		note_miss(raw);
	return n < 0 ? -errno : n;
}

static void raw_close(struct block *block)
{
	struct raw_block *raw = (struct raw_block *)block;

	if (raw->borrowed)
		return;
	close(raw->io.fd);
	free(raw);
}

static const struct block_ops raw_ops = {
	.name = "raw",
	.submit = raw_submit,
	.close = raw_close,
	.read_now = raw_read_now,
	.resizable = true,
};

/* Does a read of @len bytes at the start into @buf work, as far as alignment goes? */
static bool try_read(int fd, void *buf, size_t len)
{
	ssize_t n;

	do
		n = pread(fd, buf, len, 0);
	while (n < 0 && errno == EINTR);
	return n >= 0 || errno != EINVAL;
}

/* The smallest lengths and addresses that O_DIRECT takes, found by trying. */
static int try_alignments(struct rawio *io)
{
	char *buf = NULL;

	if (posix_memalign((void **)&buf, MAX_ALIGN, 2 * MAX_ALIGN))
		return -ENOMEM;
	for (io->align = 512; io->align <= MAX_ALIGN; io->align *= 2)
		if (try_read(io->fd, buf, io->align))
			break;
	for (io->mem_align = 512; io->mem_align <= MAX_MEM_ALIGN; io->mem_align *= 2)
		if (try_read(io->fd, buf + io->mem_align, MAX_ALIGN))
			break;
	free(buf);
	return 0;
}

/* What the kernel says of O_DIRECT (Linux 6.1 on), else what works. */
static int detect_direct(struct rawio *io)
{
	int ret = -EOPNOTSUPP;
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (statx(io->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align) {
		io->align = stx.stx_dio_offset_align;
		io->mem_align = stx.stx_dio_mem_align;
		ret = 0;
	}
#endif
	if (ret)
		ret = try_alignments(io);
	if (ret)
		return ret;
	if (!is_power_of_2(io->align) || io->align > MAX_ALIGN)
		return -EINVAL;
	if (!is_power_of_2(io->mem_align) || io->mem_align > MAX_MEM_ALIGN)
		return -EINVAL;
	return 0;
}

/*
 * Does the file system punch holes?  Asked behind the end of the file, where there is nothing to
 * lose.
 */
static bool can_punch(const struct rawio *io)
{
	return io->sys->fallocate(io->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  align_up(io->size, 4096) + 4096, 4096) == 0;
}

static int rawio_look(struct rawio *io, const struct block_raw_config *config)
{
	struct stat st;
	int sector, ret;

	if (fstat(io->fd, &st) < 0)
		return -errno;
	io->is_device = S_ISBLK(st.st_mode);
	if (io->is_device) {
		if (ioctl(io->fd, BLKSSZGET, &sector) < 0)
			return -errno;
		io->dev_sector = sector;
	}
	if (config->direct) {
		ret = detect_direct(io);
		if (ret)
			return ret;
		if (io->is_device)
			io->align = max_u64(io->align, io->dev_sector);
		if (!config->readonly && !is_aligned(config->size, io->align))
			return -EINVAL;
	}
	io->promised_zero = io->discard && !io->is_device && can_punch(io);
	return 0;
}

/* Of somebody who may have been wrong, or is not to be believed beyond what can be worked with. */
static int rawio_believe(struct rawio *io, const struct raw_facts *facts)
{
	if (!is_power_of_2(facts->align) || facts->align > MAX_ALIGN ||
	    !is_power_of_2(facts->mem_align) || facts->mem_align > MAX_MEM_ALIGN ||
	    !is_power_of_2(facts->dev_sector) || facts->dev_sector > MAX_ALIGN)
		return -EINVAL;
	io->align = facts->align;
	io->mem_align = facts->mem_align;
	io->dev_sector = facts->dev_sector;
	io->is_device = facts->is_device;
	io->promised_zero = facts->promised_zero && io->discard;
	return 0;
}

static int rawio_init(struct rawio *io, const struct block_raw_config *config)
{
	*io = (struct rawio){
		.fd = config->fd, .size = config->size,
		.sys = config->sys ? config->sys : &raw_sys_libc,
		.align = 1, .mem_align = 1, .dev_sector = 1,
		.direct = config->direct, .no_flush = config->no_flush,
		.discard = config->discard && !config->readonly,
		.detect_zeroes = config->detect_zeroes, .probed_raw = config->probed_raw,
	};
	if (config->size > INT64_MAX - MAX_ALIGN)
		return -EFBIG;
	return config->facts ? rawio_believe(io, config->facts) : rawio_look(io, config);
}

int raw_measure(const struct block_raw_config *config, struct raw_facts *ret_facts)
{
	struct rawio io;
	int ret = rawio_init(&io, config);

	if (ret)
		return ret;
	*ret_facts = (struct raw_facts){
		.align = io.align, .mem_align = io.mem_align, .dev_sector = io.dev_sector,
		.is_device = io.is_device, .promised_zero = io.promised_zero,
	};
	return 0;
}

int raw_create(struct loop *loop, struct pool *pool, const struct block_raw_config *config,
	       struct block **ret_block)
{
	struct raw_block *raw = config->room ? memset(config->room, 0, sizeof(*raw)) :
				calloc(1, sizeof(*raw));
	int ret;

	_Static_assert(sizeof(*raw) <= RAW_ROOM, "room for a raw device");
	if (!raw)
		return -ENOMEM;
	ret = rawio_init(&raw->io, config);
	if (ret) {
		if (!config->room)
			free(raw);
		return ret;
	}
	raw->borrowed = config->room;
	block_init(&raw->block, &raw_ops, loop, config->size);
	raw->pool = pool;
	raw->no_read_now = config->direct || !raw->io.sys->read_now;
	raw->block.readonly = config->readonly;
	raw->block.can_discard = raw->io.discard;
	raw->block.zero_after_discard = raw->io.promised_zero;
	/* The kernel reports a lost buffered write once an open file (errseq_t), to one of many. */
	raw->block.serial_sync = !config->no_flush && !config->direct;
	raw->block.overlap_align = max_u64(raw->io.align, raw->io.dev_sector);
	if (config->probed_raw)
		raw->block.overlap_align = max_u64(raw->block.overlap_align, 512);
	*ret_block = &raw->block;
	return 0;
}
