# SPDX-License-Identifier: Apache-2.0
"""godwit-perftest: what it prints, and when it must not succeed."""
import json
import time

from rig import CLIENT, DEVICE, finish, need, refused, run, start

NEVER_DONE = ["--count", "1000000000", "--size", "16"]


def numbers(line, count):
    values = [float(v) for v in line.split("\t")]
    need(len(values) == count and all(v >= 0 for v in values), "not %d numbers: %r" % (count, line))
    return values


def the_reports_command(_broker, _work, where):
    """perftest: the report's command prints qpid-perftest's summary"""
    out = run("perftest", *where, "--count", "2000", "--nsubs", "1", "--npubs", "1", "--qt", "4", "--size", "16",
              "--bounds-multiplier", "102400", "--tcp-nodelay", "--summary")
    lines = out.splitlines()
    need(len(lines) == 1, out)
    pubs, subs, transfers, mb = numbers(lines[0], 4)
    need(pubs > 0 and subs > 0 and transfers > 0, out)
    need(abs(mb - transfers * 16 / 2**20) < 0.01 * mb + 1e-4, "MB/s is not transfers times size: " + out)


def all_modes(_broker, _work, where):
    """perftest: each mode, size and way of settling delivers everything once"""
    for words, transfers in (
            ("--mode shared --qt 2 --npubs 2", 16000), ("--mode shared --nsubs 3 --npubs 2 --iterations 2", 4000),
            ("--mode fanout --nsubs 3 --npubs 2", 4000 + 12000), ("--mode topic --qt 2 --nsubs 2", 4000 + 8000),
            ("--ack 7", 4000), ("--confirm no", 4000), ("--size 0", 4000), ("--size 5", 4000), ("--size 4096", 4000),
            ("--durable yes --window 10", 4000), ("--threads 1", 4000)):
        base = ["--count", "1000" if "--iterations" in words else "2000", "--json"]
        base += [] if "--size" in words else ["--size", "16"]
        lines = run("perftest", *where, *base, *words.split()).splitlines()
        need(len(lines) == (2 if "--iterations" in words else 1), words + ": " + "\n".join(lines))
        for line in lines:
            result = json.loads(line)
            need(result["transfers"] == transfers, "%s: %s" % (words, line))
            need(result["transfers_per_s"] > 0 and result["seconds"] > 0, line)
    run("perftest", *where, "--count", "100", "--sync-publish", "--size", "16", "--csv")


def warmed_and_timed(_broker, _work, where):
    """perftest: as many messages as take a time, after others that do not count"""
    for words in ("--time-limit 1 --warmup 200 --qt 2", "--time-limit 1 --warmup 0 --nsubs 2 --ack 5"):
        result = json.loads(run("perftest", *where, "--size", "16", "--json", *words.split()))
        # How long it takes is the machine's matter: a rate of before says it, and other programs come and go.
        need(result["iteration"] == 1 and 0.05 < result["seconds"] < 20, words + ": %s" % result)
        need(result["transfers"] == 2 * result["count"] * result["qt"] and result["count"] > 100, result)
        need(0 < result["client_busy"] <= 1, result)
    lines = run("perftest", *where, "--size", "16", "--count", "300", "--warmup", "100", "--iterations", "2",
                "--json").splitlines()
    need([json.loads(line)["transfers"] for line in lines] == [600, 600], lines)


def paced(_broker, _work, where):
    """perftest: qpid's delays of publishers and subscribers, and PerfTest's rate"""
    for words, least_s in (("--interval_pub 5 --count 60", 0.29), ("--interval_sub 5 --count 60", 0.29),
                           ("-r 200 -C 60 -q 10", 0.29), ("-a -f persistent -C 60", 0), ("--queue-durable yes -A 3 -C 60", 0)):
        result = json.loads(run("perftest", *where, "--size", "16", "--json", *words.split()))
        need(result["transfers"] == 120 and result["seconds"] >= least_s, words + ": %s" % result)


def larger_than_buffers(_broker, _work, where):
    """perftest: messages larger than every buffer"""
    result = json.loads(run("perftest", *where, "--count", "5", "--size", "1000000", "--json"))
    need(result["transfers"] == 10, result)


def csv_and_table(_broker, _work, where):
    """perftest: CSV and the table"""
    head, line = run("perftest", *where, "--count", "500", "--size", "16", "-csv").splitlines()
    need(len(head.split(",")) == 8 and len(line.split(",")) == 8 and head.startswith("iteration,size,"), head + line)
    table = run("perftest", *where, "--count", "500", "--size", "16")
    need("1000 transfers of 16 bytes" in table and "every message once and in order" in table, table)


def parts(_broker, _work, where):
    """perftest: setup, control, publish and subscribe as processes of their own"""
    words = [*where, "--count", "1000", "--qt", "2", "--size", "16"]
    run("perftest", *words, "--setup")
    words += ["--warmup", "50"]
    others = [start("perftest", *words, "--subscribe"), start("perftest", *words, "--publish")]
    status, out, err = finish(start("perftest", *words, "--control", "--summary"))
    need(status == 0, err)
    numbers(out.strip(), 4)
    for other in others:
        status, out, err = finish(other)
        need(status == 0 and not out, "a part ended with %d: %s" % (status, err))


def a_killed_worker(_broker, _work, where):
    """perftest: a publisher that is killed ends every other part with an error"""
    words = [*where, *NEVER_DONE, "--timeout", "3"]
    run("perftest", *words, "--setup")
    control = start("perftest", *words, "--control", "--summary")
    subscribe = start("perftest", *words, "--subscribe")
    publish = start("perftest", *words, "--publish")
    time.sleep(1.5)
    publish.kill()
    publish.communicate()
    for process in (control, subscribe):
        status, out, err = finish(process)
        need(status == 1 and not out, "status %d: %s" % (status, out))
        need("pub 0" in err or "was heard of" in err, err)


def a_lost_message(_broker, _work, where):
    """perftest: messages that are purged from under it are missed"""
    # Four publishers are ahead of one subscriber with a prefetch, so that there is something to lose.
    words = [*where, *NEVER_DONE, "--ack", "1000", "--npubs", "4"]
    process = start("perftest", *words)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
        run("perftest", *words, "--setup")  # it empties the queues
    status, out, err = finish(process)
    need(status == 1 and not out, "status %d: %s" % (status, out))
    need("messages were lost or overtaken before message" in err, err)


def bad_words(_broker, _work, where):
    """perftest: errors say what is wrong"""
    refused("perftest", 2, "no option --cuont", "--cuont", "3")
    refused("perftest", 2, "--size is a number", "--size", "much")
    refused("perftest", 2, "--mode is shared, fanout or topic", "--mode", "both")
    refused("perftest", 2, "needs --address", "--port", "net_af_packet0,iface=client0")
    refused("perftest", 2, "is for --dpdk-port", "--address", "10.0.0.1")
    refused("perftest", 2, "nor a numbered vdev of", "--dpdk-port", "net_nosuch0", "--address", "10.0.0.1/24")
    refused("perftest", 2, "HOST, HOST:PORT, an IPv6 address, or [ADDRESS]:PORT is wanted", "-b", "[::1]:0")
    refused("perftest", 2, "name two ports", "-b", "[::1]:5673", "-p", "5672")
    refused("perftest", 2, "no IPv4 address, which --address is", "-b", "::1", "--dpdk-port", DEVICE, "--address", CLIENT)
    refused("perftest", 2, "different versions of IP", "-b", "::1", "--dpdk-port", DEVICE, "--address", "fd00::1",
            "--gateway", "10.0.0.1")
    refused("perftest", 1, "403", *where, "--password", "wrong")


def transactions(_broker, _work, where):
    """perftest: transactions of publishers and subscribers"""
    for words, transfers in (("--tx 10", 2000), ("--tx 7 --sub-ack 3 --qt 2", 4000), ("-m 1 -C 50", 100),
                             ("--tx 300 --nsubs 2 --sub-ack 10 --iterations 2", 2000)):
        lines = run("perftest", *where, "--count", "1000", "--size", "16", "--json", *words.split()).splitlines()
        need([json.loads(line)["transfers"] for line in lines] == [transfers] * (1 + ("--iterations" in words)), words + ": %s" % lines)
    refused("perftest", 2, "exclude each other", *where, "--tx", "3", "--sync-publish")


def the_ceiling(_broker, _work, _where):
    """perftest: the client's own ceiling"""
    out = run("perftest", "--ceiling", "--size", "16")
    need("publishes/s" in out and "receives/s" in out, out)


CASES = [the_reports_command, all_modes, warmed_and_timed, paced, larger_than_buffers, transactions, csv_and_table, parts, a_killed_worker, a_lost_message,
         bad_words, the_ceiling]
RABBITMQ_CASES = [the_reports_command, transactions]
BYPASS_CASES = [the_reports_command, all_modes, larger_than_buffers]
