/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that runs in a storage daemon's place and tries one thing: inmate WHAT [ARGUMENT...].
 * It says on stderr what came of it, and ends; or dies.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static const char *outcome(long ret)
{
	return ret < 0 ? strerrorname_np(errno) : "done";
}

static void try_open(char **arg)
{
	int flags = !strcmp(arg[0], "read") ? O_RDONLY :
		    !strcmp(arg[0], "write") ? O_RDWR : O_RDWR | O_CREAT | O_EXCL;

	fprintf(stderr, "%s", outcome(open(arg[1], flags, 0600)));
}

/* The first name in a folder that is not an argument. */
static void try_list(char **arg)
{
	DIR *dir = opendir(arg[0]);
	struct dirent *entry;

	if (!dir) {
		fprintf(stderr, "%s", strerrorname_np(errno));
		return;
	}
	while ((entry = readdir(dir))) {
		char **at = arg + 1;

		while (*at && strcmp(*at, entry->d_name))
			at++;
		if (entry->d_name[0] == '.' || *at)
			continue;
		fprintf(stderr, "%s", entry->d_name);
		return;
	}
	fprintf(stderr, "no other");
}

static void try_tcp(char **arg)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_port = htons(atoi(arg[0])),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	fprintf(stderr, "%s", outcome(fd < 0 ? fd : connect(fd, (struct sockaddr *)&addr,
							    sizeof(addr))));
}

/* A path, or "@name". */
static void try_unix(char **arg)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + strlen(arg[0]);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(addr.sun_path, arg[0], strlen(arg[0]));
	if (arg[0][0] == '@')
		addr.sun_path[0] = 0;
	else
		len++;
	fprintf(stderr, "%s", outcome(fd < 0 ? fd : connect(fd, (struct sockaddr *)&addr, len)));
}

static void try_resolve(char **arg)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	int ret = getaddrinfo(arg[0], "1", &hints, &list);

	fprintf(stderr, "%s", ret ? gai_strerror(ret) : "done");
	if (!ret)
		freeaddrinfo(list);
}

/* A system call by its number, with numbers as arguments. */
static void try_call(char **arg)
{
	long a[7] = { 0 };

	for (int i = 0; i < 7 && arg[i]; i++)
		a[i] = strtoull(arg[i], NULL, 0);
	fprintf(stderr, "%s", outcome(syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6])));
}

/* The first of the system calls that is there. */
static void try_missing(char **arg)
{
	for (; *arg; arg++)
		if (syscall(atoi(*arg), -1, -1, -1, -1, -1, -1) != -1 || errno != ENOSYS) {
			fprintf(stderr, "call %s: %s", *arg, strerrorname_np(errno));
			return;
		}
	fprintf(stderr, "no other");
}

static void try_foreign(char **arg)
{
#ifdef __x86_64__
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
	fprintf(stderr, "%ld", ret);
#else
	raise(SIGSYS);
#endif
}

static void *thread_main(void *opaque)
{
	*(int *)opaque = 1;
	return NULL;
}

static void try_thread(char **arg)
{
	pthread_t thread;
	int ran = 0;
	int ret = pthread_create(&thread, NULL, thread_main, &ran);

	if (!ret)
		ret = pthread_join(thread, NULL);
	fprintf(stderr, "%s", ret ? strerrorname_np(ret) : ran ? "done" : "did not run");
}

static void try_self(char **arg)
{
	fprintf(stderr, "%s", outcome(syscall(SYS_tgkill, getpid(), gettid(), 0)));
}

/* Code that was data before. */
static void try_code(char **arg)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	fprintf(stderr, "%s", outcome(mprotect(page, 4096, PROT_READ | PROT_EXEC)));
}

static long map_code(int fd, int flags)
{
	return (long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, flags, fd, 0) == -1 ? -1 : 0;
}

/* A file that can be written to, or each fd that is there, mapped as code. */
static void try_map(char **arg)
{
	if (arg[0]) {
		fprintf(stderr, "%s", outcome(map_code(open(arg[0], O_RDWR), MAP_PRIVATE)));
		return;
	}
	for (int fd = 0; fd < 256; fd++)
		if (map_code(fd, MAP_SHARED) == 0 || map_code(fd, MAP_PRIVATE) == 0) {
			fprintf(stderr, "fd %d", fd);
			return;
		}
	fprintf(stderr, "none");
}

/* As a daemon that serves: greets, and stays. */
static void greet(char **arg)
{
	int fd = accept(3, NULL, NULL);

	if (fd < 0 || write(fd, "x", 1) != 1)
		fprintf(stderr, "%s", strerrorname_np(errno));
	else
		poll(NULL, 0, -1);
}

/* More than anybody reads while it runs. */
static void try_talk(char **arg)
{
	static char line[4096];

	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 100; i++)
		if (write(STDERR_FILENO, line, sizeof(line)) < 0 && errno != EAGAIN)
			return;
	greet(arg);
}

static void try_limits(char **arg)
{
	struct rlimit core, fds;

	getrlimit(RLIMIT_CORE, &core);
	getrlimit(RLIMIT_NOFILE, &fds);
	fprintf(stderr, "%lu %lu", core.rlim_max, fds.rlim_max);
}

static void try_rights(char **arg)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	syscall(SYS_capget, &head, data);
	fprintf(stderr, "%x %x", data[0].effective | data[0].permitted,
		data[1].effective | data[1].permitted);
}

static void try_status(char **arg)
{
	fprintf(stderr, "pid %d, preload %s, secret %s, fds", getpid(), getenv("LD_PRELOAD"),
		getenv("INMATE_SECRET"));
	for (int fd = 0; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			fprintf(stderr, " %d", fd);
}

static const struct {
	const char *name;
	void (*fn)(char **arg);
} things[] = {
	{ "open", try_open }, { "list", try_list }, { "tcp", try_tcp }, { "unix", try_unix },
	{ "call", try_call }, { "missing", try_missing }, { "foreign", try_foreign },
	{ "thread", try_thread }, { "self", try_self }, { "code", try_code },
	{ "map", try_map }, { "resolve", try_resolve }, { "talk", try_talk },
	{ "rights", try_rights }, { "limits", try_limits }, { "status", try_status },
	{ "greet", greet },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(things) / sizeof(things[0]); i++)
		if (!strcmp(things[i].name, argv[1])) {
			things[i].fn(argv + 2);
			return 1;
		}
	fprintf(stderr, "no such thing");
	return 1;
}
