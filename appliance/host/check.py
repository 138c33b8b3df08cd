# SPDX-License-Identifier: Apache-2.0
"""`godwit-host check`: what is there, what is missing, why it matters, and what to do."""
import dataclasses
import json

import check_cpus
import check_iommu
import record
from errors import Trouble
from finding import BETTER, NEEDED
from host import Host
from units import cpu_list, pci_list, size


def findings(host, wanted, cpus, memory):
    """wanted: the ports of --ports, perhaps none."""
    chosen = check_cpus.chosen_cpus(host, cpus)
    looked_at = wanted or host.ten_gigabit
    yield from check_iommu.virtualization(host)
    yield from check_iommu.iommu(host, looked_at)
    yield from check_iommu.modules(host)
    yield from check_iommu.ports(host, wanted, chosen)
    yield from check_cpus.memory(host, looked_at, chosen, memory)
    yield from check_cpus.memory_lock(host, looked_at)
    yield from check_cpus.isolation(host, chosen)
    yield from check_cpus.power(host, chosen)
    yield from check_cpus.disturbers(host, chosen)


def command(args, root, say):
    """The exit status."""
    if args.record:
        return write_record(args, root, say)
    host = Host(root)
    wanted = [host.port(pci) for pci in pci_list(args.ports, "--ports")] if args.ports else []
    cpus = cpu_list(args.cpus, "--cpus") if args.cpus else ()
    host.check_cpus(cpus)
    found = list(findings(host, wanted, cpus, size(args.memory, "--memory") if args.memory else 0))
    count = {state: sum(each.state == state for each in found) for state in (NEEDED, BETTER)}
    if args.json:
        say(json.dumps({**count, "points": [dataclasses.asdict(each) for each in found]}, indent=1))
    else:
        for each in found:
            for line in each.lines():
                say(line)
        say(f"{count[NEEDED]} needed, {count[BETTER]} would be better, of {len(found)} points")
    return 1 if count[NEEDED] else 0


def write_record(args, root, say):
    text = record.capture(root)
    if args.record == "-":
        say(text.rstrip("\n"))
        return 0
    try:
        with open(args.record, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as problem:
        raise Trouble(f"--record {args.record}: {problem.strerror}") from None
    say(f"{args.record}: {len(text.splitlines())} lines. Look through it before you hand it on: interfaces' names and unit names are in it")
    return 0
