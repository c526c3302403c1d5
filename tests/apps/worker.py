"""A queue worker as people write them: a line every few seconds until it is asked to stop."""
import os
import signal
import sys
import threading

stop = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stop.set())

# The count goes to a pipe, where Python would keep it back for 8 KiB.
done = 0
print(f"worker {os.environ.get('STEAD_INSTANCE', '0')} started", flush=True)
while not stop.wait(3):
    done += 1
    print(f"{done} jobs done", flush=True)
print("stopping after the current job", flush=True)
sys.exit(0)
