/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "rig.h"

/* What SeaBIOS and Linux need first: identity, a command, disconnect and reselect. */

static void test_identity(void)
{
	static const struct { const struct pci_class *cls; uint32_t id; } chips[] = {
		{ &lsi53c895a_class, 0x00121000 }, { &lsi53c810_class, 0x00011000 },
	};
	/* read from QEMU 7.2's devices after all ones were written everywhere but to the command */
	static const struct { unsigned off; uint32_t val; } dump[] = {
		{ 0x08, 0x01000000 }, { 0x0c, 0x0000ffff }, { 0x10, 0xffffff01 },
		{ 0x14, 0xfffffc00 }, { 0x18, 0xffffe000 }, { 0x1c, 0 }, { 0x20, 0 }, { 0x24, 0 },
		{ 0x28, 0 }, { 0x2c, 0x10000000 }, { 0x30, 0 }, { 0x34, 0 }, { 0x38, 0 },
		{ 0x3c, 0x000001ff },
	};
	struct rig rig;

	for (unsigned c = 0; c < G_N_ELEMENTS(chips); c++) {
		rig_bare(&rig, chips[c].cls);
		g_assert_cmphex(pci_config_read(&rig.dev, 0, 4), ==, chips[c].id);
		g_assert_cmphex(pci_config_read(&rig.dev, 4, 4), ==, 0);
		g_assert_cmphex(pci_config_read(&rig.dev, 0x0c, 4), ==, 0x0000ff00);
		for (unsigned i = 0; i < G_N_ELEMENTS(dump); i++) {
			pci_config_write(&rig.dev, dump[i].off, 0xffffffff, 4);
			g_assert_cmphex(pci_config_read(&rig.dev, dump[i].off, 4), ==,
					dump[i].val);
		}
		pci_config_write(&rig.dev, PCI_COMMAND, 0xffff, 2);
		g_assert_cmphex(pci_config_read(&rig.dev, PCI_COMMAND, 2), ==, 0x0507);
		rig_down(&rig);
	}
}

/* The script of SeaBIOS's driver, word for word in its meaning: no ATN, no ACK, 16 bytes of CDB. */
static unsigned firmware(struct rig *rig, unsigned target, const uint8_t *cdb, uint32_t len)
{
	struct prog p = prog_at(rig, 0x7000);
	unsigned left = 100000;

	memcpy(rig->ram + 0x7100, (const uint8_t[]){ 0x80, 0x08 }, 2);
	memcpy(rig->ram + 0x7110, cdb, 16);
	rig->ram[0x7120] = rig->ram[0x7121] = 0xff;
	put2(&p, S_SELECT(target), 0);
	put2(&p, S_CHMOV(PHASE_MSG_OUT, 2), 0x7100);
	put2(&p, S_CHMOV(PHASE_COMMAND, 16), 0x7110);
	put2(&p, 0x87820000, 0x18);
	put2(&p, S_CHMOV(PHASE_MSG_IN, 2), 0x7130);
	put2(&p, S_WAIT_RESEL, 0);
	put2(&p, S_CHMOV(PHASE_MSG_IN, 2), 0x7130);
	put2(&p, len ? S_CHMOV(PHASE_DATA_IN, len) : 0, len ? 0x8000 : 0);
	put2(&p, S_CHMOV(PHASE_STATUS, 1), 0x7120);
	put2(&p, S_CHMOV(PHASE_MSG_IN, 1), 0x7121);
	put2(&p, S_INT, 0);
	for (unsigned i = 0; i < 4; i++)
		wr8(rig, R_DSP + i, p.start >> (8 * i));
	while (left--) {
		unsigned dstat = rd8(rig, R_DSTAT), sist0 = rd8(rig, R_SIST0);
		unsigned sist1 = rd8(rig, R_SIST1);

		if (sist0 || sist1)
			return 0x100;
		if (dstat & DSTAT_SIR)
			return rig->ram[0x7121] << 8 | rig->ram[0x7120];
		rig_pass(rig, 1);
	}
	g_assert_not_reached();
}

static void test_seabios(void)
{
	static const uint8_t inquiry[16] = { 0x12, 0, 0, 0, 36 }, tur[16] = { 0 };
	static const uint8_t sense[16] = { 0x03, 0, 0, 0, 18 };
	static const uint8_t read1[16] = { 0x28, [5] = 3, [8] = 1 };
	struct rig rig;

	rig_bare(&rig, &lsi53c895a_class);
	rig_place(&rig);
	wr8(&rig, R_ISTAT0, ISTAT0_SRST);
	for (unsigned target = 2; target < 8; target++)
		g_assert_cmphex(firmware(&rig, target, inquiry, 36), ==, 0x100);
	g_assert_cmphex(firmware(&rig, 0, inquiry, 36), ==, 0);
	g_assert_cmpmem(rig.ram + 0x8008, 12, "TEST    DISK", 12);
	g_assert_cmphex(firmware(&rig, 0, tur, 0), ==, SCSI_CHECK_CONDITION);
	g_assert_cmphex(firmware(&rig, 0, sense, 18), ==, 0);
	g_assert_cmphex(rig.ram[0x8002] & 0xf, ==, 6);
	g_assert_cmphex(firmware(&rig, 0, tur, 0), ==, 0);
	g_assert_cmphex(firmware(&rig, 0, read1, 512), ==, 0);
	g_assert_cmpmem(rig.ram + 0x8000, 512, rig.disk[0].data + 3 * 512, 512);
	rig_down(&rig);
}

static void test_read_write(void)
{
	struct cmd w = cmd_rw(0, 5, true, 100, 8), r = cmd_rw(0, 6, false, 100, 8);
	struct rig rig;

	rig_up(&rig, &lsi53c895a_class);
	assert_alive(&rig);
	for (unsigned i = 0; i < 4096; i++)
		rig.ram[CMD_DATA(0) + i] = i * 3 + 1;
	g_assert_cmphex(cmd_do(&rig, &w), ==, SCSI_GOOD);
	for (unsigned i = 0; i < 4096; i++)
		g_assert_cmphex(rig.disk[0].data[100 * 512 + i], ==, (i * 3 + 1) & 0xff);
	memset(rig.ram + CMD_DATA(0), 0, 4096);
	g_assert_cmphex(cmd_do(&rig, &r), ==, SCSI_GOOD);
	g_assert_cmpmem(rig.ram + CMD_DATA(0), 4096, rig.disk[0].data + 100 * 512, 4096);
	rig_down(&rig);
}

/* Two tagged commands on a slow disk end in the other order; registers answer all the while. */
static void test_two_out_of_order(void)
{
	struct cmd a = cmd_rw(0, 0x11, false, 10, 2), b = cmd_rw(0, 0x22, false, 20, 2);
	struct rig rig;
	int tag;

	rig_up(&rig, &lsi53c895a_class);
	rig.disk[0].hold = true;
	g_assert_cmpint(cmd_start(&rig, 1, &a), ==, INT_DISCONNECTED);
	g_assert_cmpint(cmd_start(&rig, 2, &b), ==, INT_DISCONNECTED);
	g_assert_cmpint(cmd_reselect(&rig, &tag), ==, -1);
	g_assert_cmpuint(rig.disk[0].count, ==, 2);
	for (unsigned i = 0; i < 1000; i++) {
		g_assert_cmphex(rd8(&rig, R_ISTAT0) & (ISTAT0_SIP | ISTAT0_DIP), ==, 0);
		g_assert_cmphex(rd8(&rig, R_SCID), ==, 0x47);
	}
	rig_end(&rig, 0, 1);
	rig_settle(&rig);
	g_assert_cmphex(rd8(&rig, R_SSID), ==, 0x80);
	g_assert_cmphex(rd8(&rig, R_DSTAT) & DSTAT_SIR, ==, DSTAT_SIR);
	g_assert_cmphex(rig.ram[RESEL_BASE + 0x105], ==, 0x22);
	g_assert_cmpint(cmd_resume(&rig, 2, &b), ==, INT_DONE);
	g_assert_cmpmem(rig.ram + CMD_DATA(2), 1024, rig.disk[0].data + 20 * 512, 1024);
	rig_end(&rig, 0, 0);
	g_assert_cmpint(cmd_reselect(&rig, &tag), ==, INT_RESELECTED);
	g_assert_cmphex(tag, ==, 0x11);
	g_assert_cmpint(cmd_resume(&rig, 1, &a), ==, INT_DONE);
	g_assert_cmpmem(rig.ram + CMD_DATA(1), 1024, rig.disk[0].data + 10 * 512, 1024);
	rig_down(&rig);
}

/* A bus that cannot be: two units at one address. */
static void test_impossible_bus(void)
{
	struct lsi_state *state = g_new0(struct lsi_state, 1);
	struct pci_dev dev;
	struct rig rig;

	rig_bare(&rig, &lsi53c895a_class);
	rig.units[1].config.target = 0;
	g_assert_cmpint(pci_dev_init(&dev, &lsi53c895a_class, &state->pci, &rig.dev.host, "lsi1",
				     &rig.setup), ==, -EINVAL);
	rig.units[1].config.target = 1;
	rig_down(&rig);
	g_free(state);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/lsi/basic/identity", test_identity);
	g_test_add_func("/lsi/basic/seabios", test_seabios);
	g_test_add_func("/lsi/basic/read-write", test_read_write);
	g_test_add_func("/lsi/basic/two-out-of-order", test_two_out_of_order);
	g_test_add_func("/lsi/basic/impossible-bus", test_impossible_bus);
	return g_test_run();
}
