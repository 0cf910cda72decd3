"""Many-to-many links, from both sides: case 19. Each link is an entry of the near side, and names the far one."""

from __future__ import annotations

from typing import Any

import pytest
from django.forms import inlineformset_factory
from hostapp.models import Employment, Event, Member, Odd, Organization, Tag, Ticket
from seen import Told, Trail, done, session
from world import World

from audit.models import AuditLog

Ends = list[tuple[str, str, str, dict[str, Any], list[tuple[str, str]]]]


@pytest.fixture
def orgs(world: World) -> list[Organization]:
    """Three organizations."""
    with world.scope("acme"):
        return [Organization.objects.create(name=name, slug=name) for name in ("north", "south", "east")]


@pytest.fixture
def tags(world: World) -> list[Tag]:
    """Three tags."""
    with world.scope("acme"):
        return [Tag.objects.create(name=name) for name in ("red", "blue", "green")]


@pytest.fixture
def members(world: World) -> list[Member]:
    """Three members."""
    with world.scope("acme"):
        return [Member.objects.create(code=f"m_{number}", name=f"M {number}") for number in range(3)]


def ends(entries: list[Told]) -> Ends:
    return sorted(
        (
            (entry.action, entry.type, entry.id, entry.changes, [(far["type"], far["id"]) for far in entry.targets])
            for entry in entries
        ),
        key=repr,
    )


def tagged(action: str, org: Organization, *tags: Tag) -> Ends:
    side = "new" if action == "linked" else "old"
    return [(action, "organization", str(org.pk), {"tags": {side: tag.pk}}, [("tag", str(tag.pk))]) for tag in tags]


def test_links_that_are_added_and_removed_are_exactly_those_that_changed(
    world: World, orgs: list[Organization], tags: list[Tag]
) -> None:
    north = orgs[0]
    assert ends(done(world, lambda: north.tags.add(*tags[:2]))) == tagged("linked", north, *tags[:2])
    assert ends(done(world, lambda: north.tags.add(*tags))) == tagged("linked", north, tags[2])
    assert ends(done(world, lambda: north.tags.remove(tags[0]))) == tagged("unlinked", north, tags[0])
    assert done(world, lambda: north.tags.remove(tags[0])) == []


def test_the_other_side_tells_the_same(world: World, orgs: list[Organization], tags: list[Tag]) -> None:
    north, south = orgs[:2]
    red = tags[0]
    told = ends(done(world, lambda: red.organizations.add(north, south)))
    assert told == sorted([*tagged("linked", north, red), *tagged("linked", south, red)], key=repr)
    assert ends(done(world, lambda: red.organizations.remove(north))) == tagged("unlinked", north, red)


def test_a_set_tells_what_it_took_away_and_what_it_added(
    world: World, orgs: list[Organization], tags: list[Tag]
) -> None:
    north, (red, blue, green) = orgs[0], tags
    with world.scope("acme"):
        north.tags.set([red, blue])
    told = ends(done(world, lambda: north.tags.set([blue, green])))
    assert told == [*tagged("linked", north, green), *tagged("unlinked", north, red)]
    assert done(world, lambda: north.tags.set([green, blue])) == []


def test_a_clear_tells_the_links_of_its_own_row_alone(world: World, orgs: list[Organization], tags: list[Tag]) -> None:
    north, south = orgs[:2]
    red, blue, _green = tags
    with world.scope("acme"):
        north.tags.set([red])
        south.tags.set([red, blue])
    assert ends(done(world, north.tags.clear)) == tagged("unlinked", north, red)
    assert ends(done(world, red.organizations.clear)) == tagged("unlinked", south, red)
    assert done(world, north.tags.clear) == []


def test_an_object_made_through_its_relation_is_told_with_its_link(world: World, orgs: list[Organization]) -> None:
    made, link = done(world, lambda: orgs[0].tags.create(name="new"))
    assert made.says == ("created", "tag", {"name": {"new": "new"}})
    assert ends([link]) == tagged("linked", orgs[0], Tag(pk=int(made.id)))
    assert link.operation == "update"


def test_a_link_stands_in_the_history_of_its_near_side(world: World, orgs: list[Organization], tags: list[Tag]) -> None:
    done(world, lambda: orgs[0].tags.add(tags[0]))
    with world.scope("acme"):
        history = AuditLog.get_resource_history("organization", orgs[0].pk)
        assert [entry.action for entry in history] == ["linked", "created"]
        assert [entry.action for entry in AuditLog.get_resource_history("tag", tags[0].pk)] == ["created"]


def test_a_symmetrical_link_to_its_own_kind_is_told_in_both_histories(world: World, orgs: list[Organization]) -> None:
    north, south, _east = orgs

    def both(action: str) -> Ends:
        side = "new" if action == "linked" else "old"
        pairs = ((north, south), (south, north))
        return sorted(
            (
                (action, "organization", str(a.pk), {"partners": {side: str(b.pk)}}, [("organization", str(b.pk))])
                for a, b in pairs
            ),
            key=repr,
        )

    assert ends(done(world, lambda: north.partners.add(south))) == both("linked")
    assert ends(done(world, lambda: south.partners.remove(north))) == both("unlinked")


def test_a_one_way_link_to_its_own_kind_is_told_of_the_one_that_has_it(world: World, members: list[Member]) -> None:
    one, two, _three = members
    expected: Ends = [("linked", "member", "m_0", {"mentors": {"new": "m_1"}}, [("member", "m_1")])]
    assert ends(done(world, lambda: one.mentors.add(two))) == expected
    gone: Ends = [("unlinked", "member", "m_0", {"mentors": {"old": "m_1"}}, [("member", "m_1")])]
    assert ends(done(world, lambda: two.pupils.remove(one))) == gone


def test_a_link_with_a_field_of_its_own_tells_it_and_its_changes(
    world: World, orgs: list[Organization], members: list[Member]
) -> None:
    north, mia = orgs[0], members[0]
    near, far = ("organization", str(north.pk)), [("member", "m_0")]
    made = done(world, lambda: north.members.add(mia, through_defaults={"title": "boss"}))
    assert ends(made) == [("linked", *near, {"members": {"new": "m_0"}, "title": {"new": "boss"}}, far)]
    changed = done(world, lambda: Employment.objects.update(title="chief"))
    assert ends(changed) == [("updated", *near, {"title": {"old": "boss", "new": "chief"}}, far)]
    job = Employment.objects
    gone = done(world, lambda: job.all().delete())
    assert ends(gone) == [("unlinked", *near, {"members": {"old": "m_0"}, "title": {"old": "chief"}}, far)]


def test_a_link_that_goes_to_another_far_side_says_both(
    world: World, orgs: list[Organization], members: list[Member]
) -> None:
    with world.scope("acme"):
        job = Employment.objects.create(organization=orgs[0], member=members[0], title="boss")
    job.member = members[1]
    changed = done(world, job.save)
    near = ("organization", str(orgs[0].pk))
    assert ends(changed) == [("updated", *near, {"members": {"old": "m_0", "new": "m_1"}}, [("member", "m_1")])]


def test_a_link_that_goes_to_another_near_side_names_the_former_one(
    world: World, orgs: list[Organization], tags: list[Tag]
) -> None:
    north, south, _east = orgs
    with world.scope("acme"):
        north.tags.add(tags[0])
    trail = Trail(world)
    with session(world, "tenant") as psql:
        psql.execute("UPDATE hostapp_organization_tags SET organization_id = %s", [south.pk])
    told: Ends = [
        (
            "updated",
            "organization",
            str(south.pk),
            {"organization": {"old": str(north.pk), "new": str(south.pk)}},
            [("tag", str(tags[0].pk)), ("organization", str(north.pk))],
        )
    ]
    assert ends(trail.told()) == told


def test_a_link_that_is_a_resource_of_its_own_is_told_once_as_that(world: World, members: list[Member]) -> None:
    with world.scope("acme"):
        ball = Event.objects.create(name="Ball")
    (sold,) = done(world, lambda: ball.guests.add(members[0], through_defaults={"price": "9.50"}))
    key = sold.id
    assert sold.says == (
        "ticket.sold",
        "ticket",
        {"event": {"new": ball.pk}, "member": {"new": "m_0"}, "price": {"new": "9.50"}},
    )
    assert sold.targets is None
    (changed,) = done(world, lambda: Ticket.objects.update(price="8"))
    assert (changed.id, changed.says) == (key, ("updated", "ticket", {"price": {"old": "9.50", "new": "8.00"}}))
    (gone,) = done(world, ball.guests.clear)
    assert (gone.id, gone.action) == (key, "deleted")


def test_links_through_a_table_of_another_name_are_told(world: World) -> None:
    def work() -> None:
        one, two = Odd.objects.create(name="one"), Odd.objects.create(name="two")
        one.peers.add(two)

    one, two, link = done(world, work)
    assert ends([link]) == [("linked", "odd", one.id, {"peers": {"new": int(two.id)}}, [("odd", two.id)])]


def test_links_come_in_bulk_as_well(world: World, orgs: list[Organization]) -> None:
    through: Any = Organization.tags.through
    with world.scope("acme"):
        many = Tag.objects.bulk_create(Tag(name=f"t {number}") for number in range(200))
    links = [through(organization=org, tag=tag) for org in orgs for tag in many]
    told = ends(done(world, lambda: through.objects.bulk_create(links)))
    assert told == sorted((entry for org in orgs for entry in tagged("linked", org, *many)), key=repr)


def test_a_formset_such_as_the_admins_inlines_tells_the_links_that_were_changed(
    world: World, orgs: list[Organization], members: list[Member]
) -> None:
    north = orgs[0]
    with world.scope("acme"):
        jobs = [Employment.objects.create(organization=north, member=member, title="x") for member in members]
    formset: Any = inlineformset_factory(Organization, Employment, fields=["member", "title"], extra=0)
    form = {"employment_set-TOTAL_FORMS": "3", "employment_set-INITIAL_FORMS": "3"}
    for number, (job, title, gone) in enumerate(zip(jobs, ("x", "y", "x"), ("", "", "on"), strict=True)):
        prefix = f"employment_set-{number}-"
        form |= {f"{prefix}id": str(job.pk), f"{prefix}member": job.member_id, f"{prefix}title": title}
        form |= {f"{prefix}organization": str(north.pk), f"{prefix}DELETE": gone}

    def save() -> None:
        sent = formset(form, instance=north)
        assert sent.is_valid(), sent.errors
        sent.save()

    near = ("organization", str(north.pk))
    assert ends(done(world, save)) == [
        ("unlinked", *near, {"members": {"old": "m_2"}, "title": {"old": "x"}}, [("member", "m_2")]),
        ("updated", *near, {"title": {"old": "x", "new": "y"}}, [("member", "m_1")]),
    ]
