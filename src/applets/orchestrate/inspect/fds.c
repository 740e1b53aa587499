/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each open fd of a process by what it is.  A copy is taken of memfds and sockets alone
 * (pidfd_getfd), to ask for their seals and addresses: nothing is opened, read or changed.
 */
#include "applets/orchestrate/inspect/look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "control/launch.h"

/* What is said of single fds; a hostile process can have a million. */
#define DETAILS_MAX 256

struct file {
	int number;
	const char *link;	/* what /proc calls it */
	mode_t mode;
	dev_t device;		/* of a device */
	int flags;		/* O_ACCMODE of it, or -1 */
	int copy;		/* ours, of a memfd or a socket; or -1 */
};

struct class {
	const char *name;
	const char *link;	/* how its link begins; NULL: by @mode */
	mode_t mode;
	unsigned roles;		/* FOR_*: of such a process nothing to find in it; 0: of none */
	/* What it is in particular, in @said; NULL: nothing.  False: this one is a finding. */
	bool (*tell)(const struct subject *s, const struct file *file, GString *said);
	unsigned major, minor;	/* 0: any device */
};

/* ---- Particulars ---- */

static bool tell_memfd(const struct subject *s, const struct file *file, GString *said)
{
	static const struct {
		int seal;
		const char *name;
	} seals[] = {
		{ F_SEAL_WRITE, "write" }, { F_SEAL_SHRINK, "shrink" }, { F_SEAL_GROW, "grow" },
		{ F_SEAL_SEAL, "seal" },
	};
	int have = file->copy < 0 ? -1 : fcntl(file->copy, F_GET_SEALS);
	const char *word = "";

	g_string_append_len(said, file->link + strlen("/memfd:"),
			    strcspn(file->link + strlen("/memfd:"), " "));
	if (have < 0) {
		g_string_append(said, ", seals not seen");
		/* A file of such a name has none. */
		return file->copy < 0;
	}
	g_string_append(said, have ? ", sealed: " : ", not sealed");
	for (size_t i = 0; i < G_N_ELEMENTS(seals); i++)
		if (have & seals[i].seal) {
			g_string_append_printf(said, "%s%s", word, seals[i].name);
			word = "+";
		}
	return true;
}

static int socket_option(int fd, int option)
{
	socklen_t len = sizeof(int);
	int value = -1;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

/* Unnamed on both sides, connected: made by socketpair(). */
static bool is_pair(int fd)
{
	struct sockaddr_un own, other;
	socklen_t own_len = sizeof(own), other_len = sizeof(other);

	return !getsockname(fd, (struct sockaddr *)&own, &own_len) &&
	       !getpeername(fd, (struct sockaddr *)&other, &other_len) &&
	       own_len == sizeof(sa_family_t) && other_len == sizeof(sa_family_t);
}

/* A disk behind a server of the network is at the number of an image. */
static bool is_image_slot(int number)
{
	return (number >= LAUNCH_SLOT_IMAGE && number < LAUNCH_SLOT_IMAGE + LAUNCH_IMAGES) ||
	       (number >= LAUNCH_SLOT_NBD && number < LAUNCH_SLOT_NBD + LAUNCH_IMAGES);
}

static bool tell_socket(const struct subject *s, const struct file *file, GString *said)
{
	int domain, listens;

	if (file->copy < 0) {
		g_string_append(said, "kind not seen");
		return true;
	}
	domain = socket_option(file->copy, SO_DOMAIN);
	listens = socket_option(file->copy, SO_ACCEPTCONN);
	if (domain == AF_UNIX)
		g_string_append(said, listens > 0 ? "UNIX, listens" : is_pair(file->copy) ?
				"socketpair" : "UNIX, has a path");
	else
		g_string_append_printf(said, "%s%s", domain == AF_INET || domain == AF_INET6 ?
				       "network" : "no UNIX socket", listens > 0 ? ", listens" :
				       "");
	if (s->role == SUBJECT_STORAGE)
		return true;
	return listens <= 0 && (domain == AF_UNIX ||
				(s->role == SUBJECT_DEVICE && is_image_slot(file->number)));
}

static bool tell_image(const struct subject *s, const struct file *file, GString *said)
{
	static const char *const modes[] = {
		[O_RDONLY] = "read-only", [O_WRONLY] = "write-only", [O_RDWR] = "read-write",
	};

	g_string_append_printf(said, "%.200s, %s", file->link, file->flags < 0 ||
			       file->flags > O_RDWR ? "mode not seen" : modes[file->flags]);
	/* An image of a device process stands where the launch contract puts it. */
	return s->role != SUBJECT_DEVICE || is_image_slot(file->number);
}

static bool tell_link(const struct subject *s, const struct file *file, GString *said)
{
	g_string_append_printf(said, "%.200s", file->link);
	return true;
}

/* ---- Classes ---- */

/* The first that fits.  By its number: opened before a root was left, it has another path. */
static const struct class classes[] = {
	{ "/dev/null", NULL, S_IFCHR, FOR_ALL, NULL, 1, 3 },
	{ "memfd", "/memfd:", 0, FOR_ALL, tell_memfd },
	{ "socket", "socket:", 0, FOR_ALL, tell_socket },
	{ "pipe", "pipe:", 0, FOR_ALL, NULL },
	{ "eventfd", "anon_inode:[eventfd]", 0, FOR_ALL, NULL },
	{ "epoll", "anon_inode:[eventpoll]", 0, FOR_ALL, NULL },
	{ "signalfd", "anon_inode:[signalfd]", 0, FOR_STORAGE, NULL },
	{ "timerfd", "anon_inode:[timerfd]", 0, FOR_STORAGE, NULL },
	{ "other kernel object", "anon_inode:", 0, 0, tell_link },
	{ "image", NULL, S_IFREG, FOR_DEVICE | FOR_STORAGE, tell_image },
	{ "image", NULL, S_IFBLK, FOR_DEVICE | FOR_STORAGE, tell_image },
	{ "file", NULL, S_IFREG, 0, tell_image },
	{ "block device", NULL, S_IFBLK, 0, tell_image },
	{ "directory", NULL, S_IFDIR, 0, tell_link },
	{ "character device", NULL, S_IFCHR, 0, tell_link },
	{ "other", "", 0, 0, tell_link },
};

static bool is_of(const struct class *c, const struct subject *s, const struct file *file)
{
	if (c->roles && !(c->roles >> s->role & 1))
		return false;
	if (c->link)
		return !strncmp(file->link, c->link, strlen(c->link));
	if (c->major && (major(file->device) != c->major || minor(file->device) != c->minor))
		return false;
	return file->link[0] == '/' && (file->mode & S_IFMT) == c->mode;
}

static const struct class *class_of(const struct subject *s, const struct file *file)
{
	const struct class *c = classes;

	while (!is_of(c, s, file))
		c++;
	return c;
}

static int access_of(const struct subject *s, const char *number)
{
	g_autofree char *name = g_strconcat("fdinfo/", number, NULL);
	g_autofree char *text = subject_read(s, name);
	g_autofree char *flags = text ? status_field(text, "flags") : NULL;

	return flags ? (int)(strtol(flags, NULL, 8) & O_ACCMODE) : -1;
}

static int copy_of(const struct subject *s, const struct file *file)
{
	if (s->pidfd < 0 || (!g_str_has_prefix(file->link, "/memfd:") &&
			     !g_str_has_prefix(file->link, "socket:")))
		return -1;
	return syscall(SYS_pidfd_getfd, s->pidfd, file->number, 0);
}

/* What one fd is, as "7 memfd: ..."; *ret_class its class.  NULL: it is closed by now. */
static char *tell(const struct subject *s, const char *number, const struct class **ret_class,
		  bool *ret_good)
{
	g_autofree char *name = g_strconcat("fd/", number, NULL);
	g_autofree char *link = subject_link(s, name);
	g_autofree char *clean = link ? clean_text(link) : NULL;
	g_autoptr(GString) said = g_string_new(NULL);
	struct file file = { .number = atoi(number), .link = clean, .copy = -1 };
	autofd copy = -1;
	struct stat st;

	if (!link)
		return NULL;
	if (!fstatat(s->dir, name, &st, 0)) {
		file.mode = st.st_mode;
		file.device = st.st_rdev;
	}
	file.flags = access_of(s, number);
	copy = file.copy = copy_of(s, &file);
	*ret_class = class_of(s, &file);
	g_string_append_printf(said, "%d %s", file.number, (*ret_class)->name);
	if ((*ret_class)->tell)
		g_string_append(said, ": ");
	*ret_good = (!(*ret_class)->tell || (*ret_class)->tell(s, &file, said)) &&
		    (*ret_class)->roles;
	if (!*ret_good)
		g_string_append(said, " (not expected)");
	return g_string_free(g_steal_pointer(&said), false);
}

/* ---- All ---- */

struct tally {
	unsigned open, bad;
	unsigned of[G_N_ELEMENTS(classes)];
};

static void add_fd(const struct subject *s, const char *number, struct tally *t,
		   struct finding *f)
{
	const struct class *class;
	bool good;
	g_autofree char *text = tell(s, number, &class, &good);

	if (!text)
		return;
	t->open++;
	t->bad += !good;
	t->of[class - classes]++;
	/* Those that say nothing are counted alone. */
	if (class != classes && f->details->len < DETAILS_MAX)
		g_ptr_array_add(f->details, g_steal_pointer(&text));
}

static void sum_up(const struct tally *t, struct finding *f)
{
	const char *word = ": ";

	finding_set(f, t->bad ? FINDING_WORST : 0, "%u", t->open);
	for (size_t i = 0; i < G_N_ELEMENTS(classes); i++) {
		if (!t->of[i])
			continue;
		g_string_append_printf(f->said, "%s%u %s", word, t->of[i], classes[i].name);
		word = ", ";
	}
	if (t->bad)
		g_string_append_printf(f->said, "; %u not expected", t->bad);
}

void look_fds(const struct subject *s, const struct inspect_row *row, struct finding *f)
{
	DIR *dir = subject_dir(s, "fd");
	struct tally t = { 0 };
	struct dirent *entry;

	if (!dir) {
		finding_unseen(f, errno);
		return;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			add_fd(s, entry->d_name, &t, f);
	closedir(dir);
	sum_up(&t, f);
}
