"""What each kind of issuer's claims must be, what identity they make, and what a callback may then say of itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from hud_endpoint.contract import AUDIENCE, Callback, parse
from hud_endpoint.errors import RefusedError
from hud_endpoint.events import Grant
from hud_endpoint.relay.checks import check_run
from hud_endpoint.relay.issuers import PROFILES, Pipeline, parse_issuer
from hud_endpoint.relay.oidc import Verifier
from hud_endpoint.settings import GITHUB_ISSUER, ISSUER_KINDS
from tests.hud_endpoint.relay.issuer import GITLAB, ORGANIZATION, PIPELINE, Issuer
from tests.hud_endpoint.samples import ABSENT, COMPLETED_CALLBACK, changed

if TYPE_CHECKING:
    import requests

    from hud_endpoint.relay.oidc import Identity
    from tests.hud_endpoint.web import Web

REPO = "example-org/torch-sample"
JOB = "01945ecf-80f0-41e8-9b83-a2970a9305a1"
IDS = {"buildkite": f"{ORGANIZATION}/{PIPELINE}", "gitlab": GITLAB["project_id"]}


class Relay:
    """An issuer, and a verifier that accepts it."""

    def __init__(self, web: Web, session: requests.Session, kind: str, **required: tuple[str, ...]) -> None:
        self.issuer = Issuer(web, "main", kind=kind)
        known = {(self.issuer.url, IDS.get(kind)): Pipeline(REPO, required)}
        self.verifier = Verifier([self.issuer.setting], AUDIENCE, session, lambda *asked: known.get(asked))

    def verify(self, **claims: Any) -> Identity:
        return self.verifier.verify(f"Bearer {self.issuer.sign(self.issuer.claims(**claims))}")

    def refuses(self, **claims: Any) -> RefusedError:
        with pytest.raises(RefusedError) as caught:
            self.verify(**claims)
        assert len(caught.value.message) < 400
        return caught.value


@pytest.mark.parametrize(
    ("kind", "proven"),
    [
        (
            "github",
            {
                "run_id": "240",
                "run_attempt": 1,
                "check_run_id": "987",
                "event_name": "repository_dispatch",
                "workflow_ref": f"{REPO}/.github/workflows/ci.yml@refs/heads/main",
                "ref": "refs/heads/main",
                "sha": "f" * 40,
                "reports_whole_run": False,
            },
        ),
        (
            "buildkite",
            {
                "repository_id": PIPELINE,
                "run_id": "89",
                "run_attempt": None,
                "check_run_id": JOB,
                "event_name": "schedule",
                "workflow_ref": None,
                "ref": "main",
                "sha": "c" * 40,
                "reports_whole_run": True,
            },
        ),
        (
            "gitlab",
            {
                "repository_id": "46573356",
                "run_id": "1519139981",
                "run_attempt": None,
                "check_run_id": "8222997048",
                "event_name": "schedule",
                "workflow_ref": "gitlab.com/example/sub/torch//.gitlab-ci.yml@refs/heads/main",
                "ref": "refs/heads/main",
                "sha": "d" * 40,
                "reports_whole_run": False,
            },
        ),
    ],
)
def test_a_good_token_proves_an_identity(
    web: Web, session: requests.Session, kind: str, proven: dict[str, Any]
) -> None:
    identity = asdict(Relay(web, session, kind).verify())
    assert identity == identity | proven | {"repo": REPO, "issuer": web.url}


WRONG_REPOS = [
    *("torch-sample", "/torch-sample", "example-org/", "a/b/c", ["a/b"], "../../x", "a/" + "b" * 101, "a//b"),
    *("example-org/torch-sample\n", "example-org/torch sample", "example-org /torch", "example-org\\torch-sample"),
    *("exаmple-org/torch-sample", "example-org／torch-sample", "EXAMPLE-ORG/torch-sampłe", "a/b\u200b", "a/b\x00"),  # noqa: RUF001 - look-alikes
]
NO_ID = [5, 5.0, True, "x", "-1", "1\n", " 1", "1 ", "٣", "1" * 21, "0x1", "2e3", ["1"], {}]
NO_UUID = [5, JOB.upper(), JOB[:-1], JOB + "0", JOB.replace("-", ""), JOB + "\n", f"{{{JOB}}}", [JOB]]
NO_NUMBER = ["89", 0, -1, 89.0, True, 10**18, float("inf"), [89]]
NO_NAME = ["Push", "push\n", "push,schedule", "p" * 51, 5, ["push"]]
CLAIM_TABLE: list[tuple[str, str, list[Any]]] = [
    ("github", "repository", WRONG_REPOS),
    ("github", "repository_id", NO_ID),
    ("github", "repository_owner_id", NO_ID),
    ("github", "run_id", NO_ID),
    ("github", "run_attempt", [1, True, "-1", "1.0", "1" * 7, "1 ", "٣"]),
    ("github", "event_name", NO_NAME),
    ("buildkite", "organization_id", NO_UUID),
    ("buildkite", "pipeline_id", NO_UUID),
    ("buildkite", "build_number", NO_NUMBER),
    ("buildkite", "job_id", NO_UUID),
    # A fork's pull request: Buildkite writes the stranger's name before the branch.
    ("buildkite", "build_branch", ["stranger:main", ":main", "main:", "ma in", "main\n", "b" * 256, 5, ["main"]]),
    ("buildkite", "build_source", NO_NAME),
    ("gitlab", "project_id", NO_ID),
    ("gitlab", "namespace_id", NO_ID),
    ("gitlab", "pipeline_id", NO_ID),
    ("gitlab", "job_id", NO_ID),
    ("gitlab", "pipeline_source", NO_NAME),
    (
        "gitlab",
        "ref_path",
        ["refs/merge-requests/7/head", "refs/merge-requests/7/merge", "main", "refs/heads/", "refs/heads/a b", 5],
    ),
]


@pytest.mark.parametrize(
    ("kind", "claim", "wrong"), CLAIM_TABLE, ids=lambda part: part if isinstance(part, str) else ""
)
def test_each_claim(web: Web, session: requests.Session, kind: str, claim: str, wrong: list[Any]) -> None:
    relay = Relay(web, session, kind)
    for value in [ABSENT, None, "", *wrong]:
        error = relay.refuses(**{claim: value})
        assert (error.code, error.message) == ("invalid_token", f"The token's claim {claim} is missing or malformed.")


def test_every_claim_that_is_checked_is_in_the_table() -> None:
    optional = {("github", "check_run_id")}
    rules = {(name, claim) for name, kind in PROFILES.items() for claim in kind.rules}
    assert rules == {(kind, claim) for kind, claim, _ in CLAIM_TABLE} | optional


@pytest.mark.parametrize("name", PROFILES)
def test_every_claim_that_makes_an_identity_is_checked(name: str) -> None:
    kind = PROFILES[name]
    used = {
        kind.repo,
        kind.repository_owner_id,
        *kind.pipeline,
        kind.event,
        kind.run_id,
        kind.run_attempt,
        kind.check_run_id,
        kind.repository_id,
    }
    assert used - {""} <= set(kind.rules)
    assert "sub" not in {*used, *kind.rules, kind.workflow_ref, kind.ref, kind.sha}
    assert bool(kind.repo) != bool(kind.pipeline)


@pytest.mark.parametrize(("told", "proven"), [("987", "987"), (987, "987"), (ABSENT, None), (None, None)])
def test_old_github_servers_have_no_check_run_id(
    web: Web, session: requests.Session, told: Any, proven: str | None
) -> None:
    assert Relay(web, session, "github").verify(check_run_id=told).check_run_id == proven


@pytest.mark.parametrize("told", [["987"], "", "987\n", "x", True, -1])
def test_but_one_that_is_there_is_whole(web: Web, session: requests.Session, told: Any) -> None:
    assert Relay(web, session, "github").refuses(check_run_id=told).code == "invalid_token"


STRANGERS = {
    "github": ["pull_request", "pull_request_target", "issue_comment", "merge_group", "release", "dynamic"],
    "buildkite": ["webhook", "made_up"],
    "gitlab": ["merge_request_event", "external_pull_request_event", "parent_pipeline", "external", "chat", "webide"],
}


@pytest.mark.parametrize(("kind", "event"), [(kind, event) for kind in PROFILES for event in STRANGERS[kind]])
def test_events_that_strangers_can_start_are_refused(
    web: Web, session: requests.Session, kind: str, event: str
) -> None:
    error = Relay(web, session, kind).refuses(**{PROFILES[kind].event: event})
    assert (error.code, error.status) == ("event_not_accepted", 401)
    assert f"Results from {event} runs" in error.message
    assert "schedule" in error.message


@pytest.mark.parametrize(
    ("kind", "event"), [(kind, event) for kind in PROFILES for event in sorted(PROFILES[kind].events)]
)
def test_events_of_the_repos_own_are_accepted(web: Web, session: requests.Session, kind: str, event: str) -> None:
    assert Relay(web, session, kind).verify(**{PROFILES[kind].event: event}).event_name == event


def test_what_the_runs_of_each_accepted_event_may_report() -> None:
    table = {
        name: {event: grant.name for event, grant in sorted(profile.events.items())}
        for name, profile in PROFILES.items()
    }
    assert table == {
        "github": {
            "push": "SELF_REPORTED_IF_LISTED",
            "repository_dispatch": "DISPATCHED",
            "schedule": "SELF_REPORTED",
            "workflow_dispatch": "SELF_REPORTED",
            "workflow_run": "ORIGINAL_RUN",
        },
        "buildkite": {
            "api": "DISPATCHED",
            "schedule": "SELF_REPORTED",
            "trigger_job": "DISPATCHED",
            "ui": "SELF_REPORTED",
        },
        "gitlab": {
            "api": "DISPATCHED",
            "pipeline": "DISPATCHED",
            "push": "SELF_REPORTED_IF_LISTED",
            "schedule": "SELF_REPORTED",
            "trigger": "DISPATCHED",
            "web": "SELF_REPORTED",
        },
    }


def test_a_pipelines_own_rule_may_let_another_event_in(web: Web, session: requests.Session) -> None:
    relay = Relay(web, session, "buildkite", build_source=("webhook",))
    identity = relay.verify(build_source="webhook")
    assert (identity.event_name, identity.event_listed) == ("webhook", True)
    assert identity.grant is Grant.SELF_REPORTED_IF_LISTED
    assert relay.refuses(build_source="schedule").code == "pipeline_not_allowed"
    assert relay.refuses(build_source="webhook", build_branch="stranger:main").code == "invalid_token"


@pytest.mark.parametrize(
    ("kind", "claims", "named"),
    [
        ("buildkite", {"pipeline_id": JOB}, f"{ORGANIZATION}/{JOB}"),
        ("buildkite", {"organization_id": JOB}, f"{JOB}/{PIPELINE}"),  # another organization may copy every slug
        ("buildkite", {"organization_id": PIPELINE, "pipeline_id": ORGANIZATION}, f"{PIPELINE}/{ORGANIZATION}"),
        ("gitlab", {"project_id": "1"}, "Pipeline 1 of"),  # the same path, after somebody took it over
        ("gitlab", {"project_id": "046573356"}, "046573356"),
    ],
)
def test_only_mapped_pipelines_speak_for_a_repo(
    web: Web, session: requests.Session, kind: str, claims: dict[str, Any], named: str
) -> None:
    error = Relay(web, session, kind).refuses(**claims)
    assert (error.code, error.status) == ("pipeline_not_allowed", 403)
    assert named in error.message
    assert "providers" in error.message


@pytest.mark.parametrize("kind", IDS)
def test_a_repository_claim_is_no_way_around_the_map(web: Web, session: requests.Session, kind: str) -> None:
    assert Relay(web, session, kind).verify(repository="victim/repo", repository_id="1").repo == REPO


def test_a_pipeline_of_another_instance_is_another(web: Web, session: requests.Session) -> None:
    issuer = Issuer(web, "main", kind="gitlab")
    known = {("https://gitlab.com", "46573356"): Pipeline(REPO)}
    verifier = Verifier([issuer.setting], AUDIENCE, session, lambda *asked: known.get(asked))
    with pytest.raises(RefusedError) as caught:
        verifier.verify(f"Bearer {issuer.sign()}")
    assert caught.value.code == "pipeline_not_allowed"


@pytest.mark.parametrize("branch", ["main", "nightly"])
def test_required_claims_that_are_met(web: Web, session: requests.Session, branch: str) -> None:
    relay = Relay(web, session, "buildkite", build_branch=("main", "nightly"), build_number=("89",))
    assert relay.verify(build_branch=branch).ref == branch


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *(("build_branch", value) for value in ("Main", "main2", "feature/main", "mаin")),  # noqa: RUF001 - look-alikes
        *(("build_tag", value) for value in (ABSENT, None, [], ["v1"], "v", "v1 ", "None")),
    ],
)
def test_required_claims_that_are_not(web: Web, session: requests.Session, claim: str, value: Any) -> None:
    relay = Relay(web, session, "buildkite", build_branch=("main",), build_tag=("v1",))
    error = relay.refuses(**{"build_tag": "v1", claim: value})
    assert (error.code, error.status) == ("pipeline_not_allowed", 403)
    assert f"only where {claim} is " in error.message


@pytest.mark.parametrize(
    ("told", "url", "kind"),
    [
        ("https://token.actions.githubusercontent.com", "https://token.actions.githubusercontent.com", "github"),
        ("https://agent.buildkite.com", "https://agent.buildkite.com", "buildkite"),
        ("https://gitlab.com", "https://gitlab.com", "gitlab"),
        ("https://ghes.example.org/_services/token", "https://ghes.example.org/_services/token", "github"),
        ("gitlab=https://git.example.org", "https://git.example.org", "gitlab"),
        ("github=https://gitlab.com", "https://gitlab.com", "github"),
    ],
)
def test_whose_row_an_issuer_has(told: str, url: str, kind: str) -> None:
    issuer = parse_issuer(told)
    assert (issuer.url, issuer.profile) == (url, PROFILES[kind])


def test_the_settings_name_the_profiles() -> None:
    assert tuple(PROFILES) == ISSUER_KINDS
    assert PROFILES["github"].default_url == GITHUB_ISSUER


WITHOUT_IDS = {"workflow.check_run_id": ABSENT, "workflow.run_id": ABSENT, "workflow.run_attempt": ABSENT}
SAID: list[tuple[str, dict[str, Any], str]] = [
    ("github", {"check_run_id": "987", "run_id": "240", "run_attempt": "1"}, ""),
    ("github", {"check_run_id": "240-1", "run_id": "240"}, ""),
    ("github", {"run_id": 240}, ""),
    ("github", {"check_run_id": "987", "run_id": "241"}, "run_id"),
    ("github", {"check_run_id": "987", "run_id": "240", "run_attempt": 2}, "run_attempt"),
    ("github", {"check_run_id": "988", "run_id": "240"}, "check_run_id"),
    ("github", {"check_run_id": "240-2", "run_id": "240"}, "check_run_id"),
    ("github", {"run_id": "0240"}, "run_id"),
    ("buildkite", {"run_id": 89, "run_attempt": 1}, ""),  # vLLM's client
    ("buildkite", {"check_run_id": JOB, "run_id": "89", "run_attempt": 3}, ""),  # a retry is a job of its own
    ("buildkite", {"check_run_id": JOB}, ""),
    ("buildkite", {"run_id": 90}, "run_id"),
    ("buildkite", {"check_run_id": PIPELINE, "run_id": 89}, "check_run_id"),
    ("buildkite", {"check_run_id": "90-1", "run_id": 89}, "check_run_id"),
    ("gitlab", {"check_run_id": "8222997048", "run_id": "1519139981"}, ""),
    ("gitlab", {"run_id": 1519139981}, ""),
    ("gitlab", {"check_run_id": "8222997048", "run_id": "1"}, "run_id"),
    ("gitlab", {"check_run_id": "1"}, "check_run_id"),
]


@pytest.mark.parametrize(("kind", "said", "wrong"), SAID)
def test_a_callback_speaks_for_its_tokens_run(
    web: Web, session: requests.Session, kind: str, said: dict[str, Any], wrong: str
) -> None:
    changes = WITHOUT_IDS | {f"workflow.{name}": value for name, value in said.items()}
    callback = parse(Callback, orjson.dumps(changed(COMPLETED_CALLBACK, changes)))
    identity = Relay(web, session, kind).verify()
    if not wrong:
        check_run(identity, callback)
        return
    with pytest.raises(RefusedError, match=f"workflow.{wrong} is ") as caught:
        check_run(identity, callback)
    assert caught.value.code == "run_mismatch"


def test_one_token_reports_for_all_jobs_of_a_buildkite_build(web: Web, session: requests.Session) -> None:
    identity = Relay(web, session, "buildkite").verify()
    assert identity.binding("job a") == identity.binding("job a") != identity.binding("job b")


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_elsewhere_a_token_is_for_one_job(web: Web, session: requests.Session, kind: str) -> None:
    identity = Relay(web, session, kind).verify()
    assert identity.binding("job a") == identity.binding("job b") == identity.token_id
