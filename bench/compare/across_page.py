# SPDX-License-Identifier: Apache-2.0
"""What the page says of a comparison across machines."""
import statistics


def settings_words(profile):
    """Lines of a table: what brokers were given for each kind of test."""
    for kind, of in (profile.machines.settings if profile.machines else {}).items():
        yield (f"brokers for {kind}", f"{of['cores']} core{'s' * (of['cores'] > 1)}, "
                                      f"{'TCP_NODELAY' if of['nodelay'] else 'Nagle'}, {of['idle']}")


def commits_differ(starts):
    """Words where the programs of the machines are not the same."""
    for start in starts[-1:]:
        commits = {name: of["commit"] for name, of in start.get("machines", {}).items() if of["plays"] != "host"}
        if len(set(commits.values())) > 1:
            yield f"client and guests do not have the same commit: {', '.join(f'{name} {of}' for name, of in commits.items())}"


def meanwhile(lines):
    """What each machine did while each row was measured, medians of the tests:
    (row, guests, kind, machine, load, CPUs busy in user, system, softirq, its broker's or client's CPUs busy, steal in %)"""
    found = {}
    for line in lines:
        for name, of in line["cpu"].get("machines", {}).items():
            found.setdefault((line["row"], line["guests"], line["kind"], name), []).append(of)
    for key, each in found.items():
        busy = [statistics.median(of["all"][kind] / of["seconds"] for of in each) for kind in ("user", "system", "softirq")]
        side = [sum(of[side][kind] for kind in ("user", "system", "softirq")) / of["seconds"]
                for of in each for side in ("broker", "client") if side in of]
        yield (*key, f"{min(of['load_before'] for of in each)} to {max(of['load_after'] for of in each)}",
               *(f"{one:.2f}" for one in busy), f"{statistics.median(side):.2f}" if side else "-",
               f"{max(of['steal'] for of in each) * 100:.2f}")


HEAD = ["row", "guests", "test", "machine", "load", "CPUs in user", "system", "softirq", "of its broker or client", "steal, max %"]
WORDS = ("CPUs at work on each machine while a row was measured: all of its programs, and the part on the CPUs that the broker or "
         "the client has; medians of the tests. A guest's steal is what its host did not give it.")
ABOUT = ("Client, host and guests are machines of their own, as the table says; what is compared is how a message gets into the "
         "broker and out, over the wire between them. A broker was started anew for each test, with the settings above, and the "
         "client's programs were pinned.")
SHARED = ("the client's machine has too few CPUs for two clients at once: they shared theirs, and slept when idle, so figures of "
          "two guests are lower, and their latencies higher, than they would be otherwise")
