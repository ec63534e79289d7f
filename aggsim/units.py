"""The only unit conversions. Inside the code: seconds, bytes, bytes per second, operations per second."""

GIB = 1024**3
"""Bytes in one GiB: memory capacities are binary."""
TERA = 10**12
"""Operations per second in one Tera-op/s: compute rates are decimal."""
GIGA = 10**9
"""Bytes per second in one GB/s: link and memory rates on screen are decimal."""
MS_PER_S = 1000.0
US_PER_S = 1e6


def ms(seconds: float) -> float:
    """Seconds → milliseconds."""
    return seconds * MS_PER_S


def seconds(milliseconds: float) -> float:
    """Milliseconds → seconds."""
    return milliseconds / MS_PER_S


def gib(num_bytes: float) -> float:
    """Bytes → GiB."""
    return num_bytes / GIB


def bytes_of_gib(num_gib: float) -> float:
    """GiB → bytes."""
    return num_gib * GIB
