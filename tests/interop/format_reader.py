#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Finds and verifies what is stored of a sequence, without the library: docs/format.md as a program.

    read_prefix.py --bucket NAME [--endpoint URL] [--prefix KEYS/] SCOPE.json TOKENS.txt

The usual AWS_* variables say who asks. TOKENS.txt holds numbers, SCOPE.json for instance
    {"model": "meta-llama/Llama-3.1-8B", "revision": "d04e592", "layers": 32, "kv_heads": 8, "head_size": 128,
     "tokens_per_chunk": 64, "dtype": "bf16", "form": "separate"}
and, where they are used, "config", "adapter", "tenant_salt" and "shard": [first head, heads, first layer, layers].

Exit status 1: something stored is damaged, and the last line says what. What is not there, or of another version, is a
miss; it ends the prefix unless another object has the chunk. Debian: python3-boto3 python3-xxhash.
"""
import argparse
import hashlib
import json
import re
import struct
import sys

import boto3
import botocore.exceptions
from xxhash import xxh3_64_intdigest as xxh3

LAYER_OBJECTS, CHUNK_OBJECTS, SEGMENT_OBJECTS = LAYOUTS = 1, 2, 3
DTYPES = {"f32": (0, 4), "f16": (1, 2), "bf16": (2, 2), "fp8_e4m3": (3, 1), "fp8_e5m2": (4, 1), "int8": (5, 1)}
FORMS = {"separate": (0, 2), "latent": (1, 1)}
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
NAME = re.compile(r"(\d{3})-(\d{3})\.([0-9a-f]{32})\.((?:[A-Za-z0-9_-]{3})*)")
HEADER_ZEROS = (13, 16), (44, 48), (56, 64), (160, 248)
HEADER_FIELDS = {"layout": (10, 11), "geometry": (11, 32), "first token": (32, 40), "number of chunks": (40, 44),
                 "slice size": (48, 56), "scope": (64, 96), "chunk": (96, 128), "previous chunk": (128, 160)}


class Damage(Exception):
    pass


class Miss(Exception):
    pass


class Store:
    """GET and LIST, counted."""

    def __init__(self, s3, bucket):
        self.s3, self.bucket, self.requests, self.bytes = s3, bucket, 0, 0

    def get(self, key, first, size):
        """those bytes, or as many of them as there are, and the size of the whole object"""
        self.requests += 1
        try:
            answer = self.s3.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={first}-{first + size - 1}")
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise Miss("not there") from None
            if error.response["Error"]["Code"] == "InvalidRange":
                return b"", first
            raise
        data = answer["Body"].read()
        self.bytes += len(data)
        return data, int(answer["ContentRange"].split("/")[1])

    def list(self, prefix):
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
            self.requests += 1
            yield from (entry["Key"] for entry in page.get("Contents", []))


class Prefix:
    """What follows from scope and tokens alone: sizes, the chain of ids, and so all names and headers."""

    def __init__(self, scope, tokens, key_prefix):
        self.layers, heads, width, self.G = (scope[k] for k in ("layers", "kv_heads", "head_size", "tokens_per_chunk"))
        (dtype, element), (form, parts) = DTYPES[scope["dtype"]], FORMS[scope["form"]]
        self.S = self.G * parts * heads * width * element
        self.N = 1
        while 2 * self.N <= 256 and 2 * self.N * self.S <= 1 << 23 and 2 * self.N * self.G <= 4096:
            self.N *= 2
        self.geometry = struct.pack("<BB3xIIII", form, dtype, self.layers, heads, width, self.G)

        shard = scope.get("shard", (0, heads, 0, self.layers))
        texts = {1: scope["model"], 2: scope["revision"], 5: scope.get("config"), 6: scope.get("adapter"),
                 7: scope.get("tenant_salt")}
        fields = {tag: text.encode() for tag, text in texts.items() if text is not None}
        fields[3] = struct.pack("<IIIIBB", self.layers, heads, width, self.G, dtype, form)
        fields[4] = struct.pack("<IIII", *shard)
        data = b"".join(struct.pack("<BI", tag, len(value)) + value for tag, value in sorted(fields.items()))
        self.scope = hashlib.sha256(b"objectcache scope" + struct.pack("<H", 1) + data).digest()

        self.chain, before = [], self.scope
        for i in range(0, len(tokens) - self.G + 1, self.G):
            before = hashlib.sha256(before + struct.pack(f"<{self.G}I", *tokens[i:i + self.G])).digest()
            self.chain.append(before)
        self.root = f"{key_prefix}oc1/{self.scope.hex()[:32]}/"

    def header(self, layout, first, chunks):
        out = b"OBJCACHE" + struct.pack("<HB", 1, layout) + self.geometry
        out += struct.pack("<QI4xQ8x", first * self.G, chunks, self.S)
        out += self.scope + self.chain[first] + (self.chain[first - 1] if first else self.scope) + bytes(88)
        return out + struct.pack("<Q", xxh3(out))

    def marks(self, ids, offset):
        """of chunks with these ids, the first of which has this place in its region"""
        stride, out = (self.N + 63) // 64, ""
        for place, chunk in enumerate(ids, offset):
            if (place + 1) % stride == 0:
                bits = int.from_bytes(chunk[16:19], "big")
                out += BASE64URL[bits >> 18] + BASE64URL[bits >> 12 & 63] + BASE64URL[bits >> 6 & 63]
        return out

    def shared(self, name, region):
        """how many chunks of a segment with this name are ours, judging by the name; region: the ids of ours"""
        offset, n, last, marks = name
        if len(region) >= offset + n and region[offset + n - 1][:16].hex() == last:
            return n
        shared = 1 if offset == 0 else 0
        for end in range(offset + 1, min(len(region), offset + n - 1) + 1):
            if not marks.startswith(self.marks(region[offset:end], offset)):
                break
            if end % ((self.N + 63) // 64) == 0:  # a mark vouches for all chunks before it
                shared = end - offset
        return shared


def segment_name(key):
    """offset, number of chunks, last, marks; nothing for a key that is no segment's"""
    parts = NAME.fullmatch(key.rsplit("/", 1)[1])
    return parts and (int(parts[1]), int(parts[2]), parts[3], parts[4])


def check_header(data, want):
    if len(data) < 256:
        raise Damage(f"truncated: {len(data)} bytes where a header of 256 should be")
    if data[:8] != b"OBJCACHE" or data[248:256] != struct.pack("<Q", xxh3(data[:248])):
        raise Damage("checksum mismatch in the header")
    if data[8:10] != want[8:10]:
        raise Miss(f"format version {int.from_bytes(data[8:10], 'little')}")
    if data[10] not in LAYOUTS or any(any(data[a:b]) for a, b in HEADER_ZEROS):
        raise Miss("header that is not of format version 1")
    for field, (a, b) in HEADER_FIELDS.items():
        if data[a:b] != want[a:b]:
            raise Damage(f"header of another {field}")


def check_record(record, size, layer, chunk, layout):
    payload, trailer = record[:-32], record[-32:]
    if len(record) < 32 or trailer[:8] != struct.pack("<Q", xxh3(trailer[8:], seed=xxh3(payload))):
        raise Damage(f"truncated: record of {len(record)} bytes, not {size}" if len(record) < size else
                     f"checksum mismatch in the record of layer {layer}")
    found_layer, version, found_layout, zero = struct.unpack("<IHBB", trailer[8:16])
    if version != 1:
        raise Miss(f"record of format version {version}")
    if found_layer != layer:
        raise Damage(f"record of layer {found_layer}, not {layer}")
    if found_layout not in LAYOUTS:
        raise Miss(f"record of layout {found_layout}")
    if found_layout != layout:
        raise Damage(f"record of layout {found_layout}, not {layout}")
    if zero:
        raise Miss("record that is not of format version 1")
    if trailer[16:] != chunk[:16]:
        raise Damage("record of another chunk")
    if len(record) != size:
        raise Damage(f"record of {len(record)} bytes, not {size}")


def check_size(found, expected):
    if found != expected:
        raise Damage(f"{'truncated' if found < expected else 'too long'}: {found} bytes, not {expected}")


# Each reads an object, or the objects of a chunk, and gives the number of chunks verified from `at` on, and what was done.

def read_segment(store, p, key, at):
    offset, n, last, marks = segment_name(key)
    first, head_size, record = at // p.N * p.N + offset, 264 + 32 * n, p.S + 32
    head, total = store.get(key, 0, head_size)
    check_header(head, p.header(SEGMENT_OBJECTS, first, n))
    check_size(total, head_size + p.layers * n * record)
    table, checksum = head[256:-8], head[-8:]
    if checksum != struct.pack("<Q", xxh3(table, seed=struct.unpack("<Q", head[248:256])[0])):
        raise Damage("checksum mismatch in the ids")
    ids = [table[i:i + 32] for i in range(0, len(table), 32)]
    if ids[0] != p.chain[first] or ids[-1][:16].hex() != last or p.marks(ids, offset) != marks:
        raise Damage("ids that contradict the header or the name")
    end = first
    while end < first + n and end < len(p.chain) and ids[end - first] == p.chain[end]:
        end += 1
    if end <= at:
        raise Miss("a mark that agrees by chance")
    for layer in range(p.layers):  # one range, whichever run of chunks it is
        data, _ = store.get(key, head_size + (layer * n + at - first) * record, (end - at) * record)
        for i in range(at, end):
            check_record(data[(i - at) * record:(i - at + 1) * record], record, layer, p.chain[i], SEGMENT_OBJECTS)
    return end - at, f"header, {n} ids, {p.layers} layers in a range each, {(end - at) * p.layers} records"


def read_chunk_object(store, p, key, at):
    record = p.S + 32
    data, total = store.get(key, 0, 256 + p.layers * record)
    check_header(data, p.header(CHUNK_OBJECTS, at, 1))
    check_size(total, 256 + p.layers * record)
    for layer in range(p.layers):
        check_record(data[256 + layer * record:256 + (layer + 1) * record], record, layer, p.chain[at], CHUNK_OBJECTS)
    return 1, f"header, {p.layers} records"


def read_layer_objects(store, p, key, at):
    manifest, total = store.get(key, 0, 256)
    check_header(manifest, p.header(LAYER_OBJECTS, at, 1))
    check_size(total, 256)
    for layer in range(p.layers):
        try:
            data, total = store.get(key.replace("manifest", f"{layer:04}"), 0, p.S + 32)
            check_record(data, p.S + 32, layer, p.chain[at], LAYER_OBJECTS)
            check_size(total, p.S + 32)
        except (Damage, Miss) as why:
            raise type(why)(f"its object of layer {layer}: {why}") from None
    return 1, f"manifest, {p.layers} objects of a layer"


def candidates(store, p, at, listed):
    """objects that should have chunk `at`, those with most chunks first"""
    start = at // p.N * p.N
    region, folder = p.chain[start:start + p.N], f"{p.root}s/{p.chain[start].hex()}/"
    if start not in listed:
        names = {key: segment_name(key) for key in store.list(folder)}
        listed[start] = {key: (name[0], name[0] + p.shared(name, region)) for key, name in names.items() if name}
    for key, (begin, end) in sorted(listed[start].items(), key=lambda found: -found[1][1]):
        if begin <= at - start < end:
            yield read_segment, key
    yield read_chunk_object, f"{p.root}c/{p.chain[at].hex()}"
    yield read_layer_objects, f"{p.root}l/{p.chain[at].hex()}/manifest"


def read_prefix(store, p):
    at, listed = 0, {}
    while at < len(p.chain):
        for read, key in candidates(store, p, at, listed):
            shown = key[len(p.root):]
            try:
                chunks, what = read(store, p, key, at)
                break
            except Miss as why:
                if str(why) != "not there":
                    print(f"{shown}: a miss: {why}")
            except Damage as why:
                raise Damage(f"{shown}: {why}") from None
        else:
            break
        print(f"{shown}: chunks {at} to {at + chunks - 1}: {what}")
        at += chunks
    return at


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint")
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--prefix", default="")
    parser.add_argument("scope", type=argparse.FileType())
    parser.add_argument("tokens", type=argparse.FileType())
    a = parser.parse_args()
    store = Store(boto3.client("s3", endpoint_url=a.endpoint), a.bucket)
    p = Prefix(json.load(a.scope), [int(token) for token in a.tokens.read().split()], a.prefix)
    try:
        n = read_prefix(store, p)
    except Damage as damage:
        sys.exit(f"damaged: {damage}")
    print(f"{n} chunks = {n * p.G} tokens of {p.layers} layers verified, {store.bytes} bytes, in {store.requests} requests")


if __name__ == "__main__":
    main()
