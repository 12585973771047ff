"""close() does not wait for threads.

A loop that is closed without shutdown_default_executor() leaves its jobs running. Their results never
reach the futures. With it, the jobs are finished and their results are there."""
import asyncio
from threading import Event

def blocking(began, gate, ended):
    began.set()
    gate.wait()
    print("  thread: finished")
    ended.set()
    return "result"

def scenario(shut_down_first):
    loop = asyncio.new_event_loop()
    began, gate, ended = Event(), Event(), Event()
    job = loop.run_in_executor(None, blocking, began, gate, ended)
    loop.run_until_complete(asyncio.to_thread(began.wait))
    if shut_down_first:
        gate.set()
        loop.run_until_complete(loop.shutdown_default_executor())
        print("  executor: shut down")
    loop.close()
    print("  closed")
    gate.set()
    ended.wait()
    print("  future:", job.result() if job.done() else "pending for ever")

print("close at once")
scenario(shut_down_first=False)
print("shut the executor down first")
scenario(shut_down_first=True)
