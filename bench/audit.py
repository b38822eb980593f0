# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""The kernel's audit of the reads of one program, with auditd and its log in a folder of the caller's.

Once audit has been enabled, each task forked later pays for every system call until the machine is booted anew, unless
the rule `-a never,task` is there when it is forked. The rule is set before, taken away while the audited program is forked,
and stays in the end.
"""
import contextlib
import os
import signal
import subprocess
import time

from benchlib import Attached, Unavailable

NEVER = ["-a", "never,task"]
SETTINGS = {"enabled": "-e", "failure": "-f", "rate_limit": "-r", "backlog_limit": "-b", "backlog_wait_time": "--backlog_wait_time"}
CONF = """\
log_file = %(folder)s/audit.log
log_group = root
log_format = ENRICHED
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 256
num_logs = 2
max_log_file_action = ROTATE
space_left = 75
space_left_action = IGNORE
admin_space_left = 50
admin_space_left_action = SUSPEND
disk_full_action = SUSPEND
disk_error_action = SUSPEND
plugin_dir = %(folder)s/plugins.d
"""


def auditctl(*arguments):
    """What it says; Unavailable when it fails."""
    done = subprocess.run(["auditctl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable("auditctl %s: %s" % (" ".join(arguments), (done.stderr or done.stdout).strip().split("\n")[0]))
    return done.stdout


def status():
    """{setting: number}, of those lines of `auditctl -s` that are numbers."""
    lines = [line.split() for line in auditctl("-s").splitlines()]
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}


def kernel_thread():
    """The pid of kauditd, or None."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open("/proc/%s/comm" % pid, encoding="ascii", errors="replace") as comm:
            if comm.read().strip() == "kauditd":
                return int(pid)
    return None


def refuse_if_used():
    """A machine whose audit somebody uses is left alone."""
    found = status()
    rules = auditctl("-l").strip()
    if found["enabled"] == 2 or found["pid"] != 0 or rules not in ("No rules", " ".join(NEVER)):
        raise Unavailable("this machine's audit is in use")


class Audit(Attached):
    def __init__(self, folder, program):
        refuse_if_used()
        self.folder, self.before = folder, status()
        os.makedirs(os.path.join(folder, "plugins.d"), exist_ok=True)
        with open(os.path.join(folder, "auditd.conf"), "w", encoding="ascii") as conf:
            conf.write(CONF % {"folder": folder})
        try:
            auditctl("-D")
            auditctl(*NEVER)
            auditctl("-b", "8192", "--backlog_wait_time", "60000")  # those of Debian's rules
            super().__init__(["auditd", "-n", "-s", "nochange", "-c", folder], "")
            self.wait_for_daemon()
            auditctl("-a", "always,exit", "-F", "arch=b64", "-S", "read", "-F", "exe=" + program)
            auditctl("-e", "1")
            self.lost_before = status()["lost"]
        except BaseException:
            self.restore()
            raise

    def wait_for_daemon(self):
        end = time.monotonic() + 10
        while status()["pid"] != self.pid:
            if self.process.poll() is not None or time.monotonic() > end:
                raise Unavailable("auditd does not start: %s" % (self.said().strip().split("\n")[0] or "no message"))
            time.sleep(0.05)

    def start(self, command):
        """Starts the program that shall be audited."""
        auditctl("-d", *NEVER[1:])
        try:
            return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        finally:
            auditctl(*NEVER)

    def lost(self):
        return status()["lost"] - self.lost_before

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)  # SIGINT would lose what it has not written
        try:
            return super().stop() if self.process.poll() is not None else self.process.wait(60)
        finally:
            self.restore()

    def restore(self):
        process = getattr(self, "process", None)
        if process and process.poll() is None:
            process.kill()
            process.wait()
        auditctl("-D")
        auditctl(*NEVER)
        for setting, option in SETTINGS.items():
            auditctl(option, str(self.before[setting]))
