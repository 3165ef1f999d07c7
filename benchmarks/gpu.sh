#!/usr/bin/env bash
# All that is to be known of rsbench on one NVIDIA card, in 8 minutes at most: see benchmarks/gpu.py.
#
#     benchmarks/gpu.sh [--minutes 8] [--out results/gpu.csv] [--only PART …]
#
# Nothing is installed and nothing is fetched. Needs Python 3.11 with torch 2.11 for CUDA, torchvision, torchaudio, timm,
# numpy, pandas, scipy, scikit-learn, rich, typer, safetensors and PyYAML, as GPU images have them, and what they seldom
# have: the packages of BROUGHT below. Bring their wheels, for that machine's Python, and name the folder:
#
#     pip download --no-deps --only-binary :all: -d wheels pydantic pydantic-core annotated-types typing-inspection \
#         typing-extensions pyarrow soundfile cffi pycparser librosa lazy-loader filelock platformdirs
#     WHEELS=wheels benchmarks/gpu.sh
#
# pyarrow is 45 MB. PYTHON names another interpreter than python3.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
BROUGHT="pydantic pyarrow soundfile librosa lazy_loader filelock platformdirs"
IMAGE="torch torchvision torchaudio timm numpy pandas scipy sklearn rich typer safetensors yaml"

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
if [ -n "${WHEELS:-}" ]; then  # a wheel is an archive of what site-packages would hold
  "$python" -c 'import sys, zipfile; [zipfile.ZipFile(name).extractall(sys.argv[1]) for name in sys.argv[2:]]' \
    "$place" "$WHEELS"/*.whl
fi
cp -R rsbench "$place/rsbench"  # the package as an installation puts it together
cp -R losses backbones sweeps "$place/rsbench/"
export PYTHONPATH="$place${PYTHONPATH:+:$PYTHONPATH}" RSBENCH_CACHE="$place/cache" PYTHONDONTWRITEBYTECODE=1

missing=$("$python" - $IMAGE $BROUGHT <<'CHECK'
import importlib.util, sys
if sys.version_info < (3, 11):
    print("Python 3.11 or later")
print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name) is None])
CHECK
)
if [ -n "$missing" ]; then
  echo "benchmarks/gpu.sh: $python has no $missing. See the top of this script for how to bring wheels." >&2
  exit 2
fi
"$python" -c 'import sys, torch; torch.cuda.is_available() or sys.exit(
    f"benchmarks/gpu.sh: torch {torch.__version__} sees no GPU here. Check nvidia-smi, and that torch is one for CUDA.")'
nvidia-smi --query-gpu=name,driver_version,memory.total,compute_mode,mig.mode.current --format=csv || true
"$python" benchmarks/gpu.py "$@"
