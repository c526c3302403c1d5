"""A worker that says what it was given, and waits for work that never comes."""
import json
import os
import signal
import sys

said = {name: os.environ.get(name) for name in ("WORKER_ID", "WORKER_PORT", "PYTHONPATH", "PYTHONUNBUFFERED", "NODE_APP_INSTANCE")}
print(json.dumps({"args": sys.argv[1:], "cwd": os.getcwd(), "env": said}))
signal.pause()
