# rsbench on an NVIDIA GPU: docker build -f docker/cuda.Dockerfile -t rsbench:cuda .
# The CUDA libraries come with torch; the host brings its driver (docker run --gpus all).
FROM python:3.12-slim-bookworm

# Git tells the commit that a run was made with; gcc and g++ are for torch.compile.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git=1:2.39.* gcc=4:12.2.* g++=4:12.2.* \
    && rm -rf /var/lib/apt/lists/*

# Dependencies first, so that a change of the code does not fetch them again.
WORKDIR /opt/rsbench
COPY constraints.txt ./
RUN pip install --no-cache-dir torch torchvision torchaudio --constraint constraints.txt

COPY . .
RUN pip install --no-cache-dir --editable ".[export,pml,sweep]" --constraint constraints.txt

ENV RSBENCH_DATA=/recordings
WORKDIR /work
ENTRYPOINT ["rsbench"]
CMD ["--help"]
