/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/orchestrate/control/scrape.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <glib-unix.h>

#include "applets/orchestrate/control/place.h"
#include "applets/orchestrate/control/report.h"
#include "applets/orchestrate/run/priv.h"
#include "base/fd.h"
#include "base/log.h"

struct scrape {
	struct run *run;
	struct place place;
	int fd;			/* listens */
	guint watch;		/* of it, while there is room for a client */
	guint pause;		/* until it is watched again: accept(2) failed */
	GPtrArray *clients;	/* struct client *, owned */
};

struct client {
	struct scrape *scrape;
	int fd;
	guint watch, timer;
	char head[SCRAPE_HEAD_MAX];
	size_t len;		/* of it */
	GString *answer;	/* NULL: the request is not whole */
	size_t sent;		/* of it */
};

static void listen_again(struct scrape *scrape);

static void client_free(void *p)
{
	struct client *client = p;

	if (client->watch)
		g_source_remove(client->watch);
	if (client->timer)
		g_source_remove(client->timer);
	fd_close(&client->fd);
	if (client->answer)
		g_string_free(client->answer, true);
	g_free(client);
}

static void client_drop(struct client *client)
{
	struct scrape *scrape = client->scrape;

	g_ptr_array_remove_fast(scrape->clients, client);
	listen_again(scrape);
}

/* ---- WRITE ---- */

static gboolean writable(int fd, GIOCondition condition, void *opaque)
{
	struct client *client = opaque;
	ssize_t n = send(fd, client->answer->str + client->sent,
			 client->answer->len - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return G_SOURCE_CONTINUE;
	if (n > 0)
		client->sent += n;
	if (n > 0 && client->sent < client->answer->len)
		return G_SOURCE_CONTINUE;
	client->watch = 0;
	client_drop(client);
	return G_SOURCE_REMOVE;
}

/* @more: header fields, each with its end. */
static void answer(struct client *client, const char *status, const char *more, const char *body,
		   bool head_only)
{
	client->answer = g_string_new(NULL);
	g_string_printf(client->answer, "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4\r\n"
			"Content-Length: %zu\r\nConnection: close\r\n%s\r\n%s", status,
			strlen(body), more, head_only ? "" : body);
	client->watch = g_unix_fd_add(client->fd, G_IO_OUT, writable, client);
}

static void refuse(struct client *client, const char *status, const char *more)
{
	g_autofree char *body = g_strdup_printf("%s\n", status);

	answer(client, status, more, body, false);
}

/* ---- READ ---- */

/* RFC 9112, 3.2: a path, or a whole address with one; a query says nothing here. */
static bool is_metrics(const char *target)
{
	if (!g_ascii_strncasecmp(target, "http://", 7))
		target = strchr(target + 7, '/') ?: "";
	return strcspn(target, "?") == strlen("/metrics") && g_str_has_prefix(target, "/metrics");
}

static bool is_version(const char *version)
{
	return g_str_has_prefix(version, "HTTP/1.") && g_ascii_isdigit(version[7]) && !version[8];
}

/* @line: the request line alone. */
static void answer_line(struct client *client, const char *line)
{
	g_auto(GStrv) words = g_strsplit(line, " ", 4);
	bool head = !g_strcmp0(words[0], "HEAD");
	g_autofree char *text = NULL;

	if (g_strv_length(words) != 3 || !*words[0] || !*words[1] || !is_version(words[2])) {
		refuse(client, "400 Bad Request", "");
	} else if (!is_metrics(words[1])) {
		refuse(client, "404 Not Found", "");
	} else if (!head && strcmp(words[0], "GET")) {
		refuse(client, "405 Method Not Allowed", "Allow: GET, HEAD\r\n");
	} else {
		text = report_prometheus(client->scrape->run);
		answer(client, "200 OK", "", text, head);
	}
}

/* The head is whole.  What stands behind its first line changes nothing here. */
static void answer_head(struct client *client)
{
	const char *end = memchr(client->head, '\n', client->len);
	size_t len = end - client->head;
	g_autofree char *line = NULL;

	if (len && end[-1] == '\r')
		len--;
	line = g_strndup(client->head, len);
	/* A NUL would hide the rest of the line. */
	answer_line(client, strlen(line) == len ? line : "");
}

/* RFC 9112, 2.2: an empty line ends it; one that ends with LF alone counts. */
static bool is_whole(const struct client *client)
{
	return memmem(client->head, client->len, "\n\r\n", 3) ||
	       memmem(client->head, client->len, "\n\n", 2);
}

static gboolean readable(int fd, GIOCondition condition, void *opaque)
{
	struct client *client = opaque;
	ssize_t n = recv(fd, client->head + client->len, sizeof(client->head) - client->len,
			 MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return G_SOURCE_CONTINUE;
	if (n > 0)
		client->len += n;
	if (n > 0 && !is_whole(client) && client->len < sizeof(client->head))
		return G_SOURCE_CONTINUE;
	client->watch = 0;
	if (n <= 0)
		client_drop(client);
	else if (is_whole(client))
		answer_head(client);
	else
		refuse(client, "431 Request Header Fields Too Large", "");
	return G_SOURCE_REMOVE;
}

/* ---- Who comes ---- */

static gboolean timed_out(void *opaque)
{
	struct client *client = opaque;

	client->timer = 0;
	client_drop(client);
	return G_SOURCE_REMOVE;
}

static void add_client(struct scrape *scrape, int fd)
{
	struct client *client = g_new0(struct client, 1);

	client->scrape = scrape;
	client->fd = fd;
	client->watch = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, readable, client);
	client->timer = g_timeout_add_seconds(SCRAPE_SECONDS, timed_out, client);
	g_ptr_array_add(scrape->clients, client);
}

static gboolean pause_ended(void *opaque)
{
	struct scrape *scrape = opaque;

	scrape->pause = 0;
	listen_again(scrape);
	return G_SOURCE_REMOVE;
}

static gboolean came(int fd, GIOCondition condition, void *opaque)
{
	struct scrape *scrape = opaque;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	if (client >= 0) {
		add_client(scrape, client);
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		/* There are no fds, say: who waits would wake us up for ever. */
		log_warning("metrics socket: accept: %s", log_errname(errno));
		scrape->pause = g_timeout_add_seconds(1, pause_ended, scrape);
	}
	if (!scrape->pause && scrape->clients->len < SCRAPE_CLIENTS)
		return G_SOURCE_CONTINUE;
	scrape->watch = 0;
	return G_SOURCE_REMOVE;
}

static void listen_again(struct scrape *scrape)
{
	if (!scrape->watch && !scrape->pause)
		scrape->watch = g_unix_fd_add(scrape->fd, G_IO_IN, came, scrape);
}

bool scrape_create(struct run *run, struct scrape **ret, GError **error)
{
	struct scrape *scrape;
	struct place place;
	int fd;

	*ret = NULL;
	if (!run->options->metrics)
		return true;
	fd = place_listen(&place, run->options->metrics, "metrics socket", error);
	if (fd < 0)
		return false;
	/* A client may be gone before it is accepted. */
	g_unix_set_fd_nonblocking(fd, true, NULL);
	scrape = g_new0(struct scrape, 1);
	scrape->run = run;
	scrape->place = place;
	scrape->fd = fd;
	scrape->clients = g_ptr_array_new_with_free_func(client_free);
	listen_again(scrape);
	*ret = scrape;
	return true;
}

void scrape_destroy(struct scrape *scrape)
{
	if (!scrape)
		return;
	g_ptr_array_unref(scrape->clients);
	if (scrape->watch)
		g_source_remove(scrape->watch);
	if (scrape->pause)
		g_source_remove(scrape->pause);
	fd_close(&scrape->fd);
	place_remove(&scrape->place);
	g_free(scrape);
}
