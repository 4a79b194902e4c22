# Two images; their steps are the README's own.
#   docker build --target train -t edgebound .                       # a GPU host: everything up to the kit
#   docker run --gpus all -v "$PWD:/project" -w /project edgebound run --target orin
#   docker build --target edge -t edgebound-edge .                   # on a Jetson: the agent of a kit
#   docker run --runtime nvidia -v "$PWD/kit:/kit" edgebound-edge run --kit /kit
# The board's own TensorRT decides what engines fit: the tag must be the JetPack's, r8.5.2 for 5.1, r8.6.2 for
# 6.0, r10.3.0 for 6.1 and 6.2.
ARG L4T_TENSORRT=r10.3.0-devel

FROM python:3.12-slim AS agent
WORKDIR /opt/edgebound
COPY targets targets
RUN python3 -m targets.agent.archive /opt/agent.pyz

FROM nvcr.io/nvidia/l4t-tensorrt:${L4T_TENSORRT} AS edge
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-numpy python3-opencv \
 && rm -rf /var/lib/apt/lists/*
COPY --from=agent /opt/agent.pyz /opt/agent.pyz
ENTRYPOINT ["python3", "/opt/agent.pyz"]
CMD ["check"]

FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04 AS train
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
    make python3 python3-venv libgl1 libglib2.0-0 openssh-client \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/edgebound
COPY . .
RUN make .venv/.train
ENV PATH=/opt/edgebound/.venv/bin:$PATH
ENTRYPOINT ["pipeline"]
CMD ["--help"]
