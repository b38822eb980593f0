# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Kafka brokers for tests: tests/db/kafkacluster.c."""
import itertools
import os
import subprocess

import livelib as live

PROGRAM = os.environ.get("IOLEDGER_KAFKACLUSTER") or os.path.join(live.HERE, "../../build/tests/db/kafkacluster")


class Cluster:
    def __init__(self, brokers):
        self.process = subprocess.Popen([PROGRAM, str(brokers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.brokers = self.process.stdout.readline().strip()
        self.numbers = itertools.count(1)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != "ok":
            raise live.Failure("kafkacluster: '%s': %s" % (line, answer))

    def new_topic(self, partitions):
        """Creates a topic and returns its URL."""
        name = "ledger-%d" % next(self.numbers)
        self.say("topic %s %d" % (name, partitions))
        return "kafka://%s/%s" % (self.brokers, name)

    def stop(self):
        self.process.kill()
        self.process.wait()
