# SPDX-License-Identifier: Apache-2.0
"""What `check` says of one point."""
import dataclasses

OK, NEEDED, BETTER, NOTE = "ok", "needed", "better", "note"


@dataclasses.dataclass(frozen=True)
class Finding:
    point: str
    state: str      # ok; needed: it does not work without; better: it works, slower or less steadily; note
    found: str
    why: str = ""   # why it matters
    do: str = ""

    def lines(self):
        yield f"{self.state:<8}{self.point}: {self.found}"
        for word, text in (("why", self.why), ("do", self.do)):
            if text and self.state != OK:
                yield f"        {word + ':':<5}{text}"


def judged(point, good, found, state, why, do):
    """ok, or what is said otherwise."""
    return Finding(point, OK if good else state, found, why, "" if good else do)
