"""``python -m anobench`` is the command ``anobench``; in Python the package is called `bench`."""

from bench.cli import main

if __name__ == "__main__":
    main()
