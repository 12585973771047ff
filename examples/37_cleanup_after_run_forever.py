"""The other safe order: the handler only stops, and the cleanup runs after `run_forever()` has returned.

`run_until_complete(cleanup)` outside the stopped loop is a plain and correct shutdown. But the handler is
still registered: a second signal stops the loop again, in the middle of the cleanup (`Event loop stopped
before Future completed.`). The cleanup is not lost, and another run completes it. It is better to replace
the handler before the cleanup begins."""
import asyncio, signal

def ctrl_c():
    signal.raise_signal(signal.SIGINT)

async def cleanup(one_more):
    print("  cleanup: begin")
    if one_more:
        ctrl_c()
    await asyncio.sleep(0.1)
    print("  cleanup: end")

def on_signal():
    print("  signal: stops the loop")
    asyncio.get_running_loop().stop()

def scenario(title, one_more, replace):
    print(title)
    loop = asyncio.new_event_loop()
    loop.add_signal_handler(signal.SIGINT, on_signal)
    loop.call_soon(ctrl_c)
    loop.run_forever()
    print("  run_forever has returned")
    if replace:
        loop.add_signal_handler(signal.SIGINT, print, "  signal: cleaning up already")
    task = loop.create_task(cleanup(one_more), name="cleanup")
    while not task.done():
        try:
            loop.run_until_complete(task)
        except RuntimeError as error:
            print(f"  {error}")
    loop.close()

scenario("one signal", False, False)
scenario("two signals", True, False)
scenario("two signals, handler replaced", True, True)
