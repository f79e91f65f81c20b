"""The machine's GPUs as the NVIDIA driver tells of them; the only importer of pynvml.

Runs in the kernel. NVML is asked, never CUDA, so that the kernel stays without a context.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psutil

from ddp_magic.errors import DeviceError
from ddp_magic.gpu import Gpu, Holder
from ddp_magic.samples import GpuSample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Meter", "Nvml"]


class Nvml:
    """A `Source` that asks the driver.

    Attributes:
        library: ``pynvml``, or what stands for it in a test.
    """

    def __init__(self, library: Any = None) -> None:
        self.library = library

    def gpus(self) -> tuple[Gpu, ...]:
        """Return the machine's GPUs as they are now.

        Raises:
            DeviceError: The driver is missing or broken.
        """
        nvml = self.library = self.library or _pynvml()
        try:
            nvml.nvmlInit()
        except nvml.NVMLError_LibraryNotFound:
            raise DeviceError("no NVIDIA driver is installed") from None
        except nvml.NVMLError as error:
            raise DeviceError(f"the NVIDIA driver cannot be asked ({error})") from None
        try:
            return tuple(self._each())
        except nvml.NVMLError as error:
            raise DeviceError(f"the NVIDIA driver does not answer ({error})") from None
        finally:
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlShutdown()

    def _each(self) -> Iterator[Gpu]:
        nvml = self.library
        for index in range(nvml.nvmlDeviceGetCount()):
            # one that a container or a cgroup withholds, or that has fallen off the bus
            with contextlib.suppress(nvml.NVMLError):
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                instances = list(self._instances(handle, index))
                if instances or self._is_divided(handle):
                    yield from instances
                else:
                    yield self._gpu(handle, index)

    def _is_divided(self, handle: Any) -> bool:
        nvml = self.library
        try:
            current, _ = nvml.nvmlDeviceGetMigMode(handle)
        except nvml.NVMLError:  # most cards know no MIG
            return False
        return current == nvml.NVML_DEVICE_MIG_ENABLE

    def _instances(self, handle: Any, index: int) -> Iterator[Gpu]:
        """Yield the instances of a GPU that is divided."""
        nvml = self.library
        if not self._is_divided(handle):
            return
        parent = _text(nvml.nvmlDeviceGetUUID(handle))
        for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            # numbers without an instance are between the others
            with contextlib.suppress(nvml.NVMLError):
                instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
                yield self._gpu(instance, index, parent=parent)

    def _gpu(self, handle: Any, index: int, *, parent: str = "") -> Gpu:
        nvml = self.library
        total, free = _memory(nvml, handle)
        return Gpu(
            uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
            index=index,
            name=_text(nvml.nvmlDeviceGetName(handle)),
            total=total,
            free=free,
            holders=tuple(self._holders(handle)),
            mig=bool(parent),
            parent=parent,
        )

    def _holders(self, handle: Any) -> Iterator[Holder]:
        nvml = self.library
        seen: set[int] = set()
        asked: tuple[tuple[Callable[[Any], Any], bool], ...] = (
            (nvml.nvmlDeviceGetComputeRunningProcesses, True),
            (nvml.nvmlDeviceGetGraphicsRunningProcesses, False),
        )
        for running, compute in asked:
            try:
                processes = running(handle)
            except nvml.NVMLError:  # MIG instances tell root only
                continue
            for process in processes:
                if process.pid not in seen:
                    seen.add(process.pid)
                    name, user = _owner(process.pid)
                    used = process.usedGpuMemory
                    yield Holder(pid=process.pid, name=name, user=user, used=used, compute=compute)


class Meter:
    """Reads a few GPUs again and again; the driver is opened once.

    Used by one thread. A GPU that stops answering is left out from then on; so are all of them
    where there is no driver.

    Args:
        gpus: Label by UUID.
        kernel_pid: The process whose own memory is told.
        library: ``pynvml``, or what stands for it in a test.
    """

    def __init__(self, gpus: Mapping[str, str], *, kernel_pid: int, library: Any = None) -> None:
        self._labels = dict(gpus)
        self._kernel_pid = kernel_pid
        self._nvml = library
        self._handles: dict[str, Any] | None = None

    def read(self) -> tuple[GpuSample, ...]:
        """Return what the GPUs do now."""
        if not self._labels:
            return ()
        if self._handles is None:
            self._handles = self._opened()
        found: list[GpuSample] = []
        for uuid, handle in tuple(self._handles.items()):
            try:
                found.append(self._sample(self._labels[uuid], handle))
            except self._nvml.NVMLError:  # fallen off the bus, reset, or the driver reloaded
                del self._handles[uuid]
        return tuple(found)

    def close(self) -> None:
        """Leave the driver."""
        if self._handles is not None:
            self._handles = None
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
        self._labels.clear()

    def _opened(self) -> dict[str, Any]:
        nvml = self._nvml = self._nvml or _pynvml()
        handles: dict[str, Any] = {}
        try:
            nvml.nvmlInit()
        except nvml.NVMLError:
            self._labels.clear()
            return handles
        for uuid in self._labels:
            with contextlib.suppress(nvml.NVMLError):
                handles[uuid] = nvml.nvmlDeviceGetHandleByUUID(uuid)
        return handles

    def _sample(self, label: str, handle: Any) -> GpuSample:
        nvml = self._nvml
        total, free = _memory(nvml, handle)
        busy = moving = None
        with contextlib.suppress(nvml.NVMLError):  # not told of MIG instances
            rates = nvml.nvmlDeviceGetUtilizationRates(handle)
            busy, moving = rates.gpu / 100, rates.memory / 100
        return GpuSample(
            label=label,
            used=total - free,
            total=total,
            busy=busy,
            kernel=self._held(handle),
            moving=moving,
        )

    def _held(self, handle: Any) -> int:
        """Return what the kernel holds; nothing where a container hides who does."""
        nvml = self._nvml
        with contextlib.suppress(nvml.NVMLError):
            for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                if process.pid == self._kernel_pid:
                    return int(process.usedGpuMemory or 0)
        return 0


def _memory(nvml: Any, handle: Any) -> tuple[int, int]:
    """Return all and free bytes, without what the driver keeps where it can tell that."""
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    except (nvml.NVMLError, AttributeError):
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return int(memory.total), int(memory.free)
    return int(memory.total - memory.reserved), int(memory.free)


def _pynvml() -> Any:
    import pynvml

    return pynvml


def _owner(pid: int) -> tuple[str, str]:
    """Return a process's program and user, empty where they cannot be found out."""
    try:
        process = psutil.Process(pid)
        name = process.name() or "a process"
    except psutil.NoSuchProcess:  # another pid namespace, or just gone
        return "", ""
    except psutil.AccessDenied:
        return "a process", ""
    try:
        return name, process.username()
    except (psutil.Error, KeyError):
        return name, ""


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
