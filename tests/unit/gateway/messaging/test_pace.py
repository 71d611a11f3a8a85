"""How much a client may say a second."""

from flux_gateway.gateway.messaging.pace import Bucket, Pace


def test_a_burst_of_one_second_passes_and_then_the_rate() -> None:
    bucket = Bucket(3, now=10.0)
    assert [bucket.take(1, 10.0) for _ in range(5)] == [True, True, True, False, False]
    # 1.2 have come back; what is taken too much is owed.
    assert [bucket.take(1, 10.4) for _ in range(3)] == [True, True, False]
    assert not bucket.take(1, 10.6)
    assert bucket.take(1, 10.7)


def test_what_is_saved_up_is_one_second_at_most() -> None:
    bucket = Bucket(2, now=0.0)
    assert [bucket.take(1, 1000.0) for _ in range(4)] == [True, True, False, False]


def test_one_message_larger_than_the_rate_passes_alone() -> None:
    bucket = Bucket(100, now=0.0)
    assert bucket.take(250, 0.0)
    assert not bucket.take(1, 1.0)
    assert bucket.take(1, 2.0)


def test_no_limit_is_no_limit() -> None:
    pace = Pace(0, 0, now=0.0)
    assert all(pace.commands.take(1, 0.0) and pace.size.take(10**9, 0.0) for _ in range(1000))
