"""Reproducible benchmarks of the edge, beside a bare C epoll loop measured in the same run."""
