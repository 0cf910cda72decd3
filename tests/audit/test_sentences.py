"""Entries as sentences: shipped languages, a tenant's own templates, what is missing, and what an enemy may try."""

from __future__ import annotations

import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import sentences
from audit.events import Operation, Outcome
from audit.sentences import BadTemplate, check, render, shipped, words
from audit.vocabulary import BUILT_IN

ENTRY: dict[str, Any] = {
    "action": "invoice.paid",
    "operation": "other",
    "outcome": "success",
    "actor": {"type": "user", "id": "u-1", "label": "alice@acme.example"},
    "impersonator": None,
    "resource": {"type": "invoice", "id": "7", "label": "No 7"},
    "targets": [{"type": "account", "id": "a-1", "label": ""}],
    "changes": {"state": {"old": "open", "new": "paid"}, "secret": "masked"},
    "description": "by card",
    "metadata": {"amount": 12.5, "nested": {"a": 1}, "flag": True},
    "version": 2,
}


def entry(**other: Any) -> dict[str, Any]:
    return {**ENTRY, **other}


@pytest.mark.parametrize("language", sorted(shipped()))
@pytest.mark.parametrize("action", sorted(BUILT_IN))
def test_each_built_in_type_reads_as_a_sentence_in_each_language(language: str, action: str) -> None:
    said = render(entry(action=action, outcome=BUILT_IN[action].outcome), language)
    assert "{" not in said
    assert action not in said or "." not in action
    assert render(entry(action=action, actor={**ENTRY["actor"], "label": ""}), language)[0].isupper()


@pytest.mark.parametrize("language", sorted(shipped()))
def test_each_language_says_all_that_english_says_and_nothing_else(language: str) -> None:
    english, other = words("en"), words(language)
    assert {section: set(said) for section, said in other.items()} == {k: set(v) for k, v in english.items()}
    assert set(other["types"]) == set(BUILT_IN)
    assert set(other["operations"]) == set(Operation)
    assert set(other["outcomes"]) == set(Outcome) - {Outcome.SUCCESS}
    for section in ("types", "operations"):
        for template in other[section].values():
            check(template)
    for section, said in other.items():
        for name, text in said.items():
            fixed = re.findall(r"\{[^}]*\}", text)
            assert sorted(fixed) == sorted(re.findall(r"\{[^}]*\}", english[section][name])), (language, name)


def test_two_languages_are_shipped() -> None:
    assert shipped() >= {"en", "de"}


def test_a_built_in_type_reads_in_english_and_german() -> None:
    changed = entry(action="subscription.plan_changed", changes={"plan": {"old": "free", "new": "premium"}})
    assert render(changed, "en") == "alice@acme.example changed the plan of invoice “No 7” from free to premium"
    assert (
        render(changed, "de-AT") == "alice@acme.example hat den Tarif von invoice „No 7“ von free auf premium geändert"
    )


def test_a_language_that_nobody_shipped_falls_back_to_english() -> None:
    assert render(entry(), "fr") == render(entry(), "en") == "alice@acme.example: invoice.paid, invoice “No 7”"


@pytest.mark.parametrize("operation", [*Operation])
def test_a_type_that_nobody_declared_reads_by_what_it_does(operation: Operation) -> None:
    said = render(entry(operation=operation), "en")
    assert "alice@acme.example" in said.lower()
    assert "invoice.paid" in said
    assert "invoice “No 7”" in said


def test_a_tenants_own_template_goes_first() -> None:
    own = {"en": "{actor} paid {resource}", "de": "{actor} zahlte {resource}"}
    assert render(entry(), "de", own) == "alice@acme.example zahlte invoice „No 7“"
    assert render(entry(), "de-CH", own) == "alice@acme.example zahlte invoice „No 7“"
    assert render(entry(), "fr", own) == "alice@acme.example paid invoice “No 7”"
    assert render(entry(), "fr", {**own, "fr": "payé par {actor}"}) == "payé par alice@acme.example"


def test_a_built_in_type_keeps_its_german_where_a_tenant_says_english_alone() -> None:
    assert render(entry(action="user.signed_in"), "de", {"en": "x"}) == "alice@acme.example hat sich angemeldet"


def test_every_placeholder_is_filled_in() -> None:
    template = " ".join(f"{{{name}}}" for name in sorted(sentences.PLACEHOLDERS))
    check(template)
    assert render(entry(), "en", {"en": template}).split(" ", 3)[:3] == ["invoice.paid", "alice@acme.example", "u-1"]
    values = (
        "{metadata.amount} {metadata.flag} {metadata.nested} {metadata.none} {changes.state.old}>{changes.state.new}"
    )
    check(values)
    assert render(entry(), "en", {"en": values}) == "12.5 true unknown unknown open>paid"


def test_what_is_missing_or_erased_has_words_of_its_own() -> None:
    erased = entry(
        actor={"type": "user", "id": "u-1", "label": ""},
        resource={"type": "invoice", "id": "7", "label": ""},
        changes=None,
        targets=[],
        description="",
    )
    own = {"en": "{actor} / {resource} / {target} / {target.label} / {description} / {fields} / {changes.state.new}"}
    assert render(erased, "en", own) == (
        "A user whose name was erased / invoice 7 / unknown / unknown / unknown / nothing / unknown"
    )
    nameless = entry(resource={"type": "trail", "id": "", "label": ""})
    assert render(nameless, "en", {"en": "{resource}"}) == "trail"
    strange = entry(actor={"type": "robot", "id": "1", "label": ""})
    assert render(strange, "de", {"de": "{actor}"}) == "Jemand"


def test_whoever_acts_under_another_name_is_named() -> None:
    by = entry(impersonator={"type": "staff", "id": "s", "label": "sam"})
    assert render(by, "en", {"en": "{actor} paid"}) == "sam acting as alice@acme.example paid"
    assert render(by, "de", {"de": "{impersonator} zahlte"}) == "sam zahlte"
    nameless = entry(impersonator={"type": "staff", "id": "s", "label": ""})
    assert render(nameless, "en", {"en": "{actor}"}) == "A member of staff acting as alice@acme.example"


def test_how_it_ended_is_told_unless_the_sentence_tells_it() -> None:
    assert render(entry(outcome="failure"), "en", {"en": "{actor} paid"}) == "alice@acme.example paid (failed)"
    assert render(entry(outcome="denied"), "de", {"de": "{actor} zahlte"}).endswith("(verweigert)")
    assert "(" not in render(entry(action="user.sign_in_failed", outcome="failure"), "en")
    assert "(" not in render(entry(action="access.denied", outcome="denied"), "en")
    assert render(entry(action="user.signed_in", outcome="failure"), "en").endswith("signed in (failed)")


@pytest.mark.parametrize(
    "template",
    [
        "",
        "   ",
        "{",
        "}",
        "{{actor}}",
        "{actor",
        "{}",
        "{0}",
        "{actor.__class__}",
        "{actor.label.upper}",
        "{actor!r}",
        "{actor:>1000000000}",
        "{actor[label]}",
        "{metadata}",
        "{metadata.a.b}",
        "{metadata.}",
        "{changes.state}",
        "{changes.state.other}",
        "{ actor}",
        "{context.ip}",
        "x" * 501,
    ],
)
def test_a_template_that_says_anything_else_is_refused(template: str) -> None:
    with pytest.raises(BadTemplate):
        check(template)


def test_a_refused_placeholder_is_named() -> None:
    with pytest.raises(BadTemplate, match=r"\{secret\}"):
        check("{actor} {secret}")


def test_what_is_filled_in_is_no_template() -> None:
    """A label is written by whoever may write events; it must not make the sentence say other fields."""
    evil = "{metadata.amount}{sentence}{label}{description}"
    said = entry(
        actor={"type": "user", "id": "u", "label": evil}, resource={"type": "x", "id": "1", "label": evil},
        impersonator={"type": "user", "id": "i", "label": "{actor}"}, outcome="failure",
    )  # fmt: skip
    made = render(said, "en", {"en": "{actor} paid {resource}"})
    assert made == f"{{actor}} acting as {evil} paid x “{evil}” (failed)"


def test_a_value_is_one_short_line() -> None:
    long = entry(metadata={"amount": "a\n\tb " + "x" * 1000})
    said = render(long, "en", {"en": "{metadata.amount}"})
    assert said.startswith("a b xx")
    assert len(said) == 200
    assert said.endswith("…")
    many = entry(changes={f"f{number}": {} for number in range(9)})
    assert render(many, "en", {"en": "{fields}"}) == "f0, f1, f2, f3, f4, …"


ANYTHING = st.text(st.sampled_from("{}.!:[]_ actormetadatalabelchangesoldnew" + string.digits), max_size=40)


@given(ANYTHING)
def test_a_template_is_refused_or_filled_in_and_nothing_breaks(template: str) -> None:
    try:
        check(template)
    except BadTemplate:
        return
    said = render(entry(), "en", {"en": template})
    assert said
    assert not set("{}") & set(said)


@given(st.text(max_size=30), st.sampled_from([*Operation]), st.sampled_from([*Outcome]))
def test_any_label_and_action_make_a_sentence(text: str, operation: str, outcome: str) -> None:
    said = render(
        entry(action=text, operation=operation, outcome=outcome, actor={"type": text, "id": text, "label": text}),
        "en",
    )
    assert said
