"""Artifacts as an attacker, or bad luck, would leave them: each with the fate that it must have.

Each is a whole artifact. `reason` is the artifact's where it holds no good report, else that of the one bad file in it,
beside which GOOD must be stored all the same.
"""

from __future__ import annotations

import io
import stat
import zipfile
from typing import NamedTuple

from tests.oot_stats.zips import (
    archive,
    end_patched,
    entry,
    many_entries,
    overlapping,
    patched,
    renamed,
    streamed,
    with_entry,
)

CASES = 3
REPORT = (
    '<testsuites><testsuite name="s"><testcase classname="C" name="a" time="0.5" file="f.py"/>'
    '<testcase classname="C" name="b" time="0.5" file="f.py"/>'
    '<testcase classname="C" name="c" time="0.5" file="f.py"/></testsuite></testsuites>'
)
ONE = '<testsuite name="s"><testcase classname="C" name="a" time="0.5" file="f.py"/></testsuite>'
GOOD = {"test/test-reports/test_good/good.xml": REPORT}
BAD = "test/test-reports/test_bad/bad.xml"


class Hostile(NamedTuple):
    """An artifact, and what must become of it."""

    data: bytes
    reason: str
    good: bool = True  # whether GOOD is in it, and stored


def xml(content: bytes | str, reason: str) -> Hostile:
    return Hostile(archive({**GOOD, BAD: content}), reason)


def named(name: str, reason: str = "unsafe_name", **told: object) -> Hostile:
    return Hostile(with_entry(GOOD, entry(name, **told), REPORT), reason)


def whole(data: bytes, reason: str) -> Hostile:
    return Hostile(data, reason, good=False)


def suite(inside: str) -> str:
    return f'<testsuite name="s">{inside}</testsuite>'


def mode(kind: int) -> dict[str, int]:
    return {"create_system": 3, "external_attr": (kind | 0o644) << 16}


def bomb(size: int) -> bytes:
    """A report that is nearly all blanks."""
    head, tail = b'<testsuite name="s"><testcase name="a"/>', b"</testsuite>"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for name, content in GOOD.items():
            made.writestr(name, content)
        with made.open(BAD, "w") as out:
            out.write(head)
            for _ in range(size // 2**20):
                out.write(b" " * 2**20)
            out.write(tail)
    return file.getvalue()


PLAIN = archive({**GOOD, BAD: REPORT})
NAME = BAD.encode()
TWIN = "test/test-reports/test_good/gooD.xml"
LAUGHS = '<!DOCTYPE lolz [<!ENTITY x0 "ha">' + "".join(
    f'<!ENTITY x{number} "{10 * f"&x{number - 1};"}">' for number in range(1, 10)
)
LAUGHS += "]><testsuite>&x9;</testsuite>"
COMMENTED = end_patched(archive({BAD: REPORT}), lambda fields: fields.__setitem__(6, 5)) + b"hello"
UTF16_CUT = '<?xml version="1.0" encoding="utf-16"?><testsuite><testcase/></testsuite>'.encode("utf-16")[:-1]

HOSTILE: dict[str, Hostile] = {
    # names
    "slip": named("../../etc/cron.d/bad.xml"),
    "slip-inside": named("a/../../bad.xml"),
    "slip-windows": named("a\\..\\..\\bad.xml"),
    "absolute": named("/etc/bad.xml"),
    "absolute-windows": named("\\windows\\bad.xml"),
    "drive": named("C:\\bad.xml"),
    "drive-slash": named("c:/bad.xml"),
    "unc": named("\\\\server\\share\\bad.xml"),
    "unc-slash": named("//server/share/bad.xml"),
    "newline-name": named("test/bad\n::error::.xml"),
    "escape-name": named("test/\x1b[31mbad.xml"),
    "nul-name": Hostile(renamed(PLAIN, NAME, NAME[:-5] + b"\0.xml"), "unsafe_name"),
    "direction-name": named("test/lmx.\u202edab.xml"),
    "long-name": named(f"{'a/' * 1500}bad.xml"),
    "empty-part": named("test//bad.xml"),
    "not-utf8-name": whole(
        patched(
            renamed(PLAIN, NAME, NAME[:-5] + b"\xff.xml"),
            NAME[:-5] + b"\xff.xml",
            local={6: b"\0\x08"},
            central={8: b"\0\x08"},
        ),
        "not_a_zip",
    ),
    # what an entry is
    "symlink": named("test/bad.xml", "not_a_file", **mode(stat.S_IFLNK)),
    "fifo": named("test/bad.xml", "not_a_file", **mode(stat.S_IFIFO)),
    "block-device": named("test/bad.xml", "not_a_file", **mode(stat.S_IFBLK)),
    "nested-zip": Hostile(archive({**GOOD, "more/reports.zip": PLAIN}), "nested_archive"),
    "zip-as-xml": xml(PLAIN, "not_xml"),
    "gzip-as-xml": xml(b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "not_xml"),
    "same-name": Hostile(renamed(archive({**GOOD, TWIN: REPORT}), b"gooD.xml", b"good.xml"), "duplicate_name"),
    "encrypted": Hostile(patched(PLAIN, NAME, local={6: b"\x01\0"}, central={8: b"\x01\0"}), "encrypted"),
    "bzip2": Hostile(patched(PLAIN, NAME, local={8: b"\x0c\0"}, central={10: b"\x0c\0"}), "unsupported_compression"),
    # sizes and sums
    "wrong-crc": Hostile(patched(PLAIN, NAME, local={14: b"\0\0\0\0"}, central={16: b"\0\0\0\0"}), "wrong_checksum"),
    "crc-only-in-directory": Hostile(patched(PLAIN, NAME, {}, central={16: b"\0\0\0\0"}), "lying_header"),
    "smaller-than-told": Hostile(
        patched(PLAIN, NAME, local={22: b"\xff\xff\0\0"}, central={24: b"\xff\xff\0\0"}), "wrong_size"
    ),
    "larger-than-told": Hostile(
        patched(PLAIN, NAME, local={22: b"\x09\0\0\0"}, central={24: b"\x09\0\0\0"}), "wrong_checksum"
    ),
    "other-local-name": Hostile(patched(PLAIN, NAME, local={30: b"T"}, central={}), "lying_header"),
    "other-local-method": Hostile(patched(PLAIN, NAME, local={8: b"\0\0"}, central={}), "lying_header"),
    "offset-elsewhere": Hostile(
        patched(PLAIN, NAME, {}, central={42: b"\x05\0\0\0"}), "overlapping_entries", good=False
    ),
    "offset-behind-the-end": Hostile(
        patched(PLAIN, NAME, {}, central={42: b"\xf0\xff\xff\x7f"}), "overlapping_entries", good=False
    ),
    "zip64-without-sizes": Hostile(patched(PLAIN, NAME, {}, central={24: b"\xff\xff\xff\xff"}), "lying_header"),
    "damaged-deflate": Hostile(
        PLAIN.replace(PLAIN[PLAIN.index(NAME) + len(NAME) :][:20], b"\xff" * 20, 1), "bad_compression"
    ),
    "bomb": Hostile(bomb(64 * 2**20), "compressed_too_well"),
    "overlapping-bomb": whole(
        overlapping(b"<testsuite/>" * 1000, [f"{n}.xml" for n in range(100)]), "overlapping_entries"
    ),
    "a-directory-of-24-mb": whole(many_entries(300_000), "too_many_entries"),
    "too-many-entries": whole(many_entries(60_000), "too_many_entries"),
    # the archive
    "no-zip": whole(b"<html>Sign in to continue</html>" * 100, "not_a_zip"),
    "nothing": whole(b"", "not_a_zip"),
    "cut-off": whole(PLAIN[: len(PLAIN) // 2], "not_a_zip"),
    "trailing": whole(PLAIN + b"x" * 10, "not_a_zip"),
    "leading": whole(b"x" * 10 + PLAIN, "not_a_zip"),
    "several-disks": whole(end_patched(PLAIN, lambda fields: fields.__setitem__(0, 1)), "not_a_zip"),
    "fewer-entries-than-told": whole(
        end_patched(PLAIN, lambda fields: fields.__setitem__(slice(2, 4), [9, 9])), "not_a_zip"
    ),
    "more-entries-than-told": whole(
        end_patched(PLAIN, lambda fields: fields.__setitem__(slice(2, 4), [1, 1])), "not_a_zip"
    ),
    "zip64-without-record": whole(
        end_patched(PLAIN, lambda fields: fields.__setitem__(slice(2, 4), [0xFFFF, 0xFFFF])), "not_a_zip"
    ),
    "empty-archive": whole(archive({}), "empty_archive"),
    # XML
    "billion-laughs": xml(LAUGHS, "doctype"),
    "external-entity": xml(
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><testsuite>&e;</testsuite>', "doctype"
    ),
    "external-dtd": xml('<!DOCTYPE testsuite SYSTEM "http://127.0.0.1:9/x.dtd"><testsuite/>', "doctype"),
    "deep": xml("<testsuite>" * 10_000 + "</testsuite>" * 10_000, "too_deep"),
    "deep-in-a-case": xml(suite(f'<testcase name="a">{"<a>" * 500}{"</a>" * 500}</testcase>'), "too_deep"),
    "giant-attribute": xml(suite(f'<testcase name="{"a" * 5_000_000}"/>'), "tag_too_large"),
    "giant-tag-name": xml(suite(f"<{'a' * 5_000_000}/>"), "tag_too_large"),
    "giant-comment": xml(suite(f"<!--{'a' * 5_000_000}-->"), "tag_too_large"),
    "many-attributes": xml(suite("<testcase " + " ".join(f'a{n}="1"' for n in range(15_000)) + "/>"), "too_many_names"),
    "many-names": xml(suite("".join(f"<a{n}/>" for n in range(15_000))), "too_many_names"),
    "many-classes": xml(
        suite("".join(f'<testcase classname="C{n}" name="a"/>' for n in range(30_000))), "too_many_groups"
    ),
    "cut-utf16": xml(UTF16_CUT, "cut_off"),
    "unknown-encoding": xml('<?xml version="1.0" encoding="rot13"?><testsuite/>', "unknown_encoding"),
    "undefined-entity": xml(suite('<testcase name="&nope;"/>'), "malformed_xml"),
    "cut-off-report": xml(REPORT[:-40], "cut_off"),
    "two-roots": xml(REPORT * 2, "malformed_xml"),
    "two-attributes": xml(suite('<testcase name="a" name="b"/>'), "malformed_xml"),
    "nested-cases": xml(suite('<testcase name="a"><testcase name="b"/></testcase>'), "nested_test_cases"),
    "empty-report": xml("", "empty_report"),
    "blank-report": xml(" \n", "empty_report"),
    "html": xml("<!doctype html><html><body>404</body></html>", "not_xml"),
    "json": xml('{"tests": 1}', "not_xml"),
}

# What looks odd and is none of these: it has to be read.
READ: dict[str, bytes] = {
    "data-descriptors": streamed({BAD: REPORT.encode()}),
    "zip64": streamed({BAD: REPORT.encode()}, zip64=True),
    "stored": archive({BAD: REPORT}, zipfile.ZIP_STORED),
    "windows-paths": with_entry({}, entry("test\\test-reports\\test_bad\\bad.xml"), REPORT),
    "comment": COMMENTED,
    # What XML forbids and producers write all the same, and what is too large to be kept whole.
    "controls": archive({BAD: REPORT.replace('name="a"', 'name="\x01a\x1b[31m&#27;&#0;"')}),
    "invalid-utf8": archive({BAD: REPORT.encode().replace(b'name="a"', b'name="\xff\xc0\xaf\xed\xa0\x80"')}),
    "blank-head": archive({BAD: f'\n\ufeff\n<?xml version="1.0"?>{REPORT}'}),
    "giant-case": archive({BAD: REPORT.replace('file="f.py"/>', f'file="f.py">{"<x/>" * 50_000}</testcase>')}),
    "giant-values": archive({BAD: REPORT.replace('name="a"', f'name="{"a" * 3_000_000}"')}),
    "byte-order-mark": archive({BAD: "\ufeff" + REPORT}),
    "utf16": archive({BAD: REPORT.encode("utf-16")}),
    "latin1": archive({BAD: f'<?xml version="1.0" encoding="iso-8859-1"?>{REPORT}'.encode("latin-1")}),
    "folders": archive({"test/": "", BAD: REPORT}),
    # Nothing is unpacked, so names need not please a file system.
    "device-names": archive(
        {"con/test_bad/NUL.xml": ONE, "test/test_bad/com1.report.xml": ONE, "aux/test_bad/a.xml": ONE}
    ),
    "names-that-differ-by-case": archive({BAD: ONE, BAD.replace("bad.xml", "BAD.xml"): ONE, BAD.upper(): ONE}),
    "names-that-differ-by-form": archive({"test_bad/e\u0301.xml": ONE, "test_bad/\xe9.xml": ONE, BAD: ONE}),
}
