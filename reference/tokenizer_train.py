"""Writes internal/hf/tokenizer/testdata/train.json.gz: the merges that Hugging Face's trainer makes of the golden texts.

    python reference/tokenizer_train.py      (after reference/tokenizer_golden.py)
"""

import gzip
import json
import pathlib

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

DATA = pathlib.Path(__file__).parent.parent / "internal/hf/tokenizer/testdata"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split(pattern):
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def main():
    texts = json.loads(gzip.open(DATA / "golden/texts.json.gz").read())
    out = []
    for pattern, size, special, least, every in [
        ("gpt2", 3000, ["<|endoftext|>"], 0, 1),
        ("llama3", 5000, ["<|begin_of_text|>", "<|eot_id|>"], 2, 1),
        ("qwen2", 2000, [], 0, 1),
        ("llama3", 1 << 20, ["<|begin_of_text|>"], 0, 9),  # to the last pair
        ("gpt2", 100_000, [], 3, 2),
    ]:
        t = Tokenizer(models.BPE())
        if pattern == "qwen2":
            t.normalizer = normalizers.NFC()
        t.pre_tokenizer = {
            "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
            "llama3": split(LLAMA3),
            "qwen2": split(LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")),
        }[pattern]
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=special,
            min_frequency=least,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        t.train_from_iterator(texts[::every], trainer)
        j = json.loads(t.to_str())["model"]
        vocabulary = sorted(j["vocab"], key=j["vocab"].get)
        print(pattern, len(vocabulary), "tokens,", len(j["merges"]), "merges")
        row = {"pattern": pattern, "size": size, "special": special, "least": least, "every": every}
        # Tokens follow from merges unless two merges make the same one; the vocabulary is kept where it is small.
        out.append(row | {"merges": [" ".join(m) for m in j["merges"]], "tokens": vocabulary if size < 4000 else None, "count": len(vocabulary)})
    with open(DATA / "train.json.gz", "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        z.write(json.dumps(out, ensure_ascii=False).encode())
    print((DATA / "train.json.gz").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
