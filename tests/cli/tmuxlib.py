# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""ioledger in a terminal of a given size, as a person sees it: a shell in a tmux server of its own."""
import os
import re
import shlex
import shutil
import subprocess
import time

from clilib import IOLEDGER, PATIENCE


def has_tmux():
    return shutil.which("tmux") is not None


class Terminal:
    def __init__(self, scratch, width, height):
        self.socket = os.path.join(scratch, "tmux-%d" % width)
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PS1": "shell> ", "TERM": "screen"}
        self.call("-u", "-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height),
                  "exec env -i %s sh" % " ".join("%s='%s'" % item for item in env.items()))
        self.wait("shell>")
        self.modes = self.look_at_modes()

    def call(self, *args):
        done = subprocess.run(["tmux", "-S", self.socket, *args], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              env={**os.environ, "TMUX": "", "LC_ALL": "C.UTF-8", "TERM": "xterm"}, timeout=PATIENCE)
        if done.returncode != 0:
            raise RuntimeError("tmux %s: %s" % (args, done.stderr))
        return done.stdout.decode("utf-8", "replace")

    def wait(self, pattern, *options):
        """What is on the screen once the pattern is in it."""
        end = time.monotonic() + PATIENCE
        while True:
            text = self.call("capture-pane", "-p", *options)
            if re.search(pattern, text, re.MULTILINE):
                return text
            if time.monotonic() > end:
                raise RuntimeError("no %r on the screen:\n%s" % (pattern, text))
            time.sleep(0.05)

    def run(self, args):
        """What the command leaves on a cleared screen, what was scrolled off it included."""
        self.call("send-keys", "-l", "clear")
        self.call("send-keys", "Enter")
        self.wait(r"\A\s*shell>\s*\Z")
        self.call("clear-history")
        self.call("send-keys", "-l", shlex.join([IOLEDGER, *args]) + "; echo end=$?")
        self.call("send-keys", "Enter")
        text = self.wait(r"^end=\d+$", "-S", "-")
        return text[:text.rindex("\nend=") + 1]

    def look_at_modes(self):
        """What a hostile name would like to change."""
        return self.call("display-message", "-p", "#{alternate_on} #{cursor_flag} #{insert_flag} #{keypad_cursor_flag} #{origin_flag} "
                         "#{wrap_flag} #{mouse_any_flag} #{pane_title}")

    def is_sane(self):
        return self.look_at_modes() == self.modes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.call("kill-server")
