"""A labelled corpus of any size: the grammar's sentences, spoken by espeak-ng, as a manifest with its audio.

The corpus is a pure function of its spec. It is made in chunks of five minutes; a chunk starts a fresh speech
engine and generators seeded by (seed, accent, split, chunk), so that any number of processes writes the same
bytes. No sentence and no variant of a voice is in two splits, whatever the accent, the seed or the size.
"""

import functools
import hashlib
import json
import os
import random
import shutil
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from speechxfer.atomic import replacing
from speechxfer.demo import phrases
from speechxfer.demo.grammar import SPLITS, fingerprint, sentence_of, split_of
from speechxfer.demo.phrases import LANGUAGES
from speechxfer.demo.voices import RATE, Engine, Speaker
from speechxfer.errors import ConfigError

SAMPLE_RATE = 16_000  # Hz, what is written
CHUNK_SECONDS = 300.0

ACCENTS = {  # name -> espeak-ng's voice
    "american": "en-us",
    "new-york": "en-us-nyc",
    "scottish": "en-gb-scotland",
    "rp": "en-gb-x-rp",
    "british": "en",
    "lancastrian": "en-gb-x-gbclan",
    "brummie": "en-gb-x-gbcwmd",
    "caribbean": "en-029",
}

VARIANTS = {  # shapes of the vocal tract, women's and men's; those that whisper, croak, buzz or clip are left out
    "train": (
        "f1 f2 f4 f5 Alicia Annie belinda linda shelby steph Alex Andy Denis Gene Henrique Lee Michael Mike gustave "
        "adam antonio ed john m1 m3 m4 m5 m7 max michel miguel pablo paul rob sandro victor Gene2 Hugo Jacky Marco "
        "Nguyen RicishayMax Storm anika announcer benjamin boris david grandma grandpa ian iven2 iven4 "
        "kaukovalta klatt klatt2 klatt3 klatt6 m8 mike2 norbert pedro quincy zac"
    ).split(),
    "dev": "aunty Andrea m2 Mario robert travis".split(),
    "test": "f3 steph2 m6 Diogo marcelo edward".split(),
}


@dataclass(frozen=True)
class CorpusSpec:
    """What to make. `minutes` of audio, to within half a sentence for each five minutes.

    `speakers` are dealt over the split's variants and speak about equally much; the first ones of a split are
    the same persons in every accent and corpus. `container`: "flac" is smaller, "wav" quicker to write and read.
    """

    accent: str  # a name in ACCENTS
    split: str  # "train", "dev" or "test"
    minutes: float
    seed: int = 0
    speakers: int = 24
    container: str = "flac"
    translated: str = ""  # "hi" or "de": sentences of `demo.phrases`, English as `source`, this language as `text`

    def __post_init__(self) -> None:
        problems = []
        closed = {"accent": ACCENTS, "split": SPLITS, "container": ("flac", "wav"), "translated": ("", *LANGUAGES)}
        for field, choices in closed.items():
            if getattr(self, field) not in choices:
                problems.append(f"{field} is {getattr(self, field)!r}; expected one of {', '.join(map(repr, choices))}")
        for field in ("minutes", "speakers"):
            if not getattr(self, field) > 0:
                problems.append(f"{field} is {getattr(self, field)!r}; expected > 0")
        if problems:
            raise ConfigError("\n".join(f"demo corpus: {problem}" for problem in problems))

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.accent, self.translated, self.split)))


def write_corpus(folder: str | Path, spec: CorpusSpec, *, progress: bool = True, workers: int | None = None) -> Path:
    """Write <folder>/<name>.jsonl and <folder>/audio/<name>/, `spec.name`; returns the manifest's path.

    The manifest comes last and by a rename, so where it exists the corpus is whole; <name>.spec.json
    beside it says which one. The same spec again returns at once; another spec or another grammar under the
    same name replaces it. `workers` are processes (default: one per core; more than one needs a caller whose
    script is guarded by `if __name__ == "__main__"`). Raises ConfigError when espeak-ng is missing.
    """
    folder = Path(folder)
    manifest, receipt = folder / f"{spec.name}.jsonl", folder / f"{spec.name}.spec.json"
    wanted = json.dumps(asdict(spec) | {"minutes": float(spec.minutes), "grammar": _sentences(spec)}, indent=1) + "\n"
    if manifest.is_file() and receipt.is_file() and receipt.read_text(encoding="utf-8") == wanted:
        return manifest
    Engine().close()  # here, so that a missing espeak-ng is one clear message and stands before any deletion
    manifest.unlink(missing_ok=True)
    audio = folder / "audio" / spec.name
    shutil.rmtree(audio, ignore_errors=True)
    audio.mkdir(parents=True)

    whole, rest = divmod(spec.minutes * 60, CHUNK_SECONDS)
    lengths = [CHUNK_SECONDS] * int(whole) + ([rest] if rest else [])
    workers = min(workers or os.cpu_count() or 1, len(lengths))
    with ExitStack() as stack:
        run = map
        if workers > 1:  # spawn: a fork would copy the caller's threads and a started CUDA
            run = stack.enter_context(ProcessPoolExecutor(workers, get_context("spawn"))).map
        partial = stack.enter_context(replacing(manifest))
        file = stack.enter_context(partial.open("w", encoding="utf-8"))
        bar = stack.enter_context(tqdm(total=round(spec.minutes * 60), desc=spec.name, unit="s", disable=not progress))
        for rows in run(functools.partial(_write_chunk, folder, spec), range(len(lengths)), lengths):
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            bar.update(round(sum(row["seconds"] for row in rows)))
        file.flush()
        os.fsync(file.fileno())
        receipt.write_text(wanted, encoding="utf-8")
    return manifest


def _sentences(spec: CorpusSpec) -> str:
    return phrases.fingerprint() if spec.translated else fingerprint()


def speakers(spec: CorpusSpec) -> list[Speaker]:
    """The speakers of a corpus, all different; each takes the next variant of the split, with own rate and pitch."""
    variants, chosen = VARIANTS[spec.split], {}
    rng = random.Random(f"speakers of {spec.split}")
    while len(chosen) < spec.speakers:
        speaker = Speaker(
            voice=ACCENTS[spec.accent],
            variant=variants[len(chosen) % len(variants)],
            rate=rng.randint(125, 190),
            pitch=rng.randint(30, 70),
            range=rng.randint(30, 70),
        )
        chosen.setdefault(speaker.name, speaker)
    return list(chosen.values())


def record(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A recording of a clean utterance: int16 at 22,050 Hz in, int16 at 16 kHz out.

    0.05 to 0.4 s of silence on both sides, a peak of -25 to -3 dBFS, and coloured noise (between white and
    pink) 20 to 50 dB under the speech.
    """
    speech = soxr.resample(clean.astype(np.float64), RATE, SAMPLE_RATE)
    before, after = rng.uniform(0.05, 0.4, 2) * SAMPLE_RATE
    speech = np.pad(speech / np.abs(speech).max(), (int(before), int(after)))
    spectrum = np.fft.rfft(rng.standard_normal(len(speech)))
    spectrum /= np.maximum(1, np.arange(len(spectrum))) ** rng.uniform(0, 0.5)
    noise = np.fft.irfft(spectrum, len(speech))
    power = np.mean(np.square(speech)) / np.mean(np.square(noise)) / 10 ** (rng.uniform(20, 50) / 10)
    noisy = speech + noise * np.sqrt(power)
    peak = 10 ** (rng.uniform(-25, -3) / 20)
    return np.round(noisy / np.abs(noisy).max() * peak * 32767).astype(np.int16)


def _said(spec: CorpusSpec, words: random.Random) -> tuple[str, str]:
    """A sentence of the split in English, and what becomes the text: the same, or its translation."""
    if not spec.translated:
        sentence = sentence_of(spec.split, words)
        return sentence, sentence
    while True:
        phrase = phrases.pair(words)
        if split_of(phrase.en) == spec.split:
            return phrase.en, getattr(phrase, spec.translated)


def _write_chunk(folder: Path, spec: CorpusSpec, chunk: int, seconds: float) -> list[dict]:
    """Write utterances until they last `seconds`; returns their manifest rows."""
    seed = hashlib.sha256(f"{spec.seed} {spec.accent} {spec.split} {chunk}".encode()).digest()
    words, noise = random.Random(seed), np.random.default_rng(list(seed))
    engine, people, queue, rows, total = Engine(), speakers(spec), [], [], 0.0
    while total < seconds:
        if not queue:  # everyone speaks once before anyone speaks again
            queue = words.sample(people, len(people))
        speaker, (english, text) = queue.pop(), _said(spec, words)
        samples = record(engine.speak(english, speaker), noise)
        name = f"{spec.name}-{chunk:04d}-{len(rows):03d}"
        path = Path("audio", spec.name, f"{name}.{spec.container}")
        soundfile.write(folder / path, samples, SAMPLE_RATE, subtype="PCM_16")
        rows.append(
            {
                "id": name,
                "audio": path.as_posix(),
                "text": text,
                "seconds": round(len(samples) / SAMPLE_RATE, 4),
                "group": {"accent": spec.accent, "speaker": speaker.name},
                "lang": spec.translated or "en",
            }
            | ({"source": english} if spec.translated else {})
        )
        total += len(samples) / SAMPLE_RATE
    engine.close()
    return rows
