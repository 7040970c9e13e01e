"""All rules, in the order in which they are asked: what is quick comes first."""

from speechxfer.lint import audio_rules, balance, leakage, model_rules, near, pair_rules, text_rules
from speechxfer.lint.asking import Stage
from speechxfer.lint.reading import MANIFEST

STAGES = (
    Stage("Manifest", (MANIFEST,)),
    Stage("Text", text_rules.RULES),
    Stage("Parallel text", pair_rules.RULES),
    Stage("Audio", audio_rules.RULES, sound=True),
    Stage("Model", model_rules.RULES),
    Stage("Leakage", leakage.RULES, between=True),
    Stage("Near duplicates", near.RULES, between=True),
    Stage("Balance", balance.RULES),
)
