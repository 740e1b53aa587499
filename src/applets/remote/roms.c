/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "applets/remote/roms.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "control/launch.h"
#include "mem/memfd.h"

/* Of 1..SPEC_ROM_MAX bytes.  What is no file does not keep us waiting when it is opened. */
static bool open_file(const struct plan_rom *rom, int *ret_fd, uint32_t *ret_size, GError **error)
{
	autofd fd = open(rom->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: failed to find romfile \"%.200s\": "
				"%s", rom->where, rom->path, log_errname(errno));
	if (!S_ISREG(st.st_mode))
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: romfile \"%.200s\" is not a regular "
				"file", rom->where, rom->path);
	if (!st.st_size)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: romfile \"%.200s\" is empty",
				rom->where, rom->path);
	if (st.st_size > SPEC_ROM_MAX)
		return mpq_fail(error, MPQ_ERROR_USAGE, "%s: romfile \"%.200s\" too large (size "
				"cannot exceed 1 MiB)", rom->where, rom->path);
	*ret_fd = fd_steal(&fd);
	*ret_size = st.st_size;
	return true;
}

static uint32_t bar_size(uint32_t file_size)
{
	uint32_t size = SPEC_ROM_MIN;

	while (size < file_size)
		size <<= 1;
	return size;
}

static bool read_rom(const struct plan_rom *rom, int *ret_fd, uint32_t *ret_size, GError **error)
{
	g_autofree uint8_t *data = NULL;
	autofd file = -1;
	uint32_t len = 0, size;
	int ret;

	if (!open_file(rom, &file, &len, error))
		return false;
	size = bar_size(len);
	data = g_malloc0(size);
	ret = fd_read_all(file, data, len);
	if (!ret) {
		ret = memfd_make_sealed("mpqemu-rom", data, size);
		if (ret >= 0) {
			*ret_fd = ret;
			*ret_size = size;
			return true;
		}
	}
	return mpq_fail(error, MPQ_ERROR_SYSTEM, "%s: failed to load romfile \"%.200s\": %s",
			rom->where, rom->path, log_errname(ret));
}

bool roms_open(const struct remote_plan *plan, int ret_fd[SPEC_MAX_DEVICES], GError **error)
{
	bool ok = true;

	for (unsigned i = 0; i < SPEC_MAX_DEVICES; i++)
		ret_fd[i] = -1;
	for (unsigned i = 0; i < plan->spec->device_count && ok; i++) {
		struct spec_device *device = &plan->spec->device[i];

		if (!plan->rom[i].path)
			continue;
		ok = read_rom(&plan->rom[i], &ret_fd[i], &device->rom_size, error);
		if (ok)
			device->rom_slot = LAUNCH_SLOT_ROM + i;
	}
	for (unsigned i = 0; i < SPEC_MAX_DEVICES && !ok; i++)
		fd_close(&ret_fd[i]);
	return ok;
}
