"""Ctrl-C comes a second time while the shutdown still runs.

A handler that starts a cleanup starts a second one at the second signal. The first one's `stop()` then
leaves it unfinished: `Task was destroyed but it is pending!`. A guard ignores the second signal. An
escalating handler takes it as "hurry" and cancels the cleanup. When the handler is removed, the signal
does again what it did before: SIGTERM kills the process, which the program shows with a child. (SIGINT
kills it too, where asyncio puts its `KeyboardInterrupt` back.)"""
import asyncio, gc, signal, subprocess, sys

def send(sig):
    signal.raise_signal(sig)

async def cleanup(n):
    print(f"  cleanup {n}: begin")
    try:
        await asyncio.sleep(0.25)
        print(f"  cleanup {n}: end")
    except asyncio.CancelledError:
        print(f"  cleanup {n}: cut short")

def scenario(title, at_the_second):
    print(title)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: print(f"  handler: {context['message']}"))

    made = []

    def on_signal():
        print("  signal")
        if made and at_the_second:
            return at_the_second(made[0])
        n = len(made) + 1
        task = loop.create_task(cleanup(n), name=f"cleanup {n}")
        task.add_done_callback(lambda task: loop.stop())
        made.append(task)

    loop.add_signal_handler(signal.SIGINT, on_signal)
    loop.call_later(0.02, send, signal.SIGINT)
    loop.call_later(0.12, send, signal.SIGINT)
    loop.run_forever()
    print(f"  stopped, tasks still pending: {len(asyncio.all_tasks(loop))}")
    loop.close()
    made.clear()
    gc.collect()                              # what is pending is reported here

def child():
    loop = asyncio.new_event_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: None)
    loop.remove_signal_handler(signal.SIGTERM)
    send(signal.SIGTERM)

def main():
    if len(sys.argv) > 1:
        return child()
    scenario("unguarded", None)
    scenario("guard", lambda cleanup: None)
    scenario("escalate", lambda cleanup: cleanup.cancel())
    status = subprocess.run([sys.executable, __file__, "child"]).returncode
    print(f"after the handler was removed: killed by signal {-status}")

main()
