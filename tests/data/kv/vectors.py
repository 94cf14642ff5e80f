#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""The fixed vectors of tests/unit/kv, computed a second time from docs/format.md alone.

Run it after a change of a format, and think before you copy its output: a changed vector means that everything stored
so far is lost. Records and headers need `pip install xxhash`; scopes and chains need nothing.
"""
import hashlib
import struct


def field(tag, data):
    return struct.pack("<BI", tag, len(data)) + data


def scope_id(model, revision, geometry, shard, config=None, adapter=None, salt=None):
    layers, kv_heads, head_size, tokens, dtype, form = geometry
    data = b"objectcache scope" + struct.pack("<H", 1)
    data += field(1, model) + field(2, revision)
    data += field(3, struct.pack("<IIIIBB", layers, kv_heads, head_size, tokens, dtype, form))
    data += field(4, struct.pack("<IIII", *shard))
    for tag, text in ((5, config), (6, adapter), (7, salt)):
        if text is not None:
            data += field(tag, text)
    return hashlib.sha256(data).digest()


def chain(scope, tokens, per_chunk):
    out, previous = [], scope
    for i in range(0, len(tokens) - per_chunk + 1, per_chunk):
        previous = hashlib.sha256(previous + struct.pack(f"<{per_chunk}I", *tokens[i:i + per_chunk])).digest()
        out.append(previous)
    return out


llama = (32, 8, 128, 64, 2, 0)  # layers, kv_heads, head_size, tokens_per_chunk, bf16, separate
plain = scope_id(b"meta-llama/Llama-3.1-8B", b"d04e592", llama, (0, 8, 0, 32))
full = scope_id(b"m", b"r", (2, 1, 4, 2, 4, 1), (0, 1, 2, 4), b"rope", b"", b"salt")
print("scope, required fields only ", plain.hex())
print("scope, every field          ", full.hex())
tokens = [(i * 2654435761) & 0xffffffff for i in range(200)]
for i, chunk in enumerate(chain(plain, tokens, 64)):
    print(f"chain, chunk {i}              ", chunk.hex())

try:
    import xxhash
except ImportError:
    raise SystemExit("(no xxhash: records and headers left out)")

slice_ = bytes(i & 0xff for i in range(256))
chunk = bytes(range(100, 132))
tail = struct.pack("<IHBB", 7, 1, 2, 0) + chunk[:16]
trailer = struct.pack("<Q", xxhash.xxh3_64_intdigest(tail, seed=xxhash.xxh3_64_intdigest(slice_))) + tail
print("trailer of a record         ", trailer.hex())

header = b"OBJCACHE" + struct.pack("<HBBB3x", 1, 2, 0, 2) + struct.pack("<IIII", 32, 8, 128, 64)
header += struct.pack("<QI4x", 192, 1) + struct.pack("<Q8x", 64 * 2 * 8 * 128 * 2)
header += bytes(range(0, 32)) + bytes(range(32, 64)) + bytes(range(64, 96))
header += bytes(248 - len(header))
header += struct.pack("<Q", xxhash.xxh3_64_intdigest(header))
print("SHA-256 of an object header ", hashlib.sha256(header).hexdigest())
print("its last 8 bytes            ", header[-8:].hex())

# Segments: chunks 2 ... 5 of a region that begins with the chain's chunk 0, for the geometry above (N = 32), and chunks
# 5 ... 9 in a region of 128 (G = 16), where only every second chunk is marked.
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def region_chunks(layers, kv_heads, head_size, tokens, dtype, form):
    slice_bytes = tokens * (1 if form else 2) * kv_heads * head_size * (4, 2, 2, 1, 1, 1)[dtype]
    n = 1
    while 2 * n <= 256 and 2 * n * slice_bytes <= 8 << 20 and 2 * n * tokens <= 4096:
        n *= 2
    return n


def segment_name(per_region, region, offset, chunks):
    stride = (per_region + 63) // 64
    marks = ""
    for place in range(offset, offset + chunks):
        if (place + 1) % stride == 0:
            bits = int.from_bytes(region[place][16:19], "big")
            marks += BASE64URL[bits >> 18] + BASE64URL[bits >> 12 & 63] + BASE64URL[bits >> 6 & 63]
    return f"{offset:03}-{chunks:03}.{region[offset + chunks - 1][:16].hex()}.{marks}"


def segment_head(header, ids):
    seed = struct.unpack("<Q", header[-8:])[0]
    table = b"".join(ids)
    return header + table + struct.pack("<Q", xxhash.xxh3_64_intdigest(table, seed=seed))


tokens = [(i * 2654435761) & 0xffffffff for i in range(64 * 8)]
region = chain(plain, tokens, 64)
assert region_chunks(*llama) == 32 and region_chunks(32, 8, 128, 16, 2, 0) == 128
print("name of a segment           ", segment_name(32, region, 2, 4))
print("and with every second marked", segment_name(128, chain(plain, tokens, 16), 5, 5))
header = b"OBJCACHE" + struct.pack("<HBBB3x", 1, 3, 0, 2) + struct.pack("<IIII", 32, 8, 128, 64)
header += struct.pack("<QI4x", 128, 4) + struct.pack("<Q8x", 64 * 2 * 8 * 128 * 2)
header += plain + region[2] + region[1]
header += bytes(248 - len(header))
header += struct.pack("<Q", xxhash.xxh3_64_intdigest(header))
head = segment_head(header, region[2:6])
print("SHA-256 of its head         ", hashlib.sha256(head).hexdigest(), len(head))
