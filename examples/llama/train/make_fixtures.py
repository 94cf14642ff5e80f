#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Writes the reference data of tests/llama with `transformers`: tiny random checkpoints and the logits they must give.

    python3 make_fixtures.py --out tests/data/llama
    python3 make_fixtures.py --out tests/data/llama --checkpoint examples/llama/checkpoint --prompt examples/llama/prompt.txt

The first form writes the tiny checkpoints, the second what the trained checkpoint answers to the prompt. References are
computed in float32 from the weights as stored (bf16 and f16 widen exactly), so tests may be strict. Random weights are
larger than a trainer's, or else attention would hardly show in the logits. Made with transformers 5.17, torch 2.11.
"""
import argparse
import json
import pathlib
import shutil

import torch
import transformers

LENGTHS = (1, 63, 64, 65, 150)  # around one tile of 64 rows, and into a third
BASE = dict(vocab_size=97, max_position_embeddings=512, rms_norm_eps=1e-5, attention_bias=False, mlp_bias=False,
            bos_token_id=None, eos_token_id=None, pad_token_id=None)
PLAIN = dict(rope_type="default", rope_theta=10000.0)
LINEAR = dict(rope_type="linear", rope_theta=10000.0, factor=4.0)
# With head_dim 16 the wavelengths 6 ... 2000 fall on all three sides of llama3's bounds, 16 and 64.
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
CHECKPOINTS = {
    "f32_tied": (torch.float32, dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                     intermediate_size=96, tie_word_embeddings=True, rope_parameters=PLAIN)),
    "bf16_sharded": (torch.bfloat16, dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=6,
                                          num_key_value_heads=2, intermediate_size=80, tie_word_embeddings=False,
                                          rope_parameters=PLAIN, eos_token_id=[3, 5])),
    "f16_llama3": (torch.float16, dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=4,
                                       num_key_value_heads=4, head_dim=16, intermediate_size=80,
                                       tie_word_embeddings=True, rope_parameters=LLAMA3)),
}


def random_model(config, dtype):
    torch.manual_seed(7)
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(1.0, 0.1) if "norm" in name else p.normal_(0.0, 0.25)
    return model.to(dtype)


def load(directory, **overrides):
    config = transformers.AutoConfig.from_pretrained(directory, **overrides)
    return transformers.AutoModelForCausalLM.from_pretrained(
        directory, config=config, dtype=torch.float32, attn_implementation="eager").eval()


@torch.no_grad()
def references(model):
    tokens = [(i * i * 31 + i * 17 + 5) % 97 for i in range(max(LENGTHS))]
    logits = {n: model(torch.tensor([tokens[:n]])).logits[0, -1].tolist() for n in LENGTHS}
    return dict(tokens=tokens, cases=[dict(length=n, logits=[float(f"{x:.8g}") for x in logits[n]]) for n in LENGTHS])


def write(path, data):
    path.write_text(json.dumps(data, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes")


def tiny(out):
    for name, (dtype, shape) in CHECKPOINTS.items():
        directory = out / name
        shutil.rmtree(directory, ignore_errors=True)
        config = transformers.LlamaConfig(**{**BASE, **shape})
        random_model(config, dtype).save_pretrained(
            directory, max_shard_size="40KB" if "sharded" in name else "1GB")
        (directory / "generation_config.json").unlink(missing_ok=True)
        model = load(directory)
        assert model.config.rope_parameters["rope_type"] == shape["rope_parameters"]["rope_type"]
        write(directory / "expected.json", references(model))
    linear = load(out / "f32_tied", rope_parameters=LINEAR)
    assert linear.config.rope_parameters["rope_type"] == "linear"
    write(out / "f32_tied" / "expected_linear.json", references(linear))


@torch.no_grad()
def trained(out, checkpoint, prompt_file):
    model = load(checkpoint)
    prompt = prompt_file.read_bytes()
    state = model(torch.tensor([list(prompt)]), use_cache=True)
    logits, continuation = state.logits[0, -1].tolist(), []
    for _ in range(128):
        continuation.append(int(state.logits[0, -1].argmax()))
        state = model(torch.tensor([continuation[-1:]]), past_key_values=state.past_key_values, use_cache=True)
    text = bytes(continuation).decode("ascii")
    print(f"{prompt[-80:].decode()!r} goes on with {text!r}")
    write(out / "checkpoint.json", dict(logits=[float(f"{x:.8g}") for x in logits], continuation=text))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--out", type=pathlib.Path, required=True)
    arguments.add_argument("--checkpoint", type=pathlib.Path)
    arguments.add_argument("--prompt", type=pathlib.Path)
    args = arguments.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.checkpoint:
        trained(args.out, args.checkpoint, args.prompt)
    else:
        tiny(args.out)


if __name__ == "__main__":
    main()
