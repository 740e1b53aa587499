#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree keeps its own rules, and each checker can fail."""
import os
import sys
import unittest

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import checks  # noqa: E402
import csource  # noqa: E402
import tap  # noqa: E402

SPDX = "/* SPDX-License-Identifier: GPL-2.0-or-later */\n"
TABLE = """
| folder | what lives there | may include |
|---|---|---|
| src | main.c | applets |
| src/base | log | |
| src/proto | the wire | base |
| src/devices | models | base, pci |
| src/pci | config | base |
| src/applets | roles | base, proto, devices |
"""


def tree_of_project():
    tree = {}
    for top, dirs, files in os.walk(ROOT):
        dirs[:] = [d for d in dirs if not d.startswith(("build", "__pycache__"))
                   and (not d.startswith(".") or d == ".ci")]
        for name in filter(lambda name: not name.startswith("."), files):
            path = os.path.relpath(os.path.join(top, name), ROOT)
            try:
                with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                    tree[path] = file.read()
            except UnicodeDecodeError:
                continue    # a recorded state or an image: not text
    return tree


class Project(unittest.TestCase):
    """One test a checker, over every text file of the tree."""


def _project_test(check):
    def test(self):
        found = [f"{path}:{line}: {what}" for path, line, what in check(TREE)]
        if found:
            self.fail("\n" + "\n".join(found))
    return test


TREE = tree_of_project()
for _check in checks.CHECKS:
    setattr(Project, "test_" + _check.__name__.removeprefix("check_"), _project_test(_check))


class Checkers(unittest.TestCase):
    """Each checker on snippets that break its rule, and on the nearest ones that keep it."""

    def check(self, check, path, text, want, **more):
        found = list(check({"ARCHITECTURE.md": TABLE, path: text, **more}))
        self.assertEqual(len(found), want, f"{path}: {text!r}: {found}")

    def rows(self, check, rows):
        for path, text, want in rows:
            with self.subTest(path=path, text=text[:60]):
                self.check(check, path, text, want)

    def test_folders(self):
        self.rows(checks.check_folders, [
            ("src/base/log.c", '#include "proto/msg.h"\n', 1),
            ("src/base/log.c", '#  include "proto/msg.h"\n', 1),
            ("src/base/log.c", '/* #include "proto/msg.h" */\n', 0),
            ("src/proto/conn.c", '#include "base/log.h"\n#include "proto/msg.h"\n', 0),
            ("src/proto/conn.c", '#include "../base/log.h"\n', 1),
            ("src/proto/conn.c", '#include "msg.h"\n', 1),
            ("src/proto/conn.c", '#include <base/log.h>\n', 1),
            ("src/proto/conn.c", '#include <sys/socket.h>\n', 0),
            ("src/main.c", '#include "applets/applet.h"\n', 0),
            ("src/main.c", '#include "base/log.h"\n', 1),
            ("src/new/new.c", '#include "base/log.h"\n', 1),
            ("src/devices/edu/edu.c", '#include "devices/edu/edu.h"\n#include "pci/pci.h"\n', 0),
            ("src/devices/edu/edu.c", '#include "devices/lsi/lsi.h"\n', 1),
            ("src/devices/edu/edu.c", '#include "proto/msg.h"\n', 1),
            ("src/applets/remote/main.c", '#include "devices/edu/edu.h"\n', 0),
        ])
        self.assertEqual(len(list(checks.check_folders({"src/base/a.c": ""}))), 1, "no table")

    def test_spdx(self):
        self.rows(checks.check_spdx, [
            ("src/a.c", "int a;\n", 1),
            ("src/a.c", SPDX, 0),
            ("a.py", "#!/usr/bin/env python3\n# SPDX-License-Identifier: GPL-2.0-or-later\n", 0),
            ("a.py", "import os\n", 1),
            ("run", "#!/bin/sh\nset -e\n", 1),
            ("README.md", "# a\n", 0),
        ])

    def test_format(self):
        self.rows(checks.check_format, [
            ("src/a.c", "\tint a; \n", 1),
            ("src/a.c", "\t" + "x" * 92 + "\n", 0),
            ("src/a.c", "\t" + "x" * 93 + "\n", 1),
            ("src/a.c", "        int a;\n", 1),
            ("src/a.c", "\t        int a;\n", 1),
            ("src/a.c", "  \tint a;\n", 1),
            ("src/a.c", "  int a;\n", 1),
            ("src/a.c", "/*\n * why\n */\n\tint a = f(b,\n\t\t  c);\n", 0),
            ("src/a.c", "int a;", 1),
            ("a.py", "    a = 1\n", 0),
            ("a.py", "a = 1\n\n", 1),
        ])

    def test_sizes(self):
        body = "\ta();\n"
        rows = "\t1,\n" * 900
        self.rows(checks.check_sizes, [
            ("src/a/a.c", "int f(void)\n{\n" + body * 57 + "}\n", 0),
            ("src/a/a.c", "int f(void)\n{\n" + body * 58 + "}\n", 1),
            ("src/a/a.c", "int f(void)\n{\n\tstatic const int t[] = {\n" + "\t\t1,\n" * 58
             + "\t};\n" + body * 9 + "}\n", 0),
            ("src/a/a.c", "static const int t[] = {\n" + rows + "};\n", 0),
            ("src/a/a.c", "int f(void);\n" * 801, 1),
            ("src/a/a.c", "int f(void);\n" * 800, 0),
            ("src/main.c", "int f(void);\n" * 120, 1),
            ("src/main.c", "int f(void);\n" * 119, 0),
        ])

    def test_homes(self):
        self.rows(checks.check_homes, [
            ("src/pci/a.c", "int f(void)\n{\n\treturn recvmsg(a, b, 0);\n}\n", 1),
            ("src/proto/a.c", "int f(void)\n{\n\treturn recvmsg(a, b, 0);\n}\n", 0),
            ("src/pci/a.c", "/* recvmsg() is not here */\n", 0),
            ("src/pci/a.c", 'x = "sendmsg(a)";\n', 0),
            ("src/pci/a.c", "p = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);\n", 1),
            ("src/pci/a.c", "p = mmap(NULL, n, PROT_READ,\n\tMAP_ANONYMOUS, -1, 0);\n", 0),
            ("src/mem/a.c", "p = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);\n", 0),
            ("src/applets/a.c", "seccomp_load(ctx);\n", 1),
            ("src/sandbox/a.c", "seccomp_load(ctx);\n", 0),
        ])

    def test_statics(self):
        self.rows(checks.check_statics, [
            ("src/pci/a.c", "static int count;\n", 1),
            ("src/pci/a.c", "int count = 3;\n", 1),
            ("src/pci/a.c", "extern int count;\n", 1),
            ("src/pci/a.c", "static const int count = 3;\n", 0),
            ("src/pci/a.c", "static const char *name;\n", 1),
            ("src/pci/a.c", "static const char *const names[] = { \"a\" };\n", 0),
            ("src/pci/a.c", "static struct a table[] = {\n\t{ 1 },\n};\n", 1),
            ("src/pci/a.c", "static const struct a table[] = {\n\t{ .f = { 1 } },\n};\n", 0),
            ("src/pci/a.c", "struct a {\n\tint b;\n\tint (*f)(void);\n};\nenum { A, B };\n", 0),
            ("src/pci/a.c", "static struct {\n\tint b;\n} state;\n", 1),
            ("src/pci/a.c", "static int f(int a)\n{\n\tstatic int n;\n\n\treturn n++;\n}\n", 1),
            ("src/pci/a.c", "static int f(int a)\n{\n\tint n = 0;\n\n\treturn n;\n}\n", 0),
            ("src/pci/a.c", "static int f(int a);\ntypedef int g(void);\n", 0),
            ("src/pci/a.c", "static int (*hook)(void);\n", 1),
            ("src/pci/a.c", "static _Thread_local int n;\n", 1),
            ("src/base/log.c", "static struct {\n\tint fd;\n} log_state = { 2 };\n", 0),
            ("src/base/log.c", "static int other;\n", 1),
        ])

    def test_leftovers(self):
        self.rows(checks.check_leftovers, [
            ("src/pci/a.c", "/* TO" + "DO: later */\n", 1),
            ("src/pci/a.c", "/* FIX" + "ME */\n", 1),
            ("docs/a.md", "see /wo" + "rk/shared\n", 1),
            ("docs/a.md", "a net/work of /workers\n", 0),
            ("a.py", "open('/ro" + "ot/x')\n", 1),
            ("a.py", "open('.lib" + "rary/x')\n", 1),
            ("a.py", "open('/home/" + "me/x')\n", 1),
        ])

    def test_header_comments(self):
        self.rows(checks.check_header_comments, [
            ("src/pci/a.h", "int f(void);\n", 1),
            ("src/pci/a.h", "/* Why. */\nint f(void);\n", 0),
            ("src/pci/a.h", "/* Why. */\nint f(void);\nint g(int a,\n  int b);\nint h(void);\n", 0),
            ("src/pci/a.h", "/* Why. */\nint f(void);\n\nint g(void);\n", 1),
            ("src/pci/a.h", "int f(void);\t/* why */\n", 0),
            ("src/pci/a.h", "struct a {\n\tint (*f)(void);\n};\n\ntypedef int g(void);\n", 0),
            ("src/pci/a.c", "int f(void);\n", 0),
        ])

    def test_shape_of_c(self):
        plain = csource.code('#define A { \\\n\t{\nG_DEFINE_QUARK(a, b)\nint f(char c)\n{\n'
                             '\treturn c == \'{\' || "}";\n}\nint v = 1;\n')
        items = csource.items(plain)
        self.assertEqual([(i.name, i.is_function) for i in items],
                         [("f", True), ("int v = 1", False)])


if __name__ == "__main__":
    tap.main()
