"""Packs the n-gram profiles and tables of PyPI langdetect 1.0.9 (Apache-2.0) for internal/evals/ifeval/langdetect.

    python reference/langdetect_profiles.py internal/evals/ifeval/langdetect/profiles.bin.gz

Layout, all integers unsigned varints unless said otherwise, strings as length and UTF-8:
languages (count; each: name, total of 1-, 2-, 3-grams), n-grams (count; each, in code-point order: string, number of
languages, then per language its index and count), characters of Latin-1 to ignore, Vietnamese letters, marks, and per
mark the composed letters, kanji classes (count; each: a string whose first character stands for the others).
"""

import gzip
import json
import os
import sys

import langdetect
from langdetect.utils.ngram import NGram


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def text(s):
    b = s.encode()
    return varint(len(b)) + b


def main():
    folder = os.path.join(os.path.dirname(langdetect.__file__), "profiles")
    names = sorted(f for f in os.listdir(folder) if not f.startswith("."))
    grams, out = {}, bytearray(varint(len(names)))
    for index, name in enumerate(names):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            profile = json.load(f)
        out += text(profile["name"])
        for n in profile["n_words"]:
            out += varint(n)
        assert len(profile["n_words"]) == 3
        for gram, count in profile["freq"].items():
            grams.setdefault(gram, []).append((index, count))
    out += varint(len(grams))
    for gram in sorted(grams):
        out += text(gram) + varint(len(grams[gram]))
        for index, count in grams[gram]:
            out += varint(index) + varint(count)
    out += text(NGram.LATIN1_EXCLUDED) + text(NGram.TO_NORMALIZE_VI_CHARS) + text(NGram.DMARK_CLASS)
    for composed in NGram.NORMALIZED_VI_CHARS:
        out += text(composed)
    out += varint(len(NGram.CJK_CLASS))
    for kanji in NGram.CJK_CLASS:
        out += text(kanji)
    with open(sys.argv[1], "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", compresslevel=9, mtime=0, filename="") as z:
        z.write(bytes(out))
    lengths = sorted({len(g) for g in grams})
    print(f"{len(names)} languages, {len(grams)} n-grams of lengths {lengths}, {len(out)} bytes, "
          f"{os.path.getsize(sys.argv[1])} packed")


main()
