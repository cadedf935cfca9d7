"""The Google lane without Google: every service it needs, from PyPI alone, on one machine.

``python -m emulators.firestore``, ``.tasks``, ``.storage`` and ``.bigquery`` each run one;
``emulators.stack.GoogleStack`` runs them together.
"""
