"""What importing us costs and needs, and that a user's own modules never meet ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "diffusers", "transformers")


def modules_after(code: str, *, cwd: Path | None = None) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=cwd,
        timeout=60,
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_next_to_nothing() -> None:
    loaded = modules_after("import guarded_sora")
    assert not loaded & {*HEAVY, "numpy", "cv2", "av", "sqlalchemy", "c2pa"}


@pytest.mark.parametrize(
    "module",
    [
        "guarded_sora.api",
        "guarded_sora.generation",
        "guarded_sora.detectors.fingerprint",
        "guarded_sora.policies.engine",
        "guarded_sora.audit.log",
        "guarded_sora.cli.verify",
        "guarded_sora.cli.generate",
    ],
)
def test_nothing_but_generating_loads_torch(module: str) -> None:
    assert not modules_after(f"import {module}") & set(HEAVY)


def test_verify_help_loads_no_torch() -> None:
    loaded = modules_after(
        "from guarded_sora.cli.main import main\ntry: main(['verify', '--help'])\nexcept SystemExit: pass"
    )
    assert not loaded & {*HEAVY, "numpy", "av", "c2pa", "sqlalchemy"}


@pytest.mark.parametrize(("command", "threads"), [("verify", "1"), ("train", "None")])
def test_small_products_get_one_thread_and_training_gets_all(command: str, threads: str) -> None:
    """Threads of a BLAS that wait for work spin, and a verification is hundreds of small products."""
    code = (
        "import contextlib, os, sys\n"
        "os.environ.pop('OPENBLAS_NUM_THREADS', None)\n"
        "from guarded_sora.cli.main import main\n"
        "assert 'numpy' not in sys.modules\n"
        f"with contextlib.suppress(SystemExit): main(['{command}', '--help'])\n"
        "print(os.environ.get('OPENBLAS_NUM_THREADS'), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split()[-1] == threads


def test_policies_and_audit_stand_alone() -> None:
    assert not modules_after("import guarded_sora.policies.engine") & {"sqlalchemy", "numpy", "cv2", "av"}
    assert not modules_after("import guarded_sora.audit.log") & {"numpy", "cv2", "av", "cel"}


def test_public_names_are_exactly_what_is_promised() -> None:
    import guarded_sora

    for name in guarded_sora.__all__:
        assert getattr(guarded_sora, name) is not None
    assert dir(guarded_sora) == sorted(guarded_sora.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = guarded_sora.nothing


def test_a_users_own_audit_and_policies_change_nothing(tmp_path: Path) -> None:
    """Modules of these names beside a script would shadow top-level packages of ours, had we any."""
    for name in ("audit", "policies", "detectors"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("OWNER = 'the user'\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import audit, policies, detectors\n"
        "from guarded_sora import GuardedSora\n"
        "with GuardedSora.open(home='home') as sora:\n"
        "    print(audit.OWNER, policies.OWNER, detectors.OWNER)\n"
        "    print(sora.check('a red balloon over a beach').action, sora.services.log.size)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False
    )
    assert done.stdout.splitlines() == ["the user the user the user", "allow 0"], done.stderr
