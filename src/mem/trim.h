/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEM_TRIM_H
#define MEM_TRIM_H

/*
 * Gives back what a process's set-up has used and its work does not need: the pages of free heap,
 * which stays the heap's, for there may be no call to get new one by; and, out of its page tables,
 * code and constants of the program and its libraries.  Those are the files' own pages; what is
 * used again comes back from the page cache, at the price of a fault.
 *
 * For the last moment before a filter that has no such call.
 */
void mem_trim(void);

#endif
