# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""ioledger in a terminal of a given size, as a person sees it: a shell in a tmux server of its own."""
import os
import re
import shutil
import subprocess

import livelib as live


def has_tmux():
    return shutil.which("tmux") is not None


class Terminal:
    """`ioledger` in its shell is the program that is tested, whatever is installed."""

    def __init__(self, scratch, width, height, cwd=None, **env):
        if not has_tmux():
            raise live.Skip("no tmux on this machine")
        self.width, self.height = width, height
        self.socket = os.path.join(scratch, "tmux-%d" % width)
        env = {"PATH": os.path.dirname(os.path.abspath(live.IOLEDGER)) + ":" + os.environ["PATH"], "LC_ALL": "C.UTF-8", "PS1": "shell> ",
               "TERM": "screen", **{name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}, **env}
        self.call("-u", "-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), "-c", cwd or scratch,
                  "exec env -i %s sh" % " ".join("%s='%s'" % item for item in env.items()))
        self.wait("shell>")
        self.before = self.modes()

    def call(self, *args):
        done = subprocess.run(["tmux", "-S", self.socket, *args], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              env={**os.environ, "TMUX": "", "LC_ALL": "C.UTF-8", "TERM": "xterm"}, timeout=live.PATIENCE)
        if done.returncode != 0:
            raise live.Failure("tmux %s: %s" % (args, done.stderr))
        return done.stdout.decode("utf-8", "replace")

    def screen(self, *options):
        return self.call("capture-pane", "-p", *options)

    def keys(self, *keys):
        self.call("send-keys", *keys)

    def say(self, text):
        self.call("send-keys", "-l", text)

    def ask(self, what):
        return self.call("display-message", "-p", what).rstrip("\n")

    def wait(self, pattern, patience=None, options=()):
        """The screen once the pattern is on it."""
        last = [""]

        def look():
            last[0] = self.screen(*options)
            return re.search(pattern, last[0], re.MULTILINE)
        try:
            live.wait_for(look, "%r" % pattern, patience)
        except live.Failure as failure:
            raise live.Failure("%s; the screen is:\n%s" % (failure, last[0])) from None
        return last[0]

    def start(self, command):
        self.say(command)
        self.keys("Enter")

    def clear(self):
        self.start("clear")
        self.wait(r"\A\s*shell>\s*\Z")
        self.call("clear-history")

    def run(self, command):
        """The exit status, and what it leaves on a cleared screen, what was scrolled off it included."""
        self.clear()
        self.start(command + "; echo end=$?")
        text = self.wait(r"^end=\d+$", options=("-S", "-"))
        at = text.rindex("\nend=") + 1
        return int(text[at:].split("\n")[0][4:]), text[:at]

    def modes(self):
        """What a hostile name would like to change."""
        return self.ask("#{alternate_on} #{cursor_flag} #{insert_flag} #{keypad_cursor_flag} #{origin_flag} #{wrap_flag} "
                        "#{mouse_any_flag} #{pane_title}")

    def is_sane(self):
        return self.modes() == self.before

    def close(self):
        self.call("kill-server")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
