"""A study on a disk that is really full goes on once there is room."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from studies import run_states, study

from rsbench.sweep.trials import TrialStore

ON_A_SMALL_DISK = """
out=$1; tries=$2; shift 2
mount -t tmpfs -o size=64k none "$out"
for try in $tries; do
    mount -o remount,size=${try%-*} "$out"
    engine=; case $try in *-serial) engine=--serial;; esac
    "$@" $engine >"$out".$try.out 2>"$out".$try.err
    echo $? >"$out".$try.code
done
cp -r "$out" "$out".kept
"""


def test_a_study_outlives_a_full_disk(tiny_root: Path, tmp_path: Path) -> None:
    """A disk that is full during the search (250 kB), and one that is not.

    What Ray began goes on without it: the folders decide.
    """
    study_file, out = tmp_path / "study.yaml", tmp_path / "out"
    out.mkdir()
    sweep = study(["ce", "normalised_softmax"]).model_dump(mode="json", exclude_none=True)
    sweep["resources"]["save_every_s"] = 0  # so that there is something to fill a disk with
    study_file.write_text(yaml.safe_dump(sweep))
    command = [sys.executable, "-m", "rsbench", "sweep", study_file, "--root", tiny_root, "--results", out]
    apart = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*apart, "mount", "-t", "tmpfs", "none", out], capture_output=True, check=False).returncode:
        pytest.skip("a disk of its own needs a Linux that lets users mount one (unshare --user)")
    subprocess.run([*apart, "sh", "-c", ON_A_SMALL_DISK, "sh", out, "250k-ray 64m-serial", *command], check=True)

    def outcome(name: str) -> tuple[int, str]:
        return int(Path(f"{out}.{name}.code").read_text()), Path(f"{out}.{name}.err").read_text()

    code, error = outcome("250k-ray")
    assert code in (1, 2), error  # a record found no room, or the search's database
    assert "the disk is full" in error
    assert "Traceback" not in error
    code, error = outcome("64m-serial")
    assert code == 0, error
    kept = Path(f"{out}.kept")
    assert list(run_states(kept).values()) == ["done"] * 4
    records = TrialStore(kept / "sweeps" / "small" / "trials").records()
    assert [record.state for record in records] == ["done"] * 6
