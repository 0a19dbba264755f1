"""Numbers as people read them."""


def four_digits(value: float) -> str:
    """At least four digits of those that count, thousands apart, and no exponent before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
