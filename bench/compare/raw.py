# SPDX-License-Identifier: Apache-2.0
"""Raw results: a line of JSON for each measurement, appended as it is made, so that a run that was cut off goes on."""
import json
import os


class RawError(Exception):
    pass


class Raw:
    def __init__(self, path, resume):
        self.path = path
        self.lines = []
        if os.path.exists(path) and os.path.getsize(path):
            if not resume:
                raise RawError(f"{path} exists: --resume goes on with it, --out makes another one")
            self.lines = read(path)

    def add(self, line):
        self.lines.append(line)
        with open(self.path, "a", encoding="utf-8") as f:
            f.write(json.dumps(line) + "\n")

    def of(self, kind):
        return [line for line in self.lines if line["type"] == kind]

    def done(self):
        """The keys of what needs not be measured again."""
        return {key(line) for line in self.of("measurement")}


def read(path):
    """All lines; a last one that was cut off is taken out of the file, too."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    whole = text[:text.rfind("\n") + 1]
    if whole != text:
        with open(path, "w", encoding="utf-8") as f:
            f.write(whole)
    return [json.loads(line) for line in whole.splitlines()]


def key(line):
    return line["row"], line["guests"], line["run"], line["kind"], line["size"]
