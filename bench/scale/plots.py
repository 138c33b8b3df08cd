# SPDX-License-Identifier: Apache-2.0
"""A plot for each part with its fitted lines, and a page with all of them."""
import math
import os

import matplotlib

matplotlib.use("Agg")

import page  # noqa: E402  bench/compare's
from matplotlib import pyplot  # noqa: E402

COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0")


def plot(part, found, fitted, path):
    _, axes = pyplot.subplots(figsize=(8.2, 4.4))
    for (name, of), colour in zip(found.items(), COLOURS):
        xs, line = list(of), fitted(part, of, part.figure)
        slope = f": {line.slope:,.3g} {part.unit}" if line else ""
        axes.plot(xs, [of[x][part.figure] for x in xs], "o", color=colour, label=name + slope)
        if part.figure == "ns" and all("best_ns" in of[x] for x in xs):
            axes.plot(xs, [of[x]["best_ns"] for x in xs], "v", color=colour, alpha=0.4, markersize=4)
        if line:
            on = [x for x in xs if x > 0]
            axes.plot(on, [line.at(math.log10(x) if part.fit == "tenfold" else x) for x in on], "-", color=colour, alpha=0.6)
    if part.fit == "tenfold":
        axes.set_xscale("symlog", linthresh=1)
    elif part.name == "size":
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
    else:
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(title=part.title, xlabel=part.x, ylabel="ns" if part.figure == "ns" else "messages/s")
    axes.set_ylim(bottom=0 if part.fit == "tenfold" or part.figure == "rate" else None)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    pyplot.tight_layout()
    pyplot.savefig(path, dpi=110)
    pyplot.close()


def write(drawn, machine, fitted, folder):
    """The page's path."""
    parts = [page.table(["the machine", ""], list(machine.items())),
             "<p>Broker core time; points are medians, the small ones the best blocks, lines what is fitted.</p>"]
    for part, found in drawn:
        path = os.path.join(folder, f"scale-{part.name}.png")
        plot(part, found, fitted, path)
        parts.append(page.image(path, part.title, ""))
        parts.append(page.table([part.x, *found], [
            (f"{x:,}", *(f"{of[x][part.figure]:,.1f}" if x in of else "-" for of in found.values()))
            for x in sorted({x for of in found.values() for x in of})]))
    path = os.path.join(folder, "scale.html")
    with open(path, "w", encoding="utf-8") as f:
        f.write(page.document("Godwit: what a message costs as work grows", parts))
    return path
