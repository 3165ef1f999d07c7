# rsbench without a GPU: docker build -f docker/cpu.Dockerfile -t rsbench:cpu .
FROM python:3.12-slim-bookworm

# Git tells the commit that a run was made with; soundfile brings its own libsndfile.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git=1:2.39.* \
    && rm -rf /var/lib/apt/lists/*

# torch first, from the index of builds without CUDA: a tenth of the size. Its versions are those of constraints.txt.
WORKDIR /opt/rsbench
COPY constraints.txt ./
RUN pip install --no-cache-dir torch torchvision torchaudio \
    --constraint constraints.txt --index-url https://download.pytorch.org/whl/cpu

COPY . .
RUN pip install --no-cache-dir --editable ".[export,pml,sweep]" --constraint constraints.txt

ENV RSBENCH_DATA=/recordings
WORKDIR /work
ENTRYPOINT ["rsbench"]
CMD ["--help"]
