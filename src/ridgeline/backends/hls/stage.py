"""The output stage of each format in C++: what lies in a channel's record of parameters, and what a sum becomes."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

RECORD_ELEMENTS = 8  # of one output channel's parameters, in any format


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """`parameters` are (type, name) of a lane's registers; `read` fills them from `record`; `finish` returns the element of `sum` in lane m."""

    product: str  # of `vector[c]` and `block[c][m]`, as a sum_t
    parameters: tuple[tuple[str, str], ...]
    read: str
    finish: str


_INT8 = Stage(
    product="sum_t(vector[c]) * sum_t(block[c][m])",
    parameters=(("int32_t", "bias"), ("uint32_t", "multiplier"), ("uint8_t", "shift")),
    read="""\
uint64_t bytes = 0;  // bits 0..31 bias, 32..48 multiplier, 49..54 shift
for (int e = 0; e < RECORD; e++) {
#pragma HLS UNROLL
  bytes |= uint64_t(uint8_t(record[e])) << (8 * e);
}
p.bias[m] = int32_t(uint32_t(bytes));
p.multiplier[m] = uint32_t(bytes >> 32 & 0x1FFFF);
p.shift[m] = uint8_t(bytes >> 49 & 0x3F);""",
    finish="""\
const int64_t scaled = int64_t(sum + p.bias[m]) * p.multiplier[m];
const int64_t code = ((scaled + (int64_t(1) << (p.shift[m] - 1))) >> p.shift[m]) + f.zero_point;  // rounds half up
const element_t limited = element_t(code < f.low ? f.low : code > f.high ? f.high : code);
return f.use_table ? element_t(tables[m][f.table * TABLE_ENTRIES + limited + 128]) : limited;""",
)

_FLOAT32 = Stage(
    product="vector[c] * block[c][m]",
    parameters=(("float", "bias"), ("float", "scale"), ("float", "low"), ("float", "high")),
    read="""\
p.bias[m] = record[0];
p.scale[m] = record[1];
p.low[m] = record[2];
p.high[m] = record[3];""",
    finish="""\
const float value = sum * p.scale[m] + p.bias[m];
return value < p.low[m] ? p.low[m] : value > p.high[m] ? p.high[m] : value;""",
)

_FIXED16 = Stage(
    product="int32_t(vector[c]) * int32_t(block[c][m])",
    parameters=(("int64_t", "bias"), ("uint16_t", "multiplier"), ("uint8_t", "shift"), ("int16_t", "low"), ("int16_t", "high")),
    read="""\
uint64_t bias = 0;  // elements 0..3 bias, then multiplier, shift, low, high
for (int e = 0; e < 4; e++) {
#pragma HLS UNROLL
  bias |= uint64_t(uint16_t(record[e])) << (16 * e);
}
p.bias[m] = int64_t(bias);
p.multiplier[m] = uint16_t(record[4]);
p.shift[m] = uint8_t(record[5]);
p.low[m] = record[6];
p.high[m] = record[7];""",
    finish="""\
const int64_t scaled = (sum + p.bias[m]) * p.multiplier[m];
const int64_t code = (scaled + (int64_t(1) << (p.shift[m] - 1))) >> p.shift[m];  // rounds half up
return element_t(code < p.low[m] ? p.low[m] : code > p.high[m] ? p.high[m] : code);""",
)

STAGES = MappingProxyType({"int8": _INT8, "float32": _FLOAT32, "fixed16": _FIXED16})
