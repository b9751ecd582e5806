"""Languages of texts by PyPI langdetect 1.0.9, seeded with 0, with profiles in the order of their names.

    python reference/langdetect_golden.py internal/evals/ifeval/langdetect/testdata/golden.jsonl.gz

A row is {"text", "lang", "probs"}: lang is null where langdetect raises, probs are the languages above 0.1.
"""

import gzip
import json
import os
import random
import sys

listdir = os.listdir
os.listdir = lambda folder: sorted(listdir(folder))

from langdetect import DetectorFactory, LangDetectException, detect_langs  # noqa: E402

DetectorFactory.seed = 0

SAMPLES = """The quick brown fox jumps over the lazy dog and runs away from the hunters.
Der schnelle braune Fuchs springt über den faulen Hund und läuft davon.
Le renard brun rapide saute par-dessus le chien paresseux et s'enfuit.
El rápido zorro marrón salta sobre el perro perezoso y se escapa.
A rápida raposa marrom pula sobre o cão preguiçoso e foge.
La volpe marrone veloce salta sopra il cane pigro e scappa.
Быстрая коричневая лиса прыгает через ленивую собаку и убегает.
Бързата кафява лисица прескача мързеливото куче и бяга.
Швидка коричнева лисиця стрибає через ледачого пса і тікає.
الثعلب البني السريع يقفز فوق الكلب الكسول ويهرب.
روباه قهوه‌ای سریع از روی سگ تنبل می‌پرد و فرار می‌کند.
تیز بھوری لومڑی سست کتے کے اوپر چھلانگ لگاتی ہے اور بھاگ جاتی ہے۔
तेज भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है और भाग जाती है।
चपळ तपकिरी कोल्हा आळशी कुत्र्यावरून उडी मारतो आणि पळून जातो.
छिटो खैरो स्याल अल्छी कुकुरमाथि उफ्रिन्छ र भाग्छ।
ದ್ರುತ ಕಂದು ನರಿ ಸೋಮಾರಿ ನಾಯಿಯ ಮೇಲೆ ಹಾರುತ್ತದೆ ಮತ್ತು ಓಡಿಹೋಗುತ್ತದೆ.
வேகமான பழுப்பு நரி சோம்பேறி நாயின் மேல் குதித்து ஓடுகிறது.
వేగవంతమైన గోధుమ నక్క సోమరి కుక్క మీదుగా దూకి పారిపోతుంది.
ઝડપી ભૂરા શિયાળ આળસુ કૂતરા ઉપર કૂદે છે અને ભાગી જાય છે.
ਤੇਜ਼ ਭੂਰੀ ਲੂੰਬੜੀ ਆਲਸੀ ਕੁੱਤੇ ਉੱਪਰ ਛਾਲ ਮਾਰਦੀ ਹੈ ਅਤੇ ਭੱਜ ਜਾਂਦੀ ਹੈ।
দ্রুত বাদামী শিয়াল অলস কুকুরের উপর লাফ দেয় এবং পালিয়ে যায়।
വേഗതയുള്ള തവിട്ടുനിറത്തിലുള്ള കുറുക്കൻ മടിയനായ നായയുടെ മുകളിലൂടെ ചാടുന്നു.
สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจแล้ววิ่งหนีไป
빠른 갈색 여우가 게으른 개를 뛰어넘어 도망갑니다.
素早い茶色の狐がのろまな犬を飛び越えて逃げていきます。
敏捷的棕色狐狸跳过懒狗然后逃跑了。
敏捷的棕色狐狸跳過懶狗然後逃跑了。
Con cáo nâu nhanh nhẹn nhảy qua con chó lười biếng và chạy đi.
Con ca\u0301o na\u0302u nha\u0309y qua con cho\u0301 lu\u031bo\u031b\u0300i bie\u0302\u0301ng.
Mbweha mwepesi wa kahawia anaruka juu ya mbwa mvivu na kukimbia.
Nopea ruskea kettu hyppää laiskan koiran yli ja juoksee karkuun.
Den snabba bruna räven hoppar över den lata hunden och springer iväg.
Szybki brązowy lis przeskakuje nad leniwym psem i ucieka.
Vulpea maro rapidă sare peste câinele leneș și fuge. Ştiinţa și viața.
Hızlı kahverengi tilki tembel köpeğin üzerinden atlar ve KAÇAR.
Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί.
השועל החום המהיר קופץ מעל הכלב העצלן ובורח.""".split("\n")

EDGES = ["", " ", "123 456", "!!!", "\u00a0", "a", "I", "OK", "HELLO WORLD", "THIS IS ALL IN CAPITALS, EVERY WORD OF IT.",
         "see https://example.com/a?b=c#d now", "mail me at some.body+x@example.co.uk or a@b", "a@b.", "@@x@yy", "x@y.z@w.vv",
         "http://", "https:// x", "xhttp://abc", "a\u200bb", "\U0001f600 smile \U0001f600", "ＨＥＬＬＯ", "ß", "ǅ", "\x00\x01abc",
         "\ufffd\ufffd the \ufffd", "   many    spaces   here  ", "tab\tand\nnewline", "AbCdEf GHi JKlm", "naïve café «déjà vu» º ª"]


def variants(text, rng):
    words = text.split(" ")
    yield text
    yield text.upper()
    yield text.lower()
    yield text[: rng.randrange(1, len(text))]
    rng.shuffle(words)
    yield " ".join(words[: rng.randrange(1, len(words) + 1)])
    yield text + " " + rng.choice(SAMPLES)
    yield rng.choice(["http://a.bc/d ", "x@y.com "]) + text + rng.choice(["https://q", " m@n", "!!", " 12"])


def main():
    rng = random.Random(1)
    texts = list(EDGES)
    for sample in SAMPLES:
        for _ in range(9):
            texts.extend(variants(sample, rng))
    texts.append(" ".join(SAMPLES) * 8)
    with open(sys.argv[1], "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        for text in dict.fromkeys(texts):
            try:
                found = detect_langs(text)
                row = {"text": text, "lang": found[0].lang if found else "unknown", "probs": {l.lang: l.prob for l in found}}
            except LangDetectException:
                row = {"text": text, "lang": None, "probs": {}}
            z.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
    print(len(dict.fromkeys(texts)), "texts")


main()
