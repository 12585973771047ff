"""A job on a thread that lasts longer than main().

run() waits for the jobs of the default executor. Cancelling the future of a job that has begun does not
stop the job. run() does not wait for a private executor: the program shuts it down."""
import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event

def blocking(began, gate):
    began.set()
    gate.wait()
    print("  thread: finished")

async def default_executor(cancel):
    began, gate = Event(), Event()
    job = asyncio.get_running_loop().run_in_executor(None, blocking, began, gate)
    await asyncio.to_thread(began.wait)           # the loop goes on meanwhile
    if cancel and job.cancel():
        print("  main: cancelled the future")
    print("  main: ended")
    gate.set()

async def private_executor(pool, began, gate):
    asyncio.get_running_loop().run_in_executor(pool, blocking, began, gate)
    print("  main: ended")

print("the default executor")
asyncio.run(default_executor(cancel=False))
print("  run: returned")

print("the default executor, and the future is cancelled")
asyncio.run(default_executor(cancel=True))
print("  run: returned")

print("a private executor")
began, gate = Event(), Event()
pool = ThreadPoolExecutor(1)
asyncio.run(private_executor(pool, began, gate))
print("  run: returned")
gate.set()
pool.shutdown(wait=True)                          # wait for what runs, cancel nothing
print("  pool: shut down")
