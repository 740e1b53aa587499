/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/completion.h"

#include <string.h>

#include <glib.h>

#include "plan/props.h"
#include "plan/remoteopts.h"

void remote_complete(completion_fn *row, void *opaque)
{
	g_autofree char *names = drivers_names();

	for (const struct option_def *o = remote_options; o->name; o++) {
		struct completion_row r = {
			.word = o->name, .args = o->args, .help = o->help,
			.kind = o->flags & OPTION_OWN ? COMPLETION_OWN : COMPLETION_QEMU,
		};

		if (!strcmp(o->name, "device"))
			r.args = names;
		if (!(o->flags & OPTION_HIDDEN))
			row(opaque, &r);
	}
}
