"""The errors that programs raise and print."""

import asyncio
import builtins

CancelledError = asyncio.CancelledError
Boom = type("Boom", (Exception,), {"__doc__": "An error of the program itself."})
Group = getattr(builtins, "BaseExceptionGroup", None)
TIMEOUTS = (TimeoutError, asyncio.TimeoutError)
QUEUES = tuple(getattr(asyncio, name, Boom) for name in ("QueueFull", "QueueEmpty", "QueueShutDown"))
CATCHES = {"cancel": CancelledError, "error": Exception, "any": (Exception, CancelledError)}
PARTS = ("Task cannot await on itself", "attached to a different loop", "is bound to a different event loop")

# Why CPython cannot be compared in the program under way, if it cannot.
TROUBLE = []


def contexts(error):
    """The error and the chain of its contexts, which may have a ring."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__context__
    return seen


def show(error):
    """An error as both sides write it."""
    text, kind = str(error), type(error).__name__
    # Cancelling a ring of tasks raises RecursionError. On a running loop `Runner.close` then hides it behind a RuntimeError.
    if any(isinstance(cause, RecursionError) for cause in contexts(error)):
        TROUBLE.append("recursion")
    if "takes no keyword arguments" in text:
        TROUBLE.append("no message of a cancellation")
    if text == "await wasn't used with future":
        TROUBLE.append("a mark that CPython leaves on a task which awaits itself")
    if isinstance(error, CancelledError):
        return f"Cancelled({text})"
    if isinstance(error, asyncio.InvalidStateError):
        if asyncio.Future is asyncio.futures._PyFuture:  # which has other words
            text = text.replace("ready", "set") if text.startswith(("Result", "Exception")) else "invalid state"
        return f"InvalidState({text})"
    if isinstance(error, SystemExit):
        return f"Exit({error.code})"
    if isinstance(error, KeyboardInterrupt):
        return kind
    if isinstance(error, TIMEOUTS):
        return "TimedOut"
    if isinstance(error, QUEUES) and kind != "Boom":
        return kind
    if Group and isinstance(error, Group):
        return f"Group({', '.join(map(show, error.exceptions))})"
    for part in PARTS:
        text = part if part in text else text
    return f"{kind}({text})"


def make_error(text):
    kind, _, rest = text.partition(":")
    if kind == "CANCEL":
        return CancelledError(*[rest] if rest else [])
    return {"KI": KeyboardInterrupt, "EXIT": lambda: SystemExit(int(rest))}.get(kind, lambda: Boom(rest))()
