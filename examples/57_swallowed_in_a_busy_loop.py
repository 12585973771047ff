"""A task that swallows its cancellation in a busy loop hangs the sweep.

The task gives the loop a turn and ignores what comes of it. So its cancellation is lost, and the code that
cancelled it waits for ever. The loop is busy all that time (a livelock), so no deadlock is reported. Each
await of a loop needs to pass its cancellation on."""
import asyncio

async def worker(end):
    while not end.is_set():
        try:
            await asyncio.sleep(0)
        except BaseException:
            pass

async def obedient_worker(end):
    while not end.is_set():
        await asyncio.sleep(0)

async def serve(worker, end):
    working = asyncio.create_task(worker(end), name="worker")
    try:
        for _ in range(3):
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        working.cancel()
        await asyncio.wait([working])
        raise
    end.set()
    await asyncio.wait([working])

async def cancelled(worker):
    end = asyncio.Event()
    serving = asyncio.create_task(serve(worker, end))
    await asyncio.sleep(0)
    serving.cancel()
    for _ in range(8):
        await asyncio.sleep(0)
    print("  8 turns later, the service", "is over" if serving.done() else "still sweeps")
    end.set()
    await asyncio.wait([serving])

print("the service is cancelled")
asyncio.run(cancelled(worker))
print("mended")
asyncio.run(cancelled(obedient_worker))
