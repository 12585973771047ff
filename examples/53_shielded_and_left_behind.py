"""A shield without a wait leaves its task behind.

The shield keeps the cancellation from the commit. But then no code waits for the commit any more, so the end
of the program cancels it all the same. The waiter must wait for it, and then pass the cancellation on."""
import asyncio

async def commit():
    try:
        await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        print("  commit: cancelled")
        raise
    print("  commit: done")

async def request(commit):
    await asyncio.shield(commit)

async def patient_request(commit):
    cancelled = None
    while not commit.done():
        # `wait` does not cancel what it waits for.
        try:
            await asyncio.wait([commit])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
    return commit.result()

async def cancelled(request):
    requesting = asyncio.create_task(request(asyncio.create_task(commit())))
    await asyncio.sleep(0)
    requesting.cancel()
    await asyncio.wait([requesting])
    print("  the request is over")

print("the request is cancelled")
asyncio.run(cancelled(request))
print("mended")
asyncio.run(cancelled(patient_request))
