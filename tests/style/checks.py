# SPDX-License-Identifier: GPL-2.0-or-later
"""The style checks.  Each takes a tree (path -> text) and yields (path, line, complaint)."""
import os
import re

import csource

FUNCTION_LINES = 60
FILE_LINES = 800
MAIN_LINES = 120
COLUMNS = 100

# State at file scope that is allowed: (path, name) -> why.
STATICS_ALLOWED = {
    ("src/base/log.c", "log_state"): "the log is the process's own, as stderr is",
    ("src/sandbox/trap.c", "trap_exit_status"): "a signal handler can be told nothing else",
    ("src/metrics/page.c", "unread"): "the page is the process's own, as the log is",
    ("src/metrics/page.c", "metrics_now"): "the same: which page it is",
    ("src/metrics/page.h", "metrics_now"): "the same: which page it is",
    ("src/mem/sigbus.c", "guarded"): "a signal handler gets no argument",
    ("src/applets/proxy/disk/plugin.c", "plugin"): "nbdkit passes nothing to config and after_fork",
    ("src/applets/proxy/disk/plugin.c", "row"): "nbdkit writes to what it is registered with",
}
# Calls that live in one folder: (what, pattern, folder, rule).
HOMES = [
    ("fd passing", r"\b(?:recvm?msg|sendm?msg|recvmmsg|sendmmsg)\s*\(", "src/proto/"),
    ("file mappings", r"\bmmap(?:64)?\s*\((?![^;]*MAP_ANON)", "src/mem/"),
    ("seccomp", r"\bseccomp_[a-z_]+\s*\(|\bPR_SET_SECCOMP\b|\bSECCOMP_\w+|\bSYS_seccomp\b",
     "src/sandbox/"),
]
# Files outside the home of their call: (path, what) -> why.
HOMES_ALLOWED = {}

LEFTOVER = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")) + r")\b")
MACHINE = re.compile(
    r"(?<![\w./-])/(?:(?:wo" + r"rk|tmp/" + r"wt)\b|ro" + r"ot/|home/\w)|\.lib" + r"rary\b")


def c_files(tree, *tops):
    return {p: t for p, t in tree.items()
            if p.endswith((".c", ".h")) and (not tops or p.startswith(tops))}


def folder_table(architecture):
    """{folder: set of folders that it may include}, from the table of ARCHITECTURE.md."""
    table, inside = {}, False
    for line in architecture.split("\n"):
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == "folder" and cells[-1] == "may include":
            inside = True
        elif inside and cells[0].startswith("src"):
            table[cells[0]] = {c.strip() for c in cells[-1].split(",") if c.strip()}
    return table


def _row(table, path):
    """The most exact row for a file: src/devices/edu/edu.c is governed by src/devices."""
    folder = os.path.dirname(path)
    while folder and folder not in table:
        folder = os.path.dirname(folder)
    return folder


def check_folders(tree):
    table = folder_table(tree.get("ARCHITECTURE.md", ""))
    if not table:
        yield "ARCHITECTURE.md", 1, "no folder table found"
        return
    for path, text in c_files(tree, "src/").items():
        row = _row(table, path)
        if os.path.dirname(path) != "src" and row == "src":
            yield path, 1, f"{os.path.dirname(path)} has no row in ARCHITECTURE.md"
            continue
        allowed = table[row] | ({row[4:]} if row != "src" else set())
        for number, line in enumerate(csource.blank_comments(text).split("\n"), 1):
            found = re.match(r'\s*#\s*include\s*(["<])([^">]+)', line)
            if found:
                complaint = _include(path, found[1], found[2], allowed, table)
                if complaint:
                    yield path, number, complaint


def _include(path, quote, name, allowed, table):
    first = name.split("/")[0]
    if quote == "<":
        known = {row[4:].split("/")[0] for row in table if row != "src"}
        return f"own header in <>: {name}" if "/" in name and first in known else None
    if "/" not in name or first in ("", ".", ".."):
        return f'include names no folder: "{name}"'
    if first not in allowed:
        return f'folder rule: {os.path.dirname(path)} may not include "{name}"'
    ours = path.split("/")
    if ours[1] == "devices" and first == "devices" and len(ours) > 3 and name.count("/") > 1:
        if name.split("/")[1] != ours[2]:
            return f'a device may not include another device: "{name}"'
    return None


def check_spdx(tree):
    for path, text in tree.items():
        lines = text.split("\n")
        if not path.endswith((".c", ".h", ".py", ".sh")) and not lines[0].startswith("#!"):
            continue
        at = 1 if lines[0].startswith("#!") else 0
        want = {".c": "/* %s */", ".h": "/* %s */"}.get(os.path.splitext(path)[1], "# %s")
        if len(lines) <= at or lines[at] != want % "SPDX-License-Identifier: GPL-2.0-or-later":
            yield path, at + 1, "the SPDX line is missing"


def check_format(tree):
    for path, text in tree.items():
        if path.endswith((".md", ".txt")):
            continue    # prose, and lists with a reason a line
        is_c = path.endswith((".c", ".h"))
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                yield path, number, "space at the end of the line"
            if len(line.expandtabs(8)) > COLUMNS:
                yield path, number, f"over {COLUMNS} columns"
            if is_c and re.match(r"\t* {8}|\t* +\t| (?! ?\*)", line):
                yield path, number, "indented with spaces"
        if text and not text.endswith("\n"):
            yield path, text.count("\n") + 1, "no newline at the end"
        if text.endswith("\n\n"):
            yield path, text.count("\n"), "empty lines at the end"


def check_sizes(tree):
    for path, text in c_files(tree).items():
        plain = csource.code(text)
        lines = text.count("\n") - csource.tables(plain, 0, len(plain))
        limit = MAIN_LINES - 1 if path == "src/main.c" else FILE_LINES
        if lines > limit:
            yield path, 1, f"{lines} lines, {limit} at the most"
        for item in csource.items(plain):
            if not item.is_function:
                continue
            lines = csource.lines_in(plain, item.start, item.end)
            lines -= csource.tables(plain, item.body, item.end)
            if lines > FUNCTION_LINES:
                yield (path, csource.line_of(plain, item.start),
                       f"{item.name}() has {lines} lines, {FUNCTION_LINES} at the most")


def check_homes(tree):
    for path, text in c_files(tree, "src/").items():
        plain = csource.code(text)
        for what, pattern, home in HOMES:
            if path.startswith(home) or (path, what) in HOMES_ALLOWED:
                continue
            for found in re.finditer(pattern, plain):
                yield path, csource.line_of(plain, found.start()), f"{what} belongs into {home}"


_STATIC = re.compile(r"(?:^|[;{}])\s*((?:static|_Thread_local|__thread)\b[^;{}]*)(?=[;{])")


def _no_braces(text):
    while (shorter := re.sub(r"\{[^{}]*\}", " ", text)) != text:
        text = shorter
    return text


def _is_constant(declaration):
    left = declaration.split("=")[0].split("[")[0]
    return bool(re.search(r"\bconst\b", left[left.rfind("*") + 1:]))


def _is_variable(declaration):
    """@declaration ("static struct  x = ", braces taken out): not a type, not a function."""
    left = declaration.split("=")[0]
    if re.match(r"\s*(typedef|_Static_assert|static_assert)\b|\s*$", left):
        return False
    if re.match(r"\s*(struct|union|enum)(\s+\w+)?\s*$", left):
        return False
    return "(" not in left or bool(re.search(r"\(\s*\*", left.split("(", 1)[0] + "("
                                             + left.split("(", 1)[1][:4]))


def _variable_name(declaration):
    left = declaration.split("=")[0].split("[")[0]
    pointer = re.search(r"\(\s*\*\s*(\w+)", left)
    names = re.findall(r"[A-Za-z_]\w*", left)
    return pointer[1] if pointer else names[-1] if names else "?"


def _declarations(plain):
    """(offset, text without braces) of what may be a variable that outlives a call."""
    for item in csource.items(plain):
        if item.is_function:
            for found in _STATIC.finditer(plain[item.body:item.end]):
                yield item.body + found.start(1), found[1]
        else:
            whole = item.head + " " + plain[item.body:item.end]
            yield item.start, csource.no_attributes(_no_braces(whole)).rstrip(" ;\n")


def check_statics(tree):
    for path, text in c_files(tree, "src/").items():
        plain = csource.code(text)
        for at, declaration in _declarations(plain):
            if not _is_variable(declaration) or _is_constant(declaration):
                continue
            name = _variable_name(declaration)
            if (path, name) not in STATICS_ALLOWED:
                yield path, csource.line_of(plain, at), f"state outside any object: {name}"


def check_leftovers(tree):
    for path, text in tree.items():
        for number, line in enumerate(text.split("\n"), 1):
            if LEFTOVER.search(line):
                yield path, number, "left to do"
            if MACHINE.search(line):
                yield path, number, "a path of somebody's machine"


def check_header_comments(tree):
    """A public function has a comment above it, behind it, or above the group that it closes."""
    for path, text in c_files(tree, "src/").items():
        if not path.endswith(".h"):
            continue
        plain, lines = csource.code(text), text.split("\n")
        covered = -1    # the line that the last commented declaration ends on
        for item in csource.items(plain):
            first = csource.line_of(plain, item.start)
            last = csource.line_of(plain, item.end - 1)
            above = lines[first - 2].rstrip() if first > 1 else ""
            good = (above.endswith("*/") or covered == first - 1
                    or "/*" in lines[last - 1])
            if good:
                covered = last
            elif item.is_prototype or (item.is_function and last - first > 10):
                yield path, first, f"{item.name}() has no comment"


CHECKS = [check_folders, check_spdx, check_format, check_sizes, check_homes, check_statics,
          check_leftovers, check_header_comments]
