"""The errors of the whole project: what happened, and what to do about it.

```
EdgeboundError            1  something failed
├── UsageError            2  the command line or the configuration is wrong
│   └── ConfigError       2  … with every problem, its file and line
├── DataError             1  pictures or labels are missing, broken or contradictory
├── ModelError            1  a checkpoint, an ONNX file or an engine cannot be read
│   └── ExportError       1  a module of the model cannot be exported
├── UnsupportedError      5  the target cannot run the model
├── BudgetError           3  no form of the model is as accurate, or as fast, as it has to be
├── EvidenceError         4  evidence is missing: no device, no measurement
├── RegistryError         1  a registry, or what it gave, cannot be used
│   ├── NotFoundError     1  … it has no such repository, tag or blob
│   └── DigestError       1  … bytes are not those that their digest names
├── TrustError            1  a signature is missing, wrong, expired, or of a key not trusted
└── StoreError            1  the store cannot be read or written
    └── DiskFullError     1  … because the disk is full
```
The figure is the exit code of `pipeline` (design decision D7).
"""

from typing import ClassVar, Sequence


class EdgeboundError(Exception):
    """Base of our errors. The command line shows `what` and `hint` as two lines."""

    code: ClassVar[int] = 1

    def __init__(self, what: str, *, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __reduce__(self) -> "tuple[object, ...]":
        """Survive the way back from a child process, keyword argument included."""
        return _rebuild, (type(self), self.what, self.hint, dict(self.__dict__))


def _rebuild(
    kind: "type[EdgeboundError]", what: str, hint: str, state: "dict[str, object]"
) -> EdgeboundError:
    error = kind.__new__(kind)
    EdgeboundError.__init__(error, what, hint=hint)
    error.__dict__.update(state)
    return error


class UsageError(EdgeboundError):
    """The command line or the configuration is wrong."""

    code = 2


class ConfigError(UsageError):
    """A configuration file has problems; all of them are in `problems`, as `file:line: text`."""

    def __init__(self, problems: Sequence[str], *, hint: str) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems), hint=hint)


class DataError(EdgeboundError):
    """Pictures or labels are missing, broken or contradictory."""


class ModelError(EdgeboundError):
    """A checkpoint, an ONNX file or an engine cannot be read."""


class ExportError(ModelError):
    """A module of the model cannot be exported."""


class UnsupportedError(EdgeboundError):
    """The target cannot run the model."""

    code = 5


class BudgetError(EdgeboundError):
    """No form of the model is as accurate, or as fast, as it has to be."""

    code = 3


class EvidenceError(EdgeboundError):
    """Evidence for a verdict is missing: no device, no measurement."""

    code = 4


class RegistryError(EdgeboundError):
    """A registry, or what it gave, cannot be used."""


class NotFoundError(RegistryError):
    """The registry has no such repository, tag or blob, or does not show it."""


class DigestError(RegistryError):
    """Bytes are not those that their digest names."""


class TrustError(EdgeboundError):
    """A signature is missing, wrong, expired, or of a key that is not trusted here."""


class StoreError(EdgeboundError):
    """The store cannot be read or written."""


class DiskFullError(StoreError):
    """The disk is full."""
