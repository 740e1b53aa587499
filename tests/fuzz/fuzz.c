/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"
#include "mem/memfd.h"

#define MAX_SAVED 16

static struct {
	struct {
		void *mem, *copy;	/* copy NULL: pages to throw away */
		size_t size;
	} saved[MAX_SAVED];
	unsigned count;
} fuzz;

/* ---- the input ---- */

size_t in_take(struct input *in, size_t max, const uint8_t **ret_bytes)
{
	size_t len = MIN(max, in->left);

	*ret_bytes = in->at;
	if (len)
		in->at += len;
	in->left -= len;
	return len;
}

void in_fill(struct input *in, void *buf, size_t len)
{
	const uint8_t *bytes;
	size_t have = in_take(in, len, &bytes);

	memset(buf, 0, len);
	if (have)
		memcpy(buf, bytes, have);
}

uint8_t in_u8(struct input *in)
{
	uint8_t v;

	in_fill(in, &v, sizeof(v));
	return v;
}

uint16_t in_u16(struct input *in)
{
	uint8_t b[2];

	in_fill(in, b, sizeof(b));
	return get_le16(b);
}

uint32_t in_u32(struct input *in)
{
	uint8_t b[4];

	in_fill(in, b, sizeof(b));
	return get_le32(b);
}

uint64_t in_u64(struct input *in)
{
	uint8_t b[8];

	in_fill(in, b, sizeof(b));
	return get_le64(b);
}

/* ---- back to the beginning ---- */

static void save(void *mem, void *copy, size_t size)
{
	g_assert_cmpuint(fuzz.count, <, MAX_SAVED);
	fuzz.saved[fuzz.count].mem = mem;
	fuzz.saved[fuzz.count].copy = copy;
	fuzz.saved[fuzz.count++].size = size;
}

void fuzz_snapshot(void *mem, size_t size)
{
	save(mem, g_memdup2(mem, size), size);
}

/* A private mapping of a file: written pages are the process's own, until it gives them up. */
uint8_t *fuzz_scratch(const void *data, size_t size)
{
	int fd = memfd_make_sealed("scratch", data, size);
	uint8_t *mem;

	g_assert_cmpint(fd, >=, 0);
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	g_assert_true(mem != MAP_FAILED);
	close(fd);
	save(mem, NULL, size);
	return mem;
}

void fuzz_restore(void)
{
	for (unsigned i = 0; i < fuzz.count; i++) {
		if (fuzz.saved[i].copy)
			memcpy(fuzz.saved[i].mem, fuzz.saved[i].copy, fuzz.saved[i].size);
		else
			g_assert_cmpint(madvise(fuzz.saved[i].mem, fuzz.saved[i].size,
						MADV_DONTNEED), ==, 0);
	}
}

/* ---- libFuzzer's side ---- */

/* Freed memory is kept from use for a while; no more of it than stays in the cache. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=8";
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fprintf(stderr, "built for fuzzing: no seccomp filter, no namespaces\n");
	signal(SIGPIPE, SIG_IGN);
	log_init(-1, "fuzz");		/* lines are made and lost */
	fuzz_setup();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .at = data, .left = size };

	fuzz_one(&in);
	return 0;
}
