import json
import subprocess
import sys
from pathlib import Path

import pytest

from guarded_sora.audit.verifier import CheckFailed, check_proof, main
from tests.audit.conftest import some


@pytest.fixture
def files(small, tmp_path):
    small.append(some(300))
    return small.prove(77).write(tmp_path / "proof")


def arguments(files):
    return [str(files.proof), "--entry", str(files.entry), "--key", str(files.key)]


def test_a_proof_checks_in_a_process_that_loads_nothing_else(files):
    code = (
        "import json, sys; from guarded_sora.audit import verifier; status = verifier.main(sys.argv[1:]); "
        "ours = [name for name in sys.modules if name.startswith('guarded_sora.audit')]; "
        "heavy = [name for name in ('sqlalchemy', 'orjson', 'torch', 'pyarrow') if name in sys.modules]; "
        "print(json.dumps([status, sorted(ours), heavy]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments(files)], capture_output=True, text=True, check=True
    )
    answer, state = (json.loads(line) for line in run.stdout.splitlines())
    assert answer["holds"] and answer["index"] == 77 and answer["size"] == 300
    status, ours, heavy = state
    assert (status, heavy) == (0, [])
    home = "guarded_sora.audit.verifier"
    assert ours[0] == "guarded_sora.audit" and all(name.startswith(home) for name in ours[1:]) and ours[1:]


def test_it_runs_as_a_module(files):
    command = [sys.executable, "-m", "guarded_sora.audit.verifier", *arguments(files)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    files.entry.write_bytes(files.entry.read_bytes() + b" ")
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1 and not json.loads(run.stdout)["holds"]
    assert "Traceback" not in run.stderr


def test_the_verifier_shares_no_code_with_the_prover():
    from guarded_sora.audit import verifier

    files = sorted(Path(verifier.__file__).parent.glob("*.py"))
    assert len(files) >= 5
    for file in files:
        source = file.read_text()
        assert "from guarded_sora" not in source and "import guarded_sora" not in source, file
        assert "from .." not in source, file


def test_every_changed_line_of_a_proof_is_noticed(small):
    small.append(some(300))
    proof = small.prove(77)
    lines = proof.text().split("\n")
    check_proof(proof.text(), proof.entry, proof.key)
    # The last item is what follows the final line break: nothing.
    for at, line in enumerate(lines[:-1]):
        changed = line[:-1] + ("A" if line[-1:] != "A" else "B")
        for replacement in ([changed], []):
            with pytest.raises(CheckFailed):
                check_proof("\n".join([*lines[:at], *replacement, *lines[at + 1 :]]), proof.entry, proof.key)


def test_every_changed_byte_of_an_entry_is_noticed(small):
    small.append(some(3))
    proof = small.prove(1)
    for at in range(len(proof.entry)):
        changed = bytearray(proof.entry)
        changed[at] ^= 1
        with pytest.raises(CheckFailed, match="not in this log"):
            check_proof(proof.text(), bytes(changed), proof.key)


def test_a_proof_of_another_place_does_not_pass(small):
    small.append(some(9))
    proof = small.prove(4)
    for index in (0, 3, 5, 8, 9, 2**70):
        with pytest.raises(CheckFailed):
            check_proof(proof.text().replace("index 4", f"index {index}"), proof.entry, proof.key)


def test_the_extra_line_is_allowed_and_ignored(small):
    small.append(some(2))
    proof = small.prove(0)
    text = proof.text().replace("index 0", "extra c2FsdA==\nindex 0")
    assert check_proof(text, proof.entry, proof.key).index == 0


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "x" * 2_000_000, "c2sp.org/tlog-proof@v1\n\n", "c2sp.org/tlog-proof@v1\nindex -1\n\nx"],
)
def test_what_is_no_proof(text, small):
    with pytest.raises(CheckFailed):
        check_proof(text, b"{}", small.vkey)


def test_broken_files_give_a_status_and_no_traceback(files, tmp_path, capsys):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    assert main([str(binary), "--entry", str(files.entry), "--key", str(files.key)]) == 1
    assert main([str(files.proof), "--entry", str(binary), "--key", str(files.key)]) == 1
    assert main([str(files.proof), "--entry", str(files.entry), "--key", str(binary)]) == 1
    assert main([str(tmp_path / "missing"), "--entry", str(files.entry), "--key", str(files.key)]) == 2
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    capsys.readouterr()
