"""The recordings of the shown items inside the page, as MP3: every browser plays it, 5 kB a second at 16 kHz."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speechxfer.errors import AudioError, ManifestError
from speechxfer.manifest import Example, read_manifest

RATE = 16_000  # Hz
LIMIT = 5_000_000  # characters of base64 in one page
BYTES_PER_SECOND = 5_500  # about what MP3 takes, to leave long recordings undecoded


@dataclass(frozen=True)
class Clip:
    """One item's recording: `uri` is "" where it is not in the page, and `why` says why not."""

    path: str
    uri: str
    why: str
    lang: str


class Player:
    """Hands out clips until the page has as much audio as it may have."""

    def __init__(self, limit: int = LIMIT):
        self.limit = self.left = limit

    def clips(self, manifest: str, ids: Sequence[str]) -> tuple[dict[str, Clip], str]:
        """The clips of a manifest's examples by id, and why there are none if so."""
        if not manifest:
            return {}, "No audio: the task names no manifest for this set."
        try:
            wanted = set(ids)
            rows = read_manifest(manifest)
            places = [i for i, name in enumerate(rows.dataset["id"]) if name in wanted]
            examples = {example.id: example for example in rows.select(places)}
        except ManifestError as error:
            return {}, f"No audio: {str(error).splitlines()[0]}"
        if examples and not any(example.audio for example in examples.values()):
            return {}, ""  # text alone: nobody misses a recording
        clips = {name: self._clip(examples[name]) for name in ids if name in examples and examples[name].audio}
        return clips, "" if clips else f"No audio: {manifest} has none of these items with a recording."

    def _clip(self, example: Example) -> Clip:
        path, lang = str(example.audio), example.lang or ""
        full = f"not in the page, whose {self.limit / 1e6:g} MB for audio are used up"
        if (example.seconds or 0) * BYTES_PER_SECOND > self.left:
            return Clip(path, "", full, lang)
        try:
            uri = data_uri(example)
        except AudioError as error:
            return Clip(path, "", str(error), lang)
        if len(uri) > self.left:
            return Clip(path, "", full, lang)
        self.left -= len(uri)
        return Clip(path, uri, "", lang)


def data_uri(example: Example) -> str:
    """The example's piece of its recording as `data:audio/mpeg;base64,...`. Raises AudioError."""
    import soundfile

    from speechxfer import audio

    samples = audio.load(Path(example.audio), RATE, start=example.start, end=example.end, channel=example.channel)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="MP3", subtype="MPEG_LAYER_III")
    return f"data:audio/mpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
