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
