#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Runs the cells of bench/layouts.sh, writes their JSON lines, and makes the page from them."""
import argparse
import datetime
import itertools
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
WAYS = ["segment_objects", "chunk_objects", "layer_objects", "slices"]
# arXiv:2605.22850, figure 11 (read off the figure): GB/s over 100 Gbit/s RDMA with patched servers, at that G
PAPER = {16: (0.20, 0.70, 4.41), 64: (0.81, 2.22, 8.65), 256: (2.83, 7.31, 9.98)}

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--program", required=True)
parser.add_argument("--chunk-tokens", default="16,64,256", help="G, a list")
parser.add_argument("--contexts", default="4096,16384,65536,131072")
parser.add_argument("--ways", default=",".join(WAYS))
parser.add_argument("--layers", type=int, default=4)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--latency-ms", type=float, default=10)
parser.add_argument("--mbit", type=float, default=4000)
parser.add_argument("--prices", default="", help="more options of the program, for instance '--per-1000-gets 0.001'")
parser.add_argument("--quick", action="store_true", help="small contexts, two rounds; results stay in the build folder")
parser.add_argument("--report-only", action="store_true", help="make the page from what was measured before")
arguments = parser.parse_args()
folder = RESULTS
if arguments.quick:
    arguments.contexts, arguments.rounds = "4096,16384", 2
    folder = pathlib.Path(arguments.program).parent
lines = folder / "layouts.jsonl"


def measure():
    with lines.open("w") as out:
        cells = list(itertools.product(map(int, arguments.contexts.split(",")), map(int, arguments.chunk_tokens.split(",")),
                                       arguments.ways.split(",")))
        for number, (context, tokens, way) in enumerate(cells):
            print(f"layouts.py: {number + 1} of {len(cells)}: {context} tokens, G = {tokens}, {way}", file=sys.stderr)
            done = subprocess.run([arguments.program, "--way", way, "-G", str(tokens), "--context", str(context), "--layers",
                                   str(arguments.layers), "--rounds", str(arguments.rounds), "--latency-ms",
                                   str(arguments.latency_ms), "--mbit", str(arguments.mbit), *arguments.prices.split()],
                                  stdout=subprocess.PIPE, text=True, timeout=600)
            if done.returncode != 0:
                sys.exit(f"layouts.py: {way}, G = {tokens}, {context} tokens: failed")
            out.write(done.stdout)
            out.flush()


def command():
    """What was called, with everything in it that shapes the page."""
    said = [a for a in sys.argv[1:] if a != "--report-only"]
    at = said.index("--program")
    del said[at:at + 2]
    return " ".join(["bash bench/layouts.sh", *said])


def page():
    cells = {}
    for line in lines.read_text().splitlines():
        run = json.loads(line)
        cells.setdefault((run["context"], run["G"], run["way"]), []).append(run)
    one = next(iter(cells.values()))[0]
    text = [f"""# The layouts

`{command()}`, {datetime.date.today()}. {len(next(iter(cells.values())))} cold matches and loads per cell, of what was stored once; medians, and extremes of the rate.
The server of the test kit, in the same process, behind a link of {one['mbit'] / 1000:g} Gbit/s each way and {one['latency_ms']:g} ms to the first byte: **shaped, not a real
network**. KV of Llama-3.1-8B's shape, 4,096 bytes per token and layer, but {one['layers']} layers of its 32: requests per layer and rates do not depend on
that, requests in all and money are for {one['layers']} layers. "slices" are chunk objects read with one GET per slice, as in the paper's baseline. Money is
list price (AWS S3 Standard, us-east-1; parameters of the program). CPU is that of client and server together. Rounds of a match are requests
one after the other: two by design, more where there are more questions than may be under way at once (64); what is promised was asked for, so a prefix in
chunk or layer objects costs a HEAD per chunk. Every load is compared, byte by byte, with what was stored.
"""]
    for context in sorted({key[0] for key in cells}):
        text.append(f"\n## {context} tokens\n\n| G | way | PUTs | bytes written / payload | match: requests, rounds, ms | GETs | GETs per layer | GB/s | of the link | CPU s/GB | "
                    "store $ | match $ | load $ |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
        for (_, tokens, way), runs in sorted((k, v) for k, v in cells.items() if k[0] == context):
            middle = lambda name: statistics.median(run[name] for run in runs)
            rates = [run["load_bytes"] / run["load_seconds"] / 1e9 for run in runs]
            text.append(f"| {tokens} | {way} | {middle('store_requests'):.0f} | {middle('store_bytes') / one_payload(runs):.4f} | {middle('match_requests'):.0f}, "
                        f"{middle('match_rounds'):.0f}, {middle('match_ms'):.1f} | {middle('load_requests'):.0f} | {middle('load_requests') / runs[0]['layers']:.1f} | "
                        f"**{statistics.median(rates):.3f}** {min(rates):.3f}..{max(rates):.3f} | {100 * middle('link'):.1f} % | {middle('cpu_per_gb'):.2f} | "
                        f"{middle('store_dollars'):.6f} | {middle('match_dollars'):.6f} | {middle('load_dollars'):.6f} |\n")
    text.append("\n## The paper's figures\n\nFor comparison, not measured here: ObjectCache (arXiv:2605.22850), figure 11, GB/s over a 100 Gbit/s RDMA network. "
                "Its aggregation runs in patched storage servers; here the servers are as they are.\n\n| G | one object per GET | batch | aggregated in the servers |\n|---|---|---|---|\n")
    text += [f"| {tokens} | {a:.2f} | {b:.2f} | {c:.2f} |\n" for tokens, (a, b, c) in PAPER.items()]
    text.append("\n## Expected and measured\n\n")

    def verdict(what, key, holds, found):
        if key in cells:
            text.append(f"- {what}: **{'pass' if holds(cells[key]) else 'miss'}**, {found(cells[key])}\n")

    def median(runs, name):
        return statistics.median(run[name] for run in runs)
    at = (65536, 64, "segment_objects")
    verdict("64K tokens, G = 64: segments reach 95 % of the link", at, lambda r: median(r, "link") >= 0.95,
            lambda r: f"{100 * median(r, 'link'):.1f} %; one GET per slice: {100 * median(cells[65536, 64, 'slices'], 'link'):.1f} %")
    verdict("requests per layer are the segments touched", at, lambda r: all(x["load_requests"] == x["runs"] * x["layers"] for x in r),
            lambda r: f"{r[0]['load_requests'] / r[0]['layers']:.0f} of {r[0]['runs']}")
    verdict("a cold match of 64K tokens takes two round trips", at, lambda r: max(x["match_rounds"] for x in r) <= 2,
            lambda r: f"{max(x['match_rounds'] for x in r)}, {median(r, 'match_ms'):.1f} ms; chunk_objects: "
            f"{max(x['match_rounds'] for x in cells[65536, 64, 'chunk_objects'])}, {median(cells[65536, 64, 'chunk_objects'], 'match_ms'):.1f} ms")
    verdict("storing writes each byte once and reads none back", at,
            lambda r: r[0]["store_bytes"] / one_payload(r) < 1.001 and r[0]["read_while_storing"] == 0,
            lambda r: f"{r[0]['store_bytes'] / one_payload(r):.5f} of the payload, heads and trailers included")
    contexts = sorted({key[0] for key in cells})
    if all((c, g, "segment_objects") in cells for c in contexts for g in (16, 256)):
        worst = max(median(cells[c, 16, "segment_objects"], "load_requests") - median(cells[c, 256, "segment_objects"], "load_requests") for c in contexts)
        text.append(f"- G = 16 costs no more requests than G = 256: **{'pass' if worst <= 0 else 'miss'}**\n")
    (folder / "layouts.md").write_text("".join(text))
    print(f"layouts.py: {folder / 'layouts.md'}", file=sys.stderr)


def one_payload(runs):
    return runs[0]["payload"]


if not arguments.report_only:
    measure()
page()
