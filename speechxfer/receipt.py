"""What a predictions file was made from, kept beside it.

So scores can name the checkpoint that they are of, and what was predicted is not predicted again.
"""

import json
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path

from speechxfer.atomic import replacing


def receipt_path(predictions: str | Path) -> Path:
    """test.predictions.jsonl -> test.predictions.receipt.json"""
    return Path(predictions).with_suffix(".receipt.json")


def write_receipt(predictions: str | Path, made_from: Mapping[str, str]) -> None:
    """It holds a digest of the predictions: those that are edited later have no receipt."""
    row = {**made_from, "predictions": _digest(predictions)}
    with replacing(receipt_path(predictions)) as partial:
        partial.write_text(json.dumps(row, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_receipt(predictions: str | Path) -> dict[str, str]:
    """What these very predictions were made from; {} where that is not known."""
    try:
        row = json.loads(receipt_path(predictions).read_text(encoding="utf-8"))
        known = isinstance(row, dict) and row.pop("predictions", "") == _digest(predictions)
    except (FileNotFoundError, ValueError):
        return {}
    return row if known else {}


def _digest(path: str | Path) -> str:
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()
