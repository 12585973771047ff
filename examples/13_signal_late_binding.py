"""Which signal was it? A handler has to know from the start, not look it up when it is called.

Three signals share one function that reports a name. Handlers that read a shared place read it when the
signal arrives. By then it holds the last name of the `for` loop. A Python lambda reads its variable in
this way. A Rust closure with `move` copies what it names when it is made, so the pitfall needs a shared
`Cell` here. A value given as an argument, or bound by a function that returns the handler, is right in
both. A handler that is registered again replaces the one before."""
import asyncio, functools, json, signal

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)

def report(sig):
    print(f" {sig.name}", end="")

def send_all(loop, title):
    print(f"{title}:", end="")
    for sig in SIGNALS:
        loop.call_soon(signal.raise_signal, sig)
    loop.call_later(0.1, loop.stop)
    loop.run_forever()
    print()

loop = asyncio.new_event_loop()

# The pitfall: one place for all three, read when the signal arrives.
for current in SIGNALS:
    loop.add_signal_handler(current, lambda: report(current))
send_all(loop, "looked up when called")

# Safe: each handler has its own value, given when it is registered.
for sig in SIGNALS:
    loop.add_signal_handler(sig, report, sig)
send_all(loop, "bound when registered")

# Safe too: a function that returns the handler.
for sig in SIGNALS:
    loop.add_signal_handler(sig, functools.partial(report, sig))
send_all(loop, "bound by a function")

for sig in SIGNALS:
    removed, again = json.dumps(loop.remove_signal_handler(sig)), json.dumps(loop.remove_signal_handler(sig))
    print(f"{sig.name} removed: {removed}, again: {again}")
loop.close()
