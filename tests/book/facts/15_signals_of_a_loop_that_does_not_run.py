"""Where a signal goes whose handler is on loop A while loop B runs."""
import asyncio, signal

def run(loop):
    loop.call_later(0.05, loop.stop)
    loop.run_forever()

for b_has_a_handler in True, False:
    print("B has a handler of its own:", b_has_a_handler)
    a, b = asyncio.new_event_loop(), asyncio.new_event_loop()
    a.add_signal_handler(signal.SIGHUP, lambda: print("  A's handler"))
    if b_has_a_handler:
        b.add_signal_handler(signal.SIGTERM, lambda: print("  B's handler"))
    b.call_soon(signal.raise_signal, signal.SIGHUP)
    run(b)
    print("  B has run")
    b.close()
    run(a)
    print("  A has run")
    a.call_soon(signal.raise_signal, signal.SIGHUP)
    run(a)
    print("  A has run again, with another signal")
    a.close()
