"""Runs in the agent: a rendezvous that listens on loopback only and unpickles nothing.

Every stock way listens on all interfaces (pytorch #173909: TCPStore's server ignores its host name)
and the c10d backend unpickles what it finds in that store. `master_listen_fd` is the one way to
choose the address. Each attempt gets a fresh store: a reused one hands dead ranks' addresses to the
next attempt (pytorch #135712, #167288).
"""

from __future__ import annotations

import socket

import torch
import torch.distributed as dist
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousInfo,
    RendezvousParameters,
    RendezvousStoreInfo,
    rendezvous_handler_registry,
)

__all__ = ["BACKEND", "LoopbackRendezvous", "register"]

BACKEND = "ddp_magic_loopback"
_HOST = "127.0.0.1"
_LIBUV = torch.__version__ >= "2.8"  # a TorchVersion, which compares as a version
"""Until 2.8 torch's libuv server, the default, refused `master_listen_fd` (pytorch #150215)."""


class LoopbackRendezvous(RendezvousHandler):
    """One node; the agent's own bookkeeping stays in memory."""

    def __init__(self, parameters: RendezvousParameters) -> None:
        self._run_id = parameters.run_id
        self._closed = False
        self._round = 0
        self._bookkeeping = dist.HashStore()
        self._server: dist.TCPStore | None = None

    def get_backend(self) -> str:
        """Return the name that this handler is registered by."""
        return BACKEND

    @property
    def use_agent_store(self) -> bool:
        """Make every rank a client of our store; else rank 0 would listen everywhere."""
        return True

    def next_rendezvous(self) -> RendezvousInfo:
        """Open a store for the next attempt; its port is ours from bind() on, so no race."""
        listener = socket.create_server((_HOST, 0), backlog=512)
        port = listener.getsockname()[1]
        self._server = dist.TCPStore(
            _HOST,
            port,
            is_master=True,
            wait_for_workers=False,
            master_listen_fd=listener.detach(),
            use_libuv=_LIBUV,
        )
        self._round += 1
        bookkeeping = dist.PrefixStore(str(self._round), self._bookkeeping)
        return RendezvousInfo(bookkeeping, 0, 1, RendezvousStoreInfo(_HOST, port))

    def is_closed(self) -> bool:
        """Return whether no further attempt may start."""
        return self._closed

    def set_closed(self) -> None:
        """Let no further attempt start."""
        self._closed = True

    def num_nodes_waiting(self) -> int:
        """Return 0: there is one node."""
        return 0

    def get_run_id(self) -> str:
        """Return the run's id."""
        return self._run_id

    def shutdown(self) -> bool:
        """Close; the store lives on until the workers are gone."""
        self._closed = True
        return True


def register() -> None:
    """Make the handler known to torch's launcher."""
    rendezvous_handler_registry.register(BACKEND, LoopbackRendezvous)
