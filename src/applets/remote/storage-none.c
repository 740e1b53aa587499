/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In place of storage.c and its parts, in a program without libnbd: every disk is refused. */
#include "applets/remote/storage.h"

#include "base/error.h"

static bool refuse(const struct plan_image *image, GError **error)
{
	return mpq_fail(error, MPQ_ERROR_REFUSED, "%s: needs a storage daemon or NBD: this mpqemu "
			"was built without libnbd, it serves raw images only", image->where);
}

bool storage_open(const struct remote_plan *plan, struct plan_image *image, struct spec_image *spec,
		  int *ret_fd, int *ret_place, struct storage **ret_storage, GError **error)
{
	return refuse(image, error);
}

char **storage_command(const struct remote_plan *plan, struct plan_image *image, GError **error)
{
	if (!image->native)
		refuse(image, error);
	return NULL;
}

void storage_stop(struct storage *storage)
{
}

/* There is none to ask about. */
int storage_take_qmp(struct storage *storage)
{
	return -1;
}

int storage_status(struct storage *storage)
{
	return 0;
}

int storage_pidfd(const struct storage *storage)
{
	return -1;
}
