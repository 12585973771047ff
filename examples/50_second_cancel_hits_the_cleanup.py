"""A cleanup that awaits can be cancelled, too.

The first cancellation starts the cleanup. A second one arrives at the cleanup's own await, and ends it
half-way. What must be finished runs in a task of its own, which the second cancellation does not reach."""
import asyncio

ANSWER = 0.005

class Account:
    def __init__(self, balance):
        self.balance = balance

async def transfer(from_, to):
    from_.balance -= 100
    try:
        await asyncio.sleep(ANSWER)
    except asyncio.CancelledError:
        await put_back(from_)
        raise
    to.balance += 100

async def put_back(account):
    await asyncio.sleep(ANSWER)
    account.balance += 100

async def safe_transfer(from_, to):
    from_.balance -= 100
    try:
        await asyncio.sleep(ANSWER)
    except asyncio.CancelledError:
        cleanup = asyncio.create_task(put_back(from_))
        while not cleanup.done():
            # `wait` does not cancel what it waits for. This task is being cancelled already.
            try:
                await asyncio.wait([cleanup])
            except asyncio.CancelledError:
                pass
        await cleanup
        raise
    to.balance += 100

async def cancelled_twice(transfer):
    from_, to = Account(100), Account(0)
    transferring = asyncio.create_task(transfer(from_, to))
    for _ in range(2):
        await asyncio.sleep(0)
        transferring.cancel()
    await asyncio.wait([transferring])
    print(f"  from: {from_.balance}, to: {to.balance}")

print("cancelled twice")
asyncio.run(cancelled_twice(transfer))
print("mended")
asyncio.run(cancelled_twice(safe_transfer))
