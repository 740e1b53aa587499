/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The register-table engine: bad tables, partial and spanning accesses, masks, hooks. */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <glib.h>

#include "pci/regs.h"

/* Tables */

#define TABLE(...)                                                             \
	(const struct reg_def[]){ __VA_ARGS__ },                               \
	sizeof((const struct reg_def[]){ __VA_ARGS__ }) / sizeof(struct reg_def)

static void test_check(void)
{
	const struct {
		const char *name;
		int ret;
		struct reg_file file;
	} rows[] = {
		{ "no width", -EINVAL, { TABLE({ 0, 0, "A" }), 16 } },
		{ "three bytes", -EINVAL, { TABLE({ 0, 3, "A" }), 16 } },
		{ "eight bytes", -EINVAL, { TABLE({ 0, 8, "A" }), 16 } },
		{ "255 bytes", -EINVAL, { TABLE({ 0, 255, "A" }), 512 } },
		{ "no name", -EINVAL, { TABLE({ 0, 4, NULL }), 16 } },
		{ "same place", -EINVAL, { TABLE({ 0, 1, "A" }, { 0, 1, "B" }), 16 } },
		{ "overlap", -EINVAL, { TABLE({ 0, 4, "A" }, { 3, 1, "B" }), 16 } },
		{ "not sorted", -EINVAL, { TABLE({ 4, 4, "A" }, { 0, 4, "B" }), 16 } },
		{ "behind the end", -EINVAL, { TABLE({ 16, 1, "A" }), 16 } },
		{ "over the end", -EINVAL, { TABLE({ 14, 4, "A" }), 16 } },
		{ "at the end of all", -EINVAL, { TABLE({ 65535, 2, "A" }), 65535 } },
		{ "wide reset", -EINVAL, { TABLE({ 0, 1, "A", .reset = 0x100 }), 16 } },
		{ "wide mask", -EINVAL, { TABLE({ 0, 2, "A", .wmask = 0x10000 }), 16 } },
		{ "wide w1c", -EINVAL, { TABLE({ 0, 1, "A", .w1c = 0x80000000 }), 16 } },
		{ "written and cleared", -EINVAL,
		  { TABLE({ 0, 1, "A", .wmask = 0x0f, .w1c = 0x18 }), 16 } },
		{ "empty", 0, { NULL, 0, 0 } },
		{ "gap and neighbours", 0,
		  { TABLE({ 0, 1, "A", .reset = 0xff }, { 1, 2, "B", .wmask = 0xffff },
			  { 8, 4, "C", .w1c = 0xffffffff }, { 15, 1, "D" }), 16 } },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("%s", rows[i].name);
		g_assert_cmpint(regs_check(&rows[i].file), ==, rows[i].ret);
	}
}

/* A chip with hooks that write down how they were called */

struct call {
	const struct reg_def *reg;
	uint32_t old, raw;
	unsigned bytes;
};

struct chip {
	uint8_t bytes[32];
	struct call read, write;
	unsigned reads, writes;
};

static uint32_t on_read(void *opaque, const struct reg_def *reg, uint32_t stored, unsigned bytes)
{
	struct chip *chip = opaque;

	chip->reads++;
	chip->read = (struct call){ .reg = reg, .old = stored, .bytes = bytes };
	return stored ^ 0xffffffff;
}

static void on_write(void *opaque, const struct reg_def *reg, uint32_t old, uint32_t raw,
		     unsigned bytes)
{
	struct chip *chip = opaque;

	chip->writes++;
	chip->write = (struct call){ .reg = reg, .old = old, .raw = raw, .bytes = bytes };
}

static const struct reg_def regs[] = {
	{ 0, 1, "A8", .reset = 0xa0, .wmask = 0xff },
	{ 1, 1, "B8", .reset = 0xb1, .wmask = 0x0f },
	{ 2, 2, "C16", .reset = 0xc3c2, .wmask = 0xffff },
	{ 4, 4, "D32", .reset = 0xd7d6d5d4, .wmask = 0xffffffff, .read = on_read,
	  .write = on_write },
	/* 8..11: a gap */
	{ 12, 4, "E32", .reset = 0xffffffff, .wmask = 0x0000ff00, .w1c = 0x00ff00ff },
	{ 16, 1, "F8", .reset = 0x5f, .write = on_write },
	{ 17, 2, "G16", .reset = 0x1817, .wmask = 0xffff },	/* not aligned */
	/* 19: a gap; the file ends with 20 */
};

static const struct reg_file file = { regs, G_N_ELEMENTS(regs), 20 };

static struct chip chip_make(void)
{
	struct chip chip;

	memset(&chip, 0, sizeof(chip));
	memset(chip.bytes, 0xee, sizeof(chip.bytes));
	regs_reset(&file, chip.bytes);
	return chip;
}

static void test_reset(void)
{
	static const uint8_t want[] = {
		0xa0, 0xb1, 0xc2, 0xc3, 0xd4, 0xd5, 0xd6, 0xd7, 0, 0, 0, 0,
		0xff, 0xff, 0xff, 0xff, 0x5f, 0x17, 0x18, 0, 0xee,	/* and not a byte more */
	};
	struct chip chip = chip_make();

	g_assert_cmpint(regs_check(&file), ==, 0);
	g_assert_cmpmem(chip.bytes, sizeof(want), want, sizeof(want));
}

static void test_read(void)
{
	static const struct {
		uint32_t off;
		unsigned size;
		uint32_t val;
	} rows[] = {
		{ UINT32_MAX, 4, 0 },		/* wraps to the first register */
		{ UINT32_MAX - 1, 4, 0 },
		{ 0x10000, 4, 0 },		/* beyond what 16 bits of offset hold */
		{ 20, 4, 0 },
		{ 19, 1, 0 },
		{ 18, 4, 0x18 },		/* over the end */
		{ 8, 4, 0 },			/* the gap */
		{ 10, 4, 0xffff0000 },		/* out of the gap */
		{ 0, 1, 0xa0 },
		{ 0, 2, 0xb1a0 },
		{ 0, 4, 0xc3c2b1a0 },
		{ 1, 2, 0xc2b1 },		/* the second half of C16 is left out */
		{ 1, 1, 0xb1 },
		{ 3, 1, 0xc3 },
		{ 3, 4, 0x292a2bc3 },		/* D32 reads inverted */
		{ 4, 4, 0x28292a2b },
		{ 5, 2, 0x292a },
		{ 6, 4, 0x00002829 },		/* into the gap */
		{ 15, 4, 0x18175fff },
		{ 17, 1, 0x17 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct chip chip = chip_make();

		g_test_message("row %u", i);
		g_assert_cmphex(regs_read(&file, chip.bytes, &chip, rows[i].off, rows[i].size), ==,
				rows[i].val);
	}
}

/* Each access to D32 is one call, with exactly the bytes of it that were touched. */
static void test_hook_bytes(void)
{
	static const struct {
		uint32_t off;
		unsigned size;
		unsigned bytes;		/* 0: no call */
		uint32_t raw;		/* of a write of 0x44332211 */
	} rows[] = {
		{ 0, 4, 0, 0 },
		{ 8, 4, 0, 0 },
		{ 1, 4, 0x1, 0xd7d6d544 },
		{ 2, 4, 0x3, 0xd7d64433 },
		{ 3, 4, 0x7, 0xd7443322 },
		{ 4, 4, 0xf, 0x44332211 },
		{ 4, 1, 0x1, 0xd7d6d511 },
		{ 5, 1, 0x2, 0xd7d611d4 },
		{ 6, 2, 0xc, 0x2211d5d4 },
		{ 7, 1, 0x8, 0x11d6d5d4 },
		{ 5, 4, 0xe, 0x332211d4 },
		{ 7, 4, 0x8, 0x11d6d5d4 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct chip chip = chip_make();
		bool called = rows[i].bytes;

		g_test_message("row %u", i);
		regs_read(&file, chip.bytes, &chip, rows[i].off, rows[i].size);
		g_assert_cmpuint(chip.reads, ==, called);
		g_assert_cmpuint(chip.writes, ==, 0);
		g_assert_cmphex(chip.read.bytes, ==, rows[i].bytes);
		g_assert_cmphex(chip.read.old, ==, called ? 0xd7d6d5d4 : 0);
		regs_write(&file, chip.bytes, &chip, rows[i].off, rows[i].size, 0x44332211);
		g_assert_cmpuint(chip.writes, ==, called);
		g_assert_cmpuint(chip.reads, ==, called);
		g_assert_cmphex(chip.write.bytes, ==, rows[i].bytes);
		g_assert_cmphex(chip.write.raw, ==, rows[i].raw);
		g_assert_cmphex(chip.write.old, ==, called ? 0xd7d6d5d4 : 0);
	}
}

/* A register without a writable bit keeps its value; the hook still learns what was written. */
static void test_hook_read_only(void)
{
	struct chip chip = chip_make();

	regs_write(&file, chip.bytes, &chip, 16, 1, 0xa5);
	g_assert_cmphex(chip.bytes[16], ==, 0x5f);
	g_assert_cmpuint(chip.writes, ==, 1);
	g_assert_cmphex(chip.write.raw, ==, 0xa5);
	g_assert_cmphex(chip.write.old, ==, 0x5f);
	g_assert_true(chip.write.reg == &regs[5]);
}

static void test_write(void)
{
	static const struct {
		uint32_t off;
		unsigned size;
		uint32_t val;
		uint32_t at, want[2];	/* the dwords at @at afterwards */
	} rows[] = {
		{ UINT32_MAX, 4, 0x11223344, 0, { 0xc3c2b1a0, 0xd7d6d5d4 } },
		{ 20, 4, 0x11223344, 16, { 0x0018175f, 0xeeeeeeee } },
		{ 18, 4, 0x11223344, 16, { 0x0044175f, 0xeeeeeeee } },
		{ 8, 4, 0xffffffff, 8, { 0, 0xffffffff } },
		{ 1, 1, 0x00, 0, { 0xc3c2b0a0, 0xd7d6d5d4 } },	/* only the low half is writable */
		{ 1, 1, 0xff, 0, { 0xc3c2bfa0, 0xd7d6d5d4 } },
		{ 0, 4, 0x44332211, 0, { 0x4433b211, 0xd7d6d5d4 } },
		{ 3, 2, 0x2211, 0, { 0x11c2b1a0, 0xd7d6d522 } },
		{ 0, 1, 0xffffff01, 0, { 0xc3c2b101, 0xd7d6d5d4 } },	/* beyond the size */
		/* E32: bits 8..15 writable, the even bytes cleared by ones, the top byte fixed */
		{ 12, 4, 0x00000000, 8, { 0, 0xffff00ff } },
		{ 12, 4, 0xffffffff, 8, { 0, 0xff00ff00 } },
		{ 12, 1, 0x0f, 8, { 0, 0xfffffff0 } },
		{ 13, 1, 0x12, 8, { 0, 0xffff12ff } },	/* clears nothing beside it */
		{ 14, 1, 0x81, 8, { 0, 0xff7effff } },
		{ 15, 1, 0x00, 8, { 0, 0xffffffff } },
		{ 10, 4, 0x5aa50000, 8, { 0, 0xffff5a5a } },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct chip chip = chip_make();
		uint32_t got[2];

		g_test_message("row %u", i);
		regs_write(&file, chip.bytes, &chip, rows[i].off, rows[i].size, rows[i].val);
		for (unsigned k = 0; k < 2; k++) {
			const uint8_t *b = chip.bytes + rows[i].at + 4 * k;

			got[k] = b[0] | b[1] << 8 | b[2] << 16 | (uint32_t)b[3] << 24;
			g_assert_cmphex(got[k], ==, rows[i].want[k]);
		}
	}
}

static void test_find(void)
{
	static const struct {
		uint32_t off;
		const char *name;
	} rows[] = {
		{ UINT32_MAX, NULL }, { 0x10004, NULL }, { 20, NULL }, { 19, NULL }, { 8, NULL },
		{ 11, NULL }, { 0, "A8" }, { 1, "B8" }, { 3, "C16" }, { 4, "D32" }, { 7, "D32" },
		{ 12, "E32" }, { 17, "G16" }, { 18, "G16" },
	};
	static const struct reg_file empty = { NULL, 0, 4 };

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		const struct reg_def *reg = regs_find(&file, rows[i].off);

		g_assert_cmpstr(reg ? reg->name : NULL, ==, rows[i].name);
		if (reg)
			g_assert_true(regs_by_name(&file, reg->name) == reg);
	}
	g_assert_null(regs_by_name(&file, "a8"));
	g_assert_null(regs_by_name(&file, ""));
	g_assert_null(regs_find(&empty, 0));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/regs/check", test_check);
	g_test_add_func("/regs/read", test_read);
	g_test_add_func("/regs/write", test_write);
	g_test_add_func("/regs/hook-bytes", test_hook_bytes);
	g_test_add_func("/regs/hook-read-only", test_hook_read_only);
	g_test_add_func("/regs/reset", test_reset);
	g_test_add_func("/regs/find", test_find);
	return g_test_run();
}
