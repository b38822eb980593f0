# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""A process that reads and writes exactly what a test tells it to, and names that want to do harm."""
import os

import livelib as live

HOSTILE = [b"esc\x1b[2J\x1b[31mred", b"title\x1b]0;owned\x07", b"cursor\x1b[?25l\x1b[?1049l\x1b(0", b"new\nline\rback",
           "rtl\u202eevil\u2066".encode(), b"c1\xc2\x9b2J", b"bad\xff\xfe", "wide日本語".encode()]


class Worker:
    """A process that does what it is told, and nothing else: it reads orders from a pipe, which is counted as (pipes)."""

    def __init__(self):
        orders, self.orders = os.pipe()
        done, self.told = os.pipe()
        self.done = os.fdopen(done, "rb", 0)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.orders)
            self._serve(os.fdopen(orders, "rb"))
            os._exit(0)
        os.close(orders)
        os.close(self.told)

    def _serve(self, orders):
        files = {}
        for line in orders:
            what, count, size, path = line.rstrip(b"\n").split(b" ", 3)
            path = bytes.fromhex(path.decode())
            if path not in files:
                files[path] = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR)
            data = b"x" * int(size)
            for _ in range(int(count)):
                if what == b"read":
                    os.pread(files[path], int(size), 0)
                elif what == b"write":
                    os.pwrite(files[path], data, 0)
                else:
                    try:
                        os.pread(files[path], 1, 0)  # a directory
                    except IsADirectoryError:
                        pass
            os.write(self.told, b".")

    def do(self, what, count, size, path):
        os.write(self.orders, b"%s %d %d %s\n" % (what.encode(), count, size, os.fsencode(path).hex().encode()))
        if self.done.read(1) != b".":
            raise live.Failure("the worker has ended")


def new_file(folder, name, size=4096):
    path = os.path.join(os.fsencode(folder), name if isinstance(name, bytes) else name.encode())
    with open(path, "wb") as file:
        file.write(b"y" * size)
    return path
