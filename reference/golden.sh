#!/usr/bin/env bash
# Makes the golden files again, and the data that packages took from libraries: what a library says, for Go to be held against.
#
#   reference/golden.sh --list          say which script makes which files
#   reference/golden.sh [WORD]          run all of them, or those with WORD in their script or files
#
# PYTHON has the packages of reference/requirements.txt (make golden sees to it); DATA the published data sets, without which
# what is made of them is left out.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
DATA=${DATA:-../shared/data}
word=${1:-}

nltk=
trap 'rm -rf "$nltk"' EXIT

# golden FILES NEEDS SCRIPT [ARGUMENT...]: NEEDS are data sets below DATA, "nltk" for the punkt model in NLTK's form, or "-".
golden() {
  local files=$1 needs=$2 script=$3
  shift 3
  if [[ $word == --list ]]; then
    printf '%-28s %s\n' "$script" "$files"
    return
  fi
  [[ "$script $files" == *"$word"* ]] || return 0
  if [[ $needs == nltk* && -z $nltk ]]; then
    nltk=$(mktemp -d)
    "$PYTHON" reference/punkt_model.py "$nltk/tokenizers/punkt_tab/english"
    export NLTK_DATA=$nltk
  fi
  local set
  for set in ${needs//[-,]/ }; do
    if [[ $set != nltk && ! -e $DATA/$set ]]; then
      echo "-- $script: left out, there is no $DATA/$set: $files"
      return
    fi
  done
  echo "== $script: $files"
  if [[ ${1:-} == --stdout ]]; then
    "$PYTHON" "reference/$script" | gzip -9n >"$2"
  else
    "$PYTHON" "reference/$script" "$@"
  fi
}

golden 'internal/hf/tokenizer/testdata/golden/*' math500,mmlu,tokenizers tokenizer_golden.py "$DATA"
golden internal/hf/tokenizer/testdata/train.json.gz - tokenizer_train.py
golden internal/hf/tokenizer/classes_data.go - tokenizer_unicode.py
golden internal/hf/chat/testdata/golden.json.gz - chat_golden.py
golden 'internal/hf/weights/testdata/*.safetensors' - weights_safetensors.py
golden 'internal/hf/weights/testdata/peft*' - weights_peft.py
golden 'internal/hf/weights/testdata/sharded/*' - weights_sharded.py
golden 'internal/engine/local/llama/testdata/*.safetensors.gz' - llama_golden.py internal/engine/local/llama/testdata
golden internal/blueteam/testdata/objectives.safetensors.gz - objectives_golden.py internal/blueteam/testdata/objectives.safetensors.gz
golden 'internal/engine/local/checkpoint/testdata/models/*' - checkpoint_golden.py internal/engine/local/checkpoint/testdata/models
golden 'internal/engine/local/checkpoint/testdata/adapters/*' - adapter_golden.py internal/engine/local/checkpoint/testdata
golden 'internal/hf/gguf/testdata/* internal/engine/local/checkpoint/testdata/gguf/*' - gguf_golden.py internal/hf/gguf/testdata internal/engine/local/checkpoint/testdata
golden internal/engine/local/optim/testdata/soap.json.gz - soap_golden.py --stdout internal/engine/local/optim/testdata/soap.json.gz
golden internal/hf/hub/testdata/golden.json - hub_cache.py
golden 'internal/corpus/testdata/*.parquet' - hub_parquet.py
golden internal/evals/ifeval/langdetect/profiles.bin.gz - langdetect_profiles.py internal/evals/ifeval/langdetect/profiles.bin.gz
golden internal/evals/pystr/golden_test.go - pystr_golden.py internal/evals/pystr/golden_test.go
golden internal/evals/ifeval/langdetect/testdata/golden.jsonl.gz - langdetect_golden.py internal/evals/ifeval/langdetect/testdata/golden.jsonl.gz
golden internal/evals/ifeval/punkt/english.txt.gz - punkt_model.py internal/evals/ifeval/punkt/english.txt.gz
golden internal/evals/ifeval/punkt/testdata/golden.jsonl.gz nltk ifeval_punkt_golden.py internal/evals/ifeval/punkt/testdata/golden.jsonl.gz
golden internal/evals/ifeval/testdata/golden.jsonl.gz nltk ifeval_golden.py internal/evals/ifeval/testdata/golden.jsonl.gz
golden internal/evals/ifeval/testdata/published.jsonl.gz nltk,ifeval ifeval_golden.py internal/evals/ifeval/testdata/published.jsonl.gz "$DATA/ifeval/input_data.jsonl"
golden internal/evals/mathgrade/testdata/golden.jsonl.gz - math_golden.py internal/evals/mathgrade/testdata/golden.jsonl.gz
golden internal/evals/mathgrade/testdata/published.jsonl.gz math500 math_golden.py internal/evals/mathgrade/testdata/published.jsonl.gz "$DATA/math500/math500.jsonl"
golden internal/evals/testdata/mmlu.json.gz mmlu mmlu_golden.py "$DATA/mmlu" internal/evals/testdata/mmlu.json.gz
