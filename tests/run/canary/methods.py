"""Ill-behaved methods, each a line of what it does to its process. No test lives here."""

from __future__ import annotations

from pathlib import Path

#: Change what a process shares, and do their work: they pass, with a flag that names one of these words.
CHANGES = {
    "dtype": ("torch.set_default_dtype(torch.float64)", "default dtype"),
    "device": ("torch.set_default_device('meta')", "default device"),
    "threads": ("torch.set_num_threads(2)", "torch's threads"),
    "grad": ("torch.set_grad_enabled(False)", "grad mode"),
    "deterministic": ("torch.use_deterministic_algorithms(False)", "deterministic"),
    "fill": ("torch.utils.deterministic.fill_uninitialized_memory = True", "fill of new tensors"),
    "precision": ("torch.set_float32_matmul_precision('medium')", "precision"),
    "cudnn": ("torch.backends.cudnn.benchmark = True", "cudnn"),
    "mkldnn": ("torch.backends.mkldnn.set_flags(False)", "oneDNN"),
    "autocast": ("torch.set_autocast_enabled('cpu', True)", "autocast"),
    "anomaly": ("torch.autograd.set_detect_anomaly(True)", "anomaly detection"),
    "denormal": ("torch.set_flush_denormal(True)", "denormal"),
    "hook": ("torch.nn.modules.module.register_module_forward_hook(lambda m, i, o: o * 0)", "hooks"),
    "torch_mode": ("torch.overrides.BaseTorchFunctionMode().__enter__()", "function modes"),
    "errstate": ("np.seterr(all='raise')", "numpy's error state"),
    "printing": ("np.set_printoptions(precision=1)", "print options"),
    "bit_generator": ("np.random.set_bit_generator(np.random.MT19937(7))", "numpy's global generator"),
    "chdir": ("os.chdir('/')", "working directory"),
    "environ": ("os.environ['OMP_NUM_THREADS'] = '3'", "environment variables"),
    "umask": ("os.umask(0o77)", "umask"),
    "signals": ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "signal handlers"),
    "masked": ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])", "blocked signals"),
    "alarm": ("signal.setitimer(signal.ITIMER_REAL, 1000)", "alarm"),
    "locale": ("locale.setlocale(locale.LC_ALL, 'C')", "locale"),
    "decimals": ("decimal.getcontext().prec = 3", "decimal"),
    "recursion": ("sys.setrecursionlimit(123456)", "recursion limit"),
    "digits": ("sys.set_int_max_str_digits(0)", "digits"),
    "collector": ("gc.disable()", "garbage collector"),
    "logs": ("logging.disable(logging.CRITICAL)", "logging"),
    "handlers": ("logging.getLogger('bench').setLevel(60)", "logging"),
    "filters": ("warnings.simplefilter('error')", "warnings' filters"),
    "streams": ("sys.stdout = open(os.devnull, 'w')", "streams"),
    "closes": ("[os.close(number) for number in (0, 1, 2)]", "standard descriptors"),
    "path": ("sys.path.insert(0, '/nowhere')", "sys.path"),
    "argv": ("sys.argv[:] = ['other']", "sys.argv"),
    "finder": ("sys.meta_path.clear()", "import system"),
    "hooked": ("sys.excepthook = print", "hooks"),
    "traced": ("sys.setprofile(lambda *_: None)", "profiler"),
    "limited": ("resource.setrlimit(resource.RLIMIT_CORE, (0, _most_core()))", ""),
    "affinity": ("os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})", ""),
    "timeout": ("socket.setdefaulttimeout(0.001)", "socket"),
    "auroc": ("bench.run.verdict.image_metrics = lambda *_: {'auroc': 1.0}", "image_metrics"),
    "ranks": ("bench.metrics.image.auroc = lambda *_: 1.0", "bench.metrics.image.auroc"),
    "time": ("time.perf_counter = lambda: 0.0", "time.perf_counter"),
    "builtin": ("import builtins; builtins.sorted = lambda *_, **__: []", "builtins.sorted"),
    "relu": ("torch.nn.functional.relu = lambda x, *_, **__: x", "torch.nn.functional.relu"),
    "matmul": ("torch.Tensor.mean = lambda *_, **__: torch.zeros(48)", "torch.Tensor.mean"),
    "images": ("bench.data.images.Images.features = lambda *_, **__: torch.zeros(1, 4)", "Images.features"),
    "seeds": ("np.random.seed = random.seed = lambda *_: None", "seed"),
    "stop": ("from bench.train import checkpoint; checkpoint.ask_to_stop()", ""),
    "daemon": ("subprocess.Popen(['sleep', '1000'], start_new_session=True)", "left running"),
}  # fmt: skip
#: End the process's good name without a way back: they pass, flagged, and their worker is replaced.
LASTING = {
    "thread": (
        "threading.Thread(target=lambda: time.sleep(1000), daemon=True).start()",
        "thread left running",
    ),
    "inference": ("type(self).kept = torch.inference_mode(); self.kept.__enter__()", "inference mode"),
}
#: Fail: their record says so with these words.
FAILS = {
    "exits": ("sys.exit(0)", "sys.exit(0)"),
    "exits_in_words": ("raise SystemExit('good bye')", "good bye"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "stops": ("from bench.train.checkpoint import StopRequested; raise StopRequested", "StopRequested"),
    "generator": ("raise GeneratorExit", "GeneratorExit"),
    "base": ("raise type('Odd', (BaseException,), {})('oddly')", "oddly"),
    "speechless": ("raise type('Mute', (Exception,), {'__str__': lambda s: 1 / 0})()", "cannot be made"),
    "long": ("raise ValueError('x' * 10**7)", "xxx"),
    "surrogate": ("raise ValueError('\\ud800 \\x1b[31m')", "?"),
    "recursion_error": ("f = lambda: f(); f()", "recursion"),
    "number_note": ("self.notes = (3, float('nan'))", "notes must be a tuple of texts"),
    "dict_note": ("self.notes = {'a': 1}", "notes must be a tuple of texts"),
    "forks": ("os.fork() or sys.exit(0); raise ValueError('a parent')", "a parent"),
    "assertion": ("assert False, 'it is so'", "it is so"),
}  # fmt: skip
#: Return something else than it should: `score` is this.
RETURNS = {
    "text": ("Scores(['1'] * len(test))", "real numbers"),
    "complex": ("Scores(np.ones(len(test), complex))", "complex numbers"),
    "objects": ("Scores(np.array([None] * len(test)))", "real numbers"),
    "huge_int": ("Scores([10**400] * len(test))", "real numbers"),
    "too_few": ("Scores([0.0])", "expected 20 scores"),
    "two_d": ("Scores(np.zeros((len(test), 2)))", "expected 20 scores"),
    "nan": ("Scores([float('nan')] * len(test))", "NaN"),
    "maps": ("Scores(np.zeros(len(test)), maps=np.zeros((3, 4, 4)))", "20 anomaly maps"),
    "flat_maps": ("Scores(np.zeros(len(test)), maps=np.zeros((len(test), 16)))", "20 anomaly maps"),
    "nothing": ("None", ""),
}
#: Only a process of their own survives these: the record says why it ended.
ENDS = {
    "leaves": ("os._exit(0)", "exit status 0"),
    "crashes": ("ctypes.string_at(0)", "SIGSEGV"),
    "aborts": ("os.abort()", "SIGABRT"),
    "no_pipe": ("os.closerange(3, 4096)", ""),
    "garbage": ("[os.write(n, b'garbage' * 99) for n in range(3, 64) if _writes(n)]", ""),
}
#: Never come back by themselves: the suite's limit of time ends them.
HANGS = {"hangs": ("ctypes.PyDLL(None).pause()", "limit of"), "catches": ("_forever()", "limit of")}

_MODULE = '''
"""Canary: {name}."""
import ctypes, decimal, gc, locale, logging, os, random, resource, signal, socket, stat, subprocess, sys
import threading, time, warnings
import numpy as np
import torch
import bench.data.images, bench.metrics.image, bench.run.verdict
from bench import Method, Scores

def _writes(number):
    try:
        return stat.S_ISFIFO(os.fstat(number).st_mode)
    except OSError:
        return False

def _most_core():
    return resource.getrlimit(resource.RLIMIT_CORE)[1]

def _forever():
    while True:
        try:
            time.sleep(1000)
        except Exception:
            pass

class Canary{title}(Method):
    def fit(self, train):
        self.mean = train.features("pixels[size=4]").mean(0)
    def score(self, test):
        far = (test.features("pixels[size=4]") - self.mean).square().sum(1)
        {body}
        return {returns}
'''


def write(folder: Path, kinds: dict[str, tuple[str, str]], *, returns: bool = False) -> list[str]:
    """Write a method for each kind into a bench folder; return their names."""
    for name, (code, _) in kinds.items():
        module = _MODULE.format(
            name=name,
            title=name.title().replace("_", ""),
            body="pass" if returns else code,
            returns=code if returns else "Scores(far)",
        )
        (folder / "methods" / f"canary_{name}.py").write_text(module)
    return [f"canary_{name}" for name in kinds]
