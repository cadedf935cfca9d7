"""`python -m eventpulse.schemas` writes every schema anew."""

from eventpulse.schemas import main

if __name__ == "__main__":
    main()
