"""What is looked for in texts, as patterns that both RE2 (Arrow) and `regex` read: characters stand as themselves.

A pattern may match a little too much where the rule looks at each match again; none may match too little.
"""

import unicodedata

INDIC = [chr(code) for code in range(0x900, 0xE00)]  # Devanagari to Sinhala
MARKS = "".join(c for c in INDIC if unicodedata.category(c)[0] == "M")
VOWEL_SIGNS = "".join(c for c in MARKS if "VOWEL SIGN" in unicodedata.name(c))
LETTERS = "".join(c for c in INDIC if unicodedata.category(c)[0] in "LM")
NUKTAS = "".join(c for c in MARKS if unicodedata.combining(c) == 7)
VIRAMAS = "".join(c for c in map(chr, range(0x900, 0x1200)) if unicodedata.combining(c) == 9)

# Marks that no letter carries: at the start of a word, the same one twice, two vowel signs, a nukta after a vowel sign.
STRAY_MARK = "|".join(
    [rf"(?:^|[\s\p{{Ps}}\p{{Pi}}])[{MARKS}]", *(mark * 2 for mark in MARKS), rf"[{VOWEL_SIGNS}][{VOWEL_SIGNS}{NUKTAS}]"]
)

# A colon for the visarga inside a word (नि:शुल्क), which a normaliser takes for the end of one; a bar for the danda.
LOOKALIKE = "|".join([f"[{LETTERS}]:[{LETTERS}]", rf"[{LETTERS}]\s?\|\s*$"])

# A zero-width joiner or non-joiner where it joins nothing. It means something after a virama (or a nukta before one),
# between letters of Arabic script, in Mongolian, in emoji, and after Bengali and Telugu ra, which it keeps from
# forming a reph (https://www.unicode.org/versions/Unicode15.0.0/ch12.pdf).
ARABIC = r"\p{Arabic}\p{Syriac}"
JOINABLE = VIRAMAS + NUKTAS + ARABIC + r"\p{Mongolian}\p{So}\p{Sk}" + "\ufe0f\u09b0\u0c30"
STRAY_JOINER = rf"(?:^|[^{JOINABLE}])[\u200c\u200d]|[{ARABIC}][\u200c\u200d](?:$|[^{ARABIC}])".replace(
    r"\u200c\u200d", "\u200c\u200d"
)

# Controls but tab and line ends, soft hyphen, spaces of no width, direction controls, byte order mark, private use.
INVISIBLE = (
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f"
    "\ue000-\uf8ff\ufeff\ufff9-\ufffb]"
)
DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
RIGHT_TO_LEFT = r"[\p{Arabic}\p{Hebrew}\p{Syriac}\p{Thaana}\p{Nko}]"
SPACELESS = r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Han}\p{Hiragana}\p{Katakana}]"

# Bytes of UTF-8 that were read as another encoding: of two bytes or more, the first and the second as Windows-1252
# and Latin-1 have them, as Windows-1251 has those of Cyrillic, and as Windows-1252 has those of Devanagari (à¤, à¥).
FIRST = "\u00c2-\u00f4"
SECOND = "\u0080-\u00bf\u0152-\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122"
MOJIBAKE = f"\ufffd|[{FIRST}][{SECOND}]|[РС][\u0402-\u040f\u0452-\u045f\u0490\u0491°±µ¶·]"
LOST = r"^[\s\p{P}]*\?[\s\p{P}]*\?[\s\p{P}]*\?[\s\p{P}]*$"  # nothing but question marks: letters that had no code

URL = r"(?:https?://|www\.)\S+|\S+@\S+\.\w+"
UNSPOKEN = rf"{URL}|[\p{{Nd}}\p{{Sc}}%‰&@#+=°§¼½¾²³]+"

SOUNDS = (
    "laughs?|laughter|laughing|chuckles?|noise|music|applause|inaudible|unintelligible|unclear|coughs?|coughing|silence"
    "|breath(?:s|ing)?|breathes|sighs?|crosstalk|overlap(?:ping)?|unk|pause|foreign|sniffs?|clears throat"
    r"|background \w+"
)
TAG = r"</?[a-zA-Z][\w-]*(?:\s[^<>]*)?/?>|<\|[^<>|]*\|>|&(?:[a-zA-Z]{2,8}|#\d{2,6}|#x[0-9a-fA-F]{2,6});"
MARKUP = rf"{TAG}|(?i:[(*\[{{]\s*(?:{SOUNDS})\s*[)*\]}}])"
SPOKEN_MARKUP = rf"{MARKUP}|\[[^\[\]]{{1,40}}\]|\{{[^{{}}]{{1,40}}\}}|[♪♫]"  # brackets are nothing that is spoken

SPACES = r"^\s|\s$|\s\s|[\t\r\n]"
