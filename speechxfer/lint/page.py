"""docs/lint.md, made from the rules: `python -m speechxfer.lint.page > docs/lint.md`."""

from speechxfer.lint.table import STAGES

INTRODUCTION = """\
# Lint

What is wrong with the data, found before an hour is spent.

```sh
speechxfer lint --model M --train a.jsonl --dev b.jsonl --test c.jsonl --retain d.jsonl
python tasks/X.py lint
```

Everything is read once. Findings come worst first, counted, by `file:line`. Exit code: 0, or 1 where there is an error,
or 2 for a mistake on the command line. Without `--model`, what hangs on the model is not looked at.

| flag | does |
|---|---|
| `--quick` | text and the headers of audio; what takes long is decoding, and is left out |
| `--cache FILE` | where what was measured of audio is kept, by the content of each file |
| `--rule NAME=SEVERITY` | `error`, `warning`, `note` or `off`; repeatable. In a task: `lint={"NAME": "off"}` |
| `--json FILE` | the findings: the first rows in words, the first 1,000 line numbers, seconds by rule |
| `--fix OUT.jsonl` | the rows that no error names, in their order, and by rule how many were dropped |

`--fix` writes the train set where there are several, else the only one. It changes no row and no input.

An **error** is what training or scoring surely goes wrong with; a **warning** is probably wrong; a **note** is worth
knowing. Rows that are meant to be empty (non-speech, which teaches a model not to invent text) say so in the manifest:
`"group": {"speech": "no"}`.

`train` asks the rules that need no decoding before its first step, for a few seconds, and goes on whatever they find.

This page is made from the rules: `python -m speechxfer.lint.page > docs/lint.md`.

## What it costs

Audio is decoded once, in threads: about 6 seconds of one core for an hour of Ogg Opus, 2 for FLAC; from the cache next
to nothing (speechocean762: 18 s of CPU for 2.9 hours, everything included). Text: `python benchmarks/lint_rows.py`, a
million rows of train against 5,000 of dev and of test, on two cores that were shared with other work:

| a million rows | clock | CPU | peak memory | of which the manifests |
|---|---|---|---|---|
| pairs, no model | 52.7 s | 54.2 s | 1,369 MiB | 1,134 MiB |
| transcripts, for the shipped CTC checkpoint | 35.5 s | 37.2 s | 1,291 MiB | 1,142 MiB |

## What it finds in public data

Every finding that was shown was looked at, and rules that cried wolf were changed until none did.

| set | found |
|---|---|
| speechocean762 (2,500), lj_second_speaker (141) | nothing wrong; one speaker in the latter |
| fsdd (2,000) | all of it at 8 kHz, for a 16 kHz model; split by utterance; four speakers are too few to judge by |
| tatoeba en-hi (5,980) | 51 rows not in NFC; 24 translations of train in dev or test under another source, 7 near; \
3 marks without a letter (घडी़), a joiner that joins nothing, a bar for a danda |
| tico19 en-hi (2,100) | 2 test sentences in train with their translations, 7 near ones; 126 rows not in NFC; HTML \
entities, zero-width spaces, a translation cut short; colons for visarga; 25 rows over Whisper's 448 labels |
| multi30k (de, fr, cs) | `&amp;`, two translations that are only `@@`, pairs twice, a handful of captions in two sets |
| the demo's corpus | nothing |
"""


def page() -> str:
    """The whole page, as Markdown."""
    parts = [INTRODUCTION]
    for stage in STAGES:
        if stage.rules:
            lines = [f"## {stage.title}", "", "| rule | severity | what is wrong | what to do |", "|---|---|---|---|"]
            for rule in stage.rules:
                cells = (f"`{rule.name}`", rule.severity, rule.what, rule.mend)
                lines.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |")
            parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
