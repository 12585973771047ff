"""Another callback stops the loop while `run_until_complete` waits for its task.

`run_until_complete` fails with `Event loop stopped before Future completed.` The task is neither done nor
cancelled, and another run completes it. If a body was given instead of a task, the caller has no handle
and must look among the loop's tasks. So make a task and keep it."""
import asyncio
from json import dumps

async def work():
    print("  work: begin")
    await asyncio.sleep(0.06)
    print("  work: end")
    return "result"

loop = asyncio.new_event_loop()

print("a task that is kept")
task = loop.create_task(work(), name="work")
loop.call_later(0.02, loop.stop)
try:
    loop.run_until_complete(task)
except RuntimeError as error:
    print(f"  {error}")
print(f"  done: {dumps(task.done())}, cancelled: {dumps(task.cancelled())}")
print(f"  another run: {loop.run_until_complete(task)}")

print("a body")
loop.call_later(0.02, loop.stop)
try:
    loop.run_until_complete(work())
except RuntimeError as error:
    print(f"  {error}")
left = asyncio.all_tasks(loop)
print(f"  tasks left on the loop: {len(left)}")
for task in left:
    loop.run_until_complete(task)
loop.close()
