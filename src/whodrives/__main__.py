"""``python -m whodrives``, for launchers such as torchrun that start modules."""

from whodrives.cli.main import main

if __name__ == "__main__":
    main()
