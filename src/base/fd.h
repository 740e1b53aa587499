/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_FD_H
#define BASE_FD_H

/* File descriptors with one owner each. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* Closes *fd if it is >= 0, sets it to -1, keeps errno. */
void fd_close(int *fd);

/* Hands the fd over: returns *fd and leaves -1 behind. */
static inline int fd_steal(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

/* A local fd that is closed when it goes out of scope. */
#define autofd __attribute__((cleanup(fd_close))) int

/* Sets or clears FD_CLOEXEC.  Returns 0 or -errno. */
int fd_set_cloexec(int fd, bool on);

/* Is the number an open file of this process? */
bool fd_is_open(int fd);

/*
 * fstat() by the system call of that name, which takes nothing but an fd: libc's own may be
 * newfstatat, which a filter cannot tell from a look at a path.  Returns 0 or -errno.
 */
int fd_stat(int fd, struct stat *ret_st);

/* Is it an eventfd, or one of its like: an anonymous inode, of no file type at all? */
bool fd_is_event(int fd);

/*
 * Closes every fd from @first on, whatever opened it.  Returns 0 or -errno.
 */
int fd_close_from(int first);

/*
 * Moves @*fd to the number @slot (CLOEXEC), replacing what stood there.  On success *fd is
 * @slot; on failure it is untouched.  Returns 0 or -errno.
 */
int fd_move(int *fd, int slot);

/*
 * Writes all @len bytes, going on after short writes and EINTR.  For pipes and files that may
 * block.  Returns 0 or -errno.
 */
int fd_write_all(int fd, const void *buf, size_t len);

/* Reads exactly @len bytes.  Returns 0, -ENODATA when the file ends early, or -errno. */
int fd_read_all(int fd, void *buf, size_t len);

#endif
