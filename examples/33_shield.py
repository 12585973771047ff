"""A shield protects from the waiter's cancellation, and from nothing else.

If the waiter of a `shield` is cancelled, it gets its cancellation, and the shielded task goes on. So the
program has to keep that task and wait for it. Otherwise the end of the run cancels it all the same. And a
cancellation of the task itself meets no shield."""
import asyncio

async def commit():
    try:
        await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        print("  commit: CANCELLED")
        raise
    print("  commit: done")

async def request(commit, waits_for_it):
    try:
        await asyncio.shield(commit)
    except asyncio.CancelledError:
        print("  request: cancelled")
        if waits_for_it:
            await asyncio.wait([commit])      # reads no result
        raise

async def program(waits_for_it, cancel_the_commit):
    committing = asyncio.create_task(commit(), name="commit")
    requesting = asyncio.create_task(request(committing, waits_for_it), name="request")
    await asyncio.sleep(0.01)
    if cancel_the_commit:
        committing.cancel()
    else:
        requesting.cancel()
    await asyncio.wait([requesting])
    print("  main: returns")

print("the request is cancelled, and waits for the commit")
asyncio.run(program(True, False))
print("the request is cancelled, and nothing waits for the commit")
asyncio.run(program(False, False))
print("the commit is cancelled")
asyncio.run(program(False, True))
