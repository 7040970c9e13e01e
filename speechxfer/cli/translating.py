"""The verbs that only translation has: translate a text file, or speech by two models, graft, translate back."""

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from speechxfer.cli.acts import Prepare, expect_folder
from speechxfer.cli.task_flags import resolved
from speechxfer.errors import ConfigError
from speechxfer.task import Decode, Task


def translate(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer.loading import load
    from speechxfer.parallel import expect_one_process
    from speechxfer.translator import Translator

    expect_one_process("translate")
    chosen = resolved(arguments, task)
    if arguments.out.resolve() == arguments.file.resolve():
        raise ConfigError(f"--out {arguments.out}: is what is to be translated; expected another file")
    model = load(arguments.checkpoint, device=chosen.run.device, attention=chosen.run.attention)
    if not isinstance(model, Translator):
        raise ConfigError(f"{arguments.checkpoint}: is a recogniser; expected a translation checkpoint (Marian)")
    tokens = chosen.data.batch_tokens
    print(
        model.translate_file(
            arguments.file, arguments.out, lang=arguments.lang, decode=chosen.decode, batch_tokens=tokens
        )
    )
    return 0


def cascade(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer import verbs
    from speechxfer.cascade import cascade as predict_both

    chosen = resolved(arguments, task)
    chosen = dataclasses.replace(chosen, run=verbs.in_float32(chosen.run))
    if arguments.metrics:
        chosen = dataclasses.replace(chosen, metrics=tuple(arguments.metrics))
    expect_folder(arguments.out)
    speech, out = arguments.manifest, arguments.out
    print(predict_both(arguments.recogniser, arguments.translator, speech, out, task=chosen).table())
    print(f"files: {out}")
    return 0


def graft(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer.models.graft import Graft
    from speechxfer.models.graft import graft as write

    mapping = _bridged(arguments) if arguments.bridge else arguments.mapping
    settings = Graft(
        pieces=arguments.pieces,
        model_type=arguments.pieces_by,
        coverage=arguments.coverage,
        initial="mapping" if mapping else arguments.initial,
        mapping=mapping,
        seed=arguments.seed,
    )
    texts = _texts(arguments.texts, arguments.side, arguments.normaliser)
    print(write(arguments.parent, texts, arguments.out, side=arguments.side, settings=settings, lang=arguments.lang))
    return 0


def _bridged(arguments: argparse.Namespace) -> Path:
    """Write the list of which words of the new language mean which of the parent's."""
    from speechxfer.manifest import read_manifest
    from speechxfer.models.word_list import write_word_list

    if arguments.mapping:
        raise ConfigError("--bridge and --mapping: expected one of them; --bridge makes what --mapping reads")
    fields = ("source", "text") if arguments.side == "target" else ("text", "source")  # what both share, what changes

    def pairs(manifests: Sequence[str]) -> Iterator[tuple[str, str]]:
        for path in manifests:
            manifest = read_manifest(path, require=["source", "text"])
            yield from zip(*(manifest.column(field).to_pylist() for field in fields), strict=True)

    file = arguments.out.with_name(f"{arguments.out.name}-words.tsv")
    return write_word_list(file, pairs(arguments.texts), pairs(arguments.bridge))


def _texts(manifests: Sequence[str], side: str, normaliser: str) -> Iterator[str]:
    """One side of these manifests, the target as training will see it."""
    from speechxfer.manifest import read_manifest
    from speechxfer.text import normalise

    field = "text" if side == "target" else "source"
    for path in manifests:
        for chunk in read_manifest(path, require=[field]).column(field).iterchunks():
            for text in chunk.to_pylist():
                yield normalise(normaliser, text) if side == "target" else text


def backtranslate(arguments: argparse.Namespace, task: Task | None, prepare: Prepare | None) -> int:
    from speechxfer import verbs
    from speechxfer.back_translation import DRAWN, back_translate

    task = task or Task(name="command line", model="")
    if task.decode == Decode():  # before --set, which then changes what is drawn, or by temperature=0 draws nothing
        task = dataclasses.replace(task, decode=DRAWN)
    chosen = resolved(arguments, task)
    print(
        back_translate(
            arguments.checkpoint,
            arguments.texts,
            arguments.out,
            tag=arguments.tag,
            lang=arguments.lang,
            decode=chosen.decode,
            data=chosen.data,
            run=verbs.in_float32(chosen.run),
        )
    )
    return 0
