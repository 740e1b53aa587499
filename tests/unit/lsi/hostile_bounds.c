/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "hostile.h"

/*
 * GitLab 4088: a guest made the model read and write outside of its heap; how is not public.  So
 * every counter, length and address that a guest can name takes its first and last values here,
 * under whatever sanitizer the tests run with.
 */

static const uint32_t counts[] = { 0, 1, 2, 3, 4, 63, 64, 65, 4095, 4096, 4097, 65536,
				   0x7fffff, 0x800000, 0xfffffe, 0xffffff };
static const uint32_t addrs[] = { 0, 1, MEM, RIG_RAM - 1, RIG_RAM, RIG_REGS - 1, RIG_REGS,
				  RIG_REGS + 0xff, RIG_REGS + 0x3ff, RIG_REGS + 0x400,
				  RIG_SRAM - 1, RIG_SRAM, RIG_SRAM + LSI_RAM_SIZE - 1,
				  RIG_SRAM + LSI_RAM_SIZE, 0x7fffffff, 0xfffffffc, 0xffffffff };

/* Runs a script that may do anything; the script itself may have been written over. */
static void run(struct rig *rig, struct prog *p)
{
	wr32(rig, R_DSP, p->start);
	rig_pass(rig, 6);
	*p = prog_at(rig, AT);
}

static void again(struct rig *rig)
{
	rig_place(rig);
	assert_recovers(rig);
	memcpy(rig->ram + MEM, "\xc0", 1);
	memcpy(rig->ram + MEM + 8, "\x12\0\0\0\x24\0", 6);
}

/* Brings the bus to @phase with target 0 (no matter for 4 and 5). */
static void put_way(struct prog *p, unsigned phase)
{
	bool write = phase == PHASE_DATA_OUT;

	/* without DiscPriv: the target keeps the bus while the disk works */
	p->rig->ram[MEM] = 0x80;
	memcpy(p->rig->ram + MEM + 32, (uint8_t[10]){ write ? 0x2a : 0x28, [8] = 4 }, 10);
	put2(p, S_SELECT_ATN(0), 0);
	if (phase != PHASE_MSG_OUT)
		put2(p, S_MOVE(PHASE_MSG_OUT, 1), MEM);
	if (phase == PHASE_DATA_IN || write)
		put2(p, S_MOVE(PHASE_COMMAND, 10), MEM + 32);
	if (phase == PHASE_STATUS || phase == PHASE_MSG_IN) {
		memset(p->rig->ram + MEM + 48, 0, 6);
		put2(p, S_MOVE(PHASE_COMMAND, 6), MEM + 48);
	}
	if (phase == PHASE_MSG_IN)
		put2(p, S_MOVE(PHASE_STATUS, 1), MEM + 64);
}

static void test_block_moves(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned phase = 0; phase < 8; phase++)
		for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++)
			for (unsigned k = 0; k < G_N_ELEMENTS(addrs); k++) {
				put_way(&p, phase);
				put2(&p, S_MOVE(phase, counts[i]), addrs[k]);
				put2(&p, S_CLEAR(S_ACK), 0);
				put2(&p, S_CHMOV(phase, counts[i]), addrs[k]);
				put2(&p, S_INT, 1);
				run(&rig, &p);
				again(&rig);
			}
	hostile_down(&rig);
}

/* Tables at the ends of memory, entries with the last counts, and every selector. */
static void test_tables(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(addrs) * 64; i++) {
		uint32_t dsa = addrs[i / 64], off = (i & 1 ? 0x800000 : 0x7fffff) - (i & 2);

		wr8(&rig, R_CCNTL1, i & 15);
		wr32(&rig, R_DSA, i & 16 ? dsa : MEM + 0x100);
		put_le32(rig.ram + MEM + 0x100, (i & 0x1f) << 24 | counts[i % 16]);
		put_le32(rig.ram + MEM + 0x104, dsa);
		for (unsigned reg = R_SCRATCHC; reg < R_DNAD64; reg += 4)
			wr32(&rig, reg, i & 32 ? 0xffffffff : 0);
		wr32(&rig, R_SFS, 0);
		put_way(&p, i & 1);
		put2(&p, S_MOVE(i & 1, 0) | S_TABLE, i & 32 ? off & 0xffffff : 0);
		put2(&p, S_SELECT_ATN(0) | 0x02000000 | (off & 0xffff), 0);
		put2(&p, S_INT, 1);
		run(&rig, &p);
		again(&rig);
	}
	hostile_down(&rig);
}

/* The selector of a table entry (manual table 5.1): there are 22, and five bits to name one. */
static void test_selectors(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < 32 * 16; i++) {
		uint8_t high = i / 16, ccntl1 = i & 15;
		bool named = ccntl1 & CCNTL1_EN64TIBMV && !(ccntl1 & CCNTL1_64TIMOD);
		unsigned dstat;

		for (unsigned reg = R_SCRATCHC; reg < R_DNAD64; reg += 4)
			wr32(&rig, reg, 0);
		wr8(&rig, R_CCNTL1, ccntl1 & ~CCNTL1_EN64DBMV);
		wr32(&rig, R_DSA, MEM + 0x100);
		put_le32(rig.ram + MEM + 0x100, (uint32_t)high << 24 | 4);
		put_le32(rig.ram + MEM + 0x104, MEM + 0x200);
		put_way(&p, PHASE_DATA_IN);
		put2(&p, S_MOVE(PHASE_DATA_IN, 0) | S_TABLE, 0);
		put2(&p, S_INT, 1);
		run(&rig, &p);
		rig_settle(&rig);
		dstat = take_irq(&rig).dstat;
		if (named)
			g_assert_cmphex(dstat, ==, high > 0x15 ? DSTAT_IID : DSTAT_SIR);
		else
			g_assert_cmphex(dstat & DSTAT_IID, ==, 0);
		again(&rig);
	}
	hostile_down(&rig);
}

static void test_memory_moves(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++)
		for (unsigned k = 0; k < G_N_ELEMENTS(addrs) * G_N_ELEMENTS(addrs); k++) {
			uint32_t from = addrs[k / G_N_ELEMENTS(addrs)];
			uint32_t to = addrs[k % G_N_ELEMENTS(addrs)];

			wr8(&rig, R_DMODE, k & 1 ? DMODE_DIOM : k & 2 ? DMODE_SIOM : 0);
			put3(&p, S_COPY(counts[i]), from, (to & ~3u) | (from & 3));
			put2(&p, S_INT, 1);
			run(&rig, &p);
			if (k % 16 == 0)
				again(&rig);
			wr8(&rig, R_ISTAT0, ISTAT0_SRST);
		}
	again(&rig);
	hostile_down(&rig);
}

/* Each register, each count, up to the last bytes of the file, and the I/O BAR the same. */
static void test_load_store(void)
{
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < 256 * 8; i++) {
		unsigned reg = i / 8, n = i & 7;
		uint32_t at = (i & 128 ? MEM : addrs[i % G_N_ELEMENTS(addrs)] & ~3u) | (reg & 3);

		put2(&p, (i & 64 ? S_LOAD(reg, n) : S_STORE(reg, n)), at);
		put2(&p, S_REG_REG(reg, i & 7, i), 0);
		put2(&p, S_REG_SFBR(reg, i & 7, i), 0);
		put2(&p, S_SFBR_REG(reg, i & 7, i), 0);
		put2(&p, S_INT, 1);
		run(&rig, &p);
		for (unsigned size = 1; size <= 4; size *= 2) {
			uint64_t val;

			pci_bus_read(&rig.dev, false, RIG_IO + reg, size, &val);
			pci_bus_write(&rig.dev, false, RIG_IO + reg, size, val);
		}
		wr8(&rig, R_ISTAT0, ISTAT0_SRST);
		if (i % 16 == 0)
			again(&rig);
	}
	again(&rig);
	hostile_down(&rig);
}

/* Scripts that lie at the ends of memory and of the BARs, and words that end there. */
static void test_fetches(void)
{
	static const uint32_t words[] = { 0, S_JUMP, S_COPY(4), 0x80400000, S_CHMOV(0, 4) };
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(addrs) * 16 * G_N_ELEMENTS(words); i++) {
		uint32_t at = addrs[i / 16 % G_N_ELEMENTS(addrs)] - (i & 15);
		uint32_t word = words[i / 16 / G_N_ELEMENTS(addrs)];

		if (at < RIG_RAM - 12)
			put_le32(rig.ram + at, word);
		memset(rig.ram + RIG_RAM - 32, 0, 32);
		put_le32(rig.ram + RIG_RAM - 1 - (i & 15) - 3, word);
		put_le32(rig.state->ram + LSI_RAM_SIZE - 4 - (i & 15), word);
		wr8(&rig, R_CCNTL1, i & 1);
		wr32(&rig, R_SFS, i & 2 ? 1 : 0);
		wr32(&rig, R_DSP, at);
		rig_pass(&rig, 4);
		again(&rig);
	}
	hostile_down(&rig);
}

/* DBC, CSBC, RBC, SBC and the rest as the guest leaves them: they count, and are not believed. */
static void test_counters(void)
{
	static const uint32_t values[] = { 0, 1, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff };
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
		struct cmd c = cmd_rw(0, -1, i & 1, 8, 8);

		for (unsigned reg = R_DNAD64; reg <= R_CSBC; reg += 4)
			wr32(&rig, reg, values[i]);
		for (unsigned reg = R_DBC; reg < R_DSP; reg += 4)
			wr32(&rig, reg, values[i]);
		wr32(&rig, R_TEMP, values[i]);
		wr32(&rig, R_SCRATCHA, values[i]);
		c.tag = i;
		g_assert_cmpint(cmd_run(&rig, 1, &c), ==, INT_DONE);
		/* IDENTIFY, tag, command, data, status, and the message, seven bytes with it */
		g_assert_cmphex(rd32(&rig, R_CSBC), >=, (uint32_t)(values[i] + 4096));
		again(&rig);
	}
	hostile_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	hostile_add("/lsi/hostile/gitlab-4088-block-moves", test_block_moves);
	hostile_add("/lsi/hostile/gitlab-4088-tables", test_tables);
	hostile_add("/lsi/hostile/gitlab-4088-selectors", test_selectors);
	hostile_add("/lsi/hostile/gitlab-4088-memory-moves", test_memory_moves);
	hostile_add("/lsi/hostile/gitlab-4088-load-store", test_load_store);
	hostile_add("/lsi/hostile/gitlab-4088-fetches", test_fetches);
	hostile_add("/lsi/hostile/gitlab-4088-counters", test_counters);
	return g_test_run();
}
