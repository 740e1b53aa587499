/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/vault.h"

void vault_init(struct vault *vault, unsigned devices)
{
	*vault = (struct vault){ .devices = devices };
}

void vault_finish(struct vault *vault)
{
	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++)
		for (unsigned kind = 0; kind < CTL_KEEP_KINDS; kind++)
			for (unsigned n = 0; n < 2; n++)
				conn_fds_close(&vault->entry[i][kind][n].fds);
	vault_init(vault, vault->devices);
}

/* A successor that takes the same message again has the same number for it. */
static unsigned place_for(const struct vault *vault, const struct ctl_keep *keep)
{
	const struct vault_entry *pair = vault->entry[keep->device][keep->kind];
	unsigned newest = vault->newest[keep->device][keep->kind];

	return pair[newest].fds.count && pair[newest].epoch == keep->epoch ? newest : !newest;
}

void vault_keep(struct vault *vault, uint32_t arg, struct conn_fds *fds)
{
	struct vault_entry *entry;
	struct ctl_keep keep;
	unsigned place;

	if (!ctl_keep_unpack(arg, vault->devices, &keep)) {
		conn_fds_close(fds);
		return;
	}
	place = place_for(vault, &keep);
	entry = &vault->entry[keep.device][keep.kind][place];
	conn_fds_close(&entry->fds);
	entry->epoch = keep.epoch;
	entry->fds = *fds;
	vault->newest[keep.device][keep.kind] = place;
	*fds = (struct conn_fds){ 0 };
}

static int give_pair(const struct vault *vault, struct ctl_keep keep, int control)
{
	int ret = 0;

	for (unsigned n = 0; n < 2 && !ret; n++) {
		const struct vault_entry *entry = &vault->entry[keep.device][keep.kind][n];

		keep.epoch = entry->epoch;
		if (entry->fds.count)
			ret = ctl_give_fds(control, CTL_KEPT, ctl_keep_pack(&keep), entry->fds.fd,
					   entry->fds.count);
	}
	return ret;
}

int vault_give(const struct vault *vault, int control)
{
	int ret = 0;

	for (unsigned i = 0; i < vault->devices; i++)
		for (unsigned kind = 0; kind < CTL_KEEP_KINDS && !ret; kind++)
			ret = give_pair(vault, (struct ctl_keep){ i, kind, 0 }, control);
	return ret ? ret : ctl_send(control, CTL_KEPT_ALL, 0);
}
