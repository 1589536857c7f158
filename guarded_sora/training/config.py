"""Every number of every training run, in one file. ``train(name, **options)`` overrides fields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderConfig:
    """Training of the video autoencoder on clips of ``frames`` frames cut from films of the world."""

    seed: int = 1
    half_steps: int = 1200
    full_steps: int = 700
    batch: int = 4
    frames: int = 9
    decoded: int = 2
    """Frames of each four that a step decodes."""
    lr: float = 0.005
    warmup: int = 30
    decay_from: float = 0.4
    channels: int = 64
    width: int = 256
    full_lr: float = 0.5
    """Learning-rate factor of the full-size phase."""
    latent_noise: float = 0.15
    """Noise on unit-scale latents, so that the decoder forgives a generator's small errors."""
    latent_weight: float = 5e-4
    edge_weight: float = 0.5
    preview_weight: float = 0.3
    object_weight: float = 5.0
    save_every: int = 100
    report_films: int = 8
    """Held-out films of the sheet and of the printed PSNR."""
    measure_films: int = 48
    """Films from which the latents' mean and scale are taken."""
    producer: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseConfig:
    """Training of the diffusion transformer and its text encoder on encoded films."""

    seed: int = 2
    autoencoder: str = "runs/autoencoder/export"
    """Folder of the trained autoencoder; ``export-half`` will do while the decoder still learns."""
    steps: int = 4000
    batch: int = 16
    lr: float = 0.012
    adam_ratio: float = 0.15
    warmup: int = 60
    decay_from: float = 0.55
    width: int = 160
    depth: int = 6
    heads: int = 5
    text_drop: float = 0.1
    omit: float = 0.04
    """Probability that colour, place or motion is left out of a caption."""
    still_share: float = 0.5
    """Share of steps that train on first frames alone: a fifth of the tokens, so more rows a step."""
    still_batch: int = 64
    still_reuse: int = 5
    known_one: float = 0.6
    """Film rows whose first latent frame is given: how films and image prompts are continued."""
    known_more: float = 0.10
    """Rows whose first two or three latent frames are given (video prompts, long films)."""
    time_mean: float = 0.9
    still_time_mean: float = 0.3
    """Mean of the logit of time: more numbers say the same in a film, so it bears more noise."""
    ema: float = 0.998
    pool: int = 30_000
    """Encoded films kept in memory; the oldest makes room for the newest."""
    pool_least: int = 1_200
    reuse: int = 6
    """How often a film is seen on average, at most; what the producer cannot give is made in between."""
    save_every: int = 100
    sample_every: int = 300
    sample_rows: int = 8
    producer: bool = True
    compile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig:
    """Training of the detector of synthetic films on pairs made from photographs."""

    photos: str = "photos"
    """Folder of PNG photographs whose licence allows training; see docs/model-card-detector.md."""
    seed: int = 3
    pairs: int = 320
    families: tuple[float, ...] = (0.62, 0.38, 0.0)
    """Shares of linear, resample and interpolate among the decoders. Interpolated films leave every second
    frame as it was; codecs wash out the rest, so they are measured and not trained on."""
    textured_pairs: int = 160
    """Pairs of decoders that put texture in, so that "smooth" is not all that is learned."""
    networks: tuple[str, ...] = ("own", "tiny")
    """Families of networks that are trained on as well; ``own`` is the generator's video autoencoder."""
    network_pairs: int = 48
    """Pairs of each of them."""
    network_seed: int = 77
    network_seconds: float = 70.0
    """CPU seconds to train a network whose weights are not at hand."""
    own: str = ""
    """Folder of an exported video autoencoder; empty for the packaged one."""
    ridge: float = 0.05
    """Penalty per block on weights of unit-variance features."""
    held_out_auc: float = 0.0
    """What benchmarks.detector measured for these settings; below 0.7 the head stays unsupported."""
    version: str = "1"
