"""Reproducible benchmarks of the edge, beside other servers that are measured in the same run.

`python -m bench.NAME` runs one of them; docs/performance.md says what each is about. Their parts, from the bottom up:
`system` is this machine, `report` what a benchmark is told and what it prints, `clients` the load (its C sources are in
`c`), `servers` what is measured. `pacing` and `aiohttp_server` are processes that benchmarks start; `stack` needs
nothing of the rest, because it runs alone in a container.
"""
