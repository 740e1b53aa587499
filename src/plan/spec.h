/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLAN_SPEC_H
#define PLAN_SPEC_H

/*
 * What one device process is to be: plain data without pointers or paths, made by the keeper from
 * the options, handed to the device process in a sealed memfd.
 */

#include <stdint.h>

#include "scsi/config.h"

#define SPEC_MAGIC 0x4c51504dU	/* "MPQL" */
#define SPEC_VERSION 6
#define SPEC_MAX_DEVICES 8
#define SPEC_MAX_DISKS 64

/* What becomes of a device whose process has crashed; --on-crash's words in this order. */
enum spec_on_crash { SPEC_ON_CRASH_FAIL, SPEC_ON_CRASH_RESET };

enum spec_image_kind {
	SPEC_IMAGE_NONE,	/* a drive without a medium */
	SPEC_IMAGE_RAW,		/* a file or block device, opened by the keeper */
	SPEC_IMAGE_NBD,		/* a connected NBD socket */
	SPEC_IMAGE_NULL,	/* QEMU's null-co: no data, an optional latency */
};

struct spec_image {
	uint8_t kind;		/* enum spec_image_kind */
	uint8_t readonly;
	uint8_t direct;		/* the fd was opened O_DIRECT */
	uint8_t no_flush;	/* cache=unsafe */
	uint8_t discard;	/* discard=unmap */
	uint8_t detect_zeroes;	/* 0 off, 1 on, 2 unmap */
	uint8_t probed_raw;	/* block 0 must not become another format's header */
	uint8_t read_zeroes;	/* null-co: read-zeroes=on */
	uint8_t is_device;	/* a block device */
	uint8_t measured;	/* of a medium that comes later: the next three say what it is */
	uint8_t promised_zero;	/* discarded ranges read as zeroes */
	uint8_t pad;
	uint32_t align, mem_align, dev_sector;	/* bytes, as block/raw.h has them */
	int32_t slot;		/* fd slot, or -1 */
	uint32_t latency_us;	/* null-co: latency-ns, rounded up */
	uint64_t size;		/* bytes; null-co: given; others: as the keeper measured it */
	char export_name[256];	/* NBD */
};

struct spec_disk {
	uint8_t device;		/* index of the controller */
	uint8_t pad[7];
	struct scsi_unit_config unit;
	struct spec_image image;
};

/* What the peer of a device speaks. */
enum spec_protocol {
	SPEC_PROTOCOL_MPQEMU,	/* x-remote-object */
	SPEC_PROTOCOL_VFIO_USER,	/* x-vfio-user-server */
	SPEC_PROTOCOL_COUNT,
};

#define SPEC_ROM_MIN 2048	/* bytes: the address bits of a ROM BAR start there */
#define SPEC_ROM_MAX (1u << 20)

struct spec_device {
	char driver[32];
	char id[64];
	int32_t peer_slot;	/* fd slot of its object's socket, or -1: not served */
	uint8_t protocol;	/* enum spec_protocol */
	/* Its clients come later, one after the other (CTL_PEER); else the peer is there. */
	uint8_t listens;
	uint8_t pad[2];
	int32_t rom_slot;	/* fd slot of its option ROM, or -1: none */
	uint32_t rom_size;	/* bytes, a power of two; 0: none */
};

struct launch_spec {
	uint32_t magic, version, size;
	uint32_t device_count, disk_count;
	uint32_t threads;	/* of the block pool; 0: no raw image */
	uint8_t sandbox;	/* enum sandbox_level */
	uint8_t log_level;	/* enum log_level */
	uint8_t log_timestamp;
	/* Where devices listen: end when each has had a client and all are gone. */
	uint8_t auto_shutdown;
	uint8_t on_crash;	/* enum spec_on_crash */
	uint8_t pad[3];
	uint32_t probe;		/* not 0: a hostile body instead of a device; see sandbox/probe.h */
	uint32_t manage;	/* a monitor is there: disks are counted and changed */
	uint32_t trace_size;	/* --trace: bytes of the ring; 0: none */
	char log_prog[64];	/* what stands before its log lines */
	char comm[16];		/* the process's name */
	struct spec_device device[SPEC_MAX_DEVICES];
	struct spec_disk disk[SPEC_MAX_DISKS];
};

#endif
