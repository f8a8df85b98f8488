"""What very many clients saw, as one process hands it to another."""

from collections import Counter
from dataclasses import dataclass, field

from tests.faults.checker import Log


@dataclass
class Account:
    """What clients were told; how many connections ended with notice, which were cut, and what was refused."""

    logs: list[Log] = field(default_factory=list)
    notified: int = 0
    cut: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
