/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/trim.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"

#define MAX_RANGES 64	/* two or three an object; more stay as they are */

#define KEEP_TOP (SIZE_MAX / 4)	/* more than any heap has */

struct range {
	uintptr_t from, end;
};

struct ranges {
	unsigned count;
	struct range range[MAX_RANGES];
};

/* The pages that an object's segment fills alone. */
static void add(struct ranges *r, const struct dl_phdr_info *object, const ElfW(Phdr) *segment)
{
	uintptr_t page = sysconf(_SC_PAGESIZE), begin = object->dlpi_addr + segment->p_vaddr;
	struct range range = { align_up(begin, page), align_down(begin + segment->p_memsz, page) };

	if (range.from < range.end && r->count < MAX_RANGES)
		r->range[r->count++] = range;
}

/*
 * Only segments that the loader has never written to: a page of another one that was changed would
 * be lost.  The kernel's own object (vdso(7)) has no file.
 */
static int add_object(struct dl_phdr_info *object, size_t size, void *opaque)
{
	for (unsigned i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];

		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W) &&
		    object->dlpi_addr != getauxval(AT_SYSINFO_EHDR))
			add(opaque, object, segment);
	}
	return 0;
}

static void drop(uintptr_t from, uintptr_t end)
{
	madvise((void *)from, end - from, MADV_DONTNEED);
}

/* malloc_trim() would give the end of the heap back for good. */
static void trim_heap(void)
{
	uintptr_t page = sysconf(_SC_PAGESIZE), from, end;
	size_t top;
	void *all;

	malloc_trim(KEEP_TOP);
	top = mallinfo2().keepcost;
	if (top <= 2 * page)
		return;
	all = malloc(top - page);
	if (!all)
		return;
	from = align_up((uintptr_t)all, page);
	end = align_down((uintptr_t)all + top - page, page);
	drop(from, end);
	free(all);
}

void mem_trim(void)
{
	struct ranges r = { 0 };

	trim_heap();
	/* All are listed before any goes: the list is made from pages of theirs. */
	dl_iterate_phdr(add_object, &r);
	for (unsigned i = 0; i < r.count; i++)
		drop(r.range[i].from, r.range[i].end);
}
