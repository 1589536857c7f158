"""Every number of every training run, in one file. ``train(name, **options)`` overrides fields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderConfig:
    """Training of the video autoencoder on short clips, drawn and natural."""

    seed: int = 1
    steps: int = 3000
    encoder_steps: int = 1200
    """From here on the encoder stands and the decoder alone goes on."""
    batch: int = 6
    side: int = 128
    frames: int = 9
    decoded: int = 2
    """Frames of each four that a step decodes."""
    natural: float = 0.5
    """Share of clips that move over photographs."""
    fit_batches: int = 60
    """Batches from whose blocks the linear path is fitted."""
    lr: float = 0.008
    warmup: int = 30
    decay_from: float = 0.5
    channels: int = 16
    width: int = 128
    detail: int = 64
    depth: int = 2
    levels: int = 0
    """0: variational; otherwise each number is rounded to so many steps (finite scalar quantisation)."""
    latent_noise: float = 0.1
    latent_weight: float = 1e-4
    square_weight: float = 4.0
    edge_weight: float = 0.5
    save_every: int = 100
    report_films: int = 8
    """Held-out films of each kind in the printed PSNR."""
    producer: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseConfig:
    """Training of the diffusion transformer and its text encoder on encoded films."""

    seed: int = 2
    autoencoder: str = "runs/autoencoder/export"
    """Folder of the trained autoencoder; its decoder may still be learning, its encoder must stand."""
    start: str = ""
    """Folder of an earlier base model to go on from, of a smaller vocabulary or with less layout."""
    guide: str = ""
    """Folder of a base model whose guided flow is learned instead of the films' own, see ``guided.py``."""
    guidance: float = 3.0
    """How strongly that model is guided."""
    square_share: float = 0.55
    """Share of clips that are square; the other shapes have equal parts of the rest."""
    steps: int = 4000
    films: int = 7
    stills: int = 24
    """Clips of each packed row: pieces of films, and first frames alone, which have a fifth of the tokens."""
    inside: float = 0.3
    """Share of films that are seen from a later frame on, as long films are made; half as many again are
    seen at any other length from 2 to 9 latent frames."""
    known_noise: float = 0.25
    """Most noise on what those films go on from."""
    lr: float = 0.012
    adam_ratio: float = 0.15
    warmup: int = 60
    decay_from: float = 0.55
    width: int = 192
    depth: int = 6
    heads: int = 6
    patch: int = 2
    align_weight: float = 0.5
    """Weight of the teacher: how far the middle of the network is from the truth about the object."""
    text_drop: float = 0.1
    omit: float = 0.04
    """Probability that colour, place or motion is left out of a caption."""
    still_reuse: int = 5
    known_one: float = 0.6
    """Film rows whose first latent frame is given: how films and image prompts are continued."""
    layout_unknown: float = 0.4
    """Rows whose given frames come without their layout, as image and video prompts do."""
    known_more: float = 0.10
    """Rows whose first two or three latent frames are given (video prompts, long films)."""
    known_other: float = 0.15
    """Rows whose end is given, or both ends, or all but a box: films led up to, joined, and filled in."""
    time_mean: float = 0.9
    still_time_mean: float = 0.3
    """Mean of the logit of time: more numbers say the same in a film, so it bears more noise."""
    ema: float = 0.998
    pool: int = 12_000
    """Encoded films kept in memory; the oldest makes room for the newest."""
    pool_least: int = 1_200
    reuse: int = 6
    """How often a film is seen on average, at most; what the producer cannot give is made in between."""
    save_every: int = 100
    sample_every: int = 300
    sample_rows: int = 8
    producer: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeConfig:
    """Training of one stage of the cascade, ``temporal`` (x2 in rate) or ``spatial`` (x2 in size)."""

    seed: int = 3
    stage: str = "spatial"
    autoencoder: str = "runs/autoencoder/export"
    text_encoder: str = "runs/base/export/text_encoder"
    start: str = ""
    """Folder of the same stage, trained before, to go on from."""
    square_share: float = 0.6
    """Share of films that are square; the other shapes have equal parts of the rest."""
    steps: int = 700
    batch: int = 12
    lr: float = 0.012
    adam_ratio: float = 0.15
    warmup: int = 30
    decay_from: float = 0.4
    width: int = 160
    depth: int = 4
    heads: int = 5
    patch: int = 0
    """Latents on a side of a token; 0: 2 for the temporal stage, 4 for the spatial one (8 x 8 tokens)."""
    noise_most: float = 0.4
    """Most noise that a guide bears in training."""
    known: float = 0.5
    """Share of pieces that are given their first latent frame."""
    time_mean: float = 0.5
    ema: float = 0.99
    pool: int = 1500
    """Pieces kept in memory; the oldest make room for the newest."""
    pool_least: int = 64
    reuse: int = 4
    save_every: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig:
    """Training of the detector of synthetic films on pairs made from photographs."""

    photos: str = "photos"
    """Folder of PNG photographs whose licence allows training; see docs/model-card-detector.md."""
    seed: int = 5
    decoders: tuple[tuple[str, int], ...] = (
        ("up-shuffle", 40),
        ("up-transposed", 40),
        ("up-resize", 40),
        ("up-sharp", 40),
        ("up-drawn", 40),
        ("up-clean", 40),
        ("up-crisp", 40),
        ("up-four", 40),
        ("coded", 20),
        ("linear", 20),
        ("quantised", 20),
        ("resample", 20),
        ("restored", 20),
    )
    """Families of decoders and the pairs of each. ``own``, the generator's video autoencoder, is known too,
    and left to the benchmark."""
    kin: tuple[tuple[str, ...], ...] = (
        ("linear", "coded", "up-shuffle", "up-sharp", "up-four"),
        ("resample", "quantised", "up-transposed", "up-drawn"),
        ("restored", "up-resize", "up-clean", "up-crisp"),
    )
    """Families that are left out together when scores of unseen decoders are wanted."""
    network: bool = False
    """Whether a residual network is trained and its word added. It helps on decoders made here that were left
    out and harms on those of others, so the packaged model has none; see docs/model-card-detector.md."""
    epochs: int = 20
    """How often the residual network sees each pair."""
    network_steps: int = 200
    """Steps to train an up-sampler whose weights are not at hand."""
    coder_steps: int = 500
    """The same of an autoencoder."""
    own: str = ""
    """Folder of an exported video autoencoder; empty for the packaged one."""
    ridge: float = 0.05
    """Penalty per block on weights of unit-variance features."""
    held_out_auc: float = 0.731
    """What benchmarks.detector measured for these settings; below 0.7 the head stays unsupported."""
    withheld: str = "it ranks films of other generators worse than chance does (AUC 0.29 on 69 films)"
    """Why the head stays unsupported whatever its held-out AUC; empty to let it speak."""
    version: str = "3"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderConfig:
    """Training of a reader of prompts on captions of the world."""

    seed: int = 5
    captions: int = 4000
    epochs: int = 8
    batch: int = 64
    lr: float = 1e-3
    decay: float = 0.05
    width: int = 160
    depth: int = 2
