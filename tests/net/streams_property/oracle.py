"""CPython's answers: a case a line in, what its reads answered a line out. See cases.rs for the words of a case."""

import asyncio
import json
import sys

KINDS = {
    "read": lambda reader, n: reader.read(n),
    "read_to_end": lambda reader, _: reader.read(-1),
    "readexactly": lambda reader, n: reader.readexactly(n),
    "readline": lambda reader, _: reader.readline(),
}


async def answer(reader, kind, arg):
    try:
        if kind == "readuntil":
            seps = [sep.encode() for sep in arg]
            got = await reader.readuntil(seps[0] if len(seps) == 1 else tuple(seps))
        else:
            got = await KINDS[kind](reader, arg)
        return "ok " + got.decode()
    except asyncio.IncompleteReadError as error:
        return f"incomplete {error.partial.decode()}: {error}"
    except asyncio.LimitOverrunError as error:
        return f"limit {error.consumed}: {error}"
    except asyncio.CancelledError:
        return "cancelled"
    except Exception as error:
        return f"failed: {error}"


async def run(case):
    reader = asyncio.StreamReader(limit=case["limit"])
    log, turn, task, kind = [], 0, None, None

    async def first(kind, arg):
        got = await answer(reader, kind, arg)
        log.append(f"{turn} {kind} {got}")

    for op, *args in case["ops"]:
        free = task is None or task.done()
        match op:
            case "start" if free:
                kind = args[0]
                task = asyncio.create_task(first(*args))
            case "second" if not free:
                log.append(f"{turn} second {args[0]} {await answer(reader, *args)}")
            case "cancel" if not free and kind != "read_to_end":
                task.cancel()
            case "feed":
                try:
                    reader.feed_data(args[0].encode())
                except AssertionError as error:
                    log.append(f"{turn} feed {error}")
            case "eof":
                reader.feed_eof()
            case "error" if free or kind != "read_to_end":
                reader.set_exception(ValueError(args[0]))
            case "turn":
                await asyncio.sleep(0)
                turn += 1
    log.append(f"{turn} at_eof {reader.at_eof()}".lower())
    reader.feed_eof()
    while task is not None and not task.done():
        await asyncio.sleep(0)
    log.append("left " + await answer(reader, "read_to_end", None))
    return log


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(asyncio.run(run(json.loads(line)))), flush=True)
