"""A target with a fault that a fuzzer finds only if it sees the way through the code: faults are found."""


def check(data: bytes) -> None:
    """Fail at one input of 2**32."""
    if len(data) == 4 and data[0] == ord("f") and data[1] == ord("u") and data[2] == ord("z") and data[3] == ord("z"):
        raise AssertionError("the planted fault")
