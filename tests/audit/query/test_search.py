"""Search by words: what is found equals what plain Python finds, in any order and page size."""

from __future__ import annotations

import random
from collections.abc import Callable
from uuid import UUID

import pytest
from world import World

from audit import ledger, query
from audit.events import Event, Party
from audit.models import AuditLog
from audit.query import Filter, Order, search, windows

WORDS = ["invoice", "past", "due", "Zürich", "naïve", "ΑΘΗΝΑ", "x1", "2026", "alice", "paid", "rare"]


def event(pick: random.Random) -> Event:
    def some(most: int) -> str:
        return " ".join(pick.choices(WORDS[:-1], k=pick.randint(0, most)))

    return Event(
        action="a",
        actor=Party("user", "1", some(1)),
        resource=Party("t", "1", some(2)),
        description=some(3),
        targets=(Party("t", "2", some(1)),),
        changes={"note": {"old": some(1), "new": some(2)}} if pick.random() < 0.5 else None,
        personal=frozenset(["note"]) if pick.random() < 0.5 else frozenset(),
    )


def write(world: World, events: list[Event]) -> None:
    with world.scope("acme"):
        ledger.append(AuditLog, events)


def found(world: World, words: str, order: Order = Order.DESC, size: int = 1000) -> list[UUID]:
    """Return what all pages have, in the order of desc."""
    wanted, place, ids = Filter(q=words, action=("a",)), None, list[UUID]()
    for _ in range(1000):
        with world.scope("acme"):
            page = query.page(AuditLog.objects.all(), wanted, order, place, size)
        ids += [entry.id for entry in page.entries]
        if page.following is None:
            return ids if order is Order.DESC else sorted(ids, reverse=True)
        place = page.following
    raise AssertionError("the walk does not end")


def text(entry: AuditLog) -> list[str]:
    said = [entry.actor_label, entry.resource_label, entry.description, *(it["label"] for it in entry.targets or [])]
    said += [value for sides in (entry.all_changes or {}).values() for value in sides.values()]
    return " ".join(part or "" for part in said).lower().replace("ü", "u").replace("ï", "i").split()


@pytest.mark.parametrize("order", [*Order])
def test_what_is_found_equals_plain_python(world: World, order: Order) -> None:
    pick = random.Random(1)
    write(world, [event(pick) for _ in range(400)])
    write(world, [Event(action="a", resource=Party("t", "1", "rare"))])
    world.sequence()
    write(world, [event(pick) for _ in range(30)])
    world.sequence()
    with world.scope("acme"):
        entries = list(AuditLog.objects.filter(action="a").order_by("-id"))
    cases: dict[str, Callable[[list[str]], bool]] = {
        "invoice": lambda words: "invoice" in words,
        "INVOICE paid": lambda words: {"invoice", "paid"} <= set(words),
        "zurich": lambda words: "zurich" in words,
        "Naive -alice": lambda words: "naive" in words and "alice" not in words,
        "rare": lambda words: "rare" in words,
        "αθηνα": lambda words: "αθηνα" in words,
        "nowhere": lambda _words: False,
        "invoice,paid!": lambda words: {"invoice", "paid"} <= set(words),
    }
    for words, met in cases.items():
        expected = [entry.id for entry in entries if met(text(entry))]
        for size in (3, 1000):
            assert found(world, words, order, size) == expected, words


def test_a_phrase_stands_in_one_piece(world: World) -> None:
    write(
        world,
        [
            Event(action="a", resource=Party("t", "1"), description=said)
            for said in ("Past due!", "due, past", "pastdue")
        ],
    )
    world.sequence()
    with world.scope("acme"):
        keys = {entry.description: entry.id for entry in AuditLog.objects.filter(action="a")}
    assert found(world, '"past due"') == [keys["Past due!"]]
    assert found(world, 'due -"past due"') == [keys["due, past"]]
    assert found(world, '"due"') == [keys["due, past"], keys["Past due!"]]


def test_what_has_no_position_yet_is_found_once_it_has_one(world: World) -> None:
    write(world, [Event(action="a", resource=Party("t", "1", "fresh"))])
    assert found(world, "fresh") == []
    world.sequence()
    assert len(found(world, "fresh")) == 1


def test_words_need_no_index_to_be_found(world: World) -> None:
    from audit.integrity import sequencer

    write(world, [Event(action="a", resource=Party("t", "1", f"word{n}")) for n in range(200)])
    while sequencer.sequence():
        pass
    before = found(world, "word150")
    world.sequence()
    assert found(world, "word150") == before
    assert len(before) == 1
    assert world.sql(f"SELECT count(*) FROM {world.acme.schema_name}.audit_log_words")[0][0] >= 3


def test_a_word_of_a_json_escape_is_no_word(world: World) -> None:
    said = {"note": {"new": 'line\nbreak "quoted" back\\slash \u0007bell'}}
    write(world, [Event(action="a", resource=Party("t", "1"), changes=said)])
    world.sequence()
    for word in ("break", "quoted", "slash", "bell"):
        assert len(found(world, word)) == 1, word
    for word in ("nbreak", "u0007", "u0007bell"):
        assert found(world, word) == [], word


def test_a_page_whose_time_is_up_is_short_and_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write(world, [Event(action="a", resource=Party("t", "1", "needle"))])
    for _ in range(5):
        write(world, [Event(action="a", resource=Party("t", "1", "hay"))] * 100)
    world.sequence()
    monkeypatch.setattr(windows, "BUDGET", -1)
    monkeypatch.setattr(windows, "_FIRST", 64)
    with world.scope("acme"):
        page = query.page(AuditLog.objects.all(), Filter(q="needle"), Order.DESC, None, 10)
    assert (page.entries, page.following is not None) == ([], True)
    assert len(found(world, "needle")) == 1


@pytest.mark.parametrize("words", ["", "-no", '-"no no"', "!?", '"..."'])
def test_a_query_without_a_word_to_look_for_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match="needs a word"):
        search.read(words)


@pytest.mark.parametrize("words", ["٣", "௧", "\u09f3\u09ea"])
def test_what_has_no_word_for_the_database_is_met_by_nothing(world: World, words: str) -> None:
    write(world, [Event(action="a", resource=Party("t", "1", "label"))])
    world.sequence()
    assert found(world, words) == []
    assert found(world, words, Order.ASC) == []


def test_a_trail_whose_words_cannot_be_indexed_holds_up_no_other(world: World) -> None:
    from audit.integrity import sequencer

    write(world, [Event(action="a", resource=Party("t", "1", "needle"))] * 70)
    with world.scope("globex"):
        ledger.append(AuditLog, [Event(action="a", resource=Party("t", "1"))] * 70)
    while sequencer.sequence():
        pass
    world.sql(f"ALTER TABLE {world.globex.schema_name}.audit_log_words RENAME TO gone")
    sequencer.index_words()
    assert world.sql(f"SELECT count(*) FROM {world.acme.schema_name}.audit_log_words")[0][0] >= 1
    assert world.sql("SELECT trail::text FROM guard.unindexed") == [(f"{world.globex.schema_name}.audit_log",)]
