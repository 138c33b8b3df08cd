# SPDX-License-Identifier: Apache-2.0
"""The inner part: runs the program once a group of scenarios and has tshark read what the stack saw."""
import concurrent.futures
import dataclasses
import os
import random
import sys
import time

import scenarios as do
import trace
from program import Program, congestion_controls

BAD = {"loss": 5, "twice": 10, "late": 20, "delay_us": 200}
RESETS = {"Connection reset (RST)": "what the scenario is about"}
CLOSED_WINDOW = {
    "TCP Zero Window segment": "the reader stops on purpose",
    "TCP Zero Window Probe": "and is asked whether it reads again",
    "ACK to a TCP Zero Window Probe": "and answers",
    "TCP keep-alive segment": "Linux asks with a segment one below the window",
    "ACK to a TCP keep-alive segment": "the answer to that",
}
PROBES = {
    "TCP keep-alive segment": "what the scenario is about",
    "ACK to a TCP keep-alive segment": "what the scenario is about",
    "This frame is a (suspected) retransmission": "the link is dark",
}
REUSE = {
    "kernel: A new tcp session is started with the same ports as an earlier session in this trace":
        "there are more connections than ports",
}


@dataclasses.dataclass
class Group:
    """scenarios: (faults of the link, function or (name, function))."""
    name: str
    scenarios: tuple
    allowed: dict = dataclasses.field(default_factory=dict)
    options: tuple = ()
    settings: dict = dataclasses.field(default_factory=dict)
    mtu: int = 1500
    read: bool = True  # the trace, by tshark


def transfers(*faults):
    return tuple((f, ("transfer", do.transfer())) for f in faults or ({}, BAD))


CONDITIONS = Group("conditions", (
    ({}, ("loss", do.with_faults(400_000, "lost", loss=20))),
    ({}, ("bursts of loss", do.with_faults(400_000, "lost", burst=3))),
    ({}, ("reordering", do.with_faults(1_000_000, "late", late=100))),
    ({}, ("duplication", do.with_faults(1_000_000, "doubled", twice=100))),
    ({}, ("delay", do.with_faults(400_000, delay_us=20_000))),
    ({}, ("rate, shallow queue", do.with_faults(400_000, "lost", rate_kbit=20_000, queue_bytes=16_000))),
    ({}, ("rate, deep queue", do.with_faults(400_000, rate_kbit=20_000, queue_bytes=400_000, delay_us=2000))),
    ({}, ("all together", do.with_faults(200_000, "lost", "late", "doubled", loss=5, burst=1, late=30, twice=30,
                                         delay_us=1000, rate_kbit=50_000, queue_bytes=50_000)))),
    allowed=trace.BAD_LINK)

DAMAGE = Group("damage", (({}, ("transfer", do.with_faults(400_000, "damaged", damage=10))),), allowed={
    **trace.BAD_LINK, "kernel: *": "any field may be the damaged one"})

LIFE = (
    Group("life", (
        ({}, do.half_close_by_the_stack), ({}, do.half_close_by_the_kernel), ({}, do.half_close_by_a_late_kernel),
        ({}, do.the_stack_does_not_read),
        ({}, do.the_kernel_does_not_read), ({}, do.urgent_data)), allowed=CLOSED_WINDOW),
    Group("life over a bad link", (
        (BAD, do.half_close_by_the_stack), (BAD, do.the_stack_does_not_read), (BAD, do.the_kernel_does_not_read),
        (BAD, do.urgent_data)), allowed={**trace.BAD_LINK, **CLOSED_WINDOW}),
    Group("resets", (
        ({}, do.reset_by_the_stack), ({}, do.reset_by_the_kernel), ({}, do.kernel_closes_with_unread_data),
        ({}, do.refused)), allowed=RESETS),
    Group("times", (({}, do.keepalive), ({}, do.dark_link_idle), ({}, do.dark_link_busy)),
          allowed={**RESETS, **PROBES},
          options=("keepalive_us=1200000", "keepalive_interval_us=800000", "keepalive_probes=3",
                   "user_timeout_us=3000000")))

GROUPS = (
    Group("clean", ((({}, ("transfer", do.transfer(2_000_000)))),)),
    Group("bulk", ((BAD, do.bulk_to_the_server), (BAD, do.bulk_as_client), (BAD, do.fifty_at_once)),
          allowed=trace.BAD_LINK),
    CONDITIONS, DAMAGE, *LIFE,
    Group("mtu 576", transfers(), allowed=trace.BAD_LINK, options=("mtu=576",), mtu=576),
    Group("mtu 9000", transfers(), allowed=trace.BAD_LINK, options=("mtu=9000",), mtu=9000),
    Group("mtu 576 of the stack, 9000 of the kernel", transfers({}), options=("mtu=576",), mtu=9000),
    Group("mtu 9000 of the stack, 1280 of the kernel", transfers({}), options=("mtu=9000",), mtu=1280),
    Group("no SACK", transfers(BAD), allowed=trace.BAD_LINK, settings={"ipv4/tcp_sack": 0}),
    Group("no timestamps", transfers(BAD), allowed=trace.BAD_LINK, settings={"ipv4/tcp_timestamps": 0}),
    Group("no window scaling", transfers(BAD), allowed=trace.BAD_LINK, settings={"ipv4/tcp_window_scaling": 0}),
    Group("no options", transfers(BAD), allowed=trace.BAD_LINK, settings={
        "ipv4/tcp_sack": 0, "ipv4/tcp_timestamps": 0, "ipv4/tcp_window_scaling": 0}),
    *(Group(f"the kernel's {name}", transfers(BAD), allowed=trace.BAD_LINK,
            settings={"ipv4/tcp_congestion_control": name}) for name in congestion_controls()),
    Group("IPv6", (({}, do.addresses_are_tested), *transfers(), ({}, do.urgent_data)), allowed=trace.BAD_LINK,
          options=("version=6", "dad_transmits=1")),
    Group("IPv6, mtu 1280", transfers(), allowed=trace.BAD_LINK, options=("version=6", "mtu=1280"), mtu=1280),
    Group("IPv6, mtu 9000", transfers(), allowed=trace.BAD_LINK, options=("version=6", "mtu=9000"), mtu=9000),
    Group("IPv6, resets", (
        ({}, do.reset_by_the_stack), ({}, do.reset_by_the_kernel), ({}, do.refused)), allowed=RESETS,
          options=("version=6",)),
    Group("VLAN", (({}, do.other_vlans_are_dropped), *transfers()), allowed=trace.BAD_LINK, options=("vlan=77",)),
    Group("ECN", (({}, do.congestion_marked),), options=("ecn=2",), settings={"ipv4/tcp_ecn": 1}),
    Group("ECN over IPv6", (({}, do.congestion_marked),), options=("ecn=2", "version=6"),
          settings={"ipv4/tcp_ecn": 1}),
    Group("ECN, the kernel will not", (({}, do.no_ecn),), options=("ecn=2",), settings={"ipv4/tcp_ecn": 0}),
    Group("ECN, the stack will not", (({}, do.no_ecn),), options=("ecn=0",), settings={"ipv4/tcp_ecn": 1}),
    Group("the stack without SACK", transfers(BAD), allowed=trace.BAD_LINK, options=("sack=0",)),
    Group("flood", (({}, ("100,000 attempts", do.flood(100_000, "tcp_cookie_sent", "tcp_cookie_accepted"))),),
          options=("half_open_timeout_us=3000000",), read=False),
    Group("flood without cookies", (({}, ("20,000 attempts", do.flood(20_000, "tcp_half_open_evicted"))),),
          # A good client's ACK may come behind all that is queued.
          options=("half_open_timeout_us=3000000", "syn_cookies=2", "syn_backlog_max=4096"), read=False),
    Group("short", (({}, do.ten_thousand_short),), allowed=REUSE),
)


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def fail(self, name, error):
        self.failed += 1
        print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)

    def check(self, name, work):
        began = time.monotonic()
        try:
            note = work()
        except Exception as error:  # pylint: disable=broad-except
            self.fail(name, error)
            return False
        self.passed += 1
        print(f"PASS {name}: {note or f'{time.monotonic() - began:.1f} s'}", flush=True)
        return True

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed, 0 skipped")
        return 0 if self.passed and not self.failed else 1


def run(group, capture, seed, report):
    """The group's scenarios; the first that fails ends it, since it may leave anything behind."""
    p = Program(capture, seed, group.options, group.settings, group.mtu)
    try:
        for faults, scenario in group.scenarios:
            name, work = scenario if isinstance(scenario, tuple) else (scenario.__name__, scenario)
            name = f"{group.name}: {name}{' over a bad link' if faults else ''}"
            p.link(**faults)
            if not report.check(name, lambda work=work: work(p)):
                break
        p.link()
        probes = p.counter("tcp_tlp")
        report.check(f"{group.name}: the end", p.end)
        return probes
    finally:
        p.kill()


def main():
    folder = sys.argv[1]
    seed = int(os.environ.get("GODWIT_SEED", str(int(time.time()))))
    only = os.environ.get("GODWIT_GROUP")
    print(f"# seed {seed} (GODWIT_SEED repeats this run's losses)", flush=True)
    random.seed(seed)
    report = Report()
    # tshark reads one capture while the next is made.
    with concurrent.futures.ThreadPoolExecutor(1) as readers:
        traces = []
        for i, group in enumerate(GROUPS):
            if only and group.name != only:
                continue
            capture = os.path.join(folder, f"{i}.pcap") if group.read else os.devnull
            try:
                probes = run(group, capture, seed + i, report)
            except Exception as error:  # pylint: disable=broad-except
                report.fail(f"{group.name}: the program", error)
                continue
            if not group.read:
                continue
            traces.append((f"{group.name}: trace", readers.submit(trace.examine, capture, group.allowed, probes)))
            if group.name == "clean":
                traces.append(("a planted anomaly is found", readers.submit(trace.sees_what_is_planted, capture)))
        for name, examined in traces:
            report.check(name, examined.result)
    return report.finish()


sys.exit(main())
