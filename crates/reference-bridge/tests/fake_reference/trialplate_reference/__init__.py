"""A reference that computes nothing: the id of the case says what goes right or wrong."""

import atexit
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import weakref

import numpy as np


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no message")


class Session:
    def __init__(self, name, precision, model, threads):
        self.name, self.precision, self.model, self.threads = name, precision, model, threads
        self.float = {"f32": np.float32, "f64": np.float64}[precision]
        self.seen = None

    def identity(self):
        name = "somebody-else" if self.name == "impostor" else self.name
        return {"name": name, "version": f"1 {self.model} {self.threads}", "precision": self.precision, "device": "cpu"}

    def show(self, case, put):
        shown = getattr(self, case["id"].replace("-", "_"))(case)
        for name, array in shown.items() if isinstance(shown, dict) else shown:
            put(name, array)

    def good(self, case):
        return {
            "step0/embd": np.arange(6, dtype=self.float).reshape(1, 2, 3) / 4,
            "step0/token_ids": np.array(case["token_ids"], dtype=np.int64),
            "head.tied": np.array([1], dtype=np.uint8),
            "scalar": np.array(-0.0, dtype=self.float),
        }

    def not_contiguous(self, case):
        square = np.arange(6, dtype=self.float).reshape(2, 3)
        return {
            "contiguous": square,
            "transposed": square.T,
            "fortran": np.asfortranarray(square),
            "every.second": np.arange(6, dtype=self.float)[::2],
            "reversed": np.arange(3, dtype=self.float)[::-1],
            "broadcast": np.broadcast_to(np.ones(1, dtype=self.float), (3,)),
        }

    def other_float(self, case):
        other = np.float64 if self.float is np.float32 else np.float32
        return self.good(case) | {"step0/logits": np.zeros(3, dtype=other)}

    def half(self, case):
        return {"x": np.zeros(3, dtype=np.float16)}

    def int32(self, case):
        return {"x": np.zeros(3, dtype=np.int32)}

    def big_endian(self, case):
        return {"x": np.zeros(3, dtype=np.dtype(self.float).newbyteorder(">"))}

    def objects(self, case):
        return {"x": np.array([1.0, None], dtype=object)}

    def structured(self, case):
        return {"x": np.zeros(3, dtype=[("a", self.float)])}

    def listed(self, case):
        return {"x": [1.0, 2.0]}

    def masked(self, case):
        return {"x": np.ma.masked_array(np.zeros(3, dtype=self.float), mask=[0, 1, 0])}

    def bad_name(self, case):
        return {"step01/x": np.zeros(3, dtype=self.float)}

    def reserved_name(self, case):
        return {"__metadata__": np.zeros(3, dtype=self.float)}

    def number_name(self, case):
        return {3: np.zeros(3, dtype=self.float)}

    def surrogate_name(self, case):
        return {"\udc80": np.zeros(3, dtype=self.float)}

    def many_wrong(self, case):
        return self.good(case) | {f"wrong.{i}": i for i in range(8)}

    def comes_twice(self, case):
        return [("x", np.zeros(3, dtype=self.float)), ("x", np.ones(3, dtype=self.float))]

    def fails_midway(self, case):
        yield "x", np.zeros(3, dtype=self.float)
        raise ValueError("no more")

    def written_over(self, case):
        array = np.zeros(3, dtype=self.float)
        for name in ("a", "b"):
            yield name, array
            array += 1

    def large(self, case):
        before = peak()
        for index in range(24):
            yield f"step{index}/x", np.full(1 << 20, index, dtype=np.int64)
        assert peak() - before < 96 << 10, f"{peak() - before} KiB for {24 * 8} MiB"

    def nothing(self, case):
        return {}

    def raises(self, case):
        raise ValueError(f"token id 7 is outside the vocabulary of {len(case['token_ids'])} tokens\nuse a smaller one")

    def unprintable(self, case):
        raise Unprintable

    def exits(self, case):
        sys.exit("enough")

    def prints(self, case):
        print("from print")
        print("from sys.__stdout__", file=sys.__stdout__, flush=True)
        os.write(1, b"from the descriptor\n")
        ctypes.CDLL(None).puts(b"from C")
        subprocess.run(["sh", "-c", "echo from a program"], check=True)
        return self.good(case)

    def segfaults(self, case):
        print("last words")
        ctypes.string_at(0)

    def aborts(self, case):
        os.abort()

    def interrupted(self, case):
        os.kill(os.getpid(), signal.SIGINT)
        return self.wait()

    def waits(self, case):
        os.write(2, b"waiting\n")
        return self.wait()

    def wait(self):
        # Long enough to be killed, not for ever: a test that fails must end.
        threading.Event().wait(60)
        raise TimeoutError("still alive")

    def leaves(self, case):
        array = np.zeros(1000, dtype=self.float)
        self.seen = weakref.ref(array)
        return {"x": array}

    def is_gone(self, case):
        assert self.seen is not None and self.seen() is None, "the array of the job before is still held"
        return self.good(case)

    def environment(self, case):
        assert not [name for name in os.environ if name.startswith("PYTHON")]
        assert sys.executable.startswith(os.environ["TRIALPLATE_PYTHON_ENV"]), sys.executable
        outside = [path for path in sys.path if "site-packages" in path and not path.startswith(sys.prefix)]
        assert not outside, outside
        with open(__file__) as file:  # as a package does that leaves the encoding to the locale
            assert file.encoding == "UTF-8", file.encoding
        return self.good(case)


def peak():
    """KiB that the process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def open_session(implementation, precision, model, threads):
    match implementation:
        case "needs-a-package":
            import no_such_package  # noqa: F401
        case "broken":
            raise OSError(f"{model} has no config.json; expected a model in Hugging Face format")
    atexit.register(print, "at exit")
    return Session(implementation, precision, model, threads)
