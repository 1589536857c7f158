"""sdist to wheel to a clean environment without torch: what a user installs must verify."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from guarded_sora import GuardedSora
from tests.guarded_sora.conftest import Painter

ROOT = Path(__file__).parent.parent


def run(*arguments: str | Path, **more: object) -> str:
    done = subprocess.run(
        [str(a) for a in arguments],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        **more,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from an sdist, as an index would get it."""
    out = tmp_path_factory.mktemp("dist")
    # Without --wheel, build makes the sdist first and the wheel out of it.
    run(sys.executable, "-m", "build", "--outdir", out, ROOT)
    (found,) = out.glob("*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_holds_every_package_once_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "guarded_sora/py.typed",
        "guarded_sora/policies/engine.py",
        "guarded_sora/detectors/fingerprint.py",
        "guarded_sora/audit/migrations/env.py",
        "guarded_sora/store/migrations/versions/0001_clips.py",
        "guarded_sora/policies/packs/default/pack.yaml",
    ):
        assert wanted in names
    assert not [
        name
        for name in names
        if name.split("/")[0] in ("tests", "policies", "detectors", "audit", "benchmarks")
    ]
    assert "guarded_sora/policies/twins.py" in names
    assert not [name for name in names if name.startswith("guarded_sora/policies/corpus/")]
    assert len(names) == len(set(names))
    assert wheel.stat().st_size <= 90 * 2**20


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_clean_environment_without_torch_verifies(wheel: Path, tmp_path: Path) -> None:
    with GuardedSora.open(home=tmp_path / "home", backend=Painter()) as sora:
        release = sora.generate("a red balloon over a beach", output=tmp_path / "clip.mp4")
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    # -I: neither this folder nor PYTHONPATH may help the installed package.
    found = run(python, "-I", "-c", "import importlib.util as u; print(u.find_spec('torch'))", cwd=tmp_path)
    assert found.strip() == "None"
    program = python.with_name("guarded-sora")
    done = subprocess.run(
        [str(program), "verify", str(release.path), "--home", str(tmp_path / "home"), "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    assert (verdict["verdict"], verdict["clip_id"]) == ("ours_intact", str(release.clip_id))
    refused = subprocess.run(
        [str(program), "generate", "a dog", "-o", "dog.mp4", "--home", str(tmp_path / "other"), "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert refused.returncode == 3
    assert "guarded-sora[generate]" in json.loads(refused.stdout)["error"]["message"]
    run(program, "policy", "test", "--quiet")
