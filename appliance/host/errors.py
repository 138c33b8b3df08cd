# SPDX-License-Identifier: Apache-2.0
"""The two ways in which a command ends early; each carries a sentence that says what to do."""


class Misuse(Exception):
    """What was asked for makes no sense on this host: exit status 2."""


class Trouble(Exception):
    """It makes sense and could not be done: exit status 1."""
