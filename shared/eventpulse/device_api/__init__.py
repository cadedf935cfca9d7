"""The devices' API: `/api/edge/*`, as `edge/PROTOCOL.md` says.

Light, since a device waits for its cold start: neither Arrow nor any engine nor a contract's YAML.
"""
