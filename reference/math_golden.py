"""Verdicts of lm-evaluation-harness's MATH graders on generated answers.

    python reference/math_golden.py internal/evals/mathgrade/testdata/golden.jsonl.gz
    python reference/math_golden.py internal/evals/mathgrade/testdata/published.jsonl.gz ../shared/data/math500/math500.jsonl

The first file is whole in itself. Rows of the second name a problem of MATH-500 by its unique_id and hold none of its
text: "{{answer}}" in a response stands for the published answer. "boxed" is null where there is no answer to be found;
"equal" is hendrycks_math's is_equiv, "minerva" the answer after minerva_math's normalize_final_answer.
"""

import gzip
import json
import random
import sys

from lm_eval.tasks.hendrycks_math.utils import is_equiv, last_boxed_only_string, remove_boxed
from lm_eval.tasks.minerva_math.utils import normalize_final_answer

ANSWERS = r"""16|7|0|-3|1600|1,600|1{,}600|1\,600|007|+5|12.0|0.5|.5|-.5|\frac{1}{2}|\frac12|\frac1{72}|\frac{72}1|\dfrac{3}{4}|\tfrac34|1/2|-1/2|1/ 2|01/2|a/b|1/2/3|x=5|k = 7|xyz=5|x=y=2
\sqrt2|\sqrt{2}|\sqrt 3|2\sqrt3+1|\sqrt[3]{8}|\sqrt[3]8|\sqrt|\frac|\frac1|\frac{|90^\circ|90^{\circ}|45\text{ cm}|3\text{ m}\text{ s}|50\%|\$5|$5$|(1, 2)|\left(1,2\right)|\{1,2\}|[0,1)|x\in[-1,1]
\text{A}|\textbf{(B)}|\text{even}|\mbox{no}|5\text{ and }6|5,\text{and}6|\overline{12}|12\!,345|1\!000|10 units|4 cm|3 square feet|2 points|6 degrees|\pi|2\pi cm|\picm|\infty|i|3+4i|x^2 + 1|x^{2}+1|e^{i\pi}
\begin{pmatrix} 1 \\ 2 \end{pmatrix}|\text{Monday}|10:30|\frac{\sqrt{3}}{2}|\frac{\sqrt3}2|\left\{1\right\}|100,000|0,1|-1,234,567|12,34|1_000|1_000/2|٣|½|−4|1 000| 8 |\ldots|a an b|4^{3}|\boxed{5}|\mathrm{th}|5^\text{th}|"7"|\;8|{,}|y|=|=3|x=|ab=c
16.|16\text{ }|\text{16}|1e3|3.14159|22/7|-22/7|22/-7|+22/7|2^{10}|2^10|\binom{5}{2}|5!|\log_2 8|\sin x|\cos\theta|\angle A|AB\parallel CD|\emptyset|\varnothing|\mathbb{R}|R\setminus\{0\}""".replace("\n", "|").split("|")

TEMPLATES = ["So the answer is $\\boxed{%s}$.", "\\boxed{%s}", "First \\boxed{1}, then \\boxed{%s}.", "\\boxed %s$ done", "\\boxed{%s", "the answer is %s", "\\fbox{%s}", "\\boxed{\\boxed{%s}}", "\\boxed{ %s }",
             "\\boxed{%s} and \\boxed{", "\\boxed{%s} or \\boxed", "\\boxed\n{%s}", "\\boxed{%s}}", "$$\\boxed{%s}$$\n\\boxed{%s}"]
CHANGES = [str, str, str, str, lambda s: s.replace("\\frac", "\\dfrac"), lambda s: s + "\\text{ cm}", lambda s: "x=" + s, lambda s: s.replace(" ", ""), lambda s: s.replace(",", ", "), lambda s: "\\left(" + s + "\\right)",
           lambda s: "$" + s + "$", lambda s: s + "^\\circ", lambda s: s + "\\%", lambda s: "\\text{" + s + "}", lambda s: s.replace("{", "").replace("}", ""), lambda s: s + " cm", lambda s: s[:-1], lambda s: s + "0", lambda s: "0" + s,
           lambda s: s.replace("\\", "\\\\"), lambda s: s + ".", lambda s: s + "\n", lambda s: "-" + s, lambda s: s + "/2", lambda s: "\\sqrt" + s, lambda s: "\\frac" + s]


def boxed_of(response):
    boxed = last_boxed_only_string(response)
    try:
        return None if boxed is None else remove_boxed(boxed)
    except AssertionError:
        return None


def own(rng):
    for answer in ANSWERS:
        for other in rng.sample(ANSWERS, 3) + [answer] * 10:
            given = rng.choice(CHANGES)(other)
            yield answer, {"answer": answer}, rng.choice(TEMPLATES[:1] * 12 + TEMPLATES).replace("%s", given)


def published(rng, path):
    with open(path, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    forms = ["{{answer}}"] * 4 + ["x={{answer}}", "{{answer}}\\text{ cm}", "{{answer}}^\\circ", " {{answer}} ", "{{answer}}0", "-{{answer}}", "{{answer}}\\%", "\\$ {{answer}}", "{{answer}}.", "{{answer}} units", "\\text{{{answer}}}",
                                  "\\left( {{answer}} \\right)", "{{answer}}/3", "1{{answer}}", "\\dfrac{{{answer}}}{1}"]
    for row in rows:
        for _ in range(5 if row["answer"].isdigit() else 3):
            yield row["answer"], {"id": row["unique_id"]}, rng.choice(TEMPLATES[:1] * 12 + TEMPLATES).replace("%s", rng.choice(forms))


def main():
    rng = random.Random(5)
    rows = published(rng, sys.argv[2]) if len(sys.argv) > 2 else own(rng)
    counts = {}
    with open(sys.argv[1], "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        for answer, out, response in rows:
            boxed = boxed_of(response.replace("{{answer}}", answer))
            equal = boxed is not None and is_equiv(boxed, answer)
            out.update(response=response, found=boxed is not None, equal=equal)
            if boxed is not None:
                out["minerva_equal"] = normalize_final_answer(boxed) == normalize_final_answer(answer)
                if "answer" in out:
                    out.update(boxed=boxed, minerva=normalize_final_answer(boxed))
            counts[boxed is not None, equal] = counts.get((boxed is not None, equal), 0) + 1
            z.write((json.dumps(out, ensure_ascii=False) + "\n").encode())
    print(sum(counts.values()), "answers; found, equal:", counts)


main()
