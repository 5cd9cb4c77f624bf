"""Log lines: one JSON object each, on standard error. logging is used by functions; the framework does not need it."""
import os
import sys
import time

_NAMES = {10: "DEBUG", 20: "INFO", 30: "WARN", 40: "ERROR"}
_level = [20]


def set_level(level):
    _level[0] = level


def line(level, msg, **fields):
    """Writes one line, at once and whole. Fields that are None are left out."""
    if level < _level[0]:
        return
    record = {"time": _time(time.time()), "level": _NAMES[level], "msg": msg}
    record.update((k, v) for k, v in fields.items() if v is not None)
    write(record)


def write(record):
    import json  # most processes never write a line

    data = (json.dumps(record, ensure_ascii=False, default=str) + "\n").encode("utf-8", "backslashreplace")
    try:
        sys.stderr.flush()  # what the function printed before comes before
        while data:
            data = data[os.write(2, data):]
    except (OSError, ValueError, AttributeError):
        pass  # nobody reads the log: no reason to fail


def _time(now):
    t = time.gmtime(now)
    return "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ" % (t[:6] + (int(now * 1e6) % 1000000,))


def install():
    """Makes the loggers of functions write such lines, with the ids of the call. Only where the function imported logging and configured nothing."""
    logging = sys.modules.get("logging")
    if logging is None or logging.root.handlers:
        return

    from functions_framework._call import current

    standard = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

    class Lines(logging.Handler):
        def emit(self, record):
            out = {"time": _time(record.created), "level": _NAMES[min(40, max(10, record.levelno // 10 * 10))], "msg": record.getMessage()}
            call = current()
            if call is not None:
                out.update(call.ids())
            out.update((k, v) for k, v in record.__dict__.items() if k not in standard)
            if record.exc_info:
                out["stack"] = logging.Formatter().formatException(record.exc_info)
            write(out)

    logging.root.addHandler(Lines())
    logging.root.setLevel(_level[0])
