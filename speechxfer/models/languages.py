"""Which code, ">>hin<<", tells a model of many target languages to write the language that a manifest calls "hi"."""

import re
from collections.abc import Iterable, Sequence

# ISO 639 letters, and maybe a script or a region: >>hin<<, >>zho_Hans<<, >>pt_BR<<
_LANGUAGE = re.compile(r">>([a-z]{2,3})(?:[_-](\w+))?<<")


def target_codes(vocabulary: Iterable[str]) -> tuple[str, ...]:
    """The codes of languages in a vocabulary, sorted. Other tags, such as >>back<<, are none."""
    return tuple(sorted(piece for piece in vocabulary if _LANGUAGE.fullmatch(piece)))


def choose_code(lang: str | None, codes: Sequence[str]) -> str:
    """The code of a language ("hi", "hin", "hi-IN", "zh_Hans"). Raises ValueError with what was expected.

    Of codes of one language that differ in script or region the one that `lang` names is taken, else the one that names
    neither, else the only one.
    """
    known = ", ".join(codes[:20]) + (f" and {len(codes) - 20} more" if len(codes) > 20 else "")
    if not lang:
        raise ValueError(f"no lang, and the model writes several languages; expected one of {known}")
    import langcodes

    if f">>{lang}<<" in codes:
        return f">>{lang}<<"
    tag = langcodes.Language.get(lang, normalize=False) if langcodes.tag_is_valid(lang) else None
    if tag is None:
        raise ValueError(f"lang is {lang!r}; expected one of {known}")
    names = {tag.language, _alpha3(tag)}
    found = [code for code in codes if _LANGUAGE.fullmatch(code)[1] in names]
    for variant in (*filter(None, (tag.script, tag.territory)), None):
        exact = [code for code in found if _LANGUAGE.fullmatch(code)[2] == variant]
        if len(exact) == 1:
            return exact[0]
    if len(found) != 1:
        raise ValueError(f"lang is {lang!r}; expected one of {', '.join(found) or known}")
    return found[0]


def _alpha3(tag: object) -> str:
    try:
        return tag.to_alpha3()
    except LookupError:
        return tag.language
