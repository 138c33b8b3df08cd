# SPDX-License-Identifier: Apache-2.0
"""bench/compare: Godwit over kernel sockets against Godwit past the kernel, and others; bench/README.md says more."""
import argparse
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.append(os.path.join(ROOT, "tests"))

import guests  # noqa: E402
import machine  # noqa: E402
import machines  # noqa: E402
import plan  # noqa: E402
import raw  # noqa: E402
from across import Across  # noqa: E402
from measure import Comparison  # noqa: E402
from namespace import namespaces  # noqa: E402
from network import Network  # noqa: E402
from target import TargetError  # noqa: E402


def say(words):
    print(words, flush=True)


def options():
    parser = argparse.ArgumentParser(prog="bench/compare/run", description=__doc__)
    parser.add_argument("--profile", default="standard", help="quick, standard, report, or a file in YAML (standard)")
    parser.add_argument("--quick", action="store_const", const="quick", dest="profile", help="--profile quick")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "compare"),
                        help="folder for raw lines, page and figures (build/compare)")
    parser.add_argument("--resume", action="store_true", help="goes on with the raw lines that are there")
    parser.add_argument("--page", action="store_true", help="measures nothing: page and figures from the raw lines")
    parser.add_argument("--no-page", action="store_true", help="measures alone; --page draws the page later")
    parser.add_argument("--estimate", action="store_true", help="says how long it would take, and ends")
    parser.add_argument("--runs", type=int, help="instead of the profile's number of runs")
    parser.add_argument("--rows", help="only these of the profile's rows, with commas")
    parser.add_argument("--seed", type=int, help="of the order")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="where the programs are")
    return parser.parse_args()


def profile_of(args):
    profile = plan.profile_load(plan.profile_path(args.profile))
    if args.runs:
        profile.runs = args.runs
    if args.rows:
        profile.only(args.rows.split(","))
    return profile


def begin(args, profile, lines, **facts):
    """Writes down what is measured on what; the order's seed."""
    head = next(iter(lines.of("start")), None)
    seed = head["seed"] if head else args.seed if args.seed is not None else int(time.time())
    lines.add({"type": "start", "seed": seed, "profile": profile.name, "tree": profile.tree, "runs": profile.runs,
               "words": {name: row.words() for name, row in profile.rows.items()}, **facts})
    say(f"profile {profile.name}, {profile.runs} runs, order of seed {seed}, about {profile.estimate_minutes():.0f} minutes, "
        f"load {os.getloadavg()[0]:.1f}")
    return seed


def measure_across(args, profile, lines):
    wanted = max((number for row, number, _ in profile.picks if not row.external), default=0)
    with guests.signals_end_it(), guests.Machines(profile.machines, wanted, say).up() as connected:
        across = Across(connected)
        facts = connected.facts()
        seed = begin(args, profile, lines, machine=facts["client"], machines=facts)
        comparison = Comparison(profile, lines, "", connected, (), say, across.visit)
        comparison.run(seed)
    return comparison.failures


def measure(args, profile, lines):
    if profile.machines:
        return measure_across(args, profile, lines)
    if os.geteuid():
        sys.exit("bench/compare makes network namespaces and devices: it needs root")
    cpus = sorted(os.sched_getaffinity(0))
    seed = begin(args, profile, lines, machine=machine.facts(ROOT, cpus))
    with namespaces("compare", ("client", "broker")) as ((client, broker), work):
        comparison = Comparison(profile, lines, os.path.abspath(args.build), Network(client, broker, work), cpus, say)
        comparison.run(seed)
    return comparison.failures


def main():
    args = options()
    profile = profile_of(args)
    if args.estimate:
        say(f"{profile.estimate_minutes():.1f} minutes")
        return 0
    os.makedirs(args.out, exist_ok=True)
    lines = raw.Raw(os.path.join(args.out, f"{profile.name}.jsonl"), args.resume or args.page)
    if lines.of("start") and args.page and not args.rows and not args.runs:
        profile = plan.profile_recorded(lines.of("start")[-1])
    elif lines.of("start") and not args.runs:
        profile.runs = lines.of("start")[-1]["runs"]
    failures = 0 if args.page else measure(args, profile, lines)
    # pylint: disable=import-outside-toplevel; matplotlib and numpy are slow to load, and not needed to measure
    if not args.no_page:
        import page
        say(page.write(lines, profile, args.out))
    import check
    from results import Results
    wrong = list(check.complaints(Results(lines.lines), profile))
    for words in wrong:
        say(f"WRONG {words}")
    return 1 if failures or wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (plan.PlanError, machines.MachinesError, raw.RawError, TargetError) as problem:
        sys.exit(f"bench/compare: {problem}")
