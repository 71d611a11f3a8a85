"""`gateway.messaging.keys`: the JWKS is fetched when it must be, not more often, and the last good one stands."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from jwt.algorithms import OKPAlgorithm

from flux_gateway.gateway.messaging.keys import TokenKeys
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.messaging.codes import ClientError
from flux_gateway.messaging.keys import Keys
from flux_gateway.messaging.tokens import KeyUnknown, TokenExpired, TokenInvalid
from tests.unit.gateway.messaging.back_end import BackEnd, back_end

NOW = 1_800_000_000.0
SECRET = b"secret-of-the-tests-0123456789-0123456789"
SIGNERS = {kid: ed25519.Ed25519PrivateKey.generate() for kid in ("old", "new")}


def token(kid: str, **claims: Any) -> str:
    return jwt.PyJWS().encode(json.dumps({"sub": "42", **claims}).encode(), SIGNERS[kid], "EdDSA", {"kid": kid})


def key_set(*kids: str) -> str:
    return json.dumps({
        "keys": [{**json.loads(OKPAlgorithm.to_jwk(SIGNERS[kid].public_key())), "kid": kid} for kid in kids]
    })  # fmt: skip


@contextlib.asynccontextmanager
async def ringing(server: BackEnd, **more: Any) -> AsyncIterator[TokenKeys]:
    keys = TokenKeys(MessagingSettings(token_jwks_url=f"{server.url}/jwks?secret=hush"), Keys(SECRET), **more)
    keys.start()
    try:
        yield keys
    finally:
        await keys.close()


def test_tokens_are_verified_by_the_fetched_set() -> None:
    async def main() -> None:
        async with back_end() as server:
            server.answer = key_set("old")
            async with ringing(server) as keys:
                # The first does not have to come after the first fetch.
                assert (await keys.connect_token(token("old"), NOW)).user == "42"
                assert (await keys.subscribe_token(token("old", channel="a"), NOW)).channel == "a"
                with pytest.raises(TokenExpired):
                    await keys.connect_token(token("old", exp=1), NOW)
            assert server.requests == 1

    asyncio.run(main())


def test_an_unknown_key_makes_it_fetch_once_however_many_ask() -> None:
    async def main() -> None:
        async with back_end() as server:
            server.answer = key_set("old")
            async with ringing(server, pause=0.1) as keys:
                await keys.connect_token(token("old"), NOW)
                await asyncio.sleep(0.15)
                server.answer, server.delay = key_set("old", "new"), 0.05
                found = await asyncio.gather(*(keys.connect_token(token("new"), NOW) for _ in range(20)))
                assert {one.user for one in found} == {"42"}
                assert server.requests == 2

    asyncio.run(main())


def test_unknown_keys_do_not_make_it_fetch_more_often_than_the_pause() -> None:
    async def main() -> None:
        async with back_end() as server:
            server.answer = key_set("old")
            async with ringing(server, pause=0.3) as keys:
                await keys.connect_token(token("old"), NOW)
                begun = time.monotonic()
                while time.monotonic() - begun < 0.7:
                    with pytest.raises(KeyUnknown):
                        await keys.connect_token(token("new"), NOW)
                    await asyncio.sleep(0.01)
                assert 2 <= server.requests <= 4

    asyncio.run(main())


def test_one_that_goes_does_not_end_the_fetch_of_the_others() -> None:
    async def main() -> None:
        async with back_end() as server:
            server.answer, server.delay = key_set("old"), 0.1
            async with ringing(server) as keys:
                first = asyncio.create_task(keys.connect_token(token("old"), NOW))
                second = asyncio.create_task(keys.connect_token(token("old"), NOW))
                await asyncio.sleep(0.03)
                first.cancel()
                assert (await second).user == "42"
                assert first.cancelled()

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["status", "garbage", "shape", "deep", "slow", "gone", "redirect"])
def test_the_last_good_set_stands_when_the_server_fails(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with back_end() as server:
            server.answer = key_set("old")
            async with ringing(server, pause=0.05, interval=0.05, timeout=0.2) as keys:
                await keys.connect_token(token("old"), NOW)
                if fault == "status":
                    server.status = 500
                elif fault == "redirect":
                    server.status, server.answer_headers = 302, {"Location": server.url}
                elif fault == "slow":
                    server.delay = 1
                elif fault == "gone":
                    keys._url = "http://127.0.0.1:9/"
                else:
                    deep = '{"keys": [{"a":' + "[" * 100_000 + "]" * 100_000 + "}]}"
                    server.answer = {"garbage": "<html>", "shape": '{"keys": 1}', "deep": deep}[fault]
                await asyncio.sleep(0.4)
                assert (await keys.connect_token(token("old"), NOW)).user == "42"
                with pytest.raises(ClientError) as error:  # it may be good: the client is to try again
                    await keys.connect_token(token("new"), NOW)
                assert (error.value.code, error.value.temporary) == (100, True)
                server.status, server.answer, server.delay = 200, key_set("new"), 0
                keys._url = server.url
                await asyncio.sleep(0.4)
                assert (await keys.connect_token(token("new"), NOW)).user == "42"
                with pytest.raises(KeyUnknown):  # withdrawn
                    await keys.connect_token(token("old"), NOW)

    asyncio.run(main())
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1, "said once"
    assert "hush" not in caplog.text


def test_own_keys_need_no_server() -> None:
    async def main() -> None:
        keys = TokenKeys(MessagingSettings(token_audience="a", token_issuer="i"), Keys(SECRET))
        keys.start()
        good = jwt.PyJWS().encode(b'{"sub":"42","aud":"a","iss":"i","exp":1}', SECRET, "HS256")
        assert (await keys.connect_token(good, 0.0)).user == "42"
        with pytest.raises(TokenInvalid):
            await keys.connect_token(jwt.PyJWS().encode(b'{"sub":"42"}', SECRET, "HS256"), 0.0)
        with pytest.raises(KeyUnknown):
            await keys.connect_token(token("old"), NOW)
        lenient = TokenKeys(MessagingSettings(insecure=True), Keys(SECRET))
        assert (await lenient.connect_token(good, NOW)).user == "42"
        await keys.close()

    asyncio.run(main())


def test_secrets_do_not_wait_for_the_key_server() -> None:
    async def main() -> None:
        async with back_end() as server:
            server.delay = 1
            async with ringing(server) as keys:
                begun = time.monotonic()
                await keys.connect_token(jwt.PyJWS().encode(b"{}", SECRET, "HS256"), NOW)
                with pytest.raises(TokenInvalid):
                    await keys.connect_token(jwt.PyJWS().encode(b"{}", SECRET + b"!", "HS256"), NOW)
                assert time.monotonic() - begun < 0.5

    asyncio.run(main())
