#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Makes decode_stream.md from the JSON lines that the program `decode_stream` appends.

Of lines about the same cell on the same device the last one counts."""
import argparse
import json
import pathlib
import sys

RESULTS = pathlib.Path(__file__).resolve().parent / "results"
BUDGET = 0.95     # of min(link, bus)
READING = 5       # tokens per second of a sequence that somebody waits for
SPREAD = 0.10     # rows whose steps lie further apart than this share of the median are named
CELL = ("device", "model", "layers", "context", "G", "from", "resident", "slots", "kept", "batch", "own", "gbit", "latency_ms", "pace")


def read(files):
    cells = {}
    for file in files:
        for number, line in enumerate(pathlib.Path(file).read_text().splitlines(), 1):
            try:
                d = json.loads(line)
                cells[tuple(d[k] for k in CELL)] = d
                d["step_ms"], d["fraction"], d["mistaken"]
            except (json.JSONDecodeError, KeyError) as e:
                sys.exit(f"decode_stream.py: {file}, line {number}: {e!r}")
    return sorted(cells.values(), key=lambda d: (d["context"], d["resident"], d["batch"], d["from"], d["gbit"]))


def gib(n):
    return f"{n / 2**30:.3g}"


def took(seconds):
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def source(d):
    if d["from"] != "s3":
        return "pinned DRAM"
    return "S3, " + (f"{d['gbit']:g} Gbit/s" if d["gbit"] else "link not shaped") + ("" if d["pace"] else ", not paced")


def least_ms(d):
    """What the step cannot be faster than: its bytes, or what it computes."""
    return max(d["bytes"] / d["bound_gbps"] / 1e6, d["on_device_ms"])


def spread(d):
    return (d["step_ms_max"] - d["step_ms_min"]) / d["step_ms"]


def one_sequence_ms(cells, d):
    """A step of one sequence with everything on the device, of the same context."""
    found = [c["step_ms"] for c in cells if c["from"] == "device" and c["batch"] == 1 and c["context"] == d["context"]]
    return min(found) if found else None


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(map(str, r)) + " |" for r in rows]


def rows_of(cells):
    rows, shown = [], set()
    for d in cells:
        device = d["from"] == "device"
        if device and d["batch"] in shown: # whatever stays there otherwise
            continue
        shown |= {d["batch"]} if device else set()
        kept = (d["resident"] + d["slots"]) * d["layer_bytes"]
        one = one_sequence_ms(cells, d)
        rows.append([
            "all on the device" if device else source(d),
            "-" if device else f"{d['resident']:g} of {d['layers']:g}, {gib(kept)} GiB",
            f"{d['batch']:g}",
            f"{d['step_ms']:.2f} ({d['step_ms_min']:.2f} ... {d['step_ms_max']:.2f}, {d['steps']:g})",
            "-" if device else f"{d['bytes'] / 1e9:.3g}",
            "-" if device else f"{d['bound_gbps']:.2f}",
            "-" if device else f"{100 * d['fraction']:.1f} %",
            f"{d['tokens_per_s']:.3g}",
            f"{d['tokens_per_s'] / d['batch']:.3g}",
            "-" if device else f"{d['step_ms'] / d['on_device_ms']:.1f} x",
            "-" if device or one is None else f"{d['step_ms'] / one:.0f}",
        ])
    return table(["KV from", "stays on the device", "batch", "step ms, median (least ... most, steps)", "GB a step", "bound GB/s",
                  "of the bound", "tokens/s", "of each", "over all on the device", "even at batch"], rows)


def budget(cells):
    streamed = [d for d in cells if d["from"] != "device"]
    computes = [d for d in streamed if d["on_device_ms"] > d["bytes"] / d["bound_gbps"] / 1e6]
    judged = [d for d in streamed if d not in computes]
    name = lambda d: f"{d['context']:,.0f} tokens, {source(d)}, {d['resident']:g} layers near, batch {d['batch']:g}"
    out = []
    if judged:
        worst = min(judged, key=lambda d: d["fraction"])
        missed = [d for d in judged if d["fraction"] < BUDGET]
        out += [f"Budget, {100 * BUDGET:.0f} % of min(link, bus): " + ("met" if not missed else f"**missed by {len(missed)}**") +
                f" of {len(judged)} rows; the worst has {100 * worst['fraction']:.1f} % ({name(worst)})."]
        if missed and all(d["from"] == "s3" and d["gbit"] == 0 for d in missed):
            out.append("All of them over a link that is not shaped: its plain reads verify nothing, and nothing copies to the device beside "
                       "them. With more layers on the way than two slots have room for, the whole cache takes more: [gpu.md](gpu.md).")
    for d in computes:
        out.append(f"Not bound by what travels but by what is computed: {name(d)}, {100 * least_ms(d) / d['step_ms']:.1f} % of that.")
    wide = [d for d in streamed if spread(d) > SPREAD]
    if wide:
        out.append("Steps more than " f"{100 * SPREAD:.0f} % apart: " + "; ".join(map(name, wide)) + ".")
    wrong = [d for d in cells if not d["error"] <= d["mistaken"] / 20]
    worst = max(cells, key=lambda d: d["error"])
    apart = f"but for {worst['error']:.2g} of the largest at most" if worst["error"] else "to the bit"
    out.append(f"The scores of every streamed step are those of the step with all KV on the device {apart} (a layer mistaken for its neighbour makes {min(d['mistaken'] for d in cells):.2g} or more)."
               if not wrong else f"**{len(wrong)} rows computed something else**: " + "; ".join(map(name, wrong)) + ".")
    return out


def useful(cells, tflops):
    """What to do with it, in words: for each context and source, by its largest resident part and by its least."""
    out = []
    for context in sorted({d["context"] for d in cells}):
        here = [d for d in cells if d["context"] == context]
        one = one_sequence_ms(cells, here[0])
        again = here[0]["recompute_tflop"] / tflops
        out += ["", f"**{context:,.0f} tokens** ({gib(here[0]['layer_bytes'] * here[0]['layers'])} GiB of KV; computing it anew takes some "
                f"{took(again)} at {tflops:g} TFLOP/s):"]
        for what in dict.fromkeys(source(d) for d in here if d["from"] != "device"):
            for near in sorted({d["resident"] for d in here if d["from"] != "device" and source(d) == what}):
                rows = [d for d in here if d["from"] != "device" and source(d) == what and d["resident"] == near]
                first, last = min(rows, key=lambda d: d["batch"]), max(rows, key=lambda d: d["batch"])
                rate = 1e3 / first["step_ms"]
                memory = (near + first["slots"]) * first["layer_bytes"]
                fits = context * (near + first["slots"]) / first["layers"]
                reads = "fast enough to read along" if rate >= READING else f"**too slow to read along** (less than {READING})"
                together = f"{last['tokens_per_s']:.3g} tokens/s for {last['batch']:g} sequence{'s together' if last['batch'] > 1 else ''}"
                if one:
                    together += (f", {last['tokens_per_s'] * one / 1e3:.2g} times those of one sequence with everything on a device "
                                 f"(even at batch {first['step_ms'] / one:.0f})")
                out += [f"- {what}, {near:g} layers near, {gib(memory)} GiB on the device, in which {fits:.0f} tokens fit without streaming:",
                        f"  {rate:.3g} tokens/s for one who waits, {reads}; {together};",
                        f"  a step takes {first['step_ms'] / again / 1e3:.2g} of the time of computing the prefix anew."]
    return out


def page(cells, tflops):
    out = ["# Decoding over a prefix that does not fit the device", "",
           "Made by `bench/decode_stream.py` from lines that `decode_stream` appended; how to run it is in [bench/README.md](../README.md).",
           "A step is one token of every sequence, with all weights (random) on the device; the sequences share the prefix and have a few",
           "tokens of their own. Layers that do not stay on the device travel anew for every step, in turn into a few slots. The bound is the",
           "lesser of what plain copies to the device and plain reads of the store brought in the same run. *Of each*: tokens per second of",
           "one sequence. *Even at batch*: how many sequences have to share the prefix until the step brings as many tokens per second as one",
           "sequence with all its KV on a device that has the room; that step is measured with layers that lie on one another where the",
           "device has not.", ""]
    for device in dict.fromkeys(d["device"] for d in cells):
        mine = [d for d in cells if d["device"] == device]
        simulated = any(d["simulated"] for d in mine)
        d = mine[0]
        threads = sorted({c["io_threads"] for c in mine if c["from"] == "s3"})
        out += [f"## {device}" + (", with a simulated bus: it shows that nothing stands still, not how fast anything is" if simulated else ""), ""]
        if threads:
            out += [f"The store is the test kit's server, in the same process on cores of its own, its link shaped, not a real network; threads "
                    f"that receive: {', '.join(f'{n:g}' for n in threads)}.", ""]
        for context in sorted({d["context"] for d in mine}):
            here = [d for d in mine if d["context"] == context]
            d = here[0]
            out += [f"### {context:,.0f} tokens", "",
                    f"{d['model']}, {d['layers']:g} layers of {d['layer_bytes'] / 2**20:g} MiB, {gib(d['layers'] * d['layer_bytes'])} GiB in all; "
                    f"G = {d['G']:g}, {d['slots']:g} slots; plain copies {d['bus_gbps']:.2f} GB/s."
                    + ("" if d["kept"] == d["layers"] else
                       f" Store and DRAM keep {d['kept']:g} layers, which are given again and again: the machine has no room for all."), ""]
            out += rows_of(here) + [""]
        out += ["### What of it is useful", ""] + budget(mine)
        if not simulated:
            out += useful(mine, tflops) + ["", "The bytes of a step do not depend on the batch: sequences that share the prefix share its cost, and so would "
                                           "several tokens", "verified at once. Without either, what is streamed for every token should be as little as can be: "
                                           "keep near what fits."]
        out += [""]
    return "\n".join(out).rstrip() + "\n"


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", nargs="+", default=[RESULTS / "decode_stream.jsonl"])
    arguments.add_argument("--out", type=pathlib.Path, default=RESULTS / "decode_stream.md")
    arguments.add_argument("--tflops", type=float, default=560,
                           help="of computing the prefix anew: what 128K tokens of Llama-3.1-8B had on an H200")
    a = arguments.parse_args()
    cells = read(a.json)
    if not cells:
        sys.exit("decode_stream.py: no figures")
    a.out.write_text(page(cells, a.tflops))
    print(f"decode_stream.py: {a.out}")


if __name__ == "__main__":
    main()
