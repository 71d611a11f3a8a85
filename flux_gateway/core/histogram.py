"""A latency histogram of fixed size: percentiles within 2 % of the truth, merging by addition (after HdrHistogram)."""

from math import frexp, ldexp

_SUB = 64  # buckets per power of two: a relative error of at most 1/64
_MIN_EXPONENT = -20  # about one microsecond
_MAX_EXPONENT = 12  # over an hour


class Histogram:
    """Counts of positive durations in seconds."""

    __slots__ = ("_counts", "count", "largest")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.largest = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration. Values under a microsecond, also zero and below, count as one."""
        mantissa, exponent = frexp(seconds)
        if seconds <= 0.0 or exponent < _MIN_EXPONENT:
            mantissa, exponent = 0.5, _MIN_EXPONENT
        elif exponent > _MAX_EXPONENT:
            mantissa, exponent = 0.99, _MAX_EXPONENT
        bucket = exponent * _SUB + int((mantissa - 0.5) * 2 * _SUB)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        if seconds > self.largest:
            self.largest = seconds

    def merge(self, other: "Histogram") -> None:
        """Add the counts of another histogram to this one."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += other.count
        self.largest = max(self.largest, other.largest)

    def percentile(self, percent: float) -> float:
        """Return the duration in seconds that `percent` (0 to 100) of the values do not exceed; 0 when empty."""
        wanted = self.count * percent / 100
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                exponent, sub = divmod(bucket, _SUB)
                return min(ldexp(0.5 + (sub + 1) / (2 * _SUB), exponent), self.largest)
        return self.largest
