#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Rules that every source file keeps; each rule is first shown a sample that breaks it, then the tree.

usage: tests/check/source.py [ROOT]
"""
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile

FORMAT_VERSION = "14"

COPYRIGHT = "SPDX-FileCopyrightText: The ioledger authors"
LICENCE = "BSD-2-Clause"
KERNEL_LICENCE = "GPL-2.0-only OR BSD-2-Clause"
KERNEL_FOLDERS = ("src/bpf/", "src/abi/")

CODE_NAMES = ("meson.build", "meson_options.txt", "Makefile", ".clang-format", ".clang-tidy")
CODE_ENDINGS = (".c", ".h", ".S.in", ".py", ".sh", ".sql", ".service")
TEXT_ENDINGS = (".md", ".txt", ".conf", ".in", ".yml", ".json")

# What each layer may include from src/; its own folder comes on top.
LAYERS = {
    "abi": (),
    "base": (),
    "bpf": ("abi",),
    "capture": ("abi", "base", "bpf/objects.h"),
    "core": ("abi", "base"),
    "store": ("core", "abi", "base"),
    "app": ("store", "core", "capture", "abi", "base"),
}

# Who may include a foreign header.
FOREIGN = (
    (re.compile(r"^bpf/"), re.compile(r"^src/(capture|bpf)/"), "only capture uses libbpf"),
    (re.compile(r"^sqlite3\.h$"), re.compile(r"^src/store/[^/]*sqlite[^/]*$"), "only src/store/*sqlite* uses SQLite"),
    (re.compile(r"^libpq"), re.compile(r"^src/store/[^/]*postgres[^/]*$"), "only src/store/*postgres* uses libpq"),
    (re.compile(r"^curl/"), re.compile(r"^src/store/clickhouse\.c$"), "only src/store/clickhouse.c uses libcurl"),
    (re.compile(r"^librdkafka/"), re.compile(r"^(src/store/[^/]*kafka[^/]*|tests/db/kafkacluster\.c)$"), "only src/store/*kafka* uses librdkafka"),
    (re.compile(r"^n?curses(w/.*)?\.h$|^term\.h$"), re.compile(r"^src/app/live/screen\.c$"), "only the screen of top uses ncurses"),
)


class Tree:
    """The files below a root, without what builds and version control put there."""

    def __init__(self, root):
        self.root = root
        self.paths = []
        for folder, subfolders, names in os.walk(root):
            subfolders[:] = [s for s in subfolders if not self.is_foreign(os.path.join(folder, s))]
            self.paths += [os.path.relpath(os.path.join(folder, n), root) for n in names]
        self.paths = sorted(p for p in self.paths if not os.path.islink(os.path.join(root, p)))

    @staticmethod
    def is_foreign(folder):
        return os.path.basename(folder) in (".git", "__pycache__", ".cache", "build") or os.path.exists(
            os.path.join(folder, "meson-private"))

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()

    def shebang(self, path):
        with open(os.path.join(self.root, path), "rb") as file:
            first = file.readline(200)
        return first.decode("utf-8", "replace").strip() if first.startswith(b"#!") else ""

    def code(self):
        for path in self.paths:
            if os.path.basename(path) in CODE_NAMES or path.endswith(CODE_ENDINGS) or self.shebang(path):
                yield path

    def text(self):
        names = (".gitignore", ".editorconfig", "LICENSE")
        code = set(self.code())
        for path in self.paths:
            known = path in code or path.endswith(TEXT_ENDINGS) or os.path.basename(path) in names
            if known and not path.startswith("LICENSES/"):
                yield path

    def c_files(self):
        return [p for p in self.paths if re.match(r"(src|tests|bench)/.*\.[ch]$", p)]


# Rules: each takes a tree and yields one line for each place that breaks it.

def uncommented(line):
    match = re.fullmatch(r"(?:(?://|#|--) (.*)|/\* (.*) \*/)", line)
    return (match.group(1) or match.group(2)) if match else None


def has_licence(tree):
    for path in tree.code():
        lines = tree.read(path).split("\n", 3)[:3]
        if lines and lines[0].startswith("#!"):
            lines = lines[1:]
        want = KERNEL_LICENCE if path.startswith(KERNEL_FOLDERS) else LICENCE
        if len(lines) < 2 or uncommented(lines[0]) != "SPDX-License-Identifier: " + want:
            yield "%s: its first line is not 'SPDX-License-Identifier: %s'" % (path, want)
        elif uncommented(lines[1]) != COPYRIGHT:
            yield "%s: its second line is not '%s'" % (path, COPYRIGHT)


def includes(tree, path):
    for number, line in enumerate(tree.read(path).split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield "%s:%d" % (path, number), match.group(1) == '"', match.group(2)


def points_downward(tree):
    for path in tree.paths:
        match = re.match(r"src/([^/]+)/.*\.[ch]$", path)
        if not match:
            continue
        layer = match.group(1)
        if layer not in LAYERS:
            yield "%s: no such layer: %s" % (path, layer)
            continue
        for place, own, header in includes(tree, path):
            target = header.split("/")[0]
            if not own:
                continue
            if layer == "bpf" and "/" not in header:
                continue
            if target not in LAYERS:
                yield '%s: "%s" is not a path from src/' % (place, header)
            elif target != layer and target not in LAYERS[layer] and header not in LAYERS[layer]:
                yield '%s: %s may not include "%s"' % (place, layer, header)


def keeps_libraries_apart(tree):
    for path in tree.paths:
        if not re.match(r"src/.*\.[ch]$", path):
            continue
        for place, own, header in includes(tree, path):
            for what, who, reason in FOREIGN:
                if not own and what.search(header) and not who.search(path):
                    yield "%s: <%s>: %s" % (place, header, reason)


def has_clean_whitespace(tree):
    for path in tree.text():
        text = tree.read(path)
        if text and not text.endswith("\n"):
            yield "%s: no newline at its end" % path
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                yield "%s:%d: trailing whitespace" % (path, number)
            if "\t" in line and os.path.basename(path) not in ("Makefile", "rules"):
                yield "%s:%d: a tab" % (path, number)


def format_tool():
    for name in ("clang-format-" + FORMAT_VERSION, "clang-format"):
        if shutil.which(name):
            version = subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout
            if re.search(r"version %s\." % FORMAT_VERSION, version):
                return name
    return None


def is_formatted(tree):
    files = tree.c_files()
    if not files:
        return
    run = subprocess.run([format_tool(), "--dry-run", "--Werror", "--style=file", *files], cwd=tree.root,
                         capture_output=True, text=True, check=False)
    first = {}
    for path, line in re.findall(r"^(\S[^:\n]*):(\d+):\d+: ", run.stderr, re.MULTILINE):
        first.setdefault(path, line)
    if run.returncode and not first:
        yield run.stderr.strip()
    for path, line in first.items():
        yield "%s:%s: not as clang-format writes it (make format)" % (path, line)


def parses(tree):
    for path in tree.code():
        shebang = tree.shebang(path)
        shell = re.search(r"\b(bash|sh)$", shebang.split(" -")[0])
        if path.endswith(".py") or "python" in shebang:
            try:
                ast.parse(tree.read(path))
            except (SyntaxError, ValueError) as error:
                yield "%s: %s" % (path, error)
        elif shell or path.endswith(".sh"):
            command = [shell.group(1) if shell else "bash", "-n", os.path.join(tree.root, path)]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            if run.returncode:
                yield "%s: %s" % (path, run.stderr.strip())


HEADER = "// SPDX-License-Identifier: %s\n// %s\n" % (LICENCE, COPYRIGHT)
KERNEL_HEADER = "// SPDX-License-Identifier: %s\n// %s\n" % (KERNEL_LICENCE, COPYRIGHT)

# Rule, what it says, and samples that break it, each in a tree of its own.
RULES = (
    (has_licence, "every source file says its licence", (
        ("src/base/a.c", "int a;\n"),
        ("src/bpf/a.h", HEADER),
        ("src/base/a.h", KERNEL_HEADER),
        ("tools/a", "#!/bin/sh\necho\n"),
    )),
    (points_downward, "includes point downward", (
        ("src/base/a.c", '#include "core/row.h"\n'),
        ("src/core/a.c", '#include "store/schema.h"\n'),
        ("src/store/a.c", '#include "capture/capture.h"\n'),
        ("src/capture/a.h", '#  include "core/row.h"\n'),
        ("src/capture/a.c", '#include "bpf/account.bpf.h"\n'),
        ("src/abi/a.h", '#include "base/error.h"\n'),
        ("src/bpf/a.h", '#include "base/error.h"\n'),
        ("src/app/a.c", '#include "options.h"\n'),
        ("src/app/a.c", '#include "../store/sink.h"\n'),
        ("src/util/a.c", "int a;\n"),
    )),
    (keeps_libraries_apart, "libbpf, SQLite, libpq and ncurses are used where they belong", (
        ("src/app/a.c", "#include <bpf/libbpf.h>\n"),
        ("src/store/reader.c", "#include <sqlite3.h>\n"),
        ("src/store/sink_sqlite.c", "#include <libpq-fe.h>\n"),
        ("src/app/live/page.c", "#include <curses.h>\n"),
    )),
    (has_clean_whitespace, "no tabs, no trailing whitespace, a newline at the end", (
        ("a.md", "a \n"),
        ("src/base/a.c", "\tint a;\n"),
        ("src/base/a.c", "int a;\r\n"),
        ("src/base/a.c", "int a;"),
    )),
    (is_formatted, "C files are as clang-format writes them", (
        ("src/base/a.c", "int  a;\n"),
        ("tests/unit/a.h", "int a(void) {\n    return 0;\n}\n"),
    )),
    (parses, "scripts parse", (
        ("tools/a", "#!/bin/bash\nif\n"),
        ("tools/a.sh", "case\n"),
        ("tools/a", "#!/usr/bin/env python3\nif\n"),
        ("tests/a.py", "def\n"),
    )),
)


def overlooks(rule, path, content, root):
    """True when the rule does not see what is wrong with the sample, or sees it in a tree where nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(os.path.join(root, ".clang-format"), folder)
        if list(rule(Tree(folder))):
            return True
        os.makedirs(os.path.join(folder, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(folder, path), "w", encoding="utf-8", newline="") as file:
            file.write(content)
        return not list(rule(Tree(folder)))


def main():
    root = os.path.abspath(sys.argv[1] if sys.argv[1:] else os.path.join(os.path.dirname(__file__), "../.."))
    failed = False
    for number, (rule, name, samples) in enumerate(RULES, 1):
        if rule is is_formatted and not format_tool():
            print("ok %d - %s # SKIP no clang-format %s" % (number, name, FORMAT_VERSION))
            continue
        wrong = ["it overlooks %r in %s" % (content, path) for path, content in samples
                 if overlooks(rule, path, content, root)]
        wrong += rule(Tree(root))
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, name))
        for line in wrong:
            print("# " + line.encode("ascii", "backslashreplace").decode())
        failed = failed or bool(wrong)
    print("1..%d" % len(RULES))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
