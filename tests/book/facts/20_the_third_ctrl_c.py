"""A main task that swallows each cancellation: the second Ctrl-C interrupts, the third ends the program."""
import asyncio, signal, sys

async def immortal(presses):
    loop = asyncio.get_running_loop()
    for n in range(10):
        if n < presses:
            loop.call_soon(signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.sleep(0.05)
            return print("  main returns")
        except asyncio.CancelledError:
            print(f"  main swallows cancellation {n + 1}")

signal.signal(signal.SIGINT, signal.default_int_handler)    # a shell's background job starts with it ignored
sys.stderr = None                             # "Task was destroyed but it is pending!"
for presses in 1, 2, 3:
    print("Ctrl-C:", presses)
    try:
        asyncio.run(immortal(presses))
        print("  run returned")
    except KeyboardInterrupt:
        print("  run raised KeyboardInterrupt")
