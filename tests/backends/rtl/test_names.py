"""Port names in the emitted Verilog."""

from __future__ import annotations

import re

from tests.backends.rtl.engines import ENGINES

from ridgeline.backends.rtl.names import with_port_names
from ridgeline.testing import hardware

PARTS = r"""
module unit(a, \port$7$3 , \port$9$0 );
  input a;
  input [1:0] \port$7$3 ;
  output [4:0] \port$9$0 ;
  assign chosen = \port$7$3 [0];
  assign \port$9$0  = sum[6:2];
endmodule

module top(word);
  unit first (
    .\port$7$3 (word[4:3]),
    .\port$9$0 (\$5 ),
    .a(sum_2)
  );
endmodule
"""


def test_a_part_of_a_signal_gets_its_name() -> None:
    named = with_port_names(PARTS)
    assert "input [1:0] word_3 ;" in named
    assert ".word_3 (word[4:3])," in named
    assert "assign chosen = word_3 [0];" in named


def test_a_name_that_is_taken_gets_a_number() -> None:
    assert "assign sum_2_1  = sum[6:2];" in with_port_names(PARTS)


def test_every_port_of_the_engine_has_a_name() -> None:
    for engine in ENGINES.values():
        for verilog in hardware.verilog(engine).values():
            assert not re.search(r"port\$\d", verilog)
            for module in re.findall(r"^module .*?^endmodule", verilog, re.MULTILINE | re.DOTALL):
                declared = re.findall(r"^  (?:input|output) (?:\[\d+:0\] )?(\\\S+ |\w+)", module, re.MULTILINE)
                assert len(declared) == len(set(declared))
