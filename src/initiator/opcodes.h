/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef INITIATOR_OPCODES_H
#define INITIATOR_OPCODES_H

/* Operation codes (SPC-4 annex E, SBC-3 clause 5) that the files of this folder send. */
enum {
	OP_TEST_UNIT_READY = 0x00, OP_REQUEST_SENSE = 0x03, OP_INQUIRY = 0x12,
	OP_MODE_SENSE_6 = 0x1a, OP_READ_CAPACITY_10 = 0x25, OP_READ_10 = 0x28,
	OP_WRITE_10 = 0x2a, OP_SYNC_CACHE_10 = 0x35, OP_UNMAP = 0x42, OP_READ_16 = 0x88,
	OP_WRITE_16 = 0x8a, OP_WRITE_SAME_16 = 0x93, OP_SERVICE_ACTION_IN_16 = 0x9e,
	OP_REPORT_LUNS = 0xa0,
};

#endif
