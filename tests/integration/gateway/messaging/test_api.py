"""`gateway.messaging.api`: each method by plain HTTP and by `cent`, its errors, its key."""

import asyncio
import base64
import logging
from typing import Any

import pytest
from cent import (
    BatchRequest,
    BroadcastRequest,
    CentApiResponseError,
    HistoryRequest,
    InfoRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    StreamPosition,
)

from flux_gateway.broker.pipe import IN_FLIGHT
from tests.integration.gateway.messaging.api_bench import KEY, Bench, run
from tests.processes import TOKEN, Stack


def test_a_publication_reaches_subscribers_byte_for_byte(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        user = await bench.user()
        await user.ask("subscribe", channel="bytes")
        text = b'{"channel": "bytes", "data": {"i": 1,  "e":1e2, "n":0.10, "u":"\\u00e9\xc3\xa9"}}'
        assert await bench.call("publish", text) == (200, {"result": {}})
        raw = (await user.push())["raw"]
        assert '"data":{"i": 1,  "e":1e2, "n":0.10, "u":"\\u00e9é"}' in raw
        assert "offset" not in raw

    run(shared, body)


def test_with_history_the_position_is_returned_and_kept(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        first = await bench.cent.publish(PublishRequest(channel="chat:h", data={"n": 1}, tags={"a": "b"}))
        second = await bench.cent.publish(PublishRequest(channel="chat:h", data={"n": 2}))
        assert (first.offset, second.offset) == (1, 2)
        assert first.epoch == second.epoch != ""
        history = await bench.cent.history(HistoryRequest(channel="chat:h", limit=10))
        assert [(one.offset, one.data, one.tags) for one in history.publications] == [
            (1, {"n": 1}, {"a": "b"}), (2, {"n": 2}, None),
        ]  # fmt: skip
        assert (history.offset, history.epoch) == (2, first.epoch)
        since = StreamPosition(offset=1, epoch=first.epoch)
        later = await bench.cent.history(HistoryRequest(channel="chat:h", limit=10, since=since))
        assert [one.offset for one in later.publications] == [2]
        backwards = await bench.result("history", {"channel": "chat:h", "limit": 1, "reverse": True})
        assert [one["offset"] for one in backwards["publications"]] == [2]
        assert await bench.result("history", {"channel": "chat:h"}) == {
            "publications": [], "offset": 2, "epoch": first.epoch,
        }  # fmt: skip
        assert await bench.result("history_remove", {"channel": "chat:h"}) == {}
        assert await bench.result("history", {"channel": "chat:h", "limit": -1}) == {
            "publications": [], "offset": 2, "epoch": first.epoch,
        }  # fmt: skip

    run(shared, body)


def test_what_goes_with_a_publication(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        once = {"channel": "chat:x", "data": 1, "idempotency_key": "k"}
        first = await bench.result("publish", once)
        assert await bench.result("publish", once | {"data": 2}) == first
        assert await bench.result("publish", {"channel": "chat:x", "data": 3, "skip_history": True}) == {}
        newer = await bench.result("publish", {"channel": "chat:x", "data": 4, "version": 5})
        assert newer["offset"] == 2
        assert (await bench.result("publish", {"channel": "chat:x", "data": 5, "version": 5}))["offset"] == 2
        kept = (await bench.result("history", {"channel": "chat:x", "limit": -1}))["publications"]
        assert [one["data"] for one in kept] == [1, 4]
        assert await bench.result("publish", {"channel": "x", "data": None, "tags": None, "b64data": None}) == {}

    run(shared, body)


def test_binary_data_is_published_as_it_is(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        user = await bench.user()
        await user.ask("subscribe", channel="chat:binary")
        b64data = base64.b64encode(b'{"a":  1}').decode()
        await bench.result("publish", {"channel": "chat:binary", "data": {"not": "this"}, "b64data": b64data})
        assert '"data":{"a":  1}' in (await user.push())["raw"]
        await bench.result("publish", {"channel": "chat:binary", "b64data": base64.b64encode(b"\xff\x00").decode()})
        assert await user.end() == 3506  # no JSON client can be told that
        assert await bench.error("history", {"channel": "chat:binary", "limit": 9}) == 100
        assert await bench.error("publish", {"channel": "chat:binary", "b64data": "no base64!"}) == 107

    run(shared, body)


def test_a_broadcast_answers_for_each_channel_in_order(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        channels = ["chat:one", "nowhere:two", "three", ""]
        got = await bench.cent.broadcast(BroadcastRequest(channels=channels, data="x"))
        assert [one.error.code if one.error else 0 for one in got.responses] == [0, 102, 0, 107]
        assert got.responses[0].result is not None
        assert got.responses[0].result.offset == 1
        assert (await bench.result("broadcast", {"channels": ["a"], "data": 1})) == {"responses": [{"result": {}}]}
        assert await bench.error("broadcast", {"channels": [], "data": 1}) == 107
        assert await bench.error("broadcast", {"channels": ["a"]}) == 107

    run(shared, body)


@pytest.mark.parametrize("way", ["broadcast", "batch", "both"])
def test_more_than_redis_is_asked_for_at_a_time_is_published_whole(shared: Stack, way: str) -> None:
    """Clients are served meanwhile; a pipe takes `IN_FLIGHT` commands."""
    names = [f"chat:{way}-{number}" for number in range(IN_FLIGHT + 2000)]

    async def publish(bench: Bench) -> list[Any]:
        if way == "broadcast":
            return list((await bench.result("broadcast", {"channels": names, "data": 1}))["responses"])
        calls = (
            [{"publish": {"channel": name, "data": 1}} for name in names] if way == "batch" else
            [{"broadcast": {"channels": names[at : at + 400], "data": 1}} for at in range(0, len(names), 400)]
        )  # fmt: skip
        _, answer = await bench.call("batch", {"commands": calls, "parallel": True})
        if way == "batch":
            return [{"result": one["publish"]} for one in answer["replies"]]
        return [response for one in answer["replies"] for response in one["broadcast"]["responses"]]

    async def body(bench: Bench) -> None:
        user = await bench.user()
        publishing = asyncio.create_task(publish(bench))
        while not bench.servers[0].part.endpoint.parts.counters.publications:
            await asyncio.sleep(0)
        for number in range(5):
            await user.ask("publish", channel="own", data=number)
        assert not publishing.done()
        responses = await publishing
        assert len(responses) == len(names)
        assert [one["result"]["offset"] for one in responses if "result" in one] == [1] * len(names)

    run(shared, body)


def test_presence(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        users = [await bench.user("ann", info={"name":  "Ann"}), await bench.user("ann"), await bench.user("bob")]
        for user in users:
            await user.ask("subscribe", channel="chat:p")
        there = (await bench.cent.presence(PresenceRequest(channel="chat:p"))).presence
        assert {one: info.user for one, info in there.items()} == {
            user.id: name for user, name in zip(users, ("ann", "ann", "bob"), strict=True)
        }
        assert there[users[0].id].conn_info == {"name": "Ann"}
        stats = await bench.cent.presence_stats(PresenceStatsRequest(channel="chat:p"))
        assert (stats.num_clients, stats.num_users) == (3, 2)
        assert await bench.result("presence", {"channel": "chat:nobody"}) == {"presence": {}}
        assert await bench.result("presence_stats", {"channel": "chat:nobody"}) == {"num_clients": 0, "num_users": 0}

    run(shared, body)


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("publish", {"data": 1}, 107),
        ("publish", {"channel": "x"}, 107),
        ("publish", {"channel": "x" * 256, "data": 1}, 107),
        ("publish", {"channel": "nowhere:x", "data": 1}, 102),
        ("presence", {"channel": ""}, 107),
        ("presence", {"channel": "x"}, 108),
        ("presence_stats", {"channel": "x"}, 108),
        ("history", {"channel": "x", "limit": 1}, 108),
        ("history", {"channel": "chat:e", "limit": 1, "since": {"offset": 1, "epoch": "other"}}, 112),
        ("history", {"channel": "chat:e", "limit": 1, "since": {"epoch": ""}, "reverse": True}, 107),
        ("history_remove", {"channel": "x"}, 108),
        ("subscribe", {"user": "u"}, 107),
        ("subscribe", {"channel": "x"}, 107),
        ("subscribe", {"user": "u", "channel": "nowhere:x"}, 102),
        ("unsubscribe", {"user": "u"}, 107),
        ("unsubscribe", {"channel": "x"}, 107),
        ("disconnect", {}, 107),
        ("disconnect", {"user": "u", "disconnect": {"code": 1000}}, 107),
        ("refresh", {}, 107),
        ("channels", {"pattern": "{a,b}" * 20}, 107),
        ("rpc", {"method": "m", "params": {}}, 108),
        ("rpc", {}, 107),
    ],
)
def test_errors(shared: Stack, method: str, request_: Any, code: int) -> None:
    async def body(bench: Bench) -> None:
        assert await bench.error(method, request_) == code
        status, answer = await bench.call(method, request_, X_Centrifugo_Error_Mode="transport")
        assert status == {107: 400, 108: 400, 102: 404, 112: 416}[code]
        assert (answer["code"], list(answer)) == (code, ["code", "message"])

    run(shared, body)


def test_cent_raises_what_the_api_objects_to(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        with pytest.raises(CentApiResponseError) as caught:
            await bench.cent.publish(PublishRequest(channel="nowhere:x", data={}))
        assert (caught.value.code, caught.value.message) == (102, "unknown channel")

    run(shared, body)


def test_what_is_no_call_at_all(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        for text in (b"", b"no", b"[]", b'{"channel": 5}', b'{"channel":"x","data":"\xff"}', b"[" * 10_000):
            assert await bench.call("publish", text) == (400, b"")
        assert await bench.call("publish", {}, verb="GET") == (405, b"405: Method Not Allowed")
        assert await bench.call("nothing") == (404, b"")
        whole = b'{"channel":"x","data":"%b"}'
        room = 2**20 - len(whole) + 2
        assert (await bench.call("publish", whole % (b"x" * room)))[0] == 200
        assert (await bench.call("publish", whole % (b"x" * (room + 1))))[0] == 413

    run(shared, body)


def test_the_key(shared: Stack, caplog: pytest.LogCaptureFixture) -> None:
    async def body(bench: Bench) -> None:
        url = f"{bench.servers[0].api}/info"
        for address, headers in (
            (url, {"X-API-Key": KEY}),
            (url, {"Authorization": f"apikey {KEY}"}),
            (f"{url}?api_key={KEY}", {}),
        ):
            assert (await bench.ask(address, {}, headers))[0] == 200
        refused: list[tuple[str, dict[str, str]]] = [
            (url, {}),
            (url, {"X-API-Key": ""}),
            (url, {"X-API-Key": KEY + "x"}),
            (url, {"X-API-Key": "é"}),
            (url, {"Authorization": f"Bearer {KEY}"}),
            (url, {"Authorization": f"Bearer {TOKEN}"}),
            (f"{url}?api_key=x", {}),
        ]
        for address, headers in refused:
            assert await bench.ask(address, {}, headers) == (401, b"")
        assert await bench.ask(url, {}, {}, "GET") == (401, b"")

    with caplog.at_level(logging.DEBUG):
        run(shared, body)
    assert KEY not in caplog.text


def test_without_a_key_nobody_gets_in(shared: Stack, caplog: pytest.LogCaptureFixture) -> None:
    async def body(bench: Bench) -> None:
        url = f"{bench.servers[0].api}/info"
        for headers in ({}, {"X-API-Key": ""}, {"X-API-Key": KEY}):
            assert await bench.ask(url, {}, headers) == (401, b"")

    with caplog.at_level(logging.INFO):
        run(shared, body, key="")
    assert caplog.text.count("api_key_file") == 1


@pytest.mark.parametrize("parallel", [False, True])
def test_a_batch(shared: Stack, parallel: bool) -> None:
    async def body(bench: Bench) -> None:
        name = f"chat:batch-{parallel}"
        commands = [
            {"publish": {"channel": name, "data": 1}},
            {"presence_stats": {"channel": name}},
            {"publish": {"channel": "nowhere:x", "data": 1}},
            {"fly": {}},
            {"publish": {"channel": "a", "data": 1}, "info": {}},
            {"history": {"channel": name}},
        ]
        status, answer = await bench.call("batch", {"commands": commands, "parallel": parallel})
        assert (status, list(answer)) == (200, ["replies"])
        published, stats, unknown, method, two, history = answer["replies"]
        assert published["publish"]["offset"] == 1
        assert stats == {"presence_stats": {"num_clients": 0, "num_users": 0}}
        assert unknown == {"error": {"code": 102, "message": "unknown channel"}}
        assert method == {"error": {"code": 104, "message": "method not found"}}
        assert two["error"]["code"] == 107
        if not parallel:
            assert history["history"]["offset"] == 1
        assert await bench.call("batch", {"commands": [{"publish": {"channel": 1}}]}) == (400, b"")
        assert await bench.call("batch", {}) == (200, {"replies": []})
        by_cent = await bench.cent.batch(
            BatchRequest(requests=[PublishRequest(channel=name, data=2), InfoRequest()], parallel=parallel)
        )
        assert by_cent.replies[0].offset == 2  # type: ignore[attr-defined]

    run(shared, body)


def test_without_redis_the_answer_says_so_at_once(stack: Stack) -> None:
    async def body(bench: Bench) -> None:
        user = await bench.user("ann")
        redis.end()
        for _ in range(2):
            started = asyncio.get_running_loop().time()
            for method, call in (
                ("publish", {"channel": "x", "data": 1}), ("info", {}), ("presence", {"channel": "chat:x"}),
            ):  # fmt: skip
                assert await bench.error(method, call) == 100
            assert asyncio.get_running_loop().time() - started < 3
        status, _ = await bench.call("info", X_Centrifugo_Error_Mode="transport")
        assert status == 500
        # The own clients are served even so; that others were not told is an error.
        assert await bench.error("disconnect", {"user": "ann"}) == 100
        assert await user.end() == 3503

    redis = stack.redis()
    run(stack, body)
