# SPDX-License-Identifier: BSL-1.0
"""The embedded S3 server in a process of its own, for the tests of the example programs."""
import os
import re
import subprocess


class Server:
    """`environment` is what a client of it needs, and nothing of the caller's own AWS settings."""

    def __init__(self, program, *arguments):
        self.process = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        for line in self.process.stdout:
            if match := re.match(r"export (\w+)=(.*)", line):
                self.environment[match[1]] = match[2]
            if line.startswith("export AWS_SECRET"):
                break

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
