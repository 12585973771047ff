"""What `runner::life_cycle` in `tests/programs` does, on CPython: one main after another, each on a Runner of its own.

Every line begins with the turn in which it was said, or in which the call ended. `python3.13 life_cycle.py` prints
`life_cycle.out`."""
import asyncio, sys, threading, time
from asyncio import base_events

turns = 0
run_once = base_events.BaseEventLoop._run_once
kept = []

def counted(loop):
    global turns
    turns += 1
    run_once(loop)

base_events.BaseEventLoop._run_once = counted

def say(text):
    print(turns, text)

def show(error):
    return "Cancelled" if isinstance(error, asyncio.CancelledError) else str(error)

def report(loop, context):
    if not context["message"].startswith("Task was destroyed"):    # garbage collection chooses its time
        say(f"REPORT {context['message']}: {show(context['exception'])}")

def spawn(name, body):
    kept.append(asyncio.get_running_loop().create_task(body, name=name))

async def waits(name):
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        say(f"{name} Cancelled")
        raise

async def endless(name):
    while True:
        say(f"{name} runs")
        await asyncio.sleep(0)

async def at_once():
    return 1

async def two_steps():
    await asyncio.sleep(0)
    say("main goes on")
    return 2

async def fails():
    raise ValueError("main failed")

async def leaves_a_task():
    spawn("task", waits("task"))
    await asyncio.sleep(0)
    say("main ends")

async def leaves_a_task_that_never_ran():
    spawn("task", waits("task"))

async def leaves_a_failure():
    async def task():
        try:
            await waits("task")
        except asyncio.CancelledError:
            raise ValueError("cleanup failed") from None
    spawn("task", task())
    await asyncio.sleep(0)

async def leaves_a_swallower():
    async def task():
        try:
            await waits("task")
        except asyncio.CancelledError:
            pass
        for n in range(3):
            await asyncio.sleep(0)
            say(f"task goes on {n}")
    spawn("task", task())
    await asyncio.sleep(0)

async def leaves_a_slow_one_and_a_failure():
    async def slow():
        try:
            await asyncio.sleep(3600)
        finally:
            for n in range(2):
                await asyncio.sleep(0)
                say(f"slow cleans up {n}")
    async def failing():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise ValueError("cleanup failed") from None
    spawn("slow", slow())
    spawn("failing", failing())
    await asyncio.sleep(0)

async def leaves_one_that_makes_another():
    async def task():
        try:
            await waits("task")
        finally:
            spawn("late", endless("late"))
    spawn("task", task())
    await asyncio.sleep(0)

async def leaves_a_timer():
    asyncio.get_running_loop().call_later(3600, say, "never")

async def cancels_itself():
    asyncio.current_task().cancel()

async def uses_the_pool():
    # Since 3.13.18 a job that is over before it is awaited costs two turns less.
    return await asyncio.to_thread(lambda: time.sleep(0.05) or 5)

async def leaves():
    sys.exit(3)

mains = [at_once, two_steps, fails, leaves_a_task, leaves_a_task_that_never_ran, leaves_a_failure, leaves_a_swallower,
         leaves_a_slow_one_and_a_failure, leaves_one_that_makes_another, leaves_a_timer, cancels_itself,
         uses_the_pool, leaves]

for main in mains:
    print("#", main.__name__)
    turns = 0
    kept.clear()
    runner = asyncio.Runner()
    runner.get_loop().set_exception_handler(report)
    try:
        value = runner.run(main())
        say("run ends" if value is None else f"run ends: {value}")
    except BaseException as error:
        say(f"run fails: {show(error)}")
    runner.close()
    say("closed")

print("# twice_on_one_runner")
turns = 0
runner = asyncio.Runner()
for n in range(2):
    if n == 0:
        async def main():
            spawn("task", endless("task"))
    else:
        async def main():
            await asyncio.sleep(0)
            say("main again")
    runner.run(main())
    say("run ends")
runner.close()
say("closed")
