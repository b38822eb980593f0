#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""README.zh-CN.md says what README.md says: the same sections, commands, links, options and figures.

usage: tests/check/readme.py [ROOT] [--copy]      --copy: puts README.md's command blocks into README.zh-CN.md

Sections are compared in their order. What is not language has to be the same in both: the blocks of commands to the byte; of the text
what is written as code, where links lead, and the numbers; and how many paragraphs, list entries and table rows there are.
"""
import collections
import os
import re
import sys

ENGLISH, CHINESE = "README.md", "README.zh-CN.md"
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)]*)\)")
NUMBER = re.compile(r"(?<![A-Za-z\d_-])\d[\d,.]*\d|(?<![A-Za-z\d_.-])\d(?![\d.,]*\d)")


class Section:
    def __init__(self, text):
        self.heading, _, body = text.partition("\n")
        self.level = len(self.heading) - len(self.heading.lstrip("#"))
        self.blocks = BLOCK.findall(body)
        prose = BLOCK.sub("", body)
        self.code = collections.Counter(CODE.findall(prose))
        prose = CODE.sub("", prose)
        # Each leads to the other one.
        self.links = collections.Counter(link.replace(CHINESE, ENGLISH) for link in LINK.findall(prose))
        self.numbers = collections.Counter(NUMBER.findall(LINK.sub("]", prose)))
        self.rows = len(re.findall(r"^\|", prose, re.MULTILINE))
        self.entries = len(re.findall(r"^- ", prose, re.MULTILINE))
        self.paragraphs = len([part for part in re.split(r"\n\s*\n", prose) if part.strip()])
        self.bold = len(re.findall(r"\*\*.+?\*\*", prose))


def sections(text):
    """Headings in blocks of commands are comments there."""
    hidden = BLOCK.sub(lambda match: re.sub(r"^#", "\0", match.group(0), flags=re.MULTILINE), text)
    parts = re.split(r"^(?=#+ )", hidden, flags=re.MULTILINE)
    return [Section(part.replace("\0", "#")) for part in parts if part.startswith("#")]


def only(counter, other):
    return ", ".join("%r" % word for word in sorted((counter - other).elements()))


def differences(english, chinese):
    """What is wrong with the Chinese text, one line for each thing."""
    ours, theirs = sections(english), sections(chinese)
    for number, (a, b) in enumerate(zip(ours, theirs), 1):
        if a.level != b.level:
            yield "section %d is %r in %s and %r in %s: sections have to come in the same order" % (number, a.heading, ENGLISH, b.heading, CHINESE)
            return
    if len(ours) != len(theirs):
        longer, name = (ours, ENGLISH) if len(ours) > len(theirs) else (theirs, CHINESE)
        yield "%s has %d sections, %s has %d: look for the counterpart of one from %r on" % (
            ENGLISH, len(ours), CHINESE, len(theirs), longer[min(len(ours), len(theirs))].heading) + " in " + name
    for a, b in zip(ours, theirs):
        where = "%r and %r: " % (a.heading, b.heading)
        if a.blocks != b.blocks:
            yield where + "the command blocks differ (%d and %d of them): tests/check/readme.py --copy copies those of %s" % (len(a.blocks), len(b.blocks), ENGLISH)
        for what, x, y in (("code", a.code, b.code), ("links", a.links, b.links), ("numbers", a.numbers, b.numbers)):
            if set(x) != set(y) if what == "code" else x != y:
                yield where + "%s only in %s: %s; only in %s: %s" % (what, ENGLISH, only(x, y) or "none", CHINESE, only(y, x) or "none")
        for what in ("paragraphs", "entries", "rows", "bold"):
            if getattr(a, what) != getattr(b, what):
                yield where + "%s: %d in %s, %d in %s" % (what, getattr(a, what), ENGLISH, getattr(b, what), CHINESE)


def copy_blocks(english, chinese):
    ours, theirs = sections(english), sections(chinese)
    if [len(a.blocks) for a in ours] != [len(b.blocks) for b in theirs]:
        sys.exit("readme: a section has another number of blocks: add or remove ``` blocks in %s first (they may be empty)" % CHINESE)
    blocks = iter([block for a in ours for block in a.blocks])
    return BLOCK.sub(lambda _: next(blocks), chinese)


SAMPLE = "# A\n\nSee `--db`, [b](b.md): 5 ns.\n\n```\ncmd\n# c\n```\n\n## C\n\n- d\n"
BROKEN = (("cmd", "command"), ("`--db`", "`--database`"), ("b.md", "c.md"), ("5 ns", "6 ns"), ("## C\n", "# C\n"), ("## C\n\n- d\n", ""),
          ("- d\n", "- d\n- e\n"), ("5 ns.\n", "5 ns.\n\nMore.\n"))


def main():
    root = os.path.join(os.path.dirname(__file__), "../..")
    arguments = [word for word in sys.argv[1:] if word != "--copy"]
    paths = [os.path.join(arguments[0] if arguments else root, name) for name in (ENGLISH, CHINESE)]
    texts = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            texts.append(file.read())
    if "--copy" in sys.argv:
        copied = copy_blocks(*texts)
        with open(paths[1], "w", encoding="utf-8") as file:
            file.write(copied)
        return 0
    overlooked = ["it overlooks %r instead of %r" % (new, old) for old, new in BROKEN if not list(differences(SAMPLE, SAMPLE.replace(old, new)))]
    wrong = overlooked + list(differences(SAMPLE, SAMPLE)) + list(differences(*texts))
    print("%s 1 - %s says what %s says" % ("not ok" if wrong else "ok", CHINESE, ENGLISH))
    for line in wrong:
        print("# " + line)
    if wrong and not overlooked:
        print("# Whoever changes %s changes %s too, in the same section. Without Chinese: translate by machine, keep code, links and numbers as they are, and say so "
              "in the commit." % (ENGLISH, CHINESE))
    print("1..1")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
