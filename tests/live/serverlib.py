# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Harm done to a PostgreSQL server (livelib.PostgreSQL), and to the way to it."""
import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
import time

import livelib as live


def crash(cluster):
    """kill -9 of the postmaster; its children notice and go."""
    with open(os.path.join(cluster.data, "data/postmaster.pid"), encoding="ascii") as file:
        pid = int(file.readline())
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)  # one that is dead and not buried counts as running for pg_ctl
    live.wait_for(lambda: not is_left(os.path.join(cluster.data, "data")), "the end of all that belongs to the killed server")


def is_left(folder):
    """Whether any process of the cluster is there. All are our descendants, and become our children when their server is gone."""
    for pid, state in live.children():
        with contextlib.suppress(OSError):
            if state == b"Z" and open("/proc/%d/comm" % pid, "rb").read() == b"postgres\n":
                os.waitpid(pid, os.WNOHANG)
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.readlink("/proc/%s/cwd" % name) == folder:
                return True
    return False


def answers(url):
    return subprocess.run(["psql", "-X", "-q", "-d", url, "-c", "select 1"], capture_output=True, check=False).returncode == 0


def kill_backend(cluster):
    """kill -9 of a process that serves a recorder, if there is one; the server then ends all others, and is itself again."""
    with contextlib.suppress(live.Failure, ValueError, OSError):
        os.kill(int(live.psql(cluster.url, "select pid from pg_stat_activity where application_name = 'ioledger' limit 1")), signal.SIGKILL)


class Proxy(threading.Thread):
    """Between a client and the server's socket. A bad one holds bytes back, and cuts each connection at any byte."""

    def __init__(self, folder, server, luck, bad=False):
        super().__init__(daemon=True)
        self.server, self.luck, self.bad = server, luck, bad
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(folder, ".s.PGSQL.5432"))
        self.listener.listen(50)
        self.cuts = 0
        self.fuse = None  # bytes until a connection is cut, whichever it is
        self.start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        server = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError), client, server:
            server.connect(self.server)
            # The start of a session takes some 10 KB, and so does a batch.
            left = int(2 ** self.luck.uniform(6, 20)) if self.bad else None
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if self.fuse is not None:
                        left, self.fuse = self.fuse, None
                    if left is not None and len(data) >= left:
                        (server if source is client else client).sendall(data[:left])
                        self.cuts += 1
                        return
                    left = None if left is None else left - len(data)
                    if self.bad and self.luck.random() < 0.05:
                        time.sleep(self.luck.random() / 20)
                    (server if source is client else client).sendall(data)
