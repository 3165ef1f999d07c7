"""A study on disks that are really full goes on once there is room."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from studies import run_states, study

from rsbench.sweep.trials import TrialStore

ON_A_SMALL_DISK = """
out=$1; sizes=$2; engine=$3; shift 3
mount -t tmpfs -o size=64k none "$out"
for size in $sizes; do
    mount -o remount,size=$size "$out"
    "$@" $engine >"$out".$size.out 2>"$out".$size.err
    echo $? >"$out".$size.code
    engine=--serial
done
cp -r "$out" "$out".kept
"""


@pytest.mark.parametrize(
    ("engine", "too_small"), [("--serial", ["250k", "450k"]), ("", ["250k"])], ids=["serial", "ray"]
)
def test_a_study_outlives_full_disks(tiny_root: Path, tmp_path: Path, engine: str, too_small: list[str]) -> None:
    """Disks that are full during the search (250 kB) and during the runs (450 kB), and one that is not.

    What Ray began goes on without it: the folders decide.
    """
    study_file, out = tmp_path / "study.yaml", tmp_path / "out"
    out.mkdir()
    sweep = study(["ce", "normalised_softmax"]).model_dump(mode="json", exclude_none=True)
    study_file.write_text(yaml.safe_dump(sweep))
    command = [sys.executable, "-m", "rsbench", "sweep", study_file, "--root", tiny_root, "--out", out]
    apart = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*apart, "mount", "-t", "tmpfs", "none", out], capture_output=True, check=False).returncode:
        pytest.skip("a disk of its own needs a Linux that lets users mount one (unshare --user)")
    sizes = " ".join([*too_small, "64m"])
    subprocess.run([*apart, "sh", "-c", ON_A_SMALL_DISK, "sh", out, sizes, engine, *command], check=True)

    def outcome(size: str) -> tuple[int, str]:
        return int(Path(f"{out}.{size}.code").read_text()), Path(f"{out}.{size}.err").read_text()

    for size in too_small:
        code, error = outcome(size)
        assert code == 1, error
        assert "the disk is full" in error
        assert "Traceback" not in error
    code, error = outcome("64m")
    assert code == 0, error
    kept = Path(f"{out}.kept")
    assert list(run_states(kept).values()) == ["done"] * 4
    records = TrialStore(kept / "sweeps" / "small" / "trials").records()
    assert [record.state for record in records] == ["done"] * 6
