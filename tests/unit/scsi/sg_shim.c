/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Preloaded into a program that speaks SG_IO: /dev/mpqemu-sg is then a logical unit of this
 * target on a disk in memory, so that conformance suites run without a guest.  Options in
 * MPQEMU_SG, separated by commas: removable, dpofua, readonly, cd, bs=N, mib=N, trace.
 */

/* Both open() and open64() are to be replaced, under their own names. */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "rig.h"

#define DEVICE "/dev/mpqemu-sg"

static struct rig shim_rig;
static int shim_fd = -1;
static bool shim_trace;

static bool option(const char *name, unsigned long *ret_value)
{
	const char *all = getenv("MPQEMU_SG"), *p = all ? strstr(all, name) : NULL;

	if (p && ret_value && p[strlen(name)] == '=')
		*ret_value = strtoul(p + strlen(name) + 1, NULL, 0);
	return p;
}

static void shim_start(void)
{
	struct rig *rig = &shim_rig;
	struct scsi_unit_config *c = &rig->units[0].config;
	unsigned long mib = 64, bs = 512;

	option("mib", &mib);
	option("bs", &bs);
	rig_init(rig, 1);
	g_free(rig->disk[0].data);
	rig->disk[0].data = g_malloc0(mib << 20);
	rig->disk[0].block.size = mib << 20;
	rig->disk[0].block.zero_after_discard = true;
	c->dpofua = option("dpofua", NULL);
	c->removable = option("removable", NULL);
	c->readonly = option("readonly", NULL);
	c->logical_block_size = c->physical_block_size = bs;
	if (option("cd", NULL)) {
		c->type = SCSI_UNIT_CDROM;
		c->removable = c->readonly = 1;
		c->logical_block_size = c->physical_block_size = 2048;
		strcpy(c->product, "QEMU CD-ROM");
	}
	shim_trace = option("trace", NULL);
	rig_start(rig);
	/* A kernel would have taken the power-on unit attention. */
	rig_do(rig, "00 00 00 00 00 00", NULL, 0);
}

static int shim_open(void)
{
	if (shim_fd < 0) {
		shim_start();
		shim_fd = memfd_create("sg", 0);
	}
	return shim_fd;
}

static void shim_log(const struct scsi_command *cmd, const struct sg_io_hdr *hdr)
{
	fprintf(stderr, "sg:");
	for (unsigned i = 0; i < cmd->cdb_len; i++)
		fprintf(stderr, " %02x", cmd->cdb[i]);
	fprintf(stderr, " len %u -> %02x sense %02x/%02x/%02x moved %zu\n", hdr->dxfer_len,
		hdr->status, shim_rig.sense[2] & 0xf, shim_rig.sense[12], shim_rig.sense[13],
		shim_rig.moved);
}

/* Between the caller's pieces and one flat buffer. */
static void shim_copy(const struct sg_io_hdr *hdr, uint8_t *flat, bool to_flat)
{
	sg_iovec_t one = { hdr->dxferp, hdr->dxfer_len };
	const sg_iovec_t *iov = hdr->iovec_count ? hdr->dxferp : &one;
	size_t left = hdr->dxfer_len, n;

	for (unsigned i = 0; i < MAX(hdr->iovec_count, 1) && left; i++, left -= n, flat += n) {
		n = MIN(left, iov[i].iov_len);
		if (!n)
			continue;
		if (to_flat)
			memcpy(flat, iov[i].iov_base, n);
		else
			memcpy(iov[i].iov_base, flat, n);
	}
}

/* One command, as a host adapter's driver does it: a data phase longer than told is an error. */
static int shim_io(struct sg_io_hdr *hdr)
{
	struct scsi_command cmd = { .initiator = 7, .cdb_len = MIN(hdr->cmd_len, SCSI_MAX_CDB) };
	struct rig *rig = &shim_rig;
	bool out = hdr->dxfer_direction == SG_DXFER_TO_DEV;
	g_autofree uint8_t *flat = g_malloc0(hdr->dxfer_len + 1);

	memcpy(cmd.cdb, hdr->cmdp, cmd.cdb_len);
	if (out)
		shim_copy(hdr, flat, true);
	hdr->status = rig_do_cmd(rig, &cmd, flat, hdr->dxfer_len);
	if (!out)
		shim_copy(hdr, flat, false);
	hdr->masked_status = hdr->status >> 1 & 0x1f;
	hdr->host_status = out && rig->moved > hdr->dxfer_len ? 7 : 0;
	hdr->driver_status = 0;
	hdr->resid = hdr->dxfer_len - MIN(rig->moved, hdr->dxfer_len);
	hdr->sb_len_wr = 0;
	if (hdr->status == SCSI_CHECK_CONDITION) {
		hdr->sb_len_wr = MIN(hdr->mx_sb_len, 18);
		memcpy(hdr->sbp, rig->sense, hdr->sb_len_wr);
		hdr->driver_status = 8;
	}
	hdr->info = hdr->status || hdr->host_status ? SG_INFO_CHECK : SG_INFO_OK;
	if (shim_trace)
		shim_log(&cmd, hdr);
	return 0;
}

int open(const char *path, int flags, ...)
{
	int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT,
										    "open");
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = va_arg(ap, int);
	va_end(ap);
	return strcmp(path, DEVICE) ? real(path, flags, mode) : shim_open();
}

int open64(const char *path, int flags, ...)
{
	int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT,
										    "open64");
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = va_arg(ap, int);
	va_end(ap);
	return strcmp(path, DEVICE) ? real(path, flags, mode) : shim_open();
}

int ioctl(int fd, unsigned long req, ...)
{
	int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT,
										    "ioctl");
	va_list ap;
	void *arg;

	va_start(ap, req);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fd != shim_fd || fd < 0)
		return real(fd, req, arg);
	if (req == SG_IO)
		return shim_io(arg);
	if (req == SG_GET_VERSION_NUM) {
		*(int *)arg = 30536;
		return 0;
	}
	if (req == BLKSECTGET) {
		*(int *)arg = 32767;
		return 0;
	}
	errno = ENOTTY;
	return -1;
}
