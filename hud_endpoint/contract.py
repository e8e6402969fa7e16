"""The wire models of every hop and their caps: the one place that knows the formats.

`Callback` is what a downstream job posts to the relay (design 4.1, RFC-0054 hop 1); `RelayPayload` is what the relay
posts to HUD (design 4.2, RFC-0054 hop 2). Both ignore fields they do not know and refuse values of the wrong type or
out of range. Sizes are UTF-8 bytes. `docs/schema/` holds their JSON Schemas, `wire_types.py` their fields' types.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, Self, TypeVar

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic reads its annotations on every Python

from hud_endpoint.errors import RefusedError
from hud_endpoint.wire_types import (
    Attempt,
    Conclusion,
    Count,
    Environment,
    Id,
    Label,
    Level,
    Name,
    OptionalConclusion,
    OptionalTime,
    OptionalUrl,
    Origin,
    Repo,
    Seconds,
    Status,
    Text,
    check_name,
    cut,
    drop_nothing,
    to_count,
    to_id,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

RESULTS_TABLE = "torchci-oot-workflow-job"
RELAY_TABLE = "torchci-oot-relay"
AUDIENCE = "pytorch-cross-repo-ci-relay"

HUD_BODY_BYTES = 2 * 1024 * 1024
RELAY_BODY_BYTES = HUD_BODY_BYTES - 64 * 1024  # the relay's envelope must still fit into HUD's cap
KEY_BYTES = 2048  # DynamoDB's limit for a partition key
MESSAGE_BYTES = 1024
STACKTRACE_BYTES = 4096
MAX_FAILED_TESTS = 1000
NO_NAME = "(no name)"  # of a failed test: a result is not lost for one

M = TypeVar("M", bound=BaseModel)


class _Wire(BaseModel):
    """Unknown fields are never an error and never stored; values never change once validated."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class _Lenient(_Wire):
    """A null, or an empty text, is the same as nothing."""

    _without_nothing = model_validator(mode="before")(drop_nothing)


class Head(_Lenient):
    """The head commit of the upstream pull request."""

    sha: Id | None = None


class PullRequest(_Wire):
    """The upstream pull request under test."""

    number: Annotated[int, Field(ge=1, le=2**53), BeforeValidator(to_count)]
    head: Head | None = None


class Repository(_Lenient):
    """The upstream repository."""

    full_name: Repo = "pytorch/pytorch"


class Upstream(_Lenient):
    """The part of the upstream's webhook payload that a dispatch carries (`client_payload.payload`)."""

    pull_request: PullRequest | None = None
    repository: Repository | None = None
    head_sha: Id | None = None
    after: Id | None = None


class TestResults(_Wire):
    """Counts of a job's tests; `failed` includes errors, `total` is their sum when absent."""

    __test__ = False  # not a pytest class

    passed: Count | None = None
    failed: Count | None = None
    skipped: Count | None = None
    total: Count | None = None
    errors: Count | None = None
    flaky: Count | None = None
    duration_seconds: Seconds | None = None


class FailedTest(TypedDict):
    """One failed test, names within their cap; `capped` cuts its texts. Plain data: a callback may hold thousands."""

    name: Annotated[str, AfterValidator(check_name), Field(default=NO_NAME)]
    classname: Label
    file: Label
    status: Annotated[Literal["failure", "error"], Field(default="failure")]
    message: Text
    stacktrace: Text
    duration_seconds: NotRequired[Seconds]


LenientFailedTest = Annotated[FailedTest, BeforeValidator(drop_nothing)]


def capped(test: FailedTest) -> FailedTest:
    """Cut message and stacktrace to their caps; gives the same object where nothing is cut."""
    message, stacktrace = test["message"], test["stacktrace"]
    if len(message) <= MESSAGE_BYTES // 4 and len(stacktrace) <= STACKTRACE_BYTES // 4:
        return test
    cut_message, cut_stacktrace = cut(message, MESSAGE_BYTES), cut(stacktrace, STACKTRACE_BYTES)
    if cut_message == message and cut_stacktrace == stacktrace:
        return test
    return {**test, "message": cut_message, "stacktrace": cut_stacktrace}


class Workflow(_Lenient):
    """What the downstream job says of itself."""

    schema_version: Annotated[Literal["1"], BeforeValidator(to_id, json_schema_input_type=Literal["1", 1])] = "1"
    status: Status
    conclusion: OptionalConclusion = None
    name: Name
    url: OptionalUrl = None
    job_name: Name = "default"
    check_run_id: Id | None = None
    run_id: Id | None = None
    run_attempt: Attempt = 1
    started_at: OptionalTime = None
    completed_at: OptionalTime = None
    test_results: TestResults | None = None
    artifact_url: OptionalUrl = None
    # To list a million wrong entries would take a gigabyte: `lenient` looks at them one by one.
    failed_tests: Annotated[list[LenientFailedTest], FailFast()] = Field(default_factory=list)
    environment: Environment = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.status == "completed" and self.conclusion is None:
            raise ValueError("a completed callback needs a conclusion, such as success or failure")
        if self.check_run_id is None and self.run_id is None:
            raise ValueError("check_run_id or run_id is needed to tell one job from another")
        return self

    @property
    def job_id(self) -> str:
        """This execution of the job: `check_run_id`, else `{run_id}-{run_attempt}` as CRCR's client has it."""
        return self.check_run_id or f"{self.run_id}-{self.run_attempt}"


class Callback(_Lenient):
    """Hop 1: what a downstream job posts to the relay."""

    event_type: Name = "pull_request"
    delivery_id: Id
    payload: Upstream = Field(default_factory=Upstream)
    callback_token: Annotated[str, Field(max_length=4096)] | None = None
    workflow: Workflow

    @property
    def upstream_sha(self) -> str:
        """The upstream commit: head.sha, else head_sha, else after, else the delivery id (nightlies)."""
        pull_request = self.payload.pull_request
        head = pull_request.head if pull_request else None
        return (head.sha if head else None) or self.payload.head_sha or self.payload.after or self.delivery_id


class Dispatch(_Wire):
    """What the upstream's webhook registers before it sends a dispatch (`POST /internal/dispatch`)."""

    repo: Repo
    delivery_id: Id
    event_type: Name = "pull_request"
    pr_number: Annotated[int, Field(ge=0, le=2**53), BeforeValidator(to_count)] = 0
    sha: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{40}$")]
    upstream_repo: Repo = "pytorch/pytorch"


class CiMetrics(_Wire):
    """Seconds that the relay measured itself; null where meaningless."""

    queue_time: Seconds | None = None
    execution_time: Seconds | None = None


class Trusted(_Wire):
    """What the relay vouches for."""

    verified_repo: Repo
    downstream_repo_level: Level | None = None
    ci_metrics: CiMetrics = Field(default_factory=CiMetrics)
    received_at: OptionalTime = None
    dispatch_verified: bool | None = None  # the upstream asked for it: we have the dispatch's record
    commit_verified: bool | None = None  # the upstream has the commit; null where that was not asked
    origin: Origin = "job"
    repository_id: Id | None = (
        None  # github.com's number, `host:number` of another server, null for pipelines elsewhere
    )
    workflow_ref: str | None = None
    event_name: str | None = None
    ref: str | None = None
    sha: str | None = None


class Untrusted(_Wire):
    """What the downstream says, passed on as it came."""

    callback_payload: Callback


class RelayPayload(_Wire):
    """Hop 2: what the relay posts to HUD."""

    trusted: Trusted
    untrusted: Untrusted


class RefusedCompletion(_Wire):
    """A completion that the relay refused, because another one of the same job had been accepted before."""

    dynamo_key: Annotated[str, Field(alias="dynamoKey", min_length=1, max_length=KEY_BYTES)]
    conclusion: Conclusion
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ConflictNote(_Wire):
    """Hop 2 as well: what the relay posts to HUD of a second result for a job.

    It has no `untrusted`, so that no HUD stores it as a result.
    """

    trusted: Trusted
    conflict: RefusedCompletion

    @model_validator(mode="after")
    def _check_repo(self) -> Self:
        if not self.conflict.dynamo_key.startswith(f"{self.trusted.verified_repo}/"):
            raise ValueError("conflict.dynamoKey is not one of trusted.verified_repo's")
        return self


def dynamo_key(verified_repo: str, callback: Callback) -> str:
    """Give the identity of one job's execution, `{repo}/{delivery_id}/{workflow}/{job}/{check_run_id}`.

    `verified_repo` holds exactly one `/`, so nobody reaches another repo's keys.

    Raises RefusedError `key_too_long` above DynamoDB's 2,048 bytes.
    """
    workflow = callback.workflow
    key = f"{verified_repo}/{callback.delivery_id}/{workflow.name}/{workflow.job_name}/{workflow.job_id}"
    if len(key.encode()) > KEY_BYTES:
        raise RefusedError(
            "key_too_long",
            f"The job's key has {len(key.encode())} bytes and may have {KEY_BYTES}: "
            "shorten the workflow name or the job-name input.",
        )
    return key


def parse(model: type[M], body: bytes) -> M:
    """Validate a request body.

    Raises RefusedError `invalid_json` where it is not JSON in UTF-8, and `invalid_callback` naming each wrong field.
    """
    # In two steps: validators in Python see Python's values anyhow, which are cheaper to make all at once.
    return validate(model, load_json(body))


def load_json(body: bytes) -> object:
    """Parse a body. Raises RefusedError `invalid_json` where it is not JSON in UTF-8."""
    try:
        data: object = from_json(body)
    except ValueError as error:
        return load_odd_json(body, error)
    return data


def load_odd_json(body: bytes, cause: ValueError) -> object:
    """Parse JSON that strict readers refuse: with a byte order mark, NaN, or half a surrogate pair.

    What JSON can't hold becomes null, half a character a replacement. Raises RefusedError `invalid_json`, with the
    strict reader's `cause`.
    """
    try:
        return _plain(json.loads(body.decode("utf-8-sig"), parse_constant=lambda _: None))
    except (ValueError, RecursionError):
        raise invalid_json(cause) from None


def load_passable_json(body: bytes) -> object:
    """Parse a body into what can be passed on as JSON again. Raises RefusedError `invalid_json`."""
    try:
        data: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return load_odd_json(body, error)
    return data


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {_plain(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and value.bit_length() > 63:
        return None
    return value


def invalid_json(error: ValueError) -> RefusedError:
    """Return the refusal of a body that is not JSON."""
    return RefusedError("invalid_json", f"The body is not JSON ({cut(str(error), 200)}): send one object, UTF-8.")


def validate(model: type[M], data: object) -> M:
    """Validate parsed JSON. Raises RefusedError `invalid_callback` naming each wrong field."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise invalid_callback(error.errors(include_url=False, include_input=False)) from None


def invalid_callback(problems: list[ErrorDetails]) -> RefusedError:
    """Return the refusal that names what is wrong."""
    return RefusedError("invalid_callback", f"The callback was refused: {_explain(problems)}")


def _explain(problems: list[ErrorDetails]) -> str:
    named = [
        f"{cut('.'.join(map(str, problem['loc'])) or 'body', 64)}: {problem_text(problem)}" for problem in problems[:3]
    ]
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return "; ".join(named) + more + "."


def problem_text(problem: ErrorDetails) -> str:
    """Return what is wrong with a field, in words that are no Python's."""
    if problem["type"] in ("model_type", "dict_type"):  # pydantic speaks of Python's types, and of our classes
        return "Input should be an object"
    return cut(problem["msg"].removeprefix("Value error, "), 200)
