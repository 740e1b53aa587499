/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs in the guest: direct I/O from and to buffers of which every page stands above 4 GiB of
 * guest-physical memory, so that the controller's DMA must go there.
 *
 *	highmem DEVICE		write, read back and compare 16 MiB at the device's start
 *	highmem -c FILE		only check where the pages of a tmpfs file stand
 *
 * Both print the lowest physical address, and fail when it is below 4 GiB.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOTAL	(16u << 20)
#define CHUNK	(256u << 10)	/* several scatter/gather entries a command */
#define PAGE	4096u

static int fail(const char *what)
{
	fprintf(stderr, "highmem: %s: %s\n", what, strerror(errno));
	return -1;
}

/* Physical address of the page at @addr, which must be present. 0 when it is not known. */
static uint64_t physical(int pagemap, const void *addr)
{
	uint64_t entry;
	off_t at = (off_t)((uintptr_t)addr / PAGE * sizeof(entry));

	if (pread(pagemap, &entry, sizeof(entry), at) != sizeof(entry))
		return 0;
	if (!(entry >> 63))	/* Documentation/admin-guide/mm/pagemap.rst: bit 63, present */
		return 0;
	return (entry & ((1ULL << 55) - 1)) * PAGE;
}

static int check_high(const char *what, const uint8_t *buf, size_t size)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t lowest = UINT64_MAX;

	if (pagemap < 0)
		return fail("pagemap");
	for (size_t at = 0; at < size; at += PAGE) {
		uint64_t where = physical(pagemap, buf + at);

		if (where < lowest)
			lowest = where;
	}
	close(pagemap);
	printf("%s: %zu pages, lowest 0x%llx\n", what, size / PAGE, (unsigned long long)lowest);
	return lowest >= 1ULL << 32 ? 0 : -1;
}

static uint8_t *buffer(const char *what)
{
	uint8_t *buf = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);

	if (buf == MAP_FAILED) {
		fail("mmap");
		return NULL;
	}
	return check_high(what, buf, TOTAL) ? NULL : buf;
}

static int transfer(int fd, uint8_t *buf, int writing)
{
	for (off_t at = 0; at < TOTAL; at += CHUNK) {
		ssize_t done = writing ? pwrite(fd, buf + at, CHUNK, at)
				       : pread(fd, buf + at, CHUNK, at);

		if (done != CHUNK)
			return fail(writing ? "write" : "read");
	}
	return 0;
}

static int device(const char *path)
{
	uint8_t *out = buffer("write buffer"), *in = buffer("read buffer");
	int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	uint64_t word = 88172645463325252ULL;

	if (!out || !in)
		return -1;
	if (fd < 0)
		return fail(path);
	for (size_t at = 0; at < TOTAL; at += sizeof(word)) {
		word ^= word << 13, word ^= word >> 7, word ^= word << 17;	/* xorshift64 */
		memcpy(out + at, &word, sizeof(word));
	}
	if (transfer(fd, out, 1) || fsync(fd) || transfer(fd, in, 0))
		return -1;
	close(fd);
	if (memcmp(out, in, TOTAL)) {
		fprintf(stderr, "highmem: read back differs\n");
		return -1;
	}
	return check_high("write buffer", out, TOTAL) || check_high("read buffer", in, TOTAL);
}

static int tmpfs_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	uint8_t *map;

	if (fd < 0 || fstat(fd, &st))
		return fail(path);
	map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		   fd, 0);
	if (map == MAP_FAILED)
		return fail("mmap");
	close(fd);
	return check_high(path, map, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "-c"))
		return tmpfs_file(argv[2]) ? 1 : 0;
	if (argc == 2)
		return device(argv[1]) ? 1 : 0;
	fprintf(stderr, "usage: highmem DEVICE | highmem -c FILE\n");
	return 2;
}
