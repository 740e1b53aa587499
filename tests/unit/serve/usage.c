/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "usage.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../util.h"

static unsigned long status_kb(const char *name)
{
	g_autofree char *text = NULL;
	const char *at;

	g_assert_true(g_file_get_contents("/proc/self/status", &text, NULL, NULL));
	at = strstr(text, name);
	g_assert_nonnull(at);
	return strtoul(at + strlen(name), NULL, 10);
}

struct usage usage_now(void)
{
	struct usage u = { .fds = open_fds() };
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	g_assert_nonnull(maps);
	while (fgets(line, sizeof(line), maps))
		u.maps++;
	fclose(maps);
	u.size = status_kb("\nVmSize:");
	u.anon = status_kb("\nRssAnon:");
	return u;
}

/* Tools that keep what was freed, or have a map of their own of it. */
static bool tool_runs(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
	return true;
#endif
#endif
	return g_getenv("MPQ_WRAPPER") != NULL;
}

void usage_same(const struct usage *before, const char *what, unsigned long count)
{
	struct usage now = usage_now();

	g_test_message("%lu %s: fds %u, %u; mappings %u, %u; VmSize %lu kB, %lu; RssAnon %lu kB, "
		       "%lu", count, what, before->fds, now.fds, before->maps, now.maps,
		       before->size, now.size, before->anon, now.anon);
	g_assert_cmpuint(now.fds, ==, before->fds);
	if (tool_runs())
		return;
	g_assert_cmpuint(now.maps, ==, before->maps);
	g_assert_cmpuint(now.size, ==, before->size);
	/* A page or two may be touched for the first time late; a byte a session would be 97 kB. */
	g_assert_cmpuint(now.anon, <=, before->anon + 32);
}

unsigned long usage_rounds(unsigned long full)
{
	if (g_test_slow())
		return full;
	return g_getenv("MPQ_WRAPPER") ? full / 200 : full / 10;
}
