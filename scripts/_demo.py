"""The demonstration: a server that freezes, dies and comes back, and a client whose connections survive it.

A terminal is not required: on one, the client shows its live table, elsewhere lines.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-u", "-m", "heartbeat_trio"]
FREEZE_AT, FREEZE_FOR, KILL_AT, DOWN_FOR = 5.0, 6.0, 16.0, 1.0
FULL = 20.0
"""Below so many seconds, everything happens proportionally sooner."""


def main() -> int:
    """Run it; 0 if both connections were lost and restored as they should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long it takes (default 30, at least 12)")
    parser.add_argument("--balancer", action="store_true", help="three servers and orders instead: none doubled, none lost")
    options = parser.parse_args()
    seconds = max(12.0, options.seconds)
    try:
        if options.balancer:
            sys.path.insert(0, str(ROOT))
            from scripts._demo_balancer import main as show_balancer

            return show_balancer(seconds)
        return Demo(seconds).run()
    except KeyboardInterrupt:
        return 130


class Demo:
    """A server, a client, and the order of events."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.scale = min(1.0, seconds / FULL)
        self.addresses = {"tcp": "127.0.0.1:0", "ws": "127.0.0.1:0"}
        self.server: subprocess.Popen[str] | None = None
        self.client: subprocess.Popen[str] | None = None

    def run(self) -> int:
        """Start both, do harm, wait for the client's report."""
        self.start_server()
        begin = time.monotonic()
        self.start_client()
        assert self.client is not None
        steps: list[tuple[float, Callable[[], None]]] = [
            (FREEZE_AT, self.freeze),
            (FREEZE_AT + FREEZE_FOR, self.thaw),
            (KILL_AT, self.kill),
            (KILL_AT + DOWN_FOR, self.restart),
        ]
        try:
            for when, step in steps:
                time.sleep(max(0.0, begin + when * self.scale - time.monotonic()))
                step()
            return self.client.wait(timeout=self.seconds + 10)
        finally:
            self.end()

    def start_server(self) -> None:
        """Start the server, and learn its addresses."""
        options = ["--tcp", self.addresses["tcp"], "--ws", self.addresses["ws"], "--output", "json"]
        self.server = subprocess.Popen([*COMMAND, "serve", *options], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.server.stdout is not None
        listening = json.loads(self.server.stdout.readline())
        self.addresses = {"tcp": listening["tcp"], "ws": listening["ws"].removeprefix("ws://").removesuffix("/")}
        self.say(f"server started on tcp://{self.addresses['tcp']} and ws://{self.addresses['ws']}/")

    def start_client(self) -> None:
        """Start the client on both: a ping each second, 0.6 s for its pong."""
        urls = [f"tcp://{self.addresses['tcp']}", f"ws://{self.addresses['ws']}/"]
        heartbeat = ["--ping-interval", f"{self.scale:g}", "--pong-timeout", f"{0.6 * self.scale:g}"]
        backoff = ["--backoff-initial", "0.5", "--backoff-maximum", "2"]
        options = ["--subscribe", "BTCUSD,ETHUSD", "--stats-every", "5", "--duration", f"{self.seconds:g}"]
        command = [*COMMAND, "watch", *urls, *options, *heartbeat, *backoff]
        self.client = subprocess.Popen(command, cwd=ROOT, text=True)

    def freeze(self) -> None:
        """Stop the server's process: its kernel still answers, nobody else does."""
        assert self.server is not None
        self.say(f"the server freezes (SIGSTOP) for {FREEZE_FOR * self.scale:g} s: its sockets stay open, and silent")
        self.server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.server is not None
        self.server.send_signal(signal.SIGCONT)
        self.say("the server goes on (SIGCONT)")

    def kill(self) -> None:
        """End it without a word."""
        assert self.server is not None
        self.say("the server is killed (SIGKILL)")
        self.server.kill()
        self.server.wait()

    def restart(self) -> None:
        """Start another one in its place, with a new stream of quotes."""
        self.start_server()

    def end(self) -> None:
        """Leave no process behind."""
        for process in (self.client, self.server):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                try:
                    process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if process is not None and process.stdout is not None:
                process.stdout.close()

    @staticmethod
    def say(text: str) -> None:
        """Tell what is done to the server."""
        print(f"---- {text}", file=sys.stderr if sys.stdout.isatty() else sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
