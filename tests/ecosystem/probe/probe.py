"""What a process manager gave it, as a line of JSON in a file of its own; then it stays."""
import json, os, re, signal, sys
env = {n: v for n, v in os.environ.items() if re.match(r"T_|PORT$|NODE_ENV$|PYTHONUNBUFFERED$", n)}
said = dict(args=sys.argv[1:], options=["-u"] if sys.stdout.line_buffering and "-u" in sys.orig_argv else [], cwd=os.getcwd(), env=env,
            number=os.environ.get("NODE_APP_INSTANCE"))
open(f"{os.environ['PROBE_DIR']}/{os.getpid()}", "w").write(json.dumps(said))
signal.pause()
