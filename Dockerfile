# One image for every part: `edge`, `publisher` and the command line are arguments of its entry point.
# It builds with BuildKit and with the classic builder of Docker 20.10: no `# syntax` line, no `RUN --mount`.
ARG PYTHON=python:3.13-slim

# What the product needs: made anew only when pyproject.toml changes.
# hadolint ignore=DL3006
FROM ${PYTHON} AS dependencies
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/comet
COPY pyproject.toml ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
        print(*project['dependencies'], *project['optional-dependencies']['uvloop'], sep='\n')" > requirements.txt \
    && pip wheel --quiet --wheel-dir wheels --requirement requirements.txt \
    && pip --python /opt/comet/bin/python install --quiet --no-index --no-deps wheels/*.whl

# The product itself, in a tree that is laid over the other.
FROM dependencies AS product
COPY README.md LICENSE ./
COPY common common
COPY edge edge
COPY publisher publisher
COPY comet comet
RUN pip wheel --quiet --no-deps --wheel-dir product . \
    && pip --python /opt/comet/bin/python install --quiet --no-index --no-deps --prefix /product product/*.whl

# hadolint ignore=DL3006
FROM ${PYTHON}
COPY --from=dependencies /opt/comet /opt/comet
COPY --from=product /product /opt/comet
ENV PATH=/opt/comet/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# No name and no home are needed: nothing is written, a read-only root will do.
USER 65532:65532
WORKDIR /
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=10s --start-period=15s --retries=3 CMD ["comet", "health"]
# A service drains at SIGTERM; its --stop-timeout must be longer than COMET_DRAIN_SECONDS.
STOPSIGNAL SIGTERM
ENTRYPOINT ["comet"]
CMD ["--help"]
