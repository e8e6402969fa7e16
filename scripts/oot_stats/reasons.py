"""Why an artifact or a file in it is not among the rows: a stable code each, for the manifest and docs/errors.md."""

from __future__ import annotations

REASONS: dict[str, str] = {
    # which artifacts a run's stats are made of
    "not_reports": "the artifact holds no test reports by its name",
    "other_attempt": "it belongs to another attempt of the run",
    "superseded": "its job ran again in the asked attempt",
    "unknown_attempt": "nothing tells which attempt it belongs to",
    "same_in_both": "the same artifact was read from the other source",
    "too_many_artifacts": "the run has more artifacts than are read",
    # how it is fetched
    "gone": "the source has it no longer",
    "download_failed": "the source did not hand it over",
    "wrong_digest": "what arrived is not what the source announced",
    "bad_redirect": "the source pointed to an address that is not fetched",
    "artifact_too_large": "the archive is larger than allowed",
    "run_too_large": "the archives of the run are together larger than allowed",
    # the archive
    "not_a_zip": "it is no zip archive, or a damaged one",
    "too_many_entries": "the archive has more entries than allowed",
    "overlapping_entries": "entries of the archive share bytes",
    "archive_too_large": "the files of the archive are together larger than allowed",
    "empty_archive": "the archive has no entry",
    "no_reports": "no file of the archive is a report",
    "no_file_stored": "no report of the archive could be stored",
    # a file in it
    "unsafe_name": "its path leads out of the archive, or is none that can be shown",
    "duplicate_name": "an earlier entry has the same path",
    "not_a_file": "it is a link or a device",
    "nested_archive": "it is an archive in the archive",
    "earlier_attempt": "it is of an attempt before the last one, by its name",
    "encrypted": "it is encrypted",
    "unsupported_compression": "it is neither stored nor deflated",
    "lying_header": "the archive's directory and the file's own header disagree",
    "wrong_size": "it is not as long as the archive says",
    "wrong_checksum": "its checksum is not the one in the archive",
    "bad_compression": "its compressed data is damaged",
    "compressed_too_well": "it is compressed so well that it must be a bomb",
    "file_too_large": "it is larger than allowed",
    # a report
    "empty_report": "it has no content",
    "not_xml": "it is not XML",
    "malformed_xml": "it is not well-formed XML",
    "cut_off": "it ends too early",
    "unknown_encoding": "its encoding is not read here, or its bytes are not in that encoding",
    "doctype": "it has a DOCTYPE, which reports don't need and entity bombs do",
    "too_deep": "its elements are nested deeper than allowed",
    "tag_too_large": "one of its tags or comments is larger than allowed",
    "too_many_names": "it has more different element and attribute names than any report",
    "too_many_groups": "the job has more test classes and files than allowed",
    "nested_test_cases": "a test case is inside another",
    "no_test_cases": "it is XML without a test case",
    # the process that reads it
    "crashed": "the process that read it died",
    "too_slow": "reading it took longer than allowed",
    "out_of_memory": "reading it took more memory than allowed",
}


class RejectedError(Exception):
    """Something that is left out. `code` is one of REASONS; `detail` is a sentence on what is wrong with this one."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        assert code in REASONS, code  # noqa: S101 - a misspelt code is ours to mend, and a test would find it
        self.code = code
        self.detail = detail
