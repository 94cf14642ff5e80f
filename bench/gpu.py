#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Makes bench/results/gpu.md from the lines that event_wait, gate, s3_to_device and kv_kernels append."""

import argparse
import json
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).resolve().parent


def lines(folder, name):
    path = folder / f"{name}.jsonl"
    if not path.exists():
        return []
    out = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            out.append(json.loads(line))
        except json.JSONDecodeError as e:
            sys.exit(f"gpu.py: {path}, line {number}: no JSON: {e}")
    return out


def last(found, *names):
    """Of the lines that say the same of what they are about, the last."""
    return list({tuple(d[n] for n in names): d for d in found}.values())


def table(head, rows):
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    out += ["| " + " | ".join(str(c) for c in row) + " |" for row in rows]
    return out


def verdict(good):
    return "met" if good else "**missed**"


def event_wait(found):
    rows, kept = [], []
    spinning = {}  # with the launch
    for d in found:
        kernel = f"{d['kernel_us']:g} us" + (f" ± {100 * d['jitter']:g} %" if d["jitter"] else "")
        rows.append([kernel, d["way"], f"{d['over_p50_us']:.1f}", f"{d['over_p99_us']:.1f}",
                     f"{d['launch_p50_us']:.1f}", f"{d['added_p50_us']:+.1f}", f"{100 * d['cpu']:.1f}", d["waits"]])
        if d["way"] == "word, spinning":
            spinning[kernel] = d["over_p50_us"]
        if d["way"] == "event_scheduler, words":
            kept.append([kernel, f"{d['added_p50_us']:+.1f} us", f"{d['over_p50_us'] - spinning[kernel]:+.1f} us", f"{100 * d['cpu']:.1f} %",
                         verdict(d["added_p50_us"] <= 6 and d["cpu"] <= 0.15)])
    return (["## How the host learns that a kernel is done (`event_wait`)", "",
             "From launching a kernel until the host goes on, less the time that the kernel was told to run; \"launch\" is what of it the call that",
             "launches takes: longer where the core has slept before, which is no part of learning that a kernel is done. \"Added\" is the median of",
             "the rest, compared with that of spinning on a word. CPU is the waiting thread's share of a core over the whole series.", ""]
            + table(["kernel", "way", "p50 us", "p99 us", "launch p50", "added p50", "CPU %", "waits"], rows)
            + ["", "Budget of the event scheduler: added p50 <= 6 us at <= 15 % of a core:", ""]
            + table(["kernel", "added p50", "with the launch", "CPU", ""], kept)
            + ["", "Kernels that are shorter than a thread takes to wake up are spun for. Longer ones are slept through, and a thread wakes up the later",
               "the longer it slept: what the scheduler allows for that is in `pipeline/wait_predictor.hpp`.", ""])


def gate(found):
    found = last(found, "part", "way")
    titles = {"host": "The host opens the gate, the engine's stream goes on and writes a word, the host sees it",
              "copy": "A copy of 1 MiB to the device begins; the engine's next kernel begins (the device's clock)",
              "enqueue": "The host enqueues one", "graph": "A graph of 32 layers of one small kernel each"}
    out = ["## What a layer gate costs (`gate`)", ""]
    for part in dict.fromkeys(d["part"] for d in found):
        out += [titles.get(part, part) + ", us:", ""]
        lines = [d for d in found if d["part"] == part]
        host = any("host_cpu" in d for d in lines)
        out += table(["way", "p50", "mean", "p99", "added p50"] + ["host CPU"] * host,
                     [[d["way"], f"{d['p50_us']:.3f}", f"{d['mean_us']:.3f}", f"{d['p99_us']:.3f}",
                       f"{d['added_p50_us']:+.3f}" if "added_p50_us" in d else "-"]
                      + [f"{100 * max(d.get('host_cpu', 0), 0):.1f} %"] * host for d in lines]) + [""]
    out += ["Host CPU is a share of a core, of all threads of the process: where a copy is waited for, of the time in the table; where the host",
            "opens the gate, of the time that it was closed and until it was passed, and without the thread that opens it and looks. Over 100 %: the call",
            "that launches is not over when its kernel begins.", ""]
    added = {d["way"]: d["added_p50_us"] for d in found if "added_p50_us" in d}
    gate_us = added.get("gate, opened by the device", 0) - added.get("cudaStreamWaitEvent (copy enqueued first)", 0)
    graph_us = added.get("of 16 replays in a row, each, gates open", 0) / 32
    return out + [f"An event (`cudaStreamWaitEvent`) costs the device {gate_us:.1f} us less per layer than a gate, but it can only be waited for once it",
                  f"was recorded, so the host would have to know of each layer before it enqueues the next. Gates in a graph cost {graph_us:.1f} us each.", ""]


def s3_to_device(found):
    rows, loads = [], {}
    for d in found:
        what = d["what"]
        if d["part"] == "peer":
            what += f", to {d['mode']}, {d['threads']} event loops, {d['processes']} process"
            rows.append([what, "-", "-", f"{d['gbps']:.2f}", "-", f"{d['cpu_s_per_gb']:.3f}"])
        elif d["part"] == "bound":
            rows.append([what, "-", "-", f"{d['gbps']:.2f}", f"{d['gbps_min']:.2f}...{d['gbps_max']:.2f}, {d['times']}", "-"])
        else:
            setting = tuple(d[k] for k in ("io_threads", "server_threads", "depth", "at_once", "layer_by_layer", "pace"))
            loads.setdefault(setting, []).append(d)
    ours, kept = [], []
    for (threads, server, depth, at_once, by_layer, pace), runs in sorted(loads.items(), key=lambda item: (item[0][3], -item[0][4], item[0])):
        rates = [d["gbps"] for d in runs]
        what = f"the cache, {threads} threads that receive" + (f", {at_once} loads at once" if at_once > 1 else "") + \
            ("" if by_layer else ", whole prefixes") + ("" if pace else ", not paced")
        ours.append([what, f"{depth}", f"{server}", ", ".join(f"{r:.2f}" for r in rates),
                     f"{min(d['gbps_min'] for d in runs):.2f}...{max(d['gbps_max'] for d in runs):.2f}, {sum(d['times'] for d in runs)}",
                     f"{statistics.median(d['cpu_s_per_gb'] for d in runs):.3f}"])
        if at_once == 1 and by_layer and threads <= 16:
            kept.append((statistics.median(rates), rates, depth, server))
    bounds = [row for row in rows if row[0].startswith("bound")]
    peers = [row for row in rows if not row[0].startswith("bound")]
    best, each, depth, server = max(kept, default=(0, [], 0, 0))
    peer = max((d["gbps"] for d in found if d["part"] == "peer" and d["mode"] == "device"), default=0)
    of = f", in the median of {len(each)} processes ({', '.join(f'{r:.1f}' for r in each)})" if len(each) > 1 else ""
    return (["## From S3 to the memory of a GPU, without compute (`s3_to_device`)", "",
             "4.3 GB of KV through the whole cache; our server in the same process, on cores of its own, link not shaped. CPU is the client's. A figure",
             "for each process that was run, the extremes of all its loads behind it.", ""]
            + table(["what", "look-ahead", "server's cores", "GB/s", "least...most, times", "CPU s/GB"], bounds + ours + peers)
            + ["", f"Budget 25 GB/s on 16 cores, one load layer by layer: **{verdict(best >= 25).strip('*')}**, {best:.2f} GB/s{of}, with a look-ahead of "
               f"{depth} layers and {server} cores for the server beside those threads; the best of the settings above. {best / peer if peer else 0:.1f} times the AWS CRT's way to the device.",
               "Runs differ as much as that: each byte crosses the memory of a virtual machine some five times (the server's memory, the kernel's,",
               "pinned memory, the checksum where it has left the cache, the copy engine).", ""])


def kv_kernels(found):
    found = last(found, "layout", "chunk", "bytes", "payload", "direction", "way", "blocks")
    want = [d for d in found if d["payload"] == "pinned" and d["direction"] == "scatter" and round(d["bytes"] / (8 << 20), 1) == 1]
    rows = []
    for d in want:
        if d["way"] == "kernel" and d["blocks"] not in (8, 16):
            continue
        if d["way"] not in ("plain copy", "kernel", "copy engine", "copy engine, batch"):
            continue
        way = d["way"] + (f", {d['blocks']} blocks" if d["way"] == "kernel" else "")
        rows.append([d["layout"], d["chunk"], way, f"{d['gbps']:.1f}", f"{d['gbps_min']:.1f}...{d['gbps_max']:.1f}",
                     f"{d['enqueue_us']:.1f}"])
    return (["## Slices from pinned memory to an engine's pages (`kv_kernels`)", "",
             "8 MiB at a time, blocks of 16 tokens of Llama-3.1-8B (mla: of DeepSeek's latent rows), on an idle GPU. A plain copy is the bound.", ""]
            + table(["pages", "G", "way", "GB/s", "least...most", "host, us"], rows)
            + ["", "For whole rows the copy engine is taken all the same from runs of 32 KiB on: beside attention, kernels wait for SMs. What is equally far",
               "apart, as the slices of a segment are in contiguous memory, is one copy of rows; the batch is what each slice as a copy of its own takes.", ""])


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--results", type=pathlib.Path, default=HERE / "results")
    arguments.add_argument("--measured-on", default="a machine that was not named",
                           help="where and when the lines were made, for the page's head")
    arguments = arguments.parse_args()
    folder = arguments.results
    page = ["# The device, piece by piece", "",
            f"Made by `bench/gpu.py` from the `.jsonl` files beside it, measured on {arguments.measured_on}.",
            "TTFT and its budgets are on [a page of their own](ttft.md).", ""]
    for name, make in (("event_wait", event_wait), ("gate", gate), ("s3_to_device", s3_to_device),
                       ("kv_kernels", kv_kernels)):
        found = lines(folder, name)
        page += make(found) if found else [f"`{name}`: no figures.", ""]
    (folder / "gpu.md").write_text("\n".join(page).rstrip() + "\n")
    print(f"gpu.py: {folder / 'gpu.md'}")


if __name__ == "__main__":
    main()
