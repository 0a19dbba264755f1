"""What plug-in authors and our own tests share: random graphs and conformance suites."""
