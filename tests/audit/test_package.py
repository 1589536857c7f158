import subprocess
import sys
from pathlib import Path

import pytest

from guarded_sora import audit
from guarded_sora.audit import errors


def test_every_public_name_loads_and_no_other():
    assert sorted(audit.__all__) == audit.__all__ == sorted(audit._HOMES)
    for name in audit.__all__:
        assert getattr(audit, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        audit.nonsense  # noqa: B018


def test_importing_the_package_loads_no_database():
    code = "import sys, guarded_sora.audit; print('sqlalchemy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_every_error_has_its_own_code():
    found = [item for item in vars(errors).values() if isinstance(item, type)]
    assert len({item.code for item in found}) == len(found) >= 10
    assert all(issubclass(item, errors.AuditError) for item in found)


def test_nothing_of_ours_is_imported_from_outside():
    folder = Path(errors.__file__).parent
    for file in folder.rglob("*.py"):
        lines = file.read_text().splitlines()
        assert len(lines) <= 400, file
        for line in lines:
            words = line.split()
            if words[:1] in (["from"], ["import"]) and words[1].startswith("guarded_sora"):
                assert words[1].startswith("guarded_sora.audit"), (file, line)
