# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What ioledger doctor must say of each kernel: exactly what that one lacks, and nothing else."""
import json
import os
import re

NOT_FEXIT = "where a thread can be preempted within a hook, those that cannot cost reads and writes more"
# What is not "ok" there, and the words for it.
LACKS = {
    "5.10": {"direct loads": "not there", "fexit": "it needs Linux 6.1",
             "io_uring": "io_uring_complete does not tell the request", "descriptor notes": "not there"},
    "6.1": {"direct loads": "not there", "fexit": "without CONFIG_FPROBE each of a hundred hooks takes the kernel a tenth of a second to remove"},
    "6.12": {},
    "7": {"fexit": NOT_FEXIT},
}
# The same with lockdown=integrity: whether anything can be preempted stands in debugfs, which is shut there.
LOCKED_DOWN = {**LACKS, "6.12": {"fexit": NOT_FEXIT}}
# Of what is "ok" everywhere the words for what was found, where they tell something.
FOUND = {
    "5.10": {"preemption": "no thread is preempted within a hook"},
    "6.1": {"io_uring": "io_uring_complete with request and result", "preemption": "no thread is preempted within a hook"},
    "6.12": {"io_uring": "io_uring_complete with request and result", "preemption": "no thread is preempted within a hook"},
    "7": {"io_uring": "io_uring_complete with request and completion",
          "preemption": "hooks by events and kprobe.multi, with preemption off"},
}
TRACED_URING = (5, 19)  # see src/capture/features.c


def uncovered(version):
    """Routes that no probe set covers there: a line of the recorder and a row in loss each."""
    return [] if version >= TRACED_URING else ["io_uring"]


def read_release(out):
    with open(os.path.join(out, "kernel"), encoding="utf-8") as file:
        return file.read().strip()


def fexit_loads(out):
    """Whether that set can be asked for, even if it is not what --probes auto takes; as tests/vm/init has it."""
    with open(os.path.join(out, "doctor-json.out"), encoding="utf-8") as file:
        detail = next(row["detail"] for row in json.load(file) if row["feature"] == "fexit")
    return not detail.startswith(("it needs", "this kernel refuses"))


def check(tap, out, kernel, habits):
    """The version of the kernel, and the state of each feature."""
    with open(os.path.join(out, "doctor.status"), encoding="utf-8") as status, open(os.path.join(out, "doctor.out"), encoding="utf-8") as table:
        tap.equal(status.read().strip(), "0", kernel + ": doctor finds nothing missing")
        table = table.read()
    for line in table.split("\n"):
        print("# " + line)
    with open(os.path.join(out, "doctor-json.out"), encoding="utf-8") as file:
        rows = json.load(file)
    version = tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", read_release(out)).groups())
    if kernel in LACKS:
        lacks = (LOCKED_DOWN if habits else LACKS)[kernel]
        tap.equal({row["feature"]: row["detail"] for row in rows if row["state"] != "ok"}, lacks,
                  "%s: doctor lists what it lacks, and no more: %s" % (kernel, ", ".join(lacks) or "nothing"))
        found = {row["feature"]: row["detail"] for row in rows if row["state"] == "ok"}
        wrong = {name: found.get(name) for name, words in FOUND[kernel].items() if found.get(name) != words and not habits}
        tap.ok(not wrong, kernel + ": doctor says what it found instead", wrong)
        tap.equal(found["cgroup"][:2], "v1" if habits else "v2", kernel + ": doctor about cgroups")
        unsaid = [row["feature"] for row in rows if row["state"] != "ok" and row["feature"] + ": " + row["consequence"] not in table]
        tap.ok(not unsaid, kernel + ": doctor says in words what follows from each", *unsaid)
    return version, {row["feature"]: row["state"] for row in rows}
