/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/num.h"
#include "rig.h"

/* The instructions that need no target: ALU, jumps, memory moves, load and store, stepping. */

#define AT 0x10000u	/* where scripts stand */
#define MEM 0x20000u	/* where they keep data */

static void begin(struct rig *rig, struct prog *p)
{
	rig_up(rig, &lsi53c895a_class);
	*p = prog_at(rig, AT);
}

static void assert_int(struct rig *rig, uint32_t dsps)
{
	struct irq irq = take_irq(rig);

	g_assert_cmphex(irq.dstat, ==, DSTAT_SIR);
	g_assert_cmphex(irq.sist, ==, 0);
	g_assert_cmphex(rd32(rig, R_DSPS), ==, dsps);
}

static void run_to_int(struct prog *p, uint32_t dsps)
{
	put2(p, S_INT, dsps);
	prog_run(p);
	assert_int(p->rig, dsps);
}

static void test_alu(void)
{
	static const struct { unsigned op; uint8_t reg, data, carry, result, carry_out; } rows[] = {
		{ A_LOAD, 0x12, 0x34, 1, 0x34, 1 }, { A_SHL, 0x81, 0, 0, 0x02, 1 },
		{ A_SHL, 0x01, 0, 1, 0x03, 0 }, { A_OR, 0x50, 0x05, 0, 0x55, 0 },
		{ A_XOR, 0xff, 0x0f, 1, 0xf0, 1 }, { A_AND, 0x3c, 0x0f, 0, 0x0c, 0 },
		{ A_SHR, 0x81, 0, 1, 0xc0, 1 }, { A_SHR, 0x02, 0, 0, 0x01, 0 },
		{ A_ADD, 0xf0, 0x20, 1, 0x10, 1 }, { A_ADD, 0x01, 0x02, 1, 0x03, 0 },
		{ A_ADDC, 0x01, 0x02, 1, 0x04, 0 }, { A_ADDC, 0xff, 0xff, 1, 0xff, 1 },
		{ A_ADDC, 0xff, 0x00, 1, 0x00, 1 }, { A_ADDC, 0xff, 0x00, 0, 0xff, 0 },
	};
	struct rig rig;
	struct prog p;

	begin(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		p.at = AT;
		wr8(&rig, R_SCRATCHB, rows[i].reg);
		put2(&p, (rows[i].carry ? S_SET(S_CARRY) : S_CLEAR(S_CARRY)), 0);
		put2(&p, S_REG_REG(R_SCRATCHB, rows[i].op, rows[i].data), 0);
		put2(&p, S_NOT(S_JUMPR) | S_IFCARRY, 8);
		put2(&p, S_INT, 0x100);
		run_to_int(&p, rows[i].carry_out ? 0x100 : 0x101);
		g_assert_cmphex(rd8(&rig, R_SCRATCHB), ==, rows[i].result);
		p.at = AT;
	}
	rig_down(&rig);
}

/* SFBR as source, target and operand; registers from 0x80 on; MOVE does not read. */
static void test_register_moves(void)
{
	struct rig rig;
	struct prog p;

	begin(&rig, &p);
	wr32(&rig, 0x9c, 0x000000a5);
	wr8(&rig, R_ISTAT0, ISTAT0_SIGP);
	put2(&p, S_REG_SFBR(0x9c, A_AND, 0x0f), 0);
	put2(&p, S_SFBR_REG(R_SCRATCHA, A_OR, 0x30), 0);
	put2(&p, S_REG_REG(R_SCRATCHA + 1, A_ADD, 0x07), 0);
	put2(&p, S_REG_REG(R_SCRATCHA + 1, A_ADD, 0) | 0x00800000, 0);
	put2(&p, S_REG_REG(R_CTEST2, A_LOAD, 0), 0);
	run_to_int(&p, 7);
	g_assert_cmphex(rd16(&rig, R_SCRATCHA), ==, 0x0c35);
	g_assert_cmphex(rd8(&rig, R_ISTAT0) & ISTAT0_SIGP, ==, ISTAT0_SIGP);
	rig_down(&rig);
}

static void test_transfer_control(void)
{
	static const struct { uint32_t insn; bool taken; } rows[] = {
		{ S_JUMPR, true }, { S_NOP | 0x00800000, false },
		{ S_JUMPR | S_DATA(0x5a), true }, { S_JUMPR | S_DATA(0x5b), false },
		{ S_NOT(S_JUMPR) | S_DATA(0x5a), false }, { S_NOT(S_JUMPR) | S_DATA(0x5b), true },
		{ S_JUMPR | S_MASK(0x0a, 0x0f), true }, { S_JUMPR | S_MASK(0x0b, 0x0f), false },
		{ S_JUMPR | S_IFCARRY, true }, { S_NOT(S_JUMPR) | S_IFCARRY, false },
		{ S_JUMPR | S_IF(0), true }, { S_JUMPR | S_IF(7), false },
		{ S_JUMPR | S_IF(0) | S_DATA(0x5a), true },
		{ S_JUMPR | S_IF(0) | S_DATA(0x5b), false },
		{ S_NOT(S_JUMPR) | S_IF(7) | S_DATA(0x5b), true },
		{ S_NOT(S_JUMPR) | S_IF(7) | S_DATA(0x5a), false },
	};
	struct rig rig;
	struct prog p;

	begin(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		p.at = AT;
		put2(&p, S_SET(S_CARRY), 0);
		put2(&p, S_REG_SFBR(R_SCRATCHB, A_LOAD, 0x5a), 0);
		put2(&p, rows[i].insn, 8);
		put2(&p, S_INT, 1);
		put2(&p, S_INT, 2);
		prog_run(&p);
		assert_int(&rig, rows[i].taken ? 2 : 1);
	}
	rig_down(&rig);
}

static void test_call_return(void)
{
	struct rig rig;
	struct prog p, sub;

	begin(&rig, &p);
	sub = prog_at(&rig, AT + 0x1000);
	put2(&sub, S_REG_REG(R_SCRATCHB, A_ADD, 1), 0);
	put2(&sub, S_RETURN, 0);
	wr8(&rig, R_SCRATCHB, 0);
	put2(&p, S_CALL, sub.start);
	put2(&p, 0x88880000, sub.start - (p.at + 8));	/* relative */
	put2(&p, S_NOT(S_CALL), sub.start);		/* a NOP */
	put2(&p, S_INTFLY, 0x99);
	put2(&p, S_INT, 5);
	prog_run(&p);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, ISTAT0_INTF | ISTAT0_DIP);
	g_assert_true(rig.pin);
	wr8(&rig, R_ISTAT0, ISTAT0_INTF);
	g_assert_cmphex(rd8(&rig, R_ISTAT0), ==, ISTAT0_DIP);
	assert_int(&rig, 5);
	g_assert_cmphex(rd8(&rig, R_SCRATCHB), ==, 2);
	g_assert_cmphex(rd32(&rig, R_TEMP), ==, AT + 16);
	g_assert_cmphex(rd32(&rig, R_DSP), ==, p.at);
	rig_down(&rig);
}

/* JUMP64 has a third word, which goes to SFS. */
static void test_jump64(void)
{
	struct rig rig;
	struct prog p;

	begin(&rig, &p);
	put_le32(rig.high, S_INT);
	put_le32(rig.high + 4, 0x64);
	put3(&p, S_JUMP | 0x00400000, (uint32_t)RIG_HIGH, RIG_HIGH >> 32);
	prog_run(&p);
	assert_int(&rig, 0x64);
	g_assert_cmphex(rd32(&rig, R_SFS), ==, RIG_HIGH >> 32);
	g_assert_cmphex(rd32(&rig, R_DSP), ==, (uint32_t)RIG_HIGH + 8);
	rig_down(&rig);
}

static void test_memory_move(void)
{
	struct rig rig;
	struct prog p;

	begin(&rig, &p);
	for (unsigned i = 0; i < 100000; i++)
		rig.ram[0x300000 + i] = i * 5 + (i >> 8);
	wr32(&rig, R_TEMP, 0x77);
	put3(&p, S_COPY(99999), 0x300001, 0x340001);
	put3(&p, S_COPY(4) | 0x01000000, RIG_REGS + R_TEMP, MEM);	/* no flush */
	put3(&p, S_COPY(8), 0x300000, RIG_SRAM + 0x100);
	put3(&p, S_COPY(4), RIG_SRAM + 0x104, RIG_REGS + R_SCRATCHB);
	run_to_int(&p, 9);
	g_assert_cmpmem(rig.ram + 0x340001, 99999, rig.ram + 0x300001, 99999);
	g_assert_cmphex(get_le32(rig.ram + MEM), ==, 0x77);
	g_assert_cmphex(rd32(&rig, R_SCRATCHB), ==, get_le32(rig.ram + 0x300004));
	g_assert_cmphex(rd32(&rig, R_TEMP), ==, 0x77);
	rig_down(&rig);
}

/* Selectors give the upper halves: MMRS reads, MMWS writes; DDAC turns all of them off. */
static void test_memory_move_64(void)
{
	struct rig rig;
	struct prog p;

	begin(&rig, &p);
	memcpy(rig.high + 0x100, "from above 4 GiB", 16);
	put3(&p, S_COPY(16), (uint32_t)RIG_HIGH + 0x100, MEM);
	put2(&p, S_INT, 3);
	wr32(&rig, R_MMRS, RIG_HIGH >> 32);
	prog_run(&p);
	assert_int(&rig, 3);
	g_assert_cmpmem(rig.ram + MEM, 16, "from above 4 GiB", 16);
	memcpy(rig.ram + MEM, "a way back to it", 16);
	p.at = AT;
	put3(&p, S_COPY(16), MEM, (uint32_t)RIG_HIGH + 0x200);
	wr32(&rig, R_MMRS, 0);
	wr32(&rig, R_MMWS, RIG_HIGH >> 32);
	prog_run(&p);
	assert_int(&rig, 3);
	g_assert_cmpmem(rig.high + 0x200, 16, "a way back to it", 16);
	wr8(&rig, R_CCNTL1, CCNTL1_DDAC);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_BF);	/* 0x40000200 is no memory */
	rig_down(&rig);
}

/* SIOM and DIOM make source and target I/O space, where there is nothing but the chip. */
static void test_memory_move_io(void)
{
	struct rig rig;
	struct prog p;

	begin(&rig, &p);
	wr32(&rig, R_SCRATCHB, 0xcafe1234);
	put3(&p, S_COPY(4), RIG_IO + R_SCRATCHB, MEM);
	put2(&p, S_INT, 4);
	wr8(&rig, R_DMODE, DMODE_SIOM);
	prog_run(&p);
	assert_int(&rig, 4);
	g_assert_cmphex(get_le32(rig.ram + MEM), ==, 0xcafe1234);
	p.at = AT;
	put3(&p, S_COPY(4), MEM, RIG_IO + 0x1000);
	wr8(&rig, R_DMODE, DMODE_DIOM);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_BF);
	wr8(&rig, R_DMODE, 0);
	assert_alive(&rig);
	rig_down(&rig);
}

static void test_load_store(void)
{
	struct rig rig;
	struct prog p;

	begin(&rig, &p);
	put_le32(rig.ram + MEM, 0x44332211);
	put_le32(rig.ram + MEM - 8, 0x88776655);
	memcpy(rig.high, "HIGH", 4);
	wr32(&rig, R_DSA, MEM);
	put2(&p, S_LOAD(R_SCRATCHB, 4), MEM);
	put2(&p, S_LOAD(R_SCRATCHA + 1, 1) | S_DSA_REL, 1);
	put2(&p, S_LOAD(R_SCRATCHC, 4) | S_DSA_REL, 0xfffffff8);
	put2(&p, S_STORE(R_SCRATCHB + 2, 2), MEM + 0x12);
	put2(&p, S_STORE(R_SCRATCHB, 4) | S_DSA_REL, 0x20);
	put2(&p, S_STORE(R_SCRATCHB, 4), RIG_SRAM + 0x40);
	put2(&p, S_LOAD(R_TEMP, 4), RIG_REGS + R_SCRATCHC);
	run_to_int(&p, 2);
	g_assert_cmphex(rd32(&rig, R_SCRATCHB), ==, 0x44332211);
	g_assert_cmphex(rd8(&rig, R_SCRATCHA + 1), ==, 0x22);
	g_assert_cmphex(rd32(&rig, R_SCRATCHC), ==, 0x88776655);
	g_assert_cmphex(rd32(&rig, R_TEMP), ==, 0x88776655);
	g_assert_cmphex(get_le16(rig.ram + MEM + 0x12), ==, 0x4433);
	g_assert_cmphex(get_le32(rig.ram + MEM + 0x20), ==, 0x44332211);
	g_assert_cmphex(get_le32(rig.state->ram + 0x40), ==, 0x44332211);
	/* DRS is the upper half of what is relative to DSA */
	p = prog_at(&rig, AT);
	put2(&p, S_LOAD(R_SCRATCHB, 4) | S_DSA_REL, 0);
	wr32(&rig, R_DSA, (uint32_t)RIG_HIGH);
	wr32(&rig, R_DRS, RIG_HIGH >> 32);
	run_to_int(&p, 2);
	g_assert_cmphex(rd32(&rig, R_SCRATCHB), ==, get_le32("HIGH"));
	rig_down(&rig);
}

/* A script in the chip's own RAM, downloaded by Memory Move and through the BAR. */
static void test_script_ram(void)
{
	struct rig rig;
	struct prog p, q;

	begin(&rig, &p);
	q = prog_at(&rig, MEM);
	put2(&q, S_REG_REG(R_SCRATCHB, A_LOAD, 0x42), 0);
	put2(&q, S_INT, 0x21);
	put3(&p, S_COPY(16), MEM, RIG_SRAM + 0x800);
	put2(&p, S_JUMP, RIG_SRAM + 0x800);
	prog_run(&p);
	assert_int(&rig, 0x21);
	g_assert_cmphex(rd8(&rig, R_SCRATCHB), ==, 0x42);
	g_assert_true(pci_bus_write(&rig.dev, true, RIG_SRAM + 0x80c, 4, 0x22));
	p = prog_at(&rig, RIG_SRAM + 0x800);
	prog_run(&p);
	assert_int(&rig, 0x22);
	rig_down(&rig);
}

static void test_single_step(void)
{
	struct rig rig;
	struct prog p;

	begin(&rig, &p);
	put2(&p, S_REG_REG(R_SCRATCHB, A_LOAD, 1), 0);
	put2(&p, S_REG_REG(R_SCRATCHB, A_ADD, 1), 0);
	put2(&p, S_INT, 8);
	wr8(&rig, R_DCNTL, DCNTL_COM | DCNTL_SSM);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SSI);
	g_assert_cmphex(rd32(&rig, R_DSP), ==, AT + 8);
	g_assert_cmphex(rd8(&rig, R_SCRATCHB), ==, 1);
	wr8(&rig, R_DCNTL, DCNTL_COM | DCNTL_SSM | DCNTL_STD);
	rig_settle(&rig);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SSI);
	g_assert_cmphex(rd8(&rig, R_SCRATCHB), ==, 2);
	wr8(&rig, R_DCNTL, DCNTL_COM | DCNTL_STD);
	rig_settle(&rig);
	assert_int(&rig, 8);
	/* manual start mode: DSP alone starts nothing */
	wr8(&rig, R_DMODE, DMODE_MAN);
	wr32(&rig, R_DSP, AT);
	rig_settle(&rig);
	g_assert_cmphex(rd8(&rig, R_ISTAT1) & ISTAT1_SRUN, ==, 0);
	wr8(&rig, R_DCNTL, DCNTL_COM | DCNTL_STD);
	rig_settle(&rig);
	assert_int(&rig, 8);
	rig_down(&rig);
}

/* What the manual calls illegal ends with IID, whatever else is in the words. */
static void test_illegal(void)
{
	static const uint32_t rows[][3] = {
		{ 0xa0080000 }, { 0xb8080000 },			/* transfer control 4 to 7 */
		{ S_CALL | 0x00400000, AT },			/* CALL has no 64-bit form */
		{ S_COPY(0), MEM, MEM + 64 }, { S_COPY(8), MEM + 1, MEM + 64 },
		{ S_COPY(8) | 0x10000000, MEM, MEM + 64 },
		{ S_LOAD(R_SCRATCHB, 0), MEM }, { S_LOAD(R_SCRATCHB, 5), MEM },
		{ S_LOAD(R_SCRATCHB + 2, 3), MEM + 2 }, { S_STORE(R_SCRATCHB, 1), MEM + 1 },
		{ S_MOVE(PHASE_DATA_IN, 0), MEM }, { S_MOVE(PHASE_DATA_IN, 0) | S_TABLE, 0 },
		{ S_CLEAR(S_ACK) | 0x01000000 },
	};
	struct rig rig;
	struct prog p;

	begin(&rig, &p);
	wr32(&rig, R_DSA, MEM);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		p.at = AT;
		put3(&p, rows[i][0], rows[i][1], rows[i][2]);
		prog_run(&p);
		g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_IID);
		g_assert_cmphex(rd8(&rig, R_ISTAT1) & ISTAT1_SRUN, ==, 0);
	}
	/* the target role is refused when it would act */
	for (unsigned i = 0; i < 4; i++) {
		static const uint32_t acts[] = { S_SELECT(0), S_WAIT_DISC, S_WAIT_RESEL,
						 S_MOVE(PHASE_COMMAND, 6) };
		p.at = AT;
		put2(&p, S_SET(S_TARGET), 0);
		put2(&p, acts[i], MEM);
		prog_run(&p);
		g_assert_cmphex(rd8(&rig, R_SCNTL0) & SCNTL0_TRG, ==, SCNTL0_TRG);
		g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_IID);
		p.at = AT;
		put2(&p, S_CLEAR(S_TARGET), 0);
		put2(&p, S_INT, 0);
		prog_run(&p);
		assert_int(&rig, 0);
	}
	assert_alive(&rig);
	rig_down(&rig);
}

/* Every bus cycle that finds nothing is a bus fault, and so is any while mastering is off. */
static void test_bus_faults(void)
{
	static const uint32_t hole = 0x80000000;
	static const uint32_t rows[][3] = {
		{ S_JUMP, 0x80000000 },
		{ S_COPY(4), 0x80000000, MEM }, { S_COPY(4), MEM, 0x80000000 },
		{ S_COPY(64), RIG_RAM - 32, MEM }, { S_LOAD(R_SCRATCHB, 4), 0x80000000 },
		{ S_STORE(R_SCRATCHB, 4), 0xfffffffc }, { 0x42000000, 0 },
		{ S_MOVE(PHASE_DATA_IN, 4) | S_INDIRECT, 0x80000000 },
		{ S_MOVE(PHASE_DATA_IN, 4) | S_TABLE, 0 },
	};
	struct rig rig;
	struct prog p;

	begin(&rig, &p);
	wr32(&rig, R_DSA, hole);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		p.at = AT;
		put3(&p, rows[i][0], rows[i][1], rows[i][2]);
		prog_run(&p);
		g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_BF);
	}
	p.at = AT;
	put2(&p, S_INT, 1);
	pci_config_write(&rig.dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_BF);
	p = prog_at(&rig, RIG_SRAM);
	put2(&p, S_INT, 1);
	prog_run(&p);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_BF);
	rig_place(&rig);
	prog_run(&p);
	assert_int(&rig, 1);
	rig_down(&rig);
}

/* The abort bit stops a script between two slices. */
static void test_abort(void)
{
	struct rig rig;
	struct prog p;

	begin(&rig, &p);
	put2(&p, S_JUMP, AT);
	wr32(&rig, R_DSP, AT);
	rig_pass(&rig, 3);
	g_assert_cmphex(rd8(&rig, R_ISTAT1) & ISTAT1_SRUN, ==, ISTAT1_SRUN);
	wr8(&rig, R_ISTAT0, ISTAT0_ABRT);
	g_assert_cmphex(rd8(&rig, R_ISTAT1) & ISTAT1_SRUN, ==, 0);
	wr8(&rig, R_ISTAT0, 0);
	g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_ABRT);
	rig_settle(&rig);
	assert_alive(&rig);
	rig_down(&rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/lsi/scripts/alu", test_alu);
	g_test_add_func("/lsi/scripts/register-moves", test_register_moves);
	g_test_add_func("/lsi/scripts/transfer-control", test_transfer_control);
	g_test_add_func("/lsi/scripts/call-return", test_call_return);
	g_test_add_func("/lsi/scripts/jump64", test_jump64);
	g_test_add_func("/lsi/scripts/memory-move", test_memory_move);
	g_test_add_func("/lsi/scripts/memory-move-64", test_memory_move_64);
	g_test_add_func("/lsi/scripts/memory-move-io", test_memory_move_io);
	g_test_add_func("/lsi/scripts/load-store", test_load_store);
	g_test_add_func("/lsi/scripts/script-ram", test_script_ram);
	g_test_add_func("/lsi/scripts/single-step", test_single_step);
	g_test_add_func("/lsi/scripts/illegal", test_illegal);
	g_test_add_func("/lsi/scripts/bus-faults", test_bus_faults);
	g_test_add_func("/lsi/scripts/abort", test_abort);
	return g_test_run();
}
