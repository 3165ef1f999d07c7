"""Slurm on one machine for the tests: `python fake_slurm.py sbatch|srun|sacct|scontrol|scancel …`.

The folder FAKE_SLURM holds a file per job of an array: the number of the process that watches over it, or nothing while
it waits in the queue. As long as a file `hold` is there, everything waits.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ["FAKE_SLURM"])


def sbatch(script: str) -> None:
    text = Path(script).read_text()
    array = re.search(r"--array=0-(\d+)", text)
    number = 100 + len(list(STATE.glob("*.sh")))
    (STATE / f"{number}.sh").write_text(text)
    for name in [f"{number}_{index}" for index in range(int(array[1]) + 1)] if array else [f"{number}"]:
        (STATE / name).touch()
        command = [sys.executable, __file__, "watch_over", name]
        subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(f"Submitted batch job {number}")


def watch_over(name: str) -> None:
    while (STATE / "hold").exists():
        if not (STATE / name).exists():
            return
        time.sleep(0.05)
    (STATE / name).write_text(str(os.getpid()))
    number, _, index = name.partition("_")
    of_array = {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": index} if index else {}
    environment = os.environ | {"SLURM_JOB_ID": number, "SLURM_PROCID": "0"} | of_array
    again = True
    while again:
        subprocess.run(["bash", STATE / f"{number}.sh"], env=environment, check=False)
        again = (STATE / f"{name}.again").exists()
        (STATE / f"{name}.again").unlink(missing_ok=True)


def srun(*words: str) -> None:
    output, error = words[words.index("--output") + 1], words[words.index("--error") + 1]
    command = words[words.index("--error") + 2 :]
    names = {"%A": "SLURM_ARRAY_JOB_ID", "%a": "SLURM_ARRAY_TASK_ID", "%j": "SLURM_JOB_ID", "%t": "SLURM_PROCID"}
    for sign, name in names.items():
        output, error = (text.replace(sign, os.environ.get(name, "")) for text in (output, error))
    with Path(output).open("ab") as out, Path(error).open("ab") as err:
        sys.exit(subprocess.run(command, stdout=out, stderr=err, check=False).returncode)


def sacct(*words: str) -> None:
    print("JobID|State|NodeList")
    for file in (path for path in STATE.iterdir() if re.fullmatch(r"\d+(_\d+)?", path.name)):
        pid = file.read_text()
        print(f"{file.name}|{'PENDING' if not pid else 'RUNNING' if alive(int(pid)) else 'COMPLETED'}|here")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def scontrol(what: str, name: str) -> None:
    assert what == "requeue"
    (STATE / f"{name}.again").touch()


def scancel(name: str) -> None:
    file = STATE / name
    if pid := file.read_text():
        os.killpg(int(pid), signal.SIGKILL)
    file.write_text("2147483646")  # nobody's number: it is over


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
