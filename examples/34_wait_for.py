"""A time limit is a cancellation, and the cleanup has no limit.

When its time is over, `wait_for` cancels what it waits for, waits until that has cleaned up, and only
then fails. If the cleanup swallows the cancellation, there is no timeout at all. A late value is
returned. `wait` with a timeout cancels nothing: ask, wait for a bounded time, and look at what is left."""
import asyncio

async def slow(swallow):
    try:
        await asyncio.sleep(3600)
        return "in time"
    except asyncio.CancelledError:
        await asyncio.sleep(0.02)
        print("  slow: cleaned up")
        if swallow:
            return "a late value"
        raise

async def bounded(swallow):
    try:
        print(f"  wait_for gave {await asyncio.wait_for(slow(swallow), 0.01)}")
    except asyncio.TimeoutError:
        print("  wait_for timed out")

async def two_stages():
    task = asyncio.create_task(slow(False), name="slow")
    done, pending = await asyncio.wait([task], timeout=0.01)
    print(f"  wait: {len(done)} done, {len(pending)} pending, asked to cancel: {task.cancelling()}")
    task.cancel()
    done, pending = await asyncio.wait([task], timeout=1)
    print(f"  after cancel(): {len(done)} done, {len(pending)} pending")

async def program():
    print("the cleanup passes the cancellation on")
    await bounded(False)
    print("the cleanup swallows it")
    await bounded(True)
    print("in two stages")
    await two_stages()

asyncio.run(program())
