# SPDX-License-Identifier: Apache-2.0
"""The state file: what `prepare --apply` has begun to change, and what was there before."""
import json
import os

import steps
from errors import Trouble

PATH = "/var/lib/godwit-host/state.json"


class State:
    """Entries are added before they are carried out, and taken out once they are undone."""

    def __init__(self, root):
        self.root = root
        self.entries, self.complete, self.folders = [], False, []
        text = root.file_text(PATH)
        self.exists = text is not None
        if self.exists:
            try:
                tree = json.loads(text)
                self.entries, self.complete, self.folders = tree["entries"], tree["complete"], tree["folders"]
            except (ValueError, KeyError, TypeError):
                raise Trouble(f"{PATH} is damaged: it says what was changed, so look at it before you remove it") from None

    def begin(self):
        self.folders = self.root.missing_folders(os.path.dirname(PATH))
        self.save()

    def add(self, what, operation, before):
        self.entries.append({"what": what, "operation": steps.to_json(operation), "before": before})
        self.save()

    def finish(self):
        self.complete = True
        self.save()

    def take(self, entry):
        self.entries.remove(entry)
        self.save()

    def remove(self):
        self.root.remove(PATH, self.folders)

    def save(self):
        tree = {"complete": self.complete, "folders": self.folders, "entries": self.entries}
        # What it quotes of the host's files is root's business.
        self.root.file_write(PATH, json.dumps(tree, indent=1) + "\n", 0o600)
