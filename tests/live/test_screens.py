#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Every command, typed into a shell in terminals of 80x24 and 200x50: what is on the screen then, and that names which want to do harm
leave the terminal as it was."""
import json
import os
import re
import shutil
import subprocess
import unicodedata

import livelib as live
from screenlib import Terminal
from worklib import HOSTILE, new_file

SHOWN = ["esc\\e[2J\\e[31mred", "title\\e]0;owned\\x07", "cursor\\e[?25l\\e[?1049l\\e(0", "new\\nline\\x0dback", "rtl\\u{202e}evil\\u{2066}",
         "c1\\u{009b}2J", "bad\\xff\\xfe", "wide日本語"]
# A shell that reads each file in "in", writes it to "out" under the same name, renames one, removes one, and fails.
WORK = """cd "$(dirname "$0")" && mkdir -p out && for f in in/*; do cat "$f" > "out/${f#in/}"; done
mv out/wide* out/moved && rm out/moved && exit 3
"""
LOSSLESS = "; no losses" if live.SLOWNESS == 1 else ""  # a guest's kernel may not tell of io_uring
EXPLAINED = ("record", "status", "stop", "top", "tail", "who", "files", "timeline", "diff", "hot", "tree", "report", "fleet", "balance",
             "doctor", "schema", "load", "prune")


def make_work(scratch):
    os.makedirs(os.path.join(scratch, "in"))
    for name in HOSTILE:
        new_file(os.path.join(scratch, "in"), name, 1000)
    with open(os.path.join(scratch, "work.sh"), "w", encoding="ascii") as file:
        file.write(WORK)


def columns(text):
    return sum(2 if unicodedata.east_asian_width(character) == "W" else 1 for character in text)


class Screens:
    """A terminal, and what is to be on it after a command."""

    def __init__(self, tap, terminal):
        self.tap, self.terminal = tap, terminal
        self.name = "%dx%d: " % (terminal.width, terminal.height)
        self.driven = set()

    def check(self, command, *wants, status=0, wraps=False, **env):
        """Runs it; `wants` are patterns that have to be on its screen. No line is longer than the terminal unless it `wraps`, or is a
        note."""
        words = " ".join("%s=%s" % item for item in env.items())
        got, text = self.terminal.run((words + " " + command).strip())
        self.driven.add(command.split()[1] if command.startswith("ioledger ") else "")
        shown = text.split("\n", 1)[1] if len(command) + len(words) + 20 < self.terminal.width else text
        missing = [want for want in wants if not re.search(want, shown, re.MULTILINE)]
        self.tap.ok(got == status and not missing, self.name + command, "status %d" % got, "missing: %r" % missing, text)
        if not wraps:
            joined = self.terminal.screen("-J", "-S", "-").split("\n")
            lines = [line.rstrip() for line in joined if not line.startswith(("shell> ", "ioledger: ")) and columns(line.rstrip()) > self.terminal.width]
            self.tap.ok(not lines, self.name + command + ": each line has room", *lines)
        self.tap.ok(self.terminal.is_sane(), self.name + command + ": the terminal is as it was", self.terminal.modes())
        return shown


def described():
    return {command["name"] for command in json.loads(live.run("--describe").stdout)["commands"]}


def begin(screens, _):
    """What somebody sees who knows nothing."""
    first = screens.check("ioledger", "Six things to begin with", "sudo ioledger record", "ioledger who /etc/passwd", "sudo ioledger top")
    screens.tap.ok(len(first.split("\n")) <= 23, screens.name + "the overview fits on one screen")
    text = screens.check("ioledger --help", "^Usage: ioledger COMMAND", "^Record:", "^Ask:", "^Exit status:")
    screens.tap.equal([c for c in described() if not re.search(r"^  %s +\w" % c, text, re.MULTILINE)], [], screens.name + "--help has all commands")
    for command in live.some(EXPLAINED, 2):
        screens.check("ioledger %s --help" % command, "^Usage: ioledger %s" % command, "--help", "^ *ioledger %s|^ *sudo ioledger %s" % (command, command),
                      "Exit status")
    screens.check("ioledger whoo /x", "unknown command 'whoo', did you mean 'who'?", status=2)
    screens.check("ioledger who --sicne now /x", "--sicne.*did you mean '--since'", status=2, wraps=True)
    screens.check("ioledger files", "no ledger at ioledger.db", "record one first", status=1, wraps=True)


def record(screens, scratch):
    screens.check("ioledger record -- sh work.sh", "recording sh to sqlite:ioledger.db", r"recorded .* process(es)?, .* files?, .* [KM]?B read,",
                  "stored .* rows in sqlite:ioledger.db" + LOSSLESS, status=3, wraps=True)
    terminal = screens.terminal
    terminal.clear()
    terminal.start("ioledger record --db sqlite:second.db --interval 100ms; echo end=$?")
    terminal.wait(r"^00:\d\d +\S+ ops/s +\S+ accounts +\S+ rows stored.* losses")
    subprocess.run(["sh", os.path.join(scratch, "work.sh")], check=False)
    terminal.keys("C-c")
    text = terminal.wait(r"^end=0$")
    screens.tap.ok(re.search(r"^ioledger: recorded ", text, re.MULTILINE) and "ops/s" not in text and terminal.is_sane(),
                   screens.name + "record: a line that lives, until Ctrl-C; then a summary in its place", text)


def running(screens, _):
    """A recorder in the background, asked and ended in the same shell; of a socket of its own, as others may record here too."""
    terminal = screens.terminal
    here = "--control ./there"
    terminal.start("ioledger record --quiet %s --db sqlite:third.db --interval 100ms &" % here)
    live.wait_for(lambda: terminal.run("ioledger status " + here)[0] == 0, "the recorder to answer")
    screens.check("ioledger status " + here, r"^ +recorder +\d+ \(ioledger .*\), recording for", "^ +database +sqlite:.*third.db",
                  "^ +rates +.* operations/s", "^ +losses +none", "^ +CPU ", wraps=True)
    screens.check("ioledger status %s --format json" % here, r'"pid": ?\d+', wraps=True)
    terminal.clear()
    terminal.start("ioledger status --watch=0.2s %s" % here)
    terminal.wait("^ +CPU ")
    terminal.keys("C-c")
    screens.tap.ok("recording for" in terminal.wait("shell> *$") and terminal.is_sane(), screens.name + "status --watch, until Ctrl-C", terminal.screen())
    screens.check("ioledger stop " + here, "stopped|recorded|stored", wraps=True)
    screens.check("ioledger status " + here, "no recorder", status=1, wraps=True)
    screens.check("ioledger stop " + here, "no recorder", status=1, wraps=True)
    terminal.run("wait")


def ask(screens, scratch):
    wide = screens.terminal.width >= 200
    hostile = screens.check("ioledger who %s/in/" % scratch, "LAST +PID", *[re.escape(name) for name in SHOWN] if wide else ["red", "PATH"])
    screens.tap.ok("1000" in hostile, screens.name + "who: bytes of each file")
    screens.check("ioledger who %s/in/wide*" % scratch, r"sh.*cat", r"1000 +0|1000")
    screens.check("ioledger who /no/such/file", "nobody touched", status=1, wraps=True)
    screens.check("ioledger files cat", "READS +READ +WRITES +WRITTEN", *[re.escape(name[:12]) for name in SHOWN] if wide else ["/out/", "/in/"])
    screens.check("ioledger files --by directory", "DIRECTORY", r"/in/", "/out/")
    screens.check("ioledger timeline %s/out/" % scratch, "TIME", "created", "renamed to", "deleted")
    screens.check("ioledger tree", "COMMAND", r"sh work\.sh", r"cat in/esc\\e\[2J", r" 3 .*sh work.sh|3 +\S+ +\S+ +.*sh work.sh")
    screens.check("ioledger tree --since '10 min ago' --limit 1", "COMMAND", r"sh work\.sh", "more that began earlier; --limit 0 shows all", wraps=True)
    screens.check("ioledger hot --depth 9", "SHARE", "/in/", "/out/")
    screens.check("ioledger diff sqlite:ioledger.db sqlite:second.db", "CHANGE +READ A +READ B +WRITTEN A +WRITTEN B +PATH", "^(new|gone|changed) +[0-9]")
    screens.check("ioledger report -o page.html", "wrote page.html.*open it in a browser", wraps=True)
    screens.check("ioledger fleet", "HOST .*LAG", os.uname().nodename[:8])
    screens.check("ioledger balance", r"^ROUTE +READS +BYTES READ +WRITES +BYTES WRITTEN", "^rw +difference +0 +0 +0 +0", "The books balance: .* to the byte")
    screens.check("ioledger files | head -n 2", "READ", wraps=True)
    screens.check("ioledger files --format csv | head -n 1", "path,", wraps=True)
    screens.check("ioledger files cat --format json | tail -n 1", r"\]$", wraps=True)
    screens.check("ioledger files nosuchprogram", "nosuchprogram", status=1, wraps=True)


def keep(screens, _):
    screens.check("ioledger schema | head -n 400", "CREATE TABLE", "process", wraps=True)
    screens.check("ioledger load nothing.batch --db sqlite:second.db", "nothing.batch", "0 batches with 0 rows are stored, 1 is not", status=1, wraps=True)
    screens.check("ioledger prune --keep 7d --dry-run", "Nothing is older than 20")
    screens.check("ioledger prune", "how much is to stay.* give --keep", status=2, wraps=True)
    screens.check("ioledger doctor", "BTF", "probe", wraps=True)


def watch(screens, scratch):
    """top and tail of a CMD; test_top.py and test_tail.py have the rest of them."""
    terminal = screens.terminal
    wide = terminal.width >= 200
    screens.check("ioledger tail --io -- sh work.sh", "^TIME +KIND +PID +PROCESS +DETAIL", "exec +[0-9]+ +sh +sh work.sh", r"exec .*cat in/esc\\e\[2J",
                  "exit .*status 3 after", "io +.*in/" if wide else "io ", status=3)
    screens.check("ioledger top --batch --filter out/ -- sh work.sh", "by process and file, most bytes first", r"sh work\.sh: ended with status 3 after",
                  "PROCESS .*READ +WRITTEN +OPS", r"cat .* 1000 .*/title\\e\]0;owned\\x07", status=3)
    terminal.clear()
    terminal.start("ioledger top -- sh -c 'echo it said so; sh work.sh'; echo end=$?")
    text = terminal.wait(r"sh -c echo it said so; sh work.sh: ended with status 3 after")
    first = text.split("\n")
    tap, name = screens.tap, screens.name + "top -- CMD: "
    tap.ok(re.match(("ioledger " if wide else "") + r"top \d\d:\d\d:\d\d.* \d+ ops  .*B read  .*B written  0 errors", first[0]), name + "totals in the title", first[0])
    tap.ok(re.search(r"PID PROCESS .*READ WRITTEN +OPS", text) and "cat" in text and "it said so\n" not in text, name + "its files, and not what it says", text)
    tap.ok(first[-2 if not first[-1] else -1].startswith("q quit"), name + "the keys", text)
    terminal.keys("t")
    terminal.wait("READ/s +WRITE/s")
    terminal.keys("t", "f")
    terminal.wait("by file, .*")
    terminal.keys("q")
    text = terminal.wait("^end=3$")
    tap.ok("it said so\n" in text and terminal.is_sane(), name + "what it said comes when the screen is back, and its status", text)
    terminal.clear()
    terminal.start("ioledger top -- sh -c ': %s; exit 4'; echo end=$?" % ("long " * 60))
    text = terminal.wait(r"^sh -c : long .*\.\.\.: ended with status 4 after \d+ ms$")
    tap.ok(True, name + "how a long command has ended is on the page", text)
    terminal.keys("q")
    terminal.wait("^end=4$")
    terminal.clear()
    terminal.start("ioledger top -- sleep 1000; echo end=$?")
    terminal.wait(r"^sleep 1000: runs, ")
    terminal.keys("q")
    terminal.wait("sleep still runs: q again ends it")
    terminal.keys("Down")
    terminal.wait(r"^sleep 1000: runs, ")
    terminal.keys("q")
    terminal.wait("sleep still runs: q again ends it")
    terminal.keys("q")
    terminal.wait("^end=143$")
    tap.ok(terminal.is_sane(), name + "q asks before it ends what runs")
    terminal.clear()
    terminal.start("ioledger top -- sleep 1000; echo end=$?")
    terminal.wait(r"^sleep 1000: runs, ")
    terminal.keys("C-c")
    terminal.wait("sleep 1000: ended by signal 2 after")
    terminal.keys("C-c")
    terminal.wait("^end=130$")
    tap.ok(terminal.is_sane(), name + "Ctrl-C is for CMD, and a second one for top")
    screens.check("ioledger top -- /no/such/program", "cannot run /no/such/program", status=127, wraps=True)
    screens.check("ioledger top --output said.txt --batch --rows 1 -- sh -c 'echo 1; echo 2 >&2' > frames.txt; cat said.txt", "^1$", "^2$", wraps=True)
    screens.check("ioledger top --output x", "--output is for what CMD prints", status=2, wraps=True)
    with open(os.path.join(scratch, "frames.txt"), encoding="utf-8") as file:
        tap.ok("ended with status 0" in file.read(), screens.name + "top --batch --output: frames only on standard output")


def at_size(tap, scratch, width, height):
    make_work(scratch)
    with Terminal(scratch, width, height, cwd=scratch) as terminal:
        screens = Screens(tap, terminal)
        for part in (begin, record, running, ask, keep, watch):
            try:
                part(screens, scratch)
            except live.Failure as failure:
                tap.ok(False, screens.name + "%s runs to its end" % part.__name__, failure)
                terminal.keys("C-c", "C-c")
        tap.equal(described() - screens.driven, set(), screens.name + "every command was typed")


def small(tap, scratch):
    at_size(tap, scratch, 80, 24)


def large(tap, scratch):
    if live.SLOWNESS > 1:
        raise live.Skip("an emulated processor has the other size only")
    at_size(tap, scratch, 200, 50)


SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
PRIVILEGES = "/run/sshd"  # it wants this folder, empty


def ssh_command(scratch):
    """A login at this machine: by a server for that connection alone, with keys and a configuration that last no longer."""
    folder = os.path.join(scratch, "ssh")
    os.mkdir(folder, 0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(folder, name)], check=True)
    with open(os.path.join(folder, "config"), "w", encoding="utf-8") as file:
        file.write("HostKey {0}/host\nAuthorizedKeysFile {0}/user.pub\nPidFile none\nStrictModes no\nUsePAM yes\nPrintMotd no\n"
                   "PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n".format(folder))
    return ("ssh -F none -tt -i {0}/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes"
            " -o 'ProxyCommand={1} -i -f {0}/config' root@localhost".format(folder, SSHD))


def over_ssh(tap, scratch):
    """top and tail on a terminal that is elsewhere: drawn, resized and quitted; and when the connection goes, so do they."""
    if not SSHD or not shutil.which("ssh"):
        raise live.Skip("no ssh and sshd on this machine")
    made = not os.path.isdir(PRIVILEGES)
    if made:
        os.mkdir(PRIVILEGES, 0o755)
    try:
        ssh, program = ssh_command(scratch), os.path.abspath(live.IOLEDGER)
        with Terminal(scratch, 80, 24, cwd=scratch) as terminal:
            tap.equal(terminal.run(ssh + " true")[0], 0, "a login over ssh")
            terminal.clear()
            terminal.start("%s LC_ALL=C.UTF-8 %s top; echo end=$?" % (ssh, program))
            terminal.wait("by process and file, most bytes first")
            text = terminal.wait(r"^ *\d+ .*\u2588")
            tap.ok("q quit" in text and "LAST MIN" in text, "top over ssh: the page, with its bars", text)
            terminal.call("resize-window", "-x", "150", "-y", "24")
            terminal.wait("LAST MINUTE")
            tap.ok(True, "top over ssh: it is as wide as the terminal has become")
            terminal.call("resize-window", "-x", "80", "-y", "24")
            terminal.wait("LAST MIN +")
            terminal.keys("q")
            terminal.wait("^end=0$")
            tap.ok(terminal.is_sane(), "top over ssh: the terminal is as it was", terminal.modes())
            terminal.clear()
            terminal.start("%s %s tail --comm sleep; echo end=$?" % (ssh, program))
            terminal.wait("TIME +KIND +PID +PROCESS")
            subprocess.run(["sleep", "0"], check=True)
            terminal.wait(r"exec +\d+ +sleep +sleep 0")
            terminal.keys("C-c")
            terminal.wait(r"^(\^C)?end=0$")
            tap.ok(terminal.is_sane(), "tail over ssh: lines as they come, until Ctrl-C")
            for words in ("top", "tail --io"):
                terminal.clear()
                terminal.start("%s exec %s %s" % (ssh, program, words))
                terminal.wait("COMMAND|FILE|DETAIL")
                pids = [int(pid) for pid in subprocess.run(["pgrep", "-f", "^%s %s$" % (program, words)], capture_output=True, check=False).stdout.split()]
                terminal.keys("Enter", "~", ".")  # ssh gives up
                live.wait_for(lambda: pids and all(map(live.has_ended, pids)), "the end of %s" % words)
                tap.ok(True, "%s over ssh ends with its connection" % words)
    finally:
        if made:
            os.rmdir(PRIVILEGES)


if __name__ == "__main__":
    live.main(small, large, over_ssh)
