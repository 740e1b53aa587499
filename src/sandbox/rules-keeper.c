/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is left to a keeper once its device process serves: to wait, to copy the log, to pass on
 * signals, and to end.  It parses nothing of the guest's; the table is short all the same.  With a
 * monitor it also opens the images that clients name.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "sandbox/filter.h"

#define CALL(name) SCMP_SYS(name), #name
#define EQ(index, name, value) { index, FILTER_EQ, name, value }
#define BITS(index, name, value) { index, FILTER_BITS, name, value }
#define IN(index, name, set) { index, FILTER_IN, name, FILTER_##set }

#define SEND (MSG_DONTWAIT | MSG_NOSIGNAL)
#define TAKE (MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC)
#define PUNCH (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)
/* Nothing is made. */
#define IMAGE (O_RDWR | O_CLOEXEC | O_NONBLOCK | O_DIRECT)
#define MEMORY (PROT_READ | PROT_WRITE)

static const struct filter_rule rules[] = {
	{ CALL(poll), 0, { { 0 } }, "waits for everything" },
	{ CALL(restart_syscall), 0, { { 0 } }, "goes on waiting after it was stopped" },
	{ CALL(read), 0, { { 0 } }, "signals, the log pipe, events, what storage daemons said" },
	{ CALL(write), 0, { { 0 } }, "the log" },
	{ CALL(recvfrom), 0, { EQ(4, "src_addr", 0) }, "control channel, monitor" },
	{ CALL(sendto), 0, { EQ(4, "dest_addr", 0) }, "control channel, monitor" },
	{ CALL(connect), FILTER_QMP, { IN(0, "sockfd", MONITOR) },
	  "the VM's monitor, which is there after its remotes" },
	{ CALL(accept4), FILTER_LISTEN, { IN(0, "sockfd", LISTENER), EQ(1, "addr", 0),
	  EQ(3, "flags", SOCK_CLOEXEC) }, "a device's next client" },
	{ CALL(sendmsg), FILTER_LISTEN | FILTER_RECOVER,
	  { IN(0, "sockfd", CONTROL), EQ(2, "flags", SEND) },
	  "hands a client to the device process, or what its predecessor had" },
	{ CALL(recvmsg), FILTER_RECOVER, { EQ(2, "flags", TAKE) },
	  "what a successor will need, and its channel" },
	{ CALL(dup3), FILTER_RECOVER, { IN(1, "newfd", CONTROL), EQ(2, "flags", O_CLOEXEC) },
	  "a successor's channel takes the number of the last one" },
	{ CALL(accept4), FILTER_MONITOR_CLIENTS, { EQ(1, "addr", 0),
	  EQ(3, "flags", SOCK_CLOEXEC) }, "a client of the monitor" },
	{ CALL(sendmsg), FILTER_MONITOR_CLIENTS, { IN(0, "sockfd", MANAGE),
	  EQ(2, "flags", SEND) }, "hands an image to the device process" },
	{ CALL(recvmsg), FILTER_MONITOR_CLIENTS, { IN(0, "sockfd", MANAGE),
	  EQ(2, "flags", TAKE) }, "what the device process answers" },
	{ CALL(openat), FILTER_MONITOR_CLIENTS, { BITS(2, "flags", IMAGE) },
	  "an image that a client names" },
	{ CALL(fstat), FILTER_MONITOR_CLIENTS, { { 0 } }, "an image's size on the host" },
	{ CALL(newfstatat), FILTER_MONITOR_CLIENTS, { EQ(3, "flags", AT_EMPTY_PATH) },
	  "an image: what it is" },
	{ CALL(statx), FILTER_MONITOR_CLIENTS, { EQ(2, "flags", AT_EMPTY_PATH) },
	  "an image: what O_DIRECT takes" },
	{ CALL(fcntl), FILTER_MONITOR_CLIENTS, { EQ(1, "op", F_GETFL) }, "an image: its flags" },
	{ CALL(fcntl), FILTER_MONITOR_CLIENTS, { EQ(1, "op", F_SETFL) }, "an image: its flags" },
	{ CALL(fcntl), FILTER_MONITOR_CLIENTS, { EQ(1, "op", F_OFD_SETLK) }, "an image: locks" },
	{ CALL(fcntl), FILTER_MONITOR_CLIENTS, { EQ(1, "op", F_OFD_GETLK) }, "an image: locks" },
	{ CALL(fcntl), FILTER_MONITOR_CLIENTS, { EQ(1, "op", F_DUPFD_CLOEXEC) },
	  "an image of -add-fd" },
	{ CALL(pread64), FILTER_MONITOR_CLIENTS, { { 0 } }, "an image: its format" },
	{ CALL(ioctl), FILTER_MONITOR_CLIENTS, { EQ(1, "op", BLKGETSIZE64) }, "a block device" },
	{ CALL(ioctl), FILTER_MONITOR_CLIENTS, { EQ(1, "op", BLKSSZGET) }, "a block device" },
	{ CALL(fallocate), FILTER_MONITOR_CLIENTS, { EQ(1, "mode", PUNCH) },
	  "an image: can it have holes?" },
	{ CALL(ftruncate), FILTER_MONITOR_CLIENTS, { { 0 } }, "an image: block_resize" },
	{ CALL(mremap), FILTER_MONITOR_CLIENTS, { { 0 } }, "memory: a client's lines" },
	{ CALL(wait4), 0, { { 0 } }, "the device process's end" },
	{ CALL(pidfd_send_signal), 0, { IN(0, "pidfd", CHILD), EQ(1, "sig", SIGKILL),
	  EQ(2, "info", 0), EQ(3, "flags", 0) }, "a child that does not end" },
	{ CALL(pidfd_send_signal), FILTER_DAEMON, { IN(0, "pidfd", CHILD), EQ(1, "sig", SIGTERM),
	  EQ(2, "info", 0), EQ(3, "flags", 0) }, "storage daemons" },
	{ CALL(openat), 0, { EQ(2, "flags", O_RDONLY | O_CLOEXEC) },
	  "who sent a signal: its name" },
	{ CALL(close), 0, { { 0 } }, "the end" },
	{ CALL(newfstatat), FILTER_SOCKET_PATH, { EQ(3, "flags", AT_SYMLINK_NOFOLLOW) },
	  "is a socket's path still ours?" },
	{ CALL(unlink), FILTER_PIDFILE | FILTER_SOCKET_PATH, { { 0 } },
	  "the pid file, sockets' paths" },
	{ CALL(clock_gettime), 0, { { 0 } }, "time, where the kernel offers none without a call" },
	{ CALL(futex), 0, { { 0 } }, "glib" },
	{ CALL(brk), 0, { { 0 } }, "memory: a monitor's lines, a daemon's words" },
	{ CALL(mmap), 0, { BITS(2, "prot", MEMORY) },
	  "memory: a monitor's lines, a daemon's words" },
	{ CALL(munmap), 0, { { 0 } }, "memory: a monitor's lines, a daemon's words" },
	{ CALL(exit_group), 0, { { 0 } }, "the end" },
};

const struct filter_table filter_keeper = { rules, sizeof(rules) / sizeof(rules[0]) };
