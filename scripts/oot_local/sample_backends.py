"""The made-up backends of the sample history, their jobs, and how their tests fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Test:
    """A test, and how it fails."""

    file: str
    classname: str
    name: str
    ending: str  # one of _ENDS


@dataclass(frozen=True)
class Backend:
    """A made-up backend: its jobs, how often they succeed or time out, and what it runs on.

    Two legs of its matrix share the job name `shared`, so that some of these jobs get two results.
    """

    repo: str
    repository_id: str
    level: str
    good: float
    late: float
    jobs: tuple[str, ...]
    device: str
    sdk: str
    weak: tuple[Test, ...] = ()
    broken_since: timedelta | None = None  # from then on, its last job always fails on its first weak test
    silent_since: timedelta = field(default=timedelta())
    known_for: timedelta = timedelta.max
    former_name: str = ""
    renamed: timedelta = timedelta.max  # ago
    shared: str = ""
    nightly: bool = False
    minutes: float = 25


MATMUL = Test("test/test_ops.py", "TestCommonPRIVATEUSE1", "test_noncontiguous_samples_matmul_float32", "not close")
SDPA = Test("test/test_transformers.py", "TestSDPA", "test_scaled_dot_product_attention_bf16", "not close")
RESNET = Test("test/inductor/test_torchinductor.py", "GPUTests", "test_compile_resnet18", "compile")
REDUCE = Test("test/distributed/test_c10d_common.py", "ProcessGroupTest", "test_allreduce_coalesced", "timeout")
RNG = Test("test/test_random.py", "TestRandom", "test_philox_offset_after_dropout", "not close")
FOREACH = Test("test/test_foreach.py", "TestForeachPRIVATEUSE1", "test_foreach_copy_with_multi_dtypes", "kernel")
GUARD = Test("test/test_privateuse1.py", "TestDeviceGuard", "test_stream_is_restored_after_exception", "attribute")

BACKENDS = (
    Backend("fabrikam/torch-mesa", "700100", "L4", 0.985, 0.002, ("test-distributed", "test-inductor", "test-ops"),
            "mesa-2", "5.1", weak=(REDUCE,), nightly=True, minutes=52),
    Backend("contoso/torch-aurora", "700200", "L3", 0.97, 0.004, ("build", "test-ops (fp32)", "test-ops (bf16)"),
            "aurora-x1", "3.4.2", weak=(SDPA,), nightly=True, minutes=38),
    Backend("northwind/pytorch-npu", "700300", "L2", 0.93, 0.01, ("test (fp32, 1)", "test (fp32, 2)", "test (bf16, 1)"),
            "npu", "8.0.RC3", weak=(RNG, SDPA), minutes=64, former_name="northwind/torch-npu",
            renamed=timedelta(days=11), shared="test (bf16, 1)"),
    Backend("example-labs/torch-falcon", "700400", "L2", 0.9, 0.03, ("build", "test-core", "test-dynamo"), "falcon",
            "0.9", weak=(RESNET, MATMUL), broken_since=timedelta(days=2, hours=5), nightly=True),
    Backend("tailspin/torch-vortex", "700500", "L2", 0.96, 0.02, ("test",), "vortex", "1.2", weak=(MATMUL,),
            silent_since=timedelta(hours=61), known_for=timedelta(days=13), minutes=17),
    # Another repo of this name, which is gone since.
    Backend("tailspin/torch-vortex", "700501", "L2", 0.8, 0.05, ("test",), "vortex", "0.4", weak=(MATMUL,),
            silent_since=timedelta(days=16), minutes=30),
)  # fmt: skip


_ENDS: Mapping[str, tuple[str, str]] = {
    "not close": (
        "self.assertEqual(actual, expected, atol=1e-5, rtol=1.3e-6)",
        "AssertionError: Tensor-likes are not close!\n\nGreatest absolute difference: 0.00049 (up to 1e-05 allowed)",
    ),
    "compile": (
        "compiled = torch.compile(model)(x)",
        "torch._inductor.exc.InductorError: LoweringException: NotImplementedError: max_pool2d on {device}",
    ),
    "timeout": ("work.wait()", "RuntimeError: Timed out waiting 300000ms for recv operation to complete on {device}:1"),
    "kernel": (
        "torch._foreach_copy_(tensors, sources)",
        "RuntimeError: Could not run 'aten::_foreach_copy_.multi_dtype' with arguments from the '{device}' backend",
    ),
    "attribute": (
        "with torch.accelerator.device_index(1):",
        "AttributeError: module 'torch.{device}' has no attribute '_exchange_stream'",
    ),
}


def failure(test: Test, backend: Backend) -> dict[str, Any]:
    """Give the details with which a test failed, as a report has them."""
    line, words = _ENDS[test.ending]
    message = words.format(device=backend.device.replace("-", "_"))
    return {
        "name": test.name,
        "classname": test.classname,
        "file": test.file,
        "status": "error" if test.ending == "attribute" else "failure",
        "message": f"{message.splitlines()[0]} (sample history)",
        "stacktrace": (
            f'Traceback (most recent call last):\n  File "/pytorch/{test.file}", line 412, in {test.name}\n    {line}\n'
            f'  File "/pytorch/torch/testing/_internal/common_device_type.py", line 428, in instantiated_test\n'
            f"    result = test(self, **param_kwargs)\n{message}"
        ),
        "duration_seconds": 1.75,
    }
