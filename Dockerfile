# The training host. Its steps are the README's own.
#   docker build -t edgebound .
#   docker run --gpus all -v "$PWD:/project" -w /project edgebound run --target cpu
FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04

RUN apt-get update \
 && apt-get install --yes --no-install-recommends make python3 python3-venv libgl1 libglib2.0-0 \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/edgebound
COPY . .
RUN make .venv/.train

ENV PATH=/opt/edgebound/.venv/bin:$PATH
ENTRYPOINT ["pipeline"]
CMD ["--help"]
