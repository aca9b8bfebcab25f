"""Makes the embedded interpreter a good worker. `reference`, a folder, is set by the worker."""

import faulthandler
import signal
import sys

# Standard output has become standard error; one buffer keeps the lines in order and loses none in a crash.
sys.stdout = sys.stderr

# A segfault leaves its Python traceback in the evidence.
faulthandler.enable()

# Importing `signal` has replaced the default action by one that only a running bytecode loop would notice.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

sys.path.insert(0, reference)  # noqa: F821
