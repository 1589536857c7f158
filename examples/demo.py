"""The whole way of one clip, on real parts: `make demo`.

Generates films from words, from a picture and from a film, verifies one, verifies a re-encoded copy of
it, and shows a refusal.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from PIL import Image

from guarded_sora import Blocked, GuardedSora, Release, Verdict
from guarded_sora.contact_sheet import comparison_sheet
from guarded_sora.media import FrameStream, encode

PROMPT = "a penguin drifting right over a snowy field"
NEARER = "a penguin standing still over a snowy field, zooming in"
RISING = "a penguin rising over a snowy field"
UNSAFE = "a photorealistic beheading, blood everywhere"
FOLDER = Path("demo")


def main() -> int:
    """Run the demonstration; 0 when everything came out as it should."""
    start = time.monotonic()
    FOLDER.mkdir(exist_ok=True)
    with GuardedSora.open(home=FOLDER / "home") as sora:
        print(f'1. Generate: "{PROMPT}"')
        release = sora.generate(PROMPT, seconds=1, seed=7, output=FOLDER / "penguin.mp4")
        show_release(release)

        print("\n2. Generate from a picture (the last frame), and go on from the film itself")
        worker = sora.services.worker
        picture = FOLDER / "last-frame.png"
        *_, end = FrameStream(release.path, worker)
        Image.fromarray(end.frames[-1]).save(picture)
        nearer = sora.generate(NEARER, seconds=1, seed=8, image=picture, output=FOLDER / "from-picture.mp4")
        # The film that is given is the first of these two seconds.
        onward = sora.generate(
            RISING, seconds=2, seed=13, video=release.path, output=FOLDER / "from-film.mp4"
        )
        films = {
            "from words: drifting right": release,
            "from its last frame: zooming in": nearer,
            "the film goes on: rising for a second": onward,
        }
        sheet = comparison_sheet(
            [(label, FrameStream(film.path, worker)) for label, film in films.items()],
            FOLDER / "three-films.png",
            title="A second from words, from a picture and from a film",
        )
        print(f"   three films   {sheet}")

        print("\n3. Verify the film as released")
        intact = sora.verify(release.path)
        show_verdict(intact)

        print("\n4. Verify a copy that a platform re-encoded: no credentials left, other bytes")
        copy = FOLDER / "penguin-reencoded.mp4"
        encode(FrameStream(release.path, worker), copy, fps=16, crf=28)
        altered = sora.verify(copy)
        show_verdict(altered)

        print("\n5. Ask for something the policy refuses")
        refused = False
        try:
            sora.generate(UNSAFE, output=FOLDER / "never.mp4")
        except Blocked as blocked:
            refused = True
            for rule in blocked.decision.decisive:
                print(f"   blocked by rule {rule.id} ({rule.reason}): {rule.text}")
            print(f"   audit record  {blocked.audit_seq}; no file was written")
    print(f"\nDone in {time.monotonic() - start:.1f} s. Look at {sheet}")
    good = intact.verdict == "ours_intact" and altered.verdict == "ours_altered" and refused
    return 0 if good and not (FOLDER / "never.mp4").exists() else 1


def show_release(release: Release) -> None:
    """Where everything is, and how long each stage took."""
    print(f"   film          {release.path}")
    print(f"   contact sheet {release.contact_sheet}")
    print(f"   clip id       {release.clip_id}")
    print(f"   audit record  {release.audit_seq}")
    print("   stage              seconds")
    for stage in release.stages:
        print(f"   {stage.name:<18} {stage.seconds:7.3f}")
    print(f"   {'all':<18} {sum(stage.seconds for stage in release.stages):7.3f}")


def show_verdict(verdict: Verdict) -> None:
    """The verdict and the evidence it rests on."""
    print(f"   {verdict.file}: {verdict.verdict} ({verdict.reason.replace('_', ' ')})")
    for item in verdict.evidence:
        line = f"   {item.kind:<12} {item.state}"
        if item.kind == "watermark" and item.detail["payload"]:
            line += f", id {item.detail['payload']}, p = 10^{item.detail['log10_p']:.1f}"
        print(line)


if __name__ == "__main__":
    sys.exit(main())
