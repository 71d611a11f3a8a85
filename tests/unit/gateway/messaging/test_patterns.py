"""`gateway.messaging.patterns`: which channels a pattern fits."""

import time

import pytest

from flux_gateway.gateway.messaging.api.patterns import compiled
from flux_gateway.messaging.codes import ClientError


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("", ["", "a", "chat:b"], []),
        ("*", ["", "a", "chat:b/c"], []),
        ("chat:*", ["chat:", "chat:a:b"], ["chat", "xchat:a", "Chat:a"]),
        ("a?c", ["abc", "a:c"], ["ac", "abbc"]),
        ("a[bc]", ["ab", "ac"], ["ad", "a"]),
        ("a[!bc]", ["ad"], ["ab", "a"]),
        ("{a,b*}:{1,2}", ["a:1", "b:2", "bx:1"], ["a:3", "ax:1", "{a,b*}:{1,2}"]),
        ("{a,{b,c}}", ["a", "b", "c"], ["d"]),
        ("a.c", ["a.c"], ["abc"]),
        ("a{", ["a{"], ["a"]),
        ("a\nb", ["a\nb"], ["a"]),
    ],
)
def test_what_fits(pattern: str, fits: list[str], others: list[str]) -> None:
    judge = compiled(pattern)
    assert [name for name in fits + others if judge(name)] == fits


@pytest.mark.parametrize("pattern", ["x" * 513, "{a,b}" * 7, "{" + "a," * 100 + "}"])
def test_a_pattern_that_is_too_much_is_refused(pattern: str) -> None:
    with pytest.raises(ClientError) as caught:
        compiled(pattern)
    assert caught.value.code == 107


def test_no_pattern_takes_long() -> None:
    judge = compiled("*a" * 250 + "b")
    started = time.perf_counter()
    assert not judge("a" * 4096)
    assert time.perf_counter() - started < 0.5
