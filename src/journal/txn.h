/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef JOURNAL_TXN_H
#define JOURNAL_TXN_H

/*
 * One event is one transaction: a message, a completion, a timer, an eventfd or an engine slice
 * changes device state between txn_begin() and txn_commit(), and nothing leaves the process in
 * between; replies and interrupts go out after the commit.  The loop calls these around every
 * callback.  Empty until device state is journalled.
 */

static inline void txn_begin(void)
{
}

static inline void txn_commit(void)
{
}

#endif
