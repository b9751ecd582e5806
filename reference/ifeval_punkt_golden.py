"""Sentences and words of texts by NLTK 3.10.

    NLTK_DATA=FOLDER python reference/ifeval_punkt_golden.py internal/evals/ifeval/punkt/testdata/golden.jsonl.gz

FOLDER holds tokenizers/punkt_tab/english, made by reference/punkt_model.py. A row is {"text", "sentences", "words"}.
"""

import gzip
import json
import random
import sys

import nltk

PIECES = """Mr. Smith|Dr. Jones|the U.S. Army|e.g. this|i.e. that|J. S. Bach|at 5 p.m. he|at 5 p.m. He|in Jan. 2020|No. 5|Inc. said|Corp. The
Ph.D. student|vs. them|etc. And|3.14|1,000.50|$5.99|-7|.5|5.|No.|"Quoted."|'Single.'|(Paren.)|[Bracket!]|{Brace?}|“Curly.”|‘Curly!’|«Guille.»
Wait...|Wait... what|. . .|. . . .|--|---|a--b|well-known|e-mail.|rock 'n' roll|can't|won't|I'm|you're|they've|she'd|it's|dogs'|'tis|'twas|'em|o'clock
cannot|gonna|gotta|gimme|lemme|wanna go|wanna|d'ye|more'n|CANNOT|Gonna|y'all|#tag|@user|50%|A&B|x;y|a:b|a: b|a, b|1,2|12:30|end:|end,|;|*bold*|**x**|a*b
The|the|He|he|She|It|A|I|We|However|Yes|OK|NASA|WORD|Word|word|naïve|Über|École|日本語。|Что?|да!|مرحبا؟|\u00a0|\t|\n|\n\n|\r\n|  |\u2014|\u2013|–x|a\u2014b
?!|!!|!!!|??|?)|!)|.)|."|.'|.”|."--|"--|')|")]|``|`code`|```|''x''|"|'|"a" b|('x')|<tag>|<<t>>|http://a.b/c?d=e.|a@b.c|v1.2.3|C++.|U.S.A.|a.b.c.|x.y|...|.|?|!|,|:
\x1c|\u200b|İ.|ﬁ.|Σας.|²|٣.|5.a|##|1st.|2nd.|A. B. C.|b. Then|Sept. 11|Sen. Doe|St. Paul|Co. is|ok. then|ok. Then|says.Then|says?Then|says!then|a.\u00a0B|a.\u3000b""".replace("\n", "|").split("|")
PIECES = [p.encode("latin-1", "ignore").decode("unicode_escape") if p.isascii() and "\\" in p else p for p in PIECES]
PIECES = [p.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r").replace("\\u00a0", "\u00a0").replace("\\u3000", "\u3000") for p in PIECES]

ENGLISH = ("of to in for on with at by from that this which not are was were have has been market company president said "
           "shares stock year new trading investors October Congress House Bush Japan trust river cat dog").split()


def main():
    rng = random.Random(7)
    texts = ["", " ", "\n"] + PIECES
    for n in range(3500):
        parts = []
        for _ in range(rng.randrange(1, 14)):
            parts.append(rng.choice(PIECES) if rng.random() < 0.55 else rng.choice(ENGLISH))
            if rng.random() < 0.25:
                parts[-1] = parts[-1].capitalize()
            if rng.random() < 0.3:
                parts[-1] += rng.choice([".", ".", "?", "!", ",", ";", '."', ".)", "...", "?!"])
        texts.append("".join(p + rng.choice([" ", " ", " ", " ", "", "  ", "\n"]) for p in parts))
    for n in range(1500):
        texts.append("".join(rng.choice("..??!!  ''\"\"`,:;-()[]{}<>*&#aA1bIS\n\t\u2019\u201d\u00a0é") for _ in range(rng.randrange(1, 25))))
    rows = dict.fromkeys(texts)
    with open(sys.argv[1], "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        for text in rows:
            row = {"text": text, "sentences": nltk.sent_tokenize(text), "words": nltk.word_tokenize(text)}
            z.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
    print(len(rows), "texts, nltk", nltk.__version__)


main()
