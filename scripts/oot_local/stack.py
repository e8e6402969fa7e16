"""The local stack: every component of the design, real, on 127.0.0.1 and free ports, supervised until Ctrl-C.

    oot-hud up [--hud-port 8080 ...]     # stays in the foreground; `make up`
    oot-hud down                         # from elsewhere; `make down`

It always starts empty. These variables put a real service in the place of a component: AWS_ENDPOINT_URL,
CLICKHOUSE_URL, OIDC_ISSUERS, HUD_API_URL (with HUD_API_TOKEN).
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from clickhouse_connect.driver.exceptions import ClickHouseError

from hud_endpoint.clickhouse.migrations import MigrationError
from hud_endpoint.contract import RELAY_TABLE, RESULTS_TABLE
from oot_local import state
from oot_local.processes import Process, answers, reserve_port
from oot_local.state import LocalError
from oot_ops import create_tables

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

COMPONENTS = ("aws", "clickhouse", "github", "relay", "hud")
SAMPLE_REPO = "example-org/torch-sample"
_ROOT = Path(__file__).resolve().parents[2]
_GITHUB_API = "https://api.github.com"
_ALLOWLIST = f"""# The local stack's allowlist; the sample backend is at L2.
L1:
  - example-org/torch-newcomer
L2:
  - {SAMPLE_REPO}
  - example-labs/torch-falcon
  - northwind/pytorch-npu
L3:
  aurora:
    contoso/torch-aurora: [aurora-oncall]
L4:
  - fabrikam/torch-mesa: mesa-oncall, mesa-lead
"""


class Stack:
    """All components, in the order in which they depend on each other."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.folder = folder.resolve()
        self._ports = ports
        self._processes: list[Process] = []
        self.state: dict[str, Any] = {}

    def start(self) -> None:
        """Start everything and wait until it answers. Raises LocalError naming what did not."""
        logs = self.folder / "logs"
        for stale in (logs, self.folder / "clickhouse"):
            shutil.rmtree(stale, ignore_errors=True)
        logs.mkdir(parents=True, exist_ok=True)
        allowlist = self.folder / "allowlist.yaml"
        allowlist.write_text(_ALLOWLIST)
        ports = {name: reserve_port(self._ports.get(name, 0), name) for name in COMPONENTS}
        base = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        mine = os.environ
        token, signing_key = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        aws_url = mine.get("AWS_ENDPOINT_URL") or base["aws"]
        clickhouse_url = mine.get("CLICKHOUSE_URL") or base["clickhouse"]
        github_url = (mine.get("OIDC_ISSUERS") or base["github"]).split(",")[0]
        # GitHub's own runners set GITHUB_API_URL: it is asked only by those who brought their issuers along.
        api_url = base["github"] if not mine.get("OIDC_ISSUERS") else mine.get("GITHUB_API_URL") or _GITHUB_API
        hud_api_url = mine.get("HUD_API_URL") or f"{base['hud']}/api/oot/results"
        env = _child_environment(aws_url) | {
            "CLICKHOUSE_URL": clickhouse_url,
            "INTERNAL_API_TOKEN": token,
            "HUD_API_URL": hud_api_url,
            "HUD_API_TOKEN": mine.get("HUD_API_TOKEN") or token,
            "DISPATCH_TOKEN": token,
            "CALLBACK_SIGNING_KEY": signing_key,
            "ALLOWLIST": str(allowlist),
            "OIDC_ISSUERS": mine.get("OIDC_ISSUERS") or github_url,
            "GITHUB_API_URL": api_url,
            "GITHUB_TOKEN": "" if api_url == base["github"] else mine.get("GITHUB_TOKEN", ""),
            "BANNER": f"Local stack. Every backend but {SAMPLE_REPO} is made-up sample history.",
        }
        # Listed before they start, so that stop() ends whatever had started when something failed.
        stores = []
        if not mine.get("AWS_ENDPOINT_URL"):
            stores.append(self._aws(ports["aws"], logs))
        if not mine.get("CLICKHOUSE_URL"):
            argv = ["-m", "oot_local.clickhouse_server", str(self.folder / "clickhouse"), str(ports["clickhouse"])]
            stores.append(self._python("clickhouse", argv, env, partial(answers, f"{clickhouse_url}/ping")))
        servers = []
        if not mine.get("OIDC_ISSUERS"):
            argv = ["-m", "oot_ops", "github", "serve", "--port", str(ports["github"])]
            servers.append(self._python("github", argv, env, partial(answers, f"{github_url}/.well-known/jwks")))
        servers.append(self._server("relay", ports["relay"], env))
        if not mine.get("HUD_API_URL"):
            servers.append(self._server("hud", ports["hud"], env))
        self._start(*stores, *servers)
        for store in stores:
            store.wait_ready()
        _create_tables(aws_url, clickhouse_url)
        replicator = self._python("replicator", ["-m", "oot_ops", "replicate"], env, lambda: True)
        sweeper = self._python("sweeper", ["-m", "oot_ops", "sweep", "--every", "60"], env, lambda: True)
        self._start(replicator, sweeper)
        for server in servers:
            server.wait_ready()
        self.state = {
            "pid": os.getpid(),
            "relay_url": base["relay"],
            "hud_url": hud_api_url.removesuffix("/api/oot/results"),
            "clickhouse_url": clickhouse_url,
            "aws_endpoint_url": aws_url,
            "github_url": github_url,
            "github_api_url": base["github"] if api_url == base["github"] else "",
            "internal_api_token": token,
            "sample_repo": SAMPLE_REPO,
            "tables": {
                "results": RESULTS_TABLE,
                "relay": RELAY_TABLE,
                "replicator": create_tables.REPLICATOR_TABLE,
                "clickhouse": "default.oot_workflow_job",
            },
            "logs": str(logs),
            "processes": {process.name: process.pid for process in self._processes},
        }
        state.write(self.folder, self.state)

    def check(self) -> None:
        """Raise LocalError when a component has ended."""
        for process in self._processes:
            process.check()

    def stop(self) -> None:
        """End every component, the last first."""
        with ExitStack() as every:  # one that can't be ended keeps no other alive
            for process in self._processes:
                every.callback(process.stop)
        (self.folder / "stack.json").unlink(missing_ok=True)

    def process(self, name: str) -> Process:
        """Give one component's process, for tests that kill it."""
        return next(process for process in self._processes if process.name == name)

    def _start(self, *processes: Process) -> None:
        for process in processes:
            self._processes.append(process)
            process.start()

    def _aws(self, port: int, logs: Path) -> Process:
        env = _child_environment("") | {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "PERSIST_STATE": "0",
            "IOT_MTLS_ENABLED": "0",  # else it listens on all interfaces as well
            "SERVICES": "dynamodb,dynamodbstreams,s3,sqs,sts,iam,cloudformation,lambda,secretsmanager",
        }
        argv = [str(Path(sys.executable).parent / "ministack")]
        return Process(
            "aws", argv, env, logs / "aws.log", partial(answers, f"http://127.0.0.1:{port}/_ministack/health")
        )

    def _server(self, name: str, port: int, env: dict[str, str]) -> Process:
        argv = ["-m", "uvicorn", "--factory", f"hud_endpoint.app:{name}", "--host", "127.0.0.1", "--port", str(port)]
        return self._python(name, [*argv, "--no-access-log"], env, partial(answers, f"http://127.0.0.1:{port}/healthz"))

    def _python(self, name: str, argv: list[str], env: dict[str, str], ready: Callable[[], bool]) -> Process:
        return Process(name, [sys.executable, *argv], env, self.folder / "logs" / f"{name}.log", ready)

    def table(self) -> str:
        """The URLs, for people."""
        told = self.state
        rows = [
            ("pages", f"{told['hud_url']}/oot"),
            ("HUD endpoint", f"{told['hud_url']}/api/oot/results"),
            ("relay", f"{told['relay_url']}/github/callback"),
            ("GitHub (OIDC)", told["github_url"]),
            ("ClickHouse", told["clickhouse_url"]),
            ("AWS", told["aws_endpoint_url"]),
            ("logs", told["logs"]),
        ]
        return "\n".join(f"  {name:<14} {url}" for name, url in rows)


@contextmanager
def running(folder: Path, ports: dict[str, int] | None = None) -> Iterator[Stack]:
    """Hold a stack up for as long as the block runs. Raises LocalError when it can't start."""
    with state.lock(folder):
        stack = Stack(folder, ports or {})
        try:
            stack.start()
            yield stack
        finally:
            with _deaf_to_ctrl_c():
                stack.stop()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Let no second Ctrl-C leave children behind."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may say so, and gets them
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def supervise(stack: Stack) -> None:
    """Watch the stack until Ctrl-C or SIGTERM. Raises LocalError when a component ends by itself."""
    try:
        while True:
            stack.check()
            time.sleep(0.2)
    except KeyboardInterrupt:
        print("\nstopping …")


def stop_on_sigterm() -> None:
    """Let SIGTERM, which `make down` sends, end the stack as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every command starting a stack has."""
    parser.add_argument("--dir", type=Path, default=state.DEFAULT_DIR, help="state folder (default: .local)")
    for name in COMPONENTS:
        parser.add_argument(f"--{name}-port", type=int, default=0, metavar="PORT", help="default: a free one")


def chosen_ports(options: argparse.Namespace) -> dict[str, int]:
    """The ports of `add_arguments`."""
    return {name: getattr(options, f"{name}_port") for name in COMPONENTS}


def _child_environment(aws_url: str) -> dict[str, str]:
    """Our environment without a word of the user's AWS account, so that nothing real is touched by accident."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env |= {"PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'scripts'}", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    if os.environ.get("AWS_ENDPOINT_URL"):  # asked for by name: then with the user's own credentials
        return env | {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return env | {
        "AWS_ENDPOINT_URL": aws_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def aws_client_options(stack_state: dict[str, Any]) -> dict[str, Any]:
    """The arguments with which boto3.client reaches the stack's AWS from this process."""
    if os.environ.get("AWS_ENDPOINT_URL"):  # the user's own, with their credentials
        return {"region_name": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"}
    return {
        "endpoint_url": stack_state["aws_endpoint_url"],
        "region_name": "us-east-1",
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
    }


def _create_tables(aws_url: str, clickhouse_url: str) -> None:
    try:
        create_tables.create_dynamodb(boto3.client("dynamodb", **aws_client_options({"aws_endpoint_url": aws_url})))
    except (BotoCoreError, ClientError) as error:
        raise LocalError(f"AWS at {aws_url} can't be used: {error}") from None
    try:
        create_tables.create_clickhouse(clickhouse_url, "local", 100, "default")
    except (ClickHouseError, MigrationError) as error:
        raise LocalError(f"ClickHouse at {clickhouse_url} can't be used: {str(error)[:300]}") from None


def main(options: argparse.Namespace) -> int:
    """Run `oot-hud up` and return its exit code."""
    started = time.monotonic()
    stop_on_sigterm()
    try:
        with running(options.dir, chosen_ports(options)) as stack:
            seconds = time.monotonic() - started
            print(f"The local stack is up after {seconds:.1f} s; Ctrl-C stops it.\n\n{stack.table()}\n")
            supervise(stack)
    except LocalError as error:
        print(f"up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("up: stopped before it was up", file=sys.stderr)
        return 130
    return 0
