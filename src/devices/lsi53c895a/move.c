/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "devices/lsi53c895a/lsi.h"

/*
 * Block moves (manual 5.2), initiator mode: MOVE and CHMOV are alike here, since the bus is 8 bits
 * wide and nothing is ever chained.
 */

#define BM_INDIRECT 0x20000000
#define BM_TABLE 0x10000000

#define DIRECT_PIECE 16384	/* bytes; less is copied from a window that one call has filled */
#define DIRECT_SEGMENTS 8

/*
 * How far a phase's mover came: bytes of the instruction's count, or -errno.  After -EAGAIN nothing
 * has changed.
 */
typedef int move_fn(struct lsi *l);

static unsigned insn_phase(const struct lsi *l)
{
	return l->s->insn[0] >> 24 & 7;
}

/* ---- the address ---- */

/* The selectors that a table entry may name, manual table 5.1: SCRATCHC to R, then these. */
static int selector(unsigned index)
{
	static const uint8_t upper[] = { R_MMRS, R_MMWS, R_SFS, R_DRS, R_SBMS, R_DBMS };

	if (index < 0x10)
		return R_SCRATCHC + 4 * index;
	return index - 0x10 < sizeof(upper) ? upper[index - 0x10] : -1;
}

/* Sets move_dst from a table entry's address and the byte above its count; false: illegal. */
static bool table_address(struct lsi *l, uint32_t low)
{
	uint8_t ccntl1 = *lsi_reg(l, R_CCNTL1), high = l->s->table_high;
	int sel = R_SBMS;

	if (ccntl1 & CCNTL1_EN64TIBMV && ccntl1 & CCNTL1_64TIMOD) {
		l->s->move_dst = ccntl1 & CCNTL1_DDAC ? low : (uint64_t)high << 32 | low;
		return true;
	}
	if (ccntl1 & CCNTL1_EN64TIBMV)
		sel = selector(high & 0x1f);
	if (sel < 0)
		return false;
	l->s->move_dst = lsi_addr(l, sel, low);
	return true;
}

static enum lsi_done begin_table(struct lsi *l)
{
	uint32_t at = lsi_get32(l, R_DSA) + sext24(l->s->insn[1]);
	uint8_t entry[8];
	int ret = lsi_mem_read(l, SPACE_MEM, lsi_addr(l, R_DRS, at), entry, sizeof(entry));

	if (ret)
		return lsi_no_cycle(l, ret);
	lsi_put32(l, R_ESA, at);
	l->s->move_len = get_le24(entry);
	l->s->table_high = entry[3];
	l->s->begun = table_address(l, get_le32(entry + 4)) && l->s->move_len;
	return l->s->begun ? INSN_AGAIN : lsi_illegal(l);
}

static enum lsi_done begin_direct(struct lsi *l)
{
	uint32_t insn = l->s->insn[0], low = l->s->insn[1];
	bool wide = !(insn & BM_INDIRECT) && *lsi_reg(l, R_CCNTL1) & CCNTL1_EN64DBMV;
	uint8_t ptr[4];

	lsi_put32(l, R_ESA, l->s->insn_at);
	if (insn & BM_INDIRECT) {
		int ret = lsi_mem_read(l, SPACE_MEM, lsi_addr(l, R_SFS, low), ptr, sizeof(ptr));

		if (ret)
			return lsi_no_cycle(l, ret);
		low = get_le32(ptr);
	}
	if (wide)
		lsi_put32(l, R_DBMS, l->s->insn[2]);
	l->s->move_dst = lsi_addr(l, wide ? R_DBMS : R_SBMS, low);
	l->s->move_len = insn & 0xffffff;
	l->s->table_high = 0;
	l->s->begun = l->s->move_len != 0;
	return l->s->begun ? INSN_AGAIN : lsi_illegal(l);
}

/* ---- accounting ---- */

/* The registers that tell how far the move is: manual 4.4 for RBC, UA and their like. */
static void show_progress(struct lsi *l)
{
	struct lsi_state *s = l->s;
	uint8_t *ccntl1 = lsi_reg(l, R_CCNTL1), *ctest5 = lsi_reg(l, R_CTEST5);
	bool bits40 = *ccntl1 & CCNTL1_EN64TIBMV && *ccntl1 & CCNTL1_64TIMOD;
	uint8_t high = s->insn[0] & BM_TABLE && bits40 ? s->move_dst >> 32 : s->table_high;

	lsi_put24(l, R_DBC, s->move_left);
	lsi_put32(l, R_DNAD, s->move_dst);
	lsi_put32(l, R_DNAD64, s->move_dst >> 32);
	lsi_put32(l, R_RBC, s->move_left | (uint32_t)high << 24);
	lsi_put32(l, R_UA, s->move_dst);
	lsi_put24(l, R_SBC, s->move_len - s->move_left);
	/* nothing is in the FIFOs: their counter agrees with DBC (manual, DFIFO) */
	*lsi_reg(l, R_DFIFO) = s->move_left;
	*ctest5 = (*ctest5 & 0xfc) | (s->move_left >> 8 & 3);
}

static void account(struct lsi *l, uint32_t n)
{
	l->s->move_left -= n;
	l->s->move_dst += n;
	lsi_put32(l, R_CSBC, lsi_get32(l, R_CSBC) + n);
	show_progress(l);
	lsi_timer_hth(l);
	pci_dma_forget(l->dev);
}

/* ---- one mover a phase ---- */

/*
 * The next bytes to move at once: bounded by the instruction, the slice and the chip's own BARs.  A
 * piece of LSI_CHUNK or less does not depend on the slice: it is the same one in the next.
 */
static size_t piece(struct lsi *l, size_t max, bool *ret_own)
{
	size_t n = min_u64(l->s->move_left, max);
	uint64_t off;

	*ret_own = pci_bars_near(l->dev, l->s->move_dst, 1) &&
		   pci_bar_at(l->dev, true, l->s->move_dst, 1, &off) >= 0;
	n = lsi_clip(l, SPACE_MEM, l->s->move_dst, n);
	return min_u64(n, *ret_own || l->bytes < LSI_CHUNK ? LSI_CHUNK : l->bytes);
}

/* The same for phases whose few bytes pass through a buffer of @max bytes anyway. */
static unsigned small_piece(struct lsi *l, unsigned max)
{
	return lsi_clip(l, SPACE_MEM, l->s->move_dst, min_u64(l->s->move_left, max));
}

/* SFBR has the first byte of a move (manual, SFBR). */
static void latch_first(struct lsi *l, uint8_t first)
{
	if (l->s->move_left == l->s->move_len)
		*lsi_reg(l, R_SFBR) = first;
}

/*
 * Data goes straight between guest memory and the command's window, but through a private buffer
 * when it is the chip itself that is addressed: what its registers do must not meet an open window.
 */
static int move_buffered_in(struct lsi *l)
{
	unsigned req = l->s->bus.req;
	size_t len, n;
	uint8_t *win = scsi_window(l->scsi, req, &len);
	bool own;
	int ret;

	n = piece(l, len, &own);
	if (own) {
		latch_first(l, win[0]);
		memcpy(l->chunk, win, n);
		scsi_advance(l->scsi, req, n);
		ret = lsi_mem_write(l, SPACE_MEM, l->s->move_dst, l->chunk, n);
		return ret ? ret : (int)n;
	}
	ret = lsi_mem_write(l, SPACE_MEM, l->s->move_dst, win, n);
	if (ret != -EAGAIN)
		latch_first(l, win[0]);
	if (ret)
		return ret;
	scsi_advance(l->scsi, req, n);
	return n;
}

/*
 * From the host's cache to guest memory, if the piece is worth a call of its own.  What does not
 * come so waits for the disk, or is in the buffer now.
 */
static int move_data_in(struct lsi *l)
{
	unsigned req = l->s->bus.req;
	size_t len = scsi_direct(l->scsi, req), n;
	struct iovec iov[DIRECT_SEGMENTS];
	int count = -EREMOTE;
	uint8_t first;
	bool own;

	if (!len)
		return move_buffered_in(l);
	n = piece(l, len, &own);
	if (!own && n >= DIRECT_PIECE)
		count = pci_dma_iov(l->dev, l->s->move_dst, n, iov, DIRECT_SEGMENTS);
	n = scsi_read_direct(l->scsi, req, iov, count, n);
	if (!n)
		return scsi_phase(l->scsi, req) == SCSI_PHASE_DATA_IN ? move_buffered_in(l) : 0;
	pci_dma_moved(l->dev, l->s->move_dst, n);
	if (!pci_dma_read(l->dev, l->s->move_dst, &first, 1))
		latch_first(l, first);
	return n;
}

static int move_data_out(struct lsi *l)
{
	unsigned req = l->s->bus.req;
	size_t len, n;
	uint8_t *win = scsi_window(l->scsi, req, &len);
	bool own;
	int ret;

	n = piece(l, len, &own);
	ret = lsi_mem_read(l, SPACE_MEM, l->s->move_dst, own ? l->chunk : win, n);
	if (ret)
		return ret;
	if (own)
		memcpy(scsi_window(l->scsi, req, &len), l->chunk, n);
	scsi_advance(l->scsi, req, n);
	return n;
}

/* Takes bytes of the command block; returns how many of @n were wanted. */
static unsigned take_cdb(struct lsi *l, const uint8_t *buf, unsigned n)
{
	struct lsi_bus *bus = &l->s->bus;
	unsigned used = 0, whole;

	if (!bus->cdb_len)
		bus->cdb[bus->cdb_len++] = buf[used++];
	/* a vendor's command is as long as the initiator sends it */
	whole = scsi_cdb_len(bus->cdb[0]);
	if (!whole)
		whole = min_u64(l->s->move_len, SCSI_MAX_CDB);
	while (used < n && bus->cdb_len < whole)
		bus->cdb[bus->cdb_len++] = buf[used++];
	if (bus->cdb_len == whole)
		bus_command(l);
	return used;
}

/*
 * SeaBIOS moves 16 bytes whatever the command's length, so the rest of the count is dropped where a
 * real target would change the phase.
 */
static int move_command(struct lsi *l)
{
	unsigned n = small_piece(l, SCSI_MAX_CDB - l->s->bus.cdb_len), used;
	uint8_t buf[SCSI_MAX_CDB];
	int ret = lsi_mem_read(l, SPACE_MEM, l->s->move_dst, buf, n);

	if (ret)
		return ret;
	used = take_cdb(l, buf, n);
	if (l->s->bus.has_req || l->s->bus.own_status)
		l->s->move_left = used;
	return used;
}

static int move_msg_out(struct lsi *l)
{
	unsigned n = small_piece(l, 64), used = 0;
	uint8_t buf[64];
	int ret = lsi_mem_read(l, SPACE_MEM, l->s->move_dst, buf, n);

	if (ret)
		return ret;
	do
		message_out_byte(l, buf[used++]);
	while (used < n && l->bytes > 0);
	return used;
}

/* A byte of STATUS or MESSAGE IN has come over the bus. */
static void latch(struct lsi *l, uint8_t first, uint8_t last)
{
	latch_first(l, first);
	*lsi_reg(l, R_SIDL) = last;
}

static int move_status(struct lsi *l)
{
	static const uint8_t complete = 0x00;	/* COMMAND COMPLETE */
	struct lsi_bus *bus = &l->s->bus;
	uint8_t status = bus->own_status ? bus->status : scsi_status(l->scsi, bus->req);
	int ret = lsi_mem_write(l, SPACE_MEM, l->s->move_dst, &status, 1);

	if (ret)
		return ret;
	latch(l, status, status);
	if (bus->has_req) {
		memset(&l->s->nexus[bus->req], 0, sizeof(l->s->nexus[0]));
		scsi_release(l->scsi, bus->req);
	}
	bus->has_req = bus->own_status = 0;
	bus_say(l, &complete, 1);
	bus->after = AFTER_COMPLETE;
	return 1;
}

static int move_msg_in(struct lsi *l)
{
	struct lsi_bus *bus = &l->s->bus;
	unsigned n = small_piece(l, bus->msg_in_len - bus->msg_in_pos);
	uint8_t buf[LSI_MSG_IN];
	int ret;

	memcpy(buf, bus->msg_in + bus->msg_in_pos, n);
	ret = lsi_mem_write(l, SPACE_MEM, l->s->move_dst, buf, n);
	if (ret)
		return ret;
	latch(l, buf[0], buf[n - 1]);
	bus->msg_in_pos += n;
	return n;
}

static move_fn *const movers[8] = {
	[PHASE_DATA_OUT] = move_data_out, [PHASE_DATA_IN] = move_data_in,
	[PHASE_COMMAND] = move_command, [PHASE_STATUS] = move_status,
	[PHASE_MSG_OUT] = move_msg_out, [PHASE_MSG_IN] = move_msg_in,
};

/* ---- the instruction ---- */

/* The target wants another phase (manual 2.2.11 and CCNTL0): jump, or tell the host. */
static enum lsi_done mismatch(struct lsi *l)
{
	unsigned phase = insn_phase(l);
	uint8_t ccntl0 = *lsi_reg(l, R_CCNTL0);
	bool second;

	if (!(ccntl0 & CCNTL0_ENPMJ) || (phase & 2 && !(ccntl0 & CCNTL0_ENNDJ))) {
		lsi_irq_scsi(l, SIST_MA);
		return INSN_DONE;
	}
	second = ccntl0 & CCNTL0_PMJCTL ? phase & 1 : *lsi_reg(l, R_SCNTL2) & SCNTL2_WSR;
	lsi_put32(l, R_DSP, lsi_get32(l, second ? R_PMJAD2 : R_PMJAD1));
	return INSN_DONE;
}

/*
 * Selected without ATN a target goes to COMMAND at once; SeaBIOS sends it an IDENTIFY all the same,
 * and QEMU's targets take it.
 */
static bool phase_fits(struct lsi *l)
{
	const struct lsi_bus *bus = &l->s->bus;
	unsigned want = insn_phase(l);

	if (want == PHASE_MSG_OUT && bus->phase == PHASE_COMMAND && !bus->identified &&
	    !bus->cdb_len)
		return true;
	return bus->phase == want && movers[want];
}

static enum lsi_done moved_all(struct lsi *l)
{
	if (insn_phase(l) == PHASE_MSG_OUT)
		message_out_end(l);
	else if (insn_phase(l) == PHASE_MSG_IN)
		l->s->bus.ack = 1;
	else
		bus_poll(l);
	return INSN_DONE;
}

enum lsi_done insn_block_move(struct lsi *l)
{
	struct lsi_state *s = l->s;

	if (*lsi_reg(l, R_SCNTL0) & SCNTL0_TRG)
		return lsi_illegal(l);
	if (!s->begun) {
		enum lsi_done done = s->insn[0] & BM_TABLE ? begin_table(l) : begin_direct(l);

		if (done != INSN_AGAIN)
			return done;
		s->move_left = s->move_len;
		pci_dma_forget(l->dev);
		lsi_put32(l, R_IA, s->insn_at);
		show_progress(l);
	}
	while (l->bytes > 0) {
		enum lsi_look look = bus_look(l);
		int n;

		if (look == LOOK_FREE)
			return INSN_DONE;
		if (look == LOOK_BUSY)
			return lsi_wait(l, RUN_WAIT_TARGET);
		if (!phase_fits(l))
			return mismatch(l);
		n = movers[insn_phase(l)](l);
		if (n < 0)
			return lsi_no_cycle(l, n);
		/* a target without a byte to offer is one that waits */
		if (!n)
			return lsi_wait(l, RUN_WAIT_TARGET);
		l->bytes -= n;
		account(l, n);
		if (!s->move_left)
			return moved_all(l);
	}
	return INSN_AGAIN;
}
