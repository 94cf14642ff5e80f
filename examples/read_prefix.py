#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""docs/format.md in sixty lines of code: finds what is stored of a sequence and verifies every byte of it, in any layout.

    read_prefix.py BUCKET KEYPREFIX SCOPE.json TOKENS.txt     where and who: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...

TOKENS.txt holds numbers, SCOPE.json for instance {"model": "meta-llama/Llama-3.1-8B", "revision": "d04e592", "layers": 32,
"kv_heads": 8, "head_size": 128, "tokens_per_chunk": 64, "dtype": "bf16", "form": "separate"}. Debian: python3-boto3 python3-xxhash"""
import hashlib, json, os, re, struct, sys, boto3
from xxhash import xxh3_64_intdigest as xxh3

if len(sys.argv) != 5:
    sys.exit(__doc__)
bucket, key_prefix, scope, tokens = *sys.argv[1:3], json.load(open(sys.argv[3])), open(sys.argv[4]).read().split()
s3 = boto3.client("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL"))
layers, heads, width, G = (scope[k] for k in ("layers", "kv_heads", "head_size", "tokens_per_chunk"))
dtype, element = {"f32": (0, 4), "f16": (1, 2), "bf16": (2, 2), "fp8_e4m3": (3, 1), "fp8_e5m2": (4, 1), "int8": (5, 1)}[scope["dtype"]]
form, parts = {"separate": (0, 2), "latent": (1, 1)}[scope["form"]]
S = G * parts * heads * width * element  # bytes of a slice; its record has 32 more
N = max(n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256) if n == 1 or n * S <= 1 << 23 and n * G <= 4096)  # chunks of a region

fields = {tag: scope[k].encode() for tag, k in {1: "model", 2: "revision", 5: "config", 6: "adapter", 7: "tenant_salt"}.items() if scope.get(k) is not None}
fields |= {3: struct.pack("<4I2B", layers, heads, width, G, dtype, form), 4: struct.pack("<4I", *scope.get("shard", (0, heads, 0, layers)))}
named = b"".join(struct.pack("<BI", tag, len(value)) + value for tag, value in sorted(fields.items()))
chain = [hashlib.sha256(b"objectcache scope\1\0" + named).digest()]  # of the scope; chunk i has chain[i + 1]
for i in range(0, len(tokens) - G + 1, G):
    chain.append(hashlib.sha256(chain[-1] + struct.pack(f"<{G}I", *map(int, tokens[i:i + G]))).digest())
root, chunks = f"{key_prefix}oc1/{chain[0].hex()[:32]}/", len(chain) - 1

def get(key):
    try: return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey: return None

def verify(key, data, layout, of_layers, ids, first=None):
    """header (and the ids of a segment), then a record for each layer and chunk, and nothing else"""
    want = b""
    if first is not None:
        want = b"OBJCACHE\1\0" + struct.pack("<BBB3x4IQI4xQ8x", layout, form, dtype, layers, heads, width, G, first * G, len(ids), S)
        want += chain[0] + ids[0] + chain[first] + bytes(88)
        want += struct.pack("<Q", xxh3(want))
        if layout == 3:
            want += b"".join(ids) + struct.pack("<Q", xxh3(b"".join(ids), seed=xxh3(want[:248])))
    whole = data[:len(want)] == want and len(data) == len(want) + len(of_layers) * len(ids) * (S + 32)
    for at, (layer, chunk) in enumerate((layer, chunk) for layer in of_layers for chunk in ids):
        record = data[len(want) + at * (S + 32):][:S + 32]
        names = struct.pack("<IHBB", layer, 1, layout, 0) + chunk[:16]
        whole = whole and record[S:] == struct.pack("<Q", xxh3(names, seed=xxh3(record[:S]))) + names
    return whole or sys.exit(f"damaged, or of another format version: {key}")

at = 0
while at < chunks:
    start, found, folder = at // N * N, at, f"{root}s/{chain[at // N * N + 1].hex()}/"
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder):
        for key in (entry["Key"] for entry in page.get("Contents", [])):
            if not (name := re.fullmatch(r"(\d{3})-(\d{3})\.(\w{32})\.[\w-]*", key[len(folder):])):
                continue
            first, n, data = start + int(name[1]), int(name[2]), get(key)
            ids = [data[256 + 32 * i:][:32] for i in range(n)]
            ours = next((i for i in range(n) if chain[first + 1:][i:i + 1] != [ids[i]]), n)
            if [c.hex()[:32] for c in chain[first + n:][:1]] == [name[3]]:
                ours, ids = n, chain[first + 1:][:n]  # all of it, so its name says
            if first <= at < first + ours and verify(key, data, 3, range(layers), ids, first):
                found = max(found, first + ours)
    one, folder = chain[at + 1], f"{root}l/{chain[at + 1].hex()}/"
    if found == at and (data := get(key := f"{root}c/{one.hex()}")) and verify(key, data, 2, range(layers), [one], at):
        found += 1
    if found == at and (data := get(key := folder + "manifest")) and verify(key, data, 1, [], [one], at):
        found += all(verify(k, get(k) or b"", 1, [layer], [one]) for layer, k in enumerate(f"{folder}{i:04}" for i in range(layers)))
    if found == at:
        break
    at = found
print(f"{at} chunks = {at * G} tokens of {layers} layers found and verified, of {chunks} chunks")
