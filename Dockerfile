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

# The product itself, in a tree that is laid over the other. What compiles the hot paths stays behind in this stage;
# with --build-arg HOT_PATHS=pure nothing does, and the base need not be a Debian.
FROM dependencies AS product
ARG HOT_PATHS=compiled
# hadolint ignore=DL3008
RUN if [ "$HOT_PATHS" = compiled ]; then \
        apt-get update -qq && apt-get install -qq -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*; \
    fi
RUN python -c "import os, tomllib; whole = tomllib.load(open('pyproject.toml', 'rb')); \
        print(*whole['build-system']['requires'], sep='\n'); \
        extras = whole['project']['optional-dependencies']; \
        print(*extras.get(os.environ['HOT_PATHS'], ()), sep='\n')" > tools.txt \
    && python -m venv --without-pip /opt/tools \
    && pip --python /opt/tools/bin/python install --quiet --find-links wheels -r tools.txt -r requirements.txt
COPY README.md LICENSE compile_hot.py hatch_build.py ./
COPY common common
COPY edge edge
COPY publisher publisher
COPY comet comet
RUN pip --python /opt/tools/bin/python wheel --quiet --no-deps --no-build-isolation --wheel-dir product . \
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
