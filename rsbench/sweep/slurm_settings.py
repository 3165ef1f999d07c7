"""What `--slurm FILE` says: how the runs of a study become jobs of a Slurm array."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ..core.errors import SpecError, did_you_mean
from ..core.settings import read_settings
from ..core.spec import Part


class SlurmSettings(Part):
    """Fields of submitit's executor by submitit's names, and how many runs a job does.

    What is None is left to the cluster, but for cpus_per_task and gpus_per_node: these are then the study's `resources`
    for one run, rounded up.
    """

    runs_per_job: int = Field(1, ge=1, description="done one after another, those that share batches together")
    array_parallelism: int = Field(256, ge=1, description="jobs at work at a time")
    timeout_min: int = Field(240, ge=1, description="minutes of a job; one that needs more goes on in another")
    cpus_per_task: int | None = Field(None, ge=1)
    gpus_per_node: int | None = Field(None, ge=0)
    mem_gb: float | None = Field(None, gt=0)
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gres: str | None = Field(None, description="shares of a GPU where the cluster has them: shard:1, mps:25")
    setup: list[str] = Field([], description="lines of shell before the run: module load cuda")
    additional_parameters: Mapping[str, str | int | bool] = Field({}, description="any other option of sbatch")
    cluster: Literal["slurm", "local", "debug"] = Field(
        "slurm", description="local: processes of this machine; debug: this process. Both to try things out"
    )


def load_slurm_settings(path: Path) -> SlurmSettings:
    """Read and check a file. Raises SpecError naming the file, the field and the remedy."""
    where = f"--slurm {path}"
    try:
        return SlurmSettings.model_validate(read_settings(path, where))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(field, SlurmSettings.model_fields)
            raise SpecError(
                f"{where}: {field}: there is no such field.{hint} Other options of sbatch stand under "
                "additional_parameters."
            ) from None
        raise SpecError(f"{where}: {field}: {first['msg']}.") from None
