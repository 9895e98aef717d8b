"""The ``peel`` command, and ``python -m peel``."""

import signal


def main() -> None:
    """Run the command line. An interrupt while it is still being loaded ends it without a word."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from peel.cli import main as run  # noqa: PLC0415

    signal.signal(signal.SIGINT, before)
    run()


if __name__ == "__main__":
    main()
