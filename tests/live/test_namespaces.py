#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Whatever namespaces a process is in, its row has what the host calls it: user id, process id, times. And the pid of its own namespace."""
import ctypes
import os
import subprocess
import time

import livelib as live

NEW_USER = 0x10000000  # CLONE_NEWUSER
HOST_UID = 54321
DAY = 86400


def new_file(scratch, name):
    path = os.path.join(scratch, name)
    with open(path, "wb") as file:
        file.write(b"namespace\n")
    return path


def unshare_user():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_USER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def kernel_has(name):
    if not os.path.exists("/proc/self/ns/" + name):
        raise live.Skip("this kernel has no %s namespaces" % name)


def readers(url, path):
    return live.rows(url, "select distinct p.* from io i join process p on p.id = i.process_id join file f on f.id = i.file_id"
                          " where f.path = '%s' and i.read_bytes = 10" % path)


def cat(path, before, after=None):
    """Runs cat in a child that has called before(); `after`, if any, gets the child's pid, and the child waits for that."""
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            before()
            os.write(ready[1], b".")
            os.read(go[0], 1)
            if after:
                os.setuid(0)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.execv("/bin/cat", ["cat", path])
        finally:
            os._exit(99)
    os.read(ready[0], 1)
    if after:
        after(pid)
    os.write(go[1], b".")
    for end in (*ready, *go):
        os.close(end)
    return pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def user(tap, scratch):
    """Root of a user namespace is somebody else on the host."""
    kernel_has("user")
    url, path = live.new_url("sqlite", scratch), new_file(scratch, "user")

    def become_root(pid):
        for name in ("uid_map", "gid_map"):
            with open("/proc/%d/%s" % (pid, name), "w", encoding="ascii") as file:
                file.write("0 %d 1" % HOST_UID)

    recorder = live.Recorder(url)
    pid, status = cat(path, unshare_user, become_root)
    tap.equal((status, recorder.stop()), (0, 0), "user: cat and the recorder end well")
    tap.equal([(row["pid"], row["uid"], row["euid"]) for row in readers(url, path)], [(pid, HOST_UID, HOST_UID)],
              "user: root of a namespace has the user id of the host")
    live.check_balance(tap, url, "user")


def pid(tap, scratch):
    """The first process of a pid namespace within another one."""
    kernel_has("pid")
    url, path, plain = live.new_url("sqlite", scratch), new_file(scratch, "pid"), new_file(scratch, "plain")
    recorder = live.Recorder(url)
    script = 'cat "$1"; read line < /proc/self/stat; echo "${line%% *}"'
    done = subprocess.run(["unshare", "--pid", "--fork", "unshare", "--pid", "--fork", "sh", "-c", script, "sh", path], capture_output=True, text=True,
                          check=False)
    cat(plain, lambda: None)
    tap.equal((done.returncode, recorder.stop()), (0, 0), "pid: cat and the recorder end well")
    found = readers(url, path)
    tap.equal([row["ns_pid"] for row in found], [2], "pid: what the namespace calls it")
    parent = live.images(url, found[0]["ppid"])
    tap.ok(found[0]["pid"] > 2 and parent, "pid: what the host calls it, and its parent", found, parent)
    tap.equal(parent[-1]["ns_pid"], 1, "pid: its parent is the first of the namespace")
    tap.equal([row["ns_pid"] for row in readers(url, plain)], [None], "pid: outside of it there is one pid only")
    live.check_balance(tap, url, "pid")


def seconds(url, path):
    """Of the process that read it and of its reads: since the epoch."""
    sql = ("select min(strftime('%%s', p.start_time)), min(strftime('%%s', i.first_ts)), max(strftime('%%s', i.ts)) from io i join process p"
           " on p.id = i.process_id join file f on f.id = i.file_id where f.path = '%s'" % path)
    return [int(word) for word in live.rows(url, sql)[0].values()]


def times(tap, scratch):
    """A process in a time namespace, recorded from outside of it; and a recorder that is in one itself."""
    kernel_has("time")
    for name, inside in (("process", False), ("recorder", True)):
        url, path = live.new_url("sqlite", scratch), new_file(scratch, "time-" + name)
        begin = int(time.time())
        options = ["record", "--db", url, *(("--probes", live.PROBES) if live.PROBES else ())]
        if inside:
            command = [live.IOLEDGER, *options, "--", "cat", path]
            done = subprocess.run(["unshare", "--time", "--boottime", str(DAY), "--monotonic", str(DAY), "--fork", *command], capture_output=True,
                                  check=False)
        else:
            command = ["unshare", "--time", "--boottime", str(DAY), "--monotonic", str(DAY), "--fork", "cat", path]
            done = live.run(*options, "--", *command)
        tap.equal(done.returncode, 0, "time, %s: cat and the recorder end well" % name)
        found = seconds(url, path)
        tap.ok(all(begin - 2 <= when <= time.time() + 2 for when in found), "time, %s: its rows have the time of the clock on the wall" % name, begin, found)
        live.check_balance(tap, url, "time, " + name)


live.main(user, pid, times)
