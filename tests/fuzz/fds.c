/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fds.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/util.h"
#include "mem/memfd.h"

void fds_make(int *fd)
{
	static const char rom[PAGE] = "rom";
	int p[2];

	fd[EVENT] = must(eventfd(0, EFD_CLOEXEC));
	fd[RAM] = must(memfd_make("ram", RAM_PAGES * PAGE));
	fd[RAM2] = must(memfd_make("ram", RAM2_PAGES * PAGE));
	fd[FROZEN] = must(memfd_make_sealed("rom", rom, PAGE));
	fd[FRAGILE] = must(memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	must(ftruncate(fd[FRAGILE], FRAGILE_PAGES * PAGE));
	must(fcntl(fd[FRAGILE], F_ADD_SEALS, F_SEAL_SEAL));
	must(pipe2(p, O_CLOEXEC));
	fd[PIPE] = p[0];
	must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, p));
	fd[SOCKET] = p[0];
	fd[FOLDER] = must(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	fd[NULLDEV] = must(open("/dev/null", O_RDWR | O_CLOEXEC));
}

static void clear(int fd, unsigned pages)
{
	must(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, pages * PAGE));
}

void fds_restore(const int *fd)
{
	clear(fd[RAM], RAM_PAGES);
	clear(fd[RAM2], RAM2_PAGES);
	fds_truncate(fd, 0);
	fds_truncate(fd, FRAGILE_PAGES);
}

void fds_truncate(const int *fd, unsigned pages)
{
	must(ftruncate(fd[FRAGILE], pages * PAGE));
}
