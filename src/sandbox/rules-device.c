/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a device process may call once it serves its peers.  The rows stand in the order of how
 * often they are used.  Deliberately absent: everything that takes a path, makes an fd, a process
 * or a thread, maps outside guest memory, changes a protection, or sends an fd.
 *
 * Behind them the rows for a set-up that speaks to NBD servers already.  Who takes libnbd over
 * then never goes on to the last filter: so these have no path, process, thread, protection or new
 * file either.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/filter.h"

#define CALL(name) SCMP_SYS(name), #name
#define EQ(index, name, value) { index, FILTER_EQ, name, value }
#define BITS(index, name, value) { index, FILTER_BITS, name, value }
#define IN(index, name, set) { index, FILTER_IN, name, FILTER_##set }
#define FD(set) IN(0, "fd", set)

#define PEEK (MSG_PEEK | MSG_DONTWAIT)
#define TAKE (MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
#define SEND (MSG_DONTWAIT | MSG_NOSIGNAL)
#define TAKE_PACKET (MSG_DONTWAIT | MSG_TRUNC)
#define SHARED (MAP_SHARED | MAP_FIXED | MAP_NORESERVE)
#define HIDDEN (MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE)
#define PUNCH (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)
/* Without KEEP_SIZE: so RLIMIT_FSIZE holds for what it allocates. */
#define ZERO FALLOC_FL_ZERO_RANGE

static const struct filter_rule rules[] = {
	{ CALL(recvfrom), 0, { FD(PEER), EQ(3, "flags", PEEK), EQ(4, "src_addr", 0) },
	  "protocol: look at the next message" },
	{ CALL(sendto), 0, { FD(PEER), EQ(3, "flags", SEND), EQ(4, "dest_addr", 0) },
	  "protocol: replies" },
	{ CALL(recvmsg), 0, { FD(PEER), EQ(2, "flags", TAKE) },
	  "protocol: take a message and its fds" },
	{ CALL(setsockopt), 0, { FD(PEER), EQ(1, "level", SOL_SOCKET),
				 EQ(2, "optname", SO_PEEK_OFF) },
	  "protocol: look beyond the first piece of a message" },
	{ CALL(epoll_wait), 0, { FD(EPOLL) }, "event loop" },
	{ CALL(epoll_ctl), 0, { FD(EPOLL) }, "event loop" },
	{ CALL(futex), 0, { EQ(1, "op", FUTEX_WAIT | FUTEX_PRIVATE_FLAG) }, "block pool: locks" },
	{ CALL(futex), 0, { EQ(1, "op", FUTEX_WAKE | FUTEX_PRIVATE_FLAG) }, "block pool: locks" },
	{ CALL(futex), 0, { EQ(1, "op", FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG |
			       FUTEX_CLOCK_REALTIME) }, "block pool: waiting for work" },
	{ CALL(read), 0, { FD(POOL), EQ(2, "count", 8) }, "block pool: ends of requests" },
	{ CALL(write), 0, { FD(POOL), EQ(2, "count", 8) }, "block pool: ends of requests" },
	{ CALL(write), 0, { FD(RECEIVED), EQ(2, "count", 8) }, "interrupts: irqfd" },
	{ CALL(write), 0, { FD(LOG) }, "log" },
	{ CALL(poll), 0, { EQ(1, "nfds", 1), EQ(2, "timeout", 0) },
	  "log, irqfd, end of a stream: would it wait?" },
	{ CALL(preadv2), 0, { FD(RECEIVED), EQ(5, "flags", RWF_NOWAIT) },
	  "interrupts: resamplefd" },
	{ CALL(preadv2), FILTER_RAW, { FD(IMAGE), EQ(5, "flags", RWF_NOWAIT) },
	  "raw images: reads of what is cached" },
	{ CALL(pread64), FILTER_RAW, { FD(IMAGE) }, "raw images: reads" },
	{ CALL(pwrite64), FILTER_RAW, { FD(IMAGE) }, "raw images: writes" },
	{ CALL(pwritev2), FILTER_RAW, { FD(IMAGE), EQ(5, "flags", RWF_DSYNC) },
	  "raw images: FUA writes" },
	{ CALL(fdatasync), FILTER_RAW, { FD(IMAGE) }, "raw images: flushes" },
	{ CALL(fallocate), FILTER_RAW, { FD(IMAGE), EQ(1, "mode", PUNCH) },
	  "raw images: UNMAP, zeroes" },
	{ CALL(fallocate), FILTER_RAW, { FD(IMAGE), EQ(1, "mode", ZERO) }, "raw images: zeroes" },
	{ CALL(lseek), FILTER_RAW, { FD(IMAGE), EQ(2, "whence", SEEK_DATA) },
	  "raw images: GET LBA STATUS" },
	{ CALL(lseek), FILTER_RAW, { FD(IMAGE), EQ(2, "whence", SEEK_HOLE) },
	  "raw images: GET LBA STATUS" },
	{ CALL(ioctl), FILTER_DEVICE, { FD(IMAGE), EQ(1, "op", BLKDISCARD) },
	  "block devices: UNMAP" },
	{ CALL(recvfrom), FILTER_NBD, { FD(NBD_SOCKET), EQ(3, "flags", 0),
					EQ(4, "src_addr", 0) }, "NBD: answers" },
	{ CALL(sendto), FILTER_NBD, { FD(NBD_SOCKET), BITS(3, "flags", MSG_NOSIGNAL | MSG_MORE),
				      EQ(4, "dest_addr", 0) }, "NBD: requests" },
	{ CALL(close), FILTER_NBD, { FD(NBD_SOCKET) }, "NBD: a server that is gone" },
	{ CALL(mmap), 0, { IN(0, "addr", ARENA), { 1, FILTER_LENGTH, "length", 0 },
			   BITS(2, "prot", PROT_READ | PROT_WRITE), EQ(3, "flags", SHARED),
			   IN(4, "fd", RECEIVED) }, "guest memory: SYNC_SYSMEM, DMA_MAP" },
	{ CALL(mmap), 0, { IN(0, "addr", ARENA), { 1, FILTER_LENGTH, "length", 0 },
			   BITS(2, "prot", PROT_READ | PROT_WRITE), EQ(3, "flags", HIDDEN) },
	  "guest memory: what is taken away, or was truncated" },
	{ CALL(fstat), 0, { FD(RECEIVED) }, "received fds: type and size" },
	{ CALL(fcntl), 0, { FD(RECEIVED), EQ(1, "op", F_GET_SEALS) }, "received fds: seals" },
	{ CALL(fcntl), 0, { FD(RECEIVED), EQ(1, "op", F_ADD_SEALS), EQ(2, "arg", F_SEAL_SHRINK) },
	  "received fds: guest RAM must not shrink" },
	{ CALL(close), 0, { FD(RECEIVED) }, "received fds" },
	{ CALL(shutdown), 0, { FD(PEER), EQ(1, "how", SHUT_RDWR) }, "protocol: end of a session" },
	{ CALL(recvfrom), 0, { FD(PEER), EQ(3, "flags", MSG_DONTWAIT), EQ(4, "src_addr", 0) },
	  "protocol: drop what a closed session has left" },
	{ CALL(recvfrom), 0, { FD(CONTROL), EQ(3, "flags", TAKE_PACKET), EQ(4, "src_addr", 0) },
	  "keeper's channel" },
	{ CALL(sendto), 0, { FD(CONTROL), EQ(3, "flags", SEND), EQ(4, "dest_addr", 0) },
	  "keeper's channel" },
	{ CALL(recvmsg), FILTER_LISTEN | FILTER_MANAGED | FILTER_RECOVER,
	  { FD(CONTROL), EQ(2, "flags", TAKE | MSG_TRUNC) },
	  "keeper's channel: the next client, a medium, fds that a predecessor had" },
	{ CALL(sendfile), FILTER_RECOVER, { IN(0, "out_fd", PEER), IN(1, "in_fd", JOURNAL),
					    EQ(2, "offset", 0) }, "recovery: replies" },
	{ CALL(lseek), FILTER_RECOVER, { FD(JOURNAL), EQ(2, "whence", SEEK_SET) },
	  "recovery: replies begin anew in their ring" },
	{ CALL(lseek), FILTER_RECOVER, { FD(JOURNAL), EQ(2, "whence", SEEK_CUR) },
	  "recovery: has the last reply gone out?" },
	{ CALL(getsockopt), FILTER_RECOVER, { FD(PEER), EQ(1, "level", SOL_SOCKET),
					      EQ(2, "optname", SO_PEEK_OFF) },
	  "recovery: how far is the last message taken?" },
	{ CALL(recvmsg), FILTER_RECOVER, { FD(PEER), EQ(2, "flags", TAKE | MSG_PEEK) },
	  "recovery: fds of a message that stays until they are kept" },
	{ CALL(sendmsg), FILTER_RECOVER, { FD(CONTROL), EQ(2, "flags", SEND) },
	  "recovery: fds that the keeper keeps" },
	{ CALL(dup3), FILTER_LISTEN, { IN(0, "oldfd", RECEIVED), IN(1, "newfd", PEER),
				       EQ(2, "flags", O_CLOEXEC) },
	  "the next client takes the peer's number" },
	{ CALL(dup3), FILTER_MANAGED, { IN(0, "oldfd", RECEIVED), IN(1, "newfd", IMAGE),
					EQ(2, "flags", O_CLOEXEC) },
	  "a medium takes its disk's number" },
	{ CALL(dup3), FILTER_MANAGED, { EQ(0, "oldfd", STDIN_FILENO), IN(1, "newfd", IMAGE),
					EQ(2, "flags", O_CLOEXEC) },
	  "/dev/null takes that of a medium that goes" },
	{ CALL(clock_gettime), 0, { BITS(0, "clockid", CLOCK_MONOTONIC | CLOCK_REALTIME) },
	  "time, where the kernel offers none without a call" },
	{ CALL(rt_sigreturn), 0, { { 0 } }, "return from the SIGBUS handler" },
	{ CALL(exit_group), 0, { { 0 } }, "the end" },
	/*
	 * Set-up with NBD: the handshakes, and what comes after them.  Threads, the event loop and
	 * raw images are there before.
	 */
	{ CALL(dup3), FILTER_SETUP, { IN(0, "oldfd", IMAGE), IN(1, "newfd", NBD_SOCKET),
				      EQ(2, "flags", O_CLOEXEC) }, "set-up: libnbd's socket" },
	{ CALL(fcntl), FILTER_SETUP, { FD(NBD_SOCKET), EQ(1, "op", F_GETFL) }, "set-up: NBD" },
	{ CALL(fcntl), FILTER_SETUP, { FD(NBD_SOCKET), EQ(1, "op", F_SETFL),
				       EQ(2, "arg", O_RDWR | O_NONBLOCK) }, "set-up: NBD" },
	{ CALL(fcntl), FILTER_SETUP, { FD(NBD_SOCKET), EQ(1, "op", F_GETFD) }, "set-up: NBD" },
	{ CALL(fcntl), FILTER_SETUP, { FD(NBD_SOCKET), EQ(1, "op", F_SETFD),
				       EQ(2, "arg", FD_CLOEXEC) }, "set-up: NBD" },
	{ CALL(poll), FILTER_SETUP, { EQ(1, "nfds", 1) }, "set-up: NBD, waiting for the server" },
	{ CALL(restart_syscall), FILTER_SETUP, { { 0 } },
	  "set-up: goes on waiting after it was stopped" },
	{ CALL(brk), FILTER_SETUP, { { 0 } }, "set-up: memory" },
	{ CALL(mmap), FILTER_SETUP, { EQ(0, "addr", 0), BITS(2, "prot", PROT_READ | PROT_WRITE),
				      EQ(3, "flags", MAP_PRIVATE | MAP_ANONYMOUS) },
	  "set-up: memory, where the heap has no room" },
	{ CALL(munmap), FILTER_SETUP, { { 0 } }, "set-up: memory" },
	{ CALL(pread64), FILTER_SETUP, { FD(RECEIVED) }, "set-up: /proc/self/statm" },
	{ CALL(prlimit64), FILTER_SETUP, { EQ(0, "pid", 0) }, "set-up: limits" },
	{ CALL(rt_sigaction), FILTER_SETUP, { EQ(0, "signum", SIGXFSZ) }, "set-up: limits" },
	{ CALL(rt_sigaction), FILTER_SETUP, { EQ(0, "signum", SIGSYS) }, "set-up: last filter" },
	{ CALL(rt_sigprocmask), FILTER_SETUP, { EQ(0, "how", SIG_UNBLOCK) },
	  "set-up: last filter" },
	{ CALL(seccomp), FILTER_SETUP, { { 0 } }, "set-up: last filter" },
};

const struct filter_table filter_device = { rules, sizeof(rules) / sizeof(rules[0]) };
