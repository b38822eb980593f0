#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Puts the style and the script into the page, and the page into C: two arrays, before and after the data.

usage: embed.py OUTPUT.c page.html page.css SCRIPT.js...

The page's policy allows that one style and that one script, by their hashes, and nothing else.
"""
import base64
import hashlib
import re
import sys

PLACES = ("@STYLE@", "@SCRIPT@", "@STYLE_HASH@", "@SCRIPT_HASH@", "@DATA@")


def read(path):
    """The file without the comment with its licence, which would be in every page."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return re.sub(r"\A(?:(?:// .*|/\* .* \*/|<!-- .* -->)\n)+", "", text)


def source(text):
    return "'sha256-%s'" % base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def array(name, text):
    data = text.encode()
    lines = [",".join(map(str, data[at:at + 32])) for at in range(0, len(data), 32)]
    return "const char %s[] = {%s};\nconst size_t %s_size = sizeof(%s);\n" % (name, ",\n".join(lines), name, name)


def main():
    page, style = map(read, sys.argv[2:4])
    script = "".join(map(read, sys.argv[4:]))
    for place in PLACES:
        if page.count(place) != 1:
            sys.exit("embed: %s is not once in %s" % (place, sys.argv[2]))
    if "</style" in style or "</script" in script or "<!--" in script:
        sys.exit("embed: the style or the script would end before its end")
    head, tail = page.split("@DATA@")
    made = []
    for part in (head, tail):
        for place, text in zip(PLACES, (style, script, source(style), source(script))):
            part = part.replace(place, text)
        made.append(part)
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write('#include "app/report/page.h"\n\n')
        file.write(array("iol_report_page_head", made[0]) + array("iol_report_page_tail", made[1]))


if __name__ == "__main__":
    main()
