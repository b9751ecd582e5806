"""Makes a tiny random Llama with a chat template in a folder, as transformers writes one.

    python reference/job_model.py TOKENIZER DIR

TOKENIZER is a folder with a tokenizer.json and a chat template, such as one of the program's own exports.
"""

import pathlib
import shutil
import sys

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

source, folder = map(pathlib.Path, sys.argv[1:])
torch.manual_seed(0)
tokens = AutoTokenizer.from_pretrained(source)
config = LlamaConfig(
    vocab_size=(len(tokens) + 63) // 64 * 64, hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=False, bos_token_id=tokens.bos_token_id,
    eos_token_id=tokens.eos_token_id, pad_token_id=tokens.pad_token_id,
)  # fmt: skip
LlamaForCausalLM(config).save_pretrained(folder)
for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
    if (source / name).exists():
        shutil.copyfile(source / name, folder / name)
