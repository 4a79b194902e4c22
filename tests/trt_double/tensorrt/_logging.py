"""Loggers, and the recorder of errors: what foreign code derives from."""

import sys

from ._api import ENUMS, as_in_this_version, stored

Severity = ENUMS["ILogger.Severity"]


@as_in_this_version
class ILogger:
    Severity = Severity
    INTERNAL_ERROR, ERROR, WARNING = Severity.INTERNAL_ERROR, Severity.ERROR, Severity.WARNING
    INFO, VERBOSE = Severity.INFO, Severity.VERBOSE

    def __init__(self):
        self._is_made = True

    def log(self, severity, msg):
        raise RuntimeError('Tried to call pure virtual function "nvinfer1::ILogger::log"')


@as_in_this_version
class Logger(ILogger):
    def __init__(self, min_severity=Severity.WARNING):
        super().__init__()
        self._min_severity = min_severity

    min_severity = stored("min_severity")

    def log(self, severity, msg):
        if severity.value <= self.min_severity.value:
            sys.stderr.write(f"[TRT] [{severity.name[0]}] {msg}\n")


@as_in_this_version
class IErrorRecorder:
    MAX_DESC_LENGTH = 127

    def __init__(self):
        self._is_made = True


@as_in_this_version
class IProgressMonitor:
    def __init__(self):
        self._is_made = True


def is_made(thing):
    """Refuse what derives from a class of ours and never called its constructor, as pybind11 does."""
    if not getattr(thing, "_is_made", False):
        raise TypeError(f"{type(thing).__name__}.__init__() must be called when overriding __init__")
    return thing


class Voice:
    """Where a builder, a parser or a runtime says what is wrong."""

    def __init__(self, logger):
        if not isinstance(logger, ILogger):
            raise TypeError("incompatible constructor arguments: a logger is wanted")
        self.logger = is_made(logger)
        self.recorder = None

    def error(self, code, text):
        """Log an error, and record it; `code` is a name of ErrorCodeTRT. Gives None, as the call does."""
        self.logger.log(Severity.ERROR, text)
        if self.recorder is not None:
            self.recorder.report_error(ENUMS["ErrorCodeTRT"][code], text)

    def warn(self, text):
        self.logger.log(Severity.WARNING, text)

    def info(self, text):
        self.logger.log(Severity.INFO, text)
