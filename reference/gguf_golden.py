"""GGUF files, written by the gguf package of the format's authors, and what they say: for internal/hf/gguf and
internal/engine/local/checkpoint.

    python reference/gguf_golden.py internal/hf/gguf/testdata internal/engine/local/checkpoint/testdata

The first folder gets types.gguf, a tensor of every type of random bytes with ordinary scales, and types.safetensors, the values that
gguf.quants.dequantize computes of them, with the divisors of Llama 3.1's and 3.2's frequencies as transformers computes them. The
second gets gguf/NAME.gguf of some of the checkpoints in models/, in the names and the order of rows of llama.cpp's converter.
"""

import json
import pathlib
import sys

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as T
from safetensors.torch import load_file, save_file

SCALES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
TYPES = [T.F32, T.F16, T.BF16, *SCALES]
NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
         "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
PRE = {True: "llama-bpe", False: "qwen2"}


def types(out):
    draw = np.random.default_rng(1)
    writer, golden = gguf.GGUFWriter(out / "types.gguf", "none"), {}
    for kind in TYPES:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        rows, cols = 3, 512
        if kind in SCALES:
            data = draw.integers(0, 256, (rows, cols // block, size), dtype=np.uint8)
            for at in SCALES[kind]:
                scale = draw.normal(0, 0.05, (rows, cols // block)).astype(np.float16)
                data[:, :, at:at + 2] = scale.view(np.uint8).reshape(rows, cols // block, 2)
            data = data.reshape(rows, -1)
        else:
            data = gguf.quants.quantize(draw.normal(0, 1, (rows, cols)).astype(np.float32), kind)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        golden[kind.name] = torch.from_numpy(np.ascontiguousarray(gguf.quants.dequantize(data, kind), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for name, factor, width in [("llama3.1", 8.0, 128), ("llama3.2", 32.0, 64)]:
        common = dict(hidden_size=width * 2, num_attention_heads=2, head_dim=width, max_position_embeddings=131072)
        rule = dict(rope_type="llama3", rope_theta=500000.0, factor=factor, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)
        plain = 1.0 / (500000.0 ** (torch.arange(0, width, 2, dtype=torch.float32) / width))
        config = transformers.LlamaConfig(**common, rope_parameters=rule)
        stretched, _ = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
        golden["rope/" + name] = plain / stretched
    save_file(golden, out / "types.safetensors")


def permute(w, heads):
    """The order of rows of llama.cpp's converter: the two rows that a rotation pairs become neighbours."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(w.shape)


def model(folder, out):
    config = json.loads((folder / "config.json").read_text())
    arch, tok = config["model_type"], json.loads((folder / "tokenizer.json").read_text())
    writer = gguf.GGUFWriter(out, arch)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    words = sorted(tok["model"]["vocab"], key=tok["model"]["vocab"].get)
    special = {a["content"]: a["special"] for a in tok["added_tokens"]}
    rows = config["vocab_size"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE[tok["model"]["ignore_merges"]])
    writer.add_token_list(words + [f"[PAD{i}]" for i in range(len(words), rows)])
    kinds = [{None: gguf.TokenType.NORMAL, True: gguf.TokenType.CONTROL, False: gguf.TokenType.USER_DEFINED}[special.get(w)] for w in words]
    writer.add_token_types(kinds + [gguf.TokenType.UNUSED] * (rows - len(words)))
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tok["model"]["merges"]])
    writer.add_add_bos_token(False)
    for name, add in [("bos_token_id", writer.add_bos_token_id), ("eos_token_id", writer.add_eos_token_id)]:
        if config.get(name) is not None:
            add(config[name])
    writer.add_chat_template((folder / "chat_template.jinja").read_text())
    for name, w in load_file(folder / "model.safetensors").items():
        data, kind = w.float().numpy(), T.BF16
        stem, _, last = name.rpartition(".")
        if arch == "llama" and stem.endswith(("q_proj", "k_proj")):
            data = permute(data, config["num_attention_heads" if stem.endswith("q_proj") else "num_key_value_heads"])
        if stem.startswith("model.layers."):
            layer, _, inner = stem.removeprefix("model.layers.").partition(".")
            stem = f"blk.{layer}.{NAMES[inner]}"
        else:
            stem = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}[stem]
        writer.add_tensor(f"{stem}.{last}", gguf.quants.quantize(data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    hf, checkpoint = map(pathlib.Path, sys.argv[1:])
    hf.mkdir(exist_ok=True)
    types(hf)
    (checkpoint / "gguf").mkdir(exist_ok=True)
    for name in ["llama2", "smollm2", "qwen2", "qwen3"]:
        model(checkpoint / "models" / name, checkpoint / "gguf" / f"{name}.gguf")
