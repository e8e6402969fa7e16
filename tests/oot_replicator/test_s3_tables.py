"""Keys of S3 that hold test stats, and those that only look so: what passes is written into SQL."""

from __future__ import annotations

import pytest

from oot_replicator.s3.source import S3Source, source_from_environment
from oot_replicator.s3.tables import check_prefix, parse_key, quoted


@pytest.mark.parametrize(
    ("key", "table"),
    [
        ("test_run_summary/240/1", "default.test_run_summary"),
        ("failed_test_runs/19283746501/12", "default.failed_test_runs"),
        ("test_run/999999999999999999/999999999", "default.test_run_s3"),
    ],
)
def test_the_prefix_names_the_table_and_the_key_the_run(key: str, table: str) -> None:
    found = parse_key("stats", key)
    _, run, attempt = key.split("/")
    assert (found.table, found.workflow_id, found.workflow_run_attempt) == (table, int(run), int(attempt))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "test_run",
        "test_run/1",
        "test_run/1/",
        "test_run/1/1/",
        "test_run/1/1.json.gz",
        "/test_run/1/1",
        "other/test_run/1/1",
        "manifest/1/1",
        "test_run_summary2/1/1",
        "Test_run/1/1",
        "test_run/01/1",
        "test_run/0/1",
        "test_run/-1/1",
        "test_run/1/1\n",
        "test_run/1/\n1",
        "test_run/1/*",
        "test_run/{1,2}/1",
        "test_run/?/1",
        "test_run/1/1'",
        "test_run/1/1'); DROP TABLE default.test_run_s3; --",
        "test_run/1\\/1",
        "test_run/%31/1",
        "test_run/\u0661/1",
        "test_run/../1/1",
        "test_run/9999999999999999999/1",
        "test_run/1/9999999999",
    ],
    ids=ascii,
)
def test_what_is_no_such_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is not <test_run_summary"):
        parse_key("stats", key)


@pytest.mark.parametrize("bucket", ["", "a", "Stats", "sta/ts", "st ats", "stats'", "-stats", "s" * 64, "s\n", "*"])
def test_what_is_no_bucket_is_refused(bucket: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a bucket"):
        parse_key(bucket, "test_run/1/1")
    with pytest.raises(ValueError, match="is not the name of a bucket"):
        check_prefix(bucket, "test_run/")


@pytest.mark.parametrize("prefix", ["test_run/", "test_run/24", "test_run/240/", "test_run/240/1", "failed_test_runs/"])
def test_prefixes_of_such_keys(prefix: str) -> None:
    check_prefix("stats", prefix)


@pytest.mark.parametrize("prefix", ["", "/", "test", "test_run", "test_run/*", "test_run/240/1/", "manifest/", "**"])
def test_other_prefixes_are_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="with a run's id"):
        check_prefix("stats", prefix)


class TestSource:
    PLACE = ("stats/test_run/1/1", "LineAsString", "line String", "gzip")

    @pytest.mark.parametrize(
        ("kind", "name", "expected"),
        [
            ("server", "", "s3('https://s3/stats/test_run/1/1', 'LineAsString', 'line String', 'gzip')"),
            ("public", "", "s3('https://s3/stats/test_run/1/1', NOSIGN, 'LineAsString', 'line String', 'gzip')"),
            (
                "environment",
                "",
                r"s3('https://s3/stats/test_run/1/1', 'id', 'it\'s \\ secret', 'LineAsString', 'line String', 'gzip')",
            ),
            (
                "role",
                "arn:aws:iam::1:role/r",
                (
                    "s3('https://s3/stats/test_run/1/1', 'LineAsString', 'line String', 'gzip', "
                    "extra_credentials(role_arn = 'arn:aws:iam::1:role/r'))"
                ),
            ),
            (
                "collection",
                "stats_reader",
                (
                    "s3(stats_reader, url='https://s3/stats/test_run/1/1', format='LineAsString', "
                    "structure='line String', compression_method='gzip')"
                ),
            ),
        ],
        ids=lambda value: value.partition("(")[0],
    )
    def test_each_way_to_be_let_in(self, kind: str, name: str, expected: str) -> None:
        source = S3Source("https://s3", kind, name, lambda: ("id", "it's \\ secret"))
        assert source.sql(*self.PLACE) == expected

    def test_keys_are_neither_shown_nor_repeated(self) -> None:
        source = S3Source("https://s3", "environment", "", lambda: ("AKIAKIAKI", "wJalrXUtnFEMI"))
        assert "wJalr" not in repr(source)
        assert source.hidden("near 'AKIAKIAKI', 'wJalrXUtnFEMI' x") == "near '[HIDDEN]', '[HIDDEN]' x"

    @pytest.mark.parametrize(
        ("environment", "endpoint", "kind"),
        [
            ({}, "https://s3.us-east-1.amazonaws.com", "server"),
            ({"AWS_REGION": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com", "server"),
            ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9/"}, "http://127.0.0.1:9", "environment"),
            ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", "S3_CREDENTIALS": "public"}, "http://127.0.0.1:9", "public"),
            ({"S3_CREDENTIALS": "role:arn:aws:iam::1:role/r"}, "https://s3.us-east-1.amazonaws.com", "role"),
            ({"S3_CREDENTIALS": "collection:mine"}, "https://s3.us-east-1.amazonaws.com", "collection"),
        ],
        ids=str,
    )
    def test_the_environment_says_which(
        self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], endpoint: str, kind: str
    ) -> None:
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "S3_CREDENTIALS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        source = source_from_environment()
        assert (source.endpoint, source.kind) == (endpoint, kind)
        assert source.keys() == (("local", "local") if kind == "environment" else ())

    @pytest.mark.parametrize(
        "told", ["x", "role", "role:", "collection", "server:x", "collection:a b", "collection:a,b"]
    )
    def test_what_it_can_not_be_is_told(self, monkeypatch: pytest.MonkeyPatch, told: str) -> None:
        monkeypatch.setenv("S3_CREDENTIALS", told)
        with pytest.raises(ValueError, match=r"^S3_CREDENTIALS"):
            source_from_environment()


@pytest.mark.parametrize(("text", "literal"), [("a", "'a'"), ("a'b", r"'a\'b'"), ("\\", r"'\\'"), ("\\'", r"'\\\''")])
def test_literals_end_where_they_end(text: str, literal: str) -> None:
    assert quoted(text) == literal
