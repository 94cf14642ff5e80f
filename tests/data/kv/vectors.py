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
