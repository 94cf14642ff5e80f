#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Trains the byte-level Llama of examples/llama/checkpoint: a minute on one H200, and one to compile.

    python3 prepare_text.py --out .train
    python3 train.py --data .train --out examples/llama/checkpoint

The network is the plain Llama architecture with Hugging Face's tensor names and config.json, so every tool that reads
such a directory reads this one. Tokens are bytes. The learning rate follows the clock, not a step count: the run always
ends on time and at the end of its cosine, whatever the machine.

Without dropout the model learns much of its text (5 MB, read fifty times) by heart. That is the default, because the
checkpoint is there to be read from: it writes greedily without falling into loops. `--dropout 0.1 --weight-decay 0.5`
predicts unseen text far better, and repeats itself.
"""
import argparse
import json
import math
import pathlib
import struct
import time

import torch
import torch.nn.functional as F
from torch import nn

SHAPE = dict(vocab_size=256, hidden_size=160, num_hidden_layers=8, num_attention_heads=4, num_key_value_heads=2,
             head_dim=32, intermediate_size=368, max_position_embeddings=4096, rms_norm_eps=1e-5, rope_theta=10000.0)


class Norm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x, cos, sin):
    """Rotary embedding in the rotate_half convention: dimension i turns with dimension i + head_dim / 2."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        hidden = c["hidden_size"]
        self.q_proj = nn.Linear(hidden, self.heads * self.dim, bias=False)
        self.k_proj = nn.Linear(hidden, self.kv_heads * self.dim, bias=False)
        self.v_proj = nn.Linear(hidden, self.kv_heads * self.dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.dim, hidden, bias=False)

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape
        q = self.q_proj(x).view(batch, length, self.heads, self.dim).transpose(1, 2)
        k = self.k_proj(x).view(batch, length, self.kv_heads, self.dim).transpose(1, 2)
        v = self.v_proj(x).view(batch, length, self.kv_heads, self.dim).transpose(1, 2)
        group = self.heads // self.kv_heads
        k, v = (t.repeat_interleave(group, 1) for t in (rotate(k, cos, sin), v))
        out = F.scaled_dot_product_attention(rotate(q, cos, sin), k, v, is_causal=True)
        return self.o_proj(out.transpose(1, 2).reshape(batch, length, -1))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c["hidden_size"], c["intermediate_size"], bias=False)
        self.up_proj = nn.Linear(c["hidden_size"], c["intermediate_size"], bias=False)
        self.down_proj = nn.Linear(c["intermediate_size"], c["hidden_size"], bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c, dropout):
        super().__init__()
        self.self_attn, self.mlp, self.dropout = Attention(c), Mlp(c), dropout
        self.input_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.post_attention_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])

    def forward(self, x, cos, sin):
        x = x + F.dropout(self.self_attn(self.input_layernorm(x), cos, sin), self.dropout, self.training)
        return x + F.dropout(self.mlp(self.post_attention_layernorm(x)), self.dropout, self.training)


class Llama(nn.Module):
    """Module names are those of Hugging Face's LlamaModel, so `state_dict` needs only the prefix "model."."""

    def __init__(self, c, dropout):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c, dropout) for _ in range(c["num_hidden_layers"]))
        self.norm = Norm(c["hidden_size"], c["rms_norm_eps"])
        frequency = c["rope_theta"] ** (-torch.arange(0, c["head_dim"], 2).float() / c["head_dim"])
        angle = torch.outer(torch.arange(c["max_position_embeddings"]).float(), frequency)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                ends_a_branch = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * c["num_hidden_layers"]) if ends_a_branch else 0.02)

    def forward(self, tokens):
        x = self.embed_tokens(tokens)
        cos, sin = self.cos[:tokens.shape[1]], self.sin[:tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, cos, sin)
        return F.linear(self.norm(x), self.embed_tokens.weight).float()

    def loss(self, inputs, targets):
        return F.cross_entropy(self(inputs).flatten(0, 1), targets.flatten())


def windows(text, count, length):
    """Inputs and targets of `count` random windows."""
    start = torch.randint(len(text) - length, (count, 1), device=text.device)
    tokens = text[start + torch.arange(length + 1, device=text.device)].long()
    return tokens[:, :-1], tokens[:, 1:]


@torch.no_grad()
def bits_per_byte(model, text, length):
    """Over consecutive windows of `length`, each byte predicted once, from its own window only."""
    model.eval()
    total, count = 0.0, 0
    for start in range(0, len(text) - 1, length):
        window = text[start:start + length + 1].long()[None]
        total += model.loss(window[:, :-1], window[:, 1:]).item() * (window.shape[1] - 1)
        count += window.shape[1] - 1
    model.train()
    return total / count / math.log(2)


@torch.no_grad()
def continue_text(model, prompt, count, temperature):
    model.eval()
    tokens = prompt.long()[None]
    for _ in range(count):
        logits = model(tokens)[:, -1]
        chosen = torch.multinomial((logits / temperature).softmax(-1), 1) if temperature else logits.argmax(-1, True)
        tokens = torch.cat((tokens, chosen), 1)
    return bytes(tokens[0, len(prompt):].tolist()).decode("ascii", "replace")


def save(model, out):
    """A checkpoint directory as transformers writes it: config.json and model.safetensors, in bf16."""
    out.mkdir(parents=True, exist_ok=True)
    config = dict(architectures=["LlamaForCausalLM"], model_type="llama", **SHAPE, attention_bias=False, mlp_bias=False,
                  hidden_act="silu", rope_scaling=None, tie_word_embeddings=True, bos_token_id=None, eos_token_id=None,
                  initializer_range=0.02, torch_dtype="bfloat16", use_cache=True)
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    header, blobs, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, tensor in sorted(model.state_dict().items()):
        blob = tensor.to(torch.bfloat16).cpu().contiguous().view(torch.int16).numpy().tobytes()
        header["model." + name] = dict(dtype="BF16", shape=list(tensor.shape), data_offsets=[offset, offset + len(blob)])
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (out / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def train(model, text, val, args, device):
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    optimizer = torch.optim.AdamW([dict(params=matrices, weight_decay=args.weight_decay),
                                   dict(params=others, weight_decay=0.0)],
                                  lr=args.lr, betas=(0.9, 0.95), fused=device == "cuda")
    loss_of = torch.compile(model.loss, dynamic=False) if device == "cuda" else model.loss
    # Short contexts first: most of what bytes teach is near, and attention over 4096 costs several times as much.
    stages = [(0.0, 1024), (0.5, 4096)] if not args.toy else [(0.0, 64), (0.5, 128)]
    seconds, spent, begin, step, seen = args.minutes * 60, 0.0, None, 0, 0
    while True:
        length = next(context for at, context in reversed(stages) if spent / seconds >= at)
        new_shape = step == 0 or length != previous  # noqa: F821: compiled now; the clock stands still meanwhile
        previous = length
        progress = min(1.0, spent / seconds)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1.0, progress / 0.02 + 0.01) * (0.5 + 0.5 * math.cos(math.pi * progress))
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = loss_of(*windows(text, max(1, args.batch // length), length))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seen += args.batch
        if new_shape or step % 20 == 0:
            value = loss.item() / math.log(2)  # also waits for the device, so that the clock is honest
            now = time.monotonic()
            if not new_shape:
                spent += now - begin
            begin = now
            if not math.isfinite(value):
                raise SystemExit("the loss is not finite")
            if step % args.report == 0:
                print(f"step {step:6d}  {spent:6.1f} s  {seen / 1e6:7.1f} M bytes  context {length}  "
                      f"train {value:.4f}  val {bits_per_byte(model, val, stages[-1][1]):.4f} bits per byte", flush=True)
                begin = time.monotonic()
            if spent >= seconds:
                return step, seen
        step += 1


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--data", type=pathlib.Path, required=True, help="directory of train.txt and val.txt")
    arguments.add_argument("--out", type=pathlib.Path, required=True, help="checkpoint directory to write")
    arguments.add_argument("--minutes", type=float, default=1.0, help="training time, compilation not counted")
    arguments.add_argument("--batch", type=int, default=65536, help="bytes per step")
    arguments.add_argument("--lr", type=float, default=4e-3)
    arguments.add_argument("--weight-decay", type=float, default=0.1)
    arguments.add_argument("--dropout", type=float, default=0.0, help="on the residual branches, in training")
    arguments.add_argument("--report", type=int, default=400, help="steps between reports")
    arguments.add_argument("--toy", action="store_true", help="tiny contexts, to try the script without a GPU")
    args = arguments.parse_args()
    torch.manual_seed(1)
    torch.set_float32_matmul_precision("high")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    text, val = (torch.frombuffer(bytearray((args.data / name).read_bytes()), dtype=torch.uint8).to(device)
                 for name in ("train.txt", "val.txt"))
    model = Llama(SHAPE, args.dropout).to(device)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(text)} bytes of text")
    steps, seen = train(model, text, val, args, device)
    torch.set_float32_matmul_precision("highest")
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.to(torch.bfloat16))  # what is saved is what is measured
    context = 128 if args.toy else SHAPE["max_position_embeddings"]
    print(f"{steps} steps, {seen / 1e6:.0f} M bytes read, {seen / len(text):.0f} times the text")
    print(f"final: train {bits_per_byte(model, text[:len(val)], context):.4f}  "
          f"val {bits_per_byte(model, val, context):.4f} bits per byte")
    save(model, args.out)
    for start, temperature in ((573, 0.0), (573, 0.6), (40000, 0.6)):
        prompt = val[start:start + (100 if args.toy else 3000)]
        print(f"\n--- temperature {temperature}: {bytes(prompt[-200:].tolist()).decode()!r} goes on:")
        print(continue_text(model, prompt, 20 if args.toy else 300, temperature))


if __name__ == "__main__":
    main()
