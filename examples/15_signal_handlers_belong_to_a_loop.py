"""A signal handler belongs to the loop that it was registered on.

Handlers are registered on loop A, and then loop B runs. A program that runs on a loop of its own does
this to handlers from before. While B runs, A's handlers do not run, and the default action does not
happen either: the process outlives its SIGHUP. The safe pattern is to register on the running loop,
inside the program that it runs. There B's own handler gets its SIGTERM. A signal for A's handler is lost
in asyncio, because B has registered a handler too. In looplab it waits until A runs: a deliberate
difference, with a row in `docs/differences.md` and a test. Nothing here depends on it."""
import asyncio, json, signal

async def program(a):
    loop = asyncio.get_running_loop()
    print(f"running on A: {json.dumps(loop is a)}")
    loop.add_signal_handler(signal.SIGTERM, print, "B got SIGTERM")
    for sig in (signal.SIGHUP, signal.SIGTERM):
        signal.raise_signal(sig)
    await asyncio.sleep(0.1)
    print("still alive after SIGHUP, and A has got nothing")

a, b = asyncio.new_event_loop(), asyncio.new_event_loop()
a.add_signal_handler(signal.SIGHUP, print, "A got SIGHUP")
a.add_signal_handler(signal.SIGTERM, print, "A got SIGTERM")
b.run_until_complete(program(a))
b.close()
a.close()
