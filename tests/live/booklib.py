# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Compares the books with what a workload says it has done: (process, file, kind, route) by (process, file, kind, route)."""
import os

import livelib as live

NOTHING = (0,) * len(live.COUNTERS)
# One account for each process and kind, whatever their names: the workloads use them, and nothing else does.
GROUPED = ("pipe", "socket", "other")
# Every ring is mapped; only test_mmap counts how often.
RING = "anon_inode:[io_uring]"
EVERY = "every file"


class Books:
    """A workload that was recorded to its end, in `folder`: `expected` and `notes` as it wrote them to `result`, `url` the ledger."""

    maps = True  # whether the workload tells of its mappings too

    def __init__(self, tap, name, folder, url, result):
        self.tap, self.name, self.folder, self.url = tap, name, folder, url
        self.expected, self.notes = live.read_expected(result)

    def noted(self, scenario):
        """The words that a scenario noted."""
        return [word for _, word in self.notes.get(scenario, [])]

    def check(self, ignored=(), either=()):
        """Each scenario's accounts are exact, the processes have no others in the folder, and the books balance.

        `ignored` are keys that the caller judges itself. The files named by `either`, or all when it is EVERY, are exact in sum: what they
        have on the route io_uring is told apart in another way by each kernel.
        """
        want, scenario_of = {}, {}
        for account in self.expected:
            key = (account.pid, account.path, account.kind, account.route)
            want[key] = add(want.get(key, NOTHING), account.counts)
            scenario_of.setdefault(key, account.scenario)
        got = self.booked(want)
        if either:
            self._check_sum([key for key in {**want, **got} if (either == EVERY or os.path.basename(key[1]) in either) and key[3] == "io_uring"], want, got)
        for scenario in dict.fromkeys(scenario_of.values()):
            keys = [key for key in want if scenario_of[key] == scenario]
            wrong = ["%s: did %s, in the books %s" % (key, want[key], got.get(key)) for key in keys if want[key] != got.get(key)]
            self.tap.ok(not wrong, "%s: %s: %d accounts exact (%s)" % (self.name, scenario, len(keys), ", ".join(live.COUNTERS)),
                        *wrong[:20])
        surplus = {key: got[key] for key in got if key not in want and key not in ignored}
        self.tap.equal(surplus, {}, "%s: nothing else in the books of its processes" % self.name)
        live.check_balance(self.tap, self.url, self.name)

    def _check_sum(self, keys, want, got):
        sums = [NOTHING, NOTHING]
        for key in keys:
            sums = [add(sums[0], want.pop(key, NOTHING)), add(sums[1], got.pop(key, NOTHING))]
        self.tap.equal(sums[1], sums[0], "%s: %d accounts exact in sum" % (self.name, len(keys)))

    def booked(self, want):
        """What the ledger has of the workload's processes: their files in the folder, and those without a place in the tree."""
        pids = {account.pid for account in self.expected} | {pid for notes in self.notes.values() for pid, _ in notes}
        main = self.notes["start"][0][0]
        got = {}
        for row in live.accounts(self.url, maps=self.maps):
            key = (row["pid"], row["path"], row["kind"], row["route"])
            if row["pid"] not in pids or (row["pid"] == main) != (row["origin"] == "exec"):
                continue
            if row["path"] == RING and key not in want:
                continue
            inside = (row["path"] + "/").startswith(self.folder + "/")
            if inside or key in want or row["kind"] in GROUPED or row["route"] == "io_uring":
                got[key] = add(got.get(key, NOTHING), live.sums([row]))
        return got


class Run(Books):
    """Records a workload to its end."""

    def __init__(self, tap, scratch, kind, name, *words, options=()):
        folder, url = os.path.join(scratch, kind + "-" + name), live.new_url(kind, scratch)
        self.kind, self.result = kind, folder + ".result"
        os.mkdir(folder)
        recorder = live.Recorder(url, *options, command=[live.workload(name), folder, *map(str, words)],
                                 env={**os.environ, "IOLEDGER_RESULT": self.result})
        status = recorder.wait()
        if status != 0:
            raise live.Failure("%s: %s: the workload ended with status %s: %s" % (kind, name, status, recorder.errors()))
        super().__init__(tap, "%s: %s" % (kind, name), folder, url, self.result)


def add(a, b):
    return tuple(x + y for x, y in zip(a, b))
