"""Verdicts of lm-evaluation-harness's ifeval on generated and mutated responses.

    NLTK_DATA=FOLDER python reference/ifeval_golden.py internal/evals/ifeval/testdata/golden.jsonl.gz
    NLTK_DATA=FOLDER python reference/ifeval_golden.py internal/evals/ifeval/testdata/published.jsonl.gz ../shared/data/ifeval/input_data.jsonl

FOLDER holds tokenizers/punkt_tab/english, made by reference/punkt_model.py. Rows of the first file carry their own
instructions; those of the second name a published prompt by its key and hold none of its text: "{{prompt_to_repeat}}"
in a response stands for that argument. What the reference leaves to chance is pinned: langdetect is seeded with 0 and
reads its profiles in the order of their names, and a letter that is no letter is counted as it is.
"""

import gzip
import json
import os
import random
import sys

listdir = os.listdir
os.listdir = lambda *folder: sorted(listdir(*folder))

from langdetect import DetectorFactory  # noqa: E402
from lm_eval.tasks.ifeval import instructions, utils  # noqa: E402

DetectorFactory.seed = 0

letter_description = instructions.LetterFrequencyChecker.build_description


def pinned(self, *, letter=None, let_frequency=None, let_relation=None):
    letter_description(self, letter=letter, let_frequency=let_frequency, let_relation=let_relation)
    if letter and len(letter) == 1:
        self._letter = letter.lower()


instructions.LetterFrequencyChecker.build_description = pinned

SENTENCES = """The cat sat on the warm stone near the river.
She asked, quietly, whether the train would come.
Every morning the baker opens his shop before dawn!
Why do the leaves fall in autumn?
Dr. Green lives at No. 5, Oak St., in the U.S. now.
He paid $3.50 for tea, bread, and 2 apples.
In 1999 the company (a small one) moved to Rome.
"It is late," said Mr. Hill, "and we can't wait."
Water boils at 100 degrees; ice melts at zero.
NASA and the BBC sent a TEAM to the island.
I think it's rather simple: read, write, repeat.
My answer is yes.
My answer is no.
Perhaps my answer is maybe.
the old boat was painted blue
nobody knew the name of the second visitor
Les enfants jouent dans le jardin pendant que le soleil brille.
Der Hund läuft schnell durch den grünen Wald.
El perro duerme debajo de la mesa grande.
Il gatto beve il latte ogni mattina.
O menino come uma fruta no jardim.
Собака бежит через лес к реке.
Кучето тича през гората към реката.
मौसम आज बहुत अच्छा है और बच्चे खेल रहे हैं।
आज हवामान छान आहे आणि मुले खेळत आहेत.
আজ আবহাওয়া খুব ভালো এবং শিশুরা খেলছে।
காலநிலை இன்று மிகவும் நன்றாக உள்ளது.
వాతావరణం ఈరోజు చాలా బాగుంది.
ಇಂದು ಹವಾಮಾನ ತುಂಬಾ ಚೆನ್ನಾಗಿದೆ.
આજે હવામાન ખૂબ સારું છે.
ਅੱਜ ਮੌਸਮ ਬਹੁਤ ਵਧੀਆ ਹੈ।
آج موسم بہت اچھا ہے اور بچے کھیل رہے ہیں۔
امروز هوا خیلی خوب است و بچه‌ها بازی می‌کنند.
الطقس جميل اليوم والأطفال يلعبون في الحديقة.
วันนี้อากาศดีมากและเด็กๆกำลังเล่นอยู่
오늘은 날씨가 아주 좋고 아이들이 놀고 있습니다.
Hôm nay thời tiết rất đẹp và trẻ em đang chơi.
Leo hali ya hewa ni nzuri sana na watoto wanacheza.
Tänään sää on erittäin hyvä ja lapset leikkivät.
आज मौसम राम्रो छ र बच्चाहरू खेलिरहेका छन्।""".split("\n")
LANGUAGES = ["en"] * 4 + ["fr", "de", "es", "it", "pt", "ru", "bg", "hi", "mr", "bn", "ta", "te", "kn", "gu", "pa", "ur", "fa", "ar",
                         "th", "ko", "vi", "sw", "fi", "ne"]
ENGLISH = SENTENCES[:16]
WORDS = ("river stone cat tea train island boat name morning bread leaves water simple zero team İstanbul straße Kiss naïve "
         "can do be the a garden second Ωμέγα café").split()
ENDINGS = ["Any other questions?", "Is there anything else I can help with?", "The end.", "  Peace! ", "That is ALL"]
SPLITTERS = ["Section", "SECTION", "Day", "PARAGRAPH", "Chapter "]
MARKERS = ["P.S.", "P.P.S", "P.P.S.", "N.B."]


def relation(rng):
    return rng.choice(["less than", "at least"])


def small(rng):
    return rng.choice([1, 1, 2, 2, 3, 4, 6])


KWARGS = {
    "keywords:existence": lambda r: {"keywords": r.sample(WORDS, r.randrange(1, 4))},
    "keywords:frequency": lambda r: {"keyword": r.choice(WORDS + [" the ", "c.t"]), "frequency": small(r), "relation": relation(r)},
    "keywords:forbidden_words": lambda r: {"forbidden_words": r.sample(WORDS + ["#tag", "c.t"], r.randrange(1, 4))},
    "keywords:letter_frequency": lambda r: {"letter": r.choice("etaoinsqzXK#!?"), "let_frequency": r.choice([1, 2, 5, 12, 30]), "let_relation": relation(r)},
    "language:response_language": lambda r: {"language": r.choice(LANGUAGES)},
    "length_constraints:number_sentences": lambda r: {"num_sentences": r.choice([1, 2, 3, 4, 5, 8, 12]), "relation": relation(r)},
    "length_constraints:number_paragraphs": lambda r: {"num_paragraphs": small(r)},
    "length_constraints:number_words": lambda r: {"num_words": r.choice([3, 10, 20, 35, 60, 120]), "relation": relation(r)},
    "length_constraints:nth_paragraph_first_word": lambda r: (lambda n: {"num_paragraphs": n, "nth_paragraph": r.randrange(1, n + 1), "first_word": r.choice(WORDS)})(small(r)),
    "detectable_content:number_placeholders": lambda r: {"num_placeholders": small(r)},
    "detectable_content:postscript": lambda r: {"postscript_marker": r.choice(MARKERS)},
    "detectable_format:number_bullet_lists": lambda r: {"num_bullets": small(r)},
    "detectable_format:constrained_response": lambda r: {},
    "detectable_format:number_highlighted_sections": lambda r: {"num_highlights": small(r)},
    "detectable_format:multiple_sections": lambda r: {"section_spliter": r.choice(SPLITTERS), "num_sections": small(r)},
    "detectable_format:json_format": lambda r: {},
    "detectable_format:title": lambda r: {},
    "combination:two_responses": lambda r: {},
    "combination:repeat_prompt": lambda r: {"prompt_to_repeat": r.choice(["Write about  a River, please. ", "Say Hi!", "ΟΔΟΣ"])},
    "startend:end_checker": lambda r: {"end_phrase": r.choice(ENDINGS)},
    "startend:quotation": lambda r: {},
    "change_case:capital_word_frequency": lambda r: {"capital_frequency": small(r), "capital_relation": relation(r)},
    "change_case:english_capital": lambda r: {},
    "change_case:english_lowercase": lambda r: {},
    "punctuation:no_comma": lambda r: {},
}


def prose(rng, pool, n):
    return " ".join(rng.choice(pool) for _ in range(n))


def json_text(rng):
    return rng.choice([
        '{"a": 1, "b": [true, null, -2.5e3, "x\\u00e9\\n"]}', "[]", "{}", '"text"', "12", "-0", "NaN", "[Infinity, -Infinity]", '{"a": {"b": {}}}',
        "[1, 2,]", "{'a': 1}", '{"a" 1}', '{"a": 1} x', "01", "1.", "-", "[1 2]", '"tab\there"', '"\\x"', '"\\ud800"', '{"a": 1,}', "nul", "[", "]", '{"k": [[[[]]]]}',
        "[" * 500 + "]" * 500, "1" * 4300, "1" * 4301, "-" + "1" * 4300, "1e5", "1E+5", "1e", "\ufeff{}", "{\u00a0}", '{"a":1,"a":2}', '"\x7f\u2028"', "true", "TRUE"])


def follow(rng, text, name, kw):
    """Bends text towards an instruction, not always with success."""
    kind = name.split(":")[1]
    lines = text.split("\n")
    count = kw and next((v for v in kw.values() if isinstance(v, int)), 1)
    count = max(0, (count or 1) + rng.choice([-1, 0, 0, 0, 1]))
    glue = rng.choice([" ", "\n", ", "])
    if kind in ("existence", "forbidden_words"):
        words = [w for v in kw.values() for w in v]
        return text + glue + " ".join(rng.choice([w, w.upper(), w.lower(), w + "s", w.capitalize(), "x" + w, w.replace("ß", "ẞ").replace("K", "\u212a").replace("i", "ı")]) for w in words)
    if kind == "frequency":
        word = kw.get("keyword", "")
        return text + glue + rng.choice([" ", "", "-"]).join([rng.choice([word, word.upper(), word.strip()])] * min(count, 12))
    if kind == "letter_frequency":
        return text + glue + kw["letter"] * min(count, 45)
    if kind == "response_language":
        codes = "fr de es it pt ru bg hi mr bn ta te kn gu pa ur fa ar th ko vi sw fi ne".split()
        asked = ENGLISH if kw["language"] == "en" else [SENTENCES[16 + codes.index(kw["language"])]]
        return prose(rng, rng.choice([asked, asked, asked, SENTENCES, ENGLISH]), rng.randrange(1, 4))
    if kind == "number_sentences":
        return prose(rng, ENGLISH, min(count, 40))
    if kind == "number_paragraphs":
        return rng.choice(["***", "\n***\n", " *** ", "* * *", "****"]).join([prose(rng, ENGLISH, 1)] * max(1, min(count, 9)))
    if kind == "number_words":
        return " ".join(prose(rng, ENGLISH, 1 + count // 6).split()[: max(1, min(count, 700))])
    if kind == "nth_paragraph_first_word":
        n, nth = kw.get("num_paragraphs", 2), kw.get("nth_paragraph", 1)
        parts = [prose(rng, ENGLISH, 1) for _ in range(max(1, n + rng.choice([-1, 0, 0, 0, 0, 1])))]
        if nth <= len(parts):
            parts[nth - 1] = rng.choice(["", "'", '"', "'\"", "**", "\n"]) + rng.choice([str.upper, str.capitalize, str])(kw["first_word"]) + rng.choice([" ", ", ", "'s ", "-x ", "! "]) + parts[nth - 1]
        return rng.choice(["\n\n", "\n\n", "\n\n", "\n\n\n\n", "\n"]).join(parts)
    if kind == "number_placeholders":
        return text + glue + " ".join(rng.choice(["[name]", "[]", "[a b]", "[a\nb]", "[x][y"]) for _ in range(min(count, 25)))
    if kind == "postscript":
        return text + rng.choice(["\n", " ", "\n\n"]) + rng.choice([kw["postscript_marker"], kw["postscript_marker"].lower(), "P. S.", "P. P. S", "p.p. s", "PS", "p.\u00a0s."]) + " thanks"
    if kind == "number_bullet_lists":
        return rng.choice(["", text + "\n"]) + "\n".join(rng.choice(["* ", "* ", "- ", "  * ", "** ", "*", "-- "]) + rng.choice(WORDS) for _ in range(min(count, 15)))
    if kind == "constrained_response":
        return rng.choice(["My answer is yes.", "My answer is maybe.", " My answer is no. ", "my answer is yes.", "My answer is yes!"]) + rng.choice(["", " " + text])
    if kind == "number_highlighted_sections":
        return text + " " + " ".join(rng.choice(["*{}*", "*{}*", "**{}**", "***{}***", "* *", "*{}\n*", "****", "*{} *"]).format(rng.choice(WORDS)) for _ in range(min(count, 18)))
    if kind == "multiple_sections":
        s = kw["section_spliter"]
        return "\n".join(rng.choice([s.strip() + " {}", s + "{}", s.lower() + " {}", "**" + s.strip() + " {}**", s.strip() + "\n{}"]).format(i + 1) + "\n" + rng.choice(ENGLISH) for i in range(min(count, 9)))
    if kind == "json_format":
        return rng.choice(["{}", "```json\n{}\n```", "```\n{}```", "```JSON{}```", "  {}\n", "Here:\n{}", "```json\n{}", "```Json{}```\nDone."]).replace("{}", json_text(rng), 1)
    if kind == "title":
        return rng.choice(["<<{}>>", "<<>>", "<<<{}>>>", "<< >>", "<{}>", "<<a\n{}>>", "<<{}>> and <<x>>", "<<>>>{}"]).format(rng.choice(WORDS)) + "\n" + text
    if kind == "two_responses":
        other = prose(rng, ENGLISH, 1)
        return rng.choice(["******", "\n******\n", "*****", "*******", "************"]).join(rng.choice([[text, other], [text, other], [text, text + " "], ["", text, other], [text, other, ""], [text, "", other], [text], [text, other, text]]))
    if kind == "repeat_prompt":
        repeat = kw.get("prompt_to_repeat", "")
        return rng.choice(["", "", "\n", "Sure! ", '"']) + rng.choice([repeat, repeat, repeat.upper(), repeat[:-3], repeat.strip()]) + "\n" + text
    if kind == "end_checker":
        end = kw.get("end_phrase", "")
        return text + rng.choice([" ", "\n"]) + rng.choice([end, end.strip(), end.upper(), end.strip()[:-1], '"' + end.strip() + '"', end + "\nBye", end.strip() + '" "'])
    if kind == "quotation":
        return rng.choice(['"{}"', '"{}"', ' "{}"\n', "“{}”", '"{}', '"{}"\nok', "'{}'"]).format(text)
    if kind == "capital_word_frequency":
        return text + " " + " ".join(rng.choice(["WORD", "NASA-X", "A", "I", "HELLO.", "X1", "CAN'T", "(YES)", "Mixed", "ÉTÉ", "CANNOT", "U.S.", "O'NEIL's"]) for _ in range(min(count, 14)))
    if kind == "english_capital":
        return rng.choice([text, prose(rng, ENGLISH, 3), "123"]).upper() + rng.choice(["", "", "", " ok"])
    if kind == "english_lowercase":
        return rng.choice([text, prose(rng, ENGLISH, 3), "123"]).lower() + rng.choice(["", "", "", " OK"])
    if kind == "no_comma":
        return text.replace(",", "") if rng.random() < 0.7 else text
    raise ValueError(kind)


def mutate(rng, text):
    roll = rng.random()
    if roll < 0.45:
        return text
    return rng.choice([
        lambda t: "Sure, here is my answer:\n" + t, lambda t: t + "\nI hope this helps, friend!", lambda t: "Sure:\n\n" + t + "\n\nBye, now",
        lambda t: "**" + t + "**", lambda t: t.replace(" ", " *", 1) + "*", lambda t: t.upper(), lambda t: t.lower(), lambda t: "  " + t + " \n",
        lambda t: t[: len(t) // 2], lambda t: t + t, lambda t: t.replace("\n", "\r\n"), lambda t: t.replace(" ", "\u00a0"), lambda t: t.swapcase(),
        lambda t: t.replace(".", "..."), lambda t: '"' + t + '"', lambda t: t + "\n\n", lambda t: "", lambda t: " \n\t ", lambda t: "\x1c" + t + "\x1f",
        lambda t: t + " \U0001f600 \u202eabc \ufffd", lambda t: t.replace("i", "İ"), lambda t: t.replace("s", "ſ"), lambda t: t + "\nΤΕΛΟΣ", lambda t: "*\n" + t + "\n*",
    ])(text)


def respond(rng, names, kwargs):
    pool = ENGLISH if rng.random() < 0.8 else SENTENCES
    text = rng.choice(["\n", " ", "\n\n"]).join(prose(rng, pool, rng.randrange(1, 4)) for _ in range(rng.randrange(1, 4)))
    order = list(range(len(names)))
    rng.shuffle(order)
    for i in order:
        if rng.random() < 0.85:
            text = follow(rng, text, names[i], kwargs[i])
    return mutate(rng, text)


def verdicts(row, response):
    example = utils.InputExample(key=row["key"], instruction_id_list=row["instruction_id_list"], prompt=row["prompt"], kwargs=row["kwargs"])
    strict = utils.test_instruction_following_strict(example, response).follow_instruction_list
    loose = utils.test_instruction_following_loose(example, response).follow_instruction_list
    return [bool(v) for v in strict], [bool(v) for v in loose]


def own_rows(rng):
    names = list(KWARGS)
    for i in range(6000):
        chosen = [names[i % len(names)]]
        if rng.random() < 0.2:
            chosen += rng.sample(names, rng.randrange(1, 3))
        row = {"key": i, "prompt": "", "instruction_id_list": chosen, "kwargs": [KWARGS[n](rng) for n in chosen]}
        yield row, {"ids": chosen, "kwargs": row["kwargs"]}, respond(rng, chosen, row["kwargs"])


def published_rows(rng, path):
    with open(path, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    for row in rows:
        for _ in range(3):
            hidden = [{k: "{{prompt_to_repeat}}" if k == "prompt_to_repeat" else v for k, v in kw.items()} for kw in row["kwargs"]]
            yield row, {"key": row["key"]}, respond(rng, row["instruction_id_list"], hidden)


def main():
    rng = random.Random(11)
    rows = published_rows(rng, sys.argv[2]) if len(sys.argv) > 2 else own_rows(rng)
    seen, n = {}, 0
    with open(sys.argv[1], "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        for row, out, response in rows:
            full = response
            for kw in row["kwargs"]:
                if kw.get("prompt_to_repeat"):
                    full = full.replace("{{prompt_to_repeat}}", kw["prompt_to_repeat"])
            strict, loose = verdicts(row, full)
            for name, s, l in zip(row["instruction_id_list"], strict, loose):
                seen.setdefault(name, {}).setdefault((s, l), 0)
                seen[name][s, l] += 1
            z.write((json.dumps({**out, "response": response, "strict": strict, "loose": loose}, ensure_ascii=False) + "\n").encode())
            n += 1
    for name in sorted(seen):
        print(f"{name:48}", {f"strict {s}, loose {l}": c for (s, l), c in sorted(seen[name].items())})
    print(n, "responses,", len(seen), "instruction types; lm-eval", __import__("importlib.metadata").metadata.version("lm_eval"))


main()
