/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A driver of the LSI chip, which runs the commands as SCRIPTS in guest memory; see port.h. */
#include "port.h"

#include <string.h>

#include "lsi/rig.h"

const unsigned port_seeds = 1000, port_late_seeds = 10000;
const bool port_takes_block = false, port_is_wide = false;

#define AT 0x10000u
#define MEM 0x20000u
#define MAX_DATA (PORT_BLOCKS * 512)

struct port {
	struct rig rig;
	struct cmd cmd[PORT_SLOTS];
	bool ended[PORT_SLOTS];
	uint8_t *in[PORT_SLOTS];	/* where its data goes; NULL: it is no read */
	/* What was in guest memory when a read was ended early: nothing may come any more. */
	uint8_t *left[PORT_SLOTS];
};

/* Making the disks of a rig costs more than a load: it is kept, and reset in between. */
static struct port *kept;

static struct port *port_make(void)
{
	struct port *p = g_new0(struct port, 1);
	struct rig *rig = &p->rig;

	rig_up(rig, &lsi53c895a_class);
	rig->units[0].config.dpofua = rig->units[0].config.discard = 1;
	rig->units[0].config.max_unmap_size = 1 << 30;
	rig->disk[0].block.can_discard = rig->disk[0].block.zero_after_discard = true;
	return p;
}

struct port *port_up(port_make_block *make, void *opaque, struct block **ret_block)
{
	if (!kept)
		kept = port_make();
	*ret_block = &kept->rig.disk[0].block;
	return kept;
}

static void check_left(struct port *p, unsigned slot)
{
	if (p->left[slot])
		g_assert_cmpmem(p->left[slot], MAX_DATA, p->rig.ram + CMD_DATA(slot),
				MAX_DATA);
	g_free(p->left[slot]);
	p->left[slot] = NULL;
}

static void leave(struct port *p, unsigned slot)
{
	if (p->in[slot] && !p->left[slot])
		p->left[slot] = g_memdup2(p->rig.ram + CMD_DATA(slot), MAX_DATA);
}

void port_down(struct port *p)
{
	for (unsigned i = 0; i < PORT_SLOTS; i++) {
		check_left(p, i);
		p->in[i] = NULL;
	}
	port_kill(p, 0, PORT_DEVICE_RESET);
	rig_ready(&p->rig);
}

static void note(struct port *p, unsigned slot, int what)
{
	g_assert_true(what == INT_DONE || what == INT_DISCONNECTED);
	p->ended[slot] = what == INT_DONE;
}

/* Command @slot has its messages, CDB and data in the guest memory of its own. */
void port_start(struct port *p, unsigned slot, const struct port_cmd *c)
{
	struct cmd *cmd = &p->cmd[slot];

	*cmd = (struct cmd){ .tag = slot, .cdb_len = c->cdb_len, .data_len = c->len };
	memcpy(cmd->cdb, c->cdb, sizeof(cmd->cdb));
	check_left(p, slot);
	p->in[slot] = c->in ? c->data : NULL;
	if (c->len && !c->in)
		memcpy(p->rig.ram + CMD_DATA(slot), c->data, c->len);
	else
		memset(p->rig.ram + CMD_DATA(slot), 0xee, MAX_DATA);
	note(p, slot, cmd_start(&p->rig, slot, cmd));
}

/* Is a command ready to go on?  Its target reselects us then. */
static bool wants_reselection(struct port *p)
{
	for (unsigned i = 0; i < SCSI_MAX_REQS; i++) {
		enum scsi_phase phase = scsi_phase(p->rig.l->scsi, i);

		if (phase != SCSI_PHASE_FREE && phase != SCSI_PHASE_WAIT)
			return true;
	}
	return false;
}

void port_run(struct port *p)
{
	int tag;

	rig_pass(&p->rig, 2);
	while (wants_reselection(p)) {
		g_assert_cmpint(cmd_reselect(&p->rig, &tag), ==, INT_RESELECTED);
		note(p, tag, cmd_resume(&p->rig, tag, &p->cmd[tag]));
	}
}

bool port_ended(struct port *p, unsigned slot, uint8_t *ret_status)
{
	if (!p->ended[slot])
		return false;
	*ret_status = cmd_status(&p->rig, slot);
	p->ended[slot] = false;
	if (p->in[slot])
		memcpy(p->in[slot], p->rig.ram + CMD_DATA(slot), p->cmd[slot].data_len);
	p->in[slot] = NULL;
	return true;
}

/* Selects the unit and sends it a message, as a driver's error handler does. */
static void send_message(struct rig *rig, int tag, uint8_t message)
{
	struct prog p = prog_at(rig, AT);
	unsigned n = 0;

	rig->ram[MEM + n++] = 0xc0;
	if (tag >= 0) {
		rig->ram[MEM + n++] = 0x20;
		rig->ram[MEM + n++] = tag;
	}
	rig->ram[MEM + n++] = message;
	put2(&p, S_SELECT_ATN(0), 0);
	put2(&p, S_REG_REG(R_SCNTL2, A_AND, 0x7f), 0);
	put2(&p, S_MOVE(PHASE_MSG_OUT, n), MEM);
	put2(&p, S_CLEAR(S_ACK | S_ATN), 0);
	put2(&p, S_WAIT_DISC, 0);
	put2(&p, S_INT, 1);
	prog_run(&p);
	g_assert_cmphex(take_irq(rig).dstat, ==, DSTAT_SIR);
}

static void reset(struct rig *rig, enum port_kill how)
{
	if (how == PORT_BUS_RESET) {
		wr8(rig, R_SCNTL1, SCNTL1_RST);
		wr8(rig, R_SCNTL1, 0);
		g_assert_cmphex(take_irq(rig).sist, ==, SIST_RST);
	} else if (how == PORT_SOFT_RESET) {
		wr8(rig, R_ISTAT0, ISTAT0_SRST);
		wr8(rig, R_ISTAT0, 0);
	} else {
		pci_dev_reset(&rig->dev);
		rig_place(rig);
	}
	wr8(rig, R_SCID, SCID_RRE | 7);
	wr8(rig, R_DCNTL, DCNTL_COM);
}

void port_kill(struct port *p, unsigned slot, enum port_kill how)
{
	/* SCSI-2 6.6: ABORT TAG, ABORT, CLEAR QUEUE, BUS DEVICE RESET */
	static const uint8_t messages[] = { 0x0d, 0x06, 0x0e, 0x0c };

	if (how == PORT_ABORT_TAG) {
		send_message(&p->rig, slot, messages[how]);
		p->ended[slot] = false;
		leave(p, slot);
		return;
	}
	if (how < G_N_ELEMENTS(messages))
		send_message(&p->rig, -1, messages[how]);
	else
		reset(&p->rig, how);
	g_assert_cmpuint(scsi_active(p->rig.l->scsi), ==, 0);
	memset(p->ended, 0, sizeof(p->ended));
	for (unsigned i = 0; i < PORT_SLOTS; i++)
		leave(p, i);
}

bool port_cache_on(const struct port *p)
{
	return p->rig.state->scsi.unit[0].write_cache;
}
