"""Who a key is of, and when it may come in."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from compllm.config import KeyConfig, ServerConfig
from compllm.errors import AccessDeniedError, TooManyRequestsError
from compllm.serve.callers import ANYBODY, Access
from compllm.serve.keys import KeyedAccess, hash_of, new_key

pytestmark = pytest.mark.anyio
ALICE, BOB = new_key(), new_key()


def config(*keys: KeyConfig, concurrency: int = 100) -> ServerConfig:
    return ServerConfig(keys=keys, concurrency=concurrency)


def alice(**more: int) -> KeyConfig:
    return KeyConfig(name="alice", hash=hash_of(ALICE), **more)


def bob() -> KeyConfig:
    return KeyConfig(name="bob", hash=hash_of(BOB), priority=3)


def test_keys_are_long_random_and_kept_as_hashes() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key) >= 48 and key.isascii() and key not in hash_of(key) for key in keys)
    assert hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


async def test_a_key_says_who_asks() -> None:
    access: Access = KeyedAccess(config(alice(), bob()))
    async with access.admit(ALICE, "") as first, access.admit(BOB, "") as second:
        assert (first.name, first.priority, second.name, second.priority) == ("alice", 0, "bob", 3)


@pytest.mark.parametrize("key", ["", "x", ALICE[:-1], ALICE + " ", ALICE.upper(), hash_of(ALICE), "ключ", "\udcff"])
async def test_a_wrong_key_is_refused_and_never_repeated(key: str) -> None:
    with pytest.raises(AccessDeniedError) as refused:
        async with KeyedAccess(config(alice())).admit(key, "10.0.0.1"):
            pass
    assert not key or key not in str(refused.value)


async def test_without_keys_everybody_may_ask_within_what_the_server_takes() -> None:
    access = KeyedAccess(config(concurrency=1))
    async with access.admit("sk-whatever", "") as caller:
        assert caller == ANYBODY
        with pytest.raises(TooManyRequestsError):
            await AsyncExitStack().enter_async_context(access.admit("", ""))
    async with access.admit("", ""):
        pass


async def test_one_key_s_limits_are_no_other_s() -> None:
    access = KeyedAccess(config(alice(concurrency=1), bob()))
    async with access.admit(ALICE, ""):
        with pytest.raises(TooManyRequestsError, match="at once") as refused:
            await AsyncExitStack().enter_async_context(access.admit(ALICE, ""))
        assert refused.value.retry_after_s > 0
        async with access.admit(BOB, ""):
            pass
    async with access.admit(ALICE, ""):
        pass


async def test_a_rate_is_kept_and_says_when_to_come_again() -> None:
    now_s = [0.0]
    access = KeyedAccess(config(alice(requests_per_minute=2)), lambda: now_s[0])
    for _ in range(2):
        async with access.admit(ALICE, ""):
            pass
    with pytest.raises(TooManyRequestsError, match="often") as refused:
        await AsyncExitStack().enter_async_context(access.admit(ALICE, ""))
    now_s[0] += refused.value.retry_after_s
    async with access.admit(ALICE, ""):
        pass


async def test_a_refusal_or_an_error_inside_leaves_no_slot_behind() -> None:
    access = KeyedAccess(config(alice(concurrency=1), bob(), concurrency=2))
    for _ in range(5):
        async with access.admit(ALICE, ""):
            with pytest.raises(TooManyRequestsError):
                await AsyncExitStack().enter_async_context(access.admit(ALICE, ""))
        with pytest.raises(ZeroDivisionError):
            async with access.admit(ALICE, ""):
                raise ZeroDivisionError
    async with access.admit(ALICE, ""), access.admit(BOB, ""):
        pass


async def test_other_keys_hold_at_once_and_open_requests_still_count() -> None:
    access = KeyedAccess(config(alice(), bob()))
    async with access.admit(ALICE, ""), access.admit(BOB, ""):
        access.use(config(alice(concurrency=1)))
        with pytest.raises(TooManyRequestsError):
            await AsyncExitStack().enter_async_context(access.admit(ALICE, ""))
        with pytest.raises(AccessDeniedError):
            await AsyncExitStack().enter_async_context(access.admit(BOB, ""))
    async with access.admit(ALICE, ""):
        pass


async def test_a_key_that_was_taken_away_and_put_back_is_charged_for_what_still_goes_on() -> None:
    now_s = [0.0]
    access = KeyedAccess(config(alice(concurrency=1, requests_per_minute=2)), lambda: now_s[0])
    async with access.admit(ALICE, ""):
        for keys in ([bob()], [alice(concurrency=1, requests_per_minute=2), bob()]):
            access.use(config(*keys))
        with pytest.raises(TooManyRequestsError, match="at once"):
            await AsyncExitStack().enter_async_context(access.admit(ALICE, ""))
    async with access.admit(ALICE, ""):
        pass
    access.use(config(alice(requests_per_minute=2)))
    with pytest.raises(TooManyRequestsError, match="often"):
        await AsyncExitStack().enter_async_context(access.admit(ALICE, ""))
