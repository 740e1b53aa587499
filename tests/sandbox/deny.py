#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""deny.py NAME=ERRNO... -- COMMAND: executes COMMAND where these fail, as in many a container.

NAME: userns (clone and unshare with CLONE_NEWUSER), landlock, pivot_root, mount.
"""
import ctypes
import errno
import os
import struct
import sys

CLONE_NEWUSER = 0x10000000
# name: (numbers on x86-64, bits of argument 0 of which one is enough; 0: always)
CALLS = {"userns": ((56, 272), CLONE_NEWUSER), "landlock": ((444,), 0),
         "pivot_root": ((155,), 0), "mount": ((165,), 0)}
LOAD, JUMP_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, ERRNO = 0x7fff0000, 0x00050000
NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2


def program(rows):
    """Instructions: (code, jump if true, jump if false, constant)"""
    code = []
    for numbers, mask, error in rows:
        for number in numbers:
            code += [(LOAD, 0, 0, 0), (JUMP_EQUAL, 0, 3 if mask else 1, number)]
            if mask:
                code += [(LOAD, 0, 0, 16), (JUMP_SET, 0, 1, mask)]
            code += [(RETURN, 0, 0, ERRNO | error)]
    return code + [(RETURN, 0, 0, ALLOW)]


def load(rows):
    code = program(rows)
    text = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *i) for i in code))
    fprog = struct.pack("<H6xQ", len(code), ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() and libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if libc.prctl(SET_SECCOMP, MODE_FILTER, ctypes.c_char_p(fprog), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def main():
    split = sys.argv.index("--")
    rows = []
    for arg in sys.argv[1:split]:
        name, error = arg.split("=")
        rows.append((*CALLS[name], getattr(errno, error)))
    load(rows)
    os.execvp(sys.argv[split + 1], sys.argv[split + 1:])


if __name__ == "__main__":
    main()
