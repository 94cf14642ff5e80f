#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Turns the World English Bible of Debian's package sword-text-web (public domain) into plain ASCII text.

    apt-get install sword-text-web
    python3 prepare_text.py --out .train

writes .train/train.txt and .train/val.txt. Notes, headings and introductions are dropped; paragraphs end with an
empty line, lines of verse with a line feed; typographic quotation marks become ASCII ones. The result is therefore
not the World English Bible any more (its name is a trademark) but a text derived from it.
"""
import argparse
import pathlib
import re
import struct
import unicodedata
import zlib

MODULE = "/usr/share/sword/modules/texts/ztext/engWEB2015eb"
HELD_OUT = ("Ruth", "Jonah", "Tob", "Jas")  # two stories, a novella, a letter: text the model never sees
REPEATED = ("DanGr",)  # Daniel once more


def entries(module, testament):
    """The verses of one testament in order (SWORD "zText": .bzz zlib blocks, .bzs their places, .bzv the verses)."""
    blocks, verses, data = ((module / f"{testament}.{e}").read_bytes() for e in ("bzs", "bzv", "bzz"))
    texts = []
    for offset, size, _ in struct.iter_unpack("<III", blocks):
        texts.append(zlib.decompress(data[offset:offset + size]))
    previous = None
    for entry in struct.iter_unpack("<IIH", verses):
        block, offset, size = entry
        if size and entry != previous:  # verses joined in translation share one entry
            yield texts[block][offset:offset + size].decode()
        previous = entry


def plain(markup):
    markup = re.sub(r"<(note|title|rdg|reference)\b[^>]*[^/]>.*?</\1>", "\0", markup, flags=re.S)
    markup = re.sub(r"\s+", " ", markup)
    # Openings set the layout, for both closings and milestones around a verse appear in either order.
    markup = re.sub(r"<chapter [^>]*sID=[^>]*>|<div [^>]*sID=[^>]*type=\"x-p\"[^>]*>|<lg [^>]*ID=[^>]*>", "\n\n", markup)
    markup = re.sub(r"<l [^>]*sID=[^>]*>|<lb[^>]*>|<item[^>]*>", "\n", markup)
    text = re.sub(r"<[^>]*>", "", markup)
    return re.sub("\0+(?=[\\w\u201c\u2018(])", " ", text).replace("\0", "")  # a note stood between two words


def ascii_only(text):
    for old, new in {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2014": "--", "\u2013": "-",
                     "\u2026": "...", "\u00a0": " ", "\u00c6": "Ae", "\u00e6": "ae"}.items():
        text = text.replace(old, new)
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    text = re.sub(r" *\n *", "\n", text)
    text = re.sub(r" +([,.;:?!])", r"\1", re.sub(r" +", " ", text))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n\n"


def books(module):
    out = {}
    for testament in ("ot", "nt"):
        name = None
        for entry in entries(module, testament):
            heading = re.search(r'<div [^>]*osisID="(\w+)"[^>]*sID=[^>]*type="book"', entry)
            if heading:
                name = heading.group(1)
                out[name] = []
            elif name:
                out[name].append(plain(entry.split('type="glossary"')[0].rsplit("<div", 1)[0]
                                       if 'type="glossary"' in entry else entry))
    return {name: ascii_only(" ".join(parts)) for name, parts in out.items()}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--module", type=pathlib.Path, default=pathlib.Path(MODULE))
    arguments.add_argument("--out", type=pathlib.Path, required=True)
    args = arguments.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    texts = {name: text for name, text in books(args.module).items() if name not in REPEATED}
    for file, held_out in (("train.txt", False), ("val.txt", True)):
        text = "".join(text for name, text in texts.items() if (name in HELD_OUT) == held_out)
        (args.out / file).write_text(text, encoding="ascii")
        print(f"{file}: {len(text)} bytes")


if __name__ == "__main__":
    main()
