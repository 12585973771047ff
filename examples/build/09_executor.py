"""Code that blocks gets a thread of its own, and its result comes back as a call of another thread."""
import asyncio, json
from concurrent.futures import ThreadPoolExecutor
from threading import Event

loop = asyncio.new_event_loop()
loop.set_default_executor(ThreadPoolExecutor(1))

print("a job that blocks")
gate = Event()

def job():
    gate.wait()
    print("  thread: finished")
    return "the result"

def done(future):
    print(f"  loop: {future.result()}")
    loop.stop()

def runs_on():
    print("  loop: runs on")
    loop.call_soon(gate.set)

loop.run_in_executor(None, job).add_done_callback(done)
loop.call_soon(runs_on)
loop.run_forever()

print("two jobs for one thread, and both are cancelled")
begun, open = Event(), Event()

def first_job():
    begun.set()
    open.wait()
    print("  thread: the first job is not stopped")

first = loop.run_in_executor(None, first_job)
second = loop.run_in_executor(None, print, "  thread: never printed")
begun.wait()
print(f"  the first: {json.dumps(first.cancel())}, the second: {json.dumps(second.cancel())}")
print(f"  the first: cancelled {json.dumps(first.cancelled())}, again: {json.dumps(first.cancel())}")
loop.run_until_complete(asyncio.sleep(0))     # so that asyncio withdraws the second job
open.set()
loop.run_until_complete(loop.shutdown_default_executor())
print("  the executor is shut down")
loop.close()
