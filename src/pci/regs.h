/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PCI_REGS_H
#define PCI_REGS_H

/*
 * The register-table engine: a chip's register file is a byte array in its state struct, described
 * by a table with one row a register.  Reset values, write masks, write-one-to-clear bits, trace
 * names and dispatch to hooks all come from the rows.
 */

#include <stddef.h>
#include <stdint.h>

struct reg_def {
	uint16_t off;		/* first byte in the register file */
	uint8_t width;		/* 1, 2 or 4 bytes, little endian */
	const char *name;	/* as the manual spells it */
	uint32_t reset;
	uint32_t wmask;		/* bits that a write changes */
	uint32_t w1c;		/* bits that a one clears */
	/*
	 * Called before the stored value is returned, once an access, for side effects and computed
	 * values: returns what is read.  @bytes has bit i set when byte i of the register is read.
	 */
	uint32_t (*read)(void *chip, const struct reg_def *reg, uint32_t stored, unsigned bytes);
	/*
	 * Called after the masks have been applied and the new value stored, once an access.
	 * @raw is what was written (unwritten bytes as before), @old what stood there.
	 */
	void (*write)(void *chip, const struct reg_def *reg, uint32_t old, uint32_t raw,
		      unsigned bytes);
};

struct reg_file {
	const struct reg_def *regs;	/* sorted by off, not overlapping */
	unsigned count;
	uint16_t size;			/* bytes; a gap reads as zero and drops writes */
};

/*
 * Checks the table itself: sorted, no overlap, inside size, masks inside the width, no bit both
 * written and cleared by ones.  For a unit test.  0 or -EINVAL.
 */
int regs_check(const struct reg_file *file);

/* Every register to its reset value, gaps to zero. */
void regs_reset(const struct reg_file *file, uint8_t *bytes);

/* An access of @size 1, 2 or 4 bytes; a part beyond the file reads zero and is dropped. */
uint32_t regs_read(const struct reg_file *file, uint8_t *bytes, void *chip, uint32_t off,
		   unsigned size);
void regs_write(const struct reg_file *file, uint8_t *bytes, void *chip, uint32_t off,
		unsigned size, uint32_t val);

/* The row that covers @off, or NULL. */
const struct reg_def *regs_find(const struct reg_file *file, uint32_t off);
/* The row of that name, or NULL. */
const struct reg_def *regs_by_name(const struct reg_file *file, const char *name);

#endif
