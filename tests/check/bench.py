#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""bench/check fails when it must: with baselines that the objects do not meet, and a hotpath that tells what it is told to.

usage: tests/check/bench.py BENCH_CHECK BUILD
"""
import json
import os
import re
import subprocess
import sys
import tempfile

CHECK, BUILD = map(os.path.abspath, sys.argv[1:3])
FLOOR, USUAL = 100, {"record": 170, "filtered": 120, "ignored": 130, "sample_100": 190, "every": 900}
RATIOS = {"record": 1.7, "filtered": 1.2, "ignored": 1.3, "record getppid": 1.7}
CALLS = ("read_zero", "pread_file", "write_null", "getppid")


class Bench:
    """A build folder with the real objects."""

    def __init__(self, folder):
        self.folder = folder
        os.mkdir(os.path.join(folder, "bench"))
        os.mkdir(os.path.join(folder, "src"))
        os.symlink(os.path.join(BUILD, "src", "bpf"), os.path.join(folder, "src", "bpf"))
        self.instructions, self.made_by = {}, ""
        self.tell(USUAL)
        out = self.check({}, compiler="another")[1]
        self.made_by = re.search(r"^# by (.*), the baseline by", out, re.M).group(1)
        self.instructions = {name: int(n) for name, n in re.findall(r"^# (.*) is new: (\d+) instructions$", out, re.M)}

    def tell(self, *attempts):
        """What hotpath prints at its first start, its second, ..., and from then on."""
        path = os.path.join(self.folder, "bench", "hotpath")
        for number, added in enumerate(attempts, 1):
            with open("%s.%d" % (path, number), "w", encoding="ascii") as file:
                file.writelines("%s %s 1000 %d\n" % (state, call, ns) for call in CALLS
                                for state, ns in {"floor": FLOOR, **added}.items())
        with open(path, "w", encoding="ascii") as file:
            file.write('#!/bin/sh\ncat "$0.1"\nif [ -e "$0.2" ]; then mv "$0.2" "$0.1"; fi\n')
        os.chmod(path, 0o755)

    def check(self, instructions, compiler=None):
        """(exit status, what it prints)"""
        path = os.path.join(self.folder, "baseline.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump({"compiler": compiler or self.made_by, "instructions": instructions, "ratios": RATIOS}, file)
        done = subprocess.run([CHECK, "--build", self.folder, "--baseline", path], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


def failures(out):
    return [line.split(" - ", 1)[1].split(":")[0] for line in out.split("\n") if line.startswith("not ok")]


def main():
    count = failed = 0

    def ok(good, name, out):
        nonlocal count, failed
        count += 1
        failed += not good
        print("%s %d - %s" % ("ok" if good else "not ok", count, name))
        if not good:
            print(*("# " + line for line in out.split("\n") if not line.startswith("ok")), sep="\n")

    with tempfile.TemporaryDirectory(prefix="ioledger-check-") as folder:
        bench = Bench(folder)
        hot, some = "ioledger on_sys_exit", dict(bench.instructions)
        status, out = bench.check(some)
        ok(status == 0 and not failures(out) and hot in some, "nothing is above its baseline", out)
        some[hot] = int(some[hot] / 1.2)
        status, out = bench.check(some)
        ok(status == 1 and failures(out) == [hot], "a function that has grown by a fifth is named", out)
        ok("%d instructions, %d in" % (bench.instructions[hot], some[hot]) in out, "with both numbers", out)
        status, out = bench.check(some, compiler="another")
        ok(status == 0 and "# by " in out, "from another compiler that is let pass, and told", out)
        some[hot] //= 2
        status, out = bench.check(some, compiler="another")
        ok(status == 1 and failures(out) == [hot], "a function of twice the size is not", out)
        some = dict(bench.instructions, gone=10)
        del some[hot]
        status, out = bench.check(some)
        ok(status == 0 and hot + " is new" in out and "gone is gone" in out, "functions that are new and gone are told", out)
        status, out = bench.check({"gone": 10})
        ok(status == 1, "no function of the baseline is left", out)
        if os.geteuid() == 0 and os.path.exists("/sys/kernel/btf/vmlinux"):
            bench.tell(dict(USUAL, ignored=160))
            status, out = bench.check(bench.instructions)
            ok(status == 1 and failures(out) == ["ignored"] and out.count("# attempt") == 4, "four attempts above the baseline", out)
            bench.tell(dict(USUAL, ignored=160), USUAL)
            status, out = bench.check(bench.instructions)
            ok(status == 0 and out.count("# attempt") == 2, "one attempt above, and one that is not", out)
            os.unlink(os.path.join(folder, "bench", "hotpath"))
            status, out = bench.check(bench.instructions)
            ok(status == 1, "nothing to measure with", out)
        else:
            count += 1
            print("ok %d - costs above the baseline # SKIP not root, or no BTF" % count)
    print("1..%d" % count)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
