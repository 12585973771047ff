"""A lock released by hand stays locked if a cancellation comes before the release.

The release is a line of code, and an await above it can fail. A guard releases the lock wherever the
function is left."""
import asyncio

HOLDING = 0.005

async def by_hand(lock):
    await lock.acquire()
    await asyncio.sleep(HOLDING)
    lock.release()

async def with_a_guard(lock):
    async with lock:
        await asyncio.sleep(HOLDING)

async def cancelled(hold):
    lock = asyncio.Lock()
    holding = asyncio.create_task(hold(lock))
    await asyncio.sleep(0)
    holding.cancel()
    await asyncio.wait([holding])
    print("  the task is over, and the lock is", "locked" if lock.locked() else "free")

print("cancelled while it holds the lock")
asyncio.run(cancelled(by_hand))
print("mended")
asyncio.run(cancelled(with_a_guard))
