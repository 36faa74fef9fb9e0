# The image in which Kubeflow Pipelines and Vertex AI run every component: TFX from the lock, edgetune, and nothing that
# only builds or tests. docs/kubeflow.md says how to use it; `make image-check` tries all of this without an engine.
#
#     docker build -t REGISTRY/edgetune:VERSION .
#
# The base is an exact tag: TFX's wheels need its glibc (2.39 or newer). Whoever wants it immutable appends the digest
# that `docker buildx imagetools inspect` shows; none stands here, for none was read from the registry.

FROM python:3.13.16-slim-trixie AS packages

WORKDIR /source
COPY requirements/tfx121.txt requirements/
COPY scripts/install_in_image.sh scripts/
RUN scripts/install_in_image.sh packages /venv


FROM packages AS wheel

COPY setup.py pyproject.toml LICENSE ./
COPY edgetune edgetune
COPY configs configs
COPY schemas schemas
COPY weights weights
COPY modules modules
COPY components components
COPY pipeline pipeline
RUN scripts/install_in_image.sh wheel /venv /wheel


FROM python:3.13.16-slim-trixie

LABEL org.opencontainers.image.title="edgetune" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.description="TFX components that make phone-ready LiteRT models of a folder of images" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13.16-slim-trixie"

# Byte code is in the image already; a read-only file system would refuse more.
ENV PATH=/venv/bin:$PATH \
    HOME=/edgetune \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TF_CPP_MIN_LOG_LEVEL=2

# Some clusters give a container a user of their own choice, in group 0. Kubeflow's launcher puts artifacts into the
# last three folders, which only its newer versions mount.
RUN useradd --uid 1000 --gid 0 --home-dir /edgetune --create-home edgetune \
    && mkdir /gcs /s3 /minio \
    && chown edgetune:0 /gcs /s3 /minio \
    && chmod g=u /edgetune /gcs /s3 /minio

# The packages are a layer of their own: whoever changes code pushes the little that comes after it.
COPY --from=packages /venv /venv
COPY --from=wheel /wheel /wheel
RUN /venv/bin/python -m pip install --no-cache-dir --no-deps --no-index /wheel/*.whl

USER 1000
WORKDIR /edgetune
ENTRYPOINT ["edgetune"]
CMD ["--help"]
