"""Back-translation: synthetic sources for text that there is in the target language alone.

A checkpoint of the reverse direction translates each sentence, and the pair goes into training beside the real ones
(Sennrich, Haddow & Birch 2016). The synthetic source begins with a tag, so that the model can tell (Caswell, Chelba &
Grangier 2019); `add_tokens` gives the tag a row of its own.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from speechxfer.errors import ConfigError, ManifestError
from speechxfer.manifest import Example, read_manifest, write_manifest
from speechxfer.models.graft import TAG as FORM
from speechxfer.models.languages import target_codes
from speechxfer.parallel import expect_one_process
from speechxfer.predict import DATA, RUN, predict
from speechxfer.prediction import iterate
from speechxfer.task import Data, Decode, Run

TAG = ">>back<<"
ORIGIN = {"origin": "back-translation"}  # `group` of the pairs that are made
DRAWN = Decode(temperature=1.0, top_k=10)  # noise helps, the tail does not: Edunov et al. 2018, section 4.2


def back_translate(
    checkpoint: str | Path,
    texts: str | Path,
    out: str | Path,
    *,
    tag: str = TAG,
    lang: str | None = None,
    decode: Decode = DRAWN,
    data: Data = DATA,
    run: Run = RUN,
) -> Path:
    """Write a manifest of pairs: the tag and what the reverse checkpoint made of a text as source, and the text.

    texts: a manifest with `text`, or a text file of a sentence a line (.txt), whose blank lines are left out. `tag` is
    `>>name<<`, and no language's code; `lang` the language that the checkpoint is to write, where it writes several. A
    text for which it wrote nothing makes no pair: they are counted and said. Resumable: what it wrote goes to
    `out`.predictions.jsonl.
    Raises ManifestError, CheckpointError; ConfigError also for an `out` that is `texts`, and under torchrun.
    """
    if not FORM.fullmatch(tag) or target_codes([tag]):
        raise ConfigError(
            f"tag is {tag!r}; expected the form '>>name<<', without spaces, of a name that is no language's code"
            f" ('>>hin<<' tells a model which language to write), such as {TAG!r}"
        )
    expect_one_process("backtranslate")
    out, texts = Path(out), Path(texts)
    asked, predictions = (out.with_name(f"{out.name}.{name}.jsonl") for name in ("sources", "predictions"))
    if texts.resolve() in {path.resolve() for path in (out, asked, predictions)}:
        raise ConfigError(f"{texts}: is what is to be translated, and would be overwritten; expected another --out")
    found = list(_texts(texts))
    if not found:
        raise ManifestError(f"{texts}: no sentences; expected at least one")
    write_manifest(asked, (Example(id=e.id, source=e.text, lang=lang) for e in found))
    predict(checkpoint, asked, predictions, data=data, decode=decode, run=run)
    written = {p.id: p.hyp for p in iterate(predictions)}
    kept = [e for e in found if written[e.id].strip()]
    write_manifest(
        out,
        (
            Example(
                id=f"back-{e.id}",
                source=f"{tag} {written[e.id]}".strip(),
                text=e.text,
                lang=e.lang,
                group=e.group | ORIGIN,
            )
            for e in kept
        ),
    )
    asked.unlink()
    if len(kept) < len(found):
        print(f"{out}: {len(found) - len(kept)} of {len(found)} texts came back empty: left out", file=sys.stderr)
    return out


def _texts(path: Path) -> Iterator[Example]:
    if path.suffix != ".txt":
        yield from read_manifest(path, require=["text"])
        return
    if not path.is_file():
        raise ManifestError(f"{path}: no such file; expected a text file of a sentence a line")
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        try:
            text = line.decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise ManifestError(f"{path}:{number}: {error.reason} at byte {error.start}; expected UTF-8") from error
        if text:
            yield Example(id=str(number), text=text)
