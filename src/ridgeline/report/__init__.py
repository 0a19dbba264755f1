"""The report: one HTML file that opens from disk and needs nothing else."""

from ridgeline.report.page import render
from ridgeline.report.values import Bar, DesignPoint, LayerDot, Report

__all__ = ["Bar", "DesignPoint", "LayerDot", "Report", "render"]
