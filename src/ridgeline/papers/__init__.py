"""Published tables, each beside our own numbers: one file a paper."""

from ridgeline.papers.paper import PAPERS, Paper, Reproduction, Row, read_paper, reproduce

__all__ = ["PAPERS", "Paper", "Reproduction", "Row", "read_paper", "reproduce"]
