#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Makes tables, plots and a timeline from the JSON lines that the program `ttft` (bench/ttft) appends.

Of lines about the same path, cell and link the last one counts, so a cell that was measured again replaces what it was.
Writes ttft.md, ttft_<context>.png (with matplotlib; without it there are tables only) and ttft_timeline.json (open it in
ui.perfetto.dev or chrome://tracing) into the folder --out."""
import argparse
import json
import math
import pathlib
import sys

RESULTS = pathlib.Path(__file__).resolve().parent / "results"
LOCAL = ["recompute", "compute", "local-lw", "local-whole"]
PATHS = [*LOCAL, "s3-whole", "s3-lw", "s3-both", "storing"]
# The link, protocol, layout, look-ahead and layers in DRAM of the main tables; cells with others are sweeps. The program's defaults.
MAIN = {"gbit": 100, "latency_ms": 1, "tls": 0, "layout": "segment_objects", "depth": 64, "near": 0}

# arXiv:2605.22850, figure 13, read off its drawing: (context, hit) -> TTFT of opt-local-LW in ms, and what the paths of the
# paper add to it in %, for G = 16, 64, 256. DRAM-CW at 12.5 % is not drawn.
PAPER = {
    (4096, 12.5): (312, {"s3agg-lw": (9.1, 17.8, 16.4), "s3batch-cw": (13.5, 10.6, 16.2), "dram-lw": (6.1, 3.1, 0.6)}),
    (4096, 50): (187, {"s3agg-lw": (21.3, 30.0, 31.1), "s3batch-cw": (32.5, 32.1, 42.0), "dram-lw": (11.9, 6.5, 1.2),
                       "dram-cw": (13.3, 11.0, 9.6)}),
    (4096, 87.5): (64, {"s3agg-lw": (110, 116, 122), "s3batch-cw": (131, 128, 164), "dram-lw": (44.9, 14.5, 2.8),
                        "dram-cw": (73.5, 65.4, 59.2)}),
    (65536, 12.5): (11868, {"s3agg-lw": (0.3, 0.8, 0.1), "s3batch-cw": (3.3, 3.4, 3.0), "dram-lw": (0.4, 0.7, 0.1)}),
    (65536, 50): (8374, {"s3agg-lw": (1.5, 0.1, 0.5), "s3batch-cw": (7.2, 7.1, 7.6), "dram-lw": (3.1, 2.9, 1.5),
                         "dram-cw": (6.8, 5.9, 5.0)}),
    (65536, 87.5): (2451, {"s3agg-lw": (16.3, 5.6, 3.9), "s3batch-cw": (38.3, 41.3, 41.0), "dram-lw": (9.4, 8.3, 2.0),
                           "dram-cw": (33.4, 29.2, 26.6)}),
}
# The same, figure 14: what a cap of 10 Gbit/s adds to the path's own TTFT at 100 Gbit/s, in %.
PAPER_10_GBIT = {
    (4096, 12.5): {"s3agg-lw": (-1, -3, -4), "s3batch-cw": (13, 14, 13)},
    (4096, 50): {"s3agg-lw": (10, 2, 0), "s3batch-cw": (79, 75, 69)},
    (4096, 87.5): {"s3agg-lw": (202, 184, 176), "s3batch-cw": (219, 220, 192)},
    (65536, 12.5): {"s3agg-lw": (0, -1, 0), "s3batch-cw": (4.5, 3.8, 5.5)},
    (65536, 50): {"s3agg-lw": (1, 1, 0), "s3batch-cw": (32, 33, 37)},
    (65536, 87.5): {"s3agg-lw": (128, 143, 145), "s3batch-cw": (149, 153, 151)},
}
PAPER_G = (16, 64, 256)
# The budgets of the design (its section 9), those that these lines can judge.
BUDGET_CELL = (65536, 87.5)  # context, hit
BUDGET_OVER = 2.0            # % over opt-local-LW, with an engine that takes so long for a layer:
BUDGET_LAYER_MS = 30.0       # a faster one is judged by the model alone
BUDGET_NEAR = 1.0            # % over opt-local-LW, with layers in front in DRAM
BUDGET_MODEL = 1.05          # measured / model, and
BUDGET_MODEL_MS = 5.0        # measured - model
BUDGET_FASTER = 1.5          # than the better of load and recompute, at 10 Gbit/s
BUDGET_CPU = 1.5 * 0.19      # s/GB: 1.5 x a raw recv loop, which takes 0.16 ... 0.19 on a 2-core virtual machine
BUDGET_HOST_US = 10.0        # of the pipeline's thread, per layer and request
BUDGET_STORING = 1.0         # % on TTFT
BUDGET_RATE = 25.0           # GB/s from S3 to the device

SPREAD = 0.10     # cells whose runs lie further apart than this share of the median are named
REFERENCE = 0.10  # so is a reference that takes longer than its compute and stalls by more than this share


class Odd(Exception):
    """What a line lacks."""


# --- Lines

def number(line, name, least=0.0):
    value = line.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < 1e15:
        raise Odd(f'"{name}" must be a number of at least {least:g}' + ("" if name in line else ", and is missing"))
    return value


def text_of(line, name):
    if not isinstance(line.get(name), str) or not line[name]:
        raise Odd(f'"{name}" must be a text' + ("" if name in line else ", and is missing"))


def numbers(line, name, length=None):
    values = line.get(name)
    if not isinstance(values, list) or not values:
        raise Odd(f'"{name}" must be a list of numbers' + ("" if name in line else ", and is missing"))
    for value in values:
        number({name: value}, name)
    if length not in (None, len(values)):
        raise Odd(f'"{name}" has {len(values)} numbers and not {length}')


def checked(text):
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Odd(f"no JSON: {error}") from None
    if not isinstance(line, dict):
        raise Odd("no JSON object")
    if line.get("path") not in PATHS:
        raise Odd(f'"path" is {json.dumps(line.get("path"))}, and none of {", ".join(PATHS)}')
    for name in "model", "attention":
        text_of(line, name)
    for name, least in (("layers", 1), ("context", 1), ("hit", 0), ("first", 0)):
        number(line, name, least)
    if line["layers"] != int(line["layers"]):
        raise Odd('"layers" must be a whole number')
    if line["first"] >= line["context"]:
        raise Odd('"first" must be less than "context"')
    numbers(line, "ttft_ms")
    if min(line["ttft_ms"]) <= 0:
        raise Odd('"ttft_ms" has a time that is not above 0')
    if "stalls_ms" in line:
        numbers(line, "stalls_ms", line["layers"])
    if line["path"] not in LOCAL:
        text_of(line, "layout")
        for name, least in (("G", 1), ("gbit", 0), ("latency_ms", 0), ("tls", 0), ("depth", 0), ("match_ms", 0), ("bytes", 1),
                            ("requests", 1)):
            number(line, name, least)
        line.setdefault("near", 0)
        number(line, "near")
        number({"io_threads": 0, **line}, "io_threads")
        if line["path"] == "s3-both":
            for name in "computed", "foretold_ms":
                number(line, name)
        for name in ("load_ms", "cpu_ms", "pipeline_cpu_ms") + (("alone_ms",) if line["path"] == "storing" else ()):
            numbers(line, name, len(line["ttft_ms"]))
    return line


def read(files):
    """The lines that count, by key. Each has `beside`: the paths that read no store, as they were measured last before it."""
    out, seen, local = {}, 0, {}
    for file in files:
        try:
            content = pathlib.Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            sys.exit(f"ttft.py: {file}: {error}")
        for n, text in enumerate(content.splitlines(), 1):
            if not text.strip():
                continue
            try:
                line = checked(text)
            except Odd as odd:
                sys.exit(f"ttft.py: {file}, line {n}: {odd}")
            seen += 1
            mine = local.setdefault(engine_of(line), {})
            if line["path"] in LOCAL:
                mine[where(line)] = line
            line["beside"] = dict(mine)
            out[key_of(line)] = line
    if not out:
        sys.exit(f"ttft.py: no lines in {', '.join(map(str, files))}")
    return out, seen


def where(line):
    """What a path that reads no store depends on."""
    return (line["path"], line["context"]) + (() if line["path"] == "recompute" else (line["first"],))


def engine_of(line):
    return line["model"], line["layers"], line["attention"]


def key_of(line):
    key = (*engine_of(line), line["path"], line["context"])
    if line["path"] == "recompute":  # whatever the hit
        return key
    key = (*key, line["first"])
    return key if line["path"] in LOCAL else (*key, line["G"], *(line[name] for name in MAIN))


# --- Figures

def median(values):
    """The middle one, of an even number the larger of two: the run whose stalls the program writes."""
    return sorted(values)[len(values) // 2]


def model_ms(layers, compute_layer, layer_bytes, gbit, latency_ms):
    """TTFT = X(0) + sum over l < L - 1 of max(X(l + 1), C) + C, with X = bytes of a layer / link, and X(0) a latency more."""
    fetch = layer_bytes * 8 / (gbit * 1e9) * 1e3
    return latency_ms + fetch + (layers - 1) * max(fetch, compute_layer) + compute_layer


class Engine:
    """The lines of one model and attention."""

    def __init__(self, name, lines):
        self.model, self.layers, self.attention = name
        self.layers = int(self.layers)
        self.storing = sorted((line for line in lines if line["path"] == "storing"), key=order)
        lines = [line for line in lines if line["path"] != "storing"]
        self.lines = lines
        self.local = {where(line): line for line in lines if line["path"] in LOCAL}
        self.s3 = [line for line in lines if line["path"] not in LOCAL]
        self.contexts = sorted({line["context"] for line in lines})

    def reference(self, line, path):
        """The median of `path` for the same tokens: a GPU that has got warm meanwhile is another one, so it is the last that was
        measured before the line; or else the last."""
        at = where({**line, "path": path})
        found = line["beside"].get(at) or self.local.get(at)
        return median(found["ttft_ms"]) if found else None

    def compute_layer(self, line):
        compute = self.reference(line, "compute")
        return compute / self.layers if compute else None

    def model_of(self, line):
        """Of what overlaps and crosses a link of a known rate only."""
        compute = self.compute_layer(line)
        if line["path"] != "s3-lw" or compute is None or line["gbit"] == 0 or line["near"] != 0:
            return None
        return model_ms(self.layers, compute, line["bytes"] / self.layers, line["gbit"], line["latency_ms"])

    def over(self, line):
        """ms and % over opt-local-LW."""
        reference = self.reference(line, "local-lw")
        if reference is None:
            return None
        added = median(line["ttft_ms"]) - reference
        return added, 100 * added / reference

    def rest(self, line):
        """What neither its compute nor waiting for the KV explains."""
        compute = self.reference(line, "compute")
        if compute is None or "stalls_ms" not in line or line["path"] == "s3-both":  # whose head is computed, too
            return None
        middle = median(line["ttft_ms"])
        loading = line["load_ms"][line["ttft_ms"].index(middle)] if line["path"] == "s3-whole" else 0  # the host waits for it, no gate
        return middle - compute - sum(line["stalls_ms"]) - loading

    def main(self, path=None):
        return [line for line in self.s3 if is_main(line) and path in (None, line["path"])]

    def find(self, path, context, hit, g, **other):
        want = {**MAIN, **other, "path": path, "context": context, "hit": hit, "G": g}
        return next((line for line in self.s3 if all(line[k] == v for k, v in want.items())), None)

    def find_local(self, path, context, hit):
        return next((line for line in self.local.values() if line["path"] == path and line["context"] == context and
                     (path == "recompute" or line["hit"] == hit)), None)


def is_main(line):
    return all(line[name] == value for name, value in MAIN.items())


def rate(line):
    """GB/s from load() to the last layer on the device."""
    middle = median(line["load_ms"])
    return line["bytes"] / middle / 1e6 if middle else math.inf


def cpu_per_gb(line):
    return median(line["cpu_ms"]) / 1e3 / (line["bytes"] / 1e9)


# --- The page

def tokens(n):
    return f"{n / 1024:g}K" if n % 1024 == 0 else f"{n:g}"


def ms(value):
    return "-" if value is None else f"{value:.1f}"


def cell_name(line):
    return f"{line['path']} {tokens(line['context'])} / {line['hit']:g} % / G = {line['G']:g}" if "G" in line else \
        f"{line['path']} {tokens(line['context'])}" + ("" if line["path"] == "recompute" else f" / {line['hit']:g} %")


def table(heads, rows):
    return "".join(["| " + " | ".join(heads) + " |\n", "|---" * len(heads) + "|\n", *("| " + " | ".join(row) + " |\n" for row in rows)])


TIMES = ["TTFT ms", "min...max, runs", "over local-lw", "model ms", "measured / model", "stalls ms: sum, longest (layer)", "rest ms"]


def times(engine, line):
    values = line["ttft_ms"]
    over, model, rest = engine.over(line), engine.model_of(line), engine.rest(line)
    out = [f"**{median(values):.1f}**", f"{min(values):.1f}...{max(values):.1f}, {len(values)}",
           "-" if over is None else f"{over[0]:+.1f} ms, {over[1]:+.1f} %", ms(model),
           "-" if model is None else f"{median(values) / model:.3f} ({median(values) - model:+.1f} ms)"]
    if "stalls_ms" in line:
        longest = max(range(engine.layers), key=lambda i: line["stalls_ms"][i])
        out.append(f"{sum(line['stalls_ms']):.1f}" + (f", {line['stalls_ms'][longest]:.1f} ({longest})" if line["stalls_ms"][longest] >= 0.05 else ""))
    else:
        out.append("-")
    return [*out, "-" if rest is None else f"{rest:+.1f}"]


HOST = ["load ms", "GB/s", "requests", "CPU ms: all, pipeline", "us per layer: all, pipeline", "us per request of a layer: all, pipeline",
        "CPU s/GB"]


def host(engine, line):
    both = [median(line["cpu_ms"]), median(line["pipeline_cpu_ms"])]
    pair = lambda divisor: ", ".join(f"{value * 1e3 / divisor:.0f}" for value in both)
    return [ms(median(line["load_ms"])), f"{rate(line):.2f}", f"{line['requests']:g}", ", ".join(f"{value:.1f}" for value in both),
            pair(engine.layers), pair(line["requests"]), f"{cpu_per_gb(line):.3f}"]


def order(line):
    return (line["context"], line["hit"], line.get("G", 0), PATHS.index(line["path"]))


def page(engines, files, lines, seen, plots, measured_on):
    text = [f"""# Time to first token on a GPU

Made by `bench/ttft.py` from {', '.join(pathlib.Path(f).name for f in files)}: {seen} lines, {len(lines)} of them count (the last of each path, cell and link).
Measured on {measured_on}.
The server of the test kit, in the same process on cores of its own, over TCP on loopback, its link **shaped, not a real network**.
Unless a table says otherwise: {MAIN['gbit']} Gbit/s, {MAIN['latency_ms']} ms to the first byte, plain HTTP, `{MAIN['layout']}`, a look-ahead of {MAIN['depth']} layers.
Weights are random: the time does not depend on them.

| path | from the prompt to its first token |
|---|---|
| recompute | all tokens are computed |
| compute | those behind the hit only, the KV before them is on the device already: no transfer. What the GPU's temperature does to it is more than local-lw adds |
| local-lw | the KV is layer-major in pinned DRAM, copies and compute overlap: the paper's opt-local-LW, the reference |
| local-whole | the same, but all copies first, then compute |
| s3-whole | from the store, the whole prefix first, then compute |
| s3-lw | from the store layer by layer, each layer behind its gate: what this library is for |
| storing | recompute, while the KV of another prompt as long goes to the store |
| s3-both | what `admit` (plan/admission.hpp) says for the link and the two prefills that were measured: the head of the hit computed while its tail comes; all or nothing of it, where that is sooner |

TTFT is the median, its extremes, and the number of runs. Model: X(0) + sum of max(X(l + 1), C(l)) + C(L - 1), with X = bytes of a layer / link
(X(0): and the latency) and C = `compute` / layers, of the `compute` that was measured last before it. Stalls are what the compute stream stood still at its gates, in the median run. Rest is
TTFT - compute - stalls (s3-whole: and less the load, for which the host waits before it enqueues the first layer): matching, the host before
the first layer, and layers that took longer than in `compute`, or, below zero, less long. CPU is that of the cache's threads alone, not of
the server: "all", and the pipeline's own thread among them.
"""]
    for engine in engines:
        text.append(f"\n# {engine.model}, {engine.layers} layers, attention `{engine.attention}`\n")
        for context in engine.contexts:
            shown = [line for line in engine.lines if line["context"] == context and (line["path"] in LOCAL or is_main(line))]
            if shown:
                text.append(f"\n## {context} tokens\n\n")
                if (engine, context) in plots:
                    text.append(f"![TTFT by hit, path and G]({plots[engine, context]})\n\n")
                text += context_tables(engine, shown)
        text += sweeps(engine)
        text += storing(engine)
        text += paper(engine)
        text += budgets(engine)
        text += gaps(engine)
        text += doubts(engine)
    return "".join(text)


def context_tables(engine, shown):
    hits = {(line["hit"], line["first"]) for line in shown if line["path"] != "recompute"}
    again = [line for line in shown if line["path"] == "recompute"]  # one, whatever the hit: beside each
    shown = sorted((line for line in shown if line["path"] != "recompute"), key=order)
    beside = [{**line, "hit": hit, "first": first} for line in again for hit, first in hits] or again
    yield table(["hit", "G", "path", *TIMES], [
        [f"{line['hit']:g} %", f"{line['G']:g}" if "G" in line else "-", line["path"], *times(engine, line)]
        for line in sorted(shown + beside, key=order)])
    stored = [line for line in shown if line["path"] not in LOCAL]
    if stored:
        threads = sorted({line["io_threads"] for line in stored if "io_threads" in line})
        yield f"\nThe host{', threads that receive: ' + ', '.join(f'{n:g}' for n in threads) if threads else ''}:\n\n" + table(["hit", "G", "path", "match ms", *HOST], [
            [f"{line['hit']:g} %", f"{line['G']:g}", line["path"], f"{line['match_ms']:.2f}", *host(engine, line)] for line in stored])


WORDS = {"gbit": "link", "latency_ms": "latency", "tls": "TLS", "layout": "layout", "depth": "look-ahead", "near": "layers in DRAM"}


def setting(line, name):
    value = line[name]
    if name == "gbit":
        return f"{value:g} Gbit/s" if value else "not shaped"
    if name == "latency_ms":
        return f"{value:g} ms"
    if name == "tls":
        return "yes" if value else "no"
    return value if name == "layout" else f"{value:g}"


def storing_costs(line):
    """What storing adds to the TTFT beside it, in %: the median of pairs that ran one behind the other."""
    return median([100 * (a - b) / b for a, b in zip(line["ttft_ms"], line["alone_ms"])])


def storing(engine):
    if engine.storing:
        yield "\n## While another prompt's KV is stored\n\nBoth are recomputed in turn; what storing adds is the median over the pairs.\n\n" + table(
            ["context", "G", "link", "TTFT ms alone", "while storing", "min...max, pairs", "storing adds", "stored GB", "in ms, TTFT at least",
             "requests", "CPU ms: all, pipeline"],
            [[tokens(line["context"]), f"{line['G']:g}", setting(line, "gbit"), f"{median(line['alone_ms']):.1f}", f"**{median(line['ttft_ms']):.1f}**",
              f"{min(line['ttft_ms']):.1f}...{max(line['ttft_ms']):.1f}, {len(line['ttft_ms'])}", f"{storing_costs(line):+.1f} %",
              f"{line['bytes'] / 1e9:.2f}", f"{median(line['load_ms']):.0f}", f"{line['requests']:g}",
              f"{median(line['cpu_ms']):.0f}, {median(line['pipeline_cpu_ms']):.0f}"] for line in engine.storing])


def sweeps(engine):
    groups = {}
    for line in engine.s3:
        differs = tuple(name for name in MAIN if line[name] != MAIN[name])
        if differs:
            groups.setdefault(differs, []).append(line)
    for differs in sorted(groups, key=lambda d: (len(d), [list(MAIN).index(n) for n in d])):
        cells = {(line["path"], line["context"], line["first"], line["G"]) for line in groups[differs]}
        beside = [line for line in engine.main() if (line["path"], line["context"], line["first"], line["G"]) in cells]
        yield f"\n## Other settings: {' and '.join(WORDS[n] for n in differs)}\n\n"
        shown = sorted(groups[differs] + beside, key=lambda line: (order(line), [line[n] for n in differs]))
        yield table(["context", "hit", "G", "path", *(WORDS[n] for n in differs), *TIMES, "GB/s", "CPU s/GB"], [
            [tokens(line["context"]), f"{line['hit']:g} %", f"{line['G']:g}", line["path"], *(setting(line, n) for n in differs),
             *times(engine, line), f"{rate(line):.2f}", f"{cpu_per_gb(line):.3f}"] for line in shown])


def paper(engine):
    rows, slow = [], []
    percent = lambda value: "-" if value is None else f"{value:+.1f} %"

    def ours(line):
        over = engine.over(line) if line else None
        return percent(over[1] if over else None)
    for (context, hit), (reference, paths) in PAPER.items():
        for i, g in enumerate(PAPER_G):
            lw, whole = engine.find("s3-lw", context, hit, g), engine.find("s3-whole", context, hit, g)
            if not lw and not whole:
                continue
            theirs = [percent(paths[name][i] if name in paths else None) for name in ("s3agg-lw", "s3batch-cw", "dram-lw", "dram-cw")]
            rows.append([tokens(context), f"{hit:g} %", f"{g}", f"{reference}", ms(engine.reference(lw or whole, "local-lw")), theirs[0],
                         f"**{ours(lw)}**", theirs[1], ours(whole), theirs[2], theirs[3], ours(engine.find_local("local-whole", context, hit))])
            more = []
            for path, name in (("s3-lw", "s3agg-lw"), ("s3-whole", "s3batch-cw")):
                at_10, at_100 = engine.find(path, context, hit, g, gbit=10), engine.find(path, context, hit, g)
                change = 100 * (median(at_10["ttft_ms"]) / median(at_100["ttft_ms"]) - 1) if at_10 and at_100 else None
                more += [percent(PAPER_10_GBIT[context, hit][name][i]), percent(change)]
            if more[1] != "-" or more[3] != "-":
                slow.append([tokens(context), f"{hit:g} %", f"{g}", *more])
    if not rows:
        return
    yield """
## Beside the paper

What is added to opt-local-LW. The paper's figures (arXiv:2605.22850, figure 13, read off the figure) are not measured here, and
only their direction compares: its engine is vLLM on an A100 behind PCIe Gen4 x8, its KV comes over 100 Gbit/s RDMA from patched storage
servers; here it is an H200 and a faster engine (compare the references), so that there is less compute to hide a load behind, TCP on
loopback to a server in the same process behind a shaped link, and an S3 API that nobody changed. CW: the whole prefix, then compute; LW: layer by layer.

"""
    yield table(["context", "hit", "G", "paper: reference ms", "local-lw ms", "paper: S3Agg-LW", "s3-lw", "paper: S3Batch-CW", "s3-whole",
                 "paper: DRAM-LW", "paper: DRAM-CW", "local-whole"], rows)
    if slow:
        yield "\nWhat 10 instead of 100 Gbit/s add to a path's own TTFT (the paper's figure 14):\n\n"
        yield table(["context", "hit", "G", "paper: S3Agg-LW", "s3-lw", "paper: S3Batch-CW", "s3-whole"], slow)


def budgets(engine):
    rows = []

    def judge(what, budget, figure, holds):
        rows.append([what, budget, figure, "no data" if holds is None else "**met**" if holds else "**missed**"])
    context, hit = BUDGET_CELL
    name = f"{tokens(context)} / {hit:g} %"
    for g in PAPER_G:
        line = engine.find("s3-lw", context, hit, g)
        what, limit = f"TTFT over opt-local-LW, {name}, G = {g}", f"<= {BUDGET_OVER:g} %"
        over, model = (engine.over(line), engine.model_of(line)) if line else (None, None)
        if over is None or model is None:
            judge(what, limit, "-", None)
            continue
        layer, beyond = engine.compute_layer(line), median(line["ttft_ms"]) - model
        figure = f"{over[1]:+.1f} % ({over[0]:+.1f} ms); model {beyond:+.1f} ms; C = {layer:.1f} ms"
        if layer >= BUDGET_LAYER_MS:
            judge(what, limit, figure, over[1] <= BUDGET_OVER)
        else:
            judge(what, f"C < {BUDGET_LAYER_MS:g} ms: model {BUDGET_MODEL_MS:+g} ms", figure, beyond <= BUDGET_MODEL_MS)
    near = [line for line in engine.s3 if line["path"] == "s3-lw" and (line["context"], line["hit"]) == BUDGET_CELL and line["near"] > 0 and
            engine.over(line) and all(line[n] == v for n, v in MAIN.items() if n != "near")]
    best = min(near, key=lambda line: engine.over(line)[1], default=None)
    tried = ", ".join(f"{n:g}" for n in sorted({line["near"] for line in near}))
    judge(f"the same with front layers in DRAM, {name}", f"<= {BUDGET_NEAR:g} %", f"{engine.over(best)[1]:+.1f} % ({engine.over(best)[0]:+.1f} ms) "
          f"with {best['near']:g} of {engine.layers}, the best of {tried}, G = {best['G']:g}" if best else "-", engine.over(best)[1] <= BUDGET_NEAR if best else None)

    compared = [(median(line["ttft_ms"]) / engine.model_of(line), median(line["ttft_ms"]) - engine.model_of(line), cell_name(line))
                for line in engine.main("s3-lw") if engine.model_of(line) is not None]
    good = sum(ratio <= BUDGET_MODEL and beyond <= BUDGET_MODEL_MS for ratio, beyond, _ in compared)
    judge("measured / model, every cell", f"<= {BUDGET_MODEL:g} and <= {BUDGET_MODEL_MS:+g} ms",
          f"{good} of the {len(compared)} that were measured, of 36; worst ratio {max(compared)[0]:.3f} ({max(compared)[2]}), most added "
          f"{max(c[1] for c in compared):+.1f} ms ({max(compared, key=lambda c: c[1])[2]})" if compared else "-",
          good == len(compared) if compared else None)

    both = [line for line in engine.s3 if line["path"] == "s3-both" and (line["context"], line["hit"]) == BUDGET_CELL and
            all(line[n] == v for n, v in {**MAIN, "gbit": 10}.items()) and engine.reference(line, "recompute")]
    never = f"10 Gbit/s, {name}: never slower than recompute"
    slow = [line for line in engine.s3 if line["path"] == "s3-lw" and (line["context"], line["hit"]) == BUDGET_CELL and
            all(line[n] == v for n, v in {**MAIN, "gbit": 10}.items()) and engine.reference(line, "recompute")]
    if both or slow:
        worst = max(both or slow, key=lambda line: median(line["ttft_ms"]))
        again = engine.reference(worst, "recompute")
        judge(never, "<= recompute", f"{median(worst['ttft_ms']):.1f} ms ({worst['path']}, G = {worst['G']:g}, the slowest of {len(both or slow)}), "
              f"recompute {again:.1f} ms" + (f"; s3-lw, which asks nobody, {median(slow[0]['ttft_ms']):.1f} ms" if both and slow else ""),
              median(worst["ttft_ms"]) <= again)
    else:
        judge(never, "<= recompute", "-", None)
    what, limit = f"10 Gbit/s, {name}: both at once against the better of load and recompute", f">= {BUDGET_FASTER:g} x faster"
    if both:
        line = both[-1]
        load = engine.find("s3-lw", context, hit, line["G"], gbit=10)
        better = min([engine.reference(line, "recompute"), *([median(load["ttft_ms"])] if load else [])])
        mine = median(line["ttft_ms"])
        judge(what, limit, f"{better / mine:.2f} x: {mine:.0f} ms ({line['foretold_ms']:.0f} foretold) with {tokens(line['computed'])} of "
              f"{tokens(line['first'])} tokens computed; the better {better:.0f} ms", better / mine >= BUDGET_FASTER)
    else:
        judge(what, limit, "-", None)

    plain = [line for line in engine.s3 if not line["tls"]]
    far = [line for line in plain if line["gbit"] == 0]
    fast = max(far, key=rate, default=None)
    judge("S3 to device, link not shaped", f">= {BUDGET_RATE:g} GB/s", f"{rate(fast):.2f} GB/s ({cell_name(fast)})" if fast else "-",
          rate(fast) >= BUDGET_RATE if fast else None)
    lw = engine.main("s3-lw")
    least, most = min(lw, key=cpu_per_gb, default=None), max(lw, key=cpu_per_gb, default=None)
    judge("client CPU per GB, plain HTTP, verified", f"<= {BUDGET_CPU:.3f} s/GB, 1.5 x a raw recv loop (measured elsewhere, on 2 virtual cores)",
          f"{cpu_per_gb(least):.3f} ({cell_name(least)}) ... {cpu_per_gb(most):.3f} ({cell_name(most)})" if lw else "-",
          cpu_per_gb(most) <= BUDGET_CPU if lw else None)
    if lw:
        per_layer = lambda line: median(line["pipeline_cpu_ms"]) * 1e3 / engine.layers
        per_request = lambda line: median(line["pipeline_cpu_ms"]) * 1e3 / line["requests"]
        judge("host CPU in the pipeline, per layer and request", f"<= {BUDGET_HOST_US:g} us",
              f"per layer of a load {min(map(per_layer, lw)):.0f} ... {max(map(per_layer, lw)):.0f} us, per request to the store "
              f"{min(map(per_request, lw)):.0f} ... {max(map(per_request, lw)):.0f} us", max(map(per_layer, lw)) <= BUDGET_HOST_US)
    else:
        judge("host CPU in the pipeline, per layer and request", f"<= {BUDGET_HOST_US:g} us", "-", None)
    judge("sum of stalls, concurrent requests, against equal sharing", ">= 1.8 x", "not measured: nothing here allots the link to loads, TCP shares it", None)
    worst = max(engine.storing, key=storing_costs, default=None)
    judge("storing during prefill", f"<= {BUDGET_STORING:g} % on TTFT", f"{storing_costs(worst):+.1f} % ({tokens(worst['context'])}, G = {worst['G']:g}, "
          f"{setting(worst, 'gbit')}), the most of {len(engine.storing)}" if worst else "-", storing_costs(worst) <= BUDGET_STORING if worst else None)
    yield "\n## Budgets\n\nThose of the design that these lines can judge.\n\n" + table(["what", "budget", "here", ""], rows)
    yield """
A cell that is over the model by its *else* (below) alone is so by the GPU: its layers took longer than in the `compute` before it, as a GPU
that gets warm has them do. CPU per GB counts all that a cache's threads do, of which small loads have more for each byte. The pipeline's
own thread works for each request: a coroutine, a hop to a thread that receives and back, a copy while bytes come and one at their end,
an event that says when the memory is free again. Ten microseconds, which were meant for a layer, are far below that.
"""


def gaps(engine):
    """Why a TTFT is not what the model says: the parts add up to the difference."""
    rows = []
    for line in sorted(engine.main("s3-lw"), key=order):
        model, rest = engine.model_of(line), engine.rest(line)
        if model is None or rest is None:
            continue
        fetch = line["bytes"] / engine.layers * 8 / (line["gbit"] * 1e9) * 1e3
        behind = (engine.layers - 1) * max(fetch - engine.compute_layer(line), 0)
        first = line["stalls_ms"][0] - fetch - line["latency_ms"]
        later = sum(line["stalls_ms"][1:]) - behind
        over = median(line["ttft_ms"]) - model
        rows.append([tokens(line["context"]), f"{line['hit']:g} %", f"{line['G']:g}", f"{over:+.1f}", f"{line['match_ms']:.1f}", f"{first:+.1f}",
                     f"{later:+.1f}", f"{rest - line['match_ms']:+.1f}"])
    if rows:
        yield """
## What is over the model

Milliseconds, of the median run. *First layer*: what it came later than latency and link let it; it shares the link with the next ones, which
have to be asked for before it is there. *Later layers*: what they were waited for beyond the model, which a first layer that comes late makes
less where the engine is faster than the link. *Else*: layers that took longer than in `compute` (below zero: less), and the host.

"""
        yield table(["context", "hit", "G", "over the model", "match", "first layer", "later layers", "else"], rows)


def doubts(engine):
    """What in the figures themselves says that they are to be taken with care."""
    found = []
    for line in sorted(engine.lines, key=order):
        values = line["ttft_ms"]
        link = "" if line["path"] in LOCAL or is_main(line) else \
            " (" + ", ".join(setting(line, n) if n != "tls" else "TLS" for n in MAIN if line[n] != MAIN[n]) + ")"
        name = cell_name(line) + link
        if len(values) < 3:
            found.append(f"{name}: {len(values)} runs only")
        if max(values) - min(values) > SPREAD * median(values):
            steady = len(values) > 3 and (all(b < a for a, b in zip(values, values[1:])) or all(b > a for a, b in zip(values, values[1:])))
            found.append(f"{name}: the runs lie {100 * (max(values) - min(values)) / median(values):.0f} % apart" +
                         (f", each {'faster' if values[-1] < values[0] else 'slower'} than the one before: not yet at rest" if steady else ""))
        rest, compute = engine.rest(line), engine.reference(line, "compute")
        if line["path"] == "local-lw" and rest is not None and rest > REFERENCE * compute:
            found.append(f"{name}: the reference takes {rest:.1f} ms ({100 * rest / compute:.0f} %) more than its compute and its stalls, so what is "
                         "\"over local-lw\" there is too little")
    if found:
        yield f"\n## To be taken with care\n\n" + "".join(f"- {line}\n" for line in found)


# --- Plots

COLOURS = {"recompute": "#999999", "compute": "#000000", "local-lw": "#009E73", "local-whole": "#56B4E9", "s3-whole": "#E69F00",
           "s3-lw": "#D55E00"}  # Okabe and Ito: told apart by everybody


def draw(engine, context, file, pyplot):
    shown = [line for line in engine.lines if line["context"] == context and (line["path"] in LOCAL or is_main(line))]
    hits = sorted({line["hit"] for line in shown if line["path"] != "recompute"})
    if not hits:
        return False
    figure, axes = pyplot.subplots(1, len(hits), figsize=(1.4 + 3.0 * len(hits), 3.6), squeeze=False)
    handles = {}
    for axis, hit in zip(axes[0], hits):
        own = [line for line in shown if line["path"] not in ("recompute", "s3-both") and line["hit"] == hit]
        again = engine.find_local("recompute", context, hit)
        top = max(max(line["ttft_ms"]) for line in own)
        title = f"{hit:g} % in the store"
        if again:  # far above all others it would leave no room for them
            if median(again["ttft_ms"]) < 1.5 * top:
                own.append(again)
            else:
                title += f"\nrecompute: {median(again['ttft_ms']):.0f} ms, not drawn"
        chunks = sorted({line["G"] for line in own if "G" in line})
        for line in sorted(own, key=order):
            path, values, colour = line["path"], line["ttft_ms"], COLOURS[line["path"]]
            middle = median(values)
            if path in LOCAL:
                axis.axhspan(min(values), max(values), color=colour, alpha=0.2, linewidth=0)
                handles[path] = axis.axhline(middle, color=colour, linewidth=1.4, linestyle="--" if path == "local-whole" else "-")
                continue
            at = chunks.index(line["G"]) + (0.12 if path == "s3-lw" else -0.12)
            handles[path] = axis.errorbar([at], [middle], [[middle - min(values)], [max(values) - middle]], color=colour, capsize=4,
                                          marker="o" if path == "s3-lw" else "s", markersize=5, linestyle="none")
            model = engine.model_of(line)
            if model is not None:
                handles["model of s3-lw"] = axis.plot([at], [model], marker="_", markersize=14, markeredgewidth=2, color="#0072B2",
                                                      linestyle="none")[0]
        axis.set_title(title, fontsize=9)
        axis.set_xticks(range(len(chunks)), [f"{g:g}" for g in chunks])
        axis.set_xlim(-0.5, max(len(chunks), 1) - 0.5)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("G, tokens per chunk", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(axis="y", linewidth=0.3)
    axes[0][0].set_ylabel("TTFT, ms: median, min...max", fontsize=9)
    figure.suptitle(f"{context} tokens, {engine.model}, {MAIN['gbit']} Gbit/s, {MAIN['latency_ms']} ms", fontsize=10)
    names = [name for name in [*PATHS, "model of s3-lw"] if name in handles]
    figure.legend([handles[name] for name in names], names, loc="lower center", ncol=4, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.06 + 0.055 * (len(names) > 4), 1, 1))
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
    return True


def plot(engines, folder):
    """Names of files by engine and context."""
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        print(f"ttft.py: no plots: {error} (Debian: python3-matplotlib)", file=sys.stderr)
        return {}
    out = {}
    for engine in engines:
        mine = "" if len(engines) == 1 else f"_{engine.model}_{engine.layers}_{engine.attention}".replace("/", "-")
        for context in engine.contexts:
            name = f"ttft_{context:g}{mine}.png" if context != int(context) else f"ttft_{int(context)}{mine}.png"
            if draw(engine, context, folder / name, pyplot):
                out[engine, context] = name
    return out


# --- The timeline

def timeline(engine):
    """Chrome trace events of one run layer by layer, and of the reference beside it; None where no line has stalls."""
    candidates = [line for line in engine.main("s3-lw") if "stalls_ms" in line and engine.compute_layer(line)]
    if not candidates:
        return None
    chosen = max(candidates, key=lambda line: (line["context"], line["hit"], line["G"] == 64, -line["G"]))
    events, process = [], 0
    for line in (chosen, engine.local.get(("local-lw", chosen["context"], chosen["first"]))):
        if not line or "stalls_ms" not in line:
            continue
        process += 1
        layer = engine.compute_layer(line)
        label = lambda kind, thread, name: {"ph": "M", "pid": process, "tid": thread, "name": kind, "args": {"name": name}}
        span = lambda thread, name, at, length, **more: {"ph": "X", "pid": process, "tid": thread, "name": name, "ts": round(at * 1e3, 3),
                                                         "dur": round(length * 1e3, 3), "args": more}
        events += [label("process_name", 0, cell_name(line)), label("thread_name", 1, "host"), label("thread_name", 2, "compute stream")]
        now = line.get("match_ms", 0.0)
        if now:
            events.append(span(1, "match", 0, now))
        for i, stall in enumerate(line["stalls_ms"]):
            events += [span(2, f"stall {i}", now, stall, layer=i, ms=stall), span(2, f"layer {i}", now + stall, layer, layer=i, ms=round(layer, 3))]
            now += stall + layer
        events.append({"ph": "i", "s": "p", "pid": process, "tid": 1, "name": "first token, as measured", "ts": round(median(line["ttft_ms"]) * 1e3, 3)})
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {
        "reconstructed": "Not a recording. Stalls at the gates were measured, in the run of the median TTFT; each layer is given the same "
                         "time, the median of the path `compute` / layers; matching comes first, and what the host does besides is left out. "
                         "So the last layer does not end where the measured first token stands: the difference is the page's `rest`.",
        "cell": cell_name(chosen), "engine": f"{engine.model}, {engine.layers} layers, {engine.attention}",
        "ttft_ms": median(chosen["ttft_ms"])}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", nargs="+", metavar="FILE", default=[RESULTS / "ttft.jsonl"],
                        help="what the program appended; later files replace cells of earlier ones (default: results/ttft.jsonl)")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS, metavar="DIR", help="default: bench/results")
    parser.add_argument("--depth", type=int, default=MAIN["depth"], metavar="LAYERS",
                        help="the look-ahead of the main tables; other lines are a sweep (default: the program's, %(default)s)")
    parser.add_argument("--measured-on", default="a machine that was not named",
                        metavar="WHERE", help="for the page's head (default: %(default)s)")
    arguments = parser.parse_args()
    MAIN["depth"] = arguments.depth
    lines, seen = read(arguments.json)
    groups = {}
    for line in lines.values():
        groups.setdefault(engine_of(line), []).append(line)
    engines = [Engine(name, of_one) for name, of_one in groups.items()]
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
        plots = plot(engines, arguments.out)
        trace = next(filter(None, map(timeline, engines)), None)
        made = [*plots.values(), "ttft.md"]
        content = page(engines, arguments.json, lines, seen, plots, arguments.measured_on)
        if trace:
            (arguments.out / "ttft_timeline.json").write_text(json.dumps(trace, indent=0) + "\n", encoding="utf-8")
            made.append("ttft_timeline.json")
            content += f"\nA timeline of {trace['otherData']['cell']}, put together from its stalls: [ttft_timeline.json](ttft_timeline.json), for ui.perfetto.dev.\n"
        else:
            print("ttft.py: no timeline: no s3-lw line of the main tables has stalls and a compute line", file=sys.stderr)
        (arguments.out / "ttft.md").write_text(content, encoding="utf-8")
    except OSError as error:
        sys.exit(f"ttft.py: {error}")
    print(f"ttft.py: {arguments.out}: {', '.join(made)}", file=sys.stderr)


if __name__ == "__main__":
    main()
