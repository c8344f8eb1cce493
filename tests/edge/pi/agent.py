"""Inside the emulated system: runs the shell commands that come through a virtio port, and answers with what they said.

One JSON object a line: {"run": text, "limit": seconds} -> {"rc": status, "out": both streams}. A first line without
"rc" says that the system is up.
"""

import json
import subprocess
import sys

PORT = "/dev/virtio-ports/tlids"
KEPT = 400_000  # characters of what a command said


def answer(order: dict) -> dict:
    """Run one command in a shell of its own."""
    argv = ["timeout", "-k", "5", str(order["limit"]), "sh", "-c", order["run"]]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return {"rc": done.returncode, "out": done.stdout.decode(errors="replace")[-KEPT:]}


def main() -> int:
    """Serve until the port goes away."""
    with open(PORT, "r+b", buffering=0) as port:  # a port can be opened once at a time
        port.write(b'{"up": true}\n')
        waiting = b""
        while True:
            words = port.read(65536)
            if not words:  # nobody at the other end; systemd starts this again
                return 1
            waiting += words
            while b"\n" in waiting:
                line, waiting = waiting.split(b"\n", 1)
                text = json.dumps(answer(json.loads(line))).encode() + b"\n"
                while text:
                    text = text[port.write(text) :]


if __name__ == "__main__":
    sys.exit(main())
