/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/proxy/record/replay-priv.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

/* Guest RAM of a replay: sparse memfds, laid out as the VM's were. */

#define FILE_MAX (1ULL << 46)		/* bytes: no record of a VM has more */
#define LOOK_EVERY 256			/* placements between two looks at how much is there */

void ram_init(struct replay *r)
{
	for (unsigned i = 0; i < REC_FILES; i++)
		r->ram[i] = -1;
}

void ram_finish(struct replay *r)
{
	for (unsigned i = 0; i < REC_FILES; i++)
		fd_close(&r->ram[i]);
}

static bool failed(GError **error, int err)
{
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "guest RAM: %s", log_errname(err));
}

/* Only ever larger: the remote seals a file against shrinking. */
static bool make_room(struct replay *r, unsigned file, uint64_t size, GError **error)
{
	if (r->ram[file] < 0)
		r->ram[file] = memfd_create("mpqemu-replay-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (r->ram[file] < 0)
		return failed(error, errno);
	if (size > r->ram_size[file]) {
		if (ftruncate(r->ram[file], size) < 0)
			return failed(error, errno);
		r->ram_size[file] = size;
	}
	return true;
}

bool ram_map(struct replay *r, const struct item *item, GError **error)
{
	for (unsigned i = 0; i < item->e.regions; i++) {
		const struct rec_region *region = &item->e.region[i];

		if (!range_fits(region->offset, region->size, FILE_MAX) || !region->size ||
		    region->gpa + region->size < region->gpa)
			return rec_wrong(&r->file, item->e.line, error, "expected a region that "
					 "ends below 2^64, in a file of at most 64 TiB");
		if (!make_room(r, region->file, region->offset + region->size, error))
			return false;
	}
	memcpy(r->map, item->e.region, sizeof(r->map));
	r->regions = item->e.regions;
	return true;
}

/* A small record could ask for much RAM, a byte in each page of it. */
static bool check_use(struct replay *r, const struct item *item, GError **error)
{
	uint64_t bytes = 0;
	struct stat st;

	for (unsigned i = 0; i < REC_FILES; i++)
		if (r->ram[i] >= 0 && fd_stat(r->ram[i], &st) == 0)
			bytes += st.st_blocks * 512ULL;
	return bytes <= REPLAY_RAM_MAX ||
	       rec_wrong(&r->file, item->e.line, error, "expected a record that needs at most "
			 "4 GiB of guest RAM");
}

/* The region that has the byte at @gpa, or NULL. */
static const struct rec_region *find(const struct replay *r, uint64_t gpa)
{
	for (unsigned i = 0; i < r->regions; i++)
		if (gpa >= r->map[i].gpa && gpa - r->map[i].gpa < r->map[i].size)
			return &r->map[i];
	return NULL;
}

/* How many of the bytes from @from on are marked so, and how many are not. */
static uint32_t run_length(const struct item *item, uint32_t from, uint8_t mark, bool marked)
{
	uint32_t end = from;

	while (end < item->e.dma.len && (item->place[end] == mark) == marked)
		end++;
	return end - from;
}

/* A part that is in one region. */
static ssize_t place_part(struct replay *r, const struct item *item, uint32_t from, uint32_t len,
			  GError **error)
{
	uint64_t gpa = item->e.dma.gpa + from;
	const struct rec_region *region = find(r, gpa);
	ssize_t n;

	if (!region) {
		rec_wrong(&r->file, item->e.line, error, "expected an address that the last "
			  "SYNC_SYSMEM has, found 0x%" PRIx64, gpa);
		return -1;
	}
	n = pwrite(r->ram[region->file], item->e.dma.data + from,
		   min_u64(len, region->size - (gpa - region->gpa)),
		   region->offset + (gpa - region->gpa));
	if (n <= 0)
		failed(error, errno);
	return n;
}

bool ram_place(struct replay *r, const struct item *item, uint8_t mark, GError **error)
{
	uint32_t at = run_length(item, 0, mark, false);

	while (at < item->e.dma.len) {
		uint32_t len = run_length(item, at, mark, true);

		while (len) {
			ssize_t n = place_part(r, item, at, len, error);

			if (n <= 0)
				return false;
			at += n;
			len -= n;
		}
		at += run_length(item, at, mark, false);
	}
	return ++r->placed % LOOK_EVERY || check_use(r, item, error);
}
