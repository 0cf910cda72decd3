"""Exports as jobs: claimed by one worker at a time, taken again after a crash, their files private and removed."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, ProgrammingError, connections
from trails import generated
from units import run
from world import World

from audit import export, exports, jobs, ledger
from audit.exports import Written
from audit.models import AuditExport, AuditLog, ExportState
from tenants import gate
from tenants.context import SYSTEM, tenant_scope

EXPORTS = "/api/v1/exports"


@pytest.fixture
def trail(world: World, files: Path) -> World:
    with world.scope("acme"):
        ledger.append(AuditLog, generated(60))
    return world


def ask(world: World, slug: str = "acme", **fields: Any) -> AuditExport:
    """Ask for an export over HTTP; return it."""
    answer = world.api(slug, key=f"{slug}.admin").post(EXPORTS, {"format": "jsonl", **fields})
    assert answer.status_code == 201, answer.content
    return read(world, answer.json()["id"], slug)


def read(world: World, key: Any, slug: str = "acme") -> AuditExport:
    with world.scope(slug):
        found: AuditExport = AuditExport.objects.get(pk=key)
        return found


def stored_files(files: Path) -> list[Path]:
    return [path for path in files.rglob("*") if path.is_file()] if files.exists() else []


def told(world: World, action: str) -> list[AuditLog]:
    with world.scope("acme"):
        return list(AuditLog.objects.filter(action=action).order_by("id"))


def past(world: World, job: AuditExport) -> None:
    """Let what is due of a job be due now."""
    world.sql(f"UPDATE {world.acme.schema_name}.audit_export SET due_at = now() - interval '1 s' WHERE id = %s", job.pk)


def test_a_job_has_the_entries_that_there_were_when_it_was_asked_for(trail: World, files: Path) -> None:
    before = trail.entries("acme")
    job = ask(trail)
    with trail.scope("acme"):
        AuditLog.log_action(None, "written", "later", "1")
    assert jobs.run_exports() == 1
    ready = read(trail, job.pk)
    (path,) = stored_files(files)
    data = path.read_bytes()
    assert ready.state == ExportState.READY
    assert len(data.splitlines()) == ready.entries == before
    assert (ready.bytes, ready.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert ready.expires_at is not None
    assert ready.due_at == ready.expires_at
    assert b"later" not in data
    assert jobs.run_exports() == 0


def test_a_job_takes_filter_form_and_compression(trail: World, files: Path) -> None:
    ask(trail, format="ocsf", compress="gzip", filter={"actor": "u-1", "action": ["invoice.*", "created"]})
    jobs.run_exports()
    lines = gzip.decompress(stored_files(files)[0].read_bytes()).splitlines()
    assert lines
    assert {json.loads(line)["actor"]["user"]["uid"] for line in lines} == {"u-1"}


def test_a_file_is_for_the_service_alone_and_its_name_says_nothing(trail: World, files: Path) -> None:
    job = ask(trail)
    jobs.run_exports()
    (path,) = stored_files(files)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert len(path.name) == 64
    assert not {"acme", str(job.pk), "jsonl"} & set(path.parts)


def test_each_step_is_an_entry(trail: World, files: Path) -> None:
    job = ask(trail, filter={"actor": "u-1"})
    jobs.run_exports()
    (asked,), (done,) = told(trail, "trail.export_requested"), told(trail, "trail.exported")
    assert (asked.actor_label, asked.resource_id) == ("acme admin", str(job.pk))
    assert asked.metadata == {"format": "jsonl", "compress": None, "filter": {"actor": ["u-1"]}}
    ready = read(trail, job.pk)
    assert (done.actor_type, done.source, done.resource_id) == ("system", "job", str(job.pk))
    said: dict[str, Any] = done.metadata or {}
    assert said["requested_by"]["label"] == "acme admin"
    assert (said["entries"], said["sha256"]) == (ready.entries, ready.sha256)


def test_only_tenants_with_something_due_are_visited(trail: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gate.due("audit_export") == []
    ask(trail)
    ask(trail, "globex")
    assert {tenant.slug for tenant in gate.due("audit_export")} == {"acme", "globex"}
    assert jobs.run_exports() == 2
    assert gate.due("audit_export") == []
    monkeypatch.setattr(jobs, "tenant_scope", lambda *_args, **_more: pytest.fail("a tenant without work was visited"))
    assert (jobs.run_exports(), jobs.expire_exports()) == (0, 0)


def test_what_is_due_first_is_kept_whatever_the_order_of_commits(trail: World) -> None:
    """Two transactions at a time: the one that commits last sees the other's job."""
    schema = trail.acme.schema_name
    insert = f"""INSERT INTO {schema}.audit_export (until, format, compress, parameters, actor_type, actor_id,
        actor_label, due_at) VALUES (gen_random_uuid(), 'csv', false, '{{}}', 'x', 'x', '', now() + %s::interval)"""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda wait: trail.sql(insert, wait), ["1 hour", "-1 hour", "2 hours", "3 hours"] * 3))
    ((first,),) = trail.sql("SELECT due_at < now() FROM shared.audit_due")
    assert first


def test_a_transaction_that_ends_later_sees_what_the_one_before_has_made_due(trail: World) -> None:
    ask(trail)
    insert = f"""INSERT INTO {trail.acme.schema_name}.audit_export (until, format, compress, parameters, actor_type,
        actor_id, actor_label, due_at)
        VALUES (gen_random_uuid(), 'csv', false, '{{}}', 'x', 'x', '', now() + %s::interval)"""
    trail.sql(f"UPDATE {trail.acme.schema_name}.audit_export SET due_at = now() + interval '5 hours'")
    with ThreadPoolExecutor(1) as pool:
        with psycopg.connect(trail.superuser, dbname=trail.database) as first:
            first.execute(insert, ["-1 hour"])
            second = pool.submit(trail.sql, insert, "2 hours")
            time.sleep(0.5)
            assert not second.done()
        second.result(timeout=10)
    assert trail.sql("SELECT due_at < now() FROM shared.audit_due") == [(True,)]


def test_nobody_but_the_gate_reads_who_has_work(world: World) -> None:
    for statement in (
        "SELECT * FROM shared.audit_due",
        "DELETE FROM shared.audit_due",
        "SELECT * FROM gate.due('audit_export')",
    ):
        with pytest.raises(ProgrammingError, match="denied"), world.scope("acme"):
            run(statement)


def test_two_workers_never_write_the_same_job(trail: World, files: Path) -> None:
    for _ in range(8):
        ask(trail, format="csv")

    def work(_number: int) -> int:
        try:
            return jobs.run_exports()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 8
    with trail.scope("acme"):
        states = list(AuditExport.objects.values_list("state", "attempts"))
    assert states == [(ExportState.READY, 1)] * 8
    assert len(stored_files(files)) == 8
    assert len(told(trail, "trail.exported")) == 8


def claimed(world: World) -> AuditExport | None:
    """Claim a job as another worker does, in a thread of its own."""
    try:
        with tenant_scope(world.acme, actor=SYSTEM):
            return exports.claim()
    finally:
        connections.close_all()


def test_a_job_that_is_just_being_claimed_is_nobody_elses(trail: World) -> None:
    first, second = ask(trail), ask(trail)
    with ThreadPoolExecutor(1) as pool:
        with tenant_scope(trail.acme, actor=SYSTEM):
            own = exports.claim()
            other = pool.submit(claimed, trail)
            # It has looked for a job by now, and waits to say which one it has.
            time.sleep(0.5)
            assert not other.done()
        found = other.result(timeout=10)
        assert pool.submit(claimed, trail).result(timeout=10) is None
    assert own is not None
    assert found is not None
    assert (own.pk, found.pk) == (first.pk, second.pk)


def killed(trail: World) -> AuditExport:
    """Claim a job, write a part of its file and be gone."""
    with tenant_scope(trail.acme, actor=SYSTEM):
        job = exports.claim()
    assert job is not None
    exports.storage().save(str(job.file), Written([b"a part"], str(job.file)))
    return job


def test_a_job_whose_worker_was_killed_is_taken_again_once_its_lease_is_over(trail: World, files: Path) -> None:
    job = ask(trail)
    lost = killed(trail)
    assert jobs.run_exports() == 0
    assert read(trail, job.pk).state == ExportState.RUNNING
    past(trail, job)
    assert jobs.run_exports() == 1
    ready = read(trail, job.pk)
    assert (ready.state, ready.attempts) == (ExportState.READY, 2)
    # What was left of the first attempt is gone.
    assert [str(path.relative_to(files)) for path in stored_files(files)] == [ready.file] != [lost.file]


def test_a_worker_that_was_taken_for_dead_changes_nothing_any_more(trail: World, files: Path) -> None:
    job = ask(trail)
    slow = killed(trail)
    past(trail, job)
    jobs.run_exports()
    ready = read(trail, job.pk)
    with tenant_scope(trail.acme, actor=SYSTEM):
        assert not exports.still_claimed(slow, 5)
        assert not exports.finish(slow, Written([], "x"), 5)
        exports.postpone(slow)
        exports.fail(slow)
    after = read(trail, job.pk)
    assert (after.state, after.entries, after.file) == (ExportState.READY, ready.entries, ready.file)
    assert len(told(trail, "trail.exported")) == 1


def test_a_worker_that_was_taken_for_dead_leaves_the_next_one_alone(trail: World, files: Path) -> None:
    job = ask(trail)
    slow = killed(trail)
    past(trail, job)
    next_one = killed(trail)
    before = read(trail, job.pk)
    with tenant_scope(trail.acme, actor=SYSTEM):
        assert not exports.still_claimed(slow, 5)
        assert not exports.finish(slow, Written([], "x"), 5)
        exports.postpone(slow)
        exports.fail(slow)
        assert exports.still_claimed(next_one, 7)
    after = read(trail, job.pk)
    assert (before.state, after.state, after.claim) == (ExportState.RUNNING, ExportState.RUNNING, next_one.claim)
    assert (after.file, after.entries) == (next_one.file, 7)
    assert told(trail, "trail.exported") == told(trail, "trail.export_failed") == []


def test_a_worker_that_lost_its_job_meanwhile_stops_and_leaves_no_file(
    trail: World, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ask(trail)
    monkeypatch.setattr(export, "_REACH", 5)
    own = exports.still_claimed
    monkeypatch.setattr(jobs, "monotonic", iter(range(0, 10_000, 100)).__next__)
    monkeypatch.setattr(exports, "still_claimed", lambda job, entries: entries < 20 and own(job, entries))
    assert jobs.run_exports() == 0
    assert stored_files(files) == []
    assert read(trail, job.pk).state == ExportState.RUNNING


def test_a_job_says_how_far_it_is_while_it_runs(trail: World, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, seen = ask(trail), list[tuple[str, int]]()
    monkeypatch.setattr(export, "_REACH", 5)
    monkeypatch.setattr(jobs, "monotonic", iter(range(0, 10_000, 100)).__next__)
    own = exports.still_claimed

    def noted(claimed: AuditExport, entries: int) -> bool:
        found = own(claimed, entries)
        now = AuditExport.objects.get(pk=job.pk)
        seen.append((now.state, now.entries))
        return found

    monkeypatch.setattr(exports, "still_claimed", noted)
    assert jobs.run_exports() == 1
    assert {state for state, _ in seen} == {"running"}
    counts = [entries for _, entries in seen]
    assert len(counts) > 2
    assert counts == sorted(set(counts))
    assert counts[0] == 5


def test_an_attempt_that_breaks_off_is_made_again_and_five_are_enough(
    trail: World, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ask(trail)

    def failing(*_anything: Any) -> Iterator[list[str]]:
        yield ["{}"]
        raise OperationalError("gone")

    monkeypatch.setattr(export, "pages", failing)
    for attempt in range(1, exports.MOST_ATTEMPTS):
        assert jobs.run_exports() == 0
        tried = read(trail, job.pk)
        assert (tried.state, tried.attempts) == (ExportState.PENDING, attempt)
        assert stored_files(files) == []
        # Not at once: whatever is wrong takes its time.
        assert gate.due("audit_export") == []
        past(trail, job)
    assert jobs.run_exports() == 0
    failed = read(trail, job.pk)
    assert (failed.state, failed.due_at, failed.file) == (ExportState.FAILED, None, None)
    (entry,) = told(trail, "trail.export_failed")
    assert entry.metadata == {"attempts": 5}


def test_a_job_whose_workers_are_all_killed_fails_in_the_end(trail: World, files: Path) -> None:
    job = ask(trail)
    for _ in range(exports.MOST_ATTEMPTS):
        killed(trail)
        past(trail, job)
    assert jobs.run_exports() == 0
    assert read(trail, job.pk).state == ExportState.FAILED
    assert stored_files(files) == []


def test_a_filter_that_this_release_does_not_read_fails_its_job_at_once(trail: World) -> None:
    job = ask(trail)
    trail.sql(f'UPDATE {trail.acme.schema_name}.audit_export SET parameters = \'{{"gone": ["x"]}}\'')
    assert jobs.run_exports() == 0
    assert read(trail, job.pk).state == ExportState.FAILED


def test_files_are_removed_when_they_expire(trail: World, files: Path) -> None:
    job = ask(trail)
    jobs.run_exports()
    assert jobs.expire_exports() == 0
    assert len(stored_files(files)) == 1
    past(trail, job)
    assert jobs.expire_exports() == 1
    expired = read(trail, job.pk)
    assert (expired.state, expired.due_at, expired.file) == (ExportState.EXPIRED, None, None)
    assert stored_files(files) == []
    assert jobs.expire_exports() == 0


def test_a_tenant_has_not_more_than_some_at_a_time(trail: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MOST_OPEN", 2)
    ask(trail)
    ask(trail)
    before = trail.entries("acme")
    answer = trail.api(key="acme.admin").post(EXPORTS, {"format": "csv"})
    assert (answer.status_code, answer.json()["code"]) == (409, "exports_busy")
    with trail.scope("acme"):
        assert AuditExport.objects.count() == 2
    assert trail.entries("acme") == before
    jobs.run_exports()
    ask(trail)


def test_a_file_made_of_parts_can_be_read_as_storages_that_upload_do() -> None:
    parts = [b"ab", b"", b"cdefg", b"h"]
    file = Written(parts, "x")
    assert [file.read(3), file.read(3), file.read(3), file.read(3)] == [b"abc", b"def", b"gh", b""]
    assert (file.size, file.sha256) == (8, hashlib.sha256(b"abcdefgh").hexdigest())
    assert Written(parts, "x").read() == b"abcdefgh"


def test_a_tenant_whose_jobs_cannot_be_done_holds_up_no_other(trail: World, files: Path) -> None:
    """What an injection as acme's role may write into its own jobs, the name of a file outside of the folder."""
    bad, good = ask(trail), ask(trail, "globex")
    outside = files.parent / "precious"
    outside.write_text("mine")
    trail.sql(f"UPDATE {trail.acme.schema_name}.audit_export SET file = '../precious', due_at = '2020-01-01'")
    assert jobs.run_exports() == 1
    assert read(trail, good.pk, "globex").state == ExportState.READY
    assert read(trail, bad.pk).state == ExportState.PENDING
    assert outside.read_text() == "mine"


def test_a_tenant_that_is_dropped_is_not_visited(trail: World) -> None:
    ask(trail, "globex")
    trail.sql("UPDATE shared.audit_due SET tenant_id = gen_random_uuid()")
    assert jobs.run_exports() == 0
