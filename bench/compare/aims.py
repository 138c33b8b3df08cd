# SPDX-License-Identifier: Apache-2.0
"""What is meant to be reached, and by how much it is missed."""
PARTS = {"p50": 0.5, "p99": 0.99}


def figure(results, row, aim):
    """One row's, or None where it was not measured."""
    if aim["figure"] in PARTS:
        return results.quantile_ms(row, 1, aim["size"], PARTS[aim["figure"]])
    if "kind" in aim:
        found = results.variant_throughput(row, aim["kind"], aim["size"])
        return found and found["transfers_per_s"]
    found = results.throughput_reported(row, 1, aim["size"])
    return found and found[0 if aim["figure"] == "transfers/s" else 1]


def reached(results, aim):
    """(value, whether it is met, the part of it that is missed); None where something was not measured."""
    value = figure(results, aim["row"], aim)
    if value is not None and "by" in aim:
        other = figure(results, aim["by"], aim)
        value = value / other if other else None
    if value is None:
        return None
    if "at_most" in aim:
        return value, value <= aim["at_most"], max(value / aim["at_most"] - 1, 0)
    return value, value >= aim["at_least"], max(1 - value / aim["at_least"], 0)
