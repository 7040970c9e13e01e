"""Synthetic speakers: espeak-ng, called in this process through ctypes.

A speaker is an accent (a voice of espeak-ng) with a variant (the shape of the vocal tract), a rate, a pitch
and a pitch range. espeak-ng keeps its state in globals, and some of it (the flutter of the pitch, the noise of
fricatives) runs on from one utterance to the next and cannot be reset. An `Engine` therefore loads a private
copy of the library: the same calls on a new engine give the same samples.
"""

import ctypes
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechxfer.errors import ConfigError

RATE = 22_050  # Hz, what espeak-ng makes

_SYNCHRONOUS, _PHONEMES_IPA, _UTF8, _POSITION_CHARACTER = 2, 2, 1, 1
_SPEECH_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Speaker:
    """`voice` and `variant` are names of espeak-ng; `rate` is in words per minute, `pitch` and `range` in 0..99."""

    voice: str
    variant: str
    rate: int
    pitch: int
    range: int

    @property
    def name(self) -> str:
        """The person apart from the accent: f2-r165-p50-i60."""
        return f"{self.variant}-r{self.rate}-p{self.pitch}-i{self.range}"


class Engine:
    """espeak-ng with a state of its own. Raises ConfigError when it is not installed or does not start."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise ConfigError(
                'the demo corpus needs espeak-ng, which is not installed; pip install "speechxfer[demo]"'
            ) from error
        original = Path(espeakng_loader.get_library_path())
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows keeps a loaded library
            self._library = ctypes.CDLL(shutil.copy(original, Path(folder, original.name)))
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        data = espeakng_loader.get_data_path()
        rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), 0)
        if rate != RATE:
            raise ConfigError(
                f"espeak-ng did not start with the data in {data}: espeak_Initialize gave {rate}, expected {RATE} Hz; "
                'pip install --force-reinstall "speechxfer[demo]"'
            )
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # starting seeds the breath's noise from the clock
        self._samples = bytearray()
        self._callback = _CALLBACK(self._collect)  # kept: ctypes must not free it while C calls it
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, speaker: Speaker) -> np.ndarray:
        """One utterance as int16 samples [time] at 22,050 Hz, mono. Raises ConfigError for an unknown voice."""
        self._set_voice(f"{speaker.voice}+{speaker.variant}")
        for parameter, value in ((_SPEECH_RATE, speaker.rate), (_PITCH, speaker.pitch), (_RANGE, speaker.range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._samples.clear()
        data = text.encode()
        status = self._library.espeak_Synth(
            data, ctypes.c_size_t(len(data) + 1), 0, _POSITION_CHARACTER, 0, _UTF8, None, None
        )
        self._library.espeak_Synchronize()
        if status != 0 or not self._samples:
            raise ConfigError(f"espeak-ng could not speak {text!r} as {speaker}: espeak_Synth gave {status}")
        return np.frombuffer(bytes(self._samples), dtype=np.int16)

    def phonemes(self, text: str, voice: str) -> str:
        """The phonemes of `text` in the International Phonetic Alphabet: what an accent changes, to read."""
        self._set_voice(voice)
        pointer = ctypes.c_char_p(text.encode())
        return self._library.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, _PHONEMES_IPA).decode()

    def close(self) -> None:
        """Free the voice data; the engine cannot speak after it."""
        self._library.espeak_Terminate()

    def _set_voice(self, name: str) -> None:
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise ConfigError(f"espeak-ng has no voice {name!r}")

    def _collect(self, wave: int | None, count: int, events: int) -> int:
        if wave and count > 0:
            self._samples += ctypes.string_at(wave, 2 * count)
        return 0
