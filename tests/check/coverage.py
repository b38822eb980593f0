#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""docs/COVERAGE.md against the source and the tests; each rule is first shown a tree that breaks it, then the real one.

usage: tests/check/coverage.py [ROOT]

The system calls are the entries X(name, number, CLASS) of NATIVE…(X) and COMPAT(X) in src/bpf/syscalls.bpf.h; the opcodes
the members URING_… and AIO_… of enum uring_opcode and enum aio_opcode in src/bpf; the routes IOL_ABI_ROUTE_… of src/abi/event.h;
the hooks of the probe set fexit the entries {"name", "function", …} of iol_probes_calls[] in src/capture/probes_calls.c.
"""
import glob
import os
import re
import sys
import tempfile

DOCUMENT = "docs/COVERAGE.md"
SYSCALLS = "src/bpf/syscalls.bpf.h"
PROBES = "src/capture/probes_calls.c"

# The classes that move bytes, with the route of their rows.
ROUTE_OF = {
    "READ": "rw", "READ_AT": "rw", "WRITE": "rw", "WRITE_AT": "rw", "IO_SUBMIT": "rw", "IO_GETEVENTS": "rw",
    "SENDFILE": "sendfile", "SPLICE": "splice", "COPY_FILE_RANGE": "copy_file_range", "MMAP": "mmap", "MMAP_OLD": "mmap",
}
# Those that move none; and so do all that stand behind CLASS_CHANGE in the enumeration of classes.
NO_BYTES = {"NONE", "EXECVE", "EXECVEAT", "MOUNT", "CLOSE"}


class Tree:
    """What the rules look at below a root."""

    def __init__(self, root):
        self.root = root
        self.rows = list(self.table_rows(self.read(DOCUMENT)))
        source = self.read(SYSCALLS)
        order = re.findall(r"\bCLASS_(\w+)", (re.search(r"enum syscall_class \{(.*?)\};", source, re.S) or [0, ""])[1])
        self.changes = set(order[order.index("CHANGE"):]) if "CHANGE" in order else set()
        self.syscalls = set(self.entries(source))
        self.opcodes = {"IORING_OP_" + name for name in self.members("uring_opcode", "URING_")} | \
                       {"IOCB_CMD_" + name for name in self.members("aio_opcode", "AIO_")}

    def read(self, path):
        try:
            with open(os.path.join(self.root, path), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    @staticmethod
    def table_rows(text):
        """(section heading, cells by the names in the head of the table) of each row."""
        section, head = "", None
        for line in text.split("\n"):
            if line.startswith("#"):
                section = line.strip("# ")
            if not line.startswith("|"):
                head = None
                continue
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if head is None:
                head = cells
            elif not re.fullmatch(r"[-|: ]+", line):
                yield section, dict(zip(head, cells))

    @staticmethod
    def entries(source):
        """(name, 32-bit?, class) of each entry of the lists, of all architectures together."""
        lists = re.finditer(r"#define (NATIVE\w*|COMPAT\w*)\(X\)((?:[^\n]*\\\n)*[^\n]*)", source)
        for match in lists:
            for name, kind in re.findall(r"\bX\((\w+),\s*\d+,\s*(\w+)\)", match[2]):
                yield name, match[1].startswith("COMPAT"), kind

    def members(self, enum, prefix):
        for path in glob.glob(os.path.join(self.root, "src/bpf/*.h")):
            match = re.search(r"enum %s \{(.*?)\};" % enum, self.read(os.path.relpath(path, self.root)), re.S)
            if match:
                yield from re.findall(r"\b%s(\w+)" % prefix, match[1])

    def hooked(self):
        """Calls of the probe set fexit, as described() names them, in their order."""
        table = re.search(r"iol_probes_calls\[\] = \{(.*?)\n\};", self.read(PROBES), re.S)
        return re.findall(r'\{"([^"]+)", "__\w+"', table[1]) if table else []

    def routes(self):
        """Rows of the table of routes: (route, 32-bit?, call) for each call of each row."""
        for section, row in self.rows:
            if section == "Routes" and "route" in row:
                for call in backticked(row["call"]):
                    yield row["route"], "(32-bit)" in row["call"], call

    def left_out(self):
        return {call for section, row in self.rows if section == "Not counted" for call in backticked(row.get("what", ""))}


def backticked(text):
    return re.findall(r"`([^`]+)`", text)


# Rules: each takes a tree and yields one line for each place that breaks it.

def lists_are_found(tree):
    """The formats above are assumed: nothing found means that they are others now."""
    if not tree.rows:
        yield "no tables in %s" % DOCUMENT
    if not tree.syscalls:
        yield "no entries X(name, number, CLASS) in %s" % SYSCALLS
    if not tree.opcodes:
        yield "no enum uring_opcode or aio_opcode in src/bpf"


def routes_have_rows(tree):
    have = {route for route, _, _ in tree.routes()}
    for name in re.findall(r"\bIOL_ABI_ROUTE_(\w+)", tree.read("src/abi/event.h")):
        if name != "SLOTS" and name.lower() not in have:
            yield "no row for the route %s" % name.lower()


def described(name, compat):
    return name + (" (32-bit)" if compat else "")


def syscalls_have_rows(tree):
    have = set(tree.routes())
    for name, compat, kind in sorted(tree.syscalls):
        if kind in ROUTE_OF:
            if (ROUTE_OF[kind], compat, name) not in have:
                yield "no row for %s, of route %s" % (described(name, compat), ROUTE_OF[kind])
        elif kind not in NO_BYTES | tree.changes:
            yield "%s: does class %s move bytes? tests/check/coverage.py does not know" % (described(name, compat), kind)


def calls_are_hooked(tree):
    """The two probe sets look at the same calls; reads and writes come last, and read as the very last (see there)."""
    hooked = tree.hooked()
    wanted = {described(name, compat): kind for name, compat, kind in tree.syscalls}
    for name in sorted(set(wanted) - set(hooked)):
        yield "%s: the probe set fexit has no hook for it" % name
    for name in sorted(set(hooked) - set(wanted)):
        yield "%s: the probe set fexit hooks it, and nothing in src/bpf handles it" % name
    for name in sorted({name for name in hooked if hooked.count(name) > 1}):
        yield "%s: the probe set fexit hooks it twice" % name
    if hooked and hooked[-1] != "read":
        yield "%s stands behind read in iol_probes_calls[] of %s" % (hooked[-1], PROBES)


def opcodes_have_rows(tree):
    have = {call for _, _, call in tree.routes()} | tree.left_out()
    for opcode in sorted(tree.opcodes - have):
        yield "no row for %s" % opcode


def rows_are_handled(tree):
    handled = {(name, compat) for name, compat, kind in tree.syscalls if kind in ROUTE_OF}
    for route, compat, call in tree.routes():
        if call not in tree.opcodes and (call, compat) not in handled:
            yield "%s, of route %s: nothing in src/bpf handles it" % (described(call, compat), route)


def defines(text, path, function):
    if path.endswith(".py"):
        return re.search(r"^def %s\(" % function, text, re.M)
    return re.search(r"^(?!\s)[^;{}()\n]*\b%s\([^;]*\)\n\{" % function, text, re.M)


def is_run(tree, path):
    """A workload is run by a script that names it; a script runs itself."""
    name = re.fullmatch(r"workload_(\w+)\.c", path)
    scripts = glob.glob(os.path.join(tree.root, "tests/live/test_*.py"))
    return not name or any('"%s"' % name[1] in tree.read(os.path.relpath(s, tree.root)) for s in scripts)


def tests_exist(tree):
    for section, row in tree.rows:
        cell = row.get("test", "")
        tests = re.findall(r"`([\w.]+): (\w+)`", cell)
        if not tests and (cell != "-" or section != "Not counted"):
            yield "%s: no test in the row %s" % (section, " | ".join(row.values())[:80])
        for path, function in tests:
            text = tree.read("tests/live/" + path)
            if not text:
                yield "%s: there is no tests/live/%s" % (section, path)
            elif not defines(text, path, function):
                yield "%s: tests/live/%s has no function %s" % (section, path, function)
            elif not is_run(tree, path):
                yield "%s: no tests/live/test_*.py runs %s" % (section, path)


# A tree in which every rule holds; the samples replace one of its files.
GOOD = {
    DOCUMENT: "## Routes\n| route | call | test |\n|---|---|---|\n| rw | `read` | `workload_a.c: go` |\n"
              "| rw | `read` (32-bit) | `test_a.py: main` |\n| io_uring | `IORING_OP_READ` | `test_a.py: main` |\n"
              "## Not counted\n| what | test |\n|---|---|\n| `IORING_OP_NOP` | - |\n",
    SYSCALLS: "enum syscall_class {\n CLASS_READ,\n CLASS_CHANGE,\n CLASS_OPEN,\n};\n"
              "#define NATIVE(X) \\\n X(read, 0, READ) X(open, 2, OPEN)\n#define COMPAT(X) X(read, 3, READ)\n",
    PROBES: 'const struct iol_probes_call iol_probes_calls[] = {\n    {"open", "__x64_sys_open", 1},\n    {"read (32-bit)", "__ia32_sys_read", 0},\n'
            '    {"read", "__x64_sys_read", 0},\n};\n',
    "src/bpf/uring.bpf.h": "enum uring_opcode {\n URING_READ = 22,\n URING_NOP = 0,\n};\n",
    "src/abi/event.h": "IOL_ABI_ROUTE_RW, IOL_ABI_ROUTE_IO_URING, IOL_ABI_ROUTE_SLOTS",
    "tests/live/workload_a.c": "static void go(int times)\n{\n}\n",
    "tests/live/test_a.py": 'def main():\n    run("a")\n',
}

# Rule, what it says, and what breaks it: (file, text, its replacement).
RULES = (
    (lists_are_found, "the lists of the source and the tables of the page are found", (
        (DOCUMENT, "|", "!"),
        (SYSCALLS, "X(", "Y("),
        ("src/bpf/uring.bpf.h", "uring_opcode", "opcode"),
    )),
    (routes_have_rows, "every route has a row", (
        ("src/abi/event.h", "ROUTE_RW", "ROUTE_RW, IOL_ABI_ROUTE_CARRIER_PIGEON"),
    )),
    (syscalls_have_rows, "every system call that moves bytes has a row", (
        (SYSCALLS, "X(open", "X(readv, 19, READ) X(open"),
        (SYSCALLS, "X(read, 3", "X(pread64, 180, READ_AT) X(read, 3"),
        (SYSCALLS, "X(open, 2, OPEN)", "X(open, 2, OTHER)"),
        (DOCUMENT, "| rw | `read` |", "| sendfile | `read` |"),
    )),
    (calls_are_hooked, "both probe sets look at the same system calls", (
        (SYSCALLS, "X(open", "X(readv, 19, READ) X(open"),
        (SYSCALLS, "X(open, 2, OPEN)", ""),
        (PROBES, '"read (32-bit)"', '"read"'),
        (PROBES, '{"open"', '{"creat"'),
        (PROBES, "\n};", '\n    {"open", "__x64_sys_open", 1},\n};'),
    )),
    (opcodes_have_rows, "every opcode that is looked at has a row", (
        ("src/bpf/uring.bpf.h", "URING_NOP = 0", "URING_NOP = 0, URING_WRITE = 23"),
    )),
    (rows_are_handled, "every row is handled by the source", (
        (DOCUMENT, "`read` |", "`read` `readv` |"),
        (SYSCALLS, "X(read, 3", "X(write, 3"),
        (DOCUMENT, "`IORING_OP_READ`", "`IORING_OP_READ` `IORING_OP_WRITE`"),
    )),
    (tests_exist, "every row names a test that exists and is run", (
        (DOCUMENT, "workload_a.c: go", "workload_a.c: come"),
        (DOCUMENT, "workload_a.c: go", "workload_b.c: go"),
        (DOCUMENT, "`workload_a.c: go`", "-"),
        (DOCUMENT, "`workload_a.c: go`", ""),
        ("tests/live/test_a.py", '"a"', '"b"'),
        ("tests/live/workload_a.c", "\n{\n}", ";"),
    )),
)


def plant(folder, files):
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
        with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
            file.write(text)
    return Tree(folder)


def overlooks(rule, path, text, replacement):
    """True when the rule does not see the sample, or sees something where nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        if list(rule(plant(folder, GOOD))):
            return True
        return not list(rule(plant(folder, {path: GOOD[path].replace(text, replacement)})))


def main():
    tree = Tree(os.path.abspath(sys.argv[1] if sys.argv[1:] else os.path.join(os.path.dirname(__file__), "../..")))
    failed = False
    for number, (rule, name, samples) in enumerate(RULES, 1):
        wrong = ["it overlooks %r for %r in %s" % (new, old, path) for path, old, new in samples if overlooks(rule, path, old, new)]
        wrong += rule(tree)
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, name))
        for line in wrong:
            print("# " + line.encode("ascii", "backslashreplace").decode())
        failed = failed or bool(wrong)
    print("1..%d" % len(RULES))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
