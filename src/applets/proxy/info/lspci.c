/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/proxy/info/info.h"

#include <inttypes.h>
#include <stdio.h>

#define ROW 16u		/* bytes a line */

static int print_row(struct session *session, uint32_t at)
{
	uint64_t dword[ROW / 4];

	for (unsigned i = 0; i < ROW / 4; i++) {
		int ret = client_cfg_read(&session->client, at + 4 * i, 4, &dword[i]);

		if (ret)
			return ret;
	}
	printf("%02" PRIx32 ":", at);
	for (unsigned i = 0; i < ROW; i++)
		printf(" %02x", (unsigned)(dword[i / 4] >> (8 * (i % 4)) & 0xff));
	printf("\n");
	return 0;
}

int info_lspci(struct session *session, const struct facts *f, unsigned slot)
{
	printf("%02x:00.0 %s: %s (rev %02x)\n", slot, facts_class_name(f), session_name(session),
	       f->revision);
	for (uint32_t at = 0; at < f->config; at += ROW) {
		int ret = print_row(session, at);

		if (ret)
			return ret;
	}
	printf("\n");
	return 0;
}
