"""Coverage-guided fuzzing of everything that reads what strangers or Redis send.

Each target is a module with a `check`, which takes any bytes and raises AssertionError, or whatever the parser raised,
if they do harm: a parser may raise its documented error and nothing else, what it accepts is within the limits, and
what can be written again reads as the same. `corpus/<target>/` has inputs to begin with, each named for what it is.

    make fuzz MINUTES=60                                      all targets, one after the other
    python -m tests.fuzz positions -max_total_time=60         one target, with options of libFuzzer
    python -m tests.fuzz positions build/fuzz/positions/crash-…    one input again

What does harm is left in `build/fuzz/<target>/`; what leads to new code is kept there, too, for the next time. A fault
that was found becomes a unit test of the parser, with the input as a literal.
"""
