# SPDX-License-Identifier: GPL-2.0-or-later
"""Just enough of C's shape for the style checks: no preprocessing, no types."""
import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
_MACRO_CALL = re.compile(r"^\s*[A-Z][A-Z0-9_]*\s*\([^()]*\)\s*(?=\S)", re.S)


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def blank_comments(text):
    """@text with comments blanked out, and strings and preprocessor lines kept."""
    return _TOKEN.sub(lambda m: _blank(m[0]) if m[0][0] == "/" else m[0], text)


def code(text):
    """@text with comments, strings and preprocessor lines blanked out: same lines, same columns."""
    text = _TOKEN.sub(
        lambda m: _blank(m[0]) if m[0][0] == "/" else m[0][0] + _blank(m[0][1:-1]) + m[0][-1], text)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: _blank(m[0]), text, flags=re.M)


def no_attributes(text):
    return re.sub(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)", "", text)


@dataclass
class Item:
    """A piece of file scope: text[start:body] is the head, text[body:end] from '{' to the end."""
    head: str
    start: int
    body: int   # offset of '{', or of the end when there is none
    end: int    # one past the last '}' or ';'

    @property
    def has_body(self):
        return self.body < self.end

    @property
    def is_function(self):
        head = no_attributes(self.head).rstrip()
        return self.has_body and head.endswith(")") and "=" not in head

    @property
    def is_prototype(self):
        head = no_attributes(self.head)
        return (not self.has_body and "=" not in head
                and not re.match(r"\s*(typedef|_Static_assert|static_assert)\b", head)
                and bool(re.search(r"\w\s*\((?!\s*\*)", head)))

    @property
    def name(self):
        found = re.search(r"([A-Za-z_]\w*)\s*\(", no_attributes(self.head))
        return found[1] if found else self.head.strip()[:40]


def _skip_braces(text, pos):
    depth = 0
    for i in range(pos, len(text)):
        if text[i] == "{":
            depth += 1
        elif text[i] == "}":
            depth -= 1
            if not depth:
                return i + 1
    return len(text)


def _item(text, start, pos, body, end):
    head = text[start:body if body < end else pos]
    while (macro := _MACRO_CALL.match(head)):   # G_DEFINE_QUARK(...) and its like: no ';'
        start += macro.end()
        head = head[macro.end():]
    lead = len(head) - len(head.lstrip())
    return Item(head.strip(), start + lead, body, end)


def items(text):
    """The declarations and definitions at file scope of @text, which code() has made."""
    text = text.replace('extern "C" {', " " * 12)
    found, start, pos, body = [], 0, 0, None
    while pos < len(text):
        if text[pos] == "{":
            first = body if body is not None else pos
            end = _skip_braces(text, pos)
            item = _item(text, start, pos, first, end)
            if body is None and item.is_function:
                found.append(item)
                start = pos = end
                continue
            body, pos = first, end
        elif text[pos] == ";":
            at = body if body is not None else pos + 1
            found.append(_item(text, start, pos, at, pos + 1))
            start, body = pos + 1, None
            pos += 1
        else:
            pos += 1
    return found


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def lines_in(text, start, end):
    return text.count("\n", start, end) + 1


def tables(text, start, end):
    """Lines inside the braces of constant initialised tables in text[start:end]."""
    total = 0
    for found in re.finditer(r"\bconst\b[^;{}()]*=\s*(?=\{)", text[start:end]):
        at = start + found.end()
        total += lines_in(text, at, min(_skip_braces(text, at), end)) - 1
    return total
