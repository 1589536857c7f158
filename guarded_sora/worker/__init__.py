"""A warm process that runs what may crash, hang or eat memory, and can be killed at any time."""

from guarded_sora.worker.pool import Worker, WorkerFault
from guarded_sora.worker.process import Fault

__all__ = ["Fault", "Worker", "WorkerFault"]
