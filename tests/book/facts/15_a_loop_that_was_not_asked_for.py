"""`get_event_loop()` without a running loop: it makes one, makes one with a warning, or refuses."""
import asyncio, warnings

with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    try:
        asyncio.get_event_loop().close()
        print("a loop was made")
    except RuntimeError as error:
        print(error)
print("warnings:", [warning.category.__name__ for warning in warned])
