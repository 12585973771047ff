"""What aiohttp does with the contexts that are open when the startup fails."""
import asyncio
from aiohttp import web

events = []

def guarded(name):
    async def context(app):
        try:
            yield
        finally:
            events.append(f"{name} closes")
            await asyncio.sleep(0.01)
            events.append(f"{name} is closed")
    return context

async def plain(app):
    yield
    events.append("plain is closed")

async def fails(app):
    raise OSError("no answer")

def app():
    made = web.Application()
    made.cleanup_ctx.extend([guarded("one"), guarded("two"), plain])
    made.on_startup.append(fails)
    return made

def run_app():
    try:
        web.run_app(app(), port=0, print=None)
    except OSError as error:
        print("run_app fails:", error)
    # The order within each half is not fixed.
    print(" ", sorted(events[:2]))
    print(" ", sorted(events[2:]))

async def runner():
    runner = web.AppRunner(app())
    try:
        await runner.setup()
    except OSError as error:
        print("setup fails:", error)
    await runner.cleanup()
    for event in events:
        print(" ", event)

run_app()
events.clear()
asyncio.run(runner())
