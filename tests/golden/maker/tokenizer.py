"""A small SentencePiece unigram model, and the ids of awkward prompts.

The oracle is the sentencepiece library with the steps the classic T5 tokenizer puts around it: literal special
tokens are split off first, the rest is segmented, EOS is appended, what is too long is cut so that EOS stays
last. transformers 5 has another implementation; where it disagrees, its ids are stored beside.
"""

import functools
import io
import itertools
import json
import re
import tempfile
from pathlib import Path

import sentencepiece
from transformers import T5Tokenizer

from .store import ROOT, Case

NAMES = ["tokenizer"]
MODEL = ROOT / "tokenizer" / "spiece.model"
PIECES = 300
SENTINELS = 100
MAX_LENGTH = 226
SHORT_LENGTH = 12

TOKENIZER_CONFIG = {
    "tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
    "extra_ids": SENTINELS, "model_max_length": 512, "legacy": True,
    "additional_special_tokens": [f"<extra_id_{i}>" for i in range(SENTINELS)],
}


def sentences() -> list[str]:
    """A few hundred sentences from a closed grammar, plus the letters that prompts need and it lacks."""
    subjects = ["a red fox", "a small robot", "an old sailor", "the golden retriever", "a glass city", "two dancers",
                "a café owner", "the piñata", "a ship called Möwe"]
    actions = ["runs through", "is looking at", "slowly crosses", "flies over", "sings beside", "was painting"]
    places = ["a snowy forest", "the neon street", "a field of sunflowers", "the river at dawn", "an abandoned station"]
    styles = ["cinematic, 35mm film, shallow depth of field", "watercolour style", "slow motion, 4k", "black-and-white",
              "handheld camera; natural light"]
    texts = []
    for i, (subject, action, place) in enumerate(itertools.product(subjects, actions, places)):
        style = styles[i % len(styles)]
        texts.append(f"{subject[0].upper()}{subject[1:]} {action} {place}, {style}.")
        if i % 7 == 0:
            texts.append(f'Camera {i}: "{place}" - {action} ({style})!')
    # The trainer proposes only strings that occur in two different words, so common stems need company.
    for stem in ("fox", "robot", "sailor", "forest", "river", "street", "flower", "light", "water", "colour", "camera",
                 "dance", "paint", "sing", "walk", "jump", "look", "cross", "film", "field", "snow", "night",
                 "station"):
        texts.append(f"{stem} {stem}s {stem}ing {stem}ed {stem}er re{stem} un{stem}ly {stem.capitalize()} {stem}-like")
    texts += ["0 1 2 3 4 5 6 7 8 9 10 2024 1999 3.14 50% $5 #1 @home",
              "a/b a\\b a_b a+b=c 'q' [x] {y} <z> ~ ^ | * & ` ?"] * 2
    texts += ["the quick brown fox jumps over the lazy dog", "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG"] * 2
    texts += ["東京の夜 東京タワー", "Москва ночью, Москва", "αβγ and ω", "ünïcödé naïve façade", "— “quoted” ‘text’ … €"] * 2
    return texts


@functools.cache
def model_bytes() -> bytes:
    """Trained from an iterator into memory, one thread: no path and no time gets into the file."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences()), model_writer=written, model_type="unigram", vocab_size=PIECES,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>", eos_piece="</s>", unk_piece="<unk>",
        normalization_rule_name="nmt_nfkc", character_coverage=1.0, num_threads=1, minloglevel=2)
    return written.getvalue()


@functools.cache
def processor() -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=model_bytes())


def special_ids() -> dict[str, int]:
    pieces = processor().get_piece_size()
    sentinels = {f"<extra_id_{k}>": pieces + SENTINELS - 1 - k for k in range(SENTINELS)}
    return {"<pad>": 0, "</s>": 1, "<unk>": 2} | sentinels


def encode(prompt: str, length: int) -> list[int]:
    """Without the padding (id 0 up to `length`)."""
    special = special_ids()
    ids: list[int] = []
    for part in re.split("(" + "|".join(map(re.escape, special)) + ")", prompt):
        ids += [special[part]] if part in special else processor().encode(part)
    ids = ids[: length - 1]
    # A prompt that ends in the literal keeps the one it has.
    return ids if ids and ids[-1] == 1 else [*ids, 1]


def write_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(model_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG))


@functools.cache
def transformers_tokenizer() -> T5Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder))
        return T5Tokenizer.from_pretrained(folder)


def encode_transformers(prompt: str, length: int) -> list[int]:
    encoded = transformers_tokenizer()(prompt, padding="max_length", max_length=length, truncation=True,
                                       add_special_tokens=True)
    count = sum(encoded["attention_mask"])  # the padding also uses id 0, which a prompt may contain
    return encoded["input_ids"][:count]


PROMPTS = [
    # plain
    "", " ", "     ", "a", "A", ".", "fox", "A red fox runs through a snowy forest, cinematic.",
    "the quick brown fox jumps over the lazy dog", "unknownish wordzzz qqqq", "CAPITALS and MiXeD", "1234567890",
    "3.14159",
    " leading", "trailing ", "  two  spaces  between  words  ", "don't stop", "a/b\\c_d-e+f=g",
    "[x] {y} <z> #1 @home 50%",
    '"quoted" and \u201ccurly\u201d \u2018single\u2019',
    "dash \u2014 en \u2013 minus \u2212 hyphen \u2010 soft\u00adhyphen",
    "--help", "--prompt=x", "$(rm -rf /); `ls` && %s %d {0}",
    # white space
    "\t", "\n", "\r\n", "a\tb", "a\nb", "a\r\nb\r\n", "\n\nnew paragraph\n\n", "vertical\x0btab", "form\x0cfeed",
    "nbsp\u00a0here", "thin\u2009space\u202fnarrow", "ideographic\u3000space", "ogham\u1680space",
    "line\u2028sep\u2029para",
    "next\u0085line", "zero\u200bwidth\u200bspace", "joiner\u200dnon\u200cjoiner", "bom\ufeffinside",
    "\ufeffbom first",
    "word\u2060joiner",
    # control characters
    "nul\x00inside", "\x00", "bell\x07 esc\x1b[31mred\x1b[0m", "del\x7f", "c1\x9b\x80", "unit\x1fsep\x1c",
    "replacement \ufffd here",
    # composed and decomposed
    "caf\u00e9", "cafe\u0301", "nai\u0308ve fac\u0327ade", "\u212bngstr\u00f6m A\u030angstro\u0308m",
    "e\u0301\u0302\u0303 stacked",
    "\u0301 alone", "\u1e9b\u0323", "\u0344 \u0374 \u037e", "Ti\u1ebfng Vi\u1ec7t",
    "Tie\u0302\u0301ng Vie\u0323\u0302t",
    # compatibility forms
    "\uff21\uff22\uff23 full width \uff11\uff12\uff13\uff01", "wave \uff5e tilde ~",
    "\uff76\uff9e half width \uff76\uff9e\uff77\uff9f",
    "\ufb01sh \ufb02ow o\ufb03ce", "x\u00b2 \u00bd \u2460 \u2167 \u2122 \u2103", "\u337f company",
    "\u2026 and \u2025", "\ufdfa",
    "\U0001d4d0\U0001d4d1 \U0001d7d8\U0001d7d9 math letters", "\u00b5 \u03bc micro", "\u2126 ohm \u03a9",
    "\u3231 \u32a4",
    # scripts
    "\u6771\u4eac\u306e\u591c", "\u041c\u043e\u0441\u043a\u0432\u0430 \u043d\u043e\u0447\u044c\u044e",
    "\u03b1\u03b2\u03b3 \u03c9",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "abc \u202eright to left\u202c \u2066iso\u2069 \u200eltr\u200f \u061c", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\u1112\u1161\u11ab\u1100\u1173\u11af \ud55c\uae00", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u1b05\u1b35",
    # emoji
    "\U0001f98a", "fox \U0001f98a\U0001f98a runs", "family \U0001f468\u200d\U0001f469\u200d\U0001f467 here",
    "flag \U0001f1e9\U0001f1ea\U0001f1ef\U0001f1f5", "thumb \U0001f44d\U0001f3fd",
    "heart \u2764\ufe0f text \u2764\ufe0e",
    "keycap 1\ufe0f\u20e3", "tag \U0001f3f4\U000e0067\U000e0062\U000e007f", "private \ue000 \U000f0000",
    "\U0010ffff last",
    # literal special tokens
    "</s>", "<pad>", "<unk>", "<extra_id_0>", "<extra_id_99>", "<extra_id_100>", "<pad> today is <unk> nice day </s>",
    "before</s>after", "a <pad> b", "<pad><pad>", "</s></s>", "x<extra_id_7>y", "x <extra_id_7> y", "<PAD> < pad>",
    "</s", "<unk", "<s>", "\u2581 meta \u2581symbol", "\u2581", "<\uff45xtra_id_1>", "&lt;pad&gt;",
    # long
    "fox " * 100, "supercalifragilistic" * 20, "x" * 1000, ("A red fox runs through a snowy forest. " * 30).strip(),
    "fox " * 224, "fox " * 225, "fox " * 226, "q " * 300 + "</s>", "\U0001f98a" * 300, "the river</s>" * 120,
]


def make(name: str) -> Case:
    # Normalisation, ids and both lengths; JSON escapes whatever is not ASCII.
    case = Case(name, "tokenizer", "a unigram model and the ids of awkward prompts").set(
        tokenizer_config=TOKENIZER_CONFIG, pieces=processor().get_piece_size(), max_length=MAX_LENGTH,
        short_length=SHORT_LENGTH)
    cases, disagreements = [], 0
    for prompt in PROMPTS:
        entry = {"prompt": prompt, "normalized": processor().normalize(prompt), "ids": encode(prompt, MAX_LENGTH)}
        short = encode(prompt, SHORT_LENGTH)
        if short != entry["ids"]:
            entry["short_ids"] = short
        other = encode_transformers(prompt, MAX_LENGTH)
        if other != entry["ids"]:
            entry["transformers_ids"] = other
            disagreements += 1
        cases.append(entry)
    case.set(prompts=cases, disagreements_with_transformers=disagreements)
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    MODEL.write_bytes(model_bytes())
    return case
