"""The way to S3: the archive, the manifest in or beside it, and what people open in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oot_runner.upload import install_boto3, manifest, pages, role
from oot_runner.upload.archive import Archive, Read
from oot_runner.upload.messages import UploadError
from oot_runner.upload.s3 import DEFAULT_REGION, Bucket, Store

if TYPE_CHECKING:
    from oot_runner.upload.plan import Plan
    from oot_runner.upload.story import Story
    from oot_runner.workflow_commands import Runner

OPENED = ("logs", "debug")  # kinds whose files people read one by one
OPENED_FILES = 500
_JSON = "application/json; charset=utf-8"


def upload(plan: Plan, environ: dict[str, str], runner: Runner, story: Story) -> Read:
    """Upload; raises UploadError while nothing is stored, and tells the story of whatever fails after that."""
    settings, place = plan.settings, plan.place
    boto3 = install_boto3.load(plan.temp, runner.say)
    bucket = Bucket(
        settings.s3_bucket, settings.s3_region or DEFAULT_REGION, settings.s3_endpoint_url, settings.public_base_url
    )
    prefix = settings.s3_prefix or f"{place.repository}/{place.run_id}/{place.run_attempt}/artifact"
    credentials = None
    if settings.role_to_assume:
        credentials = role.assume(
            boto3,
            settings.role_to_assume,
            environ,
            session=role.session_name(place.repository, place.run_id, place.run_attempt),
            region=bucket.region,
            policy=role.session_policy(settings.role_to_assume, bucket.name, prefix),
            say=runner.say,
            mask=runner.mask,
        )
    store = Store(boto3, bucket, credentials, runner.say)
    base = f"{prefix}/{plan.name}"
    read = Read(plan.skipped)

    def last() -> tuple[str, bytes] | None:
        return None if plan.is_manifest_beside else (manifest.MEMBER, plan.manifest(read))

    runner.say(f"Uploading {len(plan.entries):,} files, {plan.size:,} bytes, to s3://{bucket.name}/{base}.zip …")
    archive = Archive(plan.entries, read, settings.compression_level, last)
    store.put_archive(f"{base}.zip", archive, plan.size)
    story.outcome, story.destination = "uploaded", "s3"
    story.archive_bytes, story.sha256 = archive.size, archive.sha256
    story.url = store.url(f"{base}.zip")
    story.manifest = plan.save_manifest(read)
    if plan.is_manifest_beside:
        why = _put(store, f"{base}.manifest.json", plan.manifest(read), _JSON)
        if why:
            story.tell("manifest_failed", why=why)
    else:
        _to_be_read(store, base, plan, read, story)
    return read


def _to_be_read(store: Store, base: str, plan: Plan, read: Read, story: Story) -> None:
    opened: set[str] = set()
    if plan.settings.kind in OPENED:
        stored = {file.path for file in read.stored}
        wanted = [entry for entry in plan.entries if entry.name in stored]
        opened, why = store.put_files(base, wanted[:OPENED_FILES], plan.settings.compression_level)
        if len(opened) < len(wanted):
            told = why or f"No more than {OPENED_FILES} files are stored so."
            story.tell("objects_missing", count=len(wanted) - len(opened), why=told)
    size = (story.archive_bytes, story.sha256)
    page = pages.index(plan.place, plan.settings.kind, plan.name, size, read.stored, read.skipped, opened)
    why = _put(store, f"{base}.html", page, pages.PAGE_TYPE)
    if why:
        story.tell("objects_missing", count=len(read.stored), why=why)
    else:
        story.url = store.url(f"{base}.html")


def _put(store: Store, key: str, data: bytes, content_type: str) -> str:
    try:
        store.put(key, data, content_type)
    except UploadError as error:
        return str(error.message.facts.get("why", error.message.code))
    return ""
