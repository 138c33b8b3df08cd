# SPDX-License-Identifier: Apache-2.0
"""`godwit-host prepare`: says each step and why, does it with --apply, takes all of it back with --undo."""
import os

import plan_client
import plan_host
import steps
from errors import Misuse, Trouble
from host import Host
from state import PATH, State


def command(args, root, say):
    """The exit status."""
    if args.undo:
        if args.apply or args.dry_run or args.ports or args.cpus or args.client:
            raise Misuse("prepare --undo stands alone: it takes back all that was done")
        return undo(root, say)
    if args.apply and args.dry_run:
        raise Misuse("prepare: --dry-run or --apply, not both")
    host = Host(root)
    plan, remarks = (plan_client if args.client else plan_host).plan(host, args)
    if args.apply:
        return apply(root, plan, remarks, say)
    for number, step in enumerate(plan, 1):
        say_step(root, number, step, say)
    for remark in remarks:
        say(remark)
    say("Nothing was changed: --apply does it, and --undo takes it back.")
    return 0


def say_step(root, number, step, say):
    say(f"{number:2}. {step.what}{' (after a reboot)' if step.reboot else ''}")
    say(f"    why: {step.why}")
    for operation in step.operations:
        for line in operation.says(root).splitlines():
            say(f"    {line}")
    say("")


def may_change(root):
    if not root.is_copy and os.geteuid():
        raise Misuse("prepare: --apply and --undo change the host, and need root; without them it only says what it would do")


def apply(root, plan, remarks, say):
    may_change(root)
    state = State(root)
    if state.exists:
        raise Trouble(f"this host was prepared before{'' if state.complete else ', and not to the end'} ({PATH}): "
                      "`godwit-host prepare --undo` first")
    state.begin()
    for number, step in enumerate(plan, 1):
        say_step(root, number, step, say)
        for operation in step.operations:
            carry_out(root, state, step, operation, say)
    state.finish()
    for remark in remarks:
        say(remark)
    if any(step.reboot for step in plan):
        say("A reboot is needed: what the kernel reads when it starts was written, and is not in force yet.")
    say("Done. `godwit-host prepare --undo` takes it back; `godwit-host check` says how the host stands now.")
    return 0


def carry_out(root, state, step, operation, say):
    try:
        state.add(step.what, operation, operation.now(root))
        operation.apply(root)
    except (OSError, Trouble) as problem:
        words = said(operation, root, problem)
        if getattr(operation, "tolerant", False):
            say(f"    left as it is: {words}")
            return
        raise Trouble(f"{words}\nIt stopped in the middle. What was done is noted: `godwit-host prepare --undo` takes it back") from None


def said(operation, root, problem):
    if isinstance(problem, Trouble):
        return str(problem)
    return f"{operation.says(root).splitlines()[0]}: {problem.strerror}"


def undo(root, say):
    may_change(root)
    state = State(root)
    if not state.exists:
        say(f"Nothing to undo: there is no {PATH}.")
        return 0
    failed = []
    for entry in reversed(list(state.entries)):
        operation = steps.from_json(entry["operation"])
        if isinstance(operation, steps.File) and root.file_text(operation.path) not in (None, operation.content):
            say(f"{operation.path} was changed since it was written: what was there before comes back all the same")
        try:
            operation.undo(root, entry["before"])
        except (OSError, Trouble) as problem:
            if not getattr(operation, "tolerant", False):
                failed.append(f"{entry['what']}: {said(operation, root, problem)}")
                continue
        state.take(entry)
    if failed:
        raise Trouble("\n".join([*failed, f"The rest was taken back; {PATH} still has these, and --undo tries them again"]))
    state.remove()
    say("Everything is as it was before `prepare`. What the kernel read when it started ends with the next reboot.")
    return 0
