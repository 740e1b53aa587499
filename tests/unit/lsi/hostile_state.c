/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "hostile.h"

/*
 * A state that another process left, which may have been taken over by its guest: it is input.
 */

/* The same by way of a state that another process wrote: each length and index out of its range. */
static void test_forged_state(void)
{
	const struct lsi_state *s;
	static const struct { size_t off, size; uint64_t val; } rows[] = {
#define ROW(field, v) { offsetof(struct lsi_state, field), sizeof(s->field), v }
		ROW(bus.msg_in_len, LSI_MSG_IN + 1), ROW(bus.msg_in_pos, 1),
		ROW(bus.msg_out_len, LSI_MSG_OUT), ROW(bus.cdb_len, SCSI_MAX_CDB + 1),
		ROW(bus.req, SCSI_MAX_REQS), ROW(bus.target, SCSI_MAX_TARGETS),
		ROW(bus.phase, 8), ROW(bus.after, 4), ROW(bus.attr, 4), ROW(run, 6), ROW(carry, 2),
		ROW(move_left, 0x1000000), ROW(move_len, 0x1000000), ROW(gen_deadline, 1ULL << 63),
		ROW(hth_deadline, 1ULL << 63), ROW(pace_deadline, 1ULL << 63),
		ROW(credit, LSI_CREDIT_MAX + 1), ROW(io_left, LSI_IO_MAX + 1), ROW(pend, 64),
		ROW(nexus[287].target, 16),
#undef ROW
	};
	struct lsi_state *forged = g_new0(struct lsi_state, 1);
	struct pci_dev dev;
	struct rig rig;
	struct prog p;

	hostile_up(&rig, &p);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		*forged = *rig.state;
		memcpy((uint8_t *)forged + rows[i].off, &rows[i].val, rows[i].size);
		g_assert_cmpint(pci_dev_init(&dev, &lsi53c895a_class, &forged->pci, &rig.dev.host,
					     "lsi1", &rig.setup), ==, -EINVAL);
	}
	g_free(forged);
	hostile_down(&rig);
}

/* Selects target 0 without any message and stops there, so that a script can go on with it. */
static void select_only(struct rig *rig, struct prog *p)
{
	put2(p, S_SELECT_ATN(0), 0);
	put2(p, S_INT, 1);
	prog_run(p);
	g_assert_cmphex(take_irq(rig).dstat, ==, DSTAT_SIR);
	*p = prog_at(rig, AT);
}

/*
 * The same bug in MESSAGE OUT: a message that is longer already than it says it is can never be
 * whole, and its bytes went on behind the buffer.
 */
static void test_message_out_overflow(void)
{
	static const uint8_t first[] = { 0x01, 0x08, 0x20, 0x22, 0x80, 0xc0, 0x07 };
	struct lsi_state *forged = g_new0(struct lsi_state, 1);
	struct rig rig;
	struct prog p;
	struct pci_dev dev;

	hostile_up(&rig, &p);
	select_only(&rig, &p);
	for (unsigned i = 0; i < sizeof(first); i++) {
		for (unsigned len = 1; len < LSI_MSG_OUT; len++) {
			int whole = first[i] == 1 ? 3 : first[i] >> 4 == 2 ? 2 : 1;

			*forged = *rig.state;
			memset(forged->bus.msg_out, 1, LSI_MSG_OUT);
			forged->bus.msg_out[0] = first[i];
			forged->bus.msg_out_len = len;
			if ((int)len < whole)
				continue;
			g_assert_cmpint(pci_dev_init(&dev, &lsi53c895a_class, &forged->pci,
						     &rig.dev.host, "lsi1", &rig.setup), ==,
					-EINVAL);
			/* and should it get in all the same, it has an end */
			memcpy(&rig.state->bus, &forged->bus, sizeof(forged->bus));
			p = prog_at(&rig, AT);
			memset(rig.ram + MEM + 0x100, 0x08, 64);
			put2(&p, S_MOVE(PHASE_MSG_OUT, 64), MEM + 0x100);
			put2(&p, S_INT, 1);
			prog_run(&p);
			g_assert_cmphex(take_irq(&rig).dstat, ==, DSTAT_SIR);
			g_assert_cmpuint(rig.state->bus.msg_out_len, <, LSI_MSG_OUT);
			assert_recovers(&rig);
			p = prog_at(&rig, AT);
			select_only(&rig, &p);
		}
	}
	g_free(forged);
	hostile_down(&rig);
}

/* A block move that has nothing left looked at the byte before its buffer. */
static void test_nothing_left(void)
{
	struct lsi_state *forged = g_new0(struct lsi_state, 1);
	struct rig rig;
	struct prog p;
	struct pci_dev dev;

	hostile_up(&rig, &p);
	select_only(&rig, &p);
	for (unsigned phase = 0; phase < 8; phase++) {
		*forged = *rig.state;
		forged->run = RUN_ACTIVE;
		forged->live = forged->begun = 1;
		forged->insn[0] = S_MOVE(phase, 8);
		forged->move_len = 8;
		forged->move_dst = MEM;
		forged->bus.atn = 0;
		forged->bus.msg_in_len = 2;
		g_assert_cmpint(pci_dev_init(&dev, &lsi53c895a_class, &forged->pci, &rig.dev.host,
					     "lsi1", &rig.setup), ==, -EINVAL);
		forged->move_left = 9;
		g_assert_cmpint(pci_dev_init(&dev, &lsi53c895a_class, &forged->pci, &rig.dev.host,
					     "lsi1", &rig.setup), ==, -EINVAL);
	}
	g_free(forged);
	hostile_down(&rig);
}

/*
 * Commands in flight that the predecessor says it has: its buffers and requests are not here, so
 * they are gone, and the chip's connection to one ends.
 */
static void test_commands_of_another(void)
{
	struct lsi_state *forged;
	struct rig rig;
	struct prog p;

	for (unsigned phase = SCSI_PHASE_WAIT; phase <= SCSI_PHASE_STATUS; phase++) {
		hostile_up(&rig, &p);
		select_only(&rig, &p);
		forged = g_memdup2(rig.state, sizeof(*forged));
		for (unsigned i = 0; i < SCSI_MAX_REQS; i++) {
			struct scsi_req_state *r = &forged->scsi.req[i];

			memset(r, 0xff, sizeof(*r));
			r->phase = phase;
			r->wait = i % 6;
			r->generation = 7;
			forged->nexus[i] = (struct lsi_nexus){
				.generation = 7, .used = 1, .disconnected = i & 1, .ready = i & 2,
				.target = i & 1, .tagged = 1, .tag = i,
			};
		}
		memset(forged->scsi.unit, 0xff, sizeof(forged->scsi.unit));
		forged->bus.atn = 0;
		forged->bus.has_req = forged->bus.identified = 1;
		forged->bus.req = phase;
		g_assert_cmpint(rig_adopt(&rig, forged), ==, 0);
		g_free(forged);
		g_assert_cmpuint(scsi_active(rig.l->scsi), ==, 0);
		p = prog_at(&rig, AT);
		put2(&p, S_MOVE(phase == SCSI_PHASE_DATA_IN ? PHASE_DATA_IN : PHASE_STATUS, 512),
		     MEM + 0x100);
		prog_run(&p);
		g_assert_cmphex(take_irq(&rig).sist, ==, SIST_UDC);
		p = prog_at(&rig, AT);
		put2(&p, S_WAIT_RESEL, AT);
		prog_run(&p);
		g_assert_cmpint(rig.state->run, ==, RUN_WAIT_RESELECT);
		assert_recovers(&rig);
		rig_ready(&rig);
		hostile_down(&rig);
	}
}

/* Random bytes over a state that was good: refused, or the chip works after a reset. */
static void test_random_state(void)
{
	struct lsi_state *forged;
	unsigned taken = 0;
	struct rig rig;
	struct prog p;

	for (unsigned round = 0; round < 60; round++) {
		hostile_up(&rig, &p);
		forged = g_memdup2(rig.state, sizeof(*forged));
		for (unsigned i = 0; i < 4000; i++) {
			size_t at = offsetof(struct lsi_state, regs);

			at = g_test_rand_int_range(at, sizeof(*forged));
			if (at < offsetof(struct lsi_state, run) ||
			    at >= offsetof(struct lsi_state, insn) || round & 1)
				((uint8_t *)forged)[at] = g_test_rand_int();
		}
		for (unsigned i = 0; i < SCSI_MAX_REQS; i++)
			forged->nexus[i].target &= 15;
		memcpy(&forged->bus, &rig.state->bus, round & 2 ? sizeof(forged->bus) : 0);
		forged->gen_deadline &= INT64_MAX;
		forged->hth_deadline &= INT64_MAX;
		if (lsi_state_ok(forged)) {
			taken++;
			g_assert_cmpint(rig_adopt(&rig, forged), ==, 0);
			rig_pass(&rig, 20);
			rig_advance(&rig, 100 * LOOP_MS);
			assert_recovers(&rig);
			rig_ready(&rig);
		}
		g_free(forged);
		hostile_down(&rig);
	}
	g_assert_cmpuint(taken, >, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	hostile_add("/lsi/hostile/CVE-2018-18849-state", test_forged_state);
	hostile_add("/lsi/hostile/CVE-2018-18849-state-out", test_message_out_overflow);
	hostile_add("/lsi/hostile/state-nothing-left", test_nothing_left);
	hostile_add("/lsi/hostile/state-commands", test_commands_of_another);
	hostile_add("/lsi/hostile/state-random", test_random_state);
	return g_test_run();
}
