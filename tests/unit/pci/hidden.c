/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the protocol shows no capabilities, config space of the SCSI controllers is byte for byte
 * what it was before src/pci had any: recorded then, at power-on and with all ones written.
 */

#include <glib.h>

#include "devices/lsi53c895a/lsi53c895a.h"
#include "event/loop.h"
#include "pci/pci.h"

static const uint8_t power_on[PCI_CONFIG_SIZE] = {
	[0x01] = 0x10, [0x0b] = 0x01, [0x0d] = 0xff, [0x10] = 0x01, [0x2f] = 0x10, [0x3d] = 0x01,
};

static const uint8_t ones[PCI_CONFIG_SIZE] = {
	[0x01] = 0x10, [0x04] = 0x07, 0x05, [0x0b] = 0x01, 0xff, 0xff, [0x10] = 0x01, 0xff, 0xff,
	0xff, [0x15] = 0xfc, 0xff, 0xff, [0x19] = 0xe0, 0xff, 0xff, [0x2f] = 0x10,
	[0x3c] = 0xff, 0x01,
};

static const uint8_t zeros[PCI_CONFIG_SIZE] = {
	[0x01] = 0x10, [0x0b] = 0x01, [0x10] = 0x01, [0x2f] = 0x10, [0x3d] = 0x01,
};

static void assert_config(struct pci_dev *dev, const uint8_t *want)
{
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		g_assert_cmphex(pci_config_read(dev, i, 1), ==,
				i == PCI_DEVICE_ID ? dev->cls->device : want[i]);
	g_assert_cmphex(pci_config_read(dev, PCI_CONFIG_SIZE, 1), ==, UINT32_MAX);
}

static void write_all(struct pci_dev *dev, uint8_t byte)
{
	for (unsigned i = 0; i < PCI_CONFIG_SIZE + 16; i++)
		pci_config_write(dev, i, byte, 1);
}

static void check(const struct pci_class *cls)
{
	/* a ROM and a way for messages change nothing */
	static const uint8_t rom[PCI_ROM_MIN];
	struct pci_host host = { .loop = loop_create(-1), .rom = rom, .rom_size = sizeof(rom) };
	g_autofree struct pci_state *state = g_malloc0(cls->state_size);
	struct pci_dev dev;

	g_assert_nonnull(host.loop);
	g_assert_cmpint(pci_dev_init(&dev, cls, state, &host, "x", NULL), ==, 0);
	assert_config(&dev, power_on);
	write_all(&dev, 0xff);
	assert_config(&dev, ones);
	write_all(&dev, 0);
	assert_config(&dev, zeros);
	pci_dev_reset(&dev);
	assert_config(&dev, power_on);
	pci_dev_finish(&dev);
	loop_destroy(host.loop);
}

static void test_895a(void)
{
	check(&lsi53c895a_class);
}

static void test_810(void)
{
	check(&lsi53c810_class);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/hidden/lsi53c895a", test_895a);
	g_test_add_func("/hidden/lsi53c810", test_810);
	return g_test_run();
}
