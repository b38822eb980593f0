# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What tests/vm/run tells besides single cases: the work of the verifier, the cost of a call."""
import json
import os
import re

import cells

GROWTH = 1.2  # of the instructions that the verifier looks at, against the table
FREE = ("getppid", "lseek")  # calls that the probe set fexit does not touch
COMPARED = ("read", "pread64", "pwrite64")  # those that may cost no more than with the set tracepoint
HOOKS = (("tracepoint", "tracepoint (tp_btf)"), ("event", "event of that tracepoint"), ("fexit", "fexit"), ("return", "kretprobe.multi"))


class Verified:
    """The table of what the verifier looked at, by kernel and program: most of both settings that tests/vm/verify.c loads it with."""

    def __init__(self, path):
        self.path = path
        self.table = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.table = json.load(file)

    @staticmethod
    def read(out):
        """{"modern on_read": instructions}; a program that the kernel refused is not in it."""
        found = {}
        for name in ("plain", "legacy", "modern"):
            path = os.path.join(out, "verify-%s.out" % name)
            if not os.path.exists(path):
                continue
            with open(path, encoding="utf-8") as file:
                for line in file:
                    match = re.match(r"(\w+) (\d+) (\d+) ", line)
                    if match:
                        found["%s %s" % (name, match[1])] = max(int(match[2]), int(match[3]))
        return found

    def check(self, tap, kernel, out, record):
        found, known = self.read(out), self.table.get(kernel, {})
        if record:
            self.table[kernel] = found
            with open(self.path, "w", encoding="utf-8") as file:
                json.dump(self.table, file, indent=1, sort_keys=True)
                file.write("\n")
            return
        if not known:
            tap.skip(kernel + ": the verifier's work", "tests/vm/verified.json has nothing of this kernel: --record")
            return
        grown = ["%s: %d, and was %d" % (name, n, known[name]) for name, n in found.items() if n > known.get(name, n) * GROWTH]
        missing = sorted(set(known) - set(found))
        tap.ok(not grown, "%s: the verifier looks at no more than before, in %d programs" % (kernel, len(found)), *grown)
        tap.ok(not missing, kernel + ": no program is refused that was not before", *missing)


class Steps:
    """Instructions of a call in the guest, without a recorder and with each probe set: tests/vm/steps.c."""

    def __init__(self):
        self.rows = []
        self.empty = []
        self.runs = []

    @staticmethod
    def read(out, name, what="steps"):
        path = os.path.join(out, "%s-%s.out" % (what, name))
        if not os.path.exists(path):
            return {}
        with open(path, encoding="utf-8") as file:
            return {match[1]: float(match[2]) for match in (re.match(r"(\S+) ([\d.]+)$", line) for line in file) if match}

    def check(self, tap, kernel, out, is_best):
        none, tracepoint, fexit = (self.read(out, name) for name in ("none", "tracepoint", "fexit"))
        if not tap.ok(none and tracepoint, kernel + ": instructions of a call were counted"):
            return
        for hook, what in HOOKS:
            empty = self.read(out, "empty-" + hook)
            self.empty.append([kernel, what, *("%+.0f" % (empty[call] - none[call]) if empty else "-" for call in ("getppid", *COMPARED))])
        for call in none:
            more = ["%+.0f" % (after[call] - none[call]) if call in after else "-" for after in (tracepoint, fexit)]
            self.rows.append([kernel, call, "%.0f" % none[call], *more])
        runs = {name: self.read(out, name, "runs") for name in ("tracepoint", "fexit")}
        for call in none:
            self.runs.append([kernel, call, *("%.2f" % runs[name][call] if runs[name] else "-" for name in runs)])
        if not fexit:
            tap.skip(kernel + ": instructions with fexit", "it cannot be used there")
            return
        for call in FREE:
            tap.ok(fexit[call] - none[call] < 1, "%s: %s costs nothing with fexit" % (kernel, call), fexit[call], none[call])
            tap.equal(runs["fexit"][call], 0, "%s: %s runs no program with fexit" % (kernel, call))
        for call in COMPARED:
            tap.ok(0 < runs["fexit"][call] <= runs["tracepoint"][call], "%s: %s runs no more programs with fexit than with tracepoint" % (kernel, call),
                   runs["fexit"][call], runs["tracepoint"][call])
        for call in COMPARED if is_best else ():  # where nothing can be preempted within a hook
            tap.ok(fexit[call] <= 1.05 * tracepoint[call], "%s: %s costs a twentieth more with fexit than with tracepoint at most" % (kernel, call),
                   fexit[call], tracepoint[call])
        if is_best:  # together: tracepoint comes to one of them sooner than to the next
            own = [sum(after[call] - self.read(out, "empty-" + hook)[call] for call in COMPARED)
                   for after, hook in ((tracepoint, "tracepoint"), (fexit, "fexit"))]
            tap.ok(own[1] <= own[0] + len(COMPARED), "%s: reads and writes: beyond what a hook costs that does nothing, no more with fexit" % kernel, *own)

    def text(self):
        return "\n\n".join((cells.markdown(["kernel", "call", "without a recorder", "tracepoint", "fexit"], self.rows),
                            cells.markdown(["kernel", "a hook that does nothing", "getppid", *COMPARED], self.empty),
                            cells.markdown(["kernel", "programs run for a call", "tracepoint", "fexit"], self.runs)))
