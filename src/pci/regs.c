/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pci/regs.h"

#include <errno.h>
#include <string.h>

static uint32_t reg_load(const struct reg_def *reg, const uint8_t *bytes)
{
	uint32_t val = 0;

	for (unsigned i = reg->width; i-- > 0;)
		val = val << 8 | bytes[reg->off + i];
	return val;
}

static void reg_store(const struct reg_def *reg, uint8_t *bytes, uint32_t val)
{
	for (unsigned i = 0; i < reg->width; i++)
		bytes[reg->off + i] = val >> (8 * i);
}

int regs_check(const struct reg_file *file)
{
	uint32_t end = 0;

	for (unsigned i = 0; i < file->count; i++) {
		const struct reg_def *reg = &file->regs[i];
		uint64_t all;

		if (reg->width != 1 && reg->width != 2 && reg->width != 4)
			return -EINVAL;
		all = (1ULL << (8 * reg->width)) - 1;
		if (reg->off < end || reg->off + reg->width > file->size || !reg->name)
			return -EINVAL;
		if (((uint64_t)reg->reset | reg->wmask | reg->w1c) & ~all)
			return -EINVAL;
		if (reg->wmask & reg->w1c)
			return -EINVAL;
		end = reg->off + reg->width;
	}
	return 0;
}

void regs_reset(const struct reg_file *file, uint8_t *bytes)
{
	memset(bytes, 0, file->size);
	for (unsigned i = 0; i < file->count; i++)
		reg_store(&file->regs[i], bytes, file->regs[i].reset);
}

/* The first row that ends behind @off: the one that covers it, or the next one after a gap. */
static const struct reg_def *row_from(const struct reg_file *file, uint32_t off)
{
	unsigned low = 0, high = file->count;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if ((uint32_t)file->regs[mid].off + file->regs[mid].width <= off)
			low = mid + 1;
		else
			high = mid;
	}
	return low < file->count ? &file->regs[low] : NULL;
}

const struct reg_def *regs_find(const struct reg_file *file, uint32_t off)
{
	const struct reg_def *reg = row_from(file, off);

	return reg && reg->off <= off ? reg : NULL;
}

const struct reg_def *regs_by_name(const struct reg_file *file, const char *name)
{
	for (unsigned i = 0; i < file->count; i++)
		if (!strcmp(file->regs[i].name, name))
			return &file->regs[i];
	return NULL;
}

/* Which bytes of @reg lie inside [off, off + size)? */
static unsigned bytes_hit(const struct reg_def *reg, uint32_t off, unsigned size)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < reg->width; i++)
		if (reg->off + i >= off && reg->off + i < off + size)
			mask |= 1u << i;
	return mask;
}

/* The bits of the bytes in @mask. */
static uint32_t byte_bits(unsigned mask)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < 4; i++)
		if (mask & 1u << i)
			bits |= 0xffu << (8 * i);
	return bits;
}

/* Moves a register's value to where it stands in an access that begins at @off. */
static uint32_t to_access(const struct reg_def *reg, uint32_t val, uint32_t off)
{
	return reg->off >= off ? val << (8 * (reg->off - off)) : val >> (8 * (off - reg->off));
}

static uint32_t from_access(const struct reg_def *reg, uint32_t val, uint32_t off)
{
	return reg->off >= off ? val >> (8 * (reg->off - off)) : val << (8 * (off - reg->off));
}

static const struct reg_def *rows_end(const struct reg_file *file)
{
	return file->regs + file->count;
}

uint32_t regs_read(const struct reg_file *file, uint8_t *bytes, void *chip, uint32_t off,
		   unsigned size)
{
	const struct reg_def *reg = row_from(file, off);
	uint32_t val = 0;

	for (; reg && reg < rows_end(file) && reg->off < off + size; reg++) {
		unsigned mask = bytes_hit(reg, off, size);
		uint32_t part = reg_load(reg, bytes);

		if (reg->read)
			part = reg->read(chip, reg, part, mask);
		val |= to_access(reg, part & byte_bits(mask), off);
	}
	return val;
}

void regs_write(const struct reg_file *file, uint8_t *bytes, void *chip, uint32_t off,
		unsigned size, uint32_t val)
{
	const struct reg_def *reg = row_from(file, off);

	for (; reg && reg < rows_end(file) && reg->off < off + size; reg++) {
		unsigned mask = bytes_hit(reg, off, size);
		uint32_t bits = byte_bits(mask), old = reg_load(reg, bytes);
		uint32_t raw = (old & ~bits) | (from_access(reg, val, off) & bits);
		uint32_t now = (old & ~reg->wmask) | (raw & reg->wmask);

		now &= ~(raw & bits & reg->w1c);
		reg_store(reg, bytes, now);
		if (reg->write)
			reg->write(chip, reg, old, raw, mask);
	}
}
