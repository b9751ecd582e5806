"""Has the installed Axolotl check configurations: every field is one of its schema, none is changed, and its own checks pass.

    python reference/axolotl_schema.py CONFIG.yaml…

The devices are said to be eight H100s.
"""

import importlib.metadata
import pathlib
import sys

import torch
import yaml
from axolotl.utils.config import prepare_plugins, validate_config
from axolotl.utils.dict import DictDefault
from axolotl.utils.schemas.config import AxolotlInputConfig

DEVICES = {"bf16": True, "fp8": True, "tf32": True, "n_gpu": 8, "compute_capability": "sm_90"}


def check(path: pathlib.Path) -> int:
    """Checks a file and returns how many fields it has."""
    given = yaml.safe_load(path.read_text())
    known = set(AxolotlInputConfig.model_fields)
    if unknown := set(given) - known:
        raise ValueError(f"{path}: fields that the schema does not have: {sorted(unknown)}")
    config = DictDefault(given)
    prepare_plugins(config)
    checked = validate_config(config, capabilities=DEVICES, env_capabilities={"torch_version": torch.__version__.split("+")[0]})
    for name, value in given.items():
        if isinstance(value, (dict, list)):
            continue
        if value is not None and checked.get(name) != value:
            raise ValueError(f"{path}: {name} is {value!r} and became {checked.get(name)!r}")
    return len(given)


fields = [check(pathlib.Path(name)) for name in sys.argv[1:]]
print(f"axolotl {importlib.metadata.version('axolotl')}: {len(fields)} configurations of {min(fields)} to {max(fields)} fields are valid")
