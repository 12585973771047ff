"""Without return_exceptions the shutdown dies at its own gather().

gather() of cancelled tasks fails with the first cancellation, at once. So the line after it, which would
stop the loop, is never reached, and slower tasks have not finished their cleanup yet. The shutdown looks
"cancelled", although no code cancelled it."""
import asyncio

async def worker(name, cleanup_time):
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(cleanup_time)
        print(f"  {name}: cleaned up")

async def shutdown(workers, return_exceptions):
    for task in workers:
        task.cancel()
    if return_exceptions:
        await asyncio.gather(*workers, return_exceptions=True)
    else:
        await asyncio.gather(*workers)        # raises: the rest of this function does not run
    print("  shutdown: now the loop can be stopped")

async def scenario(return_exceptions):
    quick = asyncio.create_task(worker("quick", 0), name="quick")
    slow = asyncio.create_task(worker("slow", 0.1), name="slow")
    workers = [quick, slow]
    await asyncio.sleep(0)                    # let them start
    task = asyncio.create_task(shutdown(workers, return_exceptions), name="shutdown")
    await asyncio.wait([task])
    print("  the shutdown", "was cancelled" if task.cancelled() else "returned")
    await asyncio.wait(workers)

print("gather")
asyncio.run(scenario(return_exceptions=False))
print("gather with return_exceptions")
asyncio.run(scenario(return_exceptions=True))
