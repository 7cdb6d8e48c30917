"""streamwatch: learn what each camera normally sees, and raise an alarm when a scene does something new."""

__version__ = "0.1.0"

__all__ = ["__version__"]
